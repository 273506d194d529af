//! Reading datasets, the identity of samples, and the files that an audit leaves behind.
//!
//! The way of a row, module by module:
//!
//! 1. `walk` turns the paths that were given into files, each with its format ([`formats`]), and its split and label
//!    where the names of folders tell them (`splits`).
//! 2. A format cuts its file into raw rows, in order and cheaply; `stream` hashes the bytes as they go by.
//! 3. `columns` looks at the first rows and chooses the text, the label, the split and the id, with a reason for each.
//! 4. [`Reader`] takes rows window by window and decodes them on all cores: `interpret` gives cells their meaning,
//!    [`identity`] hashes texts. Each row becomes a sample, readable or not.
//! 5. [`TextStore`] keeps the texts on disk and lends them to whoever asks.
//! 6. [`artifacts`], [`npy`] and [`atomic`] write what is left behind; no reader ever sees half a file.
//!
//! Bad data is a finding: it makes an unreadable sample whose reason names the file, the row and what was expected.
//! [`ReadError`] is for what stops reading: nothing to read, or options that do not fit.

mod error;

mod walk;

pub mod splits;

pub mod formats;

pub mod row;

mod stream;

mod mend;

mod columns;

mod chat;

mod interpret;

pub mod reader;

pub mod identity;

pub mod text_store;

pub mod atomic;

pub mod artifacts;

pub mod npy;

pub use error::ReadError;
pub use formats::{FORMATS, Format};
pub use reader::{Input, ReadOptions, ReadText, Reader, Window};
pub use text_store::TextStore;
