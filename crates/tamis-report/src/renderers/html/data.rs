//! What the page's script works on: findings with what they show, as one JSON object within a budget of bytes.
//!
//! Findings are taken worst first, over all checks: each with contents where these fit into what is left for contents, else
//! without, else not at all. The map gets what the findings leave. Texts and pictures stand there once, however many findings show them. Names of the
//! data (keys, labels, splits) are given as they are, because decisions name them; the script makes them visible.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use tamis_core::{Contents, Finding, IdentityLevel, ImageFacts, Report, SampleId, Standing, State, Suggestion, Value};

use super::checks::CheckData;
use super::inert::{cost, cost_of, inert, json};
use super::map::MapData;
use super::redacted::without_quotes;
use crate::exhibit::{Exhibit, Exhibited, Layout, Passage};
use crate::snippet::visible;
use crate::wire::v1::{self, NotFinite};
use crate::{RenderOptions, prose};

/// Samples shown of a finding, where they are texts.
const MAX_TEXTS: usize = 6;
/// The same where they are pictures, which take less room.
const MAX_PICTURES: usize = 12;
/// Characters of a text on the page.
pub(super) const MAX_CHARS: usize = 2_000;
/// Longer side up to which a picture is enlarged without smoothing.
const TINY: u32 = 96;
/// Part of the room for findings that their contents may take, in percent; the rest is for findings without.
const CONTENTS_PERCENT: usize = 60;
/// What an item takes beside its text: commas, and what grows with the number of items.
const SEPARATORS: usize = 16;
/// Room in bytes below which no further finding, or no further content, is tried.
const MIN_ROOM: usize = 4_000;
/// Part of the budget that the map may take, in percent; its contents also get what the findings leave.
const MAP_PERCENT: usize = 25;
/// Samples that can be decided about at once on the page; above that `tamis apply --suggest` decides.
const MAX_DECIDED: usize = 1_000;

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Data<'a> {
    hash: String,
    modality: &'static str,
    redacted: bool,
    splits: &'a [String],
    labels: &'a [String],
    checks: Vec<CheckData>,
    findings: Vec<FindingData>,
    samples: Vec<SampleData<'a>>,
    texts: Vec<String>,
    pictures: Vec<String>,
    map: Option<MapData<'a>>,
    decisions: Option<&'a str>,
}

/// A finding.
#[derive(Debug, Default, Serialize)]
struct FindingData {
    check: usize,
    severity: &'static str,
    confidence: &'static str,
    score: f64,
    message: String,
    fingerprint: String,
    shown: Vec<Shown>,
    #[serde(skip_serializing_if = "is_zero")]
    hidden: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<Change>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<Remedy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<String>,
    /// Why it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    suppressed: bool,
}

/// A sample of a finding.
#[derive(Debug, Default, Serialize)]
struct Shown {
    sample: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    facts: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
    /// Words that it has in common with the sample it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    common: Option<String>,
    /// What was done to the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    transformation: Option<String>,
}

/// A label that should perhaps be another, with probabilities.
#[derive(Debug, Serialize)]
struct Change {
    given: (String, Option<f64>),
    suggested: (String, Option<f64>),
    /// Place of the suggested label.
    label: Option<usize>,
}

/// What could be done, in the words of a decision.
#[derive(Debug, Serialize)]
struct Remedy {
    action: &'static str,
    samples: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<usize>,
}

/// A sample.
#[derive(Debug, Serialize)]
struct SampleData<'a> {
    id: u32,
    key: &'a str,
    split: usize,
    label: Option<usize>,
    place: String,
    identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    tiny: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Puts together what the script works on, in at most `budget` bytes beside what each check takes; `hash` is the dataset's.
