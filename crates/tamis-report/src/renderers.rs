//! The outputs that can be asked for by name, one file each.

use std::{fmt, io};

use tamis_core::Report;

use crate::wire::v1::{Diff, NotFinite};

mod full;

mod concise;

mod json;

mod jsonl;

mod html;

mod sarif;

mod junit;

mod github;

mod markdown;

/// One output.
pub trait Renderer: fmt::Debug + Send + Sync {
    /// Its name in options: kebab-case, equal to the file name.
    fn id(&self) -> &'static str;

    /// Writes `report` to `out`.
    ///
    /// # Errors
    /// When `out` cannot be written to, or the report holds what the format cannot: see [`RenderError`].
    fn render(&self, report: &Report<'_>, options: &RenderOptions, out: &mut dyn io::Write) -> Result<(), RenderError>;
}

/// All outputs, those for people on a terminal first.
pub static RENDERERS: &[&dyn Renderer] = &[
    &full::Full,
    &concise::Concise,
    &json::Json,
    &jsonl::Jsonl,
    &html::Html,
    &sarif::Sarif,
    &junit::Junit,
    &github::Github,
    &markdown::Markdown,
];

/// The output called `id`.
#[must_use]
pub fn find(id: &str) -> Option<&'static dyn Renderer> {
    RENDERERS.iter().copied().find(|it| it.id() == id)
}

/// How a report is shown. Color and width are for outputs on a terminal, the rest is for the HTML page.
#[derive(Clone, Debug)]
pub struct RenderOptions {
    /// Whether ANSI colors may be used; nothing is said by color alone.
    pub color: bool,
    /// Columns of the terminal; less than 40 is taken as 40.
    pub width: usize,
    /// Bytes that the HTML page may take: contents of the worst findings first, then what else fits.
    pub budget: usize,
    /// Whether the HTML page leaves out texts, pictures and what is quoted of them.
    pub redact: bool,
    /// Decisions that the HTML page starts with, as the text of a `decisions.jsonl`.
    pub decisions: Option<String>,
    /// What changed since an earlier version, for a part of the HTML page of its own.
    pub changes: Option<Diff>,
}

/// Bytes of an HTML page, unless said otherwise.
pub const DEFAULT_BUDGET: usize = 25_000_000;

impl Default for RenderOptions {
    /// No color, 100 columns, a page of at most 25 MB with contents, without decisions and changes.
    fn default() -> Self {
        Self { color: false, width: 100, budget: DEFAULT_BUDGET, redact: false, decisions: None, changes: None }
    }
}

/// A report that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The place written to refused; a closed pipe is of this kind.
    #[error("cannot write the report")]
    Write(#[from] io::Error),
    /// A check or the configuration holds a number that no format can: a bug.
    #[error("cannot record the report")]
    NotFinite(#[from] NotFinite),
    /// The HTML template does not fit the data: a bug.
    #[error("cannot fill in the template of the HTML report")]
    Template(#[from] minijinja::Error),
}

impl From<serde_json::Error> for RenderError {
    /// The wire types always serialize, so what is left is the writer's own error.
    fn from(error: serde_json::Error) -> Self {
        Self::Write(error.into())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::testing;

    #[test]
    fn every_file_is_in_the_table_under_its_own_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/renderers");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "rs"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().replace('_', "-"))
            .collect();
        let mut ids: Vec<&str> = RENDERERS.iter().map(|it| it.id()).collect();
        files.sort_unstable();
        ids.sort_unstable();
        assert_eq!(ids, files);
        assert!(ids.iter().all(|id| find(id).is_some_and(|it| it.id() == *id)));
    }

    #[test]
    fn equal_reports_give_equal_bytes() {
        for renderer in RENDERERS {
            let once = testing::rendered(renderer.id(), &RenderOptions::default());
            assert_eq!(once, testing::rendered(renderer.id(), &RenderOptions::default()), "{}", renderer.id());
            assert!(once.ends_with('\n'), "{}", renderer.id());
        }
    }

    #[test]
    fn a_closed_pipe_is_told_by_its_kind() {
        #[derive(Debug)]
        struct Closed;
        impl io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let fixture = testing::fixture();
        for renderer in RENDERERS {
            let error = renderer.render(&fixture.report(), &RenderOptions::default(), &mut Closed).unwrap_err();
            let RenderError::Write(source) = error else { panic!("{}: {error}", renderer.id()) };
            assert_eq!(source.kind(), io::ErrorKind::BrokenPipe, "{}", renderer.id());
        }
    }
}
