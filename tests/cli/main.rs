//! The command as a user sees it: what goes in by arguments and files, what comes out by stdout, stderr, exit code and
//! record.
//!
//! A run that embeds costs a hundred times one that does not: tests that only read outputs share the audit of
//! [`common::support`], and tests of reading run the checks of [`common::FACTS`] alone.

#![expect(clippy::unwrap_used, reason = "what is missing is a failed test")]

mod apply;
mod audit;
mod card;
mod ci;
mod commands;
mod common;
mod config;
mod determinism;
mod diff;
mod errors;
mod formats;
#[cfg(feature = "hub")]
mod hub;
mod images;
mod labels;
mod leaks;
mod models;
mod pairs;
mod probabilities;
mod record;
mod report;
mod store;
