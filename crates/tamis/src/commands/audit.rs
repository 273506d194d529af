//! `tamis audit`.

use std::io::{BufWriter, ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tamis::audit::{self, Audit, AuditOptions};
use tamis::config::{self, ConfigError, FileConfig};
use tamis::date::Date;
use tamis::dry_run::{self, DryRun};
use tamis::ingest::WindowSize;
use tamis::like::Like;
use tamis::output;
use tamis::triage::{Baseline, Triage};
use tamis_core::{InputFile, Outcome, Report, Severity};
use tamis_data::Input;
use tamis_data::atomic::Commits;
use tamis_data::store::Store;
use tamis_report::{DEFAULT_BUDGET, RENDERERS, RenderError, RenderOptions, Renderer};

use super::{device, inputs, keep_order, model_name, names_nothing, read_options, set_threads};
use crate::args::AuditArgs;
use crate::exit::{ExitStatus, Usage, print_to_stderr};
use crate::interrupt;
use crate::progress::Bars;

/// Audits, prints and writes.
pub(crate) fn run(args: AuditArgs) -> anyhow::Result<ExitStatus> {
    let Some(path) = &args.like else {
        let inputs = inputs(&args.read)?;
        return run_on(&args, inputs, |_, _| Ok(Vec::new()));
    };
    let like = Like::open(path)?;
    let inputs = if names_nothing(&args.read) { like.inputs()? } else { inputs(&args.read)? };
    run_on(&args, inputs, |report, _| {
        for difference in like.differences(report)? {
            tracing::warn!("{difference}");
        }
        Ok(Vec::new())
    })
}

/// What is configured: as in the record that the audit is to be like, else by the configuration file.
fn base(args: &AuditArgs) -> anyhow::Result<(FileConfig, Option<PathBuf>)> {
    Ok(match &args.like {
        Some(path) => Like::open(path)?.config()?,
        None => config::load(args.read.config.as_deref())?,
    })
}

/// The same for inputs whose splits are known; `further` writes further files of the record and says which.
pub(crate) fn run_on(
    args: &AuditArgs,
    inputs: Vec<Input>,
    further: impl FnOnce(&Report<'_>, &Commits) -> anyhow::Result<Vec<InputFile>>,
) -> anyhow::Result<ExitStatus> {
    let plan = plan(args, inputs)?;
    let bars = Bars::new(args.read.quiet);
    if args.dry_run {
        let store = Store::temporary(&config::scratch_dir())?;
        interrupt::remove_scratch(store.dir().to_owned());
        let dry_run = dry_run::dry_run(&plan.options, &store, &bars)?;
        std::io::stdout().write_all(dry_run_text(&dry_run).as_bytes())?;
        return Ok(ExitStatus::Clean);
    }
    interrupt::say_how_to_resume(&plan.options.out);
    let fail_on = plan.options.fail_on;
    let audit = recorded(plan.options, &plan.triage, &plan.page, &bars, further)?;
    match print(&audit, plan.renderer, plan.page) {
        // Whoever read the report had enough of it; what was found stands.
        Err(RenderError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => {}
        printed => printed?,
    }
    Ok(status(&audit.report(), fail_on, args.report.exit_zero))
}

/// Audits data as `tamis audit PATH --out DIR` does, but prints no report.
pub(super) fn record(args: &AuditArgs) -> anyhow::Result<()> {
    let plan = plan(args, inputs(&args.read)?)?;
    recorded(plan.options, &plan.triage, &plan.page, &Bars::new(args.read.quiet), |_, _| Ok(Vec::new()))?;
    Ok(())
}

/// All that an audit was asked for, known to be usable before hours of work.
struct Plan {
    options: AuditOptions,
    triage: Triage,
    page: RenderOptions,
    renderer: &'static dyn Renderer,
}

fn plan(args: &AuditArgs, inputs: Vec<Input>) -> anyhow::Result<Plan> {
    let (file, config_file) = base(args)?;
    set_threads(&args.read, &file)?;
    let fail_on = fail_on(args, &file)?;
    let format =
        args.report.format.clone().or_else(|| file.format.clone()).unwrap_or_else(|| RENDERERS[0].id().to_owned());
    let renderer = tamis_report::find(&format).ok_or_else(|| {
        let known: Vec<&str> = RENDERERS.iter().map(|it| it.id()).collect();
        Usage(format!("there is no format `{format}`, expected one of {}", known.join(", ")))
    })?;
    let page = page(args, &file)?;
    let options = options(args, inputs, &file, fail_on, config_file)?;
    Ok(Plan { triage: triage(args, &file, &options.out)?, options, page, renderer })
}

/// Audits, and writes the record.
fn recorded(
    options: AuditOptions,
    triage: &Triage,
    page: &RenderOptions,
    bars: &Bars,
    further: impl FnOnce(&Report<'_>, &Commits) -> anyhow::Result<Vec<InputFile>>,
) -> anyhow::Result<Audit> {
    let mut audit = audit::run(options, bars)?;
    audit.triage(triage)?;
    let started = Instant::now();
    let mut outputs = output::write(&audit.report(), page, audit.commits())?;
    outputs.extend(further(&audit.report(), audit.commits())?);
    audit.set_outputs(outputs);
    let n_findings = audit.report().findings().count();
    audit.add_time("write", n_findings, started.elapsed().as_secs_f64());
    output::write_audit(&audit.report(), audit.commits())?;
    Ok(audit)
}

/// What decides which findings count.
fn triage(args: &AuditArgs, file: &FileConfig, out: &Path) -> anyhow::Result<Triage> {
    let baseline = args.report.baseline.as_ref().or(file.baseline.as_ref());
    let baseline = baseline.map(|path| Baseline::read(path)).transpose()?;
    if let Some(path) = baseline.as_ref().map(Baseline::path).filter(|it| is_same(it, &out.join("findings.jsonl"))) {
        let path = path.display();
        let mend = "expected a copy of it in another place, or another --out: a second run would know all that the first one found";
        return Err(Usage(format!("the baseline `{path}` is what this run writes; {mend}")).into());
    }
    Ok(Triage::new(baseline, file.suppress.clone(), args.report.today.unwrap_or_else(today))?)
}

/// The day in UTC.
#[expect(clippy::disallowed_methods, reason = "the one look at the calendar: whether a suppression has expired")]
fn today() -> Date {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Date::of_unix_time(since.as_secs())
}

fn print(audit: &Audit, renderer: &dyn Renderer, page: RenderOptions) -> Result<(), RenderError> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    renderer.render(&audit.report(), &for_stdout(page), &mut out)?;
    Ok(out.flush()?)
}

fn options(
    args: &AuditArgs,
    inputs: Vec<Input>,
    file: &FileConfig,
    fail_on: Severity,
    config_file: Option<PathBuf>,
) -> anyhow::Result<AuditOptions> {
    let only = if args.only.is_empty() { &file.only } else { &args.only };
    let skip = if args.skip.is_empty() { &file.skip } else { &args.skip };
    let checks = config::checks(file, only, skip, &args.set)?;
    if checks.is_empty() {
        return Err(Usage("no check is left to run: --skip leaves out all that --only names".to_owned()).into());
    }
    let window = match args.window {
        None => WindowSize::default(),
        Some(n) => WindowSize { texts: n, images: n, ..WindowSize::default() },
    };
    let out = args.out.clone().or_else(|| file.out.clone()).unwrap_or_else(|| PathBuf::from("tamis-out"));
    if let Some(input) = inputs.iter().find(|it| is_same(&it.path, &out)) {
        let path = input.path.display();
        return Err(Usage(format!("--out is `{path}`, which is read: expected another folder for the record")).into());
    }
    let page = page(args, file)?;
    Ok(AuditOptions {
        inputs,
        read: read_options(&args.read, file),
        out,
        model: model_name(&args.read, file),
        hub: config::hub(),
        device: device(&args.read, file)?,
        checks,
        keep: keep_order(&args.keep, &file.keep)?,
        pred_probs: args.pred_probs.clone().or_else(|| file.pred_probs.clone()),
        seed: args.report.seed.or(file.seed).unwrap_or(0),
        fail_on,
        config_file,
        redact: page.redact,
        report_budget: page.budget,
        // Where the binary lies is nobody's business.
        command: std::iter::once("tamis".to_owned())
            .chain(std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()))
            .collect(),
        window,
        commits: Arc::new(commits(args.failpoint)),
    })
}

/// Whether both are there and lead to one place.
fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Writes as always, or stops for good at a point that a test has named.
pub(super) fn commits(failpoint: Option<u64>) -> Commits {
    match failpoint {
        None => Commits::new(),
        Some(n) => Commits::stopping_at(n, Box::new(|| print_to_stderr("failpoint reached\n"))),
    }
}

fn fail_on(args: &AuditArgs, file: &FileConfig) -> Result<Severity, Usage> {
    let named = args.report.fail_on.as_ref().or(file.fail_on.as_ref());
    let Some(name) = named else { return Ok(Severity::High) };
    let known = Severity::ALL.map(Severity::id).join(", ");
    let found = Severity::ALL.into_iter().find(|severity| severity.id() == name);
    found.ok_or_else(|| Usage(format!("fail_on is `{name}`, expected one of {known}")))
}

/// What the HTML page may hold.
fn page(args: &AuditArgs, file: &FileConfig) -> Result<RenderOptions, ConfigError> {
    let named = args.report.page.report_budget.as_ref().or(file.report_budget.as_ref());
    let budget = named.map_or(Ok(DEFAULT_BUDGET), |text| config::report_budget(text))?;
    Ok(RenderOptions { budget, redact: args.report.page.is_redacted(file.redact), ..RenderOptions::default() })
}

/// Adds what stdout can show.
pub(super) fn for_stdout(mut options: RenderOptions) -> RenderOptions {
    let stdout = std::io::stdout();
    if stdout.is_terminal() {
        options.color = !config::no_color();
        let width = usize::from(console::Term::stdout().size().1);
        options.width = width.clamp(40, 120);
    }
    options
}

/// Whether a check failed; says which.
pub(super) fn has_failed(report: &Report<'_>) -> bool {
    let mut has_failed = false;
    for check in report.checks {
        if let Outcome::Failed(reason) = &check.outcome {
            has_failed = true;
            print_to_stderr(&format!("error: check {} failed: {reason}\n", check.info.id));
        }
    }
    has_failed
}

/// A check that failed beats findings.
fn status(report: &Report<'_>, fail_on: Severity, exit_zero: bool) -> ExitStatus {
    if has_failed(report) {
        return ExitStatus::Failed;
    }
    let found = report.worst().is_some_and(|worst| fail_on <= worst);
    if found && !exit_zero { ExitStatus::Findings } else { ExitStatus::Clean }
}

fn dry_run_text(it: &DryRun) -> String {
    let mut text = format!(
        "samples            {}\ndistinct           {}\nreading            {}, measured\nembedding          {}\njoins              {}\nmemory             \
         about {}\nstore on disk      about {}\n",
        it.n_samples,
        it.n_distinct,
        duration(it.read_seconds),
        it.embed_seconds.map_or("none".to_owned(), duration),
        it.join_seconds.map_or("none".to_owned(), duration),
        bytes(it.memory_bytes),
        bytes(it.store_bytes),
    );
    text.push_str("\nchecks\n");
    for (id, skipped) in &it.checks {
        let what =
            skipped.as_ref().map_or_else(|| "would run".to_owned(), |reason| format!("would be skipped: {reason}"));
        text.push_str(&format!("  {id:20} {what}\n"));
    }
    text.push_str("\nread as\n");
    for note in &it.notes {
        text.push_str(&format!("  {note}\n"));
    }
    text
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "under a second".to_owned(),
        s if s < 120.0 => format!("about {s:.0} s"),
        s if s < 7200.0 => format!("about {:.0} min", s / 60.0),
        s => format!("about {:.1} h", s / 3600.0),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people, three digits")]
fn bytes(n: u64) -> String {
    match n as f64 {
        n if n < 1e6 => format!("{:.0} kB", n / 1e3),
        n if n < 1e9 => format!("{:.0} MB", n / 1e6),
        n => format!("{:.1} GB", n / 1e9),
    }
}
