//! Where files come to lie: below the folder that all inputs have in common, under names that show their split and label.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use tamis_core::SplitRole;

use crate::error::ReadError;
use crate::reader::Input;
use crate::splits;
use crate::walk;

/// The folder that all inputs have in common.
#[derive(Debug)]
pub(super) struct Base {
    folder: PathBuf,
    /// Folders that were looked up.
    known: HashMap<PathBuf, PathBuf>,
}

impl Base {
    /// The deepest folder that holds all inputs; of a single folder it is the folder itself.
    pub(super) fn of(inputs: &[Input]) -> Result<Self, ReadError> {
        let mut folder: Option<PathBuf> = None;
        for Input { path, .. } in inputs {
            let place = path.canonicalize().map_err(|source| ReadError::Inaccessible { path: path.clone(), source })?;
            let own = match place.is_dir() {
                true => place,
                // A link to a file lies where the link lies.
                false => real_folder(path),
            };
            folder = Some(folder.map_or_else(|| own.clone(), |it| common(&it, &own)));
        }
        Ok(Self { folder: folder.unwrap_or_default(), known: HashMap::new() })
    }

    /// A path relative to the base; `None` where it leads out of it.
    pub(super) fn relative(&mut self, path: &Path) -> Option<PathBuf> {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let real = self.known.entry(folder).or_insert_with(|| real_folder(path));
        let place = real.join(path.file_name()?);
        place.strip_prefix(&self.folder).ok().map(Path::to_owned)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The folder that a file lies in, without links and `..`.
fn real_folder(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.canonicalize().or_else(|_| std::path::absolute(folder)).unwrap_or_else(|_| folder.to_owned())
}

fn common(a: &Path, b: &Path) -> PathBuf {
    a.components().zip(b.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}

/// Names of the components of a relative path; `None` where one is not UTF-8 or leads elsewhere.
pub(super) fn names(path: &Path) -> Option<Vec<&str>> {
    let name = |it| if let Component::Normal(name) = it { name.to_str() } else { None };
    path.components().map(name).collect()
}

/// The path that shows the split `target` in the place of `current`: a shard's name, else the first folder that shows it,
/// else the file's name. `None` where nothing shows it, or the new name would not be read as `target`.
pub(super) fn in_split(path: &Path, current: &str, target: &str) -> Option<PathBuf> {
    let components = names(path)?;
    let (file, folders) = components.split_last()?;
    let shard = splits::of_shard(file).filter(|it| folders.last() == Some(&"data") && splits::canonical(it) == current);
    let mut changed: Vec<String> = components.iter().map(|it| (*it).to_owned()).collect();
    let last = changed.len() - 1;
    match shard {
        Some(shard) => changed[last] = format!("{target}{}", &file[shard.len()..]),
        None => {
            let (idx, name) =
                components.iter().enumerate().find_map(|(idx, it)| Some((idx, renamed(it, current, target)?)))?;
            changed[idx] = name;
        }
    }
    let shown = walk::split_of(&changed.iter().map(String::as_str).collect::<Vec<_>>());
    (shown.as_deref() == Some(target)).then(|| changed.iter().collect())
}

/// A name whose word for the split `current` becomes `target`.
fn renamed(name: &str, current: &str, target: &str) -> Option<String> {
    let role = SplitRole::of_name(current);
    let is_separator = |c: char| matches!(c, '-' | '.' | '_' | ' ') || c.is_ascii_digit();
    let mut start = 0;
    for word in name.split(is_separator) {
        let is_mnist_test = start == 0 && current == "test" && name.starts_with("t10k-");
        if !word.is_empty() && role.is_some() && SplitRole::of_name(word) == role {
            return Some(format!("{}{target}{}", &name[..start], &name[start + word.len()..]));
        }
        if is_mnist_test {
            return Some(format!("{target}{}", &name["t10k".len()..]));
        }
        // Separators are one byte long.
        start += word.len() + 1;
    }
    None
}

/// The path of a table with the split `target` behind its name; `None` where it would not be read as that.
pub(super) fn with_split(path: &Path, target: &str) -> Option<PathBuf> {
    let file = path.file_name()?.to_str()?;
    let stem = file.strip_suffix(".gz").unwrap_or(file);
    let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
    let changed = path.with_file_name(format!("{stem}-{target}{}", &file[stem.len()..]));
    let shown = walk::split_of(&names(&changed)?);
    (shown.as_deref() == Some(target)).then_some(changed)
}

/// The path in a folder of the split `target` at the top.
pub(super) fn below_split(path: &Path, target: &str) -> Option<PathBuf> {
    let changed = Path::new(target).join(path);
    let shown = walk::split_of(&names(&changed)?);
    (shown.as_deref() == Some(target)).then_some(changed)
}

/// The path with the folder of another label: the last folder that names no split.
pub(super) fn with_label(path: &Path, current: &str, target: &str) -> Result<PathBuf, String> {
    let is_name = !["", ".", ".."].contains(&target.trim()) && !target.contains(['/', '\\', '\0']);
    if !is_name || target.starts_with('.') || splits::is_split_folder(target) {
        return Err(format!("`{target}` cannot be the name of a folder of a label"));
    }
    let components = names(path).ok_or("its path is no UTF-8")?;
    let folders = &components[..components.len() - 1];
    let place = folders.iter().rposition(|it| !splits::is_split_folder(it)).filter(|at| folders[*at] == current);
    let place = place.ok_or_else(|| format!("no folder of its path is called `{current}`"))?;
    Ok(components.iter().enumerate().map(|(idx, it)| if idx == place { target } else { it }).collect())
}

/// The path, with a number where it is taken.
pub(super) fn free(path: &Path, is_taken: impl Fn(&Path) -> bool) -> PathBuf {
    let mut place = path.to_owned();
    for n in 2.. {
        if !is_taken(&place) {
            break;
        }
        place = numbered(path, n);
    }
    place
}

/// The path with a number before its extension.
fn numbered(path: &Path, n: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = match path.extension() {
        Some(extension) => format!("{stem}-{n}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{n}"),
    };
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(path: &str, current: &str, target: &str) -> Option<String> {
        in_split(Path::new(path), current, target).map(|it| it.to_str().unwrap().to_owned())
    }

    #[test]
    fn names_show_the_new_split() {
        for (path, current, target, expected) in [
            ("train.jsonl", "train", "test", Some("test.jsonl")),
            ("my-Train_1.csv.gz", "train", "validation", Some("my-validation_1.csv.gz")),
            ("dev/cat/1.png", "validation", "test", Some("test/cat/1.png")),
            ("data/train-00000-of-00002.parquet", "train", "test", Some("data/test-00000-of-00002.parquet")),
            ("data/extra-00000-of-00002.parquet", "extra", "other", Some("data/other-00000-of-00002.parquet")),
            ("t10k-images-idx3-ubyte", "test", "train", Some("train-images-idx3-ubyte")),
            ("é train.csv", "train", "test", Some("é test.csv")),
            ("x.csv", "train", "test", None),
            ("train.csv", "train", "odd", None),
        ] {
            assert_eq!(moved(path, current, target).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_file_without_a_split_gets_one_behind_its_name() {
        let with = |path: &str, target| with_split(Path::new(path), target).map(|it| it.to_str().unwrap().to_owned());
        assert_eq!(with("a/x.v2.jsonl.gz", "test").as_deref(), Some("a/x.v2-test.jsonl.gz"));
        assert_eq!(with("x", "validation").as_deref(), Some("x-validation"));
        assert_eq!(with("train.csv", "test"), None, "it would be read as train");
        assert_eq!(below_split(Path::new("cat/1.png"), "test").unwrap(), Path::new("test/cat/1.png"));
    }

    #[test]
    fn the_folder_of_the_label_is_the_last_that_names_no_split() {
        let with = |path: &str, target| with_label(Path::new(path), "cat", target);
        assert_eq!(with("train/cat/1.png", "dog").unwrap(), Path::new("train/dog/1.png"));
        assert_eq!(with("cat/train/1.png", "dog").unwrap(), Path::new("dog/train/1.png"));
        assert!(with("cow/1.png", "dog").is_err());
        for bad in ["", "..", "a/b", ".hidden", "test"] {
            assert!(with("cat/1.png", bad).unwrap_err().contains("cannot be the name of a folder"), "{bad}");
        }
    }
}