///
/// # Errors
/// When a finding holds a number that is not finite.
pub(super) fn data(
    report: &Report<'_>,
    options: &RenderOptions,
    hash: String,
    budget: usize,
) -> Result<String, NotFinite> {
    let dataset = report.dataset;
    let decisions = options.decisions.as_ref().map_or(0, cost);
    let names = cost(&dataset.split_names()) + cost(&dataset.label_names());
    let mut checks: Vec<CheckData> = report.checks.iter().map(|it| CheckData::new(report, it)).collect();
    let budget = budget.saturating_sub(decisions + names + cost_of(&checks));
    let mut map = MapData::new(report, options.redact, budget / 100 * MAP_PERCENT);
    let mut builder = Builder::new(report, options.redact, budget.saturating_sub(map.as_ref().map_or(0, cost)));
    let fingerprints: Vec<String> = v1::fingerprints(report).collect();
    for (place, check, finding) in worst_first(report) {
        v1::finite(report.checks[check].info.id, "score", finding.score)?;
        match builder.add(check, finding, &fingerprints[place], report.standing(place)) {
            Added::Whole => {}
            Added::Bare => checks[check].n_bare += 1,
            Added::Not => checks[check].n_more += 1,
        }
    }
    // By check, and in the order of the check.
    builder.findings.sort_by_key(|(rank, _)| *rank);
    if let Some(map) = &mut map {
        map.add_contents(report, builder.left);
    }
    let data = Data {
        hash,
        modality: report.contents.modality().id(),
        redacted: options.redact,
        splits: dataset.split_names(),
        labels: dataset.label_names(),
        checks,
        findings: builder.findings.into_iter().map(|(_, it)| it).collect(),
        samples: builder.samples,
        texts: builder.texts,
        pictures: builder.pictures,
        map,
        decisions: options.decisions.as_deref(),
    };
    Ok(inert(&json(&data)))
}

/// All findings with their place in the report and the place of their check, worst first: by severity, then confidence, then
/// their rank within the check.
fn worst_first<'a>(report: &'a Report<'_>) -> Vec<(usize, usize, &'a Finding)> {
    let mut all = Vec::new();
    let mut ranks = Vec::new();
    for (check, it) in report.checks.iter().enumerate() {
        for (rank, finding) in it.outcome.findings().iter().enumerate() {
            ranks.push(rank);
            all.push((all.len(), check, finding));
        }
    }
    all.sort_by_key(|(place, check, it)| (std::cmp::Reverse((it.severity, it.confidence)), ranks[*place], *check));
    all
}

/// How much of a finding found room.
enum Added {
    Whole,
    Bare,
    Not,
}

/// Collects findings, and what they show, once.
struct Builder<'a> {
    report: &'a Report<'a>,
    redact: bool,
    /// Bytes left in all, and for contents.
    left: usize,
    left_for_contents: usize,
    findings: Vec<((usize, usize), FindingData)>,
    samples: Vec<SampleData<'a>>,
    texts: Vec<String>,
    pictures: Vec<String>,
    sample_of: BTreeMap<SampleId, usize>,
    text_of: BTreeMap<String, usize>,
    label_of: BTreeMap<&'a str, usize>,
    n_of_check: Vec<usize>,
}

impl<'a> Builder<'a> {
    fn new(report: &'a Report<'a>, redact: bool, left: usize) -> Self {
        Self {
            report,
            redact,
            left,
            left_for_contents: left / 100 * CONTENTS_PERCENT,
            findings: Vec::new(),
            samples: Vec::new(),
            texts: Vec::new(),
            pictures: Vec::new(),
            sample_of: BTreeMap::new(),
            text_of: BTreeMap::new(),
            label_of: report.dataset.label_names().iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect(),
            n_of_check: vec![0; report.checks.len()],
        }
    }

    /// Adds a finding where it fits. What does not fit after all is forgotten.
    fn add(&mut self, check: usize, finding: &Finding, fingerprint: &str, standing: &Standing) -> Added {
        let at = (self.samples.len(), self.texts.len(), self.pictures.len());
        for bare in [false, true] {
            if self.left < MIN_ROOM || (!bare && self.left_for_contents < MIN_ROOM) {
                continue;
            }
            let data = FindingData {
                fingerprint: fingerprint.to_owned(),
                standing: prose::standing(standing),
                suppressed: standing.suppressed.is_some(),
                ..self.finding(check, finding, bare)
            };
            let contents = cost_of(&self.texts[at.1..]) + cost_of(&self.pictures[at.2..]);
            let all = cost(&data) + SEPARATORS + cost_of(&self.samples[at.0..]) + contents;
            if all <= self.left && (bare || contents <= self.left_for_contents) {
                self.left -= all;
                self.left_for_contents -= contents.min(self.left_for_contents);
                let rank = self.n_of_check[check];
                self.n_of_check[check] += 1;
                self.findings.push(((check, rank), data));
                return if bare { Added::Bare } else { Added::Whole };
            }
            self.forget(at);
        }
        Added::Not
    }

