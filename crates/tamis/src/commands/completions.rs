//! `tamis completions`.

use std::io::Write as _;

use clap::CommandFactory as _;

use crate::args::{Args, CompletionsArgs};
use crate::exit::ExitStatus;

/// Prints completions for a shell.
pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<ExitStatus> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "tamis", &mut text);
    std::io::stdout().write_all(&text)?;
    Ok(ExitStatus::Clean)
}
