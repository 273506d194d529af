//! Inner loops for processors with AVX2, where the compiler does not find the instructions by itself: sums of products of
//! 16-bit numbers, and bytes that stand in threes. Each has a portable twin with the same results.
//!
//! `pulp` lends the instructions as safe functions of a token, [`V3`], that only such a processor gives out. What takes the
//! token is inlined always: only inside of `vectorize` it becomes those instructions.

use std::arch::x86_64::{__m128i, __m256i};

use pulp::x86::V3;
use pulp::{NullaryFnOnce, cast};

use super::machine::{LANES, Weights};

/// In a shuffle: 0, the upper half of a byte that becomes a 16-bit number.
const NONE: i8 = -1;

/// Sum of products; there are at least as many values as weights.
#[inline(always)]
pub(super) fn dot(simd: V3, values: &[i16], weights: &[Weights]) -> i32 {
    let mut sums = simd.avx._mm256_setzero_si256();
    for (values, weights) in values.as_chunks::<LANES>().0.iter().zip(weights) {
        let products = simd.avx2._mm256_madd_epi16(cast(*values), cast(weights.0));
        sums = simd.avx2._mm256_add_epi32(sums, products);
    }
    cast::<__m256i, [i32; 8]>(sums).iter().sum()
}

/// A bit for each number that is not 0, the lowest for the first.
#[inline(always)]
pub(super) fn nonzero(simd: V3, numbers: &[i32; 8]) -> u8 {
    let zeros = simd.avx2._mm256_cmpeq_epi32(cast(*numbers), simd.avx._mm256_setzero_si256());
    // One bit for each of eight numbers.
    !(simd.avx._mm256_movemask_ps(cast(zeros)) as u8)
}

/// Adds eight products.
#[inline(always)]
pub(super) fn add_scaled(simd: V3, sums: &mut [f32; 8], values: &[f32; 8], factor: f32) {
    let products = simd.avx._mm256_mul_ps(cast(*values), simd.avx._mm256_set1_ps(factor));
    *sums = cast(simd.avx._mm256_add_ps(cast(*sums), products));
}

/// Grey values of the first pixels, as many as can be had 16 at a time. Returns how many.
pub(super) fn luma(simd: V3, rgb: &[u8], grey: &mut [u8]) -> usize {
    simd.vectorize(Luma { simd, rgb, grey })
}

struct Luma<'a> {
    simd: V3,
    rgb: &'a [u8],
    grey: &'a mut [u8],
}

/// Bytes that are read of 16 pixels: the last four belong to the pixels after them.
const LUMA_BYTES: usize = 52;

impl NullaryFnOnce for Luma<'_> {
    type Output = usize;

    #[inline(always)]
    fn call(self) -> usize {
        let Self { simd, rgb, grey } = self;
        let mut done = 0;
        for (rgb, grey) in rgb.windows(LUMA_BYTES).step_by(48).zip(grey.as_chunks_mut::<16>().0) {
            let low = luma_of_8(simd, rgb);
            let high = luma_of_8(simd, &rgb[24..]);
            // Packing goes by halves of a register; the permutation brings the quarters into order.
            let words = simd.avx2._mm256_packus_epi32(low, high);
            let words = simd.avx2._mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let bytes = simd.avx2._mm256_packus_epi16(words, words);
            let bytes = simd.avx2._mm256_permute4x64_epi64::<0b11_01_10_00>(bytes);
            *grey = cast::<__m256i, [[u8; 16]; 2]>(bytes)[0];
            done += 16;
        }
        done
    }
}

/// `(19595 R + 38470 G + 7471 B + 0x8000) >> 16` of 8 pixels, of which the first 28 bytes are read. The weight of green does
/// not fit 16 bits: half of it goes with red and half with blue.
#[inline(always)]
fn luma_of_8(simd: V3, rgb: &[u8]) -> __m256i {
    let red_green = [0, NONE, 1, NONE, 3, NONE, 4, NONE, 6, NONE, 7, NONE, 9, NONE, 10, NONE];
    let green_blue = [1, NONE, 2, NONE, 4, NONE, 5, NONE, 7, NONE, 8, NONE, 10, NONE, 11, NONE];
    let pixels = both(simd, rgb, &rgb[12..]);
    let first = simd.avx2._mm256_shuffle_epi8(pixels, cast([red_green, red_green]));
    let second = simd.avx2._mm256_shuffle_epi8(pixels, cast([green_blue, green_blue]));
    let first = simd.avx2._mm256_madd_epi16(first, cast([[19_595_i16, 19_235]; 8]));
    let second = simd.avx2._mm256_madd_epi16(second, cast([[19_235_i16, 7_471]; 8]));
    let sums = simd.avx2._mm256_add_epi32(simd.avx2._mm256_add_epi32(first, second), cast([0x8000_i32; 8]));
    simd.avx2._mm256_srli_epi32::<16>(sums)
}

/// The first 16 bytes of each.
#[inline(always)]
fn both(simd: V3, low: &[u8], high: &[u8]) -> __m256i {
    let [low, high] = [low, high].map(|it| it.first_chunk::<16>().copied().unwrap_or_default());
    simd.avx2._mm256_inserti128_si256::<1>(simd.avx._mm256_castsi128_si256(cast(low)), cast(high))
}

