//! What pairs form: families, which must stay in one split, and stars, of which one sample is kept.

use std::collections::{BTreeMap, VecDeque};

/// A kept leader and the rows within the threshold of it. Only members may be proposed for deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Star {
    /// The row that stays.
    pub leader: u32,
    /// The rows that the leader stands for, ascending.
    pub members: Vec<u32>,
}

/// Rows that pairs connect, and how well.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Two or more rows, ascending.
    pub members: Vec<u32>,
    /// Pairs on the shortest way between the two members that are farthest apart; of families of more than
    /// [`MAX_SWEPT`] members the most that two sweeps find, which is no more than that and seldom less.
    pub diameter: usize,
    /// The smallest score of the maximum spanning tree: at any higher minimum the family falls apart.
    pub weakest_link: f32,
}

/// Members up to which every one is the start of a sweep. Chosen so that a family takes a fraction of a second.
pub const MAX_SWEPT: usize = 1000;

/// Connected components of two or more rows, ordered by their smallest row; a pair is two rows and a score.
///
/// For verified or identical pairs only: components of raw similarities chain unlike things together, and even here the
/// diameter and the weakest link say how far. Time O(pairs log pairs), and members times pairs for each family of at most
/// [`MAX_SWEPT`]; memory O(n + pairs).
///
/// # Panics
/// When a pair names a row that is not there.
#[must_use]
pub fn families(n_rows: usize, pairs: &[(u32, u32, f32)]) -> Vec<Family> {
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by(|x, y| pairs[*y].2.total_cmp(&pairs[*x].2));
    let mut parent: Vec<u32> = (0..).take(n_rows).collect();
    let mut weakest: Vec<f32> = vec![f32::INFINITY; n_rows];
    for place in order {
        let (a, b, score) = pairs[place];
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        if a != b {
            // Best first: what joins two components last is the weakest of both. The smaller row becomes the root, so the
            // result does not depend on the order of pairs.
            parent[a.max(b) as usize] = a.min(b);
            weakest[a.min(b) as usize] = score;
        }
    }
    let paired = paired(n_rows, pairs.iter().map(|(a, b, _)| (*a, *b)));
    let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for row in (0..).take(n_rows).filter(|row| !paired[*row as usize].is_empty()) {
        members.entry(root(&mut parent, row)).or_default().push(row);
    }
    let mut steps = vec![usize::MAX; n_rows];
    let family = |(root, members): (u32, Vec<u32>)| Family {
        diameter: diameter(&members, &paired, &mut steps),
        weakest_link: weakest[root as usize],
        members,
    };
    members.into_iter().map(family).collect()
}

fn root(parent: &mut [u32], mut row: u32) -> u32 {
    while parent[row as usize] != row {
        let grandparent = parent[parent[row as usize] as usize];
        parent[row as usize] = grandparent;
        row = grandparent;
    }
    row
}

/// The rows that each row is paired with.
fn paired(n_rows: usize, pairs: impl Iterator<Item = (u32, u32)>) -> Vec<Vec<u32>> {
    let mut paired: Vec<Vec<u32>> = vec![Vec::new(); n_rows];
    for (a, b) in pairs.filter(|(a, b)| a != b) {
        paired[a as usize].push(b);
        paired[b as usize].push(a);
    }
    paired
}

/// The largest number of steps between two members. `steps` holds nothing but `usize::MAX`, before and after.
fn diameter(members: &[u32], paired: &[Vec<u32>], steps: &mut [usize]) -> usize {
    if MAX_SWEPT < members.len() {
        // The farthest from anywhere is a good place to start from.
        let (end, _) = sweep(members[0], paired, steps);
        members.iter().for_each(|row| steps[*row as usize] = usize::MAX);
        let (_, far) = sweep(end, paired, steps);
        members.iter().for_each(|row| steps[*row as usize] = usize::MAX);
        return far;
    }
    let mut most = 0;
    for start in members {
        most = most.max(sweep(*start, paired, steps).1);
        members.iter().for_each(|row| steps[*row as usize] = usize::MAX);
    }
    most
}

/// The last row that is reached from `start`, and in how many steps.
fn sweep(start: u32, paired: &[Vec<u32>], steps: &mut [usize]) -> (u32, usize) {
    steps[start as usize] = 0;
    let mut queue = VecDeque::from([start]);
    let mut last = start;
    while let Some(row) = queue.pop_front() {
        last = row;
        for other in &paired[row as usize] {
            if steps[*other as usize] == usize::MAX {
                steps[*other as usize] = steps[row as usize] + 1;
                queue.push_back(*other);
            }
        }
    }
    (last, steps[last as usize])
}

