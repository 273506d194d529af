//! What an audit shows and writes.
//!
//! A [`tamis_core::Report`] comes in, bytes go out. There are three kinds of output, and they answer to different people:
//!
//! - [`wire`] holds the formats that programs read. They are versioned and apart from the domain types, so that either
//!   can change without the other; nothing in them is rounded, shortened or left out.
//! - [`renderers`] holds everything that can be asked for by name, one file each. Those for people shorten and say so;
//!   they share `overview` (what was audited and what became of each check), `exhibit` (which samples stand for a finding,
//!   and what is said next to each), `prose` (numbers and suggestions in words), `snippet` (cutting and escaping of texts)
//!   `terminal` (columns, wrapping, color) and `page` (templates in HTML). Those for other programs share `machine` (order and places).
//! - [`comparison`] shows how two versions differ.
//! - [`card`] says what an audit measured as people publish it next to their data, and [`croissant`] the same for programs.
//!
//! Two rules hold in every file. Whatever comes from the user's data is untrusted: on a terminal control characters are
//! escaped, in HTML everything is, and each format for programs escapes what has a meaning in it. And equal reports give equal bytes, but for the seconds in [`wire::v1::Audit::timing`].

pub mod wire;

pub mod renderers;

pub mod comparison;

pub mod card;

pub mod croissant;

mod markdown;

mod overview;

mod exhibit;

mod prose;

mod snippet;

mod terminal;

mod machine;

mod page;

#[cfg(test)]
mod testing;

pub use renderers::{DEFAULT_BUDGET, RENDERERS, RenderError, RenderOptions, Renderer, find};
pub use snippet::visible;
