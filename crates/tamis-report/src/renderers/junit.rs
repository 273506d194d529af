//! `JUnit` XML, for the test tabs of continuous integration.
//!
//! Elements and attributes are those of the schema that most readers go by (junit-10.xsd of Jenkins' xUnit plugin), and
//! `file` and `line` of a case, which GitLab and others read. There is no time: equal audits give equal bytes.

use std::io;

use tamis_core::{CheckReport, Finding, Outcome, Report, Standing};

use crate::machine::{Place, cut};
use crate::snippet::visible;
use crate::wire::v1;
use crate::{RenderError, RenderOptions, Renderer, prose};

/// Samples that a failure lists.
const MAX_SAMPLES: usize = 10;

/// Characters of a message; the whole stands in the text of the failure.
const MAX_MESSAGE: usize = 300;

/// A suite for each check and a case for each finding: a failure where it counts, skipped where it is known or suppressed. A
/// check without findings is one case that passed, one that did not run is skipped or an error.
#[derive(Debug)]
pub(super) struct Junit;

impl Renderer for Junit {
    fn id(&self) -> &'static str {
        "junit"
    }

    fn render(&self, report: &Report<'_>, _: &RenderOptions, out: &mut dyn io::Write) -> Result<(), RenderError> {
        let mut fingerprints = v1::fingerprints(report);
        let all: Vec<Counts> = (0..report.checks.len()).map(|idx| Counts::of(report, idx)).collect();
        let sum = |of: fn(&Counts) -> usize| all.iter().map(of).sum::<usize>();
        writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
        let (tests, failures, errors) = (sum(|it| it.tests), sum(|it| it.failures), sum(|it| it.errors));
        writeln!(out, r#"<testsuites name="tamis" tests="{tests}" failures="{failures}" errors="{errors}">"#)?;
        for (idx, (check, counts)) in report.checks.iter().zip(&all).enumerate() {
            let Counts { tests, failures, errors, skipped } = counts;
            let id = check.info.id;
            writeln!(
                out,
                r#"  <testsuite name="{id}" tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}">"#
            )?;
            for ((finding, standing), fingerprint) in
                check.outcome.findings().iter().zip(report.standings_of(idx)).zip(fingerprints.by_ref())
            {
                case(out, report, (id, finding, standing), &fingerprint)?;
            }
            if check.outcome.findings().is_empty() {
                without_findings(out, check)?;
            }
            writeln!(out, "  </testsuite>")?;
        }
        writeln!(out, "</testsuites>")?;
        Ok(())
    }
}

/// The numbers of a suite.
#[derive(Debug)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    fn of(report: &Report<'_>, idx: usize) -> Self {
        let check = &report.checks[idx];
        let failures = report.standings_of(idx).filter(|it| it.counts()).count();
        let n = check.outcome.findings().len();
        let (errors, skipped) = match check.outcome {
            Outcome::Ran(_) => (0, n - failures),
            Outcome::Skipped(_) => (0, 1),
            Outcome::Failed(_) => (1, 0),
        };
        Self { tests: n.max(1), failures, errors, skipped }
    }
}

