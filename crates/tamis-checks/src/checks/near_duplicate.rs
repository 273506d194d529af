//! `near-duplicate`: samples of one split that are almost the same.

use std::collections::BTreeSet;

use tamis_core::{
    Check, CheckContext, CheckError, CheckInfo, CheckResult, Confidence, Embeddings, Evidence, Finding, Modality, Need,
    PairNeed, PairSearch, PairSet, Rung, SampleId, Severity, Star, Suggestion, Value,
};

use super::{
    CheckDef, check_cosine, check_score, copies_in_split, cosine_option, count, labels_differ, options, pair_notes,
    shortest, shown,
};

pub(super) static DEF: CheckDef = CheckDef {
    info: CheckInfo {
        id: "near-duplicate",
        summary: "two samples of one split are almost the same",
        page: include_str!("near_duplicate.md"),
        judges_labels: false,
    },
    build: |table| {
        let check: NearDuplicate = options(DEF.info.id, table)?;
        check_cosine(DEF.info.id, check.min_cosine)?;
        check_score(DEF.info.id, check.min_copy)?;
        Ok(Box::new(check))
    },
};

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NearDuplicate {
    /// Smallest cosine of what is merely close; `None` for the model's own.
    min_cosine: Option<f32>,
    /// Smallest score of a copy; `None` for the one that was measured.
    min_copy: Option<f32>,
}

impl NearDuplicate {
    fn pairs(&self) -> PairNeed {
        PairNeed { search: PairSearch::WithinSplits, min_cosine: self.min_cosine, min_copy: self.min_copy }
    }
}

impl Check for NearDuplicate {
    fn info(&self) -> &'static CheckInfo {
        &DEF.info
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Embeddings, Need::Pairs(self.pairs())]
    }

    fn options(&self) -> Evidence {
        cosine_option(self.min_cosine).with("min_copy", self.min_copy.map_or(Value::from("measured"), Value::from))
    }

    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError> {
        let pairs = cx.pairs(self.pairs())?;
        let embeddings = cx.embeddings()?;
        let mut findings: Vec<(Rung, Finding)> =
            pairs.stars.iter().map(|star| (star.rung, finding(cx, pairs, star, embeddings))).collect();
        // Stable: stars of one rung and score stay in reading order.
        findings.sort_by(|(x_rung, x), (y_rung, y)| x_rung.cmp(y_rung).then(y.score.total_cmp(&x.score)));
        let n_members: usize = pairs.stars.iter().map(|star| star.members.len()).sum();
        let of_rung = |rung| pairs.of_rung(rung).count();
        let flagged: BTreeSet<SampleId> = findings.iter().flat_map(|(_, it)| it.samples.iter().copied()).collect();
        Ok(CheckResult {
            population: cx.dataset.ids().filter(|id| embeddings.row_of(*id).is_some()).count(),
            flagged: flagged.len(),
            findings: findings.into_iter().map(|(_, finding)| finding).collect(),
            threshold: Some(shortest(pairs.min_copy)),
            threshold_source: format!("copy: {}; semantic: {}", pairs.min_copy_source, pairs.min_source),
            facts: vec![
                ("stars".into(), pairs.stars.len()),
                ("members".into(), n_members),
                ("pairs".into(), count(pairs.n_found)),
                ("copy_pairs".into(), of_rung(Rung::Copy)),
                ("semantic_pairs".into(), of_rung(Rung::Semantic)),
            ],
            notes: pair_notes(pairs, embeddings),
            ..CheckResult::default()
        })
    }
}

