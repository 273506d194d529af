//! The report for a person at a terminal.

use std::cmp::Reverse;
use std::io;

use tamis_core::{CheckResult, Finding, Outcome, Report, Standing};

use crate::exhibit::{Exhibit, Exhibited, Layout, Passage};
use crate::overview::{self, CheckRow};
use crate::snippet::visible;
use crate::terminal::{Ink, columns, pad_end, pad_start, paint, wrap};
use crate::{RenderError, RenderOptions, Renderer, prose};

/// Findings of a check that are shown.
const MAX_FINDINGS: usize = 3;
/// Samples of a finding that are shown.
const MAX_SAMPLES: usize = 3;
/// Characters of a text that are shown: two lines of a terminal.
const MAX_CHARS: usize = 160;
/// Labels that are listed.
const MAX_LABELS: usize = 6;
/// Columns of the table after the check's name.
const N_COLUMNS: usize = 5;
const HEADS: [&str; N_COLUMNS] = ["Findings", "Worst", "Samples", "Rate", "95 % interval"];
/// Columns that the reason of a skipped check needs next to its name.
const MIN_REASON: usize = 24;
/// Columns of the names in the head of the report and of the severities.
const GUTTER: usize = 9;

/// What was audited, all checks in a table, the worst findings of each with their texts, and what to do.
#[derive(Debug)]
pub(super) struct Full;

impl Renderer for Full {
    fn id(&self) -> &'static str {
        "full"
    }

    fn render(&self, report: &Report<'_>, options: &RenderOptions, out: &mut dyn io::Write) -> Result<(), RenderError> {
        let mut page = Page { out, color: options.color, width: options.width.max(40) };
        page.head(report)?;
        page.table(report)?;
        for (idx, check) in report.checks.iter().enumerate() {
            if let Outcome::Ran(result) = &check.outcome
                && !result.findings.is_empty()
            {
                page.section(report, idx, result)?;
            }
        }
        page.foot(report)
    }
}

/// Where the report is written, and how.
struct Page<'a> {
    out: &'a mut dyn io::Write,
    color: bool,
    width: usize,
}

