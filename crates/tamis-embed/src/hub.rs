//! Models that were downloaded from the Hugging Face hub: where they lie, which commit, and whether they are still what they
//! were.
//!
//! tamis shares the cache of Hugging Face's own tools (`models--ORG--NAME/snapshots/COMMIT/` below [`Hub::cache`], release 1
//! of `huggingface_hub`), so what `hf download` fetched is found as well. [`pull`] leaves a [`Lock`] beside it,
//! `tamis/models--ORG--NAME.json`: the commit, and length and SHA-256 of every file. Later pulls stay at that commit, and
//! [`find`] compares every file with it.
//!
//! Only `fetch`, behind the feature `hub`, reaches for the network.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tamis_core::Progress;

use crate::{HubError, ModelFiles};

#[cfg(feature = "hub")]
mod fetch;

/// Files of a model that are fetched where the repository has them; those of its modules and weights come on top.
const WANTED: [&str; 10] = [
    "model.toml",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "preprocessor_config.json",
    "LICENSE",
    "NOTICE",
];

/// Where sentence-transformers keeps a table of vectors.
const STATIC: &str = "0_StaticEmbedding";

const WEIGHTS: &str = "model.safetensors";

/// How the hub is reached, resolved once from the environment.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    /// Folder of downloads; `None` where nobody says which.
    pub cache: Option<PathBuf>,
    /// Address of the hub; `None` for the client's default.
    pub endpoint: Option<String>,
    /// Whether nothing may be downloaded.
    pub offline: bool,
}

/// What is asked of the hub: a repository, and what the catalogue pins of it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// `organization/name`.
    pub repo: &'a str,
    /// The commit; `None` for the one that was pulled first, or else the newest.
    pub revision: Option<&'a str>,
    /// SHA-256 by file name, as far as it is pinned.
    pub sha256: &'a BTreeMap<String, String>,
    /// `model.toml` of the catalogue; `None` for a repository that it does not have.
    pub manifest: Option<&'static str>,
}

/// A file as it was when it was pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// Its length.
    pub size_bytes: u64,
    /// Its hash, 64 hexadecimal digits.
    pub sha256: String,
}

/// What was pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of this file.
    pub schema: String,
    /// `organization/name`.
    pub repo: String,
    /// The commit.
    pub revision: String,
    /// Every file that tamis needs of it.
    pub files: BTreeMap<String, LockedFile>,
}

/// A commit of a repository that is here.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The commit.
    pub revision: String,
    /// The folder with its files.
    pub folder: PathBuf,
    /// What was pulled; `None` where another tool did.
    pub lock: Option<Lock>,
}

/// [`Lock::schema`] of the locks that this version writes.
const SCHEMA: &str = "tamis-model-lock-1";

impl Wanted<'_> {
    /// The files of `snapshot` as a model.
    #[must_use]
    pub fn files(&self, snapshot: &Snapshot) -> ModelFiles {
        ModelFiles::Pulled {
            repo: self.repo.to_owned(),
            revision: snapshot.revision.clone(),
            folder: snapshot.folder.clone(),
            manifest: self.manifest,
        }
    }

    /// Where its lock lies below `cache`.
    fn lock_path(&self, cache: &Path) -> PathBuf {
        cache.join("tamis").join(format!("{}.json", self.folder_name()))
    }

    /// `models--organization--name`.
    fn folder_name(&self) -> String {
        format!("models--{}", self.repo.replace('/', "--"))
    }

    /// The pins of the catalogue, or those of `lock`, with the name of what pins.
    fn pins(&self, lock: Option<&Lock>) -> Vec<(String, String, &'static str)> {
        let manifest = self.sha256.iter().map(|(file, sha256)| (file.clone(), sha256.clone(), "model.toml"));
        let locked = lock.into_iter().flat_map(|it| &it.files).filter(|(file, _)| !self.sha256.contains_key(*file));
        manifest
            .chain(locked.map(|(file, it)| (file.clone(), it.sha256.clone(), "the lock of the first pull")))
            .collect()
    }
}

/// Whether `name` may be a repository: two names of letters, digits, dots, dashes and underscores, none of which begins with
/// a dot.
#[must_use]
pub fn is_repo(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(is_plain)
    };
    name.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}

