//! What flags and the configuration file mean: flags beat the file, the file beats the defaults.
//!
//! The file is `tamis.toml`, or `[tool.tamis]` of `pyproject.toml`, in the working folder. There is no environment layer:
//! of the environment only `NO_COLOR`, the place for temporary files and the variables of Hugging Face's tools (`HF_HOME` and
//! others) are read, and `RAYON_NUM_THREADS` by rayon itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use tamis_checks::{BadOption, CHECKS};
use tamis_core::Check;
use tamis_embed::hub::Hub;

use crate::triage::Suppression;

/// The configuration file. Unknown keys are errors.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// As `--from`.
    pub from: Option<String>,
    /// As `--text`.
    pub text: Vec<String>,
    /// As `--image`.
    pub image: Option<String>,
    /// As `--label`.
    pub label: Option<String>,
    /// As `--split`.
    pub split: Option<String>,
    /// As `--id`.
    pub id: Option<String>,
    /// As `--model`.
    pub model: Option<String>,
    /// As `--device`.
    pub device: Option<String>,
    /// As `--out`.
    pub out: Option<PathBuf>,
    /// As `--only`.
    pub only: Vec<String>,
    /// As `--skip`.
    pub skip: Vec<String>,
    /// As `--pred-probs`. Not a key of the file: it is of one dataset, and comes from the record of an audit of it.
    #[serde(skip)]
    pub pred_probs: Option<PathBuf>,
    /// As `--keep`.
    pub keep: Vec<String>,
    /// As `--format`.
    pub format: Option<String>,
    /// As `--fail-on`.
    pub fail_on: Option<String>,
    /// As `--seed`.
    pub seed: Option<u64>,
    /// As `--threads`.
    pub threads: Option<usize>,
    /// As `--report-budget`.
    pub report_budget: Option<String>,
    /// As `--redact`.
    pub redact: bool,
    /// Options of checks: `[checks.near-duplicate] min_cosine = 0.97`.
    #[schemars(with = "BTreeMap<String, BTreeMap<String, serde_json::Value>>")]
    pub checks: BTreeMap<String, toml::Table>,
    /// As `--baseline`.
    pub baseline: Option<PathBuf>,
    /// Findings that somebody has looked at and that do not count.
    pub suppress: Vec<Suppression>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path} is not a usable configuration: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        reason: String,
    },
    /// There is no such check.
    #[error("there is no check `{name}`; checks: {known}")]
    NoSuchCheck {
        /// What was named.
        name: String,
        /// What there is.
        known: String,
    },
    /// A size that is none, or too small.
    #[error("the budget of the report is `{text}`, expected a number with a unit and at least 1MB, e.g. 25MB")]
    BadBudget {
        /// What was given.
        text: String,
    },
    /// A `--set` that is not `CHECK.OPTION=VALUE`.
    #[error("`{text}` is not CHECK.OPTION=VALUE, e.g. near-duplicate.min_cosine=0.97")]
    BadSet {
        /// What was given.
        text: String,
    },
    /// A `[[suppress]]` that cannot be used.
    #[error("suppress {number}: {reason}")]
    Suppression {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A baseline that is none.
    #[error("{path} line {line} is no finding of findings.jsonl ({reason})")]
    Baseline {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// An option of a check is wrong.
    #[error(transparent)]
    Option(#[from] BadOption),
}

/// Reads `path`, or what there is in the working folder, or nothing; says where it was read from.
///
/// # Errors
/// When a file is there and cannot be read or used.
pub fn load(path: Option<&Path>) -> Result<(FileConfig, Option<PathBuf>), ConfigError> {
    let is_named = path.is_some();
    let (path, text) = match path {
        Some(path) => (path.to_owned(), read(path)?),
        None => match found()? {
            Some(found) => found,
            None => return Ok((FileConfig::default(), None)),
        },
    };
    let is_pyproject = path.file_name().is_some_and(|name| name == "pyproject.toml");
    let config = parse(&text, is_pyproject).map_err(|reason| ConfigError::Parse { path: path.clone(), reason })?;
    match config {
        Some(config) => Ok((config, Some(path))),
        None if is_named => Err(ConfigError::Parse { path, reason: "it has no table [tool.tamis]".to_owned() }),
        None => Ok((FileConfig::default(), None)),
    }
}

/// Bytes of a page below which its front alone might not fit.
const MIN_BUDGET: usize = 1_000_000;

/// Bytes that `text` names: a whole number and `B`, `kB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`; case does not count.
///
/// # Errors
/// When it names no size, or one below 1 MB.
pub fn report_budget(text: &str) -> Result<usize, ConfigError> {
    let units = [
        ("b", 1),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
    ];
    let lower = text.trim().to_lowercase();
    let bytes = units.iter().find_map(|(unit, bytes)| {
        let number: usize = lower.strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(*bytes)
    });
    bytes.filter(|it| MIN_BUDGET <= *it).ok_or_else(|| ConfigError::BadBudget { text: text.to_owned() })
}

/// `tamis.toml`, else `pyproject.toml`, with its text.
fn found() -> Result<Option<(PathBuf, String)>, ConfigError> {
    for name in ["tamis.toml", "pyproject.toml"] {
        let path = PathBuf::from(name);
        if path.is_file() {
            let text = read(&path)?;
            return Ok(Some((path, text)));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

/// Parses a configuration; `None` for a `pyproject.toml` that says nothing of tamis.
fn parse(text: &str, is_pyproject: bool) -> Result<Option<FileConfig>, String> {
    let reason = |error: toml::de::Error| error.to_string().trim_end().to_owned();
    if !is_pyproject {
        return toml::from_str(text).map(Some).map_err(reason);
    }
    let table: toml::Table = toml::from_str(text).map_err(reason)?;
    let tool = table.get("tool").and_then(|tool| tool.get("tamis"));
    tool.map(|tool| FileConfig::deserialize(tool.clone()).map_err(reason)).transpose()
}

/// Builds the checks to run, in registry order: those in `only` (all where it is empty) less those in `skip`, with the
/// options of the file and, over them, of `set`.
///
/// # Errors
/// When a check does not exist or an option does not fit.
pub fn checks(
    file: &FileConfig,
    only: &[String],
    skip: &[String],
    set: &[String],
) -> Result<Vec<Box<dyn Check>>, ConfigError> {
    let mut options = file.checks.clone();
    for text in set {
        let (check, option, value) = parse_set(text)?;
        options.entry(check).or_default().insert(option, value);
    }
    let named = only.iter().chain(skip).chain(options.keys());
    for name in named {
        known(name)?;
    }
    let wanted = |id: &str| (only.is_empty() || only.iter().any(|it| it == id)) && !skip.iter().any(|it| it == id);
    let mut checks = Vec::new();
    for def in CHECKS {
        let table = options.remove(def.info.id).unwrap_or_default();
        // Built even if not wanted, so that a wrong option is never passed over.
        let check = (def.build)(table)?;
        if wanted(def.info.id) {
            checks.push(check);
        }
    }
    Ok(checks)
}

/// Refuses the name of a check that does not exist.
pub(crate) fn known(name: &str) -> Result<(), ConfigError> {
    let ids: Vec<&str> = CHECKS.iter().map(|def| def.info.id).collect();
    if ids.contains(&name) {
        return Ok(());
    }
    Err(ConfigError::NoSuchCheck { name: name.to_owned(), known: ids.join(", ") })
}

/// Parses `CHECK.OPTION=VALUE`; the value is TOML, and what is not is a string.
fn parse_set(text: &str) -> Result<(String, String, toml::Value), ConfigError> {
    let bad = || ConfigError::BadSet { text: text.to_owned() };
    let (name, value) = text.split_once('=').ok_or_else(bad)?;
    let (check, option) = name.split_once('.').ok_or_else(bad)?;
    let table: Result<toml::Table, _> = toml::from_str(&format!("value = {value}"));
    let value = match table {
        Ok(mut table) => table.remove("value").ok_or_else(bad)?,
        Err(_) => toml::Value::String(value.to_owned()),
    };
    Ok((check.trim().to_owned(), option.trim().replace('-', "_"), value))
}

/// Whether the environment asks for output without color (<https://no-color.org>).
#[must_use]
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Where files that nobody is to see are kept when a command leaves no record.
#[must_use]
pub fn scratch_dir() -> PathBuf {
    std::env::temp_dir()
}

/// Where models are downloaded from and to, as Hugging Face's own tools have it: `HF_HUB_CACHE`, else `hub` below `HF_HOME`,
/// `$XDG_CACHE_HOME/huggingface` or `~/.cache/huggingface`; `HF_ENDPOINT`; no network where `HF_HUB_OFFLINE` is 1, on, yes or
/// true. The client itself reads `HF_TOKEN`.
#[must_use]
pub fn hub() -> Hub {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let path = |name: &str| set(name).map(PathBuf::from);
    let home = || {
        let cache = path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")));
        path("HF_HOME").or_else(|| Some(cache?.join("huggingface")))
    };
    let offline = set("HF_HUB_OFFLINE")
        .is_some_and(|value| ["1", "on", "yes", "true"].iter().any(|yes| value.eq_ignore_ascii_case(yes)));
    Hub {
        cache: path("HF_HUB_CACHE").or_else(|| Some(home()?.join("hub"))),
        endpoint: set("HF_ENDPOINT").and_then(|it| it.into_string().ok()),
        offline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_beat_the_file_and_unknown_keys_are_errors() {
        let file = parse("[checks.near-duplicate]\nmin_cosine = 0.9", false).unwrap().unwrap();
        let checks = checks(&file, &[], &[], &["near-duplicate.min-cosine=0.5".to_owned()]).unwrap();
        let check = checks.iter().find(|check| check.info().id == "near-duplicate").unwrap();
        assert_eq!(check.options().get("min_cosine"), Some(&0.5_f32.into()));
        assert!(parse("colour = 1", false).unwrap_err().contains("unknown field `colour`"));
    }

    #[test]
    fn pyproject_is_read_under_its_tool_table() {
        assert_eq!(parse("[project]\nname = \"x\"", true).unwrap(), None);
        assert_eq!(parse("[tool.tamis]\nseed = 3", true).unwrap().unwrap().seed, Some(3));
    }

    #[test]
    fn a_check_that_does_not_exist_is_named_with_those_that_do() {
        let error = checks(&FileConfig::default(), &["near-dup".to_owned()], &[], &[]).unwrap_err().to_string();
        assert!(error.contains("`near-dup`") && error.contains("near-duplicate, "), "{error}");
    }

    #[test]
    fn only_and_skip_choose_in_registry_order() {
        let only = ["outlier", "exact-duplicate"].map(str::to_owned);
        let chosen = checks(&FileConfig::default(), &only, &["outlier".to_owned()], &[]).unwrap();
        let ids: Vec<_> = chosen.iter().map(|check| check.info().id).collect();
        assert_eq!(ids, ["exact-duplicate"]);
    }

    #[test]
    fn a_budget_is_a_number_with_a_unit() {
        let bytes = |text: &str| report_budget(text).ok();
        assert_eq!(
            [bytes("25MB"), bytes("1000 kB"), bytes("2mib")],
            [Some(25_000_000), Some(1_000_000), Some(2_097_152)]
        );
        for bad in ["25", "MB", "-1MB", "999kB", "1.5MB", "99999999999999999999GB"] {
            let error = report_budget(bad).unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("e.g. 25MB"), "{error}");
        }
    }

    /// The schema, with the options of each check by name and in the words of its page.
    fn schema() -> serde_json::Value {
        let mut schema = serde_json::to_value(schemars::schema_for!(FileConfig)).unwrap();
        let mut checks = serde_json::Map::new();
        for def in CHECKS {
            let built = (def.build)(toml::Table::new()).unwrap();
            let mut options = serde_json::Map::new();
            for (name, default) in &built.options().0 {
                let bullet = format!("- `{name}`: ");
                let said = def.info.page.lines().find_map(|line| line.strip_prefix(&bullet)).unwrap();
                let mut option = serde_json::json!({ "description": said });
                option["type"] = match default {
                    tamis_core::Value::Int(_) => "integer".into(),
                    tamis_core::Value::Float(_) => "number".into(),
                    // The word for "as measured".
                    _ => serde_json::json!(["number", "string"]),
                };
                options.insert(name.to_string(), option);
            }
            let check = serde_json::json!({
                "description": def.info.summary, "type": "object", "additionalProperties": false, "properties": options,
            });
            checks.insert(def.info.id.to_owned(), check);
        }
        let table = &mut schema["properties"]["checks"];
        table["properties"] = checks.into();
        table["additionalProperties"] = false.into();
        schema
    }

    /// `UPDATE=1 cargo test --release --workspace schema` writes the schema; otherwise it is compared.
    #[test]
    fn the_schema_of_the_configuration_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/config.v1.json");
        let generated = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stored == generated,
            "docs/schema/config.v1.json is stale: run UPDATE=1 cargo test --release --workspace schema"
        );
    }

    #[test]
    fn the_schema_knows_every_key() {
        let schema = schema();
        let error = parse("colour = 1", false).unwrap_err();
        // The error lists all keys that there are.
        let known: Vec<&str> = error.split("expected one of ").nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let sorted = |mut it: Vec<String>| {
            it.sort_unstable();
            it
        };
        let known = sorted(known.into_iter().map(str::to_owned).collect());
        assert_eq!(known, sorted(keys.into_iter().cloned().collect()));
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn suppressions_are_read_with_their_dates() {
        let text = "[[suppress]]\ncheck = 'outlier'\nkey = 'a'\nreason = 'r'\nexpires = 2027-01-31\n";
        for (text, is_pyproject) in
            [(text.to_owned(), false), (text.replace("[[suppress", "[[tool.tamis.suppress"), true)]
        {
            let file = parse(&text, is_pyproject).unwrap().unwrap();
            assert_eq!(file.suppress[0].expires, crate::date::Date::new(2027, 1, 31));
        }
    }
}