fn finding(cx: &CheckContext<'_>, pairs: &PairSet, star: &Star, embeddings: &Embeddings) -> Finding {
    let is_copy = star.rung == Rung::Copy;
    let ids = || star.members.iter().map(|(id, _)| *id).chain([star.leader]);
    // The words or pixels of copies were compared as they are, however long the text is.
    let truncated = !is_copy && ids().any(|id| embeddings.is_truncated(id));
    let copies = |id: SampleId| copies_in_split(cx, id, cx.dataset.sample(id).split);
    // A member stands for all samples of its identity group.
    let members: Vec<SampleId> = star.members.iter().flat_map(|(id, _)| copies(*id)).collect();
    let best = star.members.first().map_or(0.0, |(_, score)| *score);
    let all: Vec<SampleId> = members.iter().copied().chain([star.leader]).collect();
    let is_mixed = star.members.iter().any(|(id, _)| !cx.common_level(&copies(*id)).is_certain());
    // What is merely close may say something else; of images only a small version was compared; of two labels one may be
    // wrong, and copies with other punctuation were not compared themselves: a person must look.
    let is_image = cx.fingerprints.modality() == Modality::Image;
    let with_leaders: Vec<SampleId> = members.iter().copied().chain(copies(star.leader)).collect();
    let suggestion = match !is_copy || is_image || is_mixed || labels_differ(cx.dataset, &with_leaders) {
        true => Suggestion::Review,
        false => Suggestion::Drop(members.clone()),
    };
    let of_member = |(id, score): &(SampleId, f32)| {
        let mut evidence = Evidence::new().with("key", *id).with(if is_copy { "score" } else { "cosine" }, *score);
        let (a, b) = (star.leader.min(*id), star.leader.max(*id));
        if let Ok(place) = pairs.pairs.binary_search_by_key(&(a, b), |pair| (pair.a, pair.b)) {
            evidence.0.extend(shown(&pairs.pairs[place], star.leader).0);
        }
        Value::from(evidence)
    };
    let mut evidence = Evidence::new()
        .with("rung", star.rung.id())
        .with("keep", star.leader)
        .with("members", star.members.iter().map(of_member).collect::<Vec<_>>())
        .with("truncated", truncated);
    // A family that is no larger says nothing more.
    if let Some(family) = cx.family(star.leader).filter(|it| with_leaders.len() < it.members.len()) {
        let family = Evidence::new()
            .with("samples", family.members.len())
            .with("diameter", family.diameter)
            .with("weakest_link", family.weakest_link);
        evidence = evidence.with("family", family);
    }
    Finding {
        severity: Severity::Low,
        confidence: match (is_copy, truncated) {
            (true, _) => Confidence::High,
            (false, true) => Confidence::Low,
            (false, false) => Confidence::Medium,
        },
        score: f64::from(best),
        message: message(star.rung, members.len(), best, truncated),
        samples: all,
        evidence,
        suggestion: Some(suggestion),
    }
}

