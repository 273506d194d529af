//! Texts that are copies of others: common words and vectors propose, the order of words decides.

use std::num::NonZero;

use tamis_core::{
    Column, ContentError, Dataset, IdentityGroups, Modality, Overlap, PairKind, Progress, SampleId, SplitRole,
    TextSource, Verified,
};
use tamis_neighbors::verify::{Extent, Weighted, WordTexts};
use tamis_neighbors::{SetJoin, SetMeasure, SetPair, TokenSets};

use super::{CopyRule, Proposal, Proposed};

/// Words of a run that is looked for in two texts. Two of three runs of two words are left when a fifth of all words were
/// edited, and they are rare enough for the join's filters.
const RUN_WORDS: NonZero<usize> = NonZero::new(2).expect("because it is above 0");

/// Smallest share of such runs that proposes a pair: half of what is left when a fifth of the words were edited.
const MIN_JACCARD: f64 = 0.3;

/// Smallest share of a query's runs in a longer text that proposes a pair.
const MIN_CONTAINMENT: f64 = 0.5;

/// Most proposals of each join; they are counted in memory.
const MAX_PROPOSED: usize = 20_000_000;

/// Bytes of texts that are in memory at once while words are counted.
const WINDOW_BYTES: u64 = 32 << 20;

/// Columns that hold the answer to the text of their row, as benchmarks and data for tuning call it; the first that is there
/// counts.
const ANSWERS: [&str; 14] = [
    "answer",
    "answers",
    "canonical_solution",
    "solution",
    "output",
    "response",
    "completion",
    "chosen",
    "correct_answer",
    "best_answer",
    "reference_answer",
    "target",
    "targets",
    "gold",
];

/// What counts as a copy of a text.
pub(crate) const RULE: CopyRule = CopyRule {
    min: 0.7,
    source: "measured: of clean texts 0.45 % have a score of 0.7 with any of 6,000 others among entries of a dictionary, \
             0.19 % among quotations, 0.01 % among prompts, and of copies with a fifth of their words edited 88 to 99 %",
    min_kept: 0.2,
};

/// The words of a dataset's texts, one for each identity group.
#[derive(Debug)]
pub struct Texts<'a> {
    words: Weighted,
    /// By sample: the number of its group's text.
    numbers: Vec<u32>,
    answers: Option<&'a Column>,
}

/// The answers to texts, where a column holds them.
pub(crate) fn answers(dataset: &Dataset) -> Option<&Column> {
    ANSWERS.iter().find_map(|name| dataset.columns().iter().find(|it| it.name == *name))
}

impl<'a> Texts<'a> {
    /// Reads the texts of the groups of `ids`.
    ///
    /// Memory: four bytes for each word.
    ///
    /// # Errors
    /// When a text cannot be read back.
    pub(crate) fn new(
        source: &dyn TextSource,
        dataset: &'a Dataset,
        identity: &IdentityGroups,
        ids: &[SampleId],
        progress: &dyn Progress,
    ) -> Result<Self, ContentError> {
        let task = progress.begin("counting words", Some(ids.len() as u64), Modality::Text.nouns());
        let n_samples = ids.iter().map(|id| id.idx() + 1).max().unwrap_or(0);
        let mut numbers = vec![u32::MAX; n_samples];
        let (mut words, mut next) = (WordTexts::default(), 0);
        let (mut window, mut bytes) = (Vec::new(), 0);
        // Words weigh by what is trained on, be it the first of its copies or not: so a reference and a test are treated
        // alike, and the order of files plays no part.
        let mut trains = Vec::new();
        for id in ids {
            let does_train = dataset.split_role(dataset.sample(*id).split) == SplitRole::Train;
            let leader = identity.leader(*id);
            // Leaders come first in reading order.
            if leader.idx() < n_samples && numbers[leader.idx()] != u32::MAX {
                numbers[id.idx()] = numbers[leader.idx()];
                trains[numbers[id.idx()] as usize] |= does_train;
                continue;
            }
            numbers[id.idx()] = next;
            numbers[leader.idx()] = next;
            next += 1;
            trains.push(does_train);
            window.push(source.text(*id, usize::MAX)?);
            bytes += source.text_bytes(*id);
            if WINDOW_BYTES <= bytes {
                words.extend(&window);
                task.advance(window.len() as u64);
                window.clear();
                bytes = 0;
            }
        }
        words.extend(&window);
        Ok(Self { words: words.weighted(|text| trains[text]), numbers, answers: answers(dataset) })
    }

