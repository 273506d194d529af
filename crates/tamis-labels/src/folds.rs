//! Folds for cross-validation that keep copies together and class shares equal.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::Error;
use crate::input::check_length;

/// Fewest folds for which a held-out part has something to be predicted from.
const MIN_FOLDS: usize = 2;

/// Assigns each sample a fold in `0..n_folds` such that no group is split and each label is spread evenly.
///
/// - `groups`: samples with the same value are never separated (copies of one sample: a model that has seen the copy
///   has seen the label). The values only tell groups apart.
/// - `keys`: decide who goes where; the caller mixes a content hash with the run's seed. The result depends on them and
///   not on the row order: permuting the rows permutes the folds, as long as different groups have different smallest
///   keys or keep their group values.
/// - A group counts with all its samples for one label, that of its member with the smallest key (equal keys: the
///   smaller label).
///
/// Per label, groups are placed from large to small (equal sizes: smaller key first) into the fold with the fewest
/// samples of that label so far, then the fewest samples of all, then the smallest number. The fold sizes of one label
/// differ by at most its largest group; without larger groups, whole folds differ by at most one sample.
/// O(n log n + g · `n_folds`) time for g groups, O(n) memory.
///
/// # Errors
/// When the three slices differ in length, `n_folds` is less than 2, or there are fewer groups than folds.
pub fn stratified_group_folds(labels: &[u32], groups: &[u32], keys: &[u64], n_folds: usize) -> Result<Vec<u32>, Error> {
    check_length("groups", labels.len(), groups.len())?;
    check_length("keys", labels.len(), keys.len())?;
    if n_folds < MIN_FOLDS || u32::try_from(n_folds).is_err() {
        return Err(Error::InvalidOption {
            option: "n_folds",
            expected: "a whole number in [2, 2^32)",
            got: n_folds as f64,
        });
    }
    let groups_by_id = collect_groups(labels, groups, keys);
    if groups_by_id.len() < n_folds {
        return Err(Error::TooFew {
            what: "samples",
            unit: "distinct groups",
            expected: n_folds,
            got: groups_by_id.len(),
        });
    }
    let fold_of = place(groups_by_id, n_folds);
    Ok(groups.iter().map(|group| fold_of[group]).collect())
}

/// What placing a group needs to know.
struct Group {
    id: u32,
    /// Smallest key of a member, and the label of that member.
    key: u64,
    label: u32,
    n_samples: usize,
}

fn collect_groups(labels: &[u32], groups: &[u32], keys: &[u64]) -> Vec<Group> {
    let mut by_id = BTreeMap::<u32, Group>::new();
    for ((&label, &id), &key) in labels.iter().zip(groups).zip(keys) {
        let group = by_id.entry(id).or_insert(Group { id, key, label, n_samples: 0 });
        group.n_samples += 1;
        (group.key, group.label) = (group.key, group.label).min((key, label));
    }
    by_id.into_values().collect()
}

fn place(mut groups: Vec<Group>, n_folds: usize) -> BTreeMap<u32, u32> {
    groups.sort_unstable_by_key(|group| (group.label, Reverse(group.n_samples), group.key, group.id));
    let mut fold_of = BTreeMap::new();
    // Samples per fold: of the label at hand, and of all labels so far.
    let mut n_of_label = vec![0_usize; n_folds];
    let mut n_of_all = vec![0_usize; n_folds];
    let mut label_at_hand = None;
    for group in groups {
        if label_at_hand != Some(group.label) {
            label_at_hand = Some(group.label);
            n_of_label.fill(0);
        }
        let fold = (0..n_folds)
            .min_by_key(|&fold| (n_of_label[fold], n_of_all[fold], fold))
            .expect("because there are at least two folds");
        n_of_label[fold] += group.n_samples;
        n_of_all[fold] += group.n_samples;
        let number = u32::try_from(fold).expect("because n_folds was checked to fit into u32");
        fold_of.insert(group.id, number);
    }
    fold_of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_share_a_fold_and_labels_are_spread() {
        let labels = [0, 0, 0, 0, 1, 1, 1, 1];
        let groups = [0, 0, 1, 2, 3, 4, 5, 6];
        let keys = [5, 5, 3, 9, 2, 8, 1, 4];
        let folds = stratified_group_folds(&labels, &groups, &keys, 2).unwrap();
        assert_eq!(folds, [0, 0, 1, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn a_group_counts_for_the_label_of_its_smallest_key() {
        // Group 0 counts for label 1, so the two samples of label 1 that stand alone go to the other fold.
        let labels = [0, 1, 1, 1];
        let folds = stratified_group_folds(&labels, &[0, 0, 1, 2], &[9, 1, 2, 3], 2).unwrap();
        assert_eq!(folds, [0, 0, 1, 1]);
    }

    #[test]
    fn fewer_groups_than_folds_are_refused() {
        let message = stratified_group_folds(&[0, 1, 0], &[7, 7, 7], &[1, 2, 3], 2).unwrap_err().to_string();
        assert_eq!(message, "samples has 1 distinct groups, expected at least 2");
    }

    #[test]
    fn one_fold_is_refused() {
        let message = stratified_group_folds(&[0, 1], &[0, 1], &[1, 2], 1).unwrap_err().to_string();
        assert_eq!(message, "option n_folds is 1, expected a whole number in [2, 2^32)");
    }
}
