//! Rows ordered so that the members of a family lie next to each other.

use std::collections::BTreeMap;

/// Rows of one block, the unit of parallel work: at 384 dimensions their vectors fill 1.5 MiB, about one core's
/// second-level cache. It must not depend on the number of threads.
const BLOCK_ROWS: usize = 1024;

/// Families as ranges of rows.
#[derive(Debug)]
pub(super) struct Grouping {
    /// All rows; members of a family are neighbors, ascending, and families are ordered by their first row.
    order: Vec<u32>,
    /// Where each family begins in `order`, and the end.
    starts: Vec<u32>,
    /// Family by row, an index into `starts`.
    family_of: Vec<u32>,
}

impl Grouping {
    /// Groups rows with equal `families`; the values only tell families apart.
    pub(super) fn new(families: &[u32]) -> Self {
        let mut numbers = BTreeMap::new();
        let mut family_of = Vec::with_capacity(families.len());
        let mut sizes: Vec<u32> = Vec::new();
        for family in families {
            let number = *numbers.entry(family).or_insert(sizes.len());
            if number == sizes.len() {
                sizes.push(0);
            }
            sizes[number] += 1;
            family_of.push(u32::try_from(number).expect("because there are no more families than rows"));
        }
        let mut starts = vec![0];
        for size in sizes {
            starts.push(starts[starts.len() - 1] + size);
        }
        let mut next = starts.clone();
        let mut order = vec![0; families.len()];
        for (row, &family) in (0..).zip(&family_of) {
            order[next[family as usize] as usize] = row;
            next[family as usize] += 1;
        }
        Self { order, starts, family_of }
    }

    /// Number of the row's family, below [`Self::n_families`].
    pub(super) fn family_of(&self, row: u32) -> u32 {
        self.family_of[row as usize]
    }

    pub(super) fn n_families(&self) -> usize {
        self.starts.len() - 1
    }

    /// All rows of the family of `row`, ascending.
    pub(super) fn members(&self, row: u32) -> &[u32] {
        self.family(self.family_of(row) as usize)
    }

    /// All rows of a family, ascending.
    pub(super) fn family(&self, family: usize) -> &[u32] {
        &self.order[self.starts[family] as usize..self.starts[family + 1] as usize]
    }

    /// All rows in blocks of whole families; only a family with more rows than a block is cut.
    pub(super) fn blocks(&self) -> Vec<&[u32]> {
        let mut blocks = Vec::new();
        let mut start = 0;
        for family in self.starts.windows(2) {
            let (first, end) = (family[0] as usize, family[1] as usize);
            if start < first && BLOCK_ROWS < end - start {
                blocks.push(&self.order[start..first]);
                start = first;
            }
            if BLOCK_ROWS < end - start {
                blocks.extend(self.order[start..end].chunks(BLOCK_ROWS));
                start = end;
            }
        }
        if start < self.order.len() {
            blocks.push(&self.order[start..]);
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_lie_next_to_each_other_in_the_order_of_first_rows() {
        let grouping = Grouping::new(&[7, 3, 7, 3, 9]);
        assert_eq!(grouping.blocks(), [&[0, 2, 1, 3, 4]]);
        assert_eq!(grouping.members(3), [1, 3]);
        assert_eq!(grouping.family_of(4), 2);
        assert_eq!(grouping.n_families(), 3);
    }

    #[test]
    fn a_family_is_cut_only_where_it_is_larger_than_a_block() {
        let mut families: Vec<u32> = (0..1000).collect();
        families.extend([5000; 3000]);
        families.extend(2000..2010);
        let grouping = Grouping::new(&families);
        let sizes: Vec<usize> = grouping.blocks().iter().map(|block| block.len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 4010);
        assert!(sizes.iter().all(|&size| size <= BLOCK_ROWS), "{sizes:?}");
    }
}