/// Covers all rows that have a pair by stars: the row that is best to keep becomes a leader and takes all rows that it is
/// paired with and that no star has yet; then the next. `rank` has a number for each row, the smallest is best to keep;
/// ties go to the smaller row. Ordered by leader.
///
/// Every member is paired with its leader, and no two leaders are paired: nothing is proposed for deletion because of a
/// row that is itself proposed. Stars are those of Aslam, Pelekhov and Rus, "The star clustering algorithm", JGAA 8 (2004),
/// who take rows by their number of pairs; ranks in that order give theirs. Time O(pairs + n log n).
///
/// # Panics
/// When a pair names a row that has no rank.
#[must_use]
pub fn stars(pairs: impl IntoIterator<Item = (u32, u32)>, rank: &[u32]) -> Vec<Star> {
    let paired = paired(rank.len(), pairs.into_iter());
    let mut order: Vec<u32> = (0..).take(rank.len()).filter(|row| !paired[*row as usize].is_empty()).collect();
    order.sort_by_key(|row| (rank[*row as usize], *row));
    let mut is_taken = vec![false; rank.len()];
    let mut stars = Vec::new();
    for leader in order {
        if is_taken[leader as usize] {
            continue;
        }
        is_taken[leader as usize] = true;
        let free = |row: &u32| !is_taken[*row as usize];
        let mut members: Vec<u32> = paired[leader as usize].iter().copied().filter(free).collect();
        members.sort_unstable();
        members.dedup();
        members.iter().for_each(|row| is_taken[*row as usize] = true);
        if !members.is_empty() {
            stars.push(Star { leader, members });
        }
    }
    stars.sort_by_key(|star| star.leader);
    stars
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The order of the star algorithm as published: most partners first.
    fn ranks_by_degree(n_rows: usize, pairs: impl IntoIterator<Item = (u32, u32)>) -> Vec<u32> {
        let degrees = paired(n_rows, pairs.into_iter()).into_iter().map(|it| it.len() as u32);
        degrees.map(|degree| u32::MAX - degree).collect()
    }

    #[test]
    fn a_chain_is_one_family_and_several_stars() {
        let chain = [(0, 1, 0.9), (1, 2, 0.7), (2, 3, 0.8), (3, 4, 1.0)];
        let family = Family { members: vec![0, 1, 2, 3, 4], diameter: 4, weakest_link: 0.7 };
        assert_eq!(families(6, &chain), [family]);
        let pairs = chain.map(|(a, b, _)| (a, b));
        let expected = [Star { leader: 1, members: vec![0, 2] }, Star { leader: 3, members: vec![4] }];
        assert_eq!(stars(pairs, &ranks_by_degree(6, pairs)), expected);
    }

    #[test]
    fn a_clique_keeps_its_first_row() {
        let clique = [(2, 5), (2, 7), (5, 7)];
        assert_eq!(stars(clique, &[0; 8]), [Star { leader: 2, members: vec![5, 7] }]);
        let scored = clique.map(|(a, b)| (a, b, 0.5));
        assert_eq!(families(8, &scored), [Family { members: vec![2, 5, 7], diameter: 1, weakest_link: 0.5 }]);
    }

    #[test]
    fn the_row_that_is_best_to_keep_leads() {
        let pairs = [(0, 1), (1, 2), (2, 3)];
        let expected = [Star { leader: 0, members: vec![1] }, Star { leader: 3, members: vec![2] }];
        assert_eq!(stars(pairs, &[1, 2, 3, 0]), expected);
    }

    #[test]
    fn the_weakest_link_is_that_of_the_best_tree() {
        // A triangle whose worst side is not needed.
        let families = families(3, &[(0, 1, 0.6), (1, 2, 0.9), (0, 2, 0.8)]);
        assert_eq!(families, [Family { members: vec![0, 1, 2], diameter: 1, weakest_link: 0.8 }]);
    }

    #[test]
    fn the_ends_of_a_long_chain_are_found() {
        let chain: Vec<_> = (0..2000).map(|row| (row, row + 1, 1.0)).collect();
        assert_eq!(families(2001, &chain)[0].diameter, 2000);
    }

    proptest! {
        #[test]
        fn members_are_paired_with_their_leader_and_leaders_never(
            pairs in prop::collection::btree_set((0..30_u32, 0..30_u32), 0..80),
            rank in prop::collection::vec(0..10_u32, 30),
        ) {
            let pairs: BTreeSet<(u32, u32)> =
                pairs.into_iter().filter(|(a, b)| a != b).map(|(a, b)| (a.min(b), a.max(b))).collect();
            let found = stars(pairs.iter().copied(), &rank);
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
            let scored: Vec<(u32, u32, f32)> = pairs.iter().map(|(a, b)| (*a, *b, 0.5)).collect();
            let found: Vec<Vec<u32>> = families(20, &scored).into_iter().map(|it| it.members).collect();
            prop_assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>().len(), found.len());
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}
