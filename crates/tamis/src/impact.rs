//! What leaks cost: which samples are clean, how large the share of the others is, and what they do to a metric.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZero;

use serde_json::{Value as Json, json};
use tamis_checks::{Difference, difference};
use tamis_core::report::wilson_interval;
use tamis_core::{ContentError, Contents, Outcome, Report, Rung, SampleId, SplitRole, Value};
use tamis_neighbors::Shingle;

/// What became of the samples that were looked for.
#[derive(Debug)]
pub struct Impact {
    /// Samples that are evaluated on and could be read, in reading order.
    pub queries: Vec<SampleId>,
    /// Those of them that are identical to something that was seen before, or copies of it.
    pub leaked: BTreeSet<SampleId>,
    /// Those of them that are close to something, and no copies.
    pub close: BTreeSet<SampleId>,
}

impl Impact {
    /// Sorts the samples of the splits of this role by the findings of `check`.
    #[must_use]
    pub fn of(report: &Report<'_>, check: &str, is_query: impl Fn(SplitRole) -> bool) -> Self {
        let role = |id: SampleId| report.dataset.split_role(report.dataset.sample(id).split);
        let mut impact = Self {
            queries: report.dataset.ok_ids().filter(|id| is_query(role(*id))).collect(),
            leaked: BTreeSet::new(),
            close: BTreeSet::new(),
        };
        let ran = report.checks.iter().filter(|it| it.info.id == check);
        for finding in ran.flat_map(|it| it.outcome.findings()) {
            let is_close = finding.evidence.get("rung") == Some(&Value::from(Rung::Semantic.id()));
            let side = if is_close { &mut impact.close } else { &mut impact.leaked };
            // The queries stand first, and all are of one split.
            let Some(first) = finding.samples.first() else { continue };
            let split = report.dataset.sample(*first).split;
            side.extend(finding.samples.iter().filter(|id| report.dataset.sample(**id).split == split));
        }
        impact
    }

    /// What became of those of them that `is_meant`.
    #[must_use]
    pub fn part(&self, is_meant: impl Fn(SampleId) -> bool) -> Self {
        let some = |ids: &BTreeSet<SampleId>| ids.iter().copied().filter(|id| is_meant(*id)).collect();
        Self {
            queries: self.queries.iter().copied().filter(|id| is_meant(*id)).collect(),
            leaked: some(&self.leaked),
            close: some(&self.close),
        }
    }

    /// The samples that are neither identical to something that was seen before nor copies of it.
    pub fn clean(&self) -> impl Iterator<Item = SampleId> + '_ {
        self.queries.iter().copied().filter(|id| !self.leaked.contains(id))
    }

    /// What became of a sample, as a word.
    #[must_use]
    pub fn status(&self, id: SampleId) -> &'static str {
        if self.leaked.contains(&id) {
            "leaked"
        } else if self.close.contains(&id) {
            "close"
        } else {
            "clean"
        }
    }

    /// The share of leaked samples with Wilson's 95 % interval, for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (n, all) = (self.leaked.len(), self.queries.len());
        let Some((low, high)) = wilson_interval(n, all) else { return "no sample to look for".to_owned() };
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let rate = n as f64 / all as f64;
        format!(
            "leaked: {n} of {all} samples, {:.1} % (95 % interval {:.1} – {:.1} %); {} more are close",
            100.0 * rate,
            100.0 * low,
            100.0 * high,
            self.close.difference(&self.leaked).count()
        )
    }

    /// The difference of a metric between leaked and clean samples; `None` where either has no value.
    #[must_use]
    pub fn difference(&self, values: &BTreeMap<SampleId, f64>, seed: u64) -> Option<Difference> {
        let of = |ids: &mut dyn Iterator<Item = SampleId>| -> Vec<f64> {
            ids.filter_map(|id| values.get(&id).copied()).collect()
        };
        difference(&of(&mut self.leaked.iter().copied()), &of(&mut self.clean()), seed)
    }

    /// The samples that share a run of `n` words with anything that was seen before: the definition of many papers (Brown et
    /// al. 2020: 13), words being what white space separates, in lower case.
    ///
    /// # Errors
    /// When a text cannot be read back.
    pub fn sharing_runs(&self, report: &Report<'_>, n: NonZero<usize>) -> Result<BTreeSet<SampleId>, ContentError> {
        let Contents::Texts(texts) = report.contents else { return Ok(BTreeSet::new()) };
        let runs = |id: SampleId| -> Result<Vec<u64>, ContentError> {
            let text = texts.text(id, usize::MAX)?;
            // A shorter text is no run of n words.
            let is_long = n.get() <= text.split_whitespace().count();
            Ok(if is_long { Shingle::Words(n).hashes(&text) } else { Vec::new() })
        };
        let of_queries: Vec<(SampleId, Vec<u64>)> =
            self.queries.iter().map(|id| Ok((*id, runs(*id)?))).collect::<Result<_, ContentError>>()?;
        let wanted: HashSet<u64> = of_queries.iter().flat_map(|(_, runs)| runs.iter().copied()).collect();
        let mut seen = HashSet::new();
        for id in report.dataset.ok_ids() {
            if report.dataset.split_role(report.dataset.sample(id).split) == SplitRole::Train {
                seen.extend(runs(id)?.into_iter().filter(|run| wanted.contains(run)));
            }
        }
        let shares = |(_, runs): &&(SampleId, Vec<u64>)| runs.iter().any(|run| seen.contains(run));
        Ok(of_queries.iter().filter(shares).map(|(id, _)| *id).collect())
    }

    /// What `leaks.json` holds.
    #[must_use]
    pub fn to_json(
        &self,
        report: &Report<'_>,
        splits: &[(&str, Self)],
        runs: Option<(usize, usize)>,
        difference: Option<&Difference>,
    ) -> Json {
        let thresholds = report.checks.iter().find_map(|check| match &check.outcome {
            Outcome::Ran(result) => Some((result.threshold, result.threshold_source.clone())),
            _ => None,
        });
        let (threshold, source) = thresholds.unwrap_or_default();
        let pair = |(low, high)| [low, high];
        let counts = |it: &Self| {
            json!({
                "samples": it.queries.len(),
                "leaked": it.leaked.len(),
                "interval": wilson_interval(it.leaked.len(), it.queries.len()).map(pair),
                "close": it.close.difference(&it.leaked).count(),
            })
        };
        let mut record = counts(self);
        record["splits"] = splits.iter().map(|(name, part)| ((*name).to_owned(), counts(part))).collect();
        record["threshold"] = json!(threshold);
        record["threshold_source"] = json!(source);
        record["shared_runs"] = json!(runs.map(|(n, found)| json!({"words": n, "samples": found})));
        let impact = |it: &Difference| {
            json!({
                "leaked_mean": it.first, "leaked_samples": it.n_first,
                "clean_mean": it.second, "clean_samples": it.n_second,
                "difference": it.difference, "interval": it.interval.map(pair), "p_value": it.p_value,
            })
        };
        record["impact"] = json!(difference.map(impact));
        record
    }
}
