//! `tamis leaks`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::num::NonZero;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::json;
use tamis::impact::Impact;
use tamis::output;
use tamis::predictions::{Metrics, Predictions};
use tamis_checks::Difference;
use tamis_core::{Contents, InputFile, Outcome, Report, SampleId, SplitId, SplitRole};
use tamis_data::atomic::Commits;
use tamis_data::{Input, artifacts};

use super::audit;
use crate::args::{AuditArgs, LeaksArgs};
use crate::exit::{ExitStatus, Usage, print_to_stderr};

/// Looks for leaks, prints and writes.
pub(crate) fn run(mut args: LeaksArgs) -> anyhow::Result<ExitStatus> {
    let is_benchmark = !args.benchmark.is_empty();
    let check = if is_benchmark { "benchmark-contamination" } else { "split-leak" };
    let inputs = inputs(&args)?;
    let mut set = Vec::new();
    if let Some(fdr) = args.fdr {
        if args.reference.is_empty() {
            let said = "--fdr needs --reference: without samples that are known to be clean there is no rate";
            return Err(Usage(said.to_owned()).into());
        }
        // The flag beats a fixed score in the configuration.
        set.extend([format!("{check}.fdr={fdr}"), format!("{check}.min_copy=measured")]);
    }
    set.extend(args.min.map(|min| format!("{check}.min_copy={min}")));
    // Before hours of work, not after them.
    let predictions = args.predictions.as_deref().map(Predictions::read).transpose()?;
    let audit_args = AuditArgs {
        out: Some(args.out.take().unwrap_or_else(|| PathBuf::from("tamis-leaks"))),
        only: vec![check.to_owned()],
        skip: Vec::new(),
        set,
        keep: Vec::new(),
        pred_probs: None,
        like: None,
        report: args.report,
        dry_run: false,
        failpoint: None,
        window: None,
        read: args.read,
    };
    let extra = Extra { check, is_benchmark, ngram: args.ngram, predictions };
    audit::run_on(&audit_args, inputs, |report, commits| extra.write(report, commits))
}

/// What is read, each in its split.
fn inputs(args: &LeaksArgs) -> Result<Vec<Input>, Usage> {
    let read = &args.read;
    if !read.paths.is_empty() {
        let path = &read.paths[0];
        return Err(Usage(format!(
            "`{path}` has no part to play: expected --train and --test, or --corpus and --benchmark"
        )));
    }
    let of = |paths: &[PathBuf], name: &str, role| -> Vec<Input> {
        let input = |path: &PathBuf| Input { path: path.clone(), split: Some((name.to_owned(), Some(role))) };
        paths.iter().map(input).collect()
    };
    let mut inputs = of(&read.train, "train", SplitRole::Train);
    inputs.extend(of(&args.corpus, "corpus", SplitRole::Train));
    let n_base = inputs.len();
    if args.benchmark.is_empty() {
        inputs.extend(of(&read.validation, "validation", SplitRole::Validation));
        inputs.extend(of(&read.test, "test", SplitRole::Test));
    } else if !read.test.is_empty() || !read.validation.is_empty() {
        return Err(Usage("--benchmark stands in the place of --test and --validation".to_owned()));
    }
    for (place, path) in args.benchmark.iter().enumerate() {
        if args.benchmark[..place].contains(path) {
            return Err(Usage(format!("the benchmark `{}` is named twice", path.display())));
        }
        let name = |path: &PathBuf| {
            path.file_stem().map_or_else(|| "benchmark".into(), |it| it.to_string_lossy().into_owned())
        };
        // A name is a split's: two of one name are told apart by the folders they are in.
        let own = name(path);
        let is_only = args.benchmark.iter().filter(|it| name(it) == own).count() == 1;
        let is_free = is_only && !["train", "corpus", "reference"].contains(&own.as_str());
        let name = if is_free { own } else { format!("benchmark {}", path.display()) };
        inputs.extend(of(std::slice::from_ref(path), &name, SplitRole::Benchmark));
    }
    if n_base == 0 || inputs.len() == n_base {
        return Err(Usage("expected --train and --test, or --corpus and --benchmark".to_owned()));
    }
    inputs.extend(of(&args.reference, "reference", SplitRole::Reference));
    Ok(inputs)
}

/// What is written besides the record of an audit.
struct Extra {
    check: &'static str,
    is_benchmark: bool,
    ngram: Option<u32>,
    predictions: Option<Predictions>,
}

