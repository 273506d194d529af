//! What all pages in HTML have in common: one style, a policy that lets them load nothing, and templates that escape.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The style of every page.
pub(crate) const STYLE: &str = include_str!("templates/report.css");

/// The templates by name; a name that ends in `.html` turns escaping on.
const TEMPLATES: [(&str, &str); 3] = [
    ("report.html", include_str!("templates/report.html")),
    ("diff.html", include_str!("templates/diff.html")),
    ("changes.html", include_str!("templates/changes.html")),
];

/// What a page may do: use the one style, run `script` where it has one, show pictures that it carries.
pub(crate) fn policy(script: Option<&str>) -> String {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text.as_bytes())));
    let may_run = script.map_or_else(String::new, |it| format!("script-src {}; ", hash(it)));
    let style = hash(STYLE);
    format!("default-src 'none'; {may_run}style-src {style}; img-src data:; base-uri 'none'; form-action 'none'")
}

/// Fills in the template called `name`.
///
/// # Errors
/// When the template does not fit: a bug.
pub(crate) fn filled(name: &str, filling: &impl Serialize) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    environment.get_template(name)?.render(Serde(filling))
}
