//! A screen: a cheap product that leaves out most pairs before the matrix product, and never one that counts.
//!
//! Each row `x` gets a short row `x'` with `x.y <= x'.y' + margin` ([`Space`]): itself, or its product with the few
//! directions in which the rows are longest, together with the length of the rest. `x'` is rounded to eight bits,
//! `x' = scale q + e`, with `|e|` known for each row, so that
//!
//! `x.y <= scale^2 q_x.q_y + |e_x| |y'| + |scale q_x| |e_y| + margin`
//!
//! where the product of the `q` is exact. A pair whose bound is below the minimum is left out; all others are computed
//! as if there were no screen. The integers are multiplied by the machine's instructions for that (`vnni`), or in f32,
//! which holds them exactly; both leave out the same pairs.

mod basis;
mod plan;
mod quantized;
mod space;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vnni;

use std::ops::Range;

use ndarray::{Array2, ArrayView2, s};

pub(crate) use plan::{Want, count, pair_cost, plan, product_cost};
use quantized::Quantized;
use space::Space;

use crate::blocks::tile;
use crate::join::index;

/// Columns at whose multiples a scan begins.
pub(crate) const STEP: usize = 32;

/// More than any product, half as much as can be subtracted from its opposite.
const BEYOND: i32 = 1 << 29;

/// Most dimensions: `8192 * 127 * 255 < BEYOND`.
const MAX_DIM: usize = 8192;

/// Most dimensions where products are computed in f32, which holds whole numbers up to 2^24: `1024 * 127 * 127 < 2^24`.
const MAX_FLOAT_DIM: usize = 1024;

/// Queries and a base in eight bits, and what their products are worth.
pub(crate) struct Rounded {
    /// What 1 in a product of integers is worth: the square of what it is in a row.
    unit: f64,
    /// Largest length of a short row.
    norm: f64,
    /// Largest length of a rounded row.
    longest: f64,
    /// Of the product of short rows.
    margin: f64,
    /// `None` where the base is screened against itself.
    queries: Option<Quantized>,
    base: Quantized,
    instructions: Instructions,
}

/// Queries and a base, ready to be screened.
pub(crate) struct Screen {
    rows: Rounded,
    kernel: Kernel,
}

/// How the product is computed.
enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Vnni(vnni::Panels),
    Float {
        queries: Option<Array2<f32>>,
        base: Array2<f32>,
        extra: Vec<i32>,
    },
}

/// Whether the machine multiplies small integers faster than f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// It does, where it has them.
    Best,
    /// Any machine's.
    #[cfg(test)]
    Float,
}

impl Rounded {
    /// Rounds `queries`, where there are any, and `base`; `None` where a row is longer than a unit row or not finite.
    /// `largest` is about the largest number of a row in `space`.
    fn new(
        queries: Option<ArrayView2<'_, f32>>,
        base: ArrayView2<'_, f32>,
        space: &Space,
        largest: f64,
        instructions: Instructions,
    ) -> Option<Self> {
        let width = space.width();
        if instructions.max_width() < width || 1.04 < space.norm() {
            return None;
        }
        // No less than the largest number of some unit row, so that limits stay within the integers.
        let scale = largest.max(1.0 / f64::from(index(width)).sqrt()) / 127.0;
        let round = |rows: ArrayView2<'_, f32>| {
            Quantized::new(rows.nrows(), width, scale, |first, out| {
                space.fill(rows.slice(s![first..first + out.len() / width, ..]), out)
            })
        };
        let base = round(base)?;
        let queries = match queries {
            Some(queries) => Some(round(queries)?),
            None => None,
        };
        let errors = base.errors.iter().chain(queries.iter().flat_map(|queries| &queries.errors));
        let longest = space.norm() + errors.fold(0.0, |longest, error| f64::from(*error).max(longest));
        Some(Self {
            unit: scale * scale,
            norm: space.norm(),
            longest,
            margin: space.margin(),
            queries,
            base,
            instructions,
        })
    }

    /// Columns of a row.
    pub(crate) fn width(&self) -> usize {
        self.base.n_groups * quantized::GROUP
    }

    /// Some rows of the base, to be screened against each other.
    pub(crate) fn part(&self, rows: &[u32]) -> Self {
        Self { queries: None, base: self.base.select(rows), ..*self }
    }

    /// Makes the rows ready for the machine's instructions.
    pub(crate) fn screen(self) -> Screen {
        let extra = |error: &f32| ceil(f64::from(*error) * self.longest / self.unit) + 1;
        let extra = self.base.errors.iter().map(extra).collect();
        let kernel = Kernel::new(self.queries.as_ref(), &self.base, extra, self.instructions);
        Screen { rows: self, kernel }
    }
}

