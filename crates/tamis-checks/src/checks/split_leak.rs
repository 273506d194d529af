//! `split-leak`: samples of an evaluation split that training has seen.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use tamis_core::{
    Check, CheckContext, CheckError, CheckInfo, CheckResult, Confidence, Dataset, Evidence, Finding, IdentityGroups,
    IdentityLevel, Need, PairSearch, SampleId, Severity, SplitId, SplitRole, Suggestion,
};

use super::{CheckDef, check_cosine, copies_in_split, cosine_option, count, options, pair_notes, threshold};

pub(super) static DEF: CheckDef = CheckDef {
    info: CheckInfo {
        id: "split-leak",
        summary: "a sample that is evaluated on also stands in a split before it",
        page: include_str!("split_leak.md"),
    },
    build: |table| {
        let check: SplitLeak = options(DEF.info.id, table)?;
        check_cosine(DEF.info.id, check.min_cosine)?;
        Ok(Box::new(check))
    },
};

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SplitLeak {
    /// Smallest cosine of the rung "near"; `None` for the model's own.
    min_cosine: Option<f32>,
}

/// How sure it is that two samples are the same, surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rung {
    Identical(IdentityLevel),
    Near,
}

impl Rung {
    /// Whether nothing that matters can differ.
    fn is_certain(self) -> bool {
        matches!(self, Self::Identical(level) if level.is_certain())
    }
}

/// Near matches listed in one finding, the closest first; `pairs.parquet` has all. Chosen so that findings stay readable
/// and their file in proportion to the samples: templates have thousands of matches each.
const MAX_MATCHES: usize = 100;

/// A sample that the leaked one was found in.
#[derive(Clone, Copy, Debug)]
struct Match {
    rung: Rung,
    similarity: f32,
    sample: SampleId,
}

/// What was found for each leaked sample: key is the split that is evaluated on and the first sample there of the
/// identity group.
type Leaks = BTreeMap<(SplitId, SampleId), Vec<Match>>;

impl Check for SplitLeak {
    fn info(&self) -> &'static CheckInfo {
        &DEF.info
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Splits, Need::Embeddings, Need::Pairs { search: PairSearch::AcrossSplits, min: self.min_cosine }]
    }

    fn options(&self) -> Evidence {
        cosine_option(self.min_cosine)
    }

    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError> {
        let pairs = cx.pairs(PairSearch::AcrossSplits, self.min_cosine)?;
        let mut leaks = identical(cx);
        for pair in &pairs.pairs {
            let found = Match { rung: Rung::Near, similarity: pair.similarity, sample: pair.b };
            leaks.entry((cx.dataset.sample(pair.a).split, pair.a)).or_default().push(found);
        }
        let mut findings = Vec::new();
        let mut flagged = BTreeSet::new();
        for ((split, first), matches) in leaks {
            let queries = copies_in_split(cx, first, split);
            flagged.extend(queries.iter().copied());
            findings.push(finding(cx, &queries, matches, |id| cx.embeddings().is_ok_and(|it| it.is_truncated(id))));
        }
        // Stable: findings of one rung and score stay in reading order.
        findings.sort_by(|(x_rung, x), (y_rung, y)| {
            let key = (y.severity, *x_rung).cmp(&(x.severity, *y_rung));
            key.then(y.score.total_cmp(&x.score))
        });
        let evaluated = |id: &SampleId| cx.dataset.split_role(cx.dataset.sample(*id).split) != SplitRole::Train;
        let across =
            cx.levels().map(|(level, groups)| (Cow::from(format!("groups_{}", level.id())), groups_across(cx, groups)));
        let mut facts: Vec<_> = across.collect();
        facts.push(("near_pairs".into(), count(pairs.n_found)));
        facts.push(("query_samples".into(), flagged.len()));
        Ok(CheckResult {
            population: cx.dataset.ok_ids().filter(evaluated).count(),
            flagged: flagged.len(),
            findings: findings.into_iter().map(|(_, finding)| finding).collect(),
            threshold: Some(threshold(pairs)),
            threshold_source: format!("identical: a fact; near: {}", pairs.min_source),
            facts,
            scores: None,
            notes: pair_notes(pairs, cx.embeddings()?),
        })
    }
}

/// Whether samples of `base` may have been seen before `query` is evaluated on.
fn comes_before(dataset: &Dataset, base: SplitId, query: SplitId) -> bool {
    dataset.split_role(base) < dataset.split_role(query)
}

