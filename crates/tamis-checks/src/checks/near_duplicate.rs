//! `near-duplicate`: samples of one split that are almost the same.

use tamis_core::{
    Check, CheckContext, CheckError, CheckInfo, CheckResult, Confidence, Embeddings, Evidence, Finding, Modality, Need,
    PairSearch, SampleId, Severity, Star, Suggestion,
};

use super::{
    CheckDef, check_cosine, copies_in_split, cosine_option, count, labels_differ, options, pair_notes, threshold,
};

pub(super) static DEF: CheckDef = CheckDef {
    info: CheckInfo {
        id: "near-duplicate",
        summary: "two samples of one split are almost the same",
        page: include_str!("near_duplicate.md"),
    },
    build: |table| {
        let check: NearDuplicate = options(DEF.info.id, table)?;
        check_cosine(DEF.info.id, check.min_cosine)?;
        Ok(Box::new(check))
    },
};

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NearDuplicate {
    /// Smallest cosine that counts; `None` for the model's own.
    min_cosine: Option<f32>,
}

impl Check for NearDuplicate {
    fn info(&self) -> &'static CheckInfo {
        &DEF.info
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Embeddings, Need::Pairs { search: PairSearch::WithinSplits, min: self.min_cosine }]
    }

    fn options(&self) -> Evidence {
        cosine_option(self.min_cosine)
    }

    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError> {
        let pairs = cx.pairs(PairSearch::WithinSplits, self.min_cosine)?;
        let embeddings = cx.embeddings()?;
        let mut findings: Vec<Finding> = pairs.stars.iter().map(|star| finding(cx, star, embeddings)).collect();
        // Stable: stars of one similarity stay in reading order.
        findings.sort_by(|x, y| y.score.total_cmp(&x.score));
        let n_members: usize = pairs.stars.iter().map(|star| star.members.len()).sum();
        Ok(CheckResult {
            population: cx.dataset.ids().filter(|id| embeddings.row_of(*id).is_some()).count(),
            flagged: findings.iter().map(|finding| finding.samples.len()).sum(),
            findings,
            threshold: Some(threshold(pairs)),
            threshold_source: pairs.min_source.clone(),
            facts: vec![
                ("stars".into(), pairs.stars.len()),
                ("members".into(), n_members),
                ("pairs".into(), count(pairs.n_found)),
            ],
            scores: None,
            notes: pair_notes(pairs, embeddings),
        })
    }
}

fn finding(cx: &CheckContext<'_>, star: &Star, embeddings: &Embeddings) -> Finding {
    let truncated = star.members.iter().map(|(id, _)| *id).chain([star.leader]).any(|id| embeddings.is_truncated(id));
    let copies = |id: SampleId| copies_in_split(cx, id, cx.dataset.sample(id).split);
    // A member stands for all samples of its identity group.
    let members: Vec<SampleId> = star.members.iter().flat_map(|(id, _)| copies(*id)).collect();
    let best = star.members.first().map_or(0.0, |(_, cosine)| *cosine);
    let message = match (members.len(), truncated) {
        (1, false) => format!("close to another sample: cosine {best:.3}"),
        (1, true) => format!("begins like another sample: cosine {best:.3}"),
        (n, false) => format!("{n} samples are close to one: cosine up to {best:.3}"),
        (n, true) => format!("{n} samples begin like one: cosine up to {best:.3}"),
    };
    let all: Vec<SampleId> = members.iter().copied().chain([star.leader]).collect();
    let is_mixed = star.members.iter().any(|(id, _)| !cx.common_level(&copies(*id)).is_certain());
    // The rest of a longer text is unknown, and so are the details of an image, which the model sees small; of two labels
    // one may be wrong, and copies with other punctuation were not compared themselves: a person must look.
    let is_image = cx.fingerprints.modality() == Modality::Image;
    let labeled: Vec<SampleId> = members.iter().copied().chain(copies(star.leader)).collect();
    let suggestion = match truncated || is_image || is_mixed || labels_differ(cx.dataset, &labeled) {
        true => Suggestion::Review,
        false => Suggestion::Drop(members),
    };
    let evidence = star.members.iter().map(|(id, cosine)| Evidence::new().with("key", *id).with("cosine", *cosine));
    Finding {
        severity: Severity::Low,
        confidence: if truncated { Confidence::Low } else { Confidence::Medium },
        score: f64::from(best),
        message,
        samples: all,
        evidence: Evidence::new()
            .with("keep", star.leader)
            .with("members", evidence.collect::<Vec<_>>())
            .with("truncated", truncated),
        suggestion: Some(suggestion),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Scene, fact, messages};
    use tamis_core::{Confidence, SampleId, Suggestion};

    #[test]
    fn close_samples_are_a_star_around_a_kept_one() {
        let scene = "a | t | - | 1, 0\nb | t | - | 1, 0.01\nc | t | - | 1, -0.01\nd | t | - | 0, 1";
        let result = Scene::parse(scene).run("near-duplicate", "min_cosine = 0.999");
        assert_eq!(messages(&result), ["b c a: 2 samples are close to one: cosine up to 1.000"]);
        assert_eq!(result.findings[0].suggestion, Some(Suggestion::Drop(vec![SampleId(1), SampleId(2)])));
        assert_eq!((fact(&result, "stars"), fact(&result, "pairs"), result.flagged), (1, 3, 3));
    }

    #[test]
    fn close_samples_whose_labels_differ_are_not_proposed_to_be_dropped() {
        let result = Scene::parse("a | t | x | 1, 0\nb | t | y | 1, 0.01").run("near-duplicate", "min_cosine = 0.999");
        assert_eq!(result.findings[0].suggestion, Some(Suggestion::Review));
    }

    #[test]
    fn copies_of_a_close_sample_go_with_it() {
        let scene = "a | t | - | 1, 0\nb | t | - | 1, 0.01 | same\nc | t | - | 1, 0.01 | same";
        let result = Scene::parse(scene).run("near-duplicate", "min_cosine = 0.999");
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
        assert!(result.notes.iter().any(|note| note.contains("only their beginning")), "{:?}", result.notes);
    }
}
