//! Rows and sets that are equal: they are compared with others once, and listed together.

use crate::buckets::Buckets;
use crate::join::index;

/// Equals up to which all of their pairs are listed. Of more, each is listed with the first one, which then stands for all
/// of them: a thousand copies are a fact of a thousand lines and not of half a million.
const MAX_LISTED: usize = 100;

/// Groups of equals, each in the order in which they were given; the groups in that of their first ones.
///
/// Memory: 4 bytes for each item and 8 for each group; while groups are made, 4 more for each item, and as much as a pair of
/// its key and a number takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equals {
    groups: Buckets<u32>,
}

impl Equals {
    /// Groups `items` by their keys; an item without a key has no equal. Time O(n log n).
    ///
    /// # Panics
    /// When there are 2^32 items.
    pub fn new<K: Ord>(items: impl IntoIterator<Item = (u32, Option<K>)>) -> Self {
        let (mut all, mut keyed) = (Vec::new(), Vec::new());
        for (item, key) in items {
            keyed.extend(key.map(|key| (key, index(all.len()))));
            all.push(item);
        }
        keyed.sort_unstable();
        // By place: first that of the first equal, then the number of the group, which the first equal has before the others.
        let mut group_of: Vec<u32> = (0..index(all.len())).collect();
        for equals in keyed.chunk_by(|x, y| x.0 == y.0) {
            for (_, place) in equals {
                group_of[*place as usize] = equals[0].1;
            }
        }
        drop(keyed);
        let mut n_groups = 0;
        for place in 0..all.len() {
            let first = group_of[place] as usize;
            group_of[place] = if first == place { n_groups } else { group_of[first] };
            n_groups += u32::from(first == place);
        }
        let items = || group_of.iter().zip(&all).map(|(group, item)| (*group as usize, *item));
        Self { groups: Buckets::new(n_groups as usize, items) }
    }

    /// Leaves of neighbors within a group that have the same `key` the first one alone.
    pub(crate) fn dedup_by_key(&mut self, key: impl Fn(u32) -> u32) {
        let kept = || {
            let groups = self.groups.iter().enumerate();
            groups.flat_map(|(group, items)| items.chunk_by(|x, y| key(*x) == key(*y)).map(move |it| (group, it[0])))
        };
        self.groups = Buckets::new(self.groups.len(), kept);
    }

    /// Number of items in all groups.
    pub(crate) fn n_items(&self) -> usize {
        self.groups.iter().map(<[u32]>::len).sum()
    }

    /// The members of a group.
    pub(crate) fn of(&self, group: usize) -> &[u32] {
        self.groups.of(group)
    }

    /// The members of each group.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.groups.iter()
    }

    /// The first of each group.
    pub fn firsts(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.groups.iter().map(|group| group[0])
    }

    /// Pairs of equals, the smaller first: all of a group, or each with the first where they are many.
    pub fn pairs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.groups.iter().flat_map(|group| {
            let firsts = listed(group).iter().enumerate();
            firsts.flat_map(|(i, a)| group[i + 1..].iter().map(|b| (*a, *b)))
        })
    }

    /// The members of a group that are listed in pairs with others.
    #[must_use]
    pub fn listed(&self, group: usize) -> &[u32] {
        listed(self.groups.of(group))
    }

    /// How many members of each group are listed in pairs with others.
    #[must_use]
    pub fn n_listed(&self) -> Vec<u32> {
        self.groups.iter().map(|group| index(listed(group).len())).collect()
    }

    /// Members that are listed with the first of their group alone.
    #[must_use]
    pub fn n_represented(&self) -> usize {
        self.groups.iter().map(|group| group.len() - listed(group).len()).sum()
    }
}

fn listed(group: &[u32]) -> &[u32] {
    if group.len() <= MAX_LISTED { group } else { &group[..1] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_in_the_order_of_their_first_ones() {
        let equals = Equals::new([(9, Some(5)), (2, None), (7, Some(1)), (4, Some(5)), (0, Some(1)), (1, Some(9))]);
        let expected: [&[u32]; 4] = [&[9, 4], &[2], &[7, 0], &[1]];
        assert_eq!((equals.iter().collect::<Vec<_>>(), equals.n_items()), (expected.to_vec(), 6));
        assert_eq!(Equals::new::<u32>([]).firsts().len(), 0);
    }

    #[test]
    fn of_neighbors_with_one_key_the_first_stays() {
        let mut equals = Equals::new((0..6).map(|item| (item, Some(item % 2))));
        equals.dedup_by_key(|item| item / 4);
        assert_eq!(equals.iter().collect::<Vec<_>>(), [&[0, 4], &[1, 5]]);
    }

    #[test]
    fn few_equals_are_all_listed_and_many_with_the_first() {
        let few = Equals::new([(0, Some(7)), (1, None), (2, Some(7)), (3, Some(7)), (4, None)]);
        assert_eq!(few.pairs().collect::<Vec<_>>(), [(0, 2), (0, 3), (2, 3)]);
        assert_eq!((few.listed(0), few.n_represented()), (&[0, 2, 3][..], 0));
        assert_eq!((few.n_listed(), few.firsts().len()), (vec![3, 1, 1], 3));
        assert_eq!(few.firsts().collect::<Vec<_>>(), [0, 1, 4]);
        let many = Equals::new((0..1000).map(|item| (item, Some(()))));
        assert_eq!((many.pairs().count(), many.n_represented(), many.n_listed()), (999, 999, vec![1]));
        assert!(many.pairs().all(|(a, _)| a == 0));
    }
}
