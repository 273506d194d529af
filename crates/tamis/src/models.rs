//! Which model a name means, where its files are, and the weights that the binary carries.

use std::path::Path;

use tamis_core::Modality;
use tamis_embed::catalog::{self, CATALOG, CatalogEntry};
use tamis_embed::hub::{self, Hub, Snapshot, Wanted};
use tamis_embed::{HubError, Manifest, ModelFiles};

/// A model that was named and cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoSuchModel {
    /// Nothing has this name.
    #[error(
        "there is no model `{name}`: expected a folder with config.json, tokenizer.json and model.safetensors, or one of {known}"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The models that this binary carries.
        known: String,
    },
    /// It is in the catalogue, or looks like a repository of the hub, and its files are not on this machine.
    #[error("model `{name}` is not on this machine")]
    NotHere {
        /// What was asked for.
        name: String,
        /// Where the hub has it; `None` where only a build carries it.
        repo: Option<String>,
    },
    /// What was downloaded is not what it was.
    #[error(transparent)]
    Damaged(#[from] HubError),
}

impl NoSuchModel {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => Some("`tamis models list` shows the models that have a name".to_owned()),
            Self::NotHere { name, repo: Some(repo) } if cfg!(feature = "hub") => {
                Some(format!("pull it with `tamis models pull {name}`; {}", by_hand(repo)))
            }
            Self::NotHere { repo: Some(repo), .. } => Some(by_hand(repo)),
            Self::NotHere { repo: None, .. } => Some("builds with the feature `bundled-models` carry it".to_owned()),
            Self::Damaged(error) => hint(error),
        }
    }
}

/// What the user can do about a model that the hub did not give.
#[must_use]
pub fn hint(error: &HubError) -> Option<String> {
    match error {
        HubError::NotBuilt { repo } | HubError::Offline { repo } | HubError::Fetch { repo, .. } => Some(by_hand(repo)),
        HubError::NoWeights { repo, .. } => Some(format!(
            "save them as one file with Python: AutoModel.from_pretrained(\"{repo}\").save_pretrained(\"DIR\"), then \
             AutoTokenizer, and name the folder with --model DIR"
        )),
        HubError::Mismatch { .. } | HubError::Missing { .. } => Some(
            "the files changed after they were pinned; remove them from the cache and pull the model again".to_owned(),
        ),
        HubError::Damaged { .. } => Some("pull the model again".to_owned()),
        _ => None,
    }
}

/// How to get a model without this program.
fn by_hand(repo: &str) -> String {
    format!("get its files with `hf download {repo} --local-dir DIR`, and name the folder with --model DIR")
}

/// The model used for texts where none is named.
pub const DEFAULT_TEXT_MODEL: &str = "all-minilm-l6-v2";

/// The model used for images where none is named.
pub const DEFAULT_IMAGE_MODEL: &str = "mobilenet-v2";

/// The model used where none is named.
#[must_use]
pub fn default_for(modality: Modality) -> &'static str {
    match modality {
        Modality::Text => DEFAULT_TEXT_MODEL,
        Modality::Image => DEFAULT_IMAGE_MODEL,
    }
}

/// Where the files of a model are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the binary.
    Bundled,
    /// Among the downloads.
    Pulled,
    /// Nowhere on this machine.
    NotHere,
}

impl Place {
    /// The word for it.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Bundled => "bundled",
            Self::Pulled => "pulled",
            Self::NotHere => "not here",
        }
    }
}

/// What the hub is asked for under a name.
#[derive(Clone, Debug)]
pub struct Source {
    repo: String,
    entry: Option<(&'static CatalogEntry, Manifest)>,
}

impl Source {
    /// The repository of a model of the catalogue, or `ORGANIZATION/NAME` itself; `None` for other names, and for models
    /// that no repository has as tamis reads them.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match catalog::find(name) {
            Some(entry) => {
                let manifest = entry.manifest();
                let repo = manifest.hub_repo()?.to_owned();
                Some(Self { repo, entry: Some((entry, manifest)) })
            }
            None => hub::is_repo(name).then(|| Self { repo: name.to_owned(), entry: None }),
        }
    }

    /// The manifest of the catalogue; `None` for a repository that it does not have.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.entry.as_ref().map(|(_, manifest)| manifest)
    }

    /// What is asked of the hub.
    #[must_use]
    pub fn wanted(&self) -> Wanted<'_> {
        static NOTHING: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
        let manifest = self.manifest();
        Wanted {
            repo: &self.repo,
            revision: manifest.and_then(|it| it.revision.as_deref()),
            sha256: manifest.map_or(&NOTHING, |it| &it.sha256),
            manifest: self.entry.as_ref().map(|(entry, _)| entry.toml),
        }
    }
}

