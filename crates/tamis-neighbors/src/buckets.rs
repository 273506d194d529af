//! Items by the number of a bucket, in two arrays.

/// Items of some buckets, in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Buckets<T> {
    /// Where the items of a bucket begin, and of the last one end.
    starts: Vec<usize>,
    items: Vec<T>,
}

impl<T: Copy + Default> Buckets<T> {
    /// Sorts items, which `items` gives twice with the number of their bucket, by counting.
    pub(crate) fn new<I: Iterator<Item = (usize, T)>>(n_buckets: usize, items: impl Fn() -> I) -> Self {
        let mut starts = vec![0; n_buckets + 1];
        for (bucket, _) in items() {
            starts[bucket + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let mut sorted = vec![T::default(); sum];
        for (bucket, item) in items() {
            sorted[next[bucket]] = item;
            next[bucket] += 1;
        }
        Self { starts, items: sorted }
    }

    /// Number of buckets.
    pub(crate) fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The items of each bucket.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[T]> {
        self.starts.windows(2).map(|it| &self.items[it[0]..it[1]])
    }

    /// The items of a bucket.
    pub(crate) fn of(&self, bucket: usize) -> &[T] {
        &self.items[self.starts[bucket]..self.starts[bucket + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_order_within_a_bucket() {
        let buckets = Buckets::new(4, || [(2, 'a'), (0, 'b'), (2, 'c')].into_iter());
        assert_eq!((0..4).map(|it| buckets.of(it)).collect::<Vec<_>>(), [&['b'][..], &[], &['a', 'c'], &[]]);
        assert_eq!((buckets.len(), buckets.iter().map(<[char]>::len).collect::<Vec<_>>()), (4, vec![1, 0, 2, 0]));
        assert_eq!((Buckets::<u32>::default().len(), Buckets::<u32>::default().iter().len()), (0, 0));
    }
}