/// Leaks that are facts: members of one identity group in a split and in one before it.
fn identical(cx: &CheckContext<'_>) -> Leaks {
    let mut leaks = Leaks::new();
    for group in cx.identity().repeated() {
        let splits: BTreeSet<SplitId> = group.iter().map(|id| cx.dataset.sample(*id).split).collect();
        for query in splits {
            let (queries, others): (Vec<_>, Vec<_>) =
                group.iter().copied().partition(|id| cx.dataset.sample(*id).split == query);
            let seen = others.into_iter().filter(|id| comes_before(cx.dataset, cx.dataset.sample(*id).split, query));
            let matches: Vec<Match> = seen
                .map(|sample| Match { rung: Rung::Identical(level(cx, &queries, sample)), similarity: 1.0, sample })
                .collect();
            if !matches.is_empty() {
                leaks.insert((query, queries[0]), matches);
            }
        }
    }
    leaks
}

/// The strictest level at which `sample` is the same as one of `queries`.
fn level(cx: &CheckContext<'_>, queries: &[SampleId], sample: SampleId) -> IdentityLevel {
    let levels = queries.iter().map(|query| cx.common_level(&[*query, sample]));
    levels.min().expect("because a leak has a sample that leaked")
}

/// How many of `groups` have members in a split and in one before it.
fn groups_across(cx: &CheckContext<'_>, groups: &IdentityGroups) -> usize {
    let across = |group: &&Vec<SampleId>| {
        let roles = group.iter().map(|id| cx.dataset.split_role(cx.dataset.sample(*id).split));
        roles.clone().min() < roles.max()
    };
    groups.repeated().iter().filter(across).count()
}

fn finding(
    cx: &CheckContext<'_>,
    queries: &[SampleId],
    mut matches: Vec<Match>,
    truncated: impl Fn(SampleId) -> bool,
) -> (Rung, Finding) {
    let role = |it: &Match| cx.dataset.split_role(cx.dataset.sample(it.sample).split);
    // Facts before suspicions, train before validation: what decides the severity is said first.
    let key = |it: &Match| (it.rung == Rung::Near, role(it), it.rung);
    matches
        .sort_by(|x, y| key(x).cmp(&key(y)).then(y.similarity.total_cmp(&x.similarity)).then(x.sample.cmp(&y.sample)));
    let n_matches = matches.len();
    let n_facts = matches.iter().filter(|it| it.rung != Rung::Near).count();
    matches.truncate(n_facts.max(MAX_MATCHES));
    let best = matches[0];
    let query = cx.dataset.sample(queries[0]).split;
    let is_test = cx.dataset.split_role(query) == SplitRole::Test;
    let cut = matches.iter().any(|it| truncated(it.sample)) || queries.iter().any(|id| truncated(*id));
    let (severity, confidence) = match best.rung {
        Rung::Identical(level) => {
            let grave = is_test && matches.iter().any(|it| it.rung.is_certain() && role(it) == SplitRole::Train);
            let certain = if level.is_certain() { Confidence::High } else { Confidence::Medium };
            (if grave { Severity::High } else { Severity::Medium }, certain)
        }
        Rung::Near if cut => (Severity::Low, Confidence::Low),
        Rung::Near => (Severity::Low, Confidence::Medium),
    };
    let direction = format!("{} -> {}", cx.dataset.split_name(best.sample), cx.dataset.split_name(queries[0]));
    let same: Vec<SampleId> = matches.iter().filter(|it| it.rung.is_certain()).map(|it| it.sample).collect();
    let evidence = matches.iter().map(|it| {
        Evidence::new()
            .with("key", it.sample)
            .with("split", cx.dataset.split_name(it.sample))
            .with("rung", rung_id(it.rung))
            .with("similarity", it.similarity)
    });
    let finding = Finding {
        severity,
        confidence,
        score: f64::from(best.similarity),
        message: message(cx, queries[0], best, n_matches),
        evidence: Evidence::new()
            .with("rung", rung_id(best.rung))
            .with("direction", direction)
            .with("n_matches", n_matches)
            .with("matches", evidence.collect::<Vec<_>>()),
        samples: queries.iter().copied().chain(matches.iter().map(|it| it.sample)).collect(),
        suggestion: Some(if same.is_empty() { Suggestion::Review } else { Suggestion::Drop(same) }),
    };
    (best.rung, finding)
}

