//! The command `tamis`: arguments in, report out, exit code by what was found.

mod args;

mod commands;

mod exit;

mod interrupt;

mod progress;

use clap::Parser as _;

use crate::args::{Args, Command};
use crate::exit::ExitStatus;

fn main() -> std::process::ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return exit::usage(&error).into(),
    };
    exit::log_to_stderr(args.verbose);
    let done = match args.command {
        Command::Audit(args) => commands::audit::run(args),
        Command::Apply(args) => commands::apply::run(&args),
        Command::Embed(args) => commands::embed::run(&args),
        Command::Pairs(args) => commands::pairs::run(&args),
        Command::Leaks(args) => commands::leaks::run(args),
        Command::Labels(args) => commands::labels::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Card(args) => commands::card::run(&args),
        Command::Diff(args) => commands::diff::run(&args),
        Command::Explain(args) => commands::explain::run(&args),
        Command::Models(args) => commands::models::run(&args),
        Command::Doctor => commands::doctor::run(),
        Command::Completions(args) => commands::completions::run(&args),
    };
    done.unwrap_or_else(|error| ExitStatus::of_error(&error)).into()
}
