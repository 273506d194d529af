#!/usr/bin/env bash
# Runs the kernels for NVIDIA GPUs on the CPU, thread by thread, and compares what they compute with plain loops.
#
#   scripts/cuda-emulate.sh
#
# Needs g++ on x86-64, and neither a GPU nor NVIDIA's compiler: crates/tamis-embed/src/ops/cuda/emulate stands for CUDA, for
# the kernels of joins (crates/tamis-neighbors/src/device) as well.
# It finds wrong indices, accesses beyond a buffer, numbers that are not written and barriers that are missing. It cannot
# say how quick a kernel is, nor whether the stand-ins for the tensor cores' instructions are what the chip does.
set -euo pipefail
cd "$(dirname "$0")/../crates"
emulate=tamis-embed/src/ops/cuda/emulate
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Compiles the checks in the file $1 with the further arguments, and runs them.
run() {
    g++ -std=c++17 -O2 -g -mavx -mf16c -fno-strict-aliasing -Wall -Wno-unknown-pragmas \
        -fsanitize=undefined -fno-sanitize-recover=all "${@:2}" -I"$emulate" -o "$folder/check" "$1"
    "$folder/check"
}

for precision in SINGLE HALF; do
    echo "$precision precision"
    run "$emulate/check.cpp" "-D$precision"
done
echo joins
run tamis-neighbors/src/device/emulate/check.cpp