    pub(super) fn compare(&self, a: SampleId, b: SampleId, extent: Extent, min: f32) -> Verified {
        let found = self.words.compare(self.number(a), self.number(b), extent, min);
        let is_asked = extent == Extent::Passage && min <= found.score;
        Verified { overlap: if is_asked { self.overlap(a, b) } else { None }, ..found }
    }

    /// How much of the text of `query` and of its answer the other sample has, be it in its text or in its answer.
    fn overlap(&self, query: SampleId, other: SampleId) -> Option<Overlap> {
        let of = |id: SampleId| self.words.texts().of(self.number(id));
        let answer = |id: SampleId| self.answers.and_then(|it| it.get(id)).unwrap_or_default();
        let [ours, theirs] = self.words.numbers([answer(query), answer(other)]);
        let theirs = [of(other), &theirs[..]];
        Some(Overlap { text: self.words.overlap(of(query), &theirs)?, answer: self.words.overlap(&ours, &theirs) })
    }

    fn number(&self, id: SampleId) -> usize {
        self.numbers[id.idx()] as usize
    }

    /// Pairs that share enough runs of words.
    pub(super) fn propose(&self, queries: &[SampleId], base: Option<&[SampleId]>, progress: &dyn Progress) -> Proposed {
        let all = queries.iter().chain(base.unwrap_or_default());
        let hashes: Vec<Vec<u64>> = all.map(|id| self.words.texts().shingles(self.number(*id), RUN_WORDS)).collect();
        let join = |measure, min| SetJoin { measure, min, max_pairs: MAX_PROPOSED };
        let task = progress.begin("comparing words", Some(hashes.len() as u64), Modality::Text.nouns());
        let proposal = |kind, offset: usize| {
            let offset = u32::try_from(offset).expect("because a dataset has fewer than 2^32 samples");
            #[expect(clippy::cast_possible_truncation, reason = "a similarity is shown")]
            move |it: SetPair| Proposal { a: it.a, b: it.b - offset, kind, similarity: it.similarity as f32 }
        };
        let Some(_) = base else {
            let found = join(SetMeasure::Jaccard, MIN_JACCARD).self_join(&TokenSets::new(&hashes), &*task);
            let n_more = found.n_found - found.pairs.len() as u64;
            return Proposed { pairs: found.pairs.into_iter().map(proposal(PairKind::Jaccard, 0)).collect(), n_more };
        };
        let n_queries = queries.len();
        let sets = TokenSets::of_owners(&hashes, |set| u32::from(n_queries <= set));
        drop(hashes);
        let alike = join(SetMeasure::Jaccard, MIN_JACCARD).cross_join(&sets, n_queries, &*task);
        let mut n_more = alike.n_found - alike.pairs.len() as u64;
        let mut pairs: Vec<Proposal> = alike.pairs.into_iter().map(proposal(PairKind::Jaccard, n_queries)).collect();
        let task = progress.begin("looking for passages", Some(sets.len() as u64), Modality::Text.nouns());
        let inside = join(SetMeasure::Containment, MIN_CONTAINMENT).cross_join(&sets, n_queries, &*task);
        n_more += inside.n_found - inside.pairs.len() as u64;
        // A short text that the query contains says nothing of the query.
        let is_longer = |it: &SetPair| sets.size(it.a as usize) < sets.size(it.b as usize);
        pairs.extend(inside.pairs.into_iter().filter(is_longer).map(proposal(PairKind::Containment, n_queries)));
        Proposed { pairs, n_more }
    }
}
