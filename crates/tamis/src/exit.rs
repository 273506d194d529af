//! How a run ends: exit codes, and errors as a person reads them. See `docs/exit-codes.md`.

use std::io::Write as _;
use std::process::ExitCode;

use tamis::apply::ApplyError;
use tamis::audit::AuditError;
use tamis::config::ConfigError;
use tamis::ingest::IngestError;
use tamis::model::UnfitModel;
use tamis::models::{self, NoSuchModel};
use tamis::probabilities::BadProbabilities;
use tamis_data::ReadError;
use tamis_data::store::StoreError;
use tamis_embed::HubError;
use tamis_embed::distill::DistillError;
use tamis_report::RenderError;

use crate::commands::labels;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// Nothing found at or above `--fail-on`.
    Clean = 0,
    /// Something found at or above `--fail-on`.
    Findings = 1,
    /// The command or the configuration was wrong.
    Usage = 2,
    /// Nothing to audit, unreadable input, a check that failed, or a resource that is not there.
    Failed = 3,
    /// Ended by ctrl-C or a request to terminate: 128 and the number of SIGINT, as shells have it.
    Interrupted = 130,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

impl ExitStatus {
    /// Prints `error` with its causes and a hint, and says how the run ends. A closed pipe is no error: whoever read the
    /// output had enough.
    pub(crate) fn of_error(error: &anyhow::Error) -> Self {
        if error.chain().any(is_closed_pipe) {
            return Self::Clean;
        }
        let mut text = format!("error: {error}\n");
        // A transparent variant says what its cause says; once is enough.
        let mut said = error.to_string();
        for cause in error.chain().skip(1).map(ToString::to_string) {
            if cause != said {
                text.push_str(&format!("caused by: {cause}\n"));
            }
            said = cause;
        }
        if let Some(hint) = error.chain().find_map(hint) {
            text.push_str(&format!("\nhint: {hint}\n"));
        }
        print_to_stderr(&text);
        if error.chain().any(is_usage) { Self::Usage } else { Self::Failed }
    }
}

/// A mistake that the command itself noticed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

fn is_usage(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<Usage>()
        || cause.is::<ConfigError>()
        || no_model(cause).is_some_and(|it| !matches!(it, NoSuchModel::Damaged(_)))
        || matches!(cause.downcast_ref(), Some(AuditError::Model(UnfitModel::Modality { .. })))
        || matches!(
            cause.downcast_ref(),
            Some(
                AuditError::NoSuchColumn { .. }
                    | AuditError::Probabilities(BadProbabilities::Rows { .. } | BadProbabilities::Columns { .. })
            )
        )
        || matches!(cause.downcast_ref(), Some(UnfitModel::Modality { .. }))
        || cause.downcast_ref().is_some_and(ApplyError::is_usage)
        || cause.downcast_ref().is_some_and(labels::is_usage)
        || matches!(cause.downcast_ref(), Some(DistillError::Dim { .. } | DistillError::Exists { .. }))
        || read_error(cause).is_some_and(ReadError::is_usage)
}

/// The error of the reader, also where transparent errors stand around it.
fn read_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a ReadError> {
    if let Some(AuditError::Ingest(IngestError::Read(error))) = cause.downcast_ref() {
        return Some(error);
    }
    if let Some(IngestError::Read(error)) = cause.downcast_ref() {
        return Some(error);
    }
    cause.downcast_ref()
}

/// The error about a model's name, also where transparent errors stand around it.
fn no_model<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a NoSuchModel> {
    if let Some(AuditError::NoSuchModel(error)) = cause.downcast_ref() {
        return Some(error);
    }
    cause.downcast_ref()
}

/// The error of the store, also where transparent errors stand around it.
fn store_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a StoreError> {
    if let Some(AuditError::Store(error) | AuditError::Ingest(IngestError::Store(error))) = cause.downcast_ref() {
        return Some(error);
    }
    if let Some(IngestError::Store(error)) = cause.downcast_ref() {
        return Some(error);
    }
    cause.downcast_ref()
}

fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = read_error(cause) {
        return error.hint();
    }
    if let Some(error) = store_error(cause) {
        return error.hint();
    }
    if let Some(error) = no_model(cause) {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<ApplyError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<HubError>() {
        return models::hint(error);
    }
    if let Some(error) = cause.downcast_ref::<tamis_labels::Error>() {
        return labels::hint(error);
    }
    match cause.downcast_ref()? {
        AuditError::Out { .. } => Some("name another folder with --out DIR".to_owned()),
        _ => None,
    }
}

fn is_closed_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    let io = match cause.downcast_ref() {
        Some(RenderError::Write(error)) => Some(error),
        _ => cause.downcast_ref::<std::io::Error>(),
    };
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Prints what clap says of wrong arguments, or the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitStatus {
    // A terminal that is gone cannot be told about it.
    let _ = error.print();
    if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Clean }
}

/// Sends log lines to stderr, warnings and errors unless `-v` asks for more.
pub(crate) fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .init();
}

/// Prints to stderr; if that is closed there is nobody left to tell.
pub(crate) fn print_to_stderr(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
