#!/usr/bin/env bash
# The one gate, the same for people and CI: format, lints, tests, documentation. Needs Rust and a C compiler.
#
# Everything runs in the release profile and over the whole workspace, so that candle is compiled once for the product
# and its tests.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step format
cargo fmt --all --check

step lints
cargo clippy --release --workspace --all-targets -- -D warnings

step tests
cargo test --release --workspace

step documentation
RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps

step passed
