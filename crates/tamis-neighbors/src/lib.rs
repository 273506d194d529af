//! Exact joins and nearest neighbors over unit vectors, and the groups that pairs form.
//!
//! One rule keeps results independent of block sizes, thread counts and devices: **a matrix product proposes, a
//! canonical dot decides**. The fast product rounds differently for every block shape, so it may only propose pairs, with
//! a margin that is proven for the number type and the dimension ([`proposal_margin`]); each proposed pair is computed
//! again by [`canonical_dot`], one sum in one order, and only that number is compared, ranked and printed.
//!
//! Before the product, where a sample of the rows says that it pays, a screen leaves out pairs that cannot count: a product
//! of fewer columns in eight bits, with a bound of what it leaves out. It changes the time, never the result.
//!
//! - [`self_join`] and [`cross_join`]: all pairs at or above a cosine, of a set with itself or of queries with a base.
//!   [`self_join_of_copies`] and [`cross_join_of_copies`] count pairs of rows that stand for many equal ones.
//! - [`knn`]: the k nearest neighbors, ties to the smaller index.
//! - [`layout`]: a place in the plane for every row, from its nearest neighbors.
//! - [`nearest_in`]: the k nearest rows of a base for every query.
//! - [`Device`]: the same joins on a GPU, where there is one.
//! - [`verify::WordTexts`]: how much two texts literally have in common.
//! - [`families`] and [`stars`]: connected components, and stars (a leader and what is within the threshold of it).
//! - [`HammingJoin`]: all pairs of hashes of 64 bits, or of any number of such words, that differ in few bits; also of
//!   pictures in eight orientations.
//! - [`verify`]: whether one picture is a copy of the other, and what was done to it.
//! - [`Words::longest_common_run`]: what two texts literally have in common.
//! - [`Equals`]: rows that are the same, which are compared with others once.
//! - [`SetJoin`]: all pairs of texts that share enough words or characters, by [`TokenSets`] of [`Shingle`]s; of long texts
//!   by their [`windows`]. [`Sketches`] say beforehand, not for sure, which texts have a pair.
//!
//! Everything here works on row indices of plain arrays; the facade translates rows to samples.

mod dot;

mod dots;

mod blocks;

mod buckets;

mod cells;

mod screen;

mod join;

mod knn;

mod device;

mod groups;

mod layout;

mod common_run;

mod equal;

mod distinct;

mod hamming;

mod lexical;

pub mod verify;

#[cfg(test)]
mod testing;

pub use cells::CellsUsed;
pub use common_run::{CommonRun, Words};
pub use device::Device;
pub use dot::{canonical_dot, proposal_margin};
pub use equal::Equals;
pub use groups::{Family, MAX_SWEPT, Star, families, stars};
pub use hamming::{HammingJoin, HashPair, HashPairs};
pub use join::{JoinOptions, RowPair, RowPairs, cross_join, cross_join_of_copies, self_join, self_join_of_copies};
pub use knn::{Neighbors, knn, nearest_in};
pub use layout::layout;
pub use lexical::{Bands, SetJoin, SetMeasure, SetPair, SetPairs, Shingle, Sketches, TokenSets, windows};
