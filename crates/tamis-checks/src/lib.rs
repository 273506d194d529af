//! The checks of tamis: one file each, with its options, its page and its tests.
//!
//! To write one, read `checks/near_duplicate.rs` and `checks/near_duplicate.md` first and copy them: a check is a file,
//! a page beside it, and one line in [`CHECKS`]. It declares what it needs, sees only that, and answers with findings,
//! worst first, and with the population they were found in. What a finding means and when it is wrong stands on the page,
//! which `tamis explain ID` prints. Checks of two versions stand in [`DIFF_CHECKS`].

pub mod checks;

mod labels;
mod leaks;

mod stats;

pub mod drift;

pub mod diffs;

#[cfg(test)]
mod testing;

pub use checks::{BadOption, CHECKS, CheckDef};
pub use diffs::DIFF_CHECKS;
pub use stats::{Difference, FalseFlags, benjamini_hochberg, conformal_p_values, difference};
