//! Tab-separated values: CSV whose delimiter is known.

use super::csv::open_delimited;
use super::{FileSpec, Format, Records};

/// The format. Content alone gives `csv`, which finds the tab by itself.
#[derive(Debug)]
pub(crate) struct Tsv;

impl Format for Tsv {
    fn id(&self) -> &'static str {
        "tsv"
    }

    fn summary(&self) -> &'static str {
        "tab-separated values with a header"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["tsv", "tab"]
    }

    fn is_table(&self) -> bool {
        true
    }

    fn open(&self, file: &FileSpec) -> Result<Box<dyn Records>, String> {
        open_delimited(file, b'\t')
    }
}
