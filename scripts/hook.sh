#!/usr/bin/env bash
# Runs tamis with the given arguments in the current folder; builds it first from the tree that this script is in. For
# pre-commit, which cannot install a workspace by itself.
set -euo pipefail
tree=$(cd "$(dirname "$0")/.." && pwd)
cargo build --quiet --release --locked --bin tamis --manifest-path "$tree/Cargo.toml" --target-dir "$tree/target"
exec "$tree/target/release/tamis" "$@"
