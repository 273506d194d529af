//! A JSON file of a model, read key by key, with errors that name file, key, what was found and what was expected.

use serde_json::Value;

use crate::{ModelError, ModelFiles};

/// A parsed file and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Json<'a> {
    files: &'a ModelFiles,
    /// File name.
    pub(crate) file: String,
    value: Value,
}

impl<'a> Json<'a> {
    /// Parses `file`; `None` where the model has no such file.
    pub(crate) fn read(files: &'a ModelFiles, file: &str) -> Result<Option<Self>, ModelError> {
        files.read(file)?.map(|bytes| Self::parse(files, file, &bytes)).transpose()
    }

    /// Parses `file`, which must be there.
    pub(crate) fn require(files: &'a ModelFiles, file: &str, expected: &str) -> Result<Self, ModelError> {
        Self::parse(files, file, &files.require(file, expected)?)
    }

    fn parse(files: &'a ModelFiles, file: &str, bytes: &[u8]) -> Result<Self, ModelError> {
        let value = serde_json::from_slice(bytes).map_err(|error| files.malformed(file, error))?;
        Ok(Self { files, file: file.to_owned(), value })
    }

    /// The value behind `path`, keys joined by dots; null counts as nothing.
    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        let value = path.split('.').try_fold(&self.value, |value, key| value.get(key));
        value.filter(|it| !it.is_null())
    }

    /// The whole file.
    pub(crate) fn root(&self) -> &Value {
        &self.value
    }

    /// An error about the value of `path`.
    pub(crate) fn wrong(&self, path: &str, expected: impl std::fmt::Display) -> ModelError {
        let reason = match self.get(path) {
            Some(value) => format!("{path} is {value}, expected {expected}"),
            None => format!("there is no {path}, expected {expected}"),
        };
        self.files.malformed(&self.file, reason)
    }

    /// A whole number above 0, or `default` where there is nothing; an error where there is no default either.
    pub(crate) fn count(&self, path: &str, default: Option<usize>) -> Result<usize, ModelError> {
        let wrong = || self.wrong(path, "a whole number above 0");
        match self.get(path) {
            None => default.ok_or_else(wrong),
            Some(value) => {
                let number = value.as_u64().and_then(|it| usize::try_from(it).ok());
                number.filter(|it| 0 < *it).ok_or_else(wrong)
            }
        }
    }

    /// A whole number above 0, if there is one: what is no number, negative or beyond every length is nothing.
    pub(crate) fn sane_length(&self, path: &str) -> Option<usize> {
        // The transformers library writes 1e30 where a tokenizer knows no limit.
        const MOST: u64 = 1_000_000;
        let number = self.get(path)?.as_u64().filter(|it| (1..=MOST).contains(it))?;
        usize::try_from(number).ok()
    }

    /// true or false, or `default` where there is nothing.
    pub(crate) fn flag(&self, path: &str, default: Flag) -> Result<bool, ModelError> {
        match self.get(path) {
            None => Ok(default == Flag::On),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(path, "true or false")),
        }
    }

    /// A string, if there is something.
    pub(crate) fn text(&self, path: &str) -> Result<Option<&str>, ModelError> {
        match self.get(path) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(path, "a string")),
        }
    }
}

/// What a flag is that nobody set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// true.
    On,
    /// false.
    Off,
}
