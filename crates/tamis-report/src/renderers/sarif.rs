//! SARIF 2.1.0 (OASIS, 2020), for code scanning and editors.
//!
//! A finding is a group of samples already, so it is one result: its place is the sample to act on first, the other samples
//! are related locations. The limits are those of GitHub's code scanning ("SARIF results exceed one or more limits",
//! docs.github.com): it rejects a file of more than 10 MB packed and keeps 5,000 results of a run and 100 locations of a
//! result. What does not fit is the least severe, and a notification of the invocation says how much it is.

use std::io;

use serde_json::{Value as Json, json};
use tamis_core::{CheckInfo, Finding, Outcome, Report, SampleId, Severity};

use crate::machine::{Place, Ranked, cut, worst_first};
use crate::snippet::visible;
use crate::{RenderError, RenderOptions, Renderer, prose};

/// Results of a run that GitHub keeps.
const MAX_RESULTS: usize = 5_000;

/// Bytes of all results, before packing: whatever they pack to, 10 MB are not reached.
const MAX_BYTES: usize = 9_000_000;

/// Other samples that a result lists.
const MAX_RELATED: usize = 10;

/// Characters of a description that GitHub takes.
const MAX_DESCRIPTION: usize = 1_024;

/// Characters of a message.
const MAX_MESSAGE: usize = 1_024;

/// One run with a rule for each check and a result for each finding.
#[derive(Debug)]
pub(super) struct Sarif;

impl Renderer for Sarif {
    fn id(&self) -> &'static str {
        "sarif"
    }

    fn render(&self, report: &Report<'_>, _: &RenderOptions, out: &mut dyn io::Write) -> Result<(), RenderError> {
        let all = worst_first(report)?;
        let results = results(report, &all, MAX_RESULTS, MAX_BYTES);
        let n_left_out = all.len() - results.len();
        let has_failed = report.checks.iter().any(|check| matches!(check.outcome, Outcome::Failed(_)));
        let log = json!({
            "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "tamis",
                    "version": report.version,
                    "semanticVersion": report.version,
                    "rules": report.checks.iter().map(|check| rule(check.info)).collect::<Vec<_>>(),
                } },
                "invocations": [{
                    "executionSuccessful": !has_failed,
                    "toolExecutionNotifications": notifications(report, n_left_out),
                }],
                "results": results,
            }],
        });
        serde_json::to_writer(&mut *out, &log)?;
        out.write_all(b"\n")?;
        Ok(())
    }
}

fn rule(info: &CheckInfo) -> Json {
    let mut rule = json!({
        "id": info.id,
        "shortDescription": { "text": cut(info.summary, MAX_DESCRIPTION) },
        "fullDescription": { "text": cut(first_paragraph(info), MAX_DESCRIPTION) },
        "help": { "text": format!("Run `tamis explain {}` for method, limits and options.", info.id) },
        "properties": { "tags": ["dataset"] },
    });
    if !info.page.is_empty() {
        rule["help"]["markdown"] = Json::from(info.page);
    }
    rule
}

/// What a check does in its page's words.
fn first_paragraph(info: &CheckInfo) -> &'static str {
    let paragraphs = info.page.split('\n').map(str::trim);
    paragraphs.filter(|it| !it.is_empty() && !it.starts_with('#')).chain([info.summary]).next().unwrap_or_default()
}

/// The worst findings as results, as many as fit.
fn results(report: &Report<'_>, all: &[Ranked<'_>], max_results: usize, max_bytes: usize) -> Vec<Json> {
    let mut n_bytes = 0;
    let mut results = Vec::new();
    for ranked in all.iter().take(max_results) {
        let result = result(report, ranked);
        n_bytes += result.to_string().len() + 1;
        if max_bytes < n_bytes {
            break;
        }
        results.push(result);
    }
    results
}

