//! Agreement with reference outputs, and properties that hold for any input.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read fails the test, as it should")]

mod annotators;
mod cleanlab;
mod confident;
mod multilabel;
mod npy;
mod properties;
mod scikit_learn;
mod tasks;
