//! tamis audits a dataset before somebody trains or evaluates on it: what is in it twice, what leaked from train into
//! test, which labels are wrong, what does not belong.
//!
//! Start at [`audit::run`]. It goes the way of the data: `ingest` reads, decodes, hashes and embeds in one pass; `joins`
//! plans and runs the joins that the chosen checks need, `kept` keeps their outputs; the checks run on what they declared;
//! [`output`] writes the record.
//! [`triage`] says which findings count.
//! [`config`] resolves flags and the configuration file once, and everything below gets it passed.
//!
//! [`apply`] acts on what was decided about findings: it writes the dataset again.
//!
//! The crates behind it can be used alone: `tamis_labels` on plain arrays, `tamis_neighbors` on unit vectors,
//! `tamis_data` to read, `tamis_embed` to embed.

pub mod apply;

pub mod audit;

pub mod card;

pub mod config;

pub mod copies;

pub mod date;

pub mod device;

pub mod diff;

pub mod impact;

pub mod ingest;

pub mod keep_order;

mod joins;

mod kept;

pub mod like;

pub mod model;

pub mod models;

pub mod output;

pub mod predictions;

pub mod record;

pub mod probabilities;

pub mod triage;

pub mod dry_run;
