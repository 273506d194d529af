//! Copies: what joins propose is compared as it is, and only what agrees counts.

pub mod images;
