//! One line for each finding, for editors, grep and logs.

use std::io;

use tamis_core::{Dataset, Finding, Outcome, Report};

use crate::terminal::{Ink, paint};
use crate::{RenderError, RenderOptions, Renderer, overview, prose, snippet};

/// `file:row: severity check message [key]` for every finding, then one line that sums up.
#[derive(Debug)]
pub(super) struct Concise;

impl Renderer for Concise {
    fn id(&self) -> &'static str {
        "concise"
    }

    fn render(&self, report: &Report<'_>, options: &RenderOptions, out: &mut dyn io::Write) -> Result<(), RenderError> {
        for (info, finding, standing) in report.triaged() {
            let severity = paint(options.color, finding.severity.into(), finding.severity.id());
            let check = paint(options.color, Ink::Strong, info.id);
            let (place, key) = place_and_key(report.dataset, finding);
            let standing = prose::standing(standing).map(|it| format!(" ({it})")).unwrap_or_default();
            writeln!(out, "{place}: {severity} {check} {}{key}{standing}", snippet::visible(&finding.message))?;
        }
        writeln!(out, "{}", summary(report))?;
        Ok(())
    }
}

/// Where a finding is, and ` [key]` of the sample to act on first; findings about the whole dataset have neither.
fn place_and_key(dataset: &Dataset, finding: &Finding) -> (String, String) {
    let Some(id) = finding.samples.first() else { return ("(dataset)".to_owned(), String::new()) };
    (prose::place(dataset, *id), format!(" [{}]", prose::key(dataset, *id)))
}

fn summary(report: &Report<'_>) -> String {
    let n_findings = report.findings().count();
    let severities = prose::severities(report.findings().map(|(_, finding)| finding));
    let severities = if severities.is_empty() { severities } else { format!(" ({severities})") };
    let findings = format!("{}{severities}", prose::counted(n_findings, "finding"));
    let samples = prose::counted(report.dataset.len(), "sample");
    let ran = report.checks.iter().filter(|it| matches!(it.outcome, Outcome::Ran(_))).count();
    let mut parts = vec![format!("{findings} in {samples}"), format!("checks: {ran} ran")];
    parts.splice(1..1, overview::triage(report));
    for outcome in ["skipped", "failed"] {
        let ids: Vec<&str> =
            report.checks.iter().filter(|it| it.outcome.id() == outcome).map(|it| it.info.id).collect();
        if !ids.is_empty() {
            parts.push(format!("{} {outcome} ({})", ids.len(), ids.join(", ")));
        }
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use crate::{RenderOptions, testing};

    #[test]
    fn a_line_says_where_how_bad_which_check_and_what() {
        insta::assert_snapshot!(testing::rendered("concise", &RenderOptions::default()));
    }

    #[test]
    fn without_color_there_are_no_escape_sequences() {
        assert!(!testing::rendered("concise", &RenderOptions::default()).contains('\x1b'));
        let options = RenderOptions { color: true, ..RenderOptions::default() };
        assert!(testing::rendered("concise", &options).contains("\x1b[1;31mhigh\x1b[0m"));
    }
}