fn result(report: &Report<'_>, ranked: &Ranked<'_>) -> Json {
    let Ranked { info, finding, standing, fingerprint } = ranked;
    let place = Place::of_finding(report, finding);
    let mut fingerprints = json!({ "tamis/v1": fingerprint });
    if place.as_ref().is_none_or(|it| it.line.is_none()) {
        // Without a line GitHub would take the hash of the file's first line for all findings of the file.
        fingerprints["primaryLocationLineHash"] = Json::from(fingerprint.as_str());
    }
    let first = place.map(|place| {
        let mut location = location(&place);
        if let Some(id) = finding.samples.first() {
            location["logicalLocations"] = json!([{ "name": visible(report.dataset.key(*id)) }]);
        }
        location
    });
    let mut result = json!({
        "ruleId": info.id,
        "ruleIndex": report.checks.iter().position(|check| check.info.id == info.id),
        "level": level(finding.severity),
        "message": { "text": message(report, finding) },
        "locations": first.into_iter().collect::<Vec<_>>(),
        "partialFingerprints": fingerprints,
        "properties": {
            "severity": finding.severity.id(),
            "confidence": finding.confidence.id(),
            "score": finding.score,
            "samples": finding.samples.len(),
        },
    });
    let others = finding.samples.iter().skip(1).take(MAX_RELATED);
    let related: Vec<Json> = (1..).zip(others).map(|(n, id)| related(report, n, *id)).collect();
    if !related.is_empty() {
        result["relatedLocations"] = Json::from(related);
    }
    if let Some(is_known) = standing.is_known {
        result["baselineState"] = Json::from(if is_known { "unchanged" } else { "new" });
    }
    if let Some(suppressed) = &standing.suppressed {
        let reason = unlinked(&visible(&suppressed.reason));
        result["suppressions"] = json!([{ "kind": "external", "status": "accepted", "justification": reason }]);
    }
    result
}

fn related(report: &Report<'_>, n: u64, id: SampleId) -> Json {
    let mut location = location(&Place::of(report, id));
    let dataset = report.dataset;
    let label = dataset.label_name(id).map(|it| format!(", labeled {}", visible(it))).unwrap_or_default();
    let name = format!("{} of {}{label}", prose::key(dataset, id), visible(dataset.split_name(id)));
    location["id"] = Json::from(n);
    location["message"] = json!({ "text": unlinked(&cut(&name, MAX_MESSAGE)) });
    location
}

