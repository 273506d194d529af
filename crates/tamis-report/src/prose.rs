//! Numbers, values and suggestions in words, the same on the terminal and in HTML.
//!
//! What comes from the data (keys, labels, paths) is escaped here.

use std::borrow::Cow;
use std::collections::BTreeSet;

use tamis_core::report::wilson_interval;
pub(crate) use tamis_core::words::{count, counted};
use tamis_core::{
    CheckResult, Dataset, Finding, ImageFacts, Report, SampleId, Severity, SplitId, Standing, Suggestion, Value,
};

use crate::snippet::visible;

/// Decimals of a percentage, at most.
const MAX_DIGITS: usize = 6;

/// Names listed before "and 3 more".
const MAX_NAMES: usize = 4;

/// Bytes for people: `812 bytes`, `9.5 MiB`.
pub(crate) fn bytes(n: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let exact = n as f64;
    match n {
        0..1_024 => format!("{n} bytes"),
        1_024..1_048_576 => format!("{:.1} KiB", exact / 1_024.0),
        _ => format!("{:.1} MiB", exact / 1_048_576.0),
    }
}

/// `hits / total`; `None` for an empty population.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn rate(hits: usize, total: usize) -> Option<f64> {
    (0 < total).then(|| hits as f64 / total as f64)
}

/// A rate as a percentage with one decimal; what is not zero never looks like zero.
pub(crate) fn percent(rate: f64) -> String {
    if 0.0 < rate && rate < 0.0005 {
        return "<0.1 %".to_owned();
    }
    if (0.9995..1.0).contains(&rate) {
        return ">99.9 %".to_owned();
    }
    format!("{:.1} %", rate * 100.0)
}

/// An interval of rates: `1.5 – 35.4 %`, with as many decimals as its ends need to look like neither all, none nor each other.
pub(crate) fn interval([low, high]: [f64; 2]) -> String {
    let digits = |rate: f64, n: usize| format!("{:.n$}", rate * 100.0);
    let is_told = |n: usize| {
        let is_other = |rate: f64, end: f64| rate == end || digits(rate, n) != digits(end, n);
        [low, high].iter().all(|it| is_other(*it, 0.0) && is_other(*it, 1.0)) && is_other(low, high)
    };
    let n = (1..MAX_DIGITS).find(|n| is_told(*n)).unwrap_or(MAX_DIGITS);
    format!("{} – {} %", digits(low, n), digits(high, n))
}

/// Wilson's 95 % interval of a rate; empty for an empty population.
pub(crate) fn wilson(hits: usize, total: usize) -> String {
    wilson_interval(hits, total).map(|(low, high)| interval([low, high])).unwrap_or_default()
}

/// A number with at most four decimals, more where it would otherwise look whole.
pub(crate) fn number(value: f64) -> String {
    let trim = |text: String| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    if value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    let short = format!("{value:.4}");
    let rounded: f64 = short.parse().unwrap_or(value);
    if rounded.fract() != 0.0 {
        return trim(short);
    }
    if 1e-8 <= (value - rounded).abs() {
        return trim(format!("{value:.8}"));
    }
    format!("{value:e}")
}