impl Page<'_> {
    fn head(&mut self, report: &Report<'_>) -> Result<(), RenderError> {
        let dataset = report.dataset;
        let title = format!("tamis {}", report.version);
        let subject =
            format!("{} in {}", prose::counted(dataset.len(), "sample"), prose::counted(dataset.files().len(), "file"));
        writeln!(self.out, "{} · {subject}", paint(self.color, Ink::Strong, &title))?;
        writeln!(self.out)?;
        for (name, value) in overview::dataset_facts(report, MAX_LABELS) {
            self.named(name, &value)?;
        }
        for (idx, note) in report.notes.iter().enumerate() {
            self.named(if idx == 0 { "Notes" } else { "" }, &visible(note))?;
        }
        self.named("Found", &overview::verdict(report))?;
        writeln!(self.out)?;
        Ok(())
    }

    fn table(&mut self, report: &Report<'_>) -> Result<(), RenderError> {
        let rows: Vec<CheckRow<'_>> = report.checks.iter().map(CheckRow::new).collect();
        let name_width = rows.iter().map(|row| columns(row.id)).max().unwrap_or(0).max("Check".len());
        let cells: Vec<Option<[String; N_COLUMNS]>> = rows.iter().map(cells).collect();
        let mut widths = HEADS.map(columns);
        for cells in cells.iter().flatten() {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(columns(cell));
            }
        }
        // On a narrow terminal the last columns go; audit.json has them.
        let total = |n: &usize| name_width + widths[..*n].iter().map(|it| it + 2).sum::<usize>();
        let n_shown = (1..=N_COLUMNS).rev().find(|n| total(n) <= self.width).unwrap_or(1);
        let head = joined(&HEADS.map(str::to_owned), &widths[..n_shown]);
        let head = format!("{}  {head}", pad_end("Check", name_width));
        writeln!(self.out, "{}", paint(self.color, Ink::Faint, head.trim_end()))?;
        for (row, cells) in rows.iter().zip(&cells) {
            let name = pad_end(row.id, name_width);
            match (&row.outcome, cells) {
                (Err((outcome, reason)), _) => {
                    let ink = if *outcome == "failed" { Ink::Alarm } else { Ink::Faint };
                    let head = paint(self.color, ink, &format!("{name}  {}", pad_start(outcome, widths[0])));
                    let indent = name_width + widths[0] + 4;
                    if self.width < indent + MIN_REASON {
                        writeln!(self.out, "{head}")?;
                        self.paragraph(4, &visible(reason), Ink::Plain)?;
                    } else {
                        self.hanging(&format!("{head}  "), indent, &visible(reason))?;
                    }
                }
                (Ok(counts), Some(cells)) => {
                    let mut cells = joined(cells, &widths[..n_shown]);
                    if let (Some(worst), true) = (counts.worst, self.color) {
                        cells = cells.replacen(worst.id(), &paint(true, worst.into(), worst.id()), 1);
                    }
                    let name = paint(self.color, if counts.worst.is_some() { Ink::Strong } else { Ink::Plain }, &name);
                    writeln!(self.out, "{}", format!("{name}  {cells}").trim_end())?;
                }
                (Ok(_), None) => {}
            }
        }
        Ok(())
    }

    fn section(&mut self, report: &Report<'_>, idx: usize, result: &CheckResult) -> Result<(), RenderError> {
        let check = &report.checks[idx];
        let rule = "─".repeat(self.width.saturating_sub(columns(check.info.id) + 1));
        let (id, rule) = (paint(self.color, Ink::Strong, check.info.id), paint(self.color, Ink::Faint, &rule));
        writeln!(self.out, "\n{id} {rule}")?;
        self.paragraph(2, &format!("{}.", prose::capitalized(check.info.summary)), Ink::Plain)?;
        self.paragraph(2, &overview::extent(result), Ink::Plain)?;
        if let Some(todo) = prose::suggestions(&result.findings) {
            self.paragraph(2, &format!("Suggested: {todo}"), Ink::Plain)?;
        }
        for remark in overview::remarks(result) {
            self.paragraph(2, &remark, Ink::Faint)?;
        }
        let mut findings: Vec<(&Finding, &Standing)> = result.findings.iter().zip(report.standings_of(idx)).collect();
        findings.sort_by_key(|(_, standing)| !standing.counts());
        for (finding, standing) in findings.into_iter().take(MAX_FINDINGS) {
            writeln!(self.out)?;
            self.finding(report, finding, standing)?;
        }
        if MAX_FINDINGS < result.findings.len() {
            let more = prose::counted(result.findings.len() - MAX_FINDINGS, "more finding");
            writeln!(self.out)?;
            self.paragraph(2, &format!("{more} in findings.jsonl."), Ink::Faint)?;
        }
        Ok(())
    }

    fn finding(&mut self, report: &Report<'_>, finding: &Finding, standing: &Standing) -> Result<(), RenderError> {
        let severity = pad_end(finding.severity.id(), GUTTER);
        let severity = paint(self.color, finding.severity.into(), &severity);
        self.hanging(&format!("  {severity}"), GUTTER + 2, &visible(&finding.message))?;
        let indent = GUTTER + 2;
        if let Some(why) = prose::standing(standing) {
            self.paragraph(indent, &format!("({why})"), Ink::Faint)?;
        }
        let exhibit = Exhibit::new(report, finding, MAX_SAMPLES);
        let passages = exhibit.passages(report, Layout::Line { max_chars: MAX_CHARS });
        for (sample, passage) in exhibit.samples.iter().zip(&passages) {
            self.paragraph(indent, &described(report, sample), Ink::Plain)?;
            let text = match passage {
                Passage::Text { text, .. } => text.clone(),
                Passage::Picture { facts, .. } => format!("({})", prose::picture(facts)),
                Passage::SameAs(idx) => {
                    format!("(the same bytes as {})", prose::key(report.dataset, exhibit.samples[*idx].id))
                }
                Passage::Nothing(why) => format!("({why})"),
            };
            self.paragraph(indent + 2, &text, Ink::Faint)?;
        }
        if 0 < exhibit.n_hidden {
            self.paragraph(indent, &format!("and {}", prose::counted(exhibit.n_hidden, "more sample")), Ink::Plain)?;
        }
        let rest = exhibit.rest.iter();
        let rest = rest.map(|(name, value)| format!("{}: {}", prose::words(name), prose::value(report, value)));
        let rest = rest.collect::<Vec<_>>().join(" · ");
        if !rest.is_empty() {
            self.paragraph(indent, &rest, Ink::Plain)?;
        }
        if let Some(remedy) = prose::remedy(report.dataset, finding) {
            self.paragraph(indent, &remedy, Ink::Strong)?;
        }
        Ok(())
    }

    fn foot(&mut self, report: &Report<'_>) -> Result<(), RenderError> {
        writeln!(self.out)?;
        let out = |name: &str| visible(&report.out.join(name).display().to_string());
        self.named("Record", &format!("{}, {}", out("audit.json"), out("findings.jsonl")))?;
        self.named("Report", &out("report.html"))?;
        let worst = report.findings().min_by_key(|(_, finding)| Reverse(finding.severity));
        let check = worst.map_or("CHECK", |(info, _)| info.id);
        self.named("Explain", &format!("tamis explain {check}"))
    }

    /// A name in the gutter and a text next to it.
    fn named(&mut self, name: &str, text: &str) -> Result<(), RenderError> {
        let name = paint(self.color, Ink::Strong, &pad_end(name, GUTTER));
        self.hanging(&format!("  {name}"), GUTTER + 2, text)
    }

    /// Writes `head`, which takes `indent` columns, and `text` beside it.
    fn hanging(&mut self, head: &str, indent: usize, text: &str) -> Result<(), RenderError> {
        for (idx, line) in wrap(text, self.width.saturating_sub(indent)).iter().enumerate() {
            if idx == 0 {
                writeln!(self.out, "{}", format!("{head}{line}").trim_end())?;
            } else {
                writeln!(self.out, "{}{line}", " ".repeat(indent))?;
            }
        }
        Ok(())
    }

    /// Writes `text` with every line indented.
    fn paragraph(&mut self, indent: usize, text: &str, ink: Ink) -> Result<(), RenderError> {
        for line in wrap(text, self.width.saturating_sub(indent)) {
            writeln!(self.out, "{}{}", " ".repeat(indent), paint(self.color, ink, &line))?;
        }
        Ok(())
    }
}

