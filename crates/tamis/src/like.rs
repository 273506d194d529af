//! An audit again, as its `audit.json` says it was done.

use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_json::Value as Json;
use tamis_checks::{BadOption, CHECKS};
use tamis_core::{Report, SplitRole};
use tamis_data::Input;
use tamis_report::wire::v1::{self, InputRecord, NotFinite};

use crate::config::FileConfig;
use crate::record::{self, RecordError};
use crate::triage::Suppression;

/// What is recorded where nothing was asked for.
const GUESSED: &str = "guessed";
const BUNDLED: &str = "the bundled one";
const NONE: &str = "none";
const FROM_THE_DATA: &str = "from the data";

/// The record of an earlier audit, of which another one is to be like.
#[derive(Debug)]
pub struct Like {
    path: PathBuf,
    audit: v1::Audit,
}

/// A record that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LikeError {
    /// It cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Its configuration is not one that an audit writes.
    #[error("{path}: `config` has no usable `{name}`; expected what tamis {} writes", env!("CARGO_PKG_VERSION"))]
    Config {
        /// The file.
        path: PathBuf,
        /// The key.
        name: String,
    },
    /// A check that this program does not have, or not with these options.
    #[error("{path} was written by tamis {version}, whose checks this one does not have as they were")]
    Check {
        /// The file.
        path: PathBuf,
        /// The version that wrote it.
        version: String,
        /// What does not fit.
        source: BadOption,
    },
}

impl Like {
    /// Reads `audit.json` at `path`.
    ///
    /// # Errors
    /// When it cannot be read or is of another version.
    pub fn open(path: &Path) -> Result<Self, LikeError> {
        Ok(Self { path: path.to_owned(), audit: record::read_audit(path)? })
    }

    /// What was read, with the splits it was put into.
    ///
    /// # Errors
    /// When the record does not say.
    pub fn inputs(&self) -> Result<Vec<Input>, LikeError> {
        let bad = || self.bad("inputs");
        let inputs = self.audit.config.get("inputs").and_then(Json::as_array).ok_or_else(bad)?;
        let input = |input: &Json| {
            let text = |name: &str| input.get(name).and_then(Json::as_str);
            let (path, split) = (text("path")?, text("split")?);
            let split = (split != FROM_THE_DATA).then(|| (split.to_owned(), self.role(split)));
            Some(Input { path: path.into(), split })
        };
        inputs.iter().map(|it| input(it).ok_or_else(bad)).collect()
    }

    fn role(&self, split: &str) -> Option<SplitRole> {
        self.audit.dataset.splits.iter().find(|it| it.name == split).map(|it| it.role.into())
    }

    /// All that can be configured, as it was; what the record has at its default is left open. With it the configuration file
    /// that was read, which is not read again.
    ///
    /// # Errors
    /// When the record does not say, or this program has not the checks it ran.
    pub fn config(&self) -> Result<(FileConfig, Option<PathBuf>), LikeError> {
        let asked = |name: &str, open: &str| {
            let text = self.audit.config.get(name).and_then(Json::as_str).ok_or_else(|| self.bad(name))?;
            Ok::<_, LikeError>((text != open).then(|| text.to_owned()))
        };
        let list = |text: Option<String>| text.map(|it| it.split(',').map(str::to_owned).collect()).unwrap_or_default();
        let page = self.audit.page();
        let mut config = FileConfig {
            from: asked("from", GUESSED)?,
            text: self.texts()?,
            image: asked("image", GUESSED)?,
            label: asked("label", GUESSED)?,
            split: asked("split", GUESSED)?,
            id: asked("id", GUESSED)?,
            model: asked("model", BUNDLED)?,
            device: self.audit.device.clone(),
            pred_probs: asked("pred_probs", NONE)?.map(PathBuf::from),
            keep: list(asked("keep", crate::audit::USUAL_KEEP)?),
            fail_on: asked("fail_on", "")?,
            seed: Some(self.audit.seed),
            baseline: asked("baseline", NONE)?.map(PathBuf::from),
            suppress: self.suppressions()?,
            redact: page.redact,
            report_budget: Some(format!("{} B", page.budget)),
            ..FileConfig::default()
        };
        self.add_checks(&mut config)?;
        Ok((config, asked("config_file", NONE)?.map(PathBuf::from)))
    }

