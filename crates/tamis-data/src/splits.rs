//! Splits by the names of files and folders, as Hugging Face `datasets` tells them.
//!
//! The rules are those of `datasets/data_files.py` (`SPLIT_KEYWORDS`, `NON_WORDS_CHARS`, `SPLIT_PATTERN_SHARDED`), with
//! two deviations: there, once some file shows a split, files that show none are dropped; here they are read as `train`.
//! And case does not count here.

use tamis_core::SplitRole;

/// The split of data that says nothing about it.
pub(crate) const DEFAULT: &str = "train";

/// The usual name of a split, e.g. `validation` for `dev`; any other name stays as it is.
#[must_use]
pub fn canonical(name: &str) -> &str {
    // A keyword alone; `x_test` shows its role and keeps its name.
    let is_one_word = name.chars().all(char::is_alphabetic);
    of_name(name).filter(|_| is_one_word).unwrap_or(name)
}

/// The split that one component of a path names.
fn of_name(name: &str) -> Option<&'static str> {
    SplitRole::of_name(name).map(SplitRole::id)
}

/// The split that a path relative to its root shows, its components given in order.
///
/// A shard's name comes first (`data/{split}-00000-of-00001.parquet`), then the folders, outermost first, then the name of
/// the file.
pub(crate) fn of_path(components: &[&str]) -> Option<String> {
    let (file, folders) = components.split_last()?;
    if folders.last() == Some(&"data")
        && let Some(split) = of_shard(file)
    {
        return Some(canonical(split).to_owned());
    }
    let found = folders.iter().find_map(|it| of_name(it)).or_else(|| of_name(file));
    found.map(str::to_owned)
}

/// The split that the folders of a path show.
pub(crate) fn of_folders(folders: &[&str]) -> Option<&'static str> {
    folders.iter().find_map(|it| of_name(it))
}

/// Whether a folder is there to name a split.
pub(crate) fn is_split_folder(name: &str) -> bool {
    of_name(name).is_some()
}

/// `{split}-NNNNN-of-NNNNN*.*` gives the split.
pub(crate) fn of_shard(file: &str) -> Option<&str> {
    let (split, rest) = file.rsplit_once("-of-").and_then(|(left, right)| {
        let (split, number) = left.rsplit_once('-')?;
        (is_shard_number(number) && is_shard_number(right.get(..5)?)).then_some((split, &right[5..]))
    })?;
    let is_name = !split.is_empty() && split.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    (is_name && rest.contains('.')).then_some(split)
}

fn is_shard_number(text: &str) -> bool {
    text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<String> {
        of_path(&path.split('/').collect::<Vec<_>>())
    }

    #[test]
    fn keywords_need_a_boundary() {
        for (path, split) in [
            ("train.csv", Some("train")),
            ("my-dev.csv", Some("validation")),
            ("val_2.csv", Some("validation")),
            ("eval1.csv", Some("test")),
            ("a test b.csv", Some("test")),
            ("latest.csv", None),
            ("testament.csv", None),
            ("developer.csv", None),
            ("TEST.csv", Some("test")),
        ] {
            assert_eq!(of(path).as_deref(), split, "{path}");
        }
    }

    #[test]
    fn folders_come_before_files() {
        assert_eq!(of("test/train.csv").as_deref(), Some("test"));
        assert_eq!(of("data/valid/x.csv").as_deref(), Some("validation"));
        assert_eq!(of("a/b/testing-1/x.csv").as_deref(), Some("test"));
    }

    #[test]
    fn shards_may_have_any_split() {
        assert_eq!(of("data/train-00000-of-00001.parquet").as_deref(), Some("train"));
        assert_eq!(of("data/test_matched-00000-of-00003-ab12.parquet").as_deref(), Some("test_matched"));
        assert_eq!(of("data/dev-00000-of-00001.parquet").as_deref(), Some("validation"));
        assert_eq!(of("data/extra-0-of-1.parquet"), None);
    }

    #[test]
    fn values_of_a_split_column_get_their_usual_name() {
        assert_eq!(canonical("Dev"), "validation");
        assert_eq!(canonical("test_matched"), "test_matched");
    }
}
