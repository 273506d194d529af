//! What pairs form: families, which must stay in one split, and stars, of which one sample is kept.

use std::collections::BTreeSet;

/// A kept leader and the rows within the threshold of it. Only members may be proposed for deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Star {
    /// The row that stays.
    pub leader: u32,
    /// The rows that the leader stands for, ascending.
    pub members: Vec<u32>,
}

/// Connected components of two or more rows, ascending inside, ordered by their smallest row.
///
/// For verified or identical pairs only: components of raw similarities chain unlike things together. Time and memory
/// O((n + pairs) log n).
#[must_use]
pub fn families(n_rows: usize, pairs: impl IntoIterator<Item = (u32, u32)>) -> Vec<Vec<u32>> {
    let mut parent: Vec<u32> = (0..).take(n_rows).collect();
    for (a, b) in pairs {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        // The smaller row becomes the root, so the result does not depend on the order of pairs.
        parent[a.max(b) as usize] = a.min(b);
    }
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); n_rows];
    for row in (0..).take(n_rows) {
        members[root(&mut parent, row) as usize].push(row);
    }
    members.into_iter().filter(|family| 1 < family.len()).collect()
}

fn root(parent: &mut [u32], mut row: u32) -> u32 {
    while parent[row as usize] != row {
        let grandparent = parent[parent[row as usize] as usize];
        parent[row as usize] = grandparent;
        row = grandparent;
    }
    row
}

/// Covers all rows that have a pair by stars: greedily the row that most uncovered rows are paired with, ties to the
/// smaller row. Ordered by leader.
///
/// Every member is paired with its leader, and no two leaders are paired: nothing is proposed for deletion because of a
/// row that is itself proposed. Aslam, Pelekhov and Rus, "The star clustering algorithm", JGAA 8 (2004), with the degree
/// among uncovered rows. Time O(pairs log pairs).
#[must_use]
pub fn stars(n_rows: usize, pairs: impl IntoIterator<Item = (u32, u32)>) -> Vec<Star> {
    let mut paired: Vec<Vec<u32>> = vec![Vec::new(); n_rows];
    for (a, b) in pairs.into_iter().filter(|(a, b)| a != b) {
        paired[a as usize].push(b);
        paired[b as usize].push(a);
    }
    let mut degree: Vec<usize> = paired.iter().map(Vec::len).collect();
    let key = |row: u32, degree: usize| (std::cmp::Reverse(degree), row);
    let rows = (0..).take(n_rows).filter(|row| !paired[*row as usize].is_empty());
    let mut queue: BTreeSet<_> = rows.map(|row| key(row, degree[row as usize])).collect();
    let mut stars = Vec::new();
    while let Some((_, leader)) = queue.pop_first() {
        let uncovered = |row: &u32| queue.contains(&key(*row, degree[*row as usize]));
        let mut members: Vec<u32> = paired[leader as usize].iter().copied().filter(uncovered).collect();
        members.sort_unstable();
        members.dedup();
        for member in &members {
            queue.remove(&key(*member, degree[*member as usize]));
        }
        for covered in members.iter().chain([&leader]) {
            for other in &paired[*covered as usize] {
                let old = key(*other, degree[*other as usize]);
                if queue.remove(&old) {
                    degree[*other as usize] -= 1;
                    queue.insert(key(*other, degree[*other as usize]));
                }
            }
        }
        if !members.is_empty() {
            stars.push(Star { leader, members });
        }
    }
    stars.sort_by_key(|star| star.leader);
    stars
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chain_is_one_family_and_several_stars() {
        let chain = [(0, 1), (1, 2), (2, 3), (3, 4)];
        assert_eq!(families(6, chain), [vec![0, 1, 2, 3, 4]]);
        let expected = [Star { leader: 1, members: vec![0, 2] }, Star { leader: 3, members: vec![4] }];
        assert_eq!(stars(6, chain), expected);
    }

    #[test]
    fn a_clique_keeps_its_first_row() {
        let clique = [(2, 5), (2, 7), (5, 7)];
        assert_eq!(stars(8, clique), [Star { leader: 2, members: vec![5, 7] }]);
    }

    proptest! {
        #[test]
        fn members_are_paired_with_their_leader_and_leaders_never(
            pairs in prop::collection::btree_set((0..30_u32, 0..30_u32), 0..80),
        ) {
            let pairs: BTreeSet<(u32, u32)> =
                pairs.into_iter().filter(|(a, b)| a != b).map(|(a, b)| (a.min(b), a.max(b))).collect();
            let found = stars(30, pairs.iter().copied());
            let is_pair = |a: u32, b: u32| pairs.contains(&(a.min(b), a.max(b)));
            let mut covered = BTreeSet::new();
            for star in &found {
                prop_assert!(covered.insert(star.leader));
                for member in &star.members {
                    prop_assert!(is_pair(star.leader, *member) && covered.insert(*member));
                }
            }
            for (a, b) in &pairs {
                let member = |row: &u32| found.iter().any(|star| star.members.contains(row));
                prop_assert!(member(a) || member(b), "a pair is left of which both stay: {a} {b}");
            }
        }

        #[test]
        fn families_are_the_reachable_rows(pairs in prop::collection::vec((0..20_u32, 0..20_u32), 0..30)) {
            let mut linked: BTreeSet<(u32, u32)> = (0..20).map(|row| (row, row)).collect();
            for (a, b) in &pairs {
                linked.extend([(*a, *b), (*b, *a)]);
            }
            for via in 0..20 {
                let before = linked.clone();
                let from = (0..20).filter(|row| before.contains(&(*row, via)));
                linked.extend(from.flat_map(|a| (0..20).filter(|b| before.contains(&(via, *b))).map(move |b| (a, b)).collect::<Vec<_>>()));
            }
            let expected: BTreeSet<Vec<u32>> = (0..20)
                .map(|i| (0..20).filter(|j| linked.contains(&(i, *j))).collect::<Vec<_>>())
                .filter(|family| 1 < family.len())
                .collect();
            let found = families(20, pairs);
            prop_assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>().len(), found.len());
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}