/// A value of evidence on one line.
pub(crate) fn value(report: &Report<'_>, value: &Value) -> String {
    let nested = |it: &Value| self::value(report, it);
    match value {
        Value::Int(number) => number.to_string(),
        Value::Float(float) => number(*float),
        Value::Text(text) => visible(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Sample(id) => key(report.dataset, *id),
        Value::Words(id, first, n) => quoted(&report.words(*id, *first, *n)),
        Value::Quote(text) => quoted(text),
        Value::List(values) => {
            let shown: Vec<String> = values.iter().take(MAX_NAMES).map(nested).collect();
            with_more(shown.join("; "), values.len(), "; ")
        }
        Value::Map(evidence) => {
            // A name and how many of it need no more words.
            if let [(_, Value::Text(name)), (_, Value::Int(n))] = evidence.0.as_slice() {
                return format!("{} {n}", visible(name));
            }
            let pair = |(name, it): &(Cow<'static, str>, Value)| format!("{} {}", words(name), nested(it));
            evidence.0.iter().map(pair).collect::<Vec<_>>().join(", ")
        }
    }
}

/// A passage on one line.
fn quoted(text: &str) -> String {
    format!("“{}”", visible(&text.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// A name of evidence or of a fact as words: `self_confidence` is `self confidence`.
pub(crate) fn words(name: &str) -> String {
    name.replace(['_', '-'], " ")
}

/// The key of a sample.
pub(crate) fn key(dataset: &Dataset, id: SampleId) -> String {
    visible(dataset.key(id))
}

/// Where a sample stands, unless its key says that already.
pub(crate) fn place_beyond_key(dataset: &Dataset, id: SampleId) -> Option<String> {
    let place = place(dataset, id);
    (!place.ends_with(&key(dataset, id))).then_some(place)
}

/// File and row of a sample: `mails.jsonl:17`.
pub(crate) fn place(dataset: &Dataset, id: SampleId) -> String {
    let file = visible(&dataset.path(id).display().to_string());
    match dataset.sample(id).origin.row {
        Some(row) => format!("{file}:{row}"),
        None => file,
    }
}

/// A split and, where its name does not say so, what it is for.
pub(crate) fn split(dataset: &Dataset, split: SplitId) -> String {
    let (name, role) = (visible(&dataset.split_names()[split.0 as usize]), dataset.split_role(split).to_string());
    if name == role { name } else { format!("{name} (as {role})") }
}

/// What could be done about one finding, as a sentence.
pub(crate) fn suggestion(dataset: &Dataset, suggestion: &Suggestion) -> String {
    match suggestion {
        Suggestion::Drop(ids) => format!("Drop {}.", keys(dataset, ids)),
        Suggestion::Relabel(id, label) => {
            format!("Relabel {} as {}.", key(dataset, *id), visible(&dataset.label_names()[label.0 as usize]))
        }
        Suggestion::MoveSplit(ids, to) => {
            format!("Move {} to {}.", keys(dataset, ids), visible(&dataset.split_names()[to.0 as usize]))
        }
        _ => "Look at it and decide.".to_owned(),
    }
}

/// What could be done about one finding, where that is more than to look at it.
pub(crate) fn remedy(dataset: &Dataset, finding: &Finding) -> Option<String> {
    match finding.suggestion.as_ref()? {
        Suggestion::Review => None,
        other => Some(suggestion(dataset, other)),
    }
}

/// What could be done about all findings of a check: `drop 3 samples, review 1 finding.`; `None` where nothing is suggested.
pub(crate) fn suggestions<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Option<String> {
    let (mut drop, mut relabel, mut moved) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut n_review = 0;
    for finding in findings {
        match &finding.suggestion {
            Some(Suggestion::Drop(ids)) => drop.extend(ids),
            Some(Suggestion::Relabel(id, _)) => relabel.extend([id]),
            Some(Suggestion::MoveSplit(ids, _)) => moved.extend(ids),
            Some(_) => n_review += 1,
            None => {}
        }
    }
    let samples = |verb: &str, ids: &BTreeSet<&SampleId>| {
        (!ids.is_empty()).then(|| format!("{verb} {}", counted(ids.len(), "sample")))
    };
    let review = (0 < n_review).then(|| format!("review {}", counted(n_review, "finding")));
    let parts = [samples("drop", &drop), samples("relabel", &relabel), samples("move", &moved), review];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("{}.", parts.join(", ")))
}

/// How many findings of which severity, worst first: `high 2, medium 1`; empty without findings.
pub(crate) fn severities<'a>(findings: impl Iterator<Item = &'a Finding>) -> String {
    let mut counts = [0; Severity::ALL.len()];
    for finding in findings {
        counts[finding.severity as usize] += 1;
    }
    let found = Severity::ALL.into_iter().rev().filter(|it| 0 < counts[*it as usize]);
    found.map(|it| format!("{} {}", it.id(), count(counts[it as usize]))).collect::<Vec<_>>().join(", ")
}

/// Why a finding does not count; `None` where it does.
pub(crate) fn standing(standing: &Standing) -> Option<String> {
    match &standing.suppressed {
        Some(it) => {
            let until = it.expires.as_ref().map(|day| format!(" until {}", visible(day))).unwrap_or_default();
            Some(format!("suppressed{until}: {}", visible(&it.reason)))
        }
        None => (standing.is_known == Some(true)).then(|| "known from the baseline".to_owned()),
    }
}

/// The number that decided and where it comes from: `0.93 (the model's manifest)`; where no number did, what else:
/// `a fact: equal hashes`. `None` where the check says neither.
pub(crate) fn threshold(result: &CheckResult) -> Option<String> {
    let source = visible(&result.threshold_source);
    match result.threshold.map(number) {
        Some(number) if source.is_empty() => Some(number),
        Some(number) => Some(format!("{number} ({source})")),
        None => (!source.is_empty()).then_some(source),
    }
}

/// The further counts of a check: `groups 3, redundant 5`; empty where there are none.
pub(crate) fn facts(result: &CheckResult) -> String {
    let fact = |(name, n): &(Cow<'static, str>, usize)| format!("{} {}", words(name), count(*n));
    result.facts.iter().map(fact).collect::<Vec<_>>().join(", ")
}

/// What a picture is: size, mode and kind of file.
pub(crate) fn picture(facts: &ImageFacts) -> String {
    let ImageFacts { width, height, mode, format, .. } = facts;
    let note = facts.note.as_ref().map_or_else(String::new, |note| format!(", {}", visible(note)));
    format!("{width} × {height}, {}, {format}{note}", mode.id())
}

/// Upper-cases the first letter.
pub(crate) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn keys(dataset: &Dataset, ids: &[SampleId]) -> String {
    let shown: Vec<String> = ids.iter().take(MAX_NAMES).map(|id| key(dataset, *id)).collect();
    with_more(shown.join(", "), ids.len(), " ")
}

fn with_more(shown: String, n: usize, separator: &str) -> String {
    if n <= MAX_NAMES {
        return shown;
    }
    format!("{shown}{separator}and {} more", count(n - MAX_NAMES))
}

#[cfg(test)]
mod tests {
    use tamis_core::{Evidence, LabelId};

    use super::*;
    use crate::testing;

    #[test]
    fn counts_have_commas_and_nouns_agree() {
        assert_eq!([count(0), count(999), count(1_000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([bytes(812), bytes(10_000_000)], ["812 bytes", "9.5 MiB"]);
    }

    #[test]
    fn small_rates_do_not_look_like_none_and_large_ones_not_like_all() {
        assert_eq!([percent(0.0), percent(0.0001), percent(0.0833)], ["0.0 %", "<0.1 %", "8.3 %"]);
        assert_eq!([percent(0.99999), percent(1.0)], [">99.9 %", "100.0 %"]);
    }

    #[test]
    fn intervals_hold_what_they_are_about() {
        assert_eq!(interval([0.0153, 0.3539]), "1.5 – 35.4 %");
        assert_eq!(interval([0.0, 0.0]), "0.0 – 0.0 %");
        assert_eq!(wilson(1, 20_001), "0.001 – 0.028 %");
        assert_eq!(wilson(20_000, 20_001), "99.972 – 99.999 %");
        assert_eq!(interval([0.5, 0.50004]), "50.000 – 50.004 %");
    }

    #[test]
    fn numbers_do_not_round_to_a_whole() {
        assert_eq!([number(0.93), number(3.0), number(0.12345)], ["0.93", "3", "0.1235"]);
        assert_eq!([number(0.99999), number(0.00001), number(1e-12)], ["0.99999", "0.00001", "1e-12"]);
    }

    #[test]
    fn suggestions_are_sentences() {
        let fixture = testing::fixture();
        let ids: Vec<SampleId> = fixture.dataset.ids().collect();
        let said = |it: &Suggestion| suggestion(&fixture.dataset, it);
        assert_eq!(said(&Suggestion::Drop(ids[..1].to_vec())), "Drop m1.");
        assert_eq!(said(&Suggestion::Drop(ids[..6].to_vec())), "Drop m1, m2, m3, m4 and 2 more.");
        assert_eq!(said(&Suggestion::Relabel(ids[0], LabelId(1))), "Relabel m1 as ham.");
        assert_eq!(said(&Suggestion::MoveSplit(ids[..2].to_vec(), SplitId(1))), "Move m1, m2 to test.");
        assert_eq!(said(&Suggestion::Review), "Look at it and decide.");
    }

    #[test]
    fn nested_evidence_reads_as_words() {
        let fixture = testing::fixture();
        let id = fixture.dataset.ids().next().unwrap();
        let inner = Evidence::new().with("key", id).with("cosine", 0.5_f32);
        let counted = Evidence::new().with("label", "spam").with("samples", 3_usize);
        let list = Value::from(vec![Value::from(inner), Value::from(counted), Value::from(true)]);
        assert_eq!(value(&fixture.report(), &list), "key m1, cosine 0.5; spam 3; yes");
    }
}
