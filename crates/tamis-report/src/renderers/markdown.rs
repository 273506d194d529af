//! Markdown for a comment on a pull request or the summary of a job.
//!
//! Whatever comes from the data stands in a code span: in there GitHub reads neither Markdown nor HTML, and nothing is a
//! mention, a reference or a link. Contents of samples are not shown, since a comment goes to everyone who watches.

use std::io;

use tamis_core::{Outcome, Report, Severity};

use crate::machine::{Ranked, cut, failing, worst_first};
use crate::markdown::{cell, code};
use crate::overview::{self, CheckRow};
use crate::{RenderError, RenderOptions, Renderer, prose};

/// Bytes of the whole text. A comment holds 65,536 characters.
const MAX_BYTES: usize = 60_000;

/// Findings shown of a check.
const MAX_FINDINGS: usize = 10;

/// Characters shown of a message.
const MAX_MESSAGE: usize = 300;

/// Characters shown of a reason or a note.
const MAX_NOTE: usize = 500;

/// Labels that are named.
const MAX_LABELS: usize = 8;

/// Verdict, a table of the checks, and the worst findings of each, folded.
#[derive(Debug)]
pub(super) struct Markdown;

impl Renderer for Markdown {
    fn id(&self) -> &'static str {
        "markdown"
    }

    fn render(&self, report: &Report<'_>, _: &RenderOptions, out: &mut dyn io::Write) -> Result<(), RenderError> {
        let all = worst_first(report)?;
        let mut text = head(report);
        text.push_str(&table(report));
        let foot = foot(report);
        for check in report.checks {
            let of_check: Vec<&Ranked<'_>> = all.iter().filter(|it| it.info.id == check.info.id).collect();
            if of_check.is_empty() {
                continue;
            }
            let section = section(report, &of_check);
            if MAX_BYTES < text.len() + section.len() + foot.len() {
                text.push_str("\nThe findings of further checks do not fit in here; they are in `findings.jsonl`.\n");
                break;
            }
            text.push_str(&section);
        }
        text.push_str(&foot);
        out.write_all(text.as_bytes())?;
        Ok(())
    }
}

fn head(report: &Report<'_>) -> String {
    let failed: Vec<&str> =
        report.checks.iter().filter(|it| matches!(it.outcome, Outcome::Failed(_))).map(|it| it.info.id).collect();
    // A comment by this line is one that a workflow may write anew.
    let mut text = "<!-- tamis -->\n### tamis: ".to_owned();
    text.push_str(&match failing(report) {
        _ if !failed.is_empty() => format!("{} failed", prose::counted(failed.len(), "check")),
        Some((fail_on, 0)) => format!("no finding at or above {fail_on}"),
        Some((fail_on, n)) => format!("{} at or above {fail_on}", prose::counted(n, "finding")),
        None => prose::counted(report.findings().count(), "finding"),
    });
    text.push_str(&format!("\n\n{}\n\n", overview::verdict(report)));
    for (name, value) in overview::dataset_facts(report, MAX_LABELS) {
        text.push_str(&format!("- {name}: {}\n", code(&cut(&value, MAX_NOTE))));
    }
    text
}

fn table(report: &Report<'_>) -> String {
    let mut text = "\n| check | findings | worst | samples | rate |\n|---|---:|---|---:|---:|\n".to_owned();
    for row in report.checks.iter().map(CheckRow::new) {
        let cells = match row.outcome {
            Ok(counts) => {
                let worst = counts.worst.map_or("", Severity::id);
                format!("{} | {worst} | {} | {}", prose::count(counts.findings), counts.samples, counts.rate)
            }
            // A bar ends a cell even in a code span.
            Err((outcome, why)) => format!("{outcome} | {} | | ", cell(&cut(why, MAX_NOTE))),
        };
        text.push_str(&format!("| `{}` | {cells} |\n", row.id));
    }
    text
}

