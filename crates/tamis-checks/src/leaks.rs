//! Samples that were seen before they are evaluated on: what `split-leak` and `benchmark-contamination` have in common.
//!
//! Every query is compared with every sample that comes before it. What is identical is a fact. Whether the rest are copies
//! is decided by the score of their contents: with a clean reference by its conformal p-value under a false-discovery rate,
//! without one by a fixed score. What is merely close is shown as that.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use tamis_core::{
    CheckContext, CheckError, CheckResult, Confidence, CurvePoint, Dataset, Digest, Evidence, Finding, IdentityGroups,
    IdentityLevel, PairNeed, PairSearch, PairSet, Rung as PairRung, SampleId, Severity, SplitId, SplitRole, Suggestion,
    Value,
};

use crate::BadOption;
use crate::checks::{check_cosine, check_score, copies_in_split, cosine_option, pair_notes, shortest, shown};
use crate::stats::{FalseFlags, at_least, benjamini_hochberg, conformal_p_values, ratio, sorted};

/// The options of a check for leaks.
#[derive(Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LeakOptions {
    /// Smallest cosine of the rung `semantic`; `None` for the model's own.
    min_cosine: Option<f32>,
    /// Smallest score of the rung `copy`; `None`, which is written `measured`, for the one that was measured, and with a
    /// reference for what the false-discovery rate gives.
    #[serde(deserialize_with = "score_or_measured")]
    min_copy: Option<f32>,
    /// Share of false ones among the samples that are called copies, where there is a reference.
    fdr: f64,
}

impl Default for LeakOptions {
    fn default() -> Self {
        Self { min_cosine: None, min_copy: None, fdr: 0.05 }
    }
}

impl LeakOptions {
    /// Refuses what is out of range.
    pub(crate) fn check(&self, id: &'static str) -> Result<(), BadOption> {
        check_cosine(id, self.min_cosine)?;
        check_score(id, self.min_copy)?;
        if 0.0 < self.fdr && self.fdr < 1.0 {
            return Ok(());
        }
        let reason = format!("fdr is {}, expected a number above 0 and below 1", self.fdr);
        Err(BadOption { check: id, reason })
    }

    pub(crate) fn pairs(&self) -> PairNeed {
        PairNeed { search: PairSearch::AcrossSplits, min_cosine: self.min_cosine, min_copy: self.min_copy }
    }

    pub(crate) fn evidence(&self) -> Evidence {
        cosine_option(self.min_cosine)
            .with("min_copy", self.min_copy.map_or(Value::from("measured"), Value::from))
            .with("fdr", self.fdr)
    }
}

fn score_or_measured<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged, expecting = "expected a number or `measured`")]
    enum Given {
        Score(f32),
        Word(Measured),
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Measured {
        Measured,
    }
    Ok(match serde::Deserialize::deserialize(deserializer)? {
        Given::Score(score) => Some(score),
        Given::Word(Measured::Measured) => None,
    })
}

/// How sure it is that two samples are the same, surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rung {
    Identical(IdentityLevel),
    Copy,
    Semantic,
}

impl Rung {
    /// Whether nothing that matters can differ.
    fn is_certain(self) -> bool {
        matches!(self, Self::Identical(level) if level.is_certain())
    }

    fn is_fact(self) -> bool {
        matches!(self, Self::Identical(_))
    }

    fn id(self) -> &'static str {
        match self {
            Self::Identical(level) => level.id(),
            Self::Copy => PairRung::Copy.id(),
            Self::Semantic => PairRung::Semantic.id(),
        }
    }
}

/// Matches that are no facts listed in one finding, the closest first; `pairs.parquet` has all. Chosen so that findings stay
/// readable and their file in proportion to the samples: templates have thousands of matches each.
const MAX_MATCHES: usize = 100;

/// A sample that the leaked one was found in.
#[derive(Clone, Debug)]
struct Match {
    rung: Rung,
    /// The score of a copy, the cosine of what is close.
    similarity: f32,
    sample: SampleId,
    /// What shows it.
    shown: Evidence,
}

/// What was found for each leaked sample: key is the split that is evaluated on and the first sample there of the
/// identity group.
type Leaks = BTreeMap<(SplitId, SampleId), Vec<Match>>;

