//! What an audit measured, as a part of the card that people publish next to their data.
//!
//! The part stands between two marks, and nothing outside of them is ever touched. It holds measured numbers alone, each with
//! what it is a part of and how sure it is; what was not measured says why.

mod measures;

use std::fmt::Write as _;

pub use measures::{Measure, Measured, measures};
use measures::{WrongLabels, ran};

use crate::markdown::escaped;
use crate::prose::{capitalized, count, counted, interval, number, percent};
use crate::snippet::visible;
use crate::wire::v1::{Audit, CheckOutcome};

/// The line before the part that is ours.
pub const BEGIN: &str = "<!-- tamis:begin -->";
/// The line after it.
pub const END: &str = "<!-- tamis:end -->";

/// Rows of a table of labels or files; `audit.json` has all.
const MAX_ROWS: usize = 50;

/// Marks in a card that are not one pair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMarks {
    /// One without the other, or in the wrong order.
    #[error("line {line} is `{mark}`, and no line `{other}` stands {} it: add it, or remove line {line}", if *mark == BEGIN { "after" } else { "before" })]
    Alone {
        /// One-based.
        line: usize,
        /// What stands there.
        mark: &'static str,
        /// What is missing.
        other: &'static str,
    },
    /// Several.
    #[error("lines {first} and {second} are both `{mark}`: expected one such line")]
    Several {
        /// One-based.
        first: usize,
        /// One-based.
        second: usize,
        /// What stands in both.
        mark: &'static str,
    },
}

/// `card` with `block` in place of what stands between the marks, or after its end where it has none. All else stays as it is.
///
/// # Errors
/// When the marks are not one pair.
pub fn merged(card: &str, block: &str) -> Result<String, BadMarks> {
    let block = if card.contains("\r\n") { block.replace('\n', "\r\n") } else { block.to_owned() };
    Ok(match place(card)? {
        Some((from, to)) => format!("{}{}{}", &card[..from], block.trim_end(), &card[to..]),
        None if card.is_empty() => block,
        None => {
            let end = if card.contains("\r\n") { "\r\n" } else { "\n" };
            format!("{card}{}{end}{block}", if card.ends_with('\n') { "" } else { end })
        }
    })
}

/// Where the part stands, marks included: from the first byte of the one to the last of the other.
fn place(card: &str) -> Result<Option<(usize, usize)>, BadMarks> {
    let mut at = 0;
    let mut found: [Option<(usize, usize, usize)>; 2] = [None, None];
    let mut fence: Option<&str> = None;
    for (idx, line) in card.split_inclusive('\n').enumerate() {
        let text = line.trim();
        // Marks within code are shown, not meant.
        if let Some(mark) = ["```", "~~~"].into_iter().find(|it| text.starts_with(it)) {
            fence = if fence == Some(mark) { None } else { fence.or(Some(mark)) };
        }
        if fence.is_some() {
            at += line.len();
            continue;
        }
        for (mark, found) in [BEGIN, END].into_iter().zip(&mut found) {
            if text != mark {
                continue;
            }
            if let Some((first, ..)) = *found {
                return Err(BadMarks::Several { first, second: idx + 1, mark });
            }
            let start = at + line.find(mark).unwrap_or(0);
            *found = Some((idx + 1, start, start + mark.len()));
        }
        at += line.len();
    }
    let alone = |line, mark, other| Err(BadMarks::Alone { line, mark, other });
    match found {
        [None, None] => Ok(None),
        [Some((line, ..)), None] => alone(line, BEGIN, END),
        [None, Some((line, ..))] => alone(line, END, BEGIN),
        [Some((line, ..)), Some((end, ..))] if end < line => alone(line, BEGIN, END),
        [Some((_, from, _)), Some((_, _, to))] => Ok(Some((from, to))),
    }
}

/// A card for data that have none: the samples of each split as Hugging Face wants to be told, and the part.
///
/// `n_independent` is the number of families among the samples that can be read.
#[must_use]
pub fn card(audit: &Audit, n_independent: u64) -> String {
    let mut out = "---\ndataset_info:\n  splits:\n".to_owned();
    for split in &audit.dataset.splits {
        // A string of JSON is one of YAML.
        let name = serde_json::Value::from(split.name.as_str());
        let _ = writeln!(out, "  - name: {name}\n    num_examples: {}", split.samples);
    }
    out + "---\n\n" + &block(audit, n_independent)
}

