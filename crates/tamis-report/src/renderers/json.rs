//! The whole record with all findings as one JSON object.

use std::io;

use tamis_core::Report;

use crate::wire::v1::FullAudit;
use crate::{RenderError, RenderOptions, Renderer};

/// `audit.json` with one more key, `findings`, last.
#[derive(Debug)]
pub(super) struct Json;

impl Renderer for Json {
    fn id(&self) -> &'static str {
        "json"
    }

    fn render(&self, report: &Report<'_>, _: &RenderOptions, out: &mut dyn io::Write) -> Result<(), RenderError> {
        serde_json::to_writer_pretty(&mut *out, &FullAudit::from_report(report)?)?;
        out.write_all(b"\n")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::v1::{Audit, FullAudit};
    use crate::{RenderOptions, testing};

    #[test]
    fn findings_are_added_to_the_record() {
        let text = testing::rendered("json", &RenderOptions::default());
        let full: FullAudit = serde_json::from_str(&text).unwrap();
        let fixture = testing::fixture();
        assert_eq!(full.audit, Audit::from_report(&fixture.report()).unwrap());
        assert_eq!(full.findings.len(), fixture.report().findings().count());
        let keys: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(keys.as_object().unwrap().keys().next_back().unwrap(), "findings");
    }
}
