//! The report as one HTML file that needs nothing else: no network, no font, no second file.
//!
//! The page's policy forbids it to load anything, and lets only the one style and the one script run whose hashes it names.
//! What is read first (the answers, the table of checks, the plots) stands in the page as text and goes through the
//! template's escaping. Findings stand in it as one block of JSON in which nothing means anything to HTML; the script makes
//! elements and texts of them, never markup. So nothing from the data is ever parsed as HTML or run.

mod checks;

mod data;

mod inert;

mod map;

mod plots;

mod questions;

mod redacted;

mod view;

use std::io;

use serde::Serialize;
use tamis_core::{Contents, Report};

use crate::comparison::Changes;
use crate::page::{STYLE, filled, policy};
use crate::wire::v1::DatasetRecord;
use crate::{RenderError, RenderOptions, Renderer};

/// One function, so that nothing of it is in reach of anything else.
const SCRIPT: &str = concat!(
    "'use strict';\n(() => {\n",
    include_str!("../templates/report/page.js"),
    include_str!("../templates/report/decisions.js"),
    include_str!("../templates/report/diff.js"),
    include_str!("../templates/report/findings.js"),
    include_str!("../templates/report/map.js"),
    include_str!("../templates/report/start.js"),
    "})();\n"
);

/// The answers, every finding that has room, the map and the plots, with decisions by keyboard.
#[derive(Debug)]
pub(super) struct Html;

/// What the template is filled with.
#[derive(Debug, Serialize)]
struct Filling {
    policy: String,
    style: &'static str,
    script: &'static str,
    data: String,
    page: view::Page,
    changes: Option<Changes>,
}

impl Renderer for Html {
    fn id(&self) -> &'static str {
        "html"
    }

    fn render(&self, report: &Report<'_>, options: &RenderOptions, out: &mut dyn io::Write) -> Result<(), RenderError> {
        let no_pictures = match report.contents {
            Contents::Images(images) => Some(redacted::NoPictures(images)),
            Contents::Texts(_) => None,
        };
        let without_contents;
        let report = if options.redact {
            let contents = no_pictures.as_ref().map_or(Contents::Texts(&redacted::NoTexts), |it| Contents::Images(it));
            without_contents = with_contents(report, contents);
            &without_contents
        } else {
            report
        };
        let hash = DatasetRecord::new(report).hash;
        let mut filling = Filling {
            policy: policy(Some(SCRIPT)),
            style: STYLE,
            script: SCRIPT,
            data: String::new(),
            page: view::Page::new(report, options.redact, &hash),
            changes: options.changes.as_ref().map(Changes::new),
        };
        // What the page takes without findings is known once it is there.
        let empty = filled("report.html", &filling)?;
        filling.data = data::data(report, options, hash, options.budget.saturating_sub(empty.len()))?;
        let html = filled("report.html", &filling)?;
        out.write_all(html.trim_end().as_bytes())?;
        out.write_all(b"\n")?;
        Ok(())
    }
}