/// The part with its marks.
///
/// `n_independent` is the number of families among the samples that can be read.
#[must_use]
pub fn block(audit: &Audit, n_independent: u64) -> String {
    let mut out = format!(
        "{BEGIN}\n<!-- What stands between these marks is written by `tamis card`, which replaces it. -->\n\n## Data audit\n"
    );
    composition(&mut out, audit);
    found(&mut out, audit);
    labels_and_size(&mut out, audit, n_independent);
    method(&mut out, audit);
    mapping(&mut out, audit, n_independent);
    let _ = write!(out, "\n{END}\n");
    out
}

fn composition(out: &mut String, audit: &Audit) {
    let dataset = &audit.dataset;
    let states = dataset.states;
    let _ = write!(
        out,
        "\n### Composition\n\n{} {} samples: {} can be read, {} {} empty, {} cannot be read.\n",
        count(whole(dataset.n_samples)),
        dataset.modality,
        count(whole(states.ok)),
        count(whole(states.empty)),
        if states.empty == 1 { "is" } else { "are" },
        count(whole(states.unreadable)),
    );
    out.push_str("\n| split | used as | samples | share |\n|---|---|--:|--:|\n");
    for split in &dataset.splits {
        let role = tamis_core::SplitRole::from(split.role);
        let (n, part) = (count(whole(split.samples)), share(split.samples, dataset.n_samples));
        let _ = writeln!(out, "| {} | {role} | {n} | {part} |", shown(&split.name));
    }
    if dataset.labels.is_empty() {
        out.push_str("\nThe samples have no labels.\n");
        return;
    }
    out.push_str("\n| label | samples | share |\n|---|--:|--:|\n");
    let mut labels: Vec<_> = dataset.labels.iter().map(|it| (it.name.as_str(), it.samples)).collect();
    labels.sort_by(|x, y| y.1.cmp(&x.1).then(x.0.cmp(y.0)));
    for (name, n) in labels.iter().take(MAX_ROWS) {
        let _ = writeln!(out, "| {} | {} | {} |", shown(name), count(whole(*n)), share(*n, dataset.n_samples));
    }
    let none = dataset.n_samples - labels.iter().map(|it| it.1).sum::<u64>();
    if MAX_ROWS < labels.len() {
        let _ = writeln!(out, "\nand {} more labels.", count(labels.len() - MAX_ROWS));
    }
    if 0 < none {
        let _ = writeln!(out, "\n{} without a label.", counted(whole(none), "sample"));
    }
}

fn found(out: &mut String, audit: &Audit) {
    out.push_str("\n### What the audit found\n\n");
    out.push_str(
        "| check | findings | samples | of | rate | 95 % interval | threshold |\n|---|--:|--:|--:|--:|--:|--:|\n",
    );
    let (ran, not_run): (Vec<_>, Vec<_>) = audit.checks.iter().partition(|it| it.outcome == CheckOutcome::Ran);
    for check in &ran {
        let n = |n: Option<u64>| n.map_or("-".to_owned(), |it| count(whole(it)));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            check.id,
            n(check.findings),
            n(check.flagged),
            n(check.population),
            check.rate.map_or("not applicable".to_owned(), percent),
            check.interval.map_or("not applicable".to_owned(), interval),
            check.threshold.map_or("none".to_owned(), number),
        );
    }
    out.push_str("\nWhat decided:\n\n");
    for check in &ran {
        let source = check.threshold_source.as_deref().unwrap_or("the check does not say");
        let _ = writeln!(out, "- {}: {}", check.id, shown(source));
    }
    if !not_run.is_empty() {
        out.push_str("\nNot measured:\n\n");
    }
    for check in not_run {
        let what = if check.outcome == CheckOutcome::Failed { "failed" } else { "skipped" };
        let _ = writeln!(out, "- {} {what}: {}", check.id, shown(check.reason.as_deref().unwrap_or_default()));
    }
}