/// What counts as a copy, and why.
struct Cut {
    /// Smallest score; infinite where none is called a copy.
    min: f32,
    source: String,
    /// Whether false ones are a known share.
    is_calibrated: bool,
    notes: Vec<String>,
    curve: Vec<CurvePoint>,
}

/// Finds the leaks into the splits whose role is wanted.
pub(crate) fn find(
    cx: &CheckContext<'_>,
    options: &LeakOptions,
    is_query: impl Fn(SplitRole) -> bool,
) -> Result<CheckResult, CheckError> {
    let pairs = cx.pairs(options.pairs())?;
    let role = |id: SampleId| cx.dataset.split_role(cx.dataset.sample(id).split);
    let facts = identical(cx);
    let cut = cut(cx, options, pairs, &facts, &is_query);
    let mut leaks = facts;
    leaks.retain(|(split, _), _| is_query(cx.dataset.split_role(*split)));
    let (mut n_copies, mut n_semantic) = (0, 0);
    for pair in pairs.pairs.iter().filter(|pair| is_query(role(pair.a))) {
        let (rung, similarity) = match pairs.rung(pair) {
            _ if cut.min <= pair.score() => (Rung::Copy, pair.score()),
            // Close enough, and not sure enough to be called a copy.
            Some(_) if pair.kind == tamis_core::PairKind::Cosine && pairs.min <= pair.similarity => {
                (Rung::Semantic, pair.similarity)
            }
            _ => continue,
        };
        *(if rung == Rung::Copy { &mut n_copies } else { &mut n_semantic }) += 1;
        let found = Match { rung, similarity, sample: pair.b, shown: shown(pair, pair.a) };
        leaks.entry((cx.dataset.sample(pair.a).split, pair.a)).or_default().push(found);
    }
    let mut findings = Vec::new();
    let mut flagged = BTreeSet::new();
    for ((split, first), matches) in leaks {
        let queries = copies_in_split(cx, first, split);
        flagged.extend(queries.iter().copied());
        findings.push(finding(cx, &queries, matches, cut.is_calibrated));
    }
    // Stable: findings of one rung and score stay in reading order.
    findings.sort_by(|(x_rung, x), (y_rung, y)| {
        let key = (y.severity, *x_rung).cmp(&(x.severity, *y_rung));
        key.then(y.score.total_cmp(&x.score))
    });
    let across = cx.levels().map(|(level, groups)| {
        (Cow::from(format!("groups_{}", level.id())), groups_across(cx.dataset, groups, &is_query))
    });
    let mut facts: Vec<_> = across.collect();
    facts.push(("copy_pairs".into(), n_copies));
    facts.push(("semantic_pairs".into(), n_semantic));
    facts.push(("pairs".into(), n_copies + n_semantic));
    facts.push(("query_samples".into(), flagged.len()));
    let mut notes = pair_notes(pairs, cx.embeddings()?);
    notes.extend(cut.notes);
    Ok(CheckResult {
        population: cx.dataset.ok_ids().filter(|id| is_query(role(*id))).count(),
        flagged: flagged.len(),
        findings: findings.into_iter().map(|(_, finding)| finding).collect(),
        threshold: cut.min.is_finite().then(|| shortest(cut.min)),
        threshold_source: format!("identical: a fact; copy: {}; semantic: {}", cut.source, pairs.min_source),
        facts,
        notes,
        curve: cut.curve,
        ..CheckResult::default()
    })
}

