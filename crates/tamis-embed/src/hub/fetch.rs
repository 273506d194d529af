//! Downloads by the crate `hf-hub`: the only place that reaches for the network.
//!
//! The client reads `HF_TOKEN` and the token file of `hf auth login` itself. A file of the cache is fetched once; one whose
//! download broke off is begun anew, the files before it are not.

use std::path::{Path, PathBuf};

use hf_hub::HFClient;
use tamis_core::Progress;

use super::{Hub, is_revision, needed, sha256_of};
use crate::HubError;

/// Fetches the files that tamis needs of `repo` at `revision`, or at the newest commit of `main`. Returns the commit, the
/// folder, and the names of the files.
pub(super) fn fetch(
    hub: &Hub,
    cache: &Path,
    repo: &str,
    revision: Option<&str>,
    progress: &dyn Progress,
) -> Result<(String, PathBuf, Vec<String>), HubError> {
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
    for name in &names {
        let path = client.download_file().filename(*name).revision(commit.as_str()).send().map_err(failed(name))?;
        check_blob(repo, name, &path)?;
        task.advance(1);
    }
    let folder = cache.join(format!("models--{}", repo.replace('/', "--"))).join("snapshots").join(&commit);
    Ok((commit, folder, names.into_iter().map(str::to_owned).collect()))
}

/// Large files lie in the cache under their SHA-256, as the hub says it: one that has another is damaged, and is removed for
/// the next pull to fetch it again.
fn check_blob(repo: &str, file: &str, path: &Path) -> Result<(), HubError> {
    let Ok(blob) = path.canonicalize() else { return Ok(()) };
    let name = blob.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    if name.len() != 64 || !name.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(());
    }
    let checked = super::expect(repo, file, name, &sha256_of(path)?.sha256, "the hub; it was removed, pull again");
    if checked.is_err() {
        for path in [path, &blob] {
            std::fs::remove_file(path).map_err(|source| HubError::Write { path: path.to_owned(), source })?;
        }
    }
    checked
}
