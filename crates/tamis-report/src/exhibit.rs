//! Which samples stand for a finding in front of a person, and what is said next to each.
//!
//! Nothing here knows a check. A sample that the evidence names, alone or in a list, is shown even where the finding is
//! not about it (the nearest neighbor of an outlier), under the name it has there; entries of a list that name a sample by
//! `key` speak about that sample, so the rest of the entry (a cosine, a rung) stands next to it. What is left of the
//! evidence is shown as it is, but for what says nothing more: flags that are not set, and sentences that the message has
//! already.

use std::collections::{BTreeMap, BTreeSet};

use tamis_core::{
    Contents, Evidence, Finding, IdentityLevel, ImageFacts, ImageSource, Report, SampleId, State, TextSource, Value,
};

use crate::{prose, snippet};

/// A finding as it is shown.
#[derive(Debug)]
pub(crate) struct Exhibit<'a> {
    /// The samples shown, the one to act on first.
    pub(crate) samples: Vec<Exhibited<'a>>,
    /// How many samples are not shown.
    pub(crate) n_hidden: usize,
    /// Evidence that is not about one of the samples, in its order.
    pub(crate) rest: Vec<(&'a str, &'a Value)>,
    message: &'a str,
}

/// A sample as it is shown.
#[derive(Debug)]
pub(crate) struct Exhibited<'a> {
    /// The sample.
    pub(crate) id: SampleId,
    /// What the evidence calls it: `keep`, `nearest`.
    pub(crate) roles: Vec<&'a str>,
    /// What the evidence says about it, by name.
    pub(crate) facts: Vec<(&'a str, String)>,
}

/// What can be shown of a sample's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Its text, escaped.
    Text {
        /// The part that is shown.
        text: String,
        /// Size of the whole text, where only a part is shown.
        cut_from: Option<u64>,
    },
    /// A picture.
    Picture {
        /// What is known of it.
        facts: Box<ImageFacts>,
        /// A small version as a PNG or JPEG file; `None` on one line, and where it can no longer be read back.
        thumbnail: Option<Vec<u8>>,
    },
    /// It has the same bytes as a sample shown before, by its index.
    SameAs(usize),
    /// There is none, and why.
    Nothing(String),
}

/// How texts are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    /// On one line, white space folded.
    Line {
        /// Characters of each text.
        max_chars: usize,
    },
    /// As they are, over several lines.
    Block {
        /// Characters of each text.
        max_chars: usize,
    },
}

/// Bytes read of a text for each character shown of it: enough to find a difference that comes late.
const READ_AHEAD: usize = 16;