/// The case of a check that has no findings.
fn without_findings(out: &mut dyn io::Write, check: &CheckReport) -> io::Result<()> {
    let (id, summary) = (check.info.id, escaped(check.info.summary));
    let inner = match &check.outcome {
        Outcome::Ran(_) => return writeln!(out, r#"    <testcase classname="tamis.{id}" name="{summary}"/>"#),
        Outcome::Skipped(why) => format!(r#"<skipped message="{}"/>"#, escaped(why)),
        Outcome::Failed(why) => format!(r#"<error type="failed" message="{}"/>"#, escaped(why)),
    };
    writeln!(out, r#"    <testcase classname="tamis.{id}" name="{summary}">{inner}</testcase>"#)
}

/// The case of a finding. Its name holds the fingerprint, so that it is the same case from run to run.
fn case(
    out: &mut dyn io::Write,
    report: &Report<'_>,
    (id, finding, standing): (&str, &Finding, &Standing),
    fingerprint: &str,
) -> io::Result<()> {
    let key = finding.samples.first().map_or("dataset", |id| report.dataset.key(*id));
    let name = escaped(&format!("{} {}", cut(key, MAX_MESSAGE), &fingerprint[..8]));
    let place = Place::of_finding(report, finding);
    let file = place.as_ref().map(|it| format!(r#" file="{}""#, escaped(&it.path))).unwrap_or_default();
    let line = place.and_then(|it| it.line).map(|line| format!(r#" line="{line}""#)).unwrap_or_default();
    writeln!(out, r#"    <testcase classname="tamis.{id}" name="{name}"{file}{line}>"#)?;
    match prose::standing(standing) {
        Some(why) => writeln!(out, r#"      <skipped message="{}"/>"#, escaped(&why))?,
        None => {
            let message = escaped(&cut(&visible(&finding.message), MAX_MESSAGE));
            let severity = finding.severity.id();
            let text = escaped_lines(&described(report, finding, fingerprint));
            writeln!(out, r#"      <failure type="{severity}" message="{message}">{text}</failure>"#)?;
        }
    }
    writeln!(out, "    </testcase>")
}

/// What was found, about which samples, and what to do: one thing a line.
fn described(report: &Report<'_>, finding: &Finding, fingerprint: &str) -> Vec<String> {
    let dataset = report.dataset;
    let confidence = finding.confidence.id();
    let mut lines = vec![format!("{} (severity {}, confidence {confidence})", finding.message, finding.severity.id())];
    for id in finding.samples.iter().take(MAX_SAMPLES) {
        let label = dataset.label_name(*id).map(|it| format!(", labeled {it}")).unwrap_or_default();
        let (key, split) = (dataset.key(*id), dataset.split_name(*id));
        lines.push(format!("{}: {key} of {split}{label}", prose::place(dataset, *id)));
    }
    if MAX_SAMPLES < finding.samples.len() {
        lines.push(format!("and {}", prose::counted(finding.samples.len() - MAX_SAMPLES, "more sample")));
    }
    lines.extend(prose::remedy(dataset, finding));
    lines.push(format!("fingerprint {fingerprint}"));
    lines
}

fn escaped_lines(lines: &[String]) -> String {
    lines.iter().map(|it| escaped(it)).collect::<Vec<_>>().join("\n")
}

/// Text for an attribute or an element on one line. XML 1.0 has no place for control characters, U+FFFE and U+FFFF, not even
/// as references; they are spelled out, as on a terminal.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_suite_is_a_check_and_a_case_is_a_finding() {
        insta::assert_snapshot!(testing::rendered("junit", &RenderOptions::default()));
    }

    #[test]
    fn what_does_not_count_is_skipped_with_its_reason() {
        let xml = testing::rendered_from(&testing::triaged_fixture(), "junit", &RenderOptions::default());
        assert!(xml.contains(r#"<testsuites name="tamis" tests="10" failures="1" errors="1">"#), "{xml}");
        assert!(xml.contains(r#"<skipped message="known from the baseline"/>"#), "{xml}");
        assert!(xml.contains(r"suppressed until 2027-01-31: a &lt;b&gt;test&lt;/b&gt; row, ](x) \u{202e}\n"), "{xml}");
    }

    #[test]
    fn counts_are_those_of_the_elements() {
        for fixture in [testing::fixture(), testing::triaged_fixture()] {
            let xml = testing::rendered_from(&fixture, "junit", &RenderOptions::default());
            let n = |what: &str| xml.matches(what).count();
            let head =
                format!(r#"tests="{}" failures="{}" errors="{}">"#, n("<testcase "), n("<failure "), n("<error "));
            assert!(xml.contains(&format!("<testsuites name=\"tamis\" {head}")), "{head} in {xml}");
        }
    }

    #[test]
    fn no_character_is_left_that_xml_does_not_have() {
        let all: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        let is_char =
            |c: char| matches!(c, '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}');
        assert!(escaped(&all).chars().all(is_char));
        assert_eq!(escaped("a\u{0}\n<b c='\"&'>\u{ffff}"), r"a\u{0}\n&lt;b c=&apos;&quot;&amp;&apos;&gt;\u{ffff}");
    }
}
