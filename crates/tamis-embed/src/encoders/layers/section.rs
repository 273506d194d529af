//! Parts of `config.json` where what has its default may be left out.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::Source;
use crate::ModelError;

/// The whole of `config.json`, or the part for one tower.
#[derive(Clone, Copy)]
pub(in crate::encoders) struct Section<'a> {
    source: &'a Source<'a>,
    /// Its key; empty for the whole file.
    key: &'a str,
    value: &'a Value,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(in crate::encoders) fn whole(source: &'a Source<'a>) -> Self {
        Self { source, key: "", value: &source.config }
    }

    /// The first of `keys` that the file has. A file for one tower alone, whose `model_type` ends in `suffix`, is its
    /// part as a whole.
    pub(in crate::encoders) fn of(source: &'a Source<'a>, keys: &[&'a str], suffix: &str) -> Self {
        let found = keys.iter().find(|key| source.config.get(**key).is_some_and(|value| !value.is_null()));
        if let Some(key) = found {
            return Self { source, key, value: &source.config[*key] };
        }
        match source.config["model_type"].as_str().is_some_and(|it| it.ends_with(suffix)) {
            true => Self::whole(source),
            false => Self { source, key: keys[keys.len() - 1], value: &Value::Null },
        }
    }

    /// The value of `key`, or `default` where there is none.
    ///
    /// # Errors
    /// When the value is of another type.
    pub(in crate::encoders) fn get<T: DeserializeOwned>(&self, key: &str, default: T) -> Result<T, ModelError> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => T::deserialize(value).map_err(|error| {
                let dot = if self.key.is_empty() { "" } else { "." };
                self.source.malformed(format!("{}{dot}{key}: {error}", self.key))
            }),
        }
    }

    /// What the encoder is built from.
    pub(in crate::encoders) fn source(&self) -> &'a Source<'a> {
        self.source
    }
}