impl<'a> Exhibit<'a> {
    /// Chooses at most `max_samples` samples that stand for `finding`.
    pub(crate) fn new(report: &Report<'_>, finding: &'a Finding, max_samples: usize) -> Self {
        let mut roles: BTreeMap<SampleId, Vec<&'a str>> = BTreeMap::new();
        let mut facts: BTreeMap<SampleId, Vec<(&'a str, String)>> = BTreeMap::new();
        let mut rest = Vec::new();
        let mut named = Vec::new();
        let mut listed = Vec::new();
        for (name, value) in &finding.evidence.0 {
            if let Some(ids) = samples(value) {
                for id in &ids {
                    roles.entry(*id).or_default().push(&**name);
                }
                named.extend(ids);
            } else if let Some(entries) = entries_by_sample(value) {
                for (id, entry) in entries {
                    let others = entry.0.iter().filter(|(name, _)| *name != "key");
                    let others = others.map(|(name, value)| (&**name, prose::value(report, value)));
                    facts.entry(id).or_default().extend(others);
                    listed.push(id);
                }
            } else if !says_nothing(value, &finding.message) {
                rest.push((&**name, value));
            }
        }
        let (first, others) = finding.samples.split_at(finding.samples.len().min(1));
        let mut seen = BTreeSet::new();
        let all = [first, &named, others, &listed].into_iter().flatten().copied();
        let all: Vec<SampleId> = all.filter(|id| seen.insert(*id)).collect();
        let exhibited = |id: &SampleId| Exhibited {
            id: *id,
            roles: roles.remove(id).unwrap_or_default(),
            facts: facts.remove(id).unwrap_or_default(),
        };
        let samples: Vec<Exhibited<'a>> = all.iter().take(max_samples).map(exhibited).collect();
        Self { n_hidden: all.len() - samples.len(), samples, rest, message: &finding.message }
    }

    /// Reads the content of the samples shown, one entry for each.
    pub(crate) fn passages(&self, report: &Report<'_>, layout: Layout) -> Vec<Passage> {
        match report.contents {
            Contents::Texts(texts) => self.texts(report, texts, layout),
            Contents::Images(images) => {
                self.samples.iter().map(|it| self.picture(report, images, layout, it.id)).collect()
            }
        }
    }

    fn picture(&self, report: &Report<'_>, images: &dyn ImageSource, layout: Layout, id: SampleId) -> Passage {
        if let Some(instead) = self.unreadable(report, id) {
            return instead;
        }
        match images.facts(id) {
            // A report about data that has gone in the meantime is still a report.
            Some(facts) => {
                let thumbnail = match layout {
                    Layout::Line { .. } => None,
                    Layout::Block { .. } => images.thumbnail(id).unwrap_or(None),
                };
                Passage::Picture { facts: Box::new(facts.clone()), thumbnail }
            }
            None => Passage::Nothing("not readable".to_owned()),
        }
    }

    fn texts(&self, report: &Report<'_>, source: &dyn TextSource, layout: Layout) -> Vec<Passage> {
        let (max_chars, tidy): (usize, fn(&str) -> String) = match layout {
            Layout::Line { max_chars } => (max_chars, snippet::one_line),
            Layout::Block { max_chars } => (max_chars, snippet::lines),
        };
        let max_bytes = max_chars * READ_AHEAD;
        let mut passages = Vec::new();
        let mut texts = Vec::new();
        for idx in 0..self.samples.len() {
            match self.raw(report, source, idx, max_bytes) {
                Ok(text) => {
                    texts.push(tidy(&text));
                    passages.push(None);
                }
                Err(instead) => passages.push(Some(instead)),
            }
        }
        let mut excerpts = snippet::excerpts(&texts, max_chars).into_iter();
        let samples = self.samples.iter().zip(passages);
        let passage = |(sample, instead): (&Exhibited<'_>, Option<Passage>)| {
            instead.unwrap_or_else(|| {
                let excerpt = excerpts.next().expect("because every sample with a text has an excerpt");
                let size = source.text_bytes(sample.id);
                let is_whole = excerpt.from_start && excerpt.to_end && size <= max_bytes as u64;
                let text = match layout {
                    Layout::Line { .. } => snippet::visible(&excerpt.text),
                    Layout::Block { .. } => snippet::visible_block(&excerpt.text),
                };
                Passage::Text { text, cut_from: (!is_whole).then_some(size) }
            })
        };
        samples.map(passage).collect()
    }

    /// The text of a sample shown, or what to say instead.
    fn raw(
        &self,
        report: &Report<'_>,
        source: &dyn TextSource,
        idx: usize,
        max_bytes: usize,
    ) -> Result<String, Passage> {
        let id = self.samples[idx].id;
        if let Some(instead) = self.unreadable(report, id) {
            return Err(instead);
        }
        let digest = |id| report.fingerprints.digest(id, IdentityLevel::Bytes);
        let is_twin = |other: &Exhibited<'_>| digest(other.id).is_some() && digest(other.id) == digest(id);
        if let Some(twin) = self.samples[..idx].iter().position(is_twin) {
            return Err(Passage::SameAs(twin));
        }
        // A report about data that has gone in the meantime is still a report.
        source.text(id, max_bytes).map_err(|_| Passage::Nothing("can no longer be read back".to_owned()))
    }
}

impl Exhibit<'_> {
    /// What to say of a sample that has nothing to show.
    fn unreadable(&self, report: &Report<'_>, id: SampleId) -> Option<Passage> {
        match &report.dataset.sample(id).state {
            State::Unreadable(reason) if self.message.contains(reason.as_str()) => {
                Some(Passage::Nothing("not readable".to_owned()))
            }
            State::Unreadable(reason) => Some(Passage::Nothing(format!("not readable: {}", snippet::visible(reason)))),
            State::Empty => Some(Passage::Nothing("nothing but white space".to_owned())),
            State::Ok => None,
        }
    }
}

/// Characters from which a text that the message contains is taken for a sentence and not for a name.
const MIN_SENTENCE: usize = 20;

fn says_nothing(value: &Value, message: &str) -> bool {
    match value {
        Value::Bool(flag) => !flag,
        Value::Text(text) => MIN_SENTENCE <= text.len() && message.contains(text.as_str()),
        _ => false,
    }
}

/// The samples that a value consists of; `None` for any other value.
fn samples(value: &Value) -> Option<Vec<SampleId>> {
    match value {
        Value::Sample(id) => Some(vec![*id]),
        Value::List(values) if !values.is_empty() => {
            values.iter().map(|it| if let Value::Sample(id) = it { Some(*id) } else { None }).collect()
        }
        _ => None,
    }
}

