//! `benchmark-contamination`: samples of a public benchmark that stand in the data.

use tamis_core::{Check, CheckContext, CheckError, CheckInfo, CheckResult, Evidence, Need, SplitRole};

use super::{CheckDef, options};
use crate::leaks::{LeakOptions, find};

pub(super) static DEF: CheckDef = CheckDef {
    info: CheckInfo {
        id: "benchmark-contamination",
        summary: "a sample of a benchmark stands in the data",
        page: include_str!("benchmark_contamination.md"),
        judges_labels: false,
    },
    build: |table| {
        let options: LeakOptions = options(DEF.info.id, table)?;
        options.check(DEF.info.id)?;
        Ok(Box::new(BenchmarkContamination(options)))
    },
};

#[derive(Debug)]
struct BenchmarkContamination(LeakOptions);

impl Check for BenchmarkContamination {
    fn info(&self) -> &'static CheckInfo {
        &DEF.info
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Benchmark, Need::Embeddings, Need::Pairs(self.0.pairs())]
    }

    fn options(&self) -> Evidence {
        self.0.evidence()
    }

    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError> {
        find(cx, &self.0, |role| role == SplitRole::Benchmark)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Scene, messages};

    #[test]
    fn a_question_of_a_benchmark_in_the_data_is_found_and_other_splits_are_left_alone() {
        let scene = "
            a | train     | - | 1, 0 | The question
            b | test      | - | 1, 0 | The question
            c | benchmark | - | 1, 0 | the question";
        let result = Scene::parse(scene).run("benchmark-contamination", "");
        let what = "text but for case and white space";
        assert_eq!(
            messages(&result),
            [format!("c a b: a sample of benchmark has the same {what} as one of train; 1 more like it")]
        );
    }
}
