//! `tamis explain`.

use std::io::Write as _;

use tamis::audit::check_def;
use tamis_checks::CHECKS;

use crate::args::ExplainArgs;
use crate::exit::{ExitStatus, Usage};

/// Prints the page of a check, or the list of all.
pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<ExitStatus> {
    let mut out = std::io::stdout().lock();
    let Some(name) = &args.check else {
        for def in CHECKS {
            writeln!(out, "{:20} {}", def.info.id, def.info.summary)?;
        }
        return Ok(ExitStatus::Clean);
    };
    let Some(def) = check_def(name) else {
        let known: Vec<&str> = CHECKS.iter().map(|def| def.info.id).collect();
        return Err(Usage(format!("there is no check `{name}`; checks: {}", known.join(", "))).into());
    };
    out.write_all(def.info.page.as_bytes())?;
    Ok(ExitStatus::Clean)
}