/// Looks for a model among the downloads, without the network: at the pinned commit, or at that of its lock, or at the one
/// that `main` was when another tool fetched it. `None` where it, or its weights, are not there.
///
/// # Errors
/// When its lock cannot be read.
pub fn find(hub: &Hub, wanted: &Wanted<'_>) -> Result<Option<Snapshot>, HubError> {
    let Some(cache) = hub.cache.as_deref().filter(|_| is_repo(wanted.repo)) else { return Ok(None) };
    let folder = cache.join(wanted.folder_name());
    let lock = read_lock(&wanted.lock_path(cache))?.filter(|it| it.repo == wanted.repo);
    let lock = lock.filter(|it| wanted.revision.is_none_or(|pinned| pinned == it.revision));
    let main = || std::fs::read_to_string(folder.join("refs/main")).ok().map(|it| it.trim().to_owned());
    let pinned = wanted.revision.map(str::to_owned).or_else(|| lock.as_ref().map(|it| it.revision.clone()));
    let Some(revision) = pinned.or_else(main).filter(|it| is_revision(it)) else { return Ok(None) };
    let folder = folder.join("snapshots").join(&revision);
    let has_weights = folder.join(WEIGHTS).is_file() || weights_of_modules(&folder).is_some();
    Ok(has_weights.then_some(Snapshot { revision, folder, lock }))
}

/// Compares every file that is pinned, by the catalogue or by the first pull, with what lies in the folder. Returns how many
/// there are. Reads all of them.
///
/// # Errors
/// When a file is missing, cannot be read or is another one.
pub fn verify(wanted: &Wanted<'_>, snapshot: &Snapshot) -> Result<usize, HubError> {
    let pins = wanted.pins(snapshot.lock.as_ref());
    verify_folder(wanted.repo, &snapshot.folder, &pins)?;
    Ok(pins.len())
}

/// Compares files of `folder` with their pins: name, SHA-256, and where that stands.
///
/// # Errors
/// As [`verify`].
pub fn verify_folder(model: &str, folder: &Path, pins: &[(String, String, &str)]) -> Result<(), HubError> {
    for (file, expected, source_of_pin) in pins {
        let path = folder.join(file);
        if !path.is_file() {
            let source_of_pin = (*source_of_pin).to_owned();
            return Err(HubError::Missing { model: model.to_owned(), file: file.clone(), source_of_pin });
        }
        expect(model, file, expected, &sha256_of(&path)?.sha256, source_of_pin)?;
    }
    Ok(())
}

/// Downloads what is missing of a model, compares it with what is pinned, and pins the rest. Files that are there are not
/// fetched again; `progress` counts files.
///
/// # Errors
/// When the build, the environment or the hub does not let it, when the repository has no weights that tamis reads, or when
/// a file is not the one that was pinned.
pub fn pull(hub: &Hub, wanted: &Wanted<'_>, progress: &dyn Progress) -> Result<Snapshot, HubError> {
    let repo = wanted.repo.to_owned();
    if !is_repo(&repo) {
        return Err(HubError::NoRepo { name: repo });
    }
    if hub.offline {
        return Err(HubError::Offline { repo });
    }
    let cache = hub.cache.as_deref().ok_or(HubError::NoCache)?;
    download(hub, cache, wanted, progress)
}

#[cfg(feature = "hub")]
fn download(hub: &Hub, cache: &Path, wanted: &Wanted<'_>, progress: &dyn Progress) -> Result<Snapshot, HubError> {
    let path = wanted.lock_path(cache);
    let lock = read_lock(&path)?.filter(|it| it.repo == wanted.repo);
    let lock = lock.filter(|it| wanted.revision.is_none_or(|pinned| pinned == it.revision));
    let revision = wanted.revision.or(lock.as_ref().map(|it| it.revision.as_str()));
    let (revision, folder, files) = fetch::fetch(hub, cache, wanted, revision, progress)?;
    for (file, expected, source_of_pin) in wanted.pins(lock.as_ref()) {
        match files.get(&file) {
            Some(found) => expect(wanted.repo, &file, &expected, &found.sha256, source_of_pin)?,
            // What is pinned and not fetched now may lie there from before.
            None => verify_folder(wanted.repo, &folder, &[(file, expected, source_of_pin)])?,
        }
    }
    let lock = Lock { schema: SCHEMA.to_owned(), repo: wanted.repo.to_owned(), revision: revision.clone(), files };
    write_lock(&path, &lock)?;
    Ok(Snapshot { revision, folder, lock: Some(lock) })
}

#[cfg(not(feature = "hub"))]
fn download(_: &Hub, _: &Path, wanted: &Wanted<'_>, _: &dyn Progress) -> Result<Snapshot, HubError> {
    Err(HubError::NotBuilt { repo: wanted.repo.to_owned() })
}