fn labels_and_size(out: &mut String, audit: &Audit, n_independent: u64) {
    out.push_str("\n### Wrong labels\n\n");
    match (label_estimate(audit), ran(audit, "label-error")) {
        (Some(estimate), Ok(check)) => {
            let named = counted(whole(check.findings.unwrap_or(0)), "label");
            let estimate = capitalized(&estimate);
            let _ =
                writeln!(out, "{estimate}; {named} by name in `findings.jsonl`. No person has confirmed them here.");
        }
        (_, Err(none)) => {
            let _ = writeln!(out, "{}", capitalized(&reason(&none)));
        }
        (None, Ok(_)) => out.push_str("Not measured: the check label-error left no estimate.\n"),
    }
    let ok = audit.dataset.states.ok;
    let copies = ["near-duplicate", "split-leak"].iter().any(|id| ran(audit, id).is_ok());
    let what = if copies { "identical samples and copies" } else { "identical samples; copies were not looked for" };
    let families =
        if n_independent == 1 { "1 family".to_owned() } else { format!("{} families", count(whole(n_independent))) };
    let samples = counted(whole(ok), "sample");
    let _ = writeln!(out, "\n### Effective size\n\n{samples} that can be read: {families} of {what}.");
}

fn method(out: &mut String, audit: &Audit) {
    let _ = writeln!(
        out,
        "\n### How it was audited\n\n- by {} {}, seed {}",
        shown(&audit.tool.name),
        shown(&audit.tool.version),
        audit.seed
    );
    match &audit.model {
        None => out.push_str("- without a model\n"),
        Some(model) => {
            let revision = model.revision.as_ref().map_or_else(String::new, |it| format!(", revision {}", shown(it)));
            let _ = writeln!(
                out,
                "- vectors of {}{revision}, weights BLAKE3 {}, on {} in {}",
                shown(&model.id),
                shown(&model.weights_blake3),
                shown(audit.device.as_deref().unwrap_or("an unknown device")),
                shown(audit.dtype.as_deref().unwrap_or("an unknown type")),
            );
        }
    }
    let _ = writeln!(out, "- BLAKE3 of all samples with their splits and labels: {}", shown(&audit.dataset.hash));
    out.push_str("- `tamis audit --like audit.json` does it again\n");
    out.push_str("\n| file | bytes | BLAKE3 |\n|---|--:|---|\n");
    for file in audit.inputs.iter().take(MAX_ROWS) {
        let hash = file.blake3.as_deref().unwrap_or("could not be read");
        let _ = writeln!(out, "| {} | {} | {} |", shown(&file.path), count(whole(file.size)), shown(hash));
    }
    if MAX_ROWS < audit.inputs.len() {
        let _ = writeln!(out, "\nand {} more files.", count(audit.inputs.len() - MAX_ROWS));
    }
}

fn mapping(out: &mut String, audit: &Audit, n_independent: u64) {
    out.push_str(
        "\n### Measures by their names elsewhere\n\nInformative mapping, no statement of conformity: names of ISO/IEC 5259-2 \
         and subcategories of the NIST AI RMF 1.0 that such numbers are evidence for.\n\n\
         | measure | value | of | interval | ISO/IEC 5259-2 | NIST AI RMF |\n|---|--:|---|---|---|---|\n",
    );
    for measure in measures(audit, n_independent) {
        let [value, of, interval] = match &measure.value {
            Measured::Value { value, denominator, interval } => [value.clone(), denominator.clone(), interval.clone()],
            none => [reason(none), "-".to_owned(), "-".to_owned()],
        };
        let iso = if measure.iso.is_empty() { "none" } else { measure.iso };
        let _ = writeln!(out, "| {} | {value} | {of} | {interval} | {iso} | {} |", measure.name, measure.nist);
    }
}

/// The estimate of wrong labels as a sentence; `None` where there is none.
pub(crate) fn label_estimate(audit: &Audit) -> Option<String> {
    let it = WrongLabels::of(ran(audit, "label-error").ok()?)?;
    Some(format!(
        "about {} of {} labels of distinct samples are wrong (90 % interval {}), estimated from the samples themselves",
        percent(it.rate),
        count(whole(it.n)),
        interval([it.low, it.high])
    ))
}

