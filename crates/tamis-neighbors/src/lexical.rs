//! Texts that share words or characters: an exact join of sets.
//!
//! A text is the set of its [`Shingle`]s, and two texts are as alike as their sets ([`SetMeasure`]). The join finds every
//! pair at or above a minimum, without sketches: Xiao et al., "Efficient Similarity Joins for Near-Duplicate Detection"
//! (ACM TODS 36(3), 2011), sections 3 and 4. Tokens are ordered by how many texts have them, so that two alike sets share
//! one of their few rarest tokens (prefix filter), at places from where enough others can follow (positional filter), and
//! are of similar length (length filter); what passes is counted by merging, which stops once it cannot succeed.
//!
//! Where even the tokens are too much to keep, [`Sketches`] say first which sets may have a pair at all.
//!
//! A shingle is known by a hash of 64 bits. Among ten million distinct ones, two share a hash with a probability of 3e-6.

mod found;
mod join;
mod sets;
mod shingle;
mod sketch;
mod windows;

pub use join::{SetJoin, SetMeasure, SetPair, SetPairs};
pub use sets::TokenSets;
pub use shingle::Shingle;
pub(crate) use shingle::{hash, hash_of_run, of_numbers};
pub use sketch::{Bands, Sketches};
pub use windows::windows;