fn message(cx: &CheckContext<'_>, query: SampleId, best: Match, n_matches: usize) -> String {
    let (from, to) = (cx.dataset.split_name(best.sample), cx.dataset.split_name(query));
    let more = match n_matches {
        1 => String::new(),
        n => format!("; {} more like it", n - 1),
    };
    match best.rung {
        Rung::Identical(level) => format!("a sample of {to} has the same {} as one of {from}{more}", level.phrase()),
        Rung::Near => format!("a sample of {to} is close to one of {from}: cosine {:.3}{more}", best.similarity),
    }
}

fn rung_id(rung: Rung) -> &'static str {
    match rung {
        Rung::Identical(level) => level.id(),
        Rung::Near => "near",
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Scene, fact, messages};
    use tamis_core::{SampleId, Severity, Suggestion};

    #[test]
    fn copies_across_splits_are_leaks_with_their_direction() {
        let scene = "
            a | train | - | 1, 0 | The question
            b | test  | - | 1, 0 | The question
            c | test  | - | 0, 1 | Another";
        let result = Scene::parse(scene).run("split-leak", "min_cosine = 0.9");
        assert_eq!(messages(&result), ["b a: a sample of test has the same bytes as one of train"]);
        let finding = &result.findings[0];
        assert_eq!(finding.severity, Severity::High);
        assert_eq!(finding.evidence.get("direction"), Some(&"train -> test".into()));
        assert_eq!(finding.suggestion, Some(Suggestion::Drop(vec![SampleId(0)])), "the copy in train goes");
        assert_eq!((fact(&result, "groups_bytes"), result.flagged, result.population), (1, 1, 2));
    }

    #[test]
    fn rungs_are_ordered_by_certainty_and_every_pair_is_listed() {
        let scene = "
            a | train | - | 1, 0    | Hello you
            b | train | - | 1, 0.01 | Hello there
            c | train | - | 1, 0.02 | Hello, dear
            d | test  | - | 1, 0    | hello YOU
            e | test  | - | 1, 0.01 | Hi";
        let result = Scene::parse(scene).run("split-leak", "min_cosine = 0.99");
        assert_eq!(
            messages(&result),
            [
                "d a b c: a sample of test has the same text but for case and white space as one of train; 2 more like it",
                "e b c a: a sample of test is close to one of train: cosine 1.000; 2 more like it",
            ]
        );
        // d with b and c, e with a, b and c; d and a are one identity group.
        assert_eq!(fact(&result, "near_pairs"), 5);
    }

    #[test]
    fn a_validation_sample_in_test_is_a_leak_and_a_train_sample_in_train_is_none() {
        let scene = "a | train | - | 1, 0 | x\nb | train | - | 1, 0 | x\nc | validation | - | 0, 1 | y\nd | test | - | 0, 1 | y";
        let result = Scene::parse(scene).run("split-leak", "min_cosine = 0.9");
        assert_eq!(messages(&result), ["d c: a sample of test has the same bytes as one of validation"]);
        assert_eq!(result.findings[0].severity, Severity::Medium);
    }

    #[test]
    fn a_copy_in_train_is_said_before_one_in_validation() {
        let scene = "a | dev | - | 1, 0 | x\nb | test | - | 1, 0 | x\nc | train | - | 1, 0 | x";
        let result = Scene::parse(scene).run("split-leak", "min_cosine = 0.9");
        assert_eq!(messages(&result)[0], "b c a: a sample of test has the same bytes as one of train; 1 more like it");
        assert_eq!(result.findings[0].evidence.get("direction"), Some(&"train -> test".into()));
    }

    #[test]
    fn equal_letters_with_other_punctuation_are_to_be_reviewed() {
        let scene = "a | train | - | 1, 0 | What is 3 + 4?\nb | test | - | 1, 0 | What is 3 - 4?";
        let result = Scene::parse(scene).run("split-leak", "min_cosine = 0.9");
        assert_eq!(result.findings[0].severity, Severity::Medium);
        assert_eq!(result.findings[0].suggestion, Some(Suggestion::Review));
    }

    #[test]
    fn splits_that_share_nothing_do_not_leak() {
        let result = Scene::parse("a | train | - | 1, 0\nb | test | - | 0, 1").run("split-leak", "min_cosine = 0.9");
        assert!(result.findings.is_empty());
    }
}