/// The same report about other contents.
fn with_contents<'a>(report: &'a Report<'_>, contents: Contents<'a>) -> Report<'a> {
    Report {
        version: report.version,
        command: report.command.clone(),
        config: report.config.clone(),
        notes: report.notes.clone(),
        dataset: report.dataset,
        contents,
        fingerprints: report.fingerprints,
        families: report.families,
        pairs: report.pairs.clone(),
        map: report.map,
        model: report.model.clone(),
        device: report.device.clone(),
        seed: report.seed,
        checks: report.checks,
        standings: report.standings,
        timing: report.timing,
        outputs: report.outputs,
        out: report.out.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;
    use tamis_core::{Evidence, Families, Family, Outcome, SampleId, Standing, Suggestion, Value};

    use super::{SCRIPT, STYLE};
    use crate::{RenderOptions, testing};

    fn page() -> String {
        testing::rendered("html", &RenderOptions::default())
    }

    /// The page without its style and script, which are ours.
    fn markup(html: &str) -> String {
        html.replace(SCRIPT, "").replace(STYLE, "")
    }

    /// What stands in the page between two texts.
    fn between<'a>(html: &'a str, start: &str, end: &str) -> &'a str {
        let (_, rest) = html.split_once(start).unwrap_or_else(|| panic!("no {start}"));
        rest.split_once(end).unwrap_or_else(|| panic!("no {end}")).0
    }

    fn data_text(html: &str) -> &str {
        between(html, "<script type=\"application/json\" id=\"data\">", "</script>")
    }

    fn data(html: &str) -> Json {
        serde_json::from_str(data_text(html)).unwrap()
    }

    #[test]
    fn texts_and_keys_of_the_data_are_escaped() {
        let html = page();
        let text = data_text(&html);
        assert!(!text.contains(['<', '>', '&', '\u{202e}', '\u{2028}']), "nothing in it means anything to HTML");
        let data = data(&html);
        let texts = data["texts"].as_array().unwrap();
        assert!(texts.iter().any(|it| it.as_str().unwrap().contains("<script>alert(1)</script>")), "the text is shown");
        let keys: Vec<&str> =
            data["samples"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect();
        assert!(keys.contains(&"m<11>\u{202e}"), "and keys are as they are, because decisions name them: {keys:?}");
        assert_eq!(markup(&html).matches("<script").count(), 2, "the data and the script");
        assert!(!html.contains('\u{202e}'), "nothing reverses what follows");
    }

    #[test]
    fn the_page_may_load_nothing_and_tries_nothing() {
        let html = page();
        let policy = between(&html, "http-equiv=\"Content-Security-Policy\" content=\"", "\"");
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        let html = html.replace("http://www.w3.org/2000/svg", "");
        for reference in ["src=", "url(", "@import", "http://", "https://", "<link", " style=", " onclick="] {
            assert!(!html.contains(reference), "found {reference}");
        }
    }

    #[test]
    fn the_script_makes_no_markup_and_runs_no_text() {
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "Function(",
            "document.write",
            "fetch(",
            "import(",
        ] {
            assert!(!SCRIPT.contains(forbidden), "found {forbidden}");
        }
        assert!(!SCRIPT.contains("</") && !STYLE.contains("</"), "or it would end early");
    }

    #[test]
    fn every_check_is_on_the_page_with_its_outcome() {
        let html = page();
        for check in testing::fixture().checks {
            assert!(html.contains(&format!(">{}<", check.info.id)), "{}", check.info.id);
        }
        assert!(html.contains("no benchmark was named: name one with --benchmark"));
        assert!(html.contains("the length of row 3 is not a number: found NaN"));
    }

    #[test]
    fn findings_that_do_not_count_say_why() {
        let html = testing::rendered_from(&testing::triaged_fixture(), "html", &RenderOptions::default());
        let data = data(&html);
        let findings = data["findings"].as_array().unwrap();
        let standing = |it: &Json| it["standing"].as_str().map(str::to_owned);
        let suppressed: Vec<&Json> = findings.iter().filter(|it| it["suppressed"] == true).collect();
        let said = r"suppressed until 2027-01-31: a <b>test</b> row, ](x) \u{202e}\n::error::no";
        assert_eq!(suppressed.iter().map(|it| standing(it)).collect::<Vec<_>>(), [Some(said.to_owned())]);
        let open: Vec<&Json> = findings.iter().filter(|it| standing(it).is_none()).collect();
        let leak = data["checks"].as_array().unwrap().iter().position(|it| it["id"] == "split-leak").unwrap();
        assert!(open.len() == 1 && open[0]["check"] == leak, "{open:?}");
        assert_eq!(findings.iter().filter(|it| standing(it).as_deref() == Some("known from the baseline")).count(), 6);
    }

    #[test]
    fn a_question_whose_checks_were_skipped_is_not_answered() {
        let mut fixture = testing::fixture();
        for check in &mut fixture.checks {
            check.outcome = Outcome::Skipped("there is nothing to look at".to_owned());
        }
        let html = testing::rendered_from(&fixture, "html", &RenderOptions::default());
        let front = between(&html, "<div class=\"verdicts\">", "<div class=\"card facts\">");
        assert!(!front.contains("Nothing found"), "{front}");
        assert_eq!(front.matches(">Not checked<").count(), 6, "five questions, and the check of no question");
    }

    #[test]
    fn a_check_that_looked_at_nothing_says_nothing() {
        let mut fixture = testing::fixture();
        for check in &mut fixture.checks {
            check.outcome = Outcome::Ran(tamis_core::CheckResult::default());
        }
        let html = testing::rendered_from(&fixture, "html", &RenderOptions::default());
        assert!(!html.contains("Nothing found") && html.contains("there was no sample to look at"));
    }

    #[test]
    fn repeats_are_counted_by_families_of_what_trains() {
        // Eight train, one of them unreadable and one empty; of the rest two are one family.
        let mut fixture = testing::fixture();
        let members = [1, 2, 9].map(|n| SampleId(n - 1)).to_vec();
        let family = Family { members, diameter: 1, weakest_link: 1.0 };
        fixture.families = Families::new(fixture.dataset.len(), vec![family]);
        let html = testing::rendered_from(&fixture, "html", &RenderOptions::default());
        assert!(html.contains("5 of 6 training samples are left when each is counted once"));
        assert!(page().contains("6 of 6 training samples are left"), "no family was found in the fixture itself");
    }

    #[test]
    fn seconds_are_nowhere() {
        let html = markup(&page());
        assert!(!html.contains("second") && !html.contains("timing"));
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let mut fixture = testing::fixture();
        for check in &mut fixture.checks {
            if let Outcome::Ran(result) = &mut check.outcome {
                result.findings = vec![result.findings[0].clone(); 530];
            }
        }
        let size = |budget| {
            let options = RenderOptions { budget, ..RenderOptions::default() };
            let html = testing::rendered_from(&fixture, "html", &options);
            (html.len(), data(&html))
        };
        let (whole, all) = size(25_000_000);
        assert!(all["checks"].as_array().unwrap().iter().all(|it| it["n_more"] == 0));
        let budget = whole * 2 / 3;
        let (len, some) = size(budget);
        assert!(len <= budget && budget * 9 / 10 < len, "{len} of {budget}");
        let shown = some["findings"].as_array().unwrap().len();
        let more: u64 = some["checks"].as_array().unwrap().iter().map(|it| it["n_more"].as_u64().unwrap()).sum();
        assert_eq!(shown as u64 + more, 8 * 530);
        let first = &some["findings"].as_array().unwrap();
        assert!(first.iter().filter(|it| it["severity"] == "high").count() == 530, "the worst first");
        let left_out = some["checks"].as_array().unwrap().iter().filter(|it| it["n_more"] != 0);
        let left_out: Vec<&str> = left_out.map(|it| it["id"].as_str().unwrap()).collect();
        assert!(left_out.contains(&"outlier") && !left_out.contains(&"label-error"), "and no others instead");
    }

    #[test]
    fn one_large_finding_leaves_room_for_the_rest() {
        let mut fixture = testing::fixture();
        // The worst of all, with evidence larger than the page.
        let Outcome::Ran(result) = &mut fixture.checks[4].outcome else { panic!("it ran") };
        let evidence = std::mem::take(&mut result.findings[0].evidence);
        result.findings[0].evidence = evidence.with("said", "x".repeat(300_000));
        let size = |budget| {
            let options = RenderOptions { budget, ..RenderOptions::default() };
            let html = testing::rendered_from(&fixture, "html", &options);
            (html.len(), data(&html))
        };
        let (len, page) = size(250_000);
        assert!(len <= 250_000, "{len}");
        assert_eq!(page["findings"].as_array().unwrap().len(), 7);
        assert_eq!(page["checks"][4]["n_more"], 1);
    }

    #[test]
    fn what_is_proposed_for_too_many_samples_is_a_number() {
        let mut fixture = testing::fixture();
        let Outcome::Ran(result) = &mut fixture.checks[4].outcome else { panic!("it ran") };
        result.findings[0].suggestion = Some(Suggestion::Drop(vec![SampleId(0); 1_001]));
        let page = data(&testing::rendered_from(&fixture, "html", &RenderOptions::default()));
        let leak = page["findings"].as_array().unwrap().iter().find(|it| it["severity"] == "high").unwrap();
        assert!(leak["remedy"].is_null());
        let said = leak["said"].as_str().unwrap();
        assert!(
            said.ends_with(
                "1,001 samples are too many to decide about on a page: decide with `tamis apply --suggest`."
            )
        );
    }

    #[test]
    fn what_does_not_count_answers_nothing() {
        let front = |fixture: &testing::Fixture| {
            let html = testing::rendered_from(fixture, "html", &RenderOptions::default());
            between(&html, "<div class=\"verdicts\">", "<div class=\"card facts\">").to_owned()
        };
        let mut fixture = testing::triaged_fixture();
        let some = front(&fixture);
        assert!(some.contains("(2 known)"), "{some}");
        assert_eq!(some.matches("<li><span class=\"severity").count(), 1, "one step for the one that counts: {some}");
        let known = Standing { is_known: Some(true), suppressed: None };
        fixture.standings.iter_mut().for_each(|it| it.clone_from(&known));
        let none = front(&fixture);
        for answer in ["Yes", "Probably", "Perhaps", "Nothing found", "What to do first"] {
            assert!(!none.contains(answer), "{answer} in {none}");
        }
        assert!(none.contains("Nothing new"), "{none}");
    }

    #[test]
    fn the_front_page_counts_what_its_check_flags() {
        let front = page();
        // The finding names three samples, of which two are flagged.
        let leaked = between(&front, "id=\"answer-leaked\"", "</article>");
        assert!(leaked.contains("<span>2 samples in 1 finding</span>"), "{leaked}");
        let twice = between(&front, "id=\"answer-twice\"", "</article>");
        assert!(twice.contains("<span>2 findings</span>"), "two checks may flag the same: {twice}");
    }

    #[test]
    fn why_nothing_is_known_of_false_findings() {
        let mut fixture = testing::fixture();
        for check in &mut fixture.checks {
            if let Outcome::Ran(result) = &mut check.outcome {
                result.threshold = (check.info.id != "empty-text").then_some(0.8);
            }
        }
        let page = data(&testing::rendered_from(&fixture, "html", &RenderOptions::default()));
        let said = |id: &str| {
            let check = page["checks"].as_array().unwrap().iter().find(|it| it["id"] == id).unwrap();
            check["unbounded"].as_str().unwrap().to_owned()
        };
        assert!(said("split-leak").ends_with("there was no clean reference to compare with."));
        assert_eq!(said("near-duplicate"), "How many of these are false is not known.");
        assert!(said("empty-text").starts_with("No threshold decided here"));
    }

    #[test]
    fn contents_that_are_left_out_are_nowhere() {
        let mut fixture = testing::fixture();
        let Outcome::Ran(result) = &mut fixture.checks[2].outcome else { panic!("it ran") };
        let quote = |text: &str| Value::Quote(text.to_owned());
        let member =
            Evidence::new().with("key", result.findings[0].samples[0]).with("common", quote("violet hippopotamus"));
        let evidence =
            Evidence::new().with("common", quote("turquoise rhinoceros")).with("members", vec![Value::from(member)]);
        result.findings[0].evidence = evidence;
        let rendered =
            |redact| testing::rendered_from(&fixture, "html", &RenderOptions { redact, ..RenderOptions::default() });
        let (html, page) = (rendered(true), rendered(false));
        let quoted = ["violet hippopotamus", "turquoise rhinoceros"];
        let texts = ["alert(1)", "transfer of funds", "Permission is hereby", "0x7f3a", "expected a JSON object"];
        for content in texts.iter().chain(&quoted) {
            assert!(!html.contains(content), "found {content}");
            assert!(page.contains(content), "the test looks for nothing: {content}");
        }
        assert!(html.contains("contents left out") && html.contains("mail/train.jsonl"));
    }

    #[test]
    fn findings_carry_what_a_decision_names() {
        let data = data(&page());
        let findings = data["findings"].as_array().unwrap();
        let leak = findings.iter().find(|it| it["severity"] == "high").unwrap();
        assert_eq!(leak["remedy"]["action"], "drop");
        let sample = &data["samples"][usize::try_from(leak["remedy"]["samples"][0].as_u64().unwrap()).unwrap()];
        assert_eq!((&sample["key"], sample["identity"].as_str().unwrap().len()), (&Json::from("m1"), 64));
        assert_eq!(leak["fingerprint"].as_str().unwrap().len(), 32);
        let change = findings.iter().find(|it| it["change"].is_object()).unwrap();
        assert_eq!(change["change"]["given"], serde_json::json!(["ham", 0.04]));
        assert_eq!(change["change"]["suggested"], serde_json::json!(["spam", 0.95]));
        assert_eq!(
            change["change"]["label"],
            data["labels"].as_array().unwrap().iter().position(|it| it == "spam").unwrap()
        );
    }

    #[test]
    fn decisions_that_are_given_come_with_the_page() {
        let text = "{\"schema\":\"tamis-decisions/1\"}\n".to_owned();
        let html =
            testing::rendered("html", &RenderOptions { decisions: Some(text.clone()), ..RenderOptions::default() });
        assert_eq!(data(&html)["decisions"], Json::from(text));
    }

    #[test]
    fn tags_are_closed() {
        let html = markup(&page());
        let tags = [
            "details", "section", "table", "tr", "div", "dl", "svg", "article", "bdi", "span", "p", "main", "li",
            "label",
        ];
        for tag in tags {
            let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}