/// The entries of a list that each name a sample by `key`; `None` for any other value.
fn entries_by_sample(value: &Value) -> Option<Vec<(SampleId, &Evidence)>> {
    let Value::List(values) = value else { return None };
    if values.is_empty() {
        return None;
    }
    values.iter().map(entry_by_sample).collect()
}

fn entry_by_sample(value: &Value) -> Option<(SampleId, &Evidence)> {
    let Value::Map(entry) = value else { return None };
    let Some(Value::Sample(id)) = entry.get("key") else { return None };
    Some((*id, entry))
}

#[cfg(test)]
mod tests {
    use tamis_core::Outcome;

    use super::*;
    use crate::testing;

    fn exhibit_of<T>(check: &str, look: impl Fn(&Report<'_>, &Exhibit<'_>) -> T) -> T {
        let fixture = testing::fixture();
        let report = fixture.report();
        let (_, finding) = report.findings().find(|(info, _)| info.id == check).unwrap();
        look(&report, &Exhibit::new(&report, finding, 4))
    }

    fn keys(report: &Report<'_>, exhibit: &Exhibit<'_>) -> Vec<String> {
        exhibit.samples.iter().map(|it| report.dataset.key(it.id).to_owned()).collect()
    }

    #[test]
    fn a_sample_that_only_the_evidence_names_is_shown_under_that_name() {
        exhibit_of("outlier", |report, exhibit| {
            assert_eq!(keys(report, exhibit), ["m6", "m<11>\u{202e}"]);
            assert_eq!(exhibit.samples[1].roles, ["nearest"]);
            let rest: Vec<&str> = exhibit.rest.iter().map(|(name, _)| *name).collect();
            assert_eq!(rest, ["mean_distance", "nearest_cosine"]);
        });
    }

    #[test]
    fn several_samples_of_one_name_all_have_it() {
        let mut fixture = testing::fixture();
        let Outcome::Ran(result) = &mut fixture.checks[2].outcome else { panic!("it ran") };
        result.findings[0].evidence = Evidence::new().with("keep", vec![SampleId(0), SampleId(8)]);
        let report = fixture.report();
        let exhibit = Exhibit::new(&report, report.checks[2].outcome.findings().first().unwrap(), 4);
        assert_eq!(keys(&report, &exhibit), ["m2", "m1", "m9"]);
        let roles: Vec<_> = exhibit.samples.iter().map(|it| it.roles.as_slice()).collect();
        assert_eq!(roles, [&[][..], &["keep"], &["keep"]]);
    }

    #[test]
    fn entries_that_name_a_sample_are_said_next_to_it() {
        exhibit_of("split-leak", |report, exhibit| {
            assert_eq!(keys(report, exhibit), ["m9", "m1", "m2"]);
            let facts = &exhibit.samples[1].facts;
            assert!(facts.contains(&("rung", "bytes".to_owned())), "{facts:?}");
            assert!(exhibit.rest.iter().all(|(name, _)| *name != "matches"));
        });
    }

    #[test]
    fn equal_bytes_are_shown_once() {
        exhibit_of("split-leak", |report, exhibit| {
            let passages = exhibit.passages(report, Layout::Line { max_chars: 160 });
            assert!(matches!(passages[0], Passage::Text { .. }));
            assert_eq!(passages[1..], [Passage::SameAs(0), Passage::SameAs(0)]);
        });
    }

    #[test]
    fn what_has_no_text_says_why() {
        exhibit_of("unreadable-sample", |report, exhibit| {
            let passages = exhibit.passages(report, Layout::Line { max_chars: 160 });
            let [Passage::Nothing(why)] = passages.as_slice() else { panic!("{passages:?}") };
            assert_eq!(why, "not readable", "because the message says the reason");
        });
    }

    #[test]
    fn a_text_that_is_shown_in_part_says_of_how_much() {
        exhibit_of("outlier", |report, exhibit| {
            let passages = exhibit.passages(report, Layout::Block { max_chars: 100 });
            let [Passage::Text { text, cut_from }, Passage::Text { cut_from: None, .. }] = passages.as_slice() else {
                panic!("{passages:?}")
            };
            assert!(text.ends_with('…') && text.chars().count() == 100, "{text}");
            assert_eq!(*cut_from, Some(42_000));
        });
    }

    #[test]
    fn samples_beyond_the_cap_are_counted() {
        let fixture = testing::fixture();
        let report = fixture.report();
        let (_, finding) = report.findings().find(|(info, _)| info.id == "split-leak").unwrap();
        let exhibit = Exhibit::new(&report, finding, 1);
        assert_eq!((exhibit.samples.len(), exhibit.n_hidden), (1, 2));
    }
}