/// Which of the files of a repository tamis needs: configurations, those of modules (`1_Pooling/config.json`) among them, the
/// tokenizer, the license, and the weights at the top or, for a table of vectors, with their tokenizer in the folder of their module.
///
/// # Errors
/// When there are no weights in one file of safetensors.
pub fn needed<'a>(repo: &str, files: &[&'a str]) -> Result<Vec<&'a str>, HubError> {
    let is_of_module = |file: &str| {
        let parts: Vec<&str> = file.split('/').collect();
        let [folder, name] = parts[..] else { return false };
        let is_module = folder.starts_with(|c: char| c.is_ascii_digit()) && folder.contains('_');
        let is_static = folder == STATIC && ["tokenizer.json", WEIGHTS].contains(&name);
        is_module && (name == "config.json" || is_static)
    };
    let is_needed = |file: &&str| WANTED.contains(file) || *file == WEIGHTS || is_of_module(file);
    let needed: Vec<&str> = files.iter().copied().filter(is_needed).collect();
    if needed.iter().any(|file| file.ends_with(WEIGHTS)) {
        return Ok(needed);
    }
    let is_weights = |file: &&str| {
        let at_top = !file.contains('/');
        at_top
            && [".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx"].iter().any(|it| file.ends_with(it))
    };
    let found: Vec<&str> = files.iter().copied().filter(is_weights).collect();
    let found = if found.is_empty() { "no weights at all".to_owned() } else { found.join(", ") };
    Err(HubError::NoWeights { repo: repo.to_owned(), found })
}

/// Length and SHA-256 of a file.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of(path: &Path) -> Result<LockedFile, HubError> {
    let failed = |source| HubError::Read { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut size_bytes = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(failed)?;
        if n == 0 {
            return Ok(LockedFile { size_bytes, sha256: hex(&hasher.finalize()) });
        }
        hasher.update(&buffer[..n]);
        size_bytes += n as u64;
    }
}