/// Two neighboring pixels of four rows: red, red, green, green, blue, blue, 0, 0 of each. Aligned so that a register is read
/// from one line of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Pair(pub(super) [[i16; 16]; 2]);

/// Scales four rows of RGB.
pub(super) struct FourRows<'a> {
    pub(super) simd: V3,
    /// Each at least 16 bytes longer than its pixels, whatever is there.
    pub(super) rows: [&'a [u8]; 4],
    /// For each output pixel, the first pair that it is made of.
    pub(super) starts: &'a [usize],
    /// For each output pixel, as many pairs as for all: the weights of the first and the second pixel.
    pub(super) weights: &'a [[i16; 2]],
    /// Fraction bits of a weight.
    pub(super) precision: u32,
    /// Scratch: the rows in pairs, half as many as pixels, rounded up.
    pub(super) pairs: &'a mut [Pair],
    /// Four rows of as many pixels as starts.
    pub(super) out: &'a mut [u8],
}

impl NullaryFnOnce for FourRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, rows, starts, weights, precision, pairs, out } = self;
        let order = [0, NONE, 3, NONE, 1, NONE, 4, NONE, 2, NONE, 5, NONE, NONE, NONE, NONE, NONE];
        let order = cast([order, order]);
        let [first, second, third, fourth] = rows.map(|it| it.windows(16).step_by(6));
        let bytes = first.zip(second).zip(third).zip(fourth);
        for (Pair([upper, lower]), (((first, second), third), fourth)) in pairs.iter_mut().zip(bytes) {
            *upper = cast(simd.avx2._mm256_shuffle_epi8(both(simd, first, second), order));
            *lower = cast(simd.avx2._mm256_shuffle_epi8(both(simd, third, fourth), order));
        }
        let half = simd.avx._mm256_set1_epi32(1 << (precision - 1));
        let precision: __m128i = cast([u64::from(precision), 0]);
        let n_pairs = weights.len() / starts.len();
        let (top, bottom) = out.split_at_mut(6 * starts.len());
        let (first, second) = top.split_at_mut(3 * starts.len());
        let (third, fourth) = bottom.split_at_mut(3 * starts.len());
        let (twos, last) = starts.as_chunks::<2>();
        let out = six(first).zip(six(second)).zip(six(third)).zip(six(fourth));
        for (([left, right], weights), (((first, second), third), fourth)) in
            twos.iter().zip(weights.chunks_exact(2 * n_pairs)).zip(out)
        {
            let left = pixel(simd, &pairs[*left..], &weights[..n_pairs], half, precision);
            let right = pixel(simd, &pairs[*right..], &weights[n_pairs..], half, precision);
            let bytes = simd.avx2._mm256_packus_epi16(left, right);
            // Packing goes by halves of a register: the first and third row, then, in the other half, the second and fourth.
            let bytes: [[u8; 8]; 4] = cast(simd.avx2._mm256_shuffle_epi8(bytes, cast([TWO_PIXELS, TWO_PIXELS])));
            for (to, [a, b, c, d, e, f, _, _]) in
                [(first, bytes[0]), (second, bytes[2]), (third, bytes[1]), (fourth, bytes[3])]
            {
                *to = [a, b, c, d, e, f];
            }
        }
        if let [start] = last {
            let words = pixel(simd, &pairs[*start..], &weights[weights.len() - n_pairs..], half, precision);
            let bytes: [[u8; 4]; 8] = cast(simd.avx2._mm256_packus_epi16(words, words));
            for (row, pixel) in [(first, bytes[0]), (second, bytes[4]), (third, bytes[1]), (fourth, bytes[5])] {
                row[3 * twos.len() * 2..].copy_from_slice(&pixel[..3]);
            }
        }
    }
}

/// In a shuffle: of two pixels of four bytes each, of two rows, three bytes each.
const TWO_PIXELS: [i8; 16] = [0, 1, 2, 8, 9, 10, NONE, NONE, 4, 5, 6, 12, 13, 14, NONE, NONE];

/// Two pixels at a time.
#[inline(always)]
fn six(row: &mut [u8]) -> std::slice::IterMut<'_, [u8; 6]> {
    row.as_chunks_mut().0.iter_mut()
}

/// One pixel of each of four rows, in 16-bit numbers: those of the first and third row, then of the second and fourth.
#[inline(always)]
fn pixel(simd: V3, pairs: &[Pair], weights: &[[i16; 2]], half: __m256i, precision: __m128i) -> __m256i {
    let (mut upper, mut lower) = (half, half);
    for (pairs, weights) in pairs.iter().zip(weights) {
        let weights = simd.avx._mm256_set1_epi32(cast(*weights));
        let pairs = pairs.0.map(cast::<[i16; 16], __m256i>);
        upper = simd.avx2._mm256_add_epi32(upper, simd.avx2._mm256_madd_epi16(pairs[0], weights));
        lower = simd.avx2._mm256_add_epi32(lower, simd.avx2._mm256_madd_epi16(pairs[1], weights));
    }
    let upper = simd.avx2._mm256_sra_epi32(upper, precision);
    let lower = simd.avx2._mm256_sra_epi32(lower, precision);
    simd.avx2._mm256_packs_epi32(upper, lower)
}
