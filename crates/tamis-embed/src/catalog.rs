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

/// Every model that tamis knows by name; the first of each modality is the default.
pub static CATALOG: &[CatalogEntry] = &[
    CatalogEntry { id: "all-minilm-l6-v2", toml: include_str!("../../../models/all-minilm-l6-v2/model.toml") },
    CatalogEntry { id: "mobilenet-v2", toml: include_str!("../../../models/mobilenet-v2/model.toml") },
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
}
