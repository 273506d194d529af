//! Downloads by the crate `hf-hub`: the only place that reaches for the network.
//!
//! The client reads `HF_TOKEN` and the token file of `hf auth login` itself. A file of the cache is fetched once; one whose
//! download broke off is begun anew, the files before it are not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hf_hub::HFClient;
use tamis_core::Progress;

use super::{Hub, LockedFile, Wanted, is_revision, needed, sha256_of};
use crate::HubError;

/// Fetches the files that tamis needs of a repository at `revision`, or at the newest commit of `main`. Returns the commit,
/// the folder, and the files with their hashes.
pub(super) fn fetch(
    hub: &Hub,
    cache: &Path,
    wanted: &Wanted<'_>,
    revision: Option<&str>,
    progress: &dyn Progress,
) -> Result<(String, PathBuf, BTreeMap<String, LockedFile>), HubError> {
    let repo = wanted.repo;
    let failed = |what: &str| {
        let (repo, what) = (repo.to_owned(), what.to_owned());
        move |error: hf_hub::HFError| HubError::Fetch { repo, what, source: Box::new(error) }
    };
    let mut builder = HFClient::builder().cache_dir(cache);
    if let Some(endpoint) = &hub.endpoint {
        builder = builder.endpoint(endpoint);
    }
    let (owner, name) = hf_hub::split_id(repo);
    let client = builder.build_sync().map_err(failed("the list of files"))?.model(owner, name);
    let asked = revision.unwrap_or("main");
    let info = client.info().revision(asked).send().map_err(failed("the list of files"))?;
    let commit = info.sha.filter(|it| is_revision(it));
    let commit = commit.ok_or_else(|| HubError::Fetch {
        repo: repo.to_owned(),
        what: "the commit".to_owned(),
        source: format!("the hub names no commit of `{asked}`").into(),
    })?;
    let siblings: Vec<String> = info.siblings.into_iter().flatten().map(|it| it.rfilename).collect();
    let names: Vec<&str> = siblings.iter().map(String::as_str).collect();
    let names = needed(repo, &names)?;
    let task = progress.begin(&format!("pull {name}"), Some(names.len() as u64), "files");
    let mut files = BTreeMap::new();
    for name in names {
        let path = client.download_file().filename(name).revision(commit.as_str()).send().map_err(failed(name))?;
        let found = sha256_of(&path)?;
        check_blob(repo, name, &path, &found.sha256)?;
        files.insert(name.to_owned(), found);
        task.advance(1);
    }
    let folder = cache.join(wanted.folder_name()).join("snapshots").join(&commit);
    Ok((commit, folder, files))
}

/// Large files lie in the cache under their SHA-256, as the hub says it: one that has another is damaged, and is removed for
/// the next pull to fetch it again.
fn check_blob(repo: &str, file: &str, path: &Path, sha256: &str) -> Result<(), HubError> {
    let Ok(blob) = path.canonicalize() else { return Ok(()) };
    let name = blob.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    if name.len() != 64 || !name.chars().all(|c| c.is_ascii_hexdigit()) || name.eq_ignore_ascii_case(sha256) {
        return Ok(());
    }
    for path in [path, &blob] {
        std::fs::remove_file(path).map_err(|source| HubError::Write { path: path.to_owned(), source })?;
    }
    Err(HubError::Damaged { repo: repo.to_owned(), file: file.to_owned() })
}