/// The score from which on a query is called a copy.
fn cut(
    cx: &CheckContext<'_>,
    options: &LeakOptions,
    pairs: &PairSet,
    facts: &Leaks,
    is_query: &impl Fn(SplitRole) -> bool,
) -> Cut {
    let scores = best_scores(pairs);
    // One test for each identity group of a split; what is identical to something is no question any more.
    let of_role = |wanted: &dyn Fn(SplitRole) -> bool| -> Vec<(SampleId, f32)> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for id in cx.dataset.ok_ids() {
            let split = cx.dataset.sample(id).split;
            if wanted(cx.dataset.split_role(split)) && seen.insert((split, cx.identity().leader(id))) {
                let is_fact = facts.contains_key(&(split, id));
                found.extend((!is_fact).then(|| (id, scores.get(&id).copied().unwrap_or(0.0))));
            }
        }
        found
    };
    let reference = of_role(&|role| role == SplitRole::Reference);
    let is_reference = |split: SplitId| cx.dataset.split_role(split) == SplitRole::Reference;
    let same: Vec<SampleId> = facts.keys().filter(|it| is_reference(it.0)).map(|it| it.1).collect();
    let keys =
        |ids: &[SampleId]| ids.iter().take(MAX_KEYS).map(|id| cx.dataset.key(*id)).collect::<Vec<_>>().join(", ");
    let note = (!same.is_empty()).then(|| {
        format!(
            "{} of the references are identical to what they should not be in ({}), and were left out",
            same.len(),
            keys(&same)
        )
    });
    let fixed = Cut {
        min: pairs.min_copy,
        source: pairs.min_copy_source.clone(),
        is_calibrated: false,
        notes: note.into_iter().collect(),
        curve: Vec::new(),
    };
    if reference.is_empty() {
        return fixed;
    }
    let tests: Vec<f32> = of_role(is_query).into_iter().map(|it| it.1).collect();
    let alike: Vec<SampleId> = reference.iter().filter(|it| fixed.min <= it.1).map(|it| it.0).collect();
    let scores: Vec<f32> = reference.into_iter().map(|it| it.1).collect();
    let min = fixed.min;
    let mut cut = calibrated(options, fixed, &scores, &tests, cx.seed);
    if !alike.is_empty() {
        cut.notes.push(format!(
            "{} of the references have a score of {min} or more themselves, as copies do ({}): where they have leaked, they \
             hide leaks, and are better left out of the reference",
            alike.len(),
            keys(&alike)
        ));
    }
    cut
}

/// Keys that a note names.
const MAX_KEYS: usize = 5;

fn calibrated(options: &LeakOptions, fixed: Cut, reference: &[f32], tests: &[f32], seed: u64) -> Cut {
    let curve = curve(reference, tests, seed);
    let n = reference.len();
    let p_values = conformal_p_values(reference, tests);
    let rejected = benjamini_hochberg(&p_values, options.fdr);
    let q = options.fdr;
    let mut notes = fixed.notes.clone();
    notes.extend(resolution(n, tests.len(), q));
    if options.min_copy.is_some() {
        return Cut { notes, curve, ..fixed };
    }
    let highest = reference.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let n_above = tests.iter().filter(|it| highest < **it).count();
    let is_unlikely = chance_above_all(n_above, tests.len(), n) <= q;
    if rejected.is_none() && 0 < n_above && is_unlikely {
        // The test has no power here: say what stands out, by a score that has no error rate, and how many can be false.
        let min = fixed.min.max(highest.next_up());
        let bound = curve.iter().find(|it| f64::from(min) <= it.threshold).map(|it| it.max_false);
        notes.push(format!(
            "{n_above} have a higher score than any reference, too few to tell a false-discovery rate: the fixed score {}, \
             or the highest of the references, stands in, with {} false at most (95 % confidence)",
            fixed.min,
            bound.unwrap_or(0)
        ));
        let source = match fixed.min < min {
            true => "above the highest score of the references, which are too few to tell a rate".to_owned(),
            false => fixed.source,
        };
        return Cut { min, source, notes, curve, ..fixed };
    }
    let flagged = tests.iter().zip(&p_values).filter(|(_, p)| rejected.is_some_and(|limit| **p <= limit));
    // Nothing is called a copy where nothing is rejected.
    let min = flagged.map(|(score, _)| *score).min_by(f32::total_cmp).unwrap_or(f32::INFINITY);
    let source = format!(
        "at most {} % of the distinct samples called copies are expected to be clean (conformal p-values of {n} references, \
         Benjamini-Hochberg)",
        100.0 * q
    );
    Cut { min, source, is_calibrated: true, notes, curve }
}

/// How few copies so many references can tell among so many tests, for people; nothing where there is nothing to tell.
fn resolution(n_reference: usize, n_tests: usize, fdr: f64) -> Option<String> {
    if n_tests == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
    let ceil = |numerator: usize, denominator: f64| (numerator as f64 / denominator).ceil() as usize;
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let least = ceil(n_tests, fdr * (n_reference + 1) as f64);
    let one = ceil(n_tests, fdr).saturating_sub(1);
    Some(if least <= n_tests {
        format!(
            "with {n_reference} clean references, none is called a copy unless at least {least} of the {n_tests} tested \
             are: {one} references would tell a single one"
        )
    } else {
        format!(
            "{n_reference} clean references are too few to call any of the {n_tests} tested a copy: {one} would tell a \
             single one"
        )
    })
}

