//! `tamis completions`.

use clap::CommandFactory as _;

use crate::args::{Args, CompletionsArgs};
use crate::exit::ExitStatus;

/// Prints completions for a shell.
#[expect(clippy::unnecessary_wraps, reason = "commands have one shape")]
pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<ExitStatus> {
    clap_complete::generate(args.shell, &mut Args::command(), "tamis", &mut std::io::stdout());
    Ok(ExitStatus::Clean)
}