/// SHA-256 of `bytes`, 64 hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Refuses a hash that is not the one expected.
///
/// # Errors
/// [`HubError::Mismatch`].
pub fn expect(model: &str, file: &str, expected: &str, got: &str, source_of_pin: &str) -> Result<(), HubError> {
    if expected.eq_ignore_ascii_case(got) {
        return Ok(());
    }
    Err(HubError::Mismatch {
        model: model.to_owned(),
        file: file.to_owned(),
        source_of_pin: source_of_pin.to_owned(),
        expected: expected.to_owned(),
        got: got.to_owned(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text may be the name of a folder of a commit: nothing that leads elsewhere.
fn is_revision(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// The weights in the folder of a table of vectors.
fn weights_of_modules(folder: &Path) -> Option<PathBuf> {
    let path = folder.join(STATIC).join(WEIGHTS);
    path.is_file().then_some(path)
}

/// Reads a lock; `None` where there is none.
fn read_lock(path: &Path) -> Result<Option<Lock>, HubError> {
    let malformed = |reason: String| HubError::Lock { path: path.to_owned(), reason };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(HubError::Read { path: path.to_owned(), source }),
    };
    let lock: Lock = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    if lock.schema != SCHEMA {
        return Err(malformed(format!("schema is `{}`, expected `{SCHEMA}`", lock.schema)));
    }
    Ok(Some(lock))
}

/// Writes a lock, whole or not at all.
#[cfg(feature = "hub")]
fn write_lock(path: &Path, lock: &Lock) -> Result<(), HubError> {
    let failed = |source| HubError::Write { path: path.to_owned(), source };
    let json = serde_json::to_string_pretty(lock).map_err(|error| failed(error.into()))?;
    let temporary = path.with_extension(format!("json.tmp-{}", std::process::id()));
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    std::fs::write(&temporary, json + "\n").map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A cache with one snapshot of `org/name`, fetched by another tool.
    fn cache() -> (tempfile::TempDir, Hub, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("models--org--name");
        let folder = repo.join("snapshots").join(REVISION);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir_all(repo.join("refs")).unwrap();
        std::fs::write(repo.join("refs/main"), REVISION).unwrap();
        std::fs::write(folder.join(WEIGHTS), b"abc").unwrap();
        let hub = Hub { cache: Some(dir.path().to_owned()), ..Hub::default() };
        (dir, hub, folder)
    }

    fn wanted(sha256: &BTreeMap<String, String>) -> Wanted<'_> {
        Wanted { repo: "org/name", revision: None, sha256, manifest: None }
    }

    fn write_lock_of(hub: &Hub, sha256: &str, revision: &str) {
        let path = wanted(&BTreeMap::new()).lock_path(hub.cache.as_ref().unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = LockedFile { size_bytes: 3, sha256: sha256.to_owned() };
        let files = BTreeMap::from([(WEIGHTS.to_owned(), file)]);
        let lock =
            Lock { schema: SCHEMA.to_owned(), repo: "org/name".to_owned(), revision: revision.to_owned(), files };
        std::fs::write(path, serde_json::to_vec(&lock).unwrap()).unwrap();
    }

    /// FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn what_another_tool_fetched_is_found_without_a_lock() {
        let (_dir, hub, folder) = cache();
        let none = BTreeMap::new();
        let snapshot = find(&hub, &wanted(&none)).unwrap().unwrap();
        assert_eq!((snapshot.revision.as_str(), &snapshot.folder), (REVISION, &folder));
        assert!(snapshot.lock.is_none());
        assert_eq!(verify(&wanted(&none), &snapshot).unwrap(), 0);
        std::fs::remove_file(folder.join(WEIGHTS)).unwrap();
        assert!(find(&hub, &wanted(&none)).unwrap().is_none(), "a download that stopped half-way is not here");
    }

    #[test]
    fn the_commit_of_the_catalogue_beats_the_lock_and_the_lock_beats_main() {
        let (_dir, hub, folder) = cache();
        let none = BTreeMap::new();
        let other = "f".repeat(40);
        write_lock_of(&hub, ABC, &other);
        assert!(find(&hub, &wanted(&none)).unwrap().is_none(), "the lock's commit is not here");
        let pinned = Wanted { revision: Some(REVISION), ..wanted(&none) };
        let snapshot = find(&hub, &pinned).unwrap().unwrap();
        assert_eq!((snapshot.folder, snapshot.lock), (folder, None));
    }

    #[test]
    fn a_file_that_changed_since_it_was_pinned_is_named() {
        let (_dir, hub, folder) = cache();
        let none = BTreeMap::new();
        write_lock_of(&hub, ABC, REVISION);
        let snapshot = find(&hub, &wanted(&none)).unwrap().unwrap();
        assert_eq!(verify(&wanted(&none), &snapshot).unwrap(), 1);
        std::fs::write(folder.join(WEIGHTS), b"abd").unwrap();
        let error = verify(&wanted(&none), &snapshot).unwrap_err().to_string();
        let got = sha256(b"abd");
        let expected =
            format!("model.safetensors of org/name has the SHA-256 {got}, expected {ABC} (the lock of the first pull)");
        assert_eq!(error, expected);
        let pins = BTreeMap::from([("LICENSE".to_owned(), ABC.to_owned())]);
        let error = verify(&wanted(&pins), &snapshot).unwrap_err().to_string();
        assert_eq!(error, "org/name has no LICENSE, which model.toml lists");
    }

    #[test]
    fn a_lock_that_says_nothing_is_named() {
        let (_dir, hub, _) = cache();
        let none = BTreeMap::new();
        write_lock_of(&hub, ABC, REVISION);
        let path = wanted(&none).lock_path(hub.cache.as_ref().unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("lock-1", "lock-9")).unwrap();
        let error = find(&hub, &wanted(&none)).unwrap_err().to_string();
        assert!(error.ends_with("schema is `tamis-model-lock-9`, expected `tamis-model-lock-1`"), "{error}");
    }

    #[test]
    fn names_that_lead_elsewhere_are_no_repositories() {
        assert!(["BAAI/bge-m3", "a/b.c_d-1"].into_iter().all(is_repo));
        assert!(!["bge-m3", "../x", "a/..", "a/b/c", "/a", "a/", "a/b c"].into_iter().any(is_repo));
        let none = BTreeMap::new();
        let offline = Hub { offline: true, ..Hub::default() };
        let pull = |repo, hub: &Hub| {
            pull(hub, &Wanted { repo, ..wanted(&none) }, &tamis_core::NoProgress).unwrap_err().to_string()
        };
        assert_eq!(pull("x", &offline), "`x` is not a repository of the hub, expected ORGANIZATION/NAME");
        assert_eq!(pull("a/b", &offline), "a/b cannot be pulled: HF_HUB_OFFLINE is set");
        let error = pull("a/b", &Hub::default());
        assert!(error.starts_with("there is no place to keep models: expected one of HF_HUB_CACHE, "), "{error}");
    }

    #[test]
    fn only_the_files_that_are_read_are_fetched() {
        let files = [
            "README.md",
            "config.json",
            "1_Pooling/config.json",
            "model.safetensors",
            "onnx/model.onnx",
            "onnx/config.json",
            "openvino/openvino_model.bin",
            "pytorch_model.bin",
            "tokenizer.json",
        ];
        let expected = ["config.json", "1_Pooling/config.json", "model.safetensors", "tokenizer.json"];
        assert_eq!(needed("org/name", &files).unwrap(), expected);
        let layout = ["modules.json", "0_StaticEmbedding/model.safetensors", "0_StaticEmbedding/tokenizer.json"];
        assert_eq!(needed("org/name", &layout).unwrap(), layout);
    }

    #[test]
    fn a_repository_without_safetensors_in_one_file_is_refused_with_what_it_has() {
        let files = ["config.json", "pytorch_model.bin", "onnx/model.safetensors"];
        let error = needed("org/name", &files).unwrap_err().to_string();
        assert_eq!(error, "org/name has no model.safetensors, found pytorch_model.bin");
        let files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
        let error = needed("org/name", &files).unwrap_err().to_string();
        assert!(error.ends_with("found model-00001-of-00002.safetensors, model-00002-of-00002.safetensors"), "{error}");
    }
}
