//! The models that tamis knows by name: one folder under `models/` and one line here.

use crate::Manifest;

/// A model with its manifest; the weights come from elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct CatalogEntry {
    /// Name of the folder under `models/`.
    pub id: &'static str,
    /// Its `model.toml`.
    pub toml: &'static str,
}

/// The entry called `name`, or the one whose repository on the hub is `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static CatalogEntry> {
    let is_repo = |it: &&CatalogEntry| name.contains('/') && it.manifest().hub_repo() == Some(name);
    CATALOG.iter().find(|it| it.id == name).or_else(|| CATALOG.iter().find(is_repo))
}

impl CatalogEntry {
    /// Parses the manifest.
    ///
    /// # Panics
    /// When the manifest is malformed, which a test rules out.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        Manifest::parse(self.toml).expect("because a test parses every manifest of the catalogue")
    }
}

/// A folder under `models/`.
macro_rules! entry {
    ($id:literal) => {
        CatalogEntry { id: $id, toml: include_str!(concat!("../../../models/", $id, "/model.toml")) }
    };
}

/// Every model that tamis knows by name, those for texts first, those for both last; the first of each modality is the
/// default.
pub static CATALOG: &[CatalogEntry] = &[
    entry!("all-minilm-l6-v2"),
    entry!("all-minilm-l12-v2"),
    entry!("all-mpnet-base-v2"),
    entry!("paraphrase-multilingual-minilm-l12-v2"),
    entry!("bge-small-en-v1.5"),
    entry!("bge-base-en-v1.5"),
    entry!("bge-large-en-v1.5"),
    entry!("bge-m3"),
    entry!("multilingual-e5-small"),
    entry!("multilingual-e5-base"),
    entry!("multilingual-e5-large"),
    entry!("e5-base-v2"),
    entry!("gte-small"),
    entry!("gte-base"),
    entry!("gte-modernbert-base"),
    entry!("modernbert-embed-base"),
    entry!("nomic-embed-text-v1.5"),
    entry!("snowflake-arctic-embed-s"),
    entry!("snowflake-arctic-embed-m-v1.5"),
    entry!("qwen3-embedding-0.6b"),
    entry!("potion-base-8m"),
    entry!("potion-retrieval-32m"),
    entry!("mobilenet-v2"),
    entry!("efficientnet-lite0"),
    entry!("efficientnet-lite2"),
    entry!("vit-base-patch16-224-in21k"),
    entry!("dinov2-small"),
    entry!("dinov2-base"),
    entry!("dinov2-with-registers-small"),
    entry!("clip-vit-base-patch32"),
    entry!("clip-vit-large-patch14"),
    entry!("siglip-base-patch16-224"),
    entry!("siglip2-base-patch16-224"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_of_models_is_listed_under_its_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
        let mut folders: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        folders.sort();
        let mut listed: Vec<_> = CATALOG.iter().map(|entry| entry.id.to_owned()).collect();
        listed.sort();
        assert_eq!(listed, folders);
        for entry in CATALOG {
            assert_eq!(entry.manifest().id, entry.id);
        }
    }

    #[test]
    fn every_model_says_where_it_comes_from_and_what_it_is_good_for() {
        for entry in CATALOG {
            let it = entry.manifest();
            let repo = it.repo.as_deref().unwrap_or_default();
            assert!(crate::hub::is_repo(repo), "{}: repo is {repo:?}", it.id);
            assert!(it.description.ends_with('.') && it.description.len() < 140, "{}: {}", it.id, it.description);
            assert!(["Apache-2.0", "BSD-3-Clause", "MIT"].contains(&it.license.as_str()), "{}: {}", it.id, it.license);
            assert!(it.download_mb.is_some() || it.derived_by.is_some(), "{} has no size", it.id);
            assert!(it.text.is_none_or(|it| !it.languages.is_empty()), "{} has no language", entry.id);
            // What is pinned is pinned whole.
            let is_hash = |it: &String| it.len() == 64 && it.chars().all(|c| c.is_ascii_hexdigit());
            assert!(it.sha256.values().all(is_hash), "{}", it.id);
            assert_eq!(it.revision.is_some(), !it.sha256.is_empty(), "{} has a commit without hashes", entry.id);
        }
    }

    #[test]
    fn no_two_models_are_one_repository() {
        let mut repos: Vec<_> = CATALOG.iter().filter_map(|it| it.manifest().repo).collect();
        let n = repos.len();
        repos.sort();
        repos.dedup();
        assert_eq!(repos.len(), n);
    }
}
