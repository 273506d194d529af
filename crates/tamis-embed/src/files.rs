//! The files of one model, wherever they are.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::ModelError;

/// The files of one model in hub layout: a folder, or bytes inside the binary.
#[derive(Clone, Debug)]
pub enum ModelFiles {
    /// A folder on disk.
    Folder(PathBuf),
    /// Files that the binary carries.
    Bundled {
        /// Name of the model.
        name: &'static str,
        /// File name and bytes of each.
        files: &'static [(&'static str, &'static [u8])],
    },
}

impl ModelFiles {
    /// What to call the model in messages.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::Bundled { name, .. } => (*name).to_owned(),
        }
    }

    /// Bytes of `file`, or `None` where the model has no such file.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub(crate) fn read(&self, file: &str) -> Result<Option<Cow<'static, [u8]>>, ModelError> {
        match self {
            Self::Folder(folder) => read_optional(&folder.join(file)).map(|it| it.map(Cow::Owned)),
            Self::Bundled { files, .. } => {
                Ok(files.iter().find(|(name, _)| *name == file).map(|(_, bytes)| Cow::Borrowed(*bytes)))
            }
        }
    }

    /// Hash of the files that say how the weights are used: the configuration of the layers and the tokenizer.
    ///
    /// # Errors
    /// When one is there and cannot be read.
    pub fn settings_blake3(&self) -> Result<String, ModelError> {
        let mut hasher = blake3::Hasher::new();
        for name in ["config.json", "tokenizer.json"] {
            let bytes = self.read(name)?.unwrap_or_default();
            // With its length before it, no file can take bytes from the next.
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Bytes of a file that must be there.
    pub(crate) fn require(&self, file: &str, expected: &str) -> Result<Cow<'static, [u8]>, ModelError> {
        self.read(file)?.ok_or_else(|| ModelError::MissingFile {
            model: self.name(),
            file: file.to_owned(),
            expected: expected.to_owned(),
        })
    }

    /// An error about the content of `file`.
    pub(crate) fn malformed(&self, file: &str, reason: impl ToString) -> ModelError {
        ModelError::Malformed { model: self.name(), file: file.to_owned(), reason: reason.to_string() }
    }
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, ModelError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ModelError::Read { path: path.to_owned(), source }),
    }
}