/// The findings of one check, which are not none.
fn section(report: &Report<'_>, findings: &[&Ranked<'_>]) -> String {
    let info = findings[0].info;
    let n = prose::counted(findings.len(), "finding");
    let mut text = format!("\n<details><summary><code>{}</code>: {n}</summary>\n\n", info.id);
    text.push_str(&format!("{}.\n\n", prose::capitalized(info.summary)));
    for Ranked { finding, standing, .. } in findings.iter().take(MAX_FINDINGS) {
        text.push_str(&format!("- **{}** {}", finding.severity.id(), code(&cut(&finding.message, MAX_MESSAGE))));
        if let Some(id) = finding.samples.first() {
            let (key, place) = (prose::key(report.dataset, *id), prose::place(report.dataset, *id));
            text.push_str(&format!(" at {}, key {}", code(&cut(&place, MAX_MESSAGE)), code(&cut(&key, MAX_MESSAGE))));
        }
        if let Some(remedy) = prose::remedy(report.dataset, finding) {
            text.push_str(&format!("; {}", code(&cut(&remedy, MAX_MESSAGE))));
        }
        if let Some(why) = prose::standing(standing) {
            text.push_str(&format!("; {}", code(&cut(&why, MAX_MESSAGE))));
        }
        text.push('\n');
    }
    if MAX_FINDINGS < findings.len() {
        let more = prose::counted(findings.len() - MAX_FINDINGS, "more finding");
        text.push_str(&format!("- and {more} in `findings.jsonl`\n"));
    }
    text.push_str("\n</details>\n");
    text
}

fn foot(report: &Report<'_>) -> String {
    let mut text = String::new();
    if !report.notes.is_empty() {
        text.push_str("\n<details><summary>Notes</summary>\n\n");
        for note in report.notes.iter().take(MAX_FINDINGS) {
            text.push_str(&format!("- {}\n", code(&cut(note, MAX_NOTE))));
        }
        text.push_str("\n</details>\n");
    }
    text.push_str(&format!(
        "\ntamis {}. `tamis explain CHECK` says how a check works and when it is wrong.\n",
        report.version
    ));
    text
}

#[cfg(test)]
mod tests {
    use tamis_core::Finding;

    use super::*;
    use crate::testing;

    #[test]
    fn a_comment_has_verdict_table_and_findings() {
        insta::assert_snapshot!(testing::rendered("markdown", &RenderOptions::default()));
    }

    #[test]
    fn what_does_not_count_says_why_and_comes_last() {
        let text = testing::rendered_from(&testing::triaged_fixture(), "markdown", &RenderOptions::default());
        assert!(text.contains("Of these 1 suppressed, 6 known from the baseline, 1 new."), "{text}");
        assert!(
            text.contains(r"`suppressed until 2027-01-31: a <b>test</b> row, ](x) \u{202e}\n::error::no`"),
            "{text}"
        );
    }

    #[test]
    fn it_fits_in_a_comment_whatever_was_found() {
        let mut fixture = testing::fixture();
        for check in &mut fixture.checks {
            if let Outcome::Ran(result) = &mut check.outcome {
                let first = result.findings[0].clone();
                let long = Finding { message: "`\u{202e}@a|".repeat(10_000), ..first };
                result.findings = vec![long; 500];
            }
        }
        let text = testing::rendered_from(&fixture, "markdown", &RenderOptions::default());
        assert!(text.len() < 65_536, "{}", text.len());
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    }

    #[test]
    fn nothing_from_the_data_is_outside_of_a_span() {
        let mut fixture = testing::fixture();
        let Outcome::Ran(result) = &mut fixture.checks[2].outcome else { panic!("it ran") };
        result.findings[0].message = "@team #1 ` <img src=x> `` [a](javascript:b) \u{202e}".to_owned();
        if let Outcome::Skipped(why) = &mut fixture.checks[8].outcome {
            *why = "a | b @team".to_owned();
        }
        let text = testing::rendered_from(&fixture, "markdown", &RenderOptions::default());
        assert!(text.contains("```@team #1 ` <img src=x> `` [a](javascript:b) \\u{202e}```"), "{text}");
        assert!(text.contains(r"| `benchmark-contamination` | skipped | `a \| b @team` | |  |"), "{text}");
        assert!(!text.contains('\u{202e}'));
    }
}