impl Extra {
    fn write(&self, report: &Report<'_>, commits: &Commits) -> anyhow::Result<Vec<InputFile>> {
        let outcome = report.checks.iter().find(|it| it.info.id == self.check).map(|it| &it.outcome);
        if let Some(Outcome::Skipped(reason) | Outcome::Failed(reason)) = outcome {
            bail!("nothing was compared: {reason}");
        }
        let role = |id: SampleId| report.dataset.split_role(report.dataset.sample(id).split);
        let all = Impact::of(report, self.check, |role| match role {
            SplitRole::Benchmark => self.is_benchmark,
            SplitRole::Validation | SplitRole::Test => !self.is_benchmark,
            SplitRole::Train | SplitRole::Reference => false,
        });
        // Where there is a test, validation is no part of it.
        let graded = all.queries.iter().map(|id| role(*id)).max();
        let impact = all.part(|id| Some(role(id)) == graded);
        let splits: BTreeSet<SplitId> = all.queries.iter().map(|id| report.dataset.sample(*id).split).collect();
        let splits: Vec<(&str, Impact)> = splits
            .into_iter()
            .map(|split| {
                let is_in = |id| report.dataset.sample(id).split == split;
                (report.dataset.split_names()[split.0 as usize].as_str(), all.part(is_in))
            })
            .collect();
        let mut said: Vec<String> = match &splits[..] {
            [_] => vec![impact.sentence()],
            _ => splits.iter().map(|(name, part)| format!("{name}: {}", part.sentence())).collect(),
        };
        let runs = self.runs(report, &impact, &mut said)?;
        let difference = self.difference(report, &impact, &mut said)?;
        let statuses: Vec<(SampleId, &str)> = all.queries.iter().map(|id| (*id, all.status(*id))).collect();
        let clean: Vec<(SampleId, &str)> = impact.clean().map(|id| (id, impact.status(id))).collect();
        let [json, status_file, clean_file, keys] = output::OF_LEAKS.map(|name| report.out.join(name));
        let failed = |path: &PathBuf| format!("cannot write {}", path.display());
        let record = impact.to_json(report, &splits, runs, difference.as_ref());
        commits.write(&json, |file| writeln!(file, "{record:#}")).with_context(|| failed(&json))?;
        artifacts::write_statuses(commits, &status_file, report.dataset, &statuses)
            .with_context(|| failed(&status_file))?;
        artifacts::write_statuses(commits, &clean_file, report.dataset, &clean).with_context(|| failed(&clean_file))?;
        let list = |file: &mut std::fs::File| {
            let mut out = std::io::BufWriter::new(file);
            clean.iter().try_for_each(|(id, _)| writeln!(out, "{}", on_one_line(report.dataset.key(*id))))?;
            out.flush()
        };
        commits.write(&keys, list).with_context(|| failed(&keys))?;
        for line in said {
            print_to_stderr(&format!("{line}\n"));
        }
        Ok(output::OF_LEAKS.iter().map(|name| output::described(&report.out, name)).collect::<Result<_, _>>()?)
    }

    /// How many samples share a run of the words that were asked for.
    fn runs(
        &self,
        report: &Report<'_>,
        impact: &Impact,
        said: &mut Vec<String>,
    ) -> anyhow::Result<Option<(usize, usize)>> {
        let Some(n) = self.ngram else { return Ok(None) };
        if let Contents::Images(_) = report.contents {
            bail!(Usage("--ngram counts words, and the samples are images".to_owned()));
        }
        let n_words = NonZero::new(n as usize).expect("because --ngram is 1 at least");
        let found = impact.sharing_runs(report, n_words)?.len();
        said.push(format!("{found} of {} samples share a run of {n} words", impact.queries.len()));
        Ok(Some((n as usize, found)))
    }

    /// What leaks do to the metric that was given.
    fn difference(
        &self,
        report: &Report<'_>,
        impact: &Impact,
        said: &mut Vec<String>,
    ) -> anyhow::Result<Option<Difference>> {
        let Some(predictions) = &self.predictions else { return Ok(None) };
        let Metrics { values, unknown } = predictions.of(report.dataset, &impact.queries)?;
        if let Some(first) = unknown.first() {
            said.push(format!(
                "{} predictions have keys of no tested sample, such as `{first}`: leak-status.parquet has the keys, and --id \
                 names the column they come from",
                unknown.len()
            ));
        }
        if values.len() < impact.queries.len() {
            said.push(format!("{} tested samples have no prediction", impact.queries.len() - values.len()));
        }
        let found = impact.difference(&values, report.seed);
        said.push(found.as_ref().map_or_else(
            || "no predictions for both leaked and clean samples".to_owned(),
            |it| {
                let interval = it.interval.map_or_else(
                    || "too few for an interval".to_owned(),
                    |(low, high)| format!("95 % interval {low:+.4} to {high:+.4}"),
                );
                format!(
                    "metric {:.4} on {} leaked and {:.4} on {} clean samples: difference {:+.4} ({interval}, p = {:.4})",
                    it.first, it.n_first, it.second, it.n_second, it.difference, it.p_value
                )
            },
        ));
        Ok(found)
    }
}

/// A key as it stands in a list with a key on each line: one with a line break as a JSON string.
fn on_one_line(key: &str) -> Cow<'_, str> {
    if key.contains(['\n', '\r']) { json!(key).to_string().into() } else { key.into() }
}
