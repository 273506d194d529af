//! The formats that programs read.
//!
//! Each version has a module that is frozen once released: keys may be added, none removed or given another meaning. The
//! JSON Schemas of the current version stand in `docs/schema/`; a test writes and compares them.

pub mod v1;