/// Why there is no number.
fn reason(none: &Measured) -> String {
    match none {
        Measured::Value { value, .. } => value.clone(),
        Measured::NotMeasured(why) => format!("not measured: {}", shown(why)),
        Measured::NotApplicable(why) => format!("not applicable: {}", shown(why)),
    }
}

/// Text of the data or of a record, on one line and without markup.
fn shown(text: &str) -> String {
    escaped(&visible(text))
}

fn whole(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn share(n: u64, total: u64) -> String {
    if total == 0 { "not applicable".to_owned() } else { percent(n as f64 / total as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn audit() -> Audit {
        Audit::from_report(&testing::fixture().report()).unwrap()
    }

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let card = format!("---\nlicense: mit\n---\n# Mine\r\n\n {BEGIN}\nold\n{END}\ttail \n\n the end");
        let alone = merged(&card, "x").unwrap_err();
        assert!(matches!(alone, BadMarks::Alone { line: 6, .. }), "{alone}");
        let card = card.replace("\ttail ", "  ").replace('\r', "");
        let new = merged(&card, &format!("{BEGIN}\nnew\n{END}\n")).unwrap();
        assert_eq!(new, card.replace("old", "new"));
        assert_eq!(merged(&new, &format!("{BEGIN}\nnew\n{END}\n")).unwrap(), new);
    }

    #[test]
    fn without_marks_the_part_is_appended_with_the_line_ends_of_the_card() {
        assert_eq!(merged("a\r\nb", "x\ny\n").unwrap(), "a\r\nb\r\n\r\nx\r\ny\r\n");
        assert_eq!(merged("a\n", "x\n").unwrap(), "a\n\nx\n");
        assert_eq!(merged("", "x\n").unwrap(), "x\n");
    }

    #[test]
    fn marks_that_are_no_pair_are_named_with_their_lines() {
        let error = |card: &str| merged(card, "x").unwrap_err().to_string();
        assert!(
            error(&format!("a\n{BEGIN}\n"))
                .starts_with("line 2 is `<!-- tamis:begin -->`, and no line `<!-- tamis:end")
        );
        assert!(error(&format!("{END}\n{BEGIN}\n")).starts_with("line 2 is"));
        assert!(error(&format!("{END}\n")).contains("stands before it"));
        assert!(error(&format!("{BEGIN}\n{END}\nb\n{BEGIN}\n{END}\n")).starts_with("lines 1 and 4 are both"));
    }

    #[test]
    fn what_did_not_run_has_a_reason_and_no_zero() {
        let mut audit = audit();
        let check = audit.checks.iter_mut().find(|it| it.outcome == CheckOutcome::Skipped).unwrap();
        check.reason = Some("no | labels <b>".to_owned());
        let id = check.id.clone();
        let block = block(&audit, 5);
        assert!(block.contains(&format!("- {id} skipped: no \\| labels &lt;b&gt;\n")), "{block}");
        assert!(!block.contains(&format!("| {id} |")), "{block}");
    }

    #[test]
    fn names_of_the_data_are_no_markup() {
        let mut audit = audit();
        audit.dataset.labels[0].name = format!("{END}<script>|`");
        let card = card(&audit, 5);
        assert!(!card.contains("<script>"), "{card}");
        assert_eq!(card.matches(END).count(), 1);
    }

    #[test]
    fn equal_shares_are_no_distance() {
        let mut audit = audit();
        audit.dataset.labels.iter_mut().for_each(|it| it.samples = 4);
        let value =
            |audit: &Audit| measures(audit, 5).into_iter().find(|it| it.iso.starts_with("Bal-ML-8")).unwrap().value;
        assert!(matches!(value(&audit), Measured::Value { value, .. } if value == "0 bits"));
        audit.dataset.labels[0].samples = 0;
        assert_eq!(audit.dataset.labels.len(), 2);
        assert!(matches!(value(&audit), Measured::Value { value, .. } if value == "1 bits"));
        audit.dataset.labels.clear();
        assert!(matches!(value(&audit), Measured::NotApplicable(_)));
    }
}
