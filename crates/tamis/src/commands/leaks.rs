//! `tamis leaks`.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use tamis::impact::{Impact, read_predictions};
use tamis::output;
use tamis_core::{InputFile, Report, SampleId, SplitRole};
use tamis_data::atomic::Commits;
use tamis_data::{Input, artifacts};

use super::audit;
use crate::args::{AuditArgs, LeaksArgs};
use crate::exit::{ExitStatus, Usage, print_to_stderr};

/// The files of the record that only this command writes.
const FILES: [&str; 4] = ["leaks.json", "leak-status.parquet", "clean-test.parquet", "clean-test.txt"];

/// Looks for leaks, prints and writes.
pub(crate) fn run(mut args: LeaksArgs) -> anyhow::Result<ExitStatus> {
    let is_benchmark = !args.benchmark.is_empty();
    let check = if is_benchmark { "benchmark-contamination" } else { "split-leak" };
    let inputs = inputs(&args)?;
    let mut set = Vec::new();
    set.extend(args.fdr.map(|fdr| format!("{check}.fdr={fdr}")));
    set.extend(args.min.map(|min| format!("{check}.min_copy={min}")));
    let audit_args = AuditArgs {
        out: Some(args.out.take().unwrap_or_else(|| PathBuf::from("tamis-leaks"))),
        only: vec![check.to_owned()],
        skip: Vec::new(),
        set,
        keep: Vec::new(),
        report: args.report,
        dry_run: false,
        failpoint: None,
        window: None,
        read: args.read,
    };
    let extra = Extra { check, is_benchmark, ngram: args.ngram, predictions: args.predictions };
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
    for path in &args.benchmark {
        let name = |path: &PathBuf| {
            path.file_stem().map_or_else(|| "benchmark".into(), |it| it.to_string_lossy().into_owned())
        };
        // Two files of one name are told apart by the folders they are in.
        let is_only = args.benchmark.iter().filter(|it| name(it) == name(path)).count() == 1;
        let name = if is_only { name(path) } else { path.display().to_string() };
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
    predictions: Option<PathBuf>,
}

impl Extra {
    fn write(&self, report: &Report<'_>, commits: &Commits) -> anyhow::Result<Vec<InputFile>> {
        let is_query = |role| match role {
            SplitRole::Benchmark => self.is_benchmark,
            SplitRole::Validation | SplitRole::Test => !self.is_benchmark,
            SplitRole::Train | SplitRole::Reference => false,
        };
        let impact = Impact::of(report, self.check, is_query);
        let mut said = vec![impact.sentence()];
        let runs = match self.ngram {
            None => None,
            Some(n) => {
                let found = impact.sharing_runs(report, n as usize)?.len();
                said.push(format!("{found} of {} samples share a run of {n} words", impact.queries.len()));
                Some((n as usize, found))
            }
        };
        let difference = match &self.predictions {
            None => None,
            Some(path) => {
                let (values, n_unknown) = read_predictions(path, report)?;
                if 0 < n_unknown {
                    said.push(format!("{n_unknown} predictions have keys that are not in the dataset"));
                }
                let found = impact.difference(&values, report.seed);
                said.push(found.map_or("no predictions for both leaked and clean samples".to_owned(), |it| {
                    format!(
                        "metric {:.4} on {} leaked and {:.4} on {} clean samples: difference {:+.4} (95 % interval \
                         {:+.4} to {:+.4}, p = {:.4})",
                        it.first,
                        it.n_first,
                        it.second,
                        it.n_second,
                        it.difference,
                        it.interval.0,
                        it.interval.1,
                        it.p_value
                    )
                }));
                found
            }
        };
        let statuses: Vec<(SampleId, &str)> = impact.queries.iter().map(|id| (*id, impact.status(*id))).collect();
        let clean: Vec<(SampleId, &str)> = impact.clean().map(|id| (id, impact.status(id))).collect();
        let [json, status_file, clean_file, keys] = FILES.map(|name| report.out.join(name));
        let failed = |path: &PathBuf| format!("cannot write {}", path.display());
        let record = impact.to_json(report, runs, difference.as_ref());
        commits.write(&json, |file| writeln!(file, "{record:#}")).with_context(|| failed(&json))?;
        artifacts::write_statuses(commits, &status_file, report.dataset, &statuses)
            .with_context(|| failed(&status_file))?;
        artifacts::write_statuses(commits, &clean_file, report.dataset, &clean).with_context(|| failed(&clean_file))?;
        let list = |file: &mut std::fs::File| {
            let mut out = std::io::BufWriter::new(file);
            clean.iter().try_for_each(|(id, _)| writeln!(out, "{}", report.dataset.key(*id)))?;
            out.flush()
        };
        commits.write(&keys, list).with_context(|| failed(&keys))?;
        for line in said {
            print_to_stderr(&format!("{line}\n"));
        }
        Ok(FILES.iter().map(|name| output::described(&report.out, name)).collect::<Result<_, _>>()?)
    }
}
