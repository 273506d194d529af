//! Which findings count: those that no baseline knows and no suppression covers.
//!
//! Nothing is taken away. A finding that does not count stays in every file of the record and says why.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use tamis_core::{Evidence, Outcome, Report, Standing, Suppressed, Value};
use tamis_report::wire::v1;

use crate::config::ConfigError;
use crate::date::Date;

/// `[[suppress]]` of the configuration: findings that somebody has looked at and that do not count.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Suppression {
    /// Id of the check.
    pub check: String,
    /// The finding of this fingerprint, as `findings.jsonl` has it.
    pub fingerprint: Option<String>,
    /// Findings whose first sample, the one to act on first, has this key.
    pub key: Option<String>,
    /// Findings all of whose samples stand in files of this pattern: `*` is anything within a folder, `**` also across
    /// folders, `?` one character.
    pub path: Option<String>,
    /// Why they do not count.
    pub reason: String,
    /// The day (UTC) from which they count again: `2027-01-31`.
    #[serde(default, deserialize_with = "day")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub expires: Option<Date>,
}

/// A date of TOML, or a string that looks like one.
fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Day {
        Date(toml::value::Datetime),
        Text(String),
    }
    let text = match Day::deserialize(deserializer)? {
        Day::Date(date) => date.to_string(),
        Day::Text(text) => text,
    };
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

impl Suppression {
    /// What is wrong with it.
    fn defect(&self) -> Option<String> {
        if self.reason.trim().is_empty() {
            return Some("it has no reason, expected why the findings do not count".to_owned());
        }
        if self.fingerprint.is_none() && self.key.is_none() && self.path.is_none() {
            let mend = "expected fingerprint, key or path; `skip` leaves out a whole check";
            return Some(format!("it does not say which findings of {}: {mend}", self.check));
        }
        None
    }

    fn is_about(&self, finding: &v1::Finding) -> bool {
        let is_key = |key: &String| finding.samples.first().is_some_and(|it| it.key == *key);
        let is_path = |pattern: &String| {
            let slashed = |file: &str| file.strip_prefix("./").unwrap_or(file).replace(std::path::MAIN_SEPARATOR, "/");
            !finding.samples.is_empty() && finding.samples.iter().all(|it| matches_glob(pattern, &slashed(&it.file)))
        };
        self.check == finding.check
            && self.fingerprint.as_ref().is_none_or(|it| *it == finding.fingerprint)
            && self.key.as_ref().is_none_or(is_key)
            && self.path.as_ref().is_none_or(is_path)
    }
}

/// Whether `pattern` is all of `text`: `*` is anything but `/`, `**` anything, `?` one character but `/`. Time is at most the
/// product of the lengths.
fn matches_glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // reached[i]: the pattern so far is the first i characters.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut at = 0;
    while at < pattern.len() {
        let crosses = pattern[at..].starts_with(&['*', '*']);
        let mut next = vec![false; text.len() + 1];
        for i in 0..=text.len() {
            next[i] = match pattern[at] {
                '*' => reached[i] || (0 < i && next[i - 1] && (crosses || text[i - 1] != '/')),
                '?' => 0 < i && reached[i - 1] && text[i - 1] != '/',
                c => 0 < i && reached[i - 1] && text[i - 1] == c,
            };
        }
        reached = next;
        at += if crosses { 2 } else { 1 };
    }
    reached[text.len()]
}

/// The findings of an earlier audit.
#[derive(Clone, Debug)]
pub struct Baseline {
    path: PathBuf,
    fingerprints: BTreeSet<String>,
}

impl Baseline {
    /// The file it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads `findings.jsonl`, or that file in the folder of a record.
    ///
    /// # Errors
    /// When it cannot be read, or a line of it is no finding.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        struct Line {
            fingerprint: String,
        }
        let file = if path.is_dir() { path.join("findings.jsonl") } else { path.to_owned() };
        let text = std::fs::read_to_string(&file).map_err(|source| ConfigError::Read { path: file.clone(), source })?;
        let mut fingerprints = BTreeSet::new();
        for (idx, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let line: Line = serde_json::from_str(line).map_err(|error| ConfigError::Baseline {
                path: file.clone(),
                line: idx + 1,
                reason: error.to_string(),
            })?;
            fingerprints.insert(line.fingerprint);
        }
        Ok(Self { path: file, fingerprints })
    }
}

