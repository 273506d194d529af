#!/usr/bin/env bash
# Times tamis beside the programs that people use for the same, in the same run.
#
#   scripts/bench.sh engine [PART ..] [--data acceptance-data] [--threads 1,2] [--rounds 7] [--quick] [--simd-python P]
#       [--examples FOLDER]
#   scripts/bench.sh pairs [PART ..] [--data acceptance-data] [--threads 1,2] [--rounds 5] [--quick] [--vectors X.npy]
#       [--examples FOLDER]
#   scripts/bench.sh labels [PART ..] [--data acceptance-data] [--threads 1,2] [--rounds 5] [--quick] [--examples FOLDER]
#       [--tamis target/release/tamis]
#   scripts/bench.sh million [PART ..] [--data acceptance-data] [--threads 2] [--quick] [--tamis target/release/tamis]
#   scripts/bench.sh copies [--data acceptance-data] [--tamis target/release/tamis] [--only real|emoji] [--min SCORE ..]
#
# PART: text mobilenet tokenizer images distill, of pairs lexical cosine, of labels issues quality noise ablation, of
# million texts vectors; without any, all. The peers come from PyPI into virtual environments of their own in --data, which
# git ignores. Every figure is the median of interleaved rounds with equal threads, but for distillation, the million, and
# the quality of labels, which run once; the table that is printed can be committed under docs/benchmarks/. Needs python3,
# /usr/bin/time for the million, and a quiet machine; copies needs no quiet one, and a Python with Pillow, numpy,
# scikit-image and scikit-learn, named by PYTHON. Exit: 0 measured, 1 tamis found other pairs or label issues than there
# are, 2 usage or a peer that cannot be had. --simd-python is a Python with pillow-simd, for the part images; --examples
# holds built examples, instead of building them; --min is one more score at which copies are counted, and may be given
# again.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    engine | pairs | labels | million | copies)
        name=$1
        shift
        exec "${PYTHON:-python3}" "scripts/bench/$name.py" "$@"
        ;;
    *)
        sed -n '2,21s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
