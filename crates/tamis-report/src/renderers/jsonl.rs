//! One finding a line, as in `findings.jsonl`.

use std::io;

use tamis_core::Report;

use crate::wire::v1::write_findings;
use crate::{RenderError, RenderOptions, Renderer};

/// The findings alone. What became of checks that did not run stands in `audit.json`.
#[derive(Debug)]
pub(super) struct Jsonl;

impl Renderer for Jsonl {
    fn id(&self) -> &'static str {
        "jsonl"
    }

    fn render(&self, report: &Report<'_>, _: &RenderOptions, out: &mut dyn io::Write) -> Result<(), RenderError> {
        write_findings(report, out)
    }
}