/// How often so many clean tests have higher scores than all references: that they come first in a common order that is any
/// with the same probability.
fn chance_above_all(n_above: usize, n_tests: usize, n_reference: usize) -> f64 {
    (0..n_above).map(|it| ratio(n_tests - it, n_tests + n_reference - it)).product()
}

/// What each score that some test has would flag.
fn curve(reference: &[f32], tests: &[f32], seed: u64) -> Vec<CurvePoint> {
    let bounds = FalseFlags::new(reference.len(), tests.len(), seed);
    let (tests, reference) = (sorted(tests), sorted(reference));
    let mut thresholds: Vec<f32> = tests.iter().copied().filter(|it| 0.0 < *it).collect();
    thresholds.dedup();
    let point = |threshold: f32| {
        let flagged = at_least(&tests, threshold);
        let max_false = bounds.at(at_least(&reference, threshold))?.min(flagged);
        Some(CurvePoint { threshold: f64::from(threshold), flagged, max_false })
    };
    thresholds.into_iter().filter_map(point).collect()
}

/// The highest score of each query with anything that comes before it, by its first sample.
fn best_scores(pairs: &PairSet) -> BTreeMap<SampleId, f32> {
    let mut best: BTreeMap<SampleId, f32> = BTreeMap::new();
    for pair in &pairs.pairs {
        let score = best.entry(pair.a).or_default();
        *score = score.max(pair.score());
    }
    best
}

/// Leaks that are facts: members of one identity group in a split and in one before it.
fn identical(cx: &CheckContext<'_>) -> Leaks {
    let mut leaks = Leaks::new();
    let role = |split| cx.dataset.split_role(split);
    for group in cx.identity().repeated() {
        let splits: BTreeSet<SplitId> = group.iter().map(|id| cx.dataset.sample(*id).split).collect();
        for query in splits {
            let (queries, others): (Vec<_>, Vec<_>) =
                group.iter().copied().partition(|id| cx.dataset.sample(*id).split == query);
            let seen = others.into_iter().filter(|id| role(cx.dataset.sample(*id).split).comes_before(role(query)));
            let digests = Digests::of(cx, &queries);
            let matches: Vec<Match> = seen
                .map(|sample| Match {
                    rung: Rung::Identical(digests.strictest(cx, sample)),
                    similarity: 1.0,
                    sample,
                    shown: Evidence::new(),
                })
                .collect();
            if !matches.is_empty() {
                leaks.insert((query, queries[0]), matches);
            }
        }
    }
    leaks
}

/// What some samples are at each level, strictest first.
struct Digests(Vec<(IdentityLevel, HashSet<Option<Digest>>)>);

impl Digests {
    fn of(cx: &CheckContext<'_>, samples: &[SampleId]) -> Self {
        let at = |level: &IdentityLevel| samples.iter().map(|id| cx.fingerprints.digest(*id, *level)).collect();
        Self(cx.fingerprints.levels().iter().map(|level| (*level, at(level))).collect())
    }

    /// The strictest level at which `sample` is the same as one of them; the widest where it is at none.
    fn strictest(&self, cx: &CheckContext<'_>, sample: SampleId) -> IdentityLevel {
        let found = self.0.iter().find(|(level, digests)| digests.contains(&cx.fingerprints.digest(sample, *level)));
        found.or(self.0.last()).expect("because every modality has a level").0
    }
}

/// How many of `groups` have members in a split whose role is wanted and in one before it.
fn groups_across(dataset: &Dataset, groups: &IdentityGroups, is_query: &impl Fn(SplitRole) -> bool) -> usize {
    let across = |group: &&Vec<SampleId>| {
        let roles: BTreeSet<SplitRole> = group.iter().map(|id| dataset.split_role(dataset.sample(*id).split)).collect();
        roles.iter().any(|query| is_query(*query) && roles.iter().any(|base| base.comes_before(*query)))
    };
    groups.repeated().iter().filter(across).count()
}

