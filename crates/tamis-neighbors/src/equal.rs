//! Rows and sets that are equal: they are compared with others once, and listed together.

use std::collections::HashMap;
use std::hash::Hash;

use crate::join::index;

/// Equals up to which all of their pairs are listed. Of more, each is listed with the first one, which then stands for all
/// of them: a thousand copies are a fact of a thousand lines and not of half a million.
const MAX_LISTED: usize = 100;

/// Groups of equals, each ascending; in the order of their first ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equals {
    pub(crate) groups: Vec<Vec<u32>>,
}

impl Equals {
    /// Groups `items` by their keys; an item without a key has no equal.
    pub fn new<K: Hash + Eq>(items: impl IntoIterator<Item = (u32, Option<K>)>) -> Self {
        let mut group_of: HashMap<K, usize> = HashMap::new();
        let mut groups: Vec<Vec<u32>> = Vec::new();
        for (item, key) in items {
            let next = groups.len();
            let group = key.map_or(next, |key| *group_of.entry(key).or_insert(next));
            match groups.get_mut(group) {
                Some(group) => group.push(item),
                None => groups.push(vec![item]),
            }
        }
        Self { groups }
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
        listed(&self.groups[group])
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
