//! What was judged, for people.

use std::fmt::Write as _;
use std::path::Path;

use tamis_report::visible;

use super::{Judged, RECORD};

/// Rows, classes and pairs of classes that are shown.
const MAX_SHOWN: usize = 10;

/// Share of wrong labels from which on a class is shown: what is printed as 0.01 %.
const SHOWN_FROM: f64 = 0.5e-4;

/// The text; `folder` is where the rest stands.
pub(super) fn text(judged: &Judged, folder: Option<&Path>) -> String {
    let mut text = head(judged);
    worst(&mut text, judged);
    classes(&mut text, judged);
    overlaps(&mut text, judged);
    next(&mut text, judged, folder);
    text
}

fn head(judged: &Judged) -> String {
    let n_labels = judged.n - judged.missing.len();
    let Judged { filter, rank, .. } = judged;
    let mut text = format!("{n_labels} labels of {} classes", judged.given.len());
    if !judged.missing.is_empty() {
        text.push_str(&format!(" ({} more rows have none)", judged.missing.len()));
    }
    let noun = if judged.issues.len() == 1 { "is an issue" } else { "are issues" };
    text.push_str(&format!(": {} {noun} ({filter}, ordered by {rank})\n", judged.issues.len()));
    let n_absent = judged.given.iter().filter(|&&count| count == 0).count();
    if 0 < n_absent {
        let noun = if n_absent == 1 { "class is" } else { "classes are" };
        text.push_str(&format!("{n_absent} {noun} never given\n"));
    }
    if let Some(evidence) = judged.evidence.as_ref().filter(|it| it.is_informative) {
        let rate = evidence.noise.rate;
        let percent = |share: f64| 100.0 * share;
        text.push_str(&format!(
            "estimated wrong labels: {:.0}, {:.2} % (90 %: {:.2} to {:.2} %)\n",
            rate.estimate * evidence.noise.n as f64,
            percent(rate.estimate),
            percent(rate.low),
            percent(rate.high)
        ));
    }
    if let Some(confident) = &judged.confident {
        text.push_str(&format!(
            "estimated by confident learning: {} wrong labels ({} by the calibrated joint); health {:.4}\n",
            confident.health.n_issues, confident.off_diagonal_calibrated, confident.health.overall
        ));
    }
    text
}

/// Lines of columns under a title, aligned; none where there are no rows.
fn table(text: &mut String, title: &str, head: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).chain([head[column].len()]).max();
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    let head: Vec<String> = head.iter().map(|it| (*it).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let gap = width - cell.chars().count() + 2;
            let _ = write!(line, "  {cell}{:gap$}", "", gap = gap - 2);
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn worst(text: &mut String, judged: &Judged) {
    let row = |&row: &usize| {
        let label = judged.labels[row].map_or_else(String::new, |label| visible(&judged.class(label as usize)));
        let suggested = match usize::try_from(judged.suggested[row]) {
            Ok(class) => visible(&judged.class(class)),
            // There is no class.
            Err(_) => "-".to_owned(),
        };
        let quality = judged.quality[row];
        // Four decimals say nothing of the smallest ones.
        let quality = if quality < 1e-3 { format!("{quality:.1e}") } else { format!("{quality:.4}") };
        vec![row.to_string(), label, suggested, quality]
    };
    let rows: Vec<_> = judged.issues.iter().take(MAX_SHOWN).map(row).collect();
    table(text, "worst labels", &["row", "given", "rather", "label quality"], &rows);
}

fn classes(text: &mut String, judged: &Judged) {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let rows: Vec<Vec<String>> = if let Some(evidence) = &judged.evidence {
        let mut classes = evidence.noise.by_class.clone();
        classes.sort_by(|a, b| b.rate.estimate.total_cmp(&a.rate.estimate));
        let row = |it: &tamis_labels::ClassNoise| {
            let range = format!("{} to {}", percent(it.rate.low), percent(it.rate.high));
            vec![visible(&judged.class(it.class as usize)), it.n.to_string(), percent(it.rate.estimate), range]
        };
        classes.iter().filter(|it| SHOWN_FROM <= it.rate.estimate).take(MAX_SHOWN).map(row).collect()
    } else {
        let confident = judged.confident.iter().flat_map(|it| &it.health.classes);
        let row = |it: &tamis_labels::ClassQuality| {
            let given = judged.given[it.class].to_string();
            vec![visible(&judged.class(it.class)), given, percent(it.noise), percent(it.inverse_noise)]
        };
        confident.filter(|it| 0 < it.n_issues + it.n_inverse_issues).take(MAX_SHOWN).map(row).collect()
    };
    let last = if judged.evidence.is_some() { "90 %" } else { "labeled otherwise" };
    table(text, "classes with most wrong labels", &["class", "labels", "wrong", last], &rows);
}

fn overlaps(text: &mut String, judged: &Judged) {
    let rows: Vec<Vec<String>> = if let Some(evidence) = &judged.evidence {
        let row = |it: &tamis_labels::Confusion| {
            let names = [it.given, it.class].map(|class| visible(&judged.class(class as usize)));
            [&names[..], &[format!("{:.1}", it.count)]].concat()
        };
        evidence.confusions.iter().take(MAX_SHOWN).map(row).collect()
    } else {
        let overlaps = judged.confident.iter().flat_map(|it| &it.health.overlaps);
        let row = |it: &tamis_labels::ClassOverlap| {
            let names = [it.class_a, it.class_b].map(|class| visible(&judged.class(class)));
            [&names[..], &[it.n_items.to_string()]].concat()
        };
        overlaps.filter(|it| 0 < it.n_items).take(MAX_SHOWN).map(row).collect()
    };
    let head = if judged.evidence.is_some() { ["given", "rather", "labels"] } else { ["class", "class", "labels"] };
    table(text, "classes that are confused most", &head, &rows);
}

/// What to do next.
fn next(text: &mut String, judged: &Judged, folder: Option<&Path>) {
    text.push('\n');
    match &judged.evidence {
        _ if judged.issues.is_empty() => text.push_str("next: nothing to review\n"),
        Some(evidence) if evidence.noise.budget.n == 0 => text.push_str(
            "next: review the issues: they are so few that doubt explains them as well as noise, which is not counted\n",
        ),
        Some(evidence) => {
            let budget = evidence.noise.budget;
            text.push_str(&format!(
                "next: review the worst {} and expect {:.1} wrong labels; stop where fewer than 1 in 5 is wrong\n",
                budget.n, budget.expected_errors
            ));
        }
        None => text.push_str("next: review the worst labels first, and stop where fewer than 1 in 5 is wrong\n"),
    }
    match folder {
        Some(folder) => text.push_str(&format!("all of it: {}\n", folder.join(RECORD).display())),
        None => text.push_str("all of it: --format json, or --out DIR\n"),
    }
}
