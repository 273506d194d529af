#!/usr/bin/env bash
# Runs the kernels for NVIDIA GPUs on the CPU, thread by thread, and compares what they compute with plain loops.
#
#   scripts/cuda-emulate.sh
#
# Needs g++ on x86-64, and neither a GPU nor NVIDIA's compiler: crates/tamis-embed/src/ops/cuda/emulate stands for CUDA.
# It finds wrong indices, accesses beyond a buffer, numbers that are not written and barriers that are missing. It cannot
# say how quick a kernel is, nor whether the stand-ins for the tensor cores' instructions are what the chip does.
set -euo pipefail
cd "$(dirname "$0")/../crates/tamis-embed/src/ops/cuda"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for precision in SINGLE HALF; do
    g++ -std=c++17 -O2 -g -mavx -mf16c -fno-strict-aliasing -Wall -Wno-unknown-pragmas \
        -fsanitize=undefined -fno-sanitize-recover=all -D$precision -Iemulate -o "$folder/check" emulate/check.cpp
    echo "$precision precision"
    "$folder/check"
done
