//! `split-leak`: samples of an evaluation split that training has seen.

use tamis_core::{Check, CheckContext, CheckError, CheckInfo, CheckResult, Evidence, Need, SplitRole};

use super::{CheckDef, options};
use crate::leaks::{LeakOptions, find};

pub(super) static DEF: CheckDef = CheckDef {
    info: CheckInfo {
        id: "split-leak",
        summary: "a sample that is evaluated on also stands in a split before it",
        page: include_str!("split_leak.md"),
        judges_labels: false,
    },
    build: |table| {
        let options: LeakOptions = options(DEF.info.id, table)?;
        options.check(DEF.info.id)?;
        Ok(Box::new(SplitLeak(options)))
    },
};

#[derive(Debug)]
struct SplitLeak(LeakOptions);

impl Check for SplitLeak {
    fn info(&self) -> &'static CheckInfo {
        &DEF.info
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Splits, Need::Embeddings, Need::Pairs(self.0.pairs())]
    }

    fn options(&self) -> Evidence {
        self.0.evidence()
    }

    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError> {
        find(cx, &self.0, |role| matches!(role, SplitRole::Validation | SplitRole::Test))
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
                "d a b c: a sample of test has the same text but for case and white space as one of train; 2 less alike",
                "e b c a: a sample of test is close to one of train: cosine 1.000; 2 more like it",
            ]
        );
        // d with b and c, e with a, b and c; d and a are one identity group.
        assert_eq!(fact(&result, "semantic_pairs"), 5);
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

    #[test]
    fn a_copy_is_told_by_its_contents_and_its_severity_is_medium() {
        let scene = "
            a | train | - | 1, 0 | one two three four five
            b | test  | - | 0, 1 | one two three four six five";
        let result = Scene::parse(scene).run("split-leak", "min_cosine = 0.9\nmin_copy = 0.8");
        assert_eq!(messages(&result), ["b a: a sample of test is a copy of one of train: score 0.833"]);
        assert_eq!(result.findings[0].severity, Severity::Medium);
        assert!(result.curve.is_empty(), "there is no reference");
    }

    /// A train text, test texts with so many of its ten words, and a reference with one or two of them.
    fn with_reference(tests: &[usize], n_reference: usize) -> String {
        let words = |n: usize, own: &str| {
            let kept = (0..n).map(|it| format!("w{it}"));
            let others = (n..10).map(|it| format!("{own}x{it}"));
            kept.chain(others).collect::<Vec<_>>().join(" ")
        };
        let mut scene = format!("a | train | - | 1, 0 | {}\n", words(10, ""));
        for (place, n) in tests.iter().enumerate() {
            scene.push_str(&format!("t{place} | test | - | 0, 1 | {}\n", words(*n, &format!("t{place}"))));
        }
        for place in 0..n_reference {
            scene.push_str(&format!(
                "r{place} | reference | - | 0, 1 | {}\n",
                words(1 + place % 2, &format!("r{place}"))
            ));
        }
        scene
    }

    #[test]
    fn a_reference_tells_what_is_a_copy() {
        // Half of the words would not do by the fixed score; the p-value is 1 / 101 for 2 of 10 tests.
        let scene = with_reference(&[9, 5, 1, 2, 1, 2, 1, 2, 1, 2], 100);
        let result = Scene::parse(&scene).run("split-leak", "min_cosine = 0.999");
        let found: Vec<&str> = result.findings.iter().map(|it| it.severity.id()).collect();
        assert_eq!((found, result.flagged), (vec!["high", "high"], 2));
        assert!(result.threshold_source.contains("at most 5 %"), "{}", result.threshold_source);
        // Of the two with higher scores than any reference one is no chance; of those as high as references all may be.
        let bounds: Vec<(usize, usize)> = result.curve.iter().map(|it| (it.flagged, it.max_false)).collect();
        assert_eq!(bounds, [(6, 6), (2, 1), (1, 1)]);
    }

    #[test]
    fn nothing_is_called_a_copy_where_nothing_stands_out() {
        let result = Scene::parse(&with_reference(&[1, 2, 1, 2], 100)).run("split-leak", "min_cosine = 0.999");
        assert!(result.findings.is_empty() && result.threshold.is_none(), "{:?}", messages(&result));
    }

    #[test]
    fn a_reference_that_is_too_small_says_so_and_the_fixed_score_stands_in() {
        // That four of ten come before all of twenty has a chance of 0.0077.
        let scene = with_reference(&[9, 9, 9, 9, 2, 1, 2, 1, 2, 1], 20);
        let result = Scene::parse(&scene).run("split-leak", "min_cosine = 0.999\nfdr = 0.01");
        assert_eq!(messages(&result)[0], "t0 a: a sample of test is a copy of one of train: score 0.818");
        assert_eq!(result.flagged, 4);
        assert_eq!(result.findings[0].severity, Severity::Medium);
        assert!(
            result
                .notes
                .iter()
                .any(|note| note
                    .contains("the fixed score 0.8, or the highest of the references, stands in, with 3 false")),
            "{:?}",
            result.notes
        );
        assert!(
            result.notes.iter().any(|note| note.contains("are too few to call any of the 10 tested a copy: 999 would"))
        );
        // One is first by chance as often as not.
        let alone = Scene::parse(&with_reference(&[9, 1, 2, 1, 2, 1, 2, 1, 2, 1], 20));
        assert!(alone.run("split-leak", "min_cosine = 0.999\nfdr = 0.01").findings.is_empty());
    }
}