fn location(place: &Place) -> Json {
    let mut physical = json!({ "artifactLocation": { "uri": place.uri } });
    if let Some(line) = place.line {
        physical["region"] = json!({ "startLine": line });
    }
    json!({ "physicalLocation": physical })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// What was found and what to do.
fn message(report: &Report<'_>, finding: &Finding) -> String {
    let found = visible(&finding.message);
    let text = match prose::remedy(report.dataset, finding) {
        Some(remedy) => format!("{found}. {remedy}"),
        None => format!("{found}."),
    };
    unlinked(&cut(&text, MAX_MESSAGE))
}

/// Text in which nothing is a link: `[text](target)` is one, also in plain messages (SARIF 2.1.0, 3.11.6).
fn unlinked(text: &str) -> String {
    text.replace("](", "] (")
}

/// Checks that did not run, and what was left out.
fn notifications(report: &Report<'_>, n_left_out: usize) -> Vec<Json> {
    let about = |(index, info): (usize, &CheckInfo), level: &str, text: String| {
        json!({
            "level": level,
            "message": { "text": unlinked(&cut(&text, MAX_MESSAGE)) },
            "associatedRule": { "id": info.id, "index": index },
        })
    };
    let not_run = report.checks.iter().enumerate().filter_map(|(index, check)| match &check.outcome {
        Outcome::Ran(_) => None,
        Outcome::Skipped(why) => Some(about((index, check.info), "note", format!("Skipped: {}.", visible(why)))),
        Outcome::Failed(why) => Some(about((index, check.info), "error", format!("Failed: {}.", visible(why)))),
    });
    let left_out = (0 < n_left_out).then(|| {
        let n = prose::counted(n_left_out, "finding");
        let text = format!("{n} of the least severe are left out, to stay below the limits of code scanning; all are in findings.jsonl.");
        json!({ "level": "warning", "message": { "text": text } })
    });
    not_run.chain(left_out).collect()
}

#[cfg(test)]
mod tests {
    use tamis_core::Evidence;

    use super::*;
    use crate::testing;

    fn log() -> Json {
        serde_json::from_str(&testing::rendered("sarif", &RenderOptions::default())).unwrap()
    }

    #[test]
    fn a_run_has_a_rule_for_each_check_and_a_result_for_each_finding() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&log()).unwrap());
    }

    #[test]
    fn every_result_has_what_code_scanning_asks_for() {
        let log = log();
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        for result in run["results"].as_array().unwrap() {
            let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[rule]["id"], result["ruleId"]);
            assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            assert_eq!(result["locations"].as_array().unwrap().len(), 1);
            let physical = &result["locations"][0]["physicalLocation"];
            assert!(physical["artifactLocation"]["uri"].as_str().unwrap().starts_with("mail/"));
            assert!(1 <= physical["region"]["startLine"].as_u64().unwrap());
            assert_eq!(result["partialFingerprints"]["tamis/v1"].as_str().unwrap().len(), 32);
        }
        for rule in rules {
            assert!(rule["shortDescription"]["text"].is_string() && rule["help"]["text"].is_string());
            assert!(rule["properties"]["tags"].as_array().unwrap().len() <= 10);
        }
    }

    #[test]
    fn what_does_not_fit_is_the_least_severe_and_is_counted() {
        let fixture = testing::fixture();
        let report = fixture.report();
        let all = worst_first(&report).unwrap();
        let by_number = results(&report, &all, 2, MAX_BYTES);
        let levels: Vec<_> = by_number.iter().map(|it| it["level"].as_str().unwrap()).collect();
        assert_eq!(levels, ["error", "warning"]);
        let size = by_number[0].to_string().len() + 1;
        assert_eq!(results(&report, &all, MAX_RESULTS, size).len(), 1);
        assert!(results(&report, &all, MAX_RESULTS, size - 1).is_empty());
        let said = notifications(&report, 7).pop().unwrap();
        let text = said["message"]["text"].as_str().unwrap();
        assert!(text.starts_with("7 findings of the least severe are left out"), "{text}");
    }

    #[test]
    fn a_group_lists_some_of_its_samples_and_counts_all() {
        let mut fixture = testing::fixture();
        let Outcome::Ran(result) = &mut fixture.checks[2].outcome else { panic!("it ran") };
        result.findings[0].samples = (0..12).map(SampleId).collect();
        let text = testing::rendered_from(&fixture, "sarif", &RenderOptions::default());
        let log: Json = serde_json::from_str(&text).unwrap();
        let results = log["runs"][0]["results"].as_array().unwrap();
        let group = results.iter().find(|it| it["ruleId"] == "exact-duplicate").unwrap();
        assert_eq!(group["relatedLocations"].as_array().unwrap().len(), MAX_RELATED);
        assert_eq!(group["properties"]["samples"], 12);
    }

    #[test]
    fn what_comes_from_the_data_is_no_link_and_hides_nothing() {
        let mut fixture = testing::fixture();
        let Outcome::Ran(result) = &mut fixture.checks[2].outcome else { panic!("it ran") };
        result.findings[0].message = "see [here](javascript:alert(1)) \u{202e}\u{1b}[31m\u{0}".to_owned();
        result.findings[0].samples = vec![SampleId(0), SampleId(10)];
        result.findings[0].evidence = Evidence::new();
        let text = testing::rendered_from(&fixture, "sarif", &RenderOptions::default());
        assert!(text.contains("see [here] (javascript:alert(1)) \\\\u{202e}\\\\u{1b}[31m\\\\u{0}"), "{text}");
        assert!(text.contains("m<11>\\\\u{202e} of test"), "{text}");
        assert!(!text.contains('\u{202e}'));
    }

    #[test]
    fn files_without_lines_have_no_region_and_a_fingerprint_of_their_own_for_github() {
        let fixture = testing::fixture();
        let report = fixture.report();
        let place = Place { path: "a.parquet".to_owned(), uri: "a.parquet".to_owned(), line: None };
        assert_eq!(location(&place), json!({ "physicalLocation": { "artifactLocation": { "uri": "a.parquet" } } }));
        let mut about_all = worst_first(&report).unwrap().remove(0);
        let finding = Finding { samples: Vec::new(), ..about_all.finding.clone() };
        about_all.finding = &finding;
        let result = result(&report, &about_all);
        assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "mail/train.jsonl");
        assert_eq!(result["partialFingerprints"]["primaryLocationLineHash"], about_all.fingerprint.as_str());
    }
}
