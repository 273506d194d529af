#!/usr/bin/env bash
# Looks at report.html as a person would, in a real headless Chromium: opens it, draws the map, filters, decides by keyboard,
# exports and reads decisions, in two tabs and where the browser keeps nothing, with data full of HTML and script, with
# 100,000 samples and 5,000 findings, and with one group of 60,000.
#
#   scripts/report-check.sh [FOLDER ...]    also opens the report.html of these folders and takes pictures of them
#
# Needs Debian's chromium (installed with apt-get where it is not there), Node.js and, once, npm's playwright-core. All that
# it makes lies in target/report-check/: records, pictures, downloads.
set -euo pipefail
cd "$(dirname "$0")/.."

work=target/report-check
mkdir -p "$work"
if ! command -v chromium > /dev/null; then
    apt-get update -qq && apt-get install -y -qq chromium > /dev/null
fi
if [ ! -d "$work/node_modules/playwright-core" ]; then
    npm install --silent --no-audit --no-fund --prefix "$work" playwright-core@1.65.1 > /dev/null
fi

cargo build --release -q --workspace
tamis="$PWD/target/release/tamis"
python3 scripts/report-check/make_data.py "$work/data"

audit() { # NAME, arguments of tamis audit
    local name=$1
    shift
    "$tamis" audit "$@" --out "$work/$name" --exit-zero --quiet > /dev/null
}
tiny=tests/fixtures/models/parity/bert
audit definitions examples/definitions
audit redacted examples/definitions --redact
audit hostile "$work/data/hostile" --model "$tiny"
audit large "$work/data/large.jsonl" --model "$tiny"
audit group "$work/data/group.jsonl" --only exact-duplicate --report-budget 1MB
mkdir -p "$work/given"
rm -f "$work/suggested.jsonl"
"$tamis" apply --suggest "$work/suggested.jsonl" --audit "$work/definitions" > /dev/null 2>&1
"$tamis" report "$work/definitions" --decisions "$work/suggested.jsonl" --format html --output "$work/given/report.html"

NODE_PATH="$work/node_modules" node scripts/report-check/check.cjs "$work" "$@"