/// Finds the files of `name` as [`locate`], and compares every file of a model that was pulled with what was pinned.
///
/// # Errors
/// When it is nowhere, or when its files are not those that were pinned.
pub fn find(name: &str, hub: &Hub) -> Result<ModelFiles, NoSuchModel> {
    let (files, pulled) = locate(name, hub)?;
    if let Some((source, snapshot)) = pulled {
        hub::verify(&source.wanted(), &snapshot)?;
    }
    Ok(files)
}

/// Finds the files of `name`: a model that the binary carries, a folder (`./NAME` where both are there), or a model of the
/// catalogue or the hub that was pulled, with what was asked for and what is there. Reads no weights, uses no network.
///
/// # Errors
/// When it is none of these.
pub fn locate(name: &str, hub: &Hub) -> Result<(ModelFiles, Option<(Source, Snapshot)>), NoSuchModel> {
    if let Some(files) = bundled().iter().find(|(id, _)| *id == name) {
        return Ok((ModelFiles::Bundled { name: files.0, files: files.1 }, None));
    }
    let path = Path::new(name);
    if path.is_dir() {
        return Ok((ModelFiles::Folder(path.to_owned()), None));
    }
    let not_here = |repo| NoSuchModel::NotHere { name: name.to_owned(), repo };
    let Some(source) = Source::of(name) else {
        return Err(if catalog::find(name).is_some() { not_here(None) } else { unknown(name) });
    };
    let wanted = source.wanted();
    let snapshot = hub::find(hub, &wanted)?.ok_or_else(|| not_here(Some(wanted.repo.to_owned())))?;
    let files = wanted.files(&snapshot);
    Ok((files, Some((source, snapshot))))
}

/// The error for a name that nothing has.
#[must_use]
pub fn unknown(name: &str) -> NoSuchModel {
    let known: Vec<&str> = bundled().iter().map(|(id, _)| *id).collect();
    let known = if known.is_empty() { "none (this build carries no model)".to_owned() } else { known.join(", ") };
    NoSuchModel::Unknown { name: name.to_owned(), known }
}

/// Where the files of a model of the catalogue are. Does not read them.
///
/// # Errors
/// When the lock of a pulled model cannot be read.
pub fn place(entry: &CatalogEntry, hub: &Hub) -> Result<Place, HubError> {
    if bundled().iter().any(|(id, _)| *id == entry.id) {
        return Ok(Place::Bundled);
    }
    let found = match Source::of(entry.id) {
        Some(source) => hub::find(hub, &source.wanted())?,
        None => None,
    };
    Ok(if found.is_some() { Place::Pulled } else { Place::NotHere })
}

/// Models of the catalogue that were pulled.
///
/// # Errors
/// When a lock cannot be read.
pub fn pulled(hub: &Hub) -> Result<Vec<&'static str>, HubError> {
    let mut pulled = Vec::new();
    for entry in CATALOG {
        if place(entry, hub)? == Place::Pulled {
            pulled.push(entry.id);
        }
    }
    Ok(pulled)
}

/// File name and bytes of each file of a model.
type Files = &'static [(&'static str, &'static [u8])];

/// The models that this binary carries.
#[must_use]
pub fn bundled() -> &'static [(&'static str, Files)] {
    BUNDLED
}

#[cfg(feature = "bundled-models")]
macro_rules! file {
    ($model:literal, $name:literal) => {
        ($name, include_bytes!(concat!("../../../models/", $model, "/", $name)).as_slice())
    };
}

#[cfg(feature = "bundled-models")]
static BUNDLED: &[(&str, Files)] = &[
    (
        DEFAULT_TEXT_MODEL,
        &[
            file!("all-minilm-l6-v2", "model.toml"),
            file!("all-minilm-l6-v2", "config.json"),
            file!("all-minilm-l6-v2", "tokenizer.json"),
            file!("all-minilm-l6-v2", "model.safetensors"),
            file!("all-minilm-l6-v2", "LICENSE"),
            file!("all-minilm-l6-v2", "NOTICE"),
        ],
    ),
    (
        DEFAULT_IMAGE_MODEL,
        &[
            file!("mobilenet-v2", "model.toml"),
            file!("mobilenet-v2", "model.safetensors"),
            file!("mobilenet-v2", "LICENSE"),
            file!("mobilenet-v2", "NOTICE"),
        ],
    ),
];

#[cfg(not(feature = "bundled-models"))]
static BUNDLED: &[(&str, Files)] = &[];