/// The cells of a check that ran.
fn cells(row: &CheckRow<'_>) -> Option<[String; N_COLUMNS]> {
    let counts = row.outcome.as_ref().ok()?;
    let worst = counts.worst.map_or("", tamis_core::Severity::id).to_owned();
    Some([prose::count(counts.findings), worst, counts.samples.clone(), counts.rate.clone(), counts.interval.clone()])
}

/// As many cells as there are widths, numbers to the right.
fn joined(cells: &[String; N_COLUMNS], widths: &[usize]) -> String {
    let cell = |(idx, (cell, width)): (usize, (&String, &usize))| {
        if HEADS[idx] == "Worst" { pad_end(cell, *width) } else { pad_start(cell, *width) }
    };
    cells.iter().zip(widths).enumerate().map(cell).collect::<Vec<_>>().join("  ")
}

/// A sample on one line: key, what the evidence calls it, split, label, place, what the evidence says about it.
fn described(report: &Report<'_>, sample: &Exhibited<'_>) -> String {
    let (dataset, id) = (report.dataset, sample.id);
    let roles: String = sample.roles.iter().map(|role| format!(" ({})", prose::words(role))).collect();
    let mut parts = vec![prose::key(dataset, id) + &roles, visible(dataset.split_name(id))];
    parts.extend(dataset.label_name(id).map(visible));
    parts.extend(prose::place_beyond_key(dataset, id));
    // The split is said already.
    let facts = sample.facts.iter().filter(|(name, _)| *name != "split");
    parts.extend(facts.map(|(name, value)| format!("{} {value}", prose::words(name))));
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use tamis_core::Outcome;

    use super::*;
    use crate::testing;

    fn at(width: usize) -> String {
        testing::rendered("full", &RenderOptions { width, ..RenderOptions::default() })
    }

    #[test]
    fn the_whole_report_is_pinned() {
        insta::assert_snapshot!("full_80", at(80));
        insta::assert_snapshot!("full_120", at(120));
    }

    #[test]
    fn lines_stay_within_the_width() {
        for width in [40, 60, 80, 120] {
            let text = at(width);
            let wide: Vec<&str> = text.lines().filter(|line| width < columns(line)).collect();
            assert!(wide.is_empty(), "wider than {width}: {wide:#?}");
        }
    }

    #[test]
    fn color_changes_nothing_but_color() {
        let colored = testing::rendered("full", &RenderOptions { color: true, width: 80, ..RenderOptions::default() });
        assert!(colored.contains("\x1b["));
        let mut plain = String::new();
        for (idx, part) in colored.split("\x1b[").enumerate() {
            plain.push_str(if idx == 0 { part } else { part.split_once('m').unwrap().1 });
        }
        let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(trimmed(&plain), trimmed(&at(80)));
    }

    #[test]
    fn skipped_and_failed_checks_say_why() {
        let text = at(120);
        assert!(text.contains("skipped  no benchmark was named: name one with --benchmark"), "{text}");
        assert!(text.contains("failed  the length of row 3 is not a number"), "{text}");
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let mut fixture = testing::fixture();
        for check in &mut fixture.checks {
            if let Outcome::Ran(result) = &mut check.outcome {
                result.findings = vec![result.findings[0].clone(); 5];
            }
        }
        let text = testing::rendered_from(&fixture, "full", &RenderOptions::default());
        assert!(text.contains("2 more findings in findings.jsonl"), "{text}");
    }

    #[test]
    fn a_clean_dataset_says_so() {
        let mut fixture = testing::fixture();
        for check in &mut fixture.checks {
            if let Outcome::Ran(result) = &mut check.outcome {
                result.findings.clear();
                result.flagged = 0;
            }
        }
        let text = testing::rendered_from(&fixture, "full", &RenderOptions::default());
        assert!(text.contains("No findings"), "{text}");
    }
}
