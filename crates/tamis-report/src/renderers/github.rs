//! Annotations of GitHub Actions: workflow commands on stdout.
//!
//! Commands and their escaping are those of "Workflow commands for GitHub Actions" (docs.github.com): in a message `%`, CR
//! and LF are escaped, in a property `:` and `,` as well. GitHub shows ten annotations of a level and a step, so the worst
//! ten are written, and a notice counts the rest.

use std::io;

use tamis_core::{Finding, Outcome, Report, Severity};

use crate::machine::{Place, Ranked, cut, worst_first};
use crate::snippet::visible;
use crate::{RenderError, RenderOptions, Renderer, prose};

/// Annotations of one level that GitHub shows for a step.
const MAX_OF_LEVEL: usize = 10;

/// Characters of a message.
const MAX_MESSAGE: usize = 1_000;

/// An annotation for each finding that counts, as many as are shown, and one for each check that failed.
#[derive(Debug)]
pub(super) struct Github;

impl Renderer for Github {
    fn id(&self) -> &'static str {
        "github"
    }

    fn render(&self, report: &Report<'_>, _: &RenderOptions, out: &mut dyn io::Write) -> Result<(), RenderError> {
        let mut room = [("error", MAX_OF_LEVEL), ("warning", MAX_OF_LEVEL), ("notice", MAX_OF_LEVEL - 1)];
        let mut take = |level: &str| {
            let left = room.iter_mut().find(|(it, left)| *it == level && 0 < *left)?;
            left.1 -= 1;
            Some(())
        };
        for check in report.checks {
            if let Outcome::Failed(why) = &check.outcome
                && take("error").is_some()
            {
                writeln!(out, "::error title={}::{}", property("check failed"), message(&[check.info.id, ": ", why]))?;
            }
        }
        let all = worst_first(report)?;
        let counted: Vec<&Ranked<'_>> = all.iter().filter(|it| it.standing.counts()).collect();
        let mut n_left_out = 0;
        for ranked in &counted {
            let level = level(ranked.finding.severity);
            match take(level) {
                Some(()) => writeln!(out, "{}", annotation(report, level, ranked))?,
                None => n_left_out += 1,
            }
        }
        writeln!(out, "::notice title=tamis::{}", message(&[&summary(report, &all, n_left_out)]))?;
        Ok(())
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "notice",
    }
}

fn annotation(report: &Report<'_>, level: &str, Ranked { info, finding, .. }: &Ranked<'_>) -> String {
    let place = Place::of_finding(report, finding);
    let file = place.as_ref().map(|it| format!("file={},", property(&it.path))).unwrap_or_default();
    let line = place.and_then(|it| it.line).map(|line| format!("line={line},")).unwrap_or_default();
    format!("::{level} {file}{line}title={}::{}", property(info.id), text(report, finding))
}

/// What was found, about which sample, and what to do.
fn text(report: &Report<'_>, finding: &Finding) -> String {
    let key = finding.samples.first().map(|id| format!(" [{}]", report.dataset.key(*id))).unwrap_or_default();
    let remedy = prose::remedy(report.dataset, finding).map(|it| format!(" {it}")).unwrap_or_default();
    message(&[&finding.message, &key, &remedy])
}

/// How many findings there are, and how many have no annotation.
fn summary(report: &Report<'_>, all: &[Ranked<'_>], n_left_out: usize) -> String {
    let verdict = crate::overview::verdict(report);
    match n_left_out {
        0 => verdict,
        n => format!("{verdict} {} of {} without an annotation, in findings.jsonl.", prose::count(n), all.len()),
    }
}

/// Text as a message: on one line, nothing hidden, and nothing that ends a command.
fn message(parts: &[&str]) -> String {
    escaped(&cut(&visible(&parts.concat()), MAX_MESSAGE))
}

/// Text as a property.
fn property(text: &str) -> String {
    escaped(&visible(text)).replace(':', "%3A").replace(',', "%2C")
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use tamis_core::Outcome;

    use super::*;
    use crate::testing::{self, Fixture};

    fn lines(fixture: &Fixture) -> Vec<String> {
        let text = testing::rendered_from(fixture, "github", &RenderOptions::default());
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_is_an_annotation() {
        insta::assert_snapshot!(testing::rendered("github", &RenderOptions::default()));
    }

    #[test]
    fn what_does_not_count_has_none_and_is_counted() {
        let lines = lines(&testing::triaged_fixture());
        let findings: Vec<_> = lines.iter().filter(|it| it.contains("file=")).collect();
        assert_eq!(findings.len(), 1, "{lines:?}");
        assert!(findings[0].starts_with("::error file=mail/test.jsonl,line=1,title=split-leak::"), "{findings:?}");
        let end =
            "Of these 1 suppressed, 6 known from the baseline, 1 new. Checks that did not run: 1 skipped, 1 failed.";
        assert!(lines.last().unwrap().ends_with(end), "{lines:?}");
    }

    #[test]
    fn ten_of_a_level_are_shown_and_the_rest_is_counted() {
        let mut fixture = testing::fixture();
        let Outcome::Ran(result) = &mut fixture.checks[2].outcome else { panic!("it ran") };
        result.findings = vec![result.findings[0].clone(); 40];
        let lines = lines(&fixture);
        let n = |level: &str| lines.iter().filter(|it| it.starts_with(level)).count();
        assert_eq!([n("::error "), n("::warning "), n("::notice ")], [2, 3, 10]);
        assert!(lines.last().unwrap().ends_with("34 of 47 without an annotation, in findings.jsonl."), "{lines:?}");
    }

    #[test]
    fn nothing_from_the_data_is_a_command() {
        let mut fixture = testing::fixture();
        let Outcome::Ran(result) = &mut fixture.checks[4].outcome else { panic!("it ran") };
        result.findings[0].message = "100%\n::error::x\r\u{1b}[31m ##[add-path]/".to_owned();
        let lines = lines(&fixture);
        let line = lines.iter().find(|it| it.contains("split-leak")).unwrap();
        assert!(
            line.ends_with(r"split-leak::100%25\n::error::x\r\u{1b}[31m ##[add-path]/ [m9] Drop m1, m2."),
            "{line}"
        );
        assert!(lines.iter().all(|it| ["::error ", "::warning ", "::notice "].iter().any(|of| it.starts_with(of))));
        assert_eq!(property("a:b,c%\n"), r"a%3Ab%2Cc%25\n");
    }
}