/// What decides which findings count.
#[derive(Clone, Debug)]
pub struct Triage {
    baseline: Option<Baseline>,
    suppressions: Vec<Suppression>,
    today: Date,
}

impl Triage {
    /// Takes suppressions as they were written, and the day on which they hold or have expired.
    ///
    /// # Errors
    /// When one has no reason, does not say what it is about, or names a check that does not exist.
    pub fn new(baseline: Option<Baseline>, suppressions: Vec<Suppression>, today: Date) -> Result<Self, ConfigError> {
        for (number, it) in (1..).zip(&suppressions) {
            crate::config::known(&it.check)?;
            if let Some(reason) = it.defect() {
                return Err(ConfigError::Suppression { number, reason });
            }
        }
        Ok(Self { baseline, suppressions, today })
    }

    /// Whether all findings count.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.baseline.is_none() && self.suppressions.is_empty()
    }

    /// Adds itself to the configuration as it is recorded.
    #[must_use]
    pub fn record(&self, config: Evidence) -> Evidence {
        let entry = |it: &Suppression| {
            let mut entry = Evidence::new().with("check", it.check.as_str());
            for (name, value) in [("fingerprint", &it.fingerprint), ("key", &it.key), ("path", &it.path)] {
                if let Some(value) = value {
                    entry = entry.with(name, value.as_str());
                }
            }
            entry = entry.with("reason", it.reason.as_str());
            Value::from(match it.expires {
                Some(day) => entry.with("expires", day.to_string()),
                None => entry,
            })
        };
        let baseline = self.baseline.as_ref().map_or_else(|| "none".to_owned(), |it| it.path.display().to_string());
        let suppressions: Vec<Value> = self.suppressions.iter().map(entry).collect();
        config.with("baseline", baseline).with("suppress", suppressions)
    }

    /// How each of the findings of `report` stands, and what a reader must know: what the baseline has, and suppressions
    /// that have expired or cover nothing.
    #[must_use]
    pub fn judge(&self, report: &Report<'_>, findings: &[v1::Finding]) -> (Vec<Standing>, Vec<String>) {
        let mut covered = vec![0_usize; self.suppressions.len()];
        let mut standings = Vec::with_capacity(findings.len());
        for finding in findings {
            let mut suppressed = None;
            for (it, n) in self.suppressions.iter().zip(&mut covered).filter(|(it, _)| it.is_about(finding)) {
                *n += 1;
                if suppressed.is_none() && !self.has_expired(it) {
                    let expires = it.expires.map(|day| day.to_string());
                    suppressed = Some(Suppressed { reason: it.reason.clone(), expires });
                }
            }
            let is_known = self.baseline.as_ref().map(|it| it.fingerprints.contains(&finding.fingerprint));
            standings.push(Standing { is_known, suppressed });
        }
        let mut notes = Vec::new();
        if let Some(baseline) = &self.baseline {
            let n_known = standings.iter().filter(|it| it.is_known == Some(true)).count();
            let n = baseline.fingerprints.len();
            notes.push(format!(
                "baseline: {} has {n} findings, {n_known} of them were found again",
                baseline.path.display()
            ));
        }
        notes.extend(self.remarks(report, &covered));
        (standings, notes)
    }

    fn has_expired(&self, it: &Suppression) -> bool {
        it.expires.is_some_and(|day| day <= self.today)
    }

    /// What is to be said of suppressions that cover so many findings each.
    fn remarks(&self, report: &Report<'_>, covered: &[usize]) -> Vec<String> {
        let has_run = |id: &str| {
            report.checks.iter().any(|check| check.info.id == id && matches!(check.outcome, Outcome::Ran(_)))
        };
        let remark = |(number, (it, n)): (usize, (&Suppression, &usize))| {
            let name = format!("suppression {number} ({}: {})", it.check, it.reason);
            match it.expires {
                Some(day) if self.has_expired(it) => Some(format!("{name} expired on {day}; findings it covers: {n}")),
                // Of a check that did not run nobody knows.
                _ => (*n == 0 && has_run(&it.check)).then(|| format!("{name} covers no finding and can go")),
            }
        };
        (1..).zip(self.suppressions.iter().zip(covered)).filter_map(remark).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suppression(text: &str) -> Result<Suppression, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    fn finding(check: &str, samples: &[(&str, &str)]) -> v1::Finding {
        let sample = |(key, file): &(&str, &str)| serde_json::json!({ "key": key, "file": file, "row": 1, "split": "train", "label": null });
        let json = serde_json::json!({
            "check": check, "severity": "low", "confidence": "high", "score": 1.0, "message": "m", "evidence": {},
            "samples": samples.iter().map(sample).collect::<Vec<_>>(), "suggestion": null, "fingerprint": "f00",
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_finding_is_named_by_fingerprint_first_key_or_all_its_files() {
        let it = finding("outlier", &[("a", "./gen/x.jsonl"), ("b", "gen/y/z.jsonl")]);
        let is_about =
            |rest: &str| suppression(&format!("check = 'outlier'\nreason = 'r'\n{rest}")).unwrap().is_about(&it);
        assert!(is_about("fingerprint = 'f00'") && !is_about("fingerprint = 'f01'"));
        assert!(is_about("key = 'a'") && !is_about("key = 'b'"), "the second sample is not the one to act on");
        assert!(is_about("path = 'gen/**'") && !is_about("path = 'gen/*'"));
        assert!(!is_about("path = 'gen/**'\nkey = 'b'"), "all that is given must hold");
        let other = suppression("check = 'split-leak'\nreason = 'r'\nkey = 'a'").unwrap();
        assert!(!other.is_about(&it));
        assert!(
            !suppression("check = 'outlier'\nreason = 'r'\npath = '**'").unwrap().is_about(&finding("outlier", &[]))
        );
    }

    #[test]
    fn globs_match_whole_paths() {
        for (pattern, text) in [
            ("a/*.csv", "a/b.csv"),
            ("**", "a/b/c"),
            ("**/c", "a/b/c"),
            ("a/**/*.csv", "a/b/c/d.csv"),
            ("a?c", "aäc"),
            ("", ""),
            ("***", "a/b"),
            ("*", ""),
        ] {
            assert!(matches_glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("a/*", "a/b/c"), ("a", "ab"), ("b", "ab"), ("a?c", "a/c"), ("*.csv", "a/b.csv"), ("", "a")]
        {
            assert!(!matches_glob(pattern, text), "{pattern} {text}");
        }
        assert!(!matches_glob(&"*a".repeat(500), &"a".repeat(400)), "and quickly");
    }

    #[test]
    fn a_suppression_without_reason_or_target_is_refused() {
        let refused = |text: &str| {
            let day = Date::new(2026, 1, 1).unwrap();
            Triage::new(None, vec![suppression(text).unwrap()], day).unwrap_err().to_string()
        };
        assert!(refused("check = 'outlier'\nreason = ' '\nkey = 'a'").contains("suppress 1: it has no reason"));
        let error = refused("check = 'outlier'\nreason = 'r'");
        assert!(error.contains("expected fingerprint, key or path"), "{error}");
        assert!(refused("check = 'outlying'\nreason = 'r'\nkey = 'a'").contains("there is no check `outlying`"));
        let missing = suppression("check = 'outlier'\nkey = 'a'").unwrap_err();
        assert!(missing.contains("missing field `reason`"), "{missing}");
        assert!(
            suppression("check = 'outlier'\nkey = 'a'\nreason = 'r'\nby = 'me'").unwrap_err().contains("unknown field")
        );
    }

    #[test]
    fn days_are_dates_or_texts_and_nothing_else() {
        let expires = |text: &str| {
            suppression(&format!("check = 'outlier'\nkey = 'a'\nreason = 'r'\nexpires = {text}")).map(|it| it.expires)
        };
        let day = Date::new(2027, 1, 31);
        assert_eq!([expires("2027-01-31").unwrap(), expires("'2027-01-31'").unwrap()], [day, day]);
        for text in ["2027-01-31T10:00:00Z", "'soon'", "20270131", "2027-02-30"] {
            assert!(expires(text).is_err(), "{text}");
        }
    }
}