    /// The columns of texts that were named.
    fn texts(&self) -> Result<Vec<String>, LikeError> {
        match self.audit.config.get("text") {
            Some(Json::String(text)) if text == GUESSED => Ok(Vec::new()),
            Some(names) => Vec::deserialize(names).map_err(|_| self.bad("text")),
            None => Err(self.bad("text")),
        }
    }

    /// The suppressions as they were; whether one has expired is for the day of the new audit to say.
    fn suppressions(&self) -> Result<Vec<Suppression>, LikeError> {
        let bad = || self.bad("suppress");
        let suppressions = self.audit.config.get("suppress").ok_or_else(bad)?;
        Vec::deserialize(suppressions).map_err(|_| bad())
    }

    /// The checks that ran, with the options that are not at their default.
    fn add_checks(&self, config: &mut FileConfig) -> Result<(), LikeError> {
        let bad = || self.bad("checks");
        for check in self.audit.config.get("checks").and_then(Json::as_array).ok_or_else(bad)? {
            let id = check.get("id").and_then(Json::as_str).ok_or_else(bad)?;
            let options = check.get("options").and_then(Json::as_object).ok_or_else(bad)?;
            config.only.push(id.to_owned());
            let Some(def) = CHECKS.iter().find(|def| def.info.id == id) else { continue };
            let usual = (def.build)(toml::Table::new()).map_err(|source| LikeError::Check {
                path: self.path.clone(),
                version: self.audit.tool.version.clone(),
                source,
            })?;
            let usual = usual.options();
            let mut table = toml::Table::new();
            for (name, value) in v1::settings(options).0 {
                if usual.get(&name) != Some(&value) {
                    let json = options.get(&*name).ok_or_else(bad)?;
                    table.insert(name.into_owned(), toml::Value::try_from(json).map_err(|_| bad())?);
                }
            }
            if !table.is_empty() {
                config.checks.insert(id.to_owned(), table);
            }
        }
        Ok(())
    }

    /// Why the results of `report` may be others than those of the record, although it was made like it. Sentences.
    ///
    /// # Errors
    /// When the report holds a number that is not finite.
    pub fn differences(&self, report: &Report<'_>) -> Result<Vec<String>, NotFinite> {
        let (old, new) = (&self.audit, v1::Audit::from_report(report)?);
        let path = self.path.display();
        let mut differences = Vec::new();
        if old.tool.version != new.tool.version {
            differences.push(format!("{path} was written by tamis {}, this is {}", old.tool.version, new.tool.version));
        }
        if let (Some(a), Some(b)) = (&old.model, &new.model)
            && a != b
        {
            let what = if a.id == b.id { "is another one under the same name" } else { "is another one" };
            differences.push(format!("the model {} {what} than the {} of {path}", b.id, a.id));
        }
        let (changed, missing, added) = compared(&old.inputs, &new.inputs);
        for (what, files) in
            [("changed since", changed), ("not read any more", missing), ("not read at the time", added)]
        {
            if let Some(first) = files.first() {
                let more = if files.len() == 1 { String::new() } else { format!(" and {} more", files.len() - 1) };
                differences.push(format!("{first}{more}: {what}, says {path}"));
            }
        }
        Ok(differences)
    }

    fn bad(&self, name: &str) -> LikeError {
        LikeError::Config { path: self.path.clone(), name: name.to_owned() }
    }
}

/// Files with another content, files that are gone, and files that are new.
fn compared<'a>(old: &'a [InputRecord], new: &'a [InputRecord]) -> (Vec<&'a str>, Vec<&'a str>, Vec<&'a str>) {
    use std::collections::HashMap;
    let by_path = |files: &'a [InputRecord]| -> HashMap<&'a str, &'a InputRecord> {
        files.iter().map(|it| (it.path.as_str(), it)).collect()
    };
    let (before, after) = (by_path(old), by_path(new));
    let is_changed = |it: &&InputRecord| before.get(it.path.as_str()).is_some_and(|other| other.blake3 != it.blake3);
    let names = |files: &'a [InputRecord], keep: &dyn Fn(&&'a InputRecord) -> bool| -> Vec<&'a str> {
        files.iter().filter(|it| keep(it)).map(|it| it.path.as_str()).collect()
    };
    (
        names(new, &|it| is_changed(it)),
        names(old, &|it| !after.contains_key(it.path.as_str())),
        names(new, &|it| !before.contains_key(it.path.as_str())),
    )
}
