//! One file per command.

use std::path::PathBuf;
use std::sync::Once;

use tamis::config::FileConfig;
use tamis::keep_order::{KeepBy, KeepOrder};
use tamis_core::SplitRole;
use tamis_data::{Input, ReadOptions};
use tamis_embed::{Device, DeviceChoice};

use crate::args::ReadArgs;
use crate::exit::Usage;

pub(crate) mod apply;

pub(crate) mod audit;

pub(crate) mod card;

pub(crate) mod completions;

pub(crate) mod diff;

pub(crate) mod doctor;

pub(crate) mod embed;

pub(crate) mod explain;

pub(crate) mod labels;

pub(crate) mod leaks;

pub(crate) mod models;

pub(crate) mod pairs;

pub(crate) mod report;

mod trial;

/// More threads than any machine that this runs on has; far more end in a system that has no memory for their stacks.
const MAX_THREADS: usize = 1024;

/// Whether no input is named.
fn names_nothing(args: &ReadArgs) -> bool {
    args.paths.is_empty() && args.train.is_empty() && args.validation.is_empty() && args.test.is_empty()
}

/// The inputs in the order they stand in: paths first, then `--train`, `--validation`, `--test`.
fn inputs(args: &ReadArgs) -> anyhow::Result<Vec<Input>> {
    let mut inputs: Vec<Input> = args.paths.iter().map(|text| input(text)).collect();
    let roles = [
        (&args.train, "train", SplitRole::Train),
        (&args.validation, "validation", SplitRole::Validation),
        (&args.test, "test", SplitRole::Test),
    ];
    for (paths, name, role) in roles {
        let in_split = |path: &PathBuf| Input { path: path.clone(), split: Some((name.to_owned(), Some(role))) };
        inputs.extend(paths.iter().map(in_split));
    }
    if inputs.is_empty() {
        return Err(Usage("nothing to read: name a file or a folder, or use --train and --test".to_owned()).into());
    }
    Ok(inputs)
}

/// `PATH` or `SPLIT=PATH`; what exists under its whole name is a path.
fn input(text: &str) -> Input {
    let whole = PathBuf::from(text);
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
    match text.split_once('=') {
        Some((split, path)) if is_name(split) && !whole.exists() => {
            Input { path: PathBuf::from(path), split: Some((split.to_owned(), None)) }
        }
        _ => Input { path: whole, split: None },
    }
}

/// Which of several copies is kept: flags over the file.
fn keep_order(args: &[String], file: &[String]) -> Result<Option<KeepOrder>, Usage> {
    let names = if args.is_empty() { file } else { args };
    if names.is_empty() {
        return Ok(None);
    }
    let reasons: Result<Vec<KeepBy>, String> = names.iter().map(|name| name.parse()).collect();
    reasons.map(|it| Some(KeepOrder(it))).map_err(Usage)
}

/// How to read: flags over the file.
fn read_options(args: &ReadArgs, file: &FileConfig) -> ReadOptions {
    let over = |flag: &Option<String>, file: &Option<String>| flag.clone().or_else(|| file.clone());
    ReadOptions {
        from: over(&args.from, &file.from),
        text: if args.text.is_empty() && args.image.is_none() { file.text.clone() } else { args.text.clone() },
        image: over(&args.image, &file.image),
        label: over(&args.label, &file.label),
        split: over(&args.split, &file.split),
        id: over(&args.id, &file.id),
    }
}

/// Sets up the thread pool of the whole run.
fn set_threads(args: &ReadArgs, file: &FileConfig) -> anyhow::Result<()> {
    set_n_threads(args.threads.or(file.threads))
}

/// Sets up a thread pool of so many threads, or of one per core.
fn set_n_threads(asked: Option<usize>) -> anyhow::Result<()> {
    if let Some(n) = asked.filter(|n| !(1..=MAX_THREADS).contains(n)) {
        return Err(Usage(format!("threads is {n}, expected a number from 1 to {MAX_THREADS}")).into());
    }
    // A command that audits twice has one pool.
    static IS_SET: Once = Once::new();
    let mut built = Ok(());
    // Zero is rayon's word for one per core.
    let threads = asked.unwrap_or(0);
    IS_SET.call_once(|| built = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global());
    Ok(built?)
}

/// The device that was asked for, by flag or file.
fn device(args: &ReadArgs, file: &FileConfig) -> anyhow::Result<Device> {
    open_device(device_choice(args.device, file)?)
}

/// Where to compute: flag over file.
fn device_choice(flag: Option<DeviceChoice>, file: &FileConfig) -> Result<DeviceChoice, Usage> {
    match (flag, &file.device) {
        (Some(choice), _) => Ok(choice),
        (None, Some(text)) => text.parse().map_err(|error| Usage(format!("device: {error}"))),
        (None, None) => Ok(DeviceChoice::Auto),
    }
}

/// Opens a device, and says where it falls back to the CPU.
fn open_device(choice: DeviceChoice) -> anyhow::Result<Device> {
    let device = Device::open(choice)?;
    if let Some(reason) = device.fallback() {
        tracing::warn!("computing on the CPU: {reason}");
    }
    Ok(device)
}

/// The model's name: flag, file, or none.
fn model_name(args: &ReadArgs, file: &FileConfig) -> Option<String> {
    args.model.clone().or_else(|| file.model.clone())
}
