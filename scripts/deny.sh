#!/usr/bin/env bash
# Checks licenses, versions, sources and advisories of all dependencies by deny.toml. Needs cargo-deny and a network (for
# the list of advisories); the tidy test holds what matters most without either.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
    echo "error: cargo-deny is not installed" >&2
    echo "hint: cargo install --locked cargo-deny" >&2
    exit 2
fi
exec cargo deny --locked check