    fn forget(&mut self, (samples, texts, pictures): (usize, usize, usize)) {
        self.samples.truncate(samples);
        self.texts.truncate(texts);
        self.pictures.truncate(pictures);
        for sample in &mut self.samples {
            sample.picture = sample.picture.filter(|place| *place < pictures);
        }
        self.sample_of.retain(|_, place| *place < samples);
        self.text_of.retain(|_, place| *place < texts);
    }

    fn finding(&mut self, check: usize, finding: &Finding, bare: bool) -> FindingData {
        let report = self.report;
        // What the reader of a file says of it may quote it.
        let is_from_reader = self.redact && finding.evidence.get("reason").is_some();
        let unquoted;
        let finding = if self.redact {
            unquoted = Finding { evidence: without_quotes(&finding.evidence), ..finding.clone() };
            &unquoted
        } else {
            finding
        };
        let max = match report.contents {
            Contents::Texts(_) => MAX_TEXTS,
            Contents::Images(_) => MAX_PICTURES,
        };
        let exhibit = Exhibit::new(report, finding, max);
        let passages: Vec<Option<Passage>> = match bare {
            true => exhibit.samples.iter().map(|_| None).collect(),
            false => exhibit.passages(report, Layout::Block { max_chars: MAX_CHARS }).into_iter().map(Some).collect(),
        };
        let cards = exhibit.samples.iter().zip(passages);
        let shown: Vec<Shown> = cards.map(|(it, passage)| self.shown(&exhibit, it, passage)).collect();
        let change = Change::new(finding, &self.label_of);
        let told = |name: &str| change.is_some() && is_change(name);
        let evidence = exhibit.rest.iter().filter(|(name, _)| !told(name));
        let evidence = evidence.map(|(name, value)| {
            let text = prose::value(report, value);
            (prose::words(name), if *name == "direction" { text.replace("->", "→") } else { text })
        });
        let message = match is_from_reader {
            true => prose::capitalized(report.checks[check].info.summary),
            false => visible(&finding.message),
        };
        FindingData {
            check,
            severity: finding.severity.id(),
            confidence: finding.confidence.id(),
            score: finding.score,
            message,
            shown,
            hidden: exhibit.n_hidden,
            evidence: evidence.filter(|(_, value)| value != NO_WORDS).collect(),
            change,
            remedy: finding.suggestion.as_ref().and_then(|it| self.remedy(it)),
            said: said(report, finding),
            ..FindingData::default()
        }
    }

    fn shown(&mut self, exhibit: &Exhibit<'_>, exhibited: &Exhibited<'_>, passage: Option<Passage>) -> Shown {
        let dataset = self.report.dataset;
        let sample = self.sample(exhibited.id);
        let mut shown =
            Shown { sample, roles: exhibited.roles.iter().map(|it| prose::words(it)).collect(), ..Shown::default() };
        for (name, value) in &exhibited.facts {
            match *name {
                "common" => shown.common = Some(value.clone()).filter(|it| it != NO_WORDS),
                "transformation" => shown.transformation = Some(value.clone()),
                "split" => {}
                _ => shown.facts.push((prose::words(name), value.clone())),
            }
        }
        shown.remark = match passage {
            None => Some("Its content did not fit into this page.".to_owned()),
            Some(Passage::Text { text, cut_from }) => {
                shown.text = Some(self.text(text));
                cut_from.map(|size| format!("A part of {}.", prose::bytes(size)))
            }
            Some(Passage::Picture { facts, thumbnail }) => {
                self.picture(sample, &facts, thumbnail.as_deref());
                (thumbnail.is_none() && !self.redact).then(|| "The picture can no longer be read back.".to_owned())
            }
            Some(Passage::SameAs(idx)) => {
                Some(format!("The same bytes as {}.", prose::key(dataset, exhibit.samples[idx].id)))
            }
            Some(Passage::Nothing(why)) if !self.redact => Some(format!("{}.", prose::capitalized(&why))),
            // Why something was not readable may quote it.
            Some(Passage::Nothing(_)) => match dataset.sample(exhibited.id).state {
                State::Ok => None,
                State::Empty => Some("Nothing but white space.".to_owned()),
                State::Unreadable(_) => Some("Not readable.".to_owned()),
            },
        };
        shown
    }