impl Screen {
    /// Lists in `hits` all pairs `(a, b)` of a query of `rows`, counted from `rows.start`, and a row of `columns` whose
    /// canonical dot reaches the query's number in `minima`, and others. `columns` begins at a multiple of [`STEP`], and
    /// ends at one or with the base.
    ///
    /// False where there are more than about `most`; then the list is of no use.
    pub(crate) fn hits(
        &self,
        rows: Range<usize>,
        minima: impl Iterator<Item = f32>,
        columns: Range<usize>,
        most: usize,
        hits: &mut Vec<(u32, u32)>,
    ) -> bool {
        hits.clear();
        let Rounded { unit, norm, margin, .. } = self.rows;
        let queries = self.rows.queries.as_ref().unwrap_or(&self.rows.base);
        let limits = rows.clone().zip(minima).map(|(row, minimum)| {
            let bound = f64::from(minimum) - margin - f64::from(queries.errors[row]) * norm;
            floor(bound / unit) - 1
        });
        let limits: Vec<i32> = limits.collect();
        match &self.kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Vnni(panels) => {
                let groups = &queries.groups[rows.start * queries.n_groups..rows.end * queries.n_groups];
                panels.hits(groups, &limits, columns, most, hits)
            }
            Kernel::Float { queries, base, extra } => {
                let queries = queries.as_ref().unwrap_or(base).slice(s![rows, ..]);
                let mut buffer = Vec::new();
                let products = tile(queries, base.view(), columns.clone(), &mut buffer);
                for ((row, column), product) in products.indexed_iter() {
                    if limits[row] <= ceil(f64::from(*product)) + extra[columns.start + column] {
                        hits.push((index(row), index(columns.start + column)));
                    }
                }
                hits.len() <= most
            }
        }
    }
}

impl Kernel {
    fn new(queries: Option<&Quantized>, base: &Quantized, extra: Vec<i32>, instructions: Instructions) -> Self {
        #[cfg(target_arch = "x86_64")]
        if instructions.are_vnni()
            && let Some(panels) = vnni::Panels::new(base, &extra)
        {
            return Self::Vnni(panels);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = instructions;
        Self::Float { queries: queries.map(Quantized::to_f32), base: base.to_f32(), extra }
    }
}

impl Instructions {
    fn are_vnni(self) -> bool {
        self == Self::Best && has_vnni()
    }

    /// Most columns of a row.
    fn max_width(self) -> usize {
        if self.are_vnni() { MAX_DIM } else { MAX_FLOAT_DIM }
    }
}

/// Whether the machine has instructions for products of small integers.
fn has_vnni() -> bool {
    #[cfg(target_arch = "x86_64")]
    let there = vnni::is_there();
    #[cfg(not(target_arch = "x86_64"))]
    let there = false;
    there
}

/// Unit rows rounded with all their columns.
#[cfg(test)]
pub(crate) fn any_rounding(rows: ArrayView2<'_, f32>) -> Rounded {
    Rounded::new(None, rows, &Space::All { dim: rows.ncols() }, 0.3, Instructions::Best)
        .expect("because the rows have unit length")
}

/// `value` rounded down, near zero enough for differences: beyond `2^28` no product is, and a smaller limit leaves out less.
#[expect(clippy::cast_possible_truncation, reason = "clamped to integers of 29 bits")]
fn floor(value: f64) -> i32 {
    value.floor().clamp(-f64::from(BEYOND / 2), f64::from(BEYOND / 2)) as i32
}

/// `value`, which is far from the limits of the type, rounded up.
#[expect(clippy::cast_possible_truncation, reason = "a product or an error in steps, both less than 2^29")]
fn ceil(value: f64) -> i32 {
    value.ceil() as i32
}