fn finding(
    cx: &CheckContext<'_>,
    queries: &[SampleId],
    mut matches: Vec<Match>,
    is_calibrated: bool,
) -> (Rung, Finding) {
    let role = |it: &Match| cx.dataset.split_role(cx.dataset.sample(it.sample).split);
    let truncated = |id: SampleId| cx.embeddings().is_ok_and(|it| it.is_truncated(id));
    // Facts before copies before suspicions, train before validation: what decides the severity is said first.
    let key = |it: &Match| (if it.rung.is_fact() { None } else { Some(it.rung) }, role(it), it.rung);
    matches
        .sort_by(|x, y| key(x).cmp(&key(y)).then(y.similarity.total_cmp(&x.similarity)).then(x.sample.cmp(&y.sample)));
    let n_matches = matches.len();
    let n_alike = matches.iter().filter(|it| it.rung.id() == matches[0].rung.id()).count();
    let n_facts = matches.iter().filter(|it| it.rung.is_fact()).count();
    matches.truncate(n_facts.max(MAX_MATCHES));
    let best = &matches[0];
    let query = cx.dataset.sample(queries[0]).split;
    let is_graded = SplitRole::Test <= cx.dataset.split_role(query);
    let cut = matches.iter().any(|it| truncated(it.sample)) || queries.iter().any(|id| truncated(*id));
    let in_train = |it: &Match| role(it) == SplitRole::Train;
    let (severity, confidence) = match best.rung {
        Rung::Identical(level) => {
            let grave = is_graded && matches.iter().any(|it| it.rung.is_certain() && in_train(it));
            let certain = if level.is_certain() { Confidence::High } else { Confidence::Medium };
            (if grave { Severity::High } else { Severity::Medium }, certain)
        }
        Rung::Copy if is_calibrated && is_graded && in_train(best) => (Severity::High, Confidence::High),
        Rung::Copy => (Severity::Medium, if is_calibrated { Confidence::High } else { Confidence::Medium }),
        Rung::Semantic => (Severity::Low, if cut { Confidence::Low } else { Confidence::Medium }),
    };
    let direction = format!("{} -> {}", cx.dataset.split_name(best.sample), cx.dataset.split_name(queries[0]));
    let same: Vec<SampleId> = matches.iter().filter(|it| it.rung.is_certain()).map(|it| it.sample).collect();
    let evidence = matches.iter().map(|it| {
        let mut evidence = Evidence::new()
            .with("key", it.sample)
            .with("split", cx.dataset.split_name(it.sample))
            .with("rung", it.rung.id())
            .with(if it.rung == Rung::Copy { "score" } else { "similarity" }, it.similarity);
        evidence.0.extend(it.shown.0.iter().cloned());
        evidence
    });
    let finding = Finding {
        severity,
        confidence,
        score: f64::from(best.similarity),
        message: message(cx, queries[0], best, [n_alike - 1, n_matches - n_alike]),
        evidence: Evidence::new()
            .with("rung", best.rung.id())
            .with("direction", direction)
            .with("n_matches", n_matches)
            .with("matches", evidence.collect::<Vec<_>>()),
        samples: queries.iter().copied().chain(matches.iter().map(|it| it.sample)).collect(),
        suggestion: Some(if same.is_empty() { Suggestion::Review } else { Suggestion::Drop(same) }),
    };
    (best.rung, finding)
}

/// Besides the best match there are others of its rung, and of further ones.
fn message(cx: &CheckContext<'_>, query: SampleId, best: &Match, [alike, further]: [usize; 2]) -> String {
    let (from, to) = (cx.dataset.split_name(best.sample), cx.dataset.split_name(query));
    let more = match (alike, further) {
        (0, 0) => String::new(),
        (_, 0) => format!("; {alike} more like it"),
        (0, _) => format!("; {further} less alike"),
        _ => format!("; {alike} more like it and {further} less alike"),
    };
    match best.rung {
        Rung::Identical(level) => format!("a sample of {to} has the same {} as one of {from}{more}", level.phrase()),
        Rung::Copy => format!("a sample of {to} is a copy of one of {from}: score {:.3}{more}", best.similarity),
        Rung::Semantic => format!("a sample of {to} is close to one of {from}: cosine {:.3}{more}", best.similarity),
    }
}
