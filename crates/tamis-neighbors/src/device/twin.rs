//! A device that is a CPU: computes by plain loops what a GPU computes, with its rounding and its limits.

use half::f16;
use ndarray::ArrayView2;

use super::halves::{margin, round, width};
use super::tiles::{Engine, Failure, MAX_SIDE, Sizes, Tile, Word, places};

/// Rows in half precision, and tiles in work.
pub(super) struct Twin {
    sizes: Sizes,
    queries: Option<Vec<Vec<f32>>>,
    base: Vec<Vec<f32>>,
    limits: [Vec<f32>; 2],
    in_work: [Option<Tile>; 2],
    /// Tiles that had more hits than there is room for.
    pub(super) n_split: usize,
    /// Tiles that are begun before one fails; `None` where none does.
    pub(super) n_good: Option<usize>,
}

impl Twin {
    /// The twin of a GPU that holds these rows, and the margin of its proposals.
    pub(super) fn new(
        sizes: Sizes,
        queries: Option<ArrayView2<'_, f32>>,
        base: ArrayView2<'_, f32>,
    ) -> Option<(Self, f32)> {
        let rounded = |rows: ArrayView2<'_, f32>| {
            let width = width(rows.ncols());
            let mut numbers = vec![f16::NAN; rows.nrows() * width];
            let extremes = round(rows, 0..rows.nrows(), &mut numbers);
            let rows = numbers.chunks(width.max(1)).map(|row| row.iter().map(|x| x.to_f32()).collect());
            (rows.collect::<Vec<Vec<f32>>>(), extremes)
        };
        let dim = base.ncols();
        let (base, of_base) = rounded(base);
        let (queries, of_queries) = match queries.map(rounded) {
            Some((queries, extremes)) => (Some(queries), extremes),
            None => (None, of_base),
        };
        let limits = [Vec::new(), Vec::new()];
        let twin = Self { sizes, queries, base, limits, in_work: [None, None], n_split: 0, n_good: None };
        of_queries.max(of_base).is_of_units().then(|| (twin, margin(of_queries, of_base, dim)))
    }

    fn queries(&self) -> &[Vec<f32>] {
        self.queries.as_ref().unwrap_or(&self.base)
    }

    /// The product of two rows. Sums are taken in an order of their own for each of `orders`, as a GPU has one for each
    /// shape.
    pub(super) fn product(&self, a: usize, b: usize, order: usize) -> f32 {
        let (x, y) = (&self.queries()[a], &self.base[b]);
        let mut sum = 0.0_f32;
        for i in 0..x.len() {
            let i = if order.is_multiple_of(2) { i } else { x.len() - 1 - i };
            // Cut, as tensor cores do.
            let exact = f64::from(sum) + f64::from(x[i]) * f64::from(y[i]);
            sum = f32::from_bits(cut(exact));
        }
        f16::from_f32(sum).to_f32()
    }
}

/// The bits of the next f32 towards zero.
#[expect(clippy::cast_possible_truncation, reason = "which is corrected")]
fn cut(exact: f64) -> u32 {
    let near = exact as f32;
    near.to_bits() - u32::from(exact.abs() < f64::from(near.abs()))
}

impl Engine for Twin {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn set_limits(&mut self, queries: &[f32], base: &[f32]) -> Result<(), Failure> {
        assert!(self.in_work.iter().all(Option::is_none), "a tile is in work");
        assert_eq!([queries.len(), base.len()], [self.queries().len(), self.base.len()]);
        self.limits = [queries.to_vec(), base.to_vec()];
        Ok(())
    }

    fn floors(&mut self, sample: &[u32], k: usize) -> Result<Vec<f32>, Failure> {
        // Fewer groups than a GPU has, so that they matter.
        let n_groups = (k + k / 4).max(1);
        let floor = |a: usize| {
            let mut groups = vec![f32::NEG_INFINITY; n_groups];
            for (place, b) in sample.iter().map(|b| *b as usize).enumerate() {
                if self.queries.is_some() || a != b {
                    let largest = &mut groups[place % n_groups];
                    *largest = largest.max(self.product(a, b, 1));
                }
            }
            groups.sort_by(|x, y| y.total_cmp(x));
            groups[k - 1]
        };
        Ok((0..self.queries().len()).map(floor).collect())
    }

    fn begin(&mut self, slot: usize, tile: &Tile) -> Result<(), Failure> {
        assert!(tile.rows.len() <= self.sizes.rows && tile.columns.len() <= self.sizes.columns, "{tile:?}");
        assert!(tile.rows.len().max(tile.columns.len()) <= MAX_SIDE && 0 < places(tile), "{tile:?}");
        assert_eq!(self.in_work[slot].replace(tile.clone()), None, "slot {slot} is not free");
        self.n_good = match self.n_good {
            Some(0) => return Err("out of memory".into()),
            n_good => n_good.map(|n| n - 1),
        };
        Ok(())
    }

    fn end(&mut self, slot: usize, words: &mut Vec<Word>) -> Result<usize, Failure> {
        let tile = self.in_work[slot].take().expect("because a tile was begun");
        let mut all = Vec::new();
        for (row, a) in tile.rows.clone().enumerate() {
            for (column, b) in tile.columns.clone().enumerate() {
                let product = self.product(a, b, column / self.sizes.part + row);
                if self.limits[0][a].min(self.limits[1][b]) <= product && (self.queries.is_some() || a < b) {
                    let place = u32::try_from(row << 16 | column)?;
                    all.push([place, product.to_bits()]);
                }
            }
        }
        // In any order.
        all.sort_by_key(|[place, _]| place.wrapping_mul(0x9e37_79b9));
        let n_found = all.len();
        self.n_split += usize::from(self.sizes.capacity < n_found);
        all.truncate(self.sizes.capacity);
        *words = all;
        Ok(n_found)
    }
}