fn message(rung: Rung, n: usize, best: f32, truncated: bool) -> String {
    match (rung, n, truncated) {
        (Rung::Copy, 1, _) => format!("a copy of another sample: score {best:.3}"),
        (Rung::Copy, ..) => format!("{n} samples are copies of one: score up to {best:.3}"),
        (Rung::Semantic, 1, false) => format!("close to another sample: cosine {best:.3}"),
        (Rung::Semantic, 1, true) => format!("begins like another sample: cosine {best:.3}"),
        (Rung::Semantic, _, false) => format!("{n} samples are close to one: cosine up to {best:.3}"),
        (Rung::Semantic, _, true) => format!("{n} samples begin like one: cosine up to {best:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Scene, fact, messages};
    use tamis_core::{Confidence, SampleId, Suggestion, Value};

    #[test]
    fn close_samples_are_a_star_around_a_kept_one() {
        let scene = "a | t | - | 1, 0\nb | t | - | 1, 0.01\nc | t | - | 1, -0.01\nd | t | - | 0, 1";
        let result = Scene::parse(scene).run("near-duplicate", "min_cosine = 0.999");
        assert_eq!(messages(&result), ["b c a: 2 samples are close to one: cosine up to 1.000"]);
        assert_eq!(result.findings[0].suggestion, Some(Suggestion::Review));
        assert_eq!((fact(&result, "stars"), fact(&result, "pairs"), result.flagged), (1, 3, 3));
    }

    #[test]
    fn copies_are_found_whatever_their_vectors_say_and_come_first() {
        let scene = "
            a | t | - | 1, 0 | one two three four five six
            b | t | - | 0, 1 | one two three four five
            c | t | - | 1, 0.01 | else";
        let result = Scene::parse(scene).run("near-duplicate", "min_cosine = 0.999\nmin_copy = 0.8");
        assert_eq!(
            messages(&result),
            ["b a: a copy of another sample: score 0.833", "c a: close to another sample: cosine 1.000"]
        );
        assert_eq!(result.findings[0].suggestion, Some(Suggestion::Drop(vec![SampleId(1)])));
        assert_eq!((fact(&result, "copy_pairs"), fact(&result, "semantic_pairs")), (1, 1));
    }

    #[test]
    fn a_chain_of_copies_shows_its_family() {
        let scene = "
            a | t | - | 1, 0 | one two three four five
            b | t | - | 1, 0 | two three four five six
            c | t | - | 1, 0 | three four five six seven";
        let result = Scene::parse(scene).run("near-duplicate", "min_cosine = 1\nmin_copy = 0.6");
        let Some(Value::Map(family)) = result.findings[0].evidence.get("family") else { panic!("no family") };
        assert_eq!(family.get("samples"), Some(&3_usize.into()));
        assert_eq!(family.get("diameter"), Some(&2_usize.into()));
    }

    #[test]
    fn copies_whose_labels_differ_are_not_proposed_to_be_dropped() {
        let scene = "a | t | x | 1, 0 | one two three\nb | t | y | 1, 0.01 | one two four";
        let result = Scene::parse(scene).run("near-duplicate", "min_cosine = 0.999\nmin_copy = 0.5");
        assert_eq!(result.findings[0].suggestion, Some(Suggestion::Review));
    }

    #[test]
    fn copies_of_a_member_go_with_it() {
        let scene = "a | t | - | 1, 0 | one two three\nb | t | - | 1, 0.01 | one two\nc | t | - | 1, 0.01 | one two";
        let result = Scene::parse(scene).run("near-duplicate", "min_cosine = 0.999\nmin_copy = 0.6");
        assert_eq!(result.findings[0].suggestion, Some(Suggestion::Drop(vec![SampleId(1), SampleId(2)])));
        assert_eq!(result.flagged, 3);
    }

    #[test]
    fn copies_with_other_punctuation_are_not_proposed_to_be_dropped() {
        let scene = "a | t | - | 1, 0\nb | t | - | 1, 0.01 | 3 + 4\nc | t | - | 1, 0.01 | 3 - 4";
        let result = Scene::parse(scene).run("near-duplicate", "min_cosine = 0.999");
        assert_eq!(result.findings[0].suggestion, Some(Suggestion::Review));
    }

    #[test]
    fn distant_samples_are_not_found() {
        let scene = "a | t | - | 1, 0\nb | t | - | 1, 0.2\nc | t | - | 0, 1";
        assert!(Scene::parse(scene).run("near-duplicate", "min_cosine = 0.99").findings.is_empty());
    }

    #[test]
    fn identical_samples_and_samples_of_two_splits_are_left_to_other_checks() {
        let scene = "a | train | - | 1, 0 | same\nb | train | - | 1, 0 | same\nc | test | - | 1, 0 | other";
        assert!(Scene::parse(scene).run("near-duplicate", "min_cosine = 0.9").findings.is_empty());
    }

    #[test]
    fn a_text_that_was_cut_lowers_the_confidence() {
        let scene = "a | t | - | 1, 0 | x\nb | t | - | 1, 0 | y | truncated";
        let result = Scene::parse(scene).run("near-duplicate", "min_cosine = 0.9");
        assert_eq!(result.findings[0].confidence, Confidence::Low);
        assert_eq!(result.findings[0].suggestion, Some(Suggestion::Review));
        assert!(result.notes.iter().any(|note| note.contains("only the beginning")), "{:?}", result.notes);
    }
}
