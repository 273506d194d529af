//! Reading datasets, the identity of samples, and the files that an audit leaves behind.
//!
//! The way of a row, module by module:
//!
//! 1. `walk` turns the paths that were given into files, each with its format ([`formats`]), and its split and label
//!    where the names of folders tell them (`splits`).
//! 2. A format cuts its file into raw rows, in order and cheaply; `stream` hashes the bytes as they go by.
//! 3. `survey` and `columns` look at the first rows and choose the text or the image, the label, the split and the id, with a reason
//!    for each; `metadata` is what a table beside images says of them.
//! 4. [`Reader`] takes rows window by window and decodes them on all cores: `interpret` gives cells their meaning,
//!    [`identity`] hashes texts. Each row becomes a sample, readable or not.
//! 5. [`store`] keeps what is computed from a content, its text first of all; `stored` lends it to whoever asks.
//! 6. [`artifacts`], [`npy`] and [`atomic`] write what is left behind; no reader ever sees half a file.
//!
//! 7. [`rewrite`] goes the way back: the files of a dataset written again without what was dropped, each by one of `writers`,
//!    which take rows as they stand (`records`).
//!
//! Beside that way lie arrays that the user brings: [`vectors`], [`arrays`] that are mapped (`mmap`), and [`labels`].
//!
//! Bad data is a finding: it makes an unreadable sample whose reason names the file, the row and what was expected.
//! [`ReadError`] is for what stops reading: nothing to read, or options that do not fit.

mod error;

mod walk;

mod metadata;

pub mod splits;

pub mod formats;

pub mod row;

mod stream;

mod whole_file;

mod mend;

mod columns;

mod chat;

mod interpret;

mod survey;

pub mod reader;

pub mod rewrite;

mod records;

mod writers;

pub mod image;

pub mod identity;

pub mod atomic;

pub mod store;

mod stored;

pub mod artifacts;

pub mod audited;

pub mod npy;

pub mod vectors;

mod mmap;

pub mod arrays;

pub mod labels;

pub use error::ReadError;
pub use formats::{FORMATS, Format};
pub use interpret::Images;
pub use reader::{Input, ReadContent, ReadOptions, Reader, Window};
pub use stored::{StoredImages, StoredTexts};
pub use stream::hash_file;
