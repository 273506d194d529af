#!/usr/bin/env bash
# Checks and times the GPU build on a machine with an NVIDIA GPU.
#
#   scripts/gpu-check.sh PROGRAMS [TESTS [TAMIS PICTURES]]
#   scripts/gpu-check.sh --joins JOINS JOIN_TESTS
#
# Needs neither cargo nor NVIDIA's compiler there, but this checkout and what was built elsewhere, as it is or by xz:
#   PROGRAMS  examples/gpu_speed of crate tamis-embed, built with the feature `cuda`
#   TESTS     the unit tests of the same crate and feature, where every operation runs on the GPU
#   TAMIS     the program itself with the default models in it, for times from the disk to vectors
#   PICTURES  a folder of some JPEG files for these; `scripts/bench.sh engine images` leaves acceptance-data/bench-images/small
#   JOINS       examples/gpu_joins of crate tamis-neighbors, built with the feature `cuda`
#   JOIN_TESTS  the unit tests of that crate and feature
# scripts/build-cuda.sh --bundled --programs builds all: target/cuda/{gpu_speed,gpu_tests,tamis,gpu_joins,join_tests}.xz.
#
# The tests run first; then vectors of whole models are compared with the CPU's, and a table says how many there are in a
# second: beside the rate of a large matrix product in the same run, and beside sentence-transformers and timm where
# python3 has them. With --joins, pairs and neighbors of 100,000 made vectors are compared with the CPU's (minutes on a CPU
# of few cores), and those of 1,000,000 x 768 are timed. NVIDIA's libraries are looked for in the wheels of python3 and where
# the system has them.
set -euo pipefail
cd "$(dirname "$0")/.."
joins=
if [ "${1:-}" = --joins ]; then
    joins=yes
    shift
fi
if [ $# -lt 1 ] || [ $# -gt 4 ] || { [ $# -eq 3 ] && [ -z "$joins" ]; } || { [ $# -ne 2 ] && [ -n "$joins" ]; }; then
    sed -n '2,20s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
if ! nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader; then
    echo "error: there is no NVIDIA GPU here, or no driver" >&2
    exit 1
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Puts a program into the scratch folder, unpacked.
unpack() {
    case "$1" in
        *.xz) xz --decompress --stdout "$1" > "$scratch/$2" ;;
        *) cp "$1" "$scratch/$2" ;;
    esac
    chmod +x "$scratch/$2"
}

# The folders of the wheels' libraries: nvidia/cu13/lib, or nvidia/<part>/lib.
wheels=$(python3 - <<'PYTHON' || true
import glob
import os
import site
import sys

roots = {*site.getsitepackages(), site.getusersitepackages(), *sys.path}
folders = {os.path.dirname(path) for root in roots for path in glob.glob(os.path.join(root, "nvidia", "*", "lib", "lib*.so.*"))}
print(":".join(sorted(folders)))
PYTHON
)
export LD_LIBRARY_PATH=${wheels}${wheels:+:}${LD_LIBRARY_PATH:-}

if [ -n "$joins" ]; then
    unpack "$2" tests
    "$scratch/tests" --test-threads 1 device::
    unpack "$1" gpu_joins
    "$scratch/gpu_joins"
    exit
fi
if [ $# -ge 2 ]; then
    unpack "$2" tests
    # The tests look for fixtures relative to their crate.
    (cd crates/tamis-embed && "$scratch/tests" --test-threads 1 ops:: parity:: products::)
fi
unpack "$1" gpu_speed
mkdir "$scratch/models"
"$scratch/gpu_speed" models tests/fixtures/models/real_texts.jsonl "$scratch/models" | tee "$scratch/results.jsonl"
from_disk=()
if [ $# -eq 4 ]; then
    unpack "$3" tamis
    from_disk=(--tamis "$scratch/tamis" --texts tests/fixtures/models/real_texts.jsonl --pictures "$4")
fi
python3 scripts/gpu_check.py "$scratch/results.jsonl" "$scratch/models" "${from_disk[@]}"
