//! The report as one HTML file that needs nothing else: no network, no script, no font.
//!
//! The page's policy forbids it to load anything, and every text goes through the template's escaping. Pictures are SVG
//! elements whose numbers come from here; nothing from the data reaches an attribute but labels for screen readers.

mod view;

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use tamis_core::Report;

use crate::{RenderError, RenderOptions, Renderer};

const TEMPLATE: &str = include_str!("../templates/report.html");

/// The worst findings of each check with texts side by side.
#[derive(Debug)]
pub(super) struct Html;

impl Renderer for Html {
    fn id(&self) -> &'static str {
        "html"
    }

    fn render(&self, report: &Report<'_>, _: &RenderOptions, out: &mut dyn io::Write) -> Result<(), RenderError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        let page = Serde(view::Page::new(report));
        // The name's ending turns escaping on.
        let html = environment.render_named_str("report.html", TEMPLATE, page)?;
        out.write_all(html.trim_end().as_bytes())?;
        out.write_all(b"\n")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tamis_core::Outcome;

    use crate::{RenderOptions, testing};

    fn page() -> String {
        testing::rendered("html", &RenderOptions::default())
    }

    #[test]
    fn texts_and_keys_of_the_data_are_escaped() {
        let html = page();
        assert!(html.contains("&lt;script&gt;alert(1)&lt;"), "the text is shown");
        assert!(!html.contains("<script"), "and not run");
        assert!(!html.contains('\u{202e}'), "nothing reverses what follows");
        assert!(html.contains("\\u{202e}prize\\u{202c}"));
        assert!(html.contains("m&lt;11&gt;\\u{202e}"), "keys too");
    }

    #[test]
    fn the_page_may_load_nothing_and_tries_nothing() {
        let html = page();
        assert!(html.contains("default-src 'none'; style-src 'unsafe-inline'; img-src data:"));
        for reference in ["src=", "url(", "@import", "http://", "https://", "<link"] {
            assert!(!html.contains(reference), "found {reference}");
        }
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
    fn seconds_are_nowhere() {
        assert!(!page().contains("second"));
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let mut fixture = testing::fixture();
        for check in &mut fixture.checks {
            if let Outcome::Ran(result) = &mut check.outcome {
                result.findings = vec![result.findings[0].clone(); 53];
            }
        }
        let html = testing::rendered_from(&fixture, "html", &RenderOptions::default());
        assert_eq!(html.matches("<details class=\"finding").count(), 8 * 50);
        assert!(html.contains("3 more findings in findings.jsonl"));
    }

    #[test]
    fn labels_that_should_change_show_both_probabilities() {
        let html = page();
        let change = html.split("<div class=\"change\">").nth(1).unwrap().split("</div>").next().unwrap();
        let at = |what: &str| change.find(what).unwrap_or_else(|| panic!("no {what} in {change}"));
        assert!(at(">ham<") < at(">4.0 %<") && at(">4.0 %<") < at(">spam<") && at(">spam<") < at(">95.0 %<"));
    }

    #[test]
    fn leaks_name_their_direction() {
        assert!(page().contains("train → test"));
    }

    #[test]
    fn tags_are_closed() {
        let html = page();
        for tag in ["details", "section", "table", "tr", "div", "dl", "svg", "article", "bdi", "span", "p", "main"] {
            let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}
