//! `tamis explain`.

use std::io::Write as _;

use tamis_checks::{CHECKS, DIFF_CHECKS};

use crate::args::ExplainArgs;
use crate::exit::{ExitStatus, Usage};

/// Prints the page of a check, or the list of all.
pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<ExitStatus> {
    let mut out = std::io::stdout().lock();
    let all = CHECKS.iter().map(|def| &def.info).chain(DIFF_CHECKS.iter().map(|check| check.info()));
    let Some(name) = &args.check else {
        for info in all {
            writeln!(out, "{:20} {}", info.id, info.summary)?;
        }
        return Ok(ExitStatus::Clean);
    };
    let Some(info) = all.clone().find(|info| info.id == name) else {
        let known: Vec<&str> = all.map(|info| info.id).collect();
        return Err(Usage(format!("there is no check `{name}`; checks: {}", known.join(", "))).into());
    };
    out.write_all(info.page.as_bytes())?;
    Ok(ExitStatus::Clean)
}
