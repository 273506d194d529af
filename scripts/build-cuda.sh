#!/usr/bin/env bash
# Builds tamis for NVIDIA GPUs on a machine that needs neither a GPU, nor a driver, nor a CUDA toolkit.
#
#   scripts/build-cuda.sh [--bundled] [--check] [--programs]
#
# The result, target/cuda/release/tamis, also starts on machines without CUDA, where it warns once and computes on the
# CPU. --bundled puts the default models into it (30 MB more); --check only compiles and lints. A cold build takes
# about 11 minutes on two cores, half of them for kernels of candle that tamis does not use. Afterwards
# target/cuda/tamis.xz holds the stripped binary for another machine (12 MB). --programs builds what scripts/gpu-check.sh
# runs there as well: gpu_speed.xz, gpu_tests.xz, gpu_joins.xz and join_tests.xz in target/cuda.
#
# The compiler comes from NVIDIA's wheels on PyPI into target/cuda-toolkit (about 300 MB). The libraries are not linked
# but opened when the binary starts, through small static libraries that scripts/cuda_shim.py writes; without them a
# CUDA binary would not start where a library is missing. x86-64 Linux only. Needs python3 with pip, a C++ compiler, xz.
#
# CUDA_COMPUTE_CAP names the GPU: 90 (the default) is for H100 and H200 alone, 80 is for all from the A100 on.
set -euo pipefail
cd "$(dirname "$0")/.."

features=cuda
action=build
programs=
for argument in "$@"; do
    case "$argument" in
        --bundled) features=cuda,bundled-models ;;
        --check) action=clippy ;;
        --programs) programs=yes ;;
        *)
            sed -n '2,18s/^# \{0,1\}//p' "$0" >&2
            exit 2
            ;;
    esac
done

# CUDA 13.0: driver 580 or newer. The same release for all parts.
toolkit=$PWD/target/cuda-toolkit
nvidia=$toolkit/nvidia/cu13
if [ ! -x "$nvidia/bin/nvcc" ]; then
    python3 -m pip install --quiet --target "$toolkit" --no-deps \
        nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 \
        nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
fi

cargo fetch --quiet
cudarc=$(sed -n '/^name = "cudarc"/{n;s/version = "\(.*\)"/cudarc-\1/p}' Cargo.lock)
sources=$(echo "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$cudarc")
shim=$PWD/target/cuda-shim
if [ "$(cat "$shim/made-for" 2>/dev/null)" != "$cudarc" ]; then
    python3 scripts/cuda_shim.py "$sources" "$shim/lib" --cudart-static "$nvidia/lib/libcudart_static.a"
    echo "$cudarc" > "$shim/made-for"
fi

export CUDA_HOME=$shim CUDA_PATH=$shim PATH=$nvidia/bin:$PATH
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90} CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-$(nproc)}
export CARGO_TARGET_DIR=$PWD/target/cuda

if [ "$action" = clippy ]; then
    exec cargo clippy --release -p tamis -p tamis-embed -p tamis-neighbors --no-default-features --features "$features" --all-targets -- -D warnings
fi
cargo build --release -p tamis --no-default-features --features "$features"

# Strips and packs the program $1 as target/cuda/$2.xz.
pack() {
    if readelf -d "$1" | grep -E 'NEEDED.*lib(cu|nv)'; then
        echo "error: $1 needs CUDA libraries to start: the linker took them instead of $shim/lib" >&2
        exit 1
    fi
    strip -o "target/cuda/$2" "$1"
    xz --force --keep -6 "target/cuda/$2"
    ls -l "target/cuda/$2" "target/cuda/$2.xz"
}

pack target/cuda/release/tamis tamis
if [ -n "$programs" ]; then
    # With tamis, so that the features of all crates are those of the build above.
    both=(--release -p tamis -p tamis-embed -p tamis-neighbors --no-default-features --features "$features")
    cargo build "${both[@]}" --example gpu_speed --example gpu_joins
    pack target/cuda/release/examples/gpu_speed gpu_speed
    pack target/cuda/release/examples/gpu_joins gpu_joins
    built=$(cargo test "${both[@]}" --lib --no-run --message-format json)
    # The unit tests of the crate $1.
    tests_of() {
        echo "$built" | python3 -c '
import json, sys
for message in map(json.loads, sys.stdin):
    if message.get("executable") and message["target"]["name"] == sys.argv[1]:
        print(message["executable"])' "$1"
    }
    pack "$(tests_of tamis_embed)" gpu_tests
    pack "$(tests_of tamis_neighbors)" join_tests
fi