    /// The place of a sample in the list.
    fn sample(&mut self, id: SampleId) -> usize {
        if let Some(place) = self.sample_of.get(&id) {
            return *place;
        }
        let dataset = self.report.dataset;
        let sample = dataset.sample(id);
        self.samples.push(SampleData {
            id: id.0,
            key: dataset.key(id),
            split: usize::from(sample.split.0),
            label: sample.label.map(|it| it.0 as usize),
            place: prose::place(dataset, id),
            identity: self.report.fingerprints.digest(id, IdentityLevel::Bytes).map(|it| it.to_hex()),
            picture: None,
            caption: None,
            tiny: false,
        });
        self.sample_of.insert(id, self.samples.len() - 1);
        self.samples.len() - 1
    }

    fn text(&mut self, text: String) -> usize {
        if let Some(place) = self.text_of.get(&text) {
            return *place;
        }
        self.texts.push(text.clone());
        self.text_of.insert(text, self.texts.len() - 1);
        self.texts.len() - 1
    }

    fn picture(&mut self, sample: usize, facts: &ImageFacts, thumbnail: Option<&[u8]>) {
        let sample = &mut self.samples[sample];
        sample.caption = Some(prose::picture(facts));
        if sample.picture.is_some() {
            return;
        }
        let Some(thumbnail) = thumbnail else { return };
        sample.tiny = facts.width.max(facts.height) <= TINY;
        sample.picture = Some(self.pictures.len());
        self.pictures.push(picture_url(thumbnail));
    }

    fn remedy(&mut self, suggestion: &Suggestion) -> Option<Remedy> {
        let remedy = |action, samples| Remedy { action, samples, label: None, split: None };
        if MAX_DECIDED < changed(suggestion) {
            return None;
        }
        let mut samples = |ids: &[SampleId]| ids.iter().map(|id| self.sample(*id)).collect();
        match suggestion {
            Suggestion::Drop(ids) => Some(remedy("drop", samples(ids))),
            Suggestion::Relabel(id, label) => {
                Some(Remedy { label: Some(label.0 as usize), ..remedy("relabel", samples(&[*id])) })
            }
            Suggestion::MoveSplit(ids, split) => {
                Some(Remedy { split: Some(usize::from(split.0)), ..remedy("move-split", samples(ids)) })
            }
            _ => None,
        }
    }
}

/// Number of samples that a suggestion would change.
fn changed(suggestion: &Suggestion) -> usize {
    match suggestion {
        Suggestion::Drop(ids) | Suggestion::MoveSplit(ids, _) => ids.len(),
        Suggestion::Relabel(..) => 1,
        _ => 0,
    }
}

/// What could be done, as sentences.
fn said(report: &Report<'_>, finding: &Finding) -> Option<String> {
    let said = prose::remedy(report.dataset, finding)?;
    let n = finding.suggestion.as_ref().map_or(0, changed);
    if n <= MAX_DECIDED {
        return Some(said);
    }
    let n = prose::count(n);
    Some(format!("{said} {n} samples are too many to decide about on a page: decide with `tamis apply --suggest`."))
}

/// How words that cannot be read back are said.
const NO_WORDS: &str = "“”";

/// A picture as the page carries it.
pub(super) fn picture_url(file: &[u8]) -> String {
    let kind = if file.starts_with(b"\x89PNG") { "png" } else { "jpeg" };
    format!("data:image/{kind};base64,{}", BASE64_STANDARD.encode(file))
}

/// Whether evidence of this name is told by a [`Change`].
fn is_change(name: &str) -> bool {
    ["given", "suggested", "given_probability", "suggested_probability"].contains(&name)
}

impl Change {
    /// `None` for evidence that does not name a given and a suggested label.
    fn new(finding: &Finding, label_of: &BTreeMap<&str, usize>) -> Option<Self> {
        let named = |name: &str| match finding.evidence.get(name) {
            Some(Value::Text(label)) => Some(label.as_str()),
            _ => None,
        };
        let rated = |label: &str, probability: &str| {
            let label = named(label)?;
            let probability = match finding.evidence.get(probability) {
                Some(Value::Float(it)) => Some(*it),
                _ => None,
            };
            Some((visible(label), probability))
        };
        Some(Self {
            given: rated("given", "given_probability")?,
            suggested: rated("suggested", "suggested_probability")?,
            label: label_of.get(named("suggested")?).copied(),
        })
    }
}
