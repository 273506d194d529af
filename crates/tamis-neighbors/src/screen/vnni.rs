//! The screen's product with the AVX-512 instructions for small integers (VNNI).

use std::arch::x86_64::{
    __m512i, _mm512_cmpge_epi32_mask, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_max_epi32, _mm512_set1_epi32,
    _mm512_setzero_si512, _mm512_sub_epi32,
};
use std::ops::Range;

use super::quantized::{GROUP, Quantized};
use super::{BEYOND, STEP};
use crate::join::index;

/// Columns of a register.
const LANES: usize = 16;

/// Registers of a panel: with 12 rows, 24 sums are in registers.
const REGISTERS: usize = STEP / LANES;

/// Rows that are multiplied together.
const ROWS: usize = 12;

/// The contents of one register.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Register([[u8; GROUP]; LANES]);

/// A base laid out for the instruction, which multiplies unsigned by signed bytes: the base's have 128 added.
pub(super) struct Panels {
    n_groups: usize,
    /// For each [`STEP`] rows of the base, for each group: the bytes of the rows side by side.
    registers: Vec<[Register; REGISTERS]>,
    /// What is added to the products of each row; [`BEYOND`] below zero where there is no row.
    extra: Vec<[i32; LANES]>,
}

/// Whether the machine has the instructions.
pub(super) fn is_there() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

impl Panels {
    /// Lays out `base`, or `None` where the machine lacks the instructions.
    pub(super) fn new(base: &Quantized, extra: &[i32]) -> Option<Self> {
        if !is_there() {
            return None;
        }
        let n_panels = extra.len().div_ceil(STEP);
        let mut registers = vec![[Register([[128; GROUP]; LANES]); REGISTERS]; n_panels * base.n_groups];
        let mut padded = vec![[-BEYOND; LANES]; n_panels * REGISTERS];
        for (row, extra) in extra.iter().enumerate() {
            padded[row / LANES][row % LANES] = *extra;
            let panel = &mut registers[row / STEP * base.n_groups..][..base.n_groups];
            for (register, group) in panel.iter_mut().zip(&base.groups[row * base.n_groups..]) {
                register[row % STEP / LANES].0[row % LANES] = group.map(|level| level.cast_unsigned() ^ 128);
            }
        }
        Some(Self { n_groups: base.n_groups, registers, extra: padded })
    }

    /// Adds to `hits` each pair of a row of `rows` and a row of the base in `columns`, which begins at a multiple of
    /// [`STEP`], whose product and extra reach the row's limit; stops after about `most` with `false`.
    pub(super) fn hits(
        &self,
        rows: &[[i8; GROUP]],
        limits: &[i32],
        columns: Range<usize>,
        most: usize,
        hits: &mut Vec<(u32, u32)>,
    ) -> bool {
        let groups = rows.chunks_exact(self.n_groups);
        let limits = limits.iter().zip(groups).map(|(limit, row)| {
            let sum: i32 = row.as_flattened().iter().map(|level| i32::from(*level)).sum();
            limit + 128 * sum
        });
        let limits: Vec<i32> = limits.collect();
        #[expect(unsafe_code, reason = "a function for instructions that are not everywhere")]
        // SAFETY: `new` makes panels only where the machine has the instructions.
        unsafe {
            self.scan(rows, &limits, columns, most, hits)
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn scan(
        &self,
        rows: &[[i8; GROUP]],
        limits: &[i32],
        columns: Range<usize>,
        most: usize,
        hits: &mut Vec<(u32, u32)>,
    ) -> bool {
        for panel in columns.start / STEP..columns.end.div_ceil(STEP) {
            let mut row = 0;
            while row + ROWS <= limits.len() {
                self.block::<ROWS>(rows, limits, row, panel, hits);
                row += ROWS;
            }
            while row + 4 <= limits.len() {
                self.block::<4>(rows, limits, row, panel, hits);
                row += 4;
            }
            while row < limits.len() {
                self.block::<1>(rows, limits, row, panel, hits);
                row += 1;
            }
            if most < hits.len() {
                return false;
            }
        }
        true
    }

    /// One panel by `N` rows from `row` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn block<const N: usize>(
        &self,
        rows: &[[i8; GROUP]],
        limits: &[i32],
        row: usize,
        panel: usize,
        hits: &mut Vec<(u32, u32)>,
    ) {
        let n_groups = self.n_groups;
        let mut groups = [&[][..]; N];
        for (i, groups) in groups.iter_mut().enumerate() {
            *groups = &rows[(row + i) * n_groups..][..n_groups];
        }
        let extra = &self.extra[panel * REGISTERS..][..REGISTERS];
        let extra = [load(&extra[0]), load(&extra[1])];
        let mut sums = [[_mm512_setzero_si512(); REGISTERS]; N];
        for (sums, limit) in sums.iter_mut().zip(&limits[row..row + N]) {
            let limit = _mm512_set1_epi32(*limit);
            for (sum, extra) in sums.iter_mut().zip(extra) {
                *sum = _mm512_sub_epi32(extra, limit);
            }
        }
        for (i, registers) in self.registers[panel * n_groups..][..n_groups].iter().enumerate() {
            let registers = [load(&registers[0].0), load(&registers[1].0)];
            for (sums, groups) in sums.iter_mut().zip(groups) {
                let group = _mm512_set1_epi32(i32::from_ne_bytes(groups[i].map(i8::cast_unsigned)));
                for (sum, register) in sums.iter_mut().zip(registers) {
                    *sum = _mm512_dpbusd_epi32(*sum, register, group);
                }
            }
        }
        let mut largest = sums[0][0];
        for sum in sums.as_flattened() {
            largest = _mm512_max_epi32(largest, *sum);
        }
        if _mm512_cmpge_epi32_mask(largest, _mm512_setzero_si512()) != 0 {
            report(&sums, row, panel * STEP, hits);
        }
    }
}

/// Adds the pairs whose sum is not negative.
#[cold]
#[target_feature(enable = "avx512f")]
fn report<const N: usize>(sums: &[[__m512i; REGISTERS]; N], row: usize, column: usize, hits: &mut Vec<(u32, u32)>) {
    for (row, sums) in (row..).zip(sums) {
        for (column, sum) in (column..).step_by(LANES).zip(sums) {
            let mut mask = _mm512_cmpge_epi32_mask(*sum, _mm512_setzero_si512());
            while mask != 0 {
                hits.push((index(row), index(column) + mask.trailing_zeros()));
                mask &= mask - 1;
            }
        }
    }
}

/// The register that is at `values`.
#[inline]
#[target_feature(enable = "avx512f")]
fn load<T>(values: &[T; LANES]) -> __m512i {
    const { assert!(size_of::<T>() * LANES == size_of::<__m512i>()) };
    #[expect(unsafe_code, reason = "a load takes a pointer")]
    // SAFETY: the array has the bytes of one register, any bytes are valid, and the load needs no alignment.
    unsafe {
        _mm512_loadu_si512(std::ptr::from_ref(values).cast())
    }
}
