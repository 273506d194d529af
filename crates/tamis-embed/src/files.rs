//! The files of one model, wherever they are.

use std::borrow::Cow;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use crate::ModelError;

/// Longest header of a safetensors file that the format allows, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// The files of one model in hub layout: a folder, or bytes inside the binary.
#[derive(Clone, Debug)]
pub enum ModelFiles {
    /// A folder on disk.
    Folder(PathBuf),
    /// A commit of a repository that was downloaded.
    Pulled {
        /// `organization/name`.
        repo: String,
        /// The commit.
        revision: String,
        /// The folder with its files.
        folder: PathBuf,
        /// `model.toml` of the catalogue; `None` for a repository that it does not have.
        manifest: Option<&'static str>,
    },
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
            Self::Pulled { repo, .. } => repo.clone(),
            Self::Bundled { name, .. } => (*name).to_owned(),
        }
    }

    /// Bytes of `file`, or `None` where the model has no such file.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or its name leads out of the folder.
    pub fn read(&self, file: &str) -> Result<Option<Cow<'static, [u8]>>, ModelError> {
        self.check_name(file)?;
        match self {
            Self::Pulled { manifest: Some(toml), .. } if file == "model.toml" => {
                Ok(Some(Cow::Borrowed(toml.as_bytes())))
            }
            Self::Folder(folder) | Self::Pulled { folder, .. } => {
                read_optional(&folder.join(file)).map(|it| it.map(Cow::Owned))
            }
            Self::Bundled { files, .. } => {
                Ok(files.iter().find(|(name, _)| *name == file).map(|(_, bytes)| Cow::Borrowed(*bytes)))
            }
        }
    }

    /// Hash of the files that say how the weights are used: the configuration of the layers, and `tokenizer`.
    ///
    /// # Errors
    /// When one is there and cannot be read.
    pub fn settings_blake3(&self, tokenizer: &str) -> Result<String, ModelError> {
        let mut hasher = blake3::Hasher::new();
        for name in ["config.json", tokenizer] {
            let bytes = self.read(name)?.unwrap_or_default();
            // With its length before it, no file can take bytes from the next.
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Bytes of a file that must be there.
    pub(crate) fn require(&self, file: &str, expected: &str) -> Result<Cow<'static, [u8]>, ModelError> {
        self.read(file)?.ok_or_else(|| self.missing(file, expected))
    }

    /// The JSON at the beginning of a safetensors file, which names its tensors; their numbers are not read.
    pub(crate) fn safetensors_header(&self, file: &str) -> Result<serde_json::Value, ModelError> {
        self.check_name(file)?;
        let expected = "the weights in safetensors format";
        let header = match self {
            Self::Folder(folder) | Self::Pulled { folder, .. } => {
                let path = folder.join(file);
                match std::fs::File::open(&path) {
                    Ok(mut opened) => header(&mut opened),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        return Err(self.missing(file, expected));
                    }
                    Err(source) => return Err(ModelError::Read { path, source }),
                }
            }
            Self::Bundled { .. } => header(&mut &*self.require(file, expected)?),
        };
        let header = header.map_err(|error| self.malformed(file, error))?;
        serde_json::from_slice(&header).map_err(|error| self.malformed(file, error))
    }

    /// Refuses names that lead out of the folder: they stand in files that were downloaded, and no pin speaks for what is
    /// elsewhere.
    fn check_name(&self, file: &str) -> Result<(), ModelError> {
        match Path::new(file).components().all(|part| matches!(part, Component::Normal(_))) {
            true => Ok(()),
            false => Err(self.malformed(file, "its name leads out of the model's folder")),
        }
    }

    /// An error about a file that is not there.
    pub(crate) fn missing(&self, file: &str, expected: &str) -> ModelError {
        ModelError::MissingFile { model: self.name(), file: file.to_owned(), expected: expected.to_owned() }
    }

    /// An error about the content of `file`.
    pub(crate) fn malformed(&self, file: &str, reason: impl ToString) -> ModelError {
        ModelError::Malformed { model: self.name(), file: file.to_owned(), reason: reason.to_string() }
    }
}

/// Eight bytes of length, little-endian, and that many bytes of JSON.
fn header(from: &mut dyn std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if MAX_HEADER < length {
        let reason = format!("a header of {length} bytes, expected at most {MAX_HEADER}");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
    }
    let mut json = Vec::new();
    from.take(length).read_to_end(&mut json)?;
    Ok(json)
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, ModelError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ModelError::Read { path: path.to_owned(), source }),
    }
}
