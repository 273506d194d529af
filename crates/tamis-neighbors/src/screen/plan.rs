//! Whether a screen pays, and how many columns it takes.

use ndarray::{Array2, ArrayView2, Axis, concatenate, s};

use super::basis::{longest, n_products, turned};
use super::space::{REST, Space, narrow};
use super::{Instructions, MAX_DIM, Rounded, has_vnni};
use crate::blocks::{TILE_COLUMNS, tile};

/// Multiplications below which no plan pays: a tenth of a second of plain products.
const MIN_WORK: f64 = 2e10;

/// How many times as many multiplications as a plan a search must need: on two threads, of which a plan uses one, and where
/// a search of rows among themselves needs half, the plan then takes a quarter of the time of the plain product at most.
const WORTH: f64 = 16.0;

/// What a multiplication in f64 costs, in those of a product in f32. By measurement on one thread with AVX-512.
const WIDE: f64 = 3.0;

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

/// What a plan chooses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offered {
    /// A screen of all columns.
    pub(super) all: bool,
    /// Screens of few directions, which take longer to find.
    pub(super) projections: bool,
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
    let offered = offered(queries.unwrap_or(base).nrows(), base.nrows(), base.ncols(), want);
    if offered.all || offered.projections { choose(queries, base, want, offered) } else { None }
}

/// What may pay for so many queries and rows of a base: screens that rows are not too long for, and that take a small part of
/// the search to be found.
pub(super) fn offered(n_queries: usize, n_base: usize, dim: usize, want: Want) -> Offered {
    let work = count(n_queries) * count(n_base) * count(dim);
    let (n_sampled, n_searched) = match want {
        Want::Cosine(_) => (SAMPLE.min(n_queries), 0),
        Want::Neighbors(_) => (N_SEARCHED.min(n_queries), MAX_LOOKED_AT.min(n_base)),
    };
    let (n_pairs, n_rows) = (count(n_sampled * SAMPLE.min(n_base)), SAMPLE.min(n_queries) + SAMPLE.min(n_base));
    let looked = (n_pairs + count(n_sampled * n_searched)) * count(dim);
    let most = DIRECTIONS[DIRECTIONS.len() - 1];
    let projected = WIDE * n_products(n_rows, dim, most)
        + count(n_rows * most) * count(dim)
        + n_pairs * count(DIRECTIONS.iter().sum());
    let pays = |planned: f64| MIN_WORK.max(WORTH * planned) <= work;
    Offered { all: Space::All { dim }.width() <= MAX_DIM && pays(looked), projections: pays(looked + projected) }
}

/// The plan for any number of rows but none.
pub(super) fn choose(
    queries: Option<ArrayView2<'_, f32>>,
    base: ArrayView2<'_, f32>,
    want: Want,
    offered: Offered,
) -> Option<Rounded> {
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
    let products = some_queries.dot(&some_base.t());
    if least < SURVIVOR * survivors(&products, &minima, 0.0) {
        // As many pairs count.
        return None;
    }
    if offered.all {
        let all = pair_cost(dim) + SURVIVOR * survivors(&products, &minima, ROUNDING);
        if all < least {
            (least, space) = (all, Some(Space::All { dim }));
        }
    }
    if offered.projections
        && let Some(projected) = projected(&both, [some_queries, some_base.view()], &minima, least)
    {
        space = Some(projected);
    }
    let space = space?;
    let mut values = vec![0.0; both.nrows() * space.width()];
    space.fill(both.view(), &mut values);
    let reach = values.iter().fold(0.0_f32, |reach, value| value.abs().max(reach));
    Rounded::new(queries, base, &space, f64::from(reach), Instructions::Best)
}

/// The span of the directions of `both` that is expected to cost least for pairs of `some` queries and rows of a base, or
/// `None` where none costs less than `least`.
fn projected(both: &Array2<f32>, some: [ArrayView2<'_, f32>; 2], minima: &[f32], mut least: f64) -> Option<Space> {
    let basis = longest(both.view(), DIRECTIONS[DIRECTIONS.len() - 1]);
    let directions = basis.mapv(narrow);
    let projected = some.map(|rows| rows.dot(&directions));
    let mut best = None;
    for n in DIRECTIONS {
        let n = n.min(basis.ncols());
        if least <= pair_cost(n + REST) {
            break;
        }
        let [queries, base] = projected.each_ref().map(|rows| with_rest(rows, n));
        let cost = pair_cost(n + REST) + SURVIVOR * survivors(&queries.dot(&base.t()), minima, ROUNDING);
        if cost < least {
            (least, best) = (cost, Some(n));
        }
    }
    best.map(|n| Space::projected(turned(&basis, n)))
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

/// The share of pairs, given by their products, that a screen would leave whose bound is `rounding` above the product.
fn survivors(products: &Array2<f32>, minima: &[f32], rounding: f32) -> f64 {
    let rows = products.axis_iter(Axis(0)).zip(minima);
    let n: usize =
        rows.map(|(row, minimum)| row.iter().filter(|product| minimum - rounding <= **product).count()).sum();
    count(n) / count(products.len().max(1))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}
