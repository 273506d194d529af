#!/usr/bin/env bash
# Holds the outputs for other programs, and the files that pipelines read, to schemas and grammars that others wrote.
#
#   scripts/report-formats.sh [--bin target/release/tamis] [--data target/report-formats]
#
# SARIF against the schema of version 2.1.0 (npm: @microsoft/jest-sarif), JUnit against the schema of Jenkins' xUnit plugin
# (PyPI: the source of pytest), annotations against the grammar of workflow commands, Markdown against the limit of a
# comment, action and hooks as YAML, configurations against docs/schema/config.v1.json. All of real audits: the example, and
# files whose names, keys and labels try to do harm. Needs python3, pip and npm; the packages are kept in --data.
# Exit: 0 all lines pass, 1 a miss, 2 usage.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=target/release/tamis
data=target/report-formats
while [ $# -gt 0 ]; do
    case "$1" in
        --bin) bin=$2 ;;
        --data) data=$2 ;;
        *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift 2 || exit 2
done

mkdir -p "$data"
if [ ! -x "$data/venv/bin/python" ]; then
    python3 -m venv "$data/venv"
    "$data/venv/bin/pip" install --quiet jsonschema xmlschema pyyaml
fi
sarif="$data/package/lib/schemas/sarif-2.1.0-rtm.5.json"
if [ ! -f "$sarif" ]; then
    (cd "$data" && tar xzf "$(npm pack --silent @microsoft/jest-sarif@1.0.0-beta.0)")
fi
junit="$data/pytest-8.4.2/testing/example_scripts/junit-10.xsd"
if [ ! -f "$junit" ]; then
    (cd "$data" && venv/bin/pip download --quiet --no-deps --no-binary pytest pytest==8.4.2 &&
        tar xzf pytest-8.4.2.tar.gz pytest-8.4.2/testing/example_scripts/junit-10.xsd)
fi
exec "$data/venv/bin/python" scripts/report_formats.py --bin "$bin" --sarif "$sarif" --junit "$junit"
