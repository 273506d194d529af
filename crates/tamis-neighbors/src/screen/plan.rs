//! Whether a screen pays, and how many columns it takes.

use ndarray::{Array2, ArrayView2, Axis, concatenate, s};

use super::basis::{longest, turned};
use super::space::{REST, Space, narrow};
use super::{Instructions, Rounded, has_vnni};
use crate::blocks::{TILE_COLUMNS, tile};

/// Multiplications below which no plan pays: a tenth of a second of plain products.
const MIN_WORK: f64 = 2e10;

/// Rows of either side that are looked at: pairs enough to tell one survivor in ten thousand.
const SAMPLE: usize = 1024;

/// Directions to choose from; with the rest, each fills whole lines of the cache or half of one.
const DIRECTIONS: [usize; 5] = [28, 60, 92, 124, 188];

/// What rounding to eight bits adds to a bound, about.
const ROUNDING: f32 = 0.03;

/// What a pair costs in columns of the screen with VNNI: besides its columns, as one of a product in f32, and where it
/// survives. By measurement on a machine with AVX-512; the choice changes the time only.
const PAIR: f64 = 12.0;
const FLOAT_COLUMN: f64 = 4.0;
const SURVIVOR: f64 = 28_000.0;

/// Queries whose neighbors are looked for in up to [`MAX_LOOKED_AT`] rows, to know about how near they are.
const N_SEARCHED: usize = 64;
const MAX_LOOKED_AT: usize = 100_000;

/// While neighbors are looked for, a query has seen few rows and its floor is low: reckoned with as that of this many times
/// the neighbors.
const EARLY: usize = 4;

/// What a search wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Want {
    /// Pairs with at least this cosine.
    Cosine(f32),
    /// This many nearest ones.
    Neighbors(usize),
}

/// What a pair costs in a screen with `width` columns, in columns of a screen with VNNI, but for those that survive.
pub(crate) fn pair_cost(width: usize) -> f64 {
    let column = if has_vnni() { 1.0 } else { FLOAT_COLUMN };
    column * count(width) + PAIR
}

/// The same of a product in f32.
pub(crate) fn product_cost(dim: usize) -> f64 {
    FLOAT_COLUMN * count(dim) + PAIR
}

/// Rows for the screen that is expected to save most time over the plain product, or `None` where none does. Without
/// `queries`, the base is searched with itself.
pub(crate) fn plan(queries: Option<ArrayView2<'_, f32>>, base: ArrayView2<'_, f32>, want: Want) -> Option<Rounded> {
    let work = count(queries.unwrap_or(base).nrows()) * count(base.nrows()) * count(base.ncols());
    if work < MIN_WORK { None } else { choose(queries, base, want) }
}

/// The plan for any number of rows but none.
pub(super) fn choose(queries: Option<ArrayView2<'_, f32>>, base: ArrayView2<'_, f32>, want: Want) -> Option<Rounded> {
    let all_queries = queries.unwrap_or(base);
    let dim = base.ncols();
    // Different rows, where both are the same set.
    let (some_queries, some_base) = (sample(all_queries, 0), sample(base, usize::from(queries.is_none())));
    let both = concatenate![Axis(0), some_queries, some_base];
    let (some_queries, minima) = match want {
        Want::Cosine(minimum) => (some_queries.view(), vec![minimum; some_queries.nrows()]),
        Want::Neighbors(k) => {
            let few = some_queries.slice(s![..some_queries.nrows().min(N_SEARCHED), ..]);
            (few, floors(few, base, EARLY * k))
        }
    };
    let mut least = product_cost(dim);
    let mut space = None;
    if least < SURVIVOR * survivors(some_queries, some_base.view(), &minima, 0.0) {
        // As many pairs count.
        return None;
    }
    let all = pair_cost(dim) + SURVIVOR * survivors(some_queries, some_base.view(), &minima, ROUNDING);
    if all < least {
        (least, space) = (all, Some(Space::All { dim }));
    }
    let basis = longest(both.view(), DIRECTIONS[DIRECTIONS.len() - 1]);
    let directions = basis.mapv(narrow);
    let (projected_queries, projected_base) = (some_queries.dot(&directions), some_base.dot(&directions));
    for n in DIRECTIONS {
        let n = n.min(basis.ncols());
        if least <= pair_cost(n + REST) {
            break;
        }
        let (short_queries, short_base) = (with_rest(&projected_queries, n), with_rest(&projected_base, n));
        let share = survivors(short_queries.view(), short_base.view(), &minima, ROUNDING);
        let projected = pair_cost(n + REST) + SURVIVOR * share;
        if projected < least {
            (least, space) = (projected, Some(Space::projected(turned(&basis, n))));
        }
    }
    let space = space?;
    let mut values = vec![0.0; both.nrows() * space.width()];
    space.fill(both.view(), &mut values);
    let reach = values.iter().fold(0.0_f32, |reach, value| value.abs().max(reach));
    Rounded::new(queries, base, &space, f64::from(reach), Instructions::Best)
}

/// About the cosine of the `k`-th nearest row of `base` to each row of `queries`, which may be among them.
fn floors(queries: ArrayView2<'_, f32>, base: ArrayView2<'_, f32>, k: usize) -> Vec<f32> {
    let step = TILE_COLUMNS * base.nrows().div_ceil(MAX_LOOKED_AT);
    let mut scores = vec![Vec::new(); queries.nrows()];
    let mut buffer = Vec::new();
    for first in (0..base.nrows()).step_by(step) {
        let columns = first..(first + TILE_COLUMNS).min(base.nrows());
        for (row, scores) in tile(queries, base, columns, &mut buffer).axis_iter(Axis(0)).zip(&mut scores) {
            scores.extend(row);
        }
    }
    let floor = |mut scores: Vec<f32>| {
        let nth = k * scores.len() / base.nrows().max(1);
        let last = scores.len() - 1;
        *scores.select_nth_unstable_by(nth.min(last), |x: &f32, y| y.total_cmp(x)).1
    };
    scores.into_iter().map(floor).collect()
}

/// Up to [`SAMPLE`] rows, evenly spaced from `first` on.
fn sample(rows: ArrayView2<'_, f32>, first: usize) -> Array2<f32> {
    let step = (rows.nrows() / SAMPLE).max(2);
    let picked: Vec<usize> = (first..rows.nrows()).step_by(step).take(SAMPLE).collect();
    rows.select(Axis(0), &picked)
}

/// The first `n` columns and the length of the rest of unit rows.
fn with_rest(projected: &Array2<f32>, n: usize) -> Array2<f32> {
    let first = projected.slice(s![.., ..n]);
    let rest = first.map_axis(Axis(1), |row| (1.0 - row.dot(&row)).max(0.0).sqrt());
    concatenate![Axis(1), first, rest.insert_axis(Axis(1))]
}

/// The share of pairs that a screen would leave whose bound is `rounding` above the product.
fn survivors(queries: ArrayView2<'_, f32>, base: ArrayView2<'_, f32>, minima: &[f32], rounding: f32) -> f64 {
    let products = queries.dot(&base.t());
    let rows = products.axis_iter(Axis(0)).zip(minima);
    let n: usize =
        rows.map(|(row, minimum)| row.iter().filter(|product| minimum - rounding <= **product).count()).sum();
    count(n) / count(products.len().max(1))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}
