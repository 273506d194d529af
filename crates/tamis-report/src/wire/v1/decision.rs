//! `decisions.jsonl`: what somebody decided about samples, for `tamis apply`.

use std::io::{self, BufRead};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Value of [`DecisionsHeader::schema`].
pub const DECISIONS_SCHEMA: &str = "tamis-decisions/1";

/// One line of `decisions.jsonl`: the first is the header, every other one a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DecisionLine {
    /// The first line.
    Header(DecisionsHeader),
    /// Every other line.
    Decision(Decision),
}

/// What decisions are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DecisionsHeader {
    /// Name and version of this format: `tamis-decisions/1`.
    pub schema: String,
    /// `dataset.hash` of the `audit.json` that was reviewed.
    pub dataset_hash: String,
}

/// What becomes of one sample. A later line about the same key takes the place of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// Key of the sample.
    pub key: String,
    /// BLAKE3 of its bytes in hexadecimal, column `identity_bytes` of `samples.parquet`; null for an unreadable sample.
    #[serde(default)]
    pub identity: Option<String>,
    /// What to do.
    pub action: DecisionAction,
    /// The new label, for `relabel`.
    #[serde(default)]
    pub label: Option<String>,
    /// The new split, for `move-split`.
    #[serde(default)]
    pub split: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who decided; null for a rule.
    #[serde(default)]
    pub reviewer: Option<String>,
    /// Fingerprint of the finding that led to it.
    #[serde(default)]
    pub finding: Option<String>,
}

/// What can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionAction {
    /// Leave the sample as it is.
    Keep,
    /// Remove it.
    Drop,
    /// Give it another label.
    Relabel,
    /// Put it into another split.
    MoveSplit,
}

impl DecisionAction {
    /// Name in the format.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::Relabel => "relabel",
            Self::MoveSplit => "move-split",
        }
    }
}

/// A whole file of decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// The first line.
    pub header: DecisionsHeader,
    /// The others, in their order.
    pub decisions: Vec<Decision>,
}

/// A file of decisions that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadDecisions {
    /// One-based line.
    pub line: usize,
    /// What is wrong, and what was expected.
    pub reason: String,
}

impl Decisions {
    /// Decisions about the dataset with this hash.
    #[must_use]
    pub fn new(dataset_hash: String, decisions: Vec<Decision>) -> Self {
        Self { header: DecisionsHeader { schema: DECISIONS_SCHEMA.to_owned(), dataset_hash }, decisions }
    }

    /// Reads a file of decisions; blank lines count for nothing.
    ///
    /// # Errors
    /// Names the first line that is not what it should be.
    pub fn read(input: impl BufRead) -> Result<Self, BadDecisions> {
        let mut header = None;
        let mut decisions = Vec::new();
        for (idx, text) in input.lines().enumerate() {
            let bad = |reason: String| BadDecisions { line: idx + 1, reason };
            let text = text.map_err(|error| bad(format!("{error}, expected text in UTF-8")))?;
            let text = text.trim_start_matches('\u{feff}').trim();
            if text.is_empty() {
                continue;
            }
            match header {
                None => header = Some(header_in(text).map_err(bad)?),
                Some(_) => decisions.push(decision_in(text).map_err(bad)?),
            }
        }
        let none = || BadDecisions { line: 1, reason: format!("nothing, expected a header with {DECISIONS_SCHEMA}") };
        Ok(Self { header: header.ok_or_else(none)?, decisions })
    }

    /// Writes all lines.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &self.header)?;
        out.write_all(b"\n")?;
        for decision in &self.decisions {
            serde_json::to_writer(&mut *out, decision)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

fn header_in(text: &str) -> Result<DecisionsHeader, String> {
    let expected = format!("expected a header {{\"schema\":\"{DECISIONS_SCHEMA}\",\"dataset_hash\":\"...\"}}");
    let json: Json =
        serde_json::from_str(text).map_err(|error| format!("not JSON ({}), {expected}", placed(&error)))?;
    match json.get("schema").and_then(Json::as_str) {
        Some(DECISIONS_SCHEMA) => serde_json::from_value(json).map_err(|error| format!("{error}, {expected}")),
        Some(other) => Err(format!("schema `{other}`, {expected}")),
        None => Err(format!("no schema, {expected}")),
    }
}

/// What is wrong with the JSON of one line.
fn placed(error: &serde_json::Error) -> String {
    error.to_string().replace("at line 1 column", "at byte")
}

fn decision_in(text: &str) -> Result<Decision, String> {
    let decision: Decision =
        serde_json::from_str(text).map_err(|error| format!("{}, expected a decision", placed(&error)))?;
    let is_blank = |it: &Option<String>| it.as_ref().is_none_or(|it| it.trim().is_empty());
    let lacks = match decision.action {
        DecisionAction::Relabel if is_blank(&decision.label) => "label",
        DecisionAction::MoveSplit if is_blank(&decision.split) => "split",
        _ => return Ok(decision),
    };
    Err(format!("{} of `{}` without a {lacks}, expected its new one", decision.action.id(), decision.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"schema":"tamis-decisions/1","dataset_hash":"ab"}"#;

    fn read(text: &str) -> Result<Decisions, String> {
        Decisions::read(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn decisions_read_back_as_they_were_written() {
        let line = r#"{"key":"é \"1\"","identity":null,"action":"move-split","label":null,"split":"test","reason":"r","reviewer":"me","finding":"f"}"#;
        let text = format!("{HEADER}\n{line}\n");
        let mut out = Vec::new();
        read(&text).unwrap().write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn what_is_not_said_is_null() {
        let read = read(&format!("\u{feff}{HEADER}\r\n\r\n{{\"key\":\"a\",\"action\":\"drop\"}}\r\n")).unwrap();
        assert_eq!((read.header.dataset_hash.as_str(), read.decisions.len()), ("ab", 1));
        assert_eq!(read.decisions[0].identity, None);
    }

    #[test]
    fn a_wrong_line_is_named_with_what_was_expected() {
        let check = |text: String, expected: &str| {
            let error = read(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(String::new(), "line 1: nothing, expected a header");
        check("{\"key\":\"a\",\"action\":\"drop\"}".to_owned(), "line 1: no schema, expected a header");
        check(HEADER.replace("/1", "/2"), "line 1: schema `tamis-decisions/2`, expected a header");
        check(format!("{HEADER}\n{{\"key\":\"a\",\"action\":\"burn\"}}"), "line 2: unknown variant `burn`");
        check(
            format!("{HEADER}\n\n{{\"key\":\"a\",\"action\":\"relabel\"}}"),
            "line 3: relabel of `a` without a label",
        );
        check(format!("{HEADER}\n{{\"key\":\"a\",\"action\":\"move-split\"}}"), "move-split of `a` without a split");
    }
}
