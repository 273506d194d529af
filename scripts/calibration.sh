#!/usr/bin/env bash
# Measures how often the samples that `tamis leaks` calls copies are clean, and which copies it finds.
#
#   scripts/calibration.sh [CORPUS ..] [--data acceptance-data] [--tamis target/release/tamis] [--resamples N]
#                          [--copies N] [--peers 20] [--threads 2] [--quick]
#
# CORPUS: foldoc fortunes pictures; without any, all. Each resample splits a corpus anew into train, a clean test and a
# clean reference, puts edited copies of train into the test, and runs the binary with the reference, with the fixed
# score and without the copies. Printed are the share of false ones, recall by edits, and the same for the rules of other
# tools over tamis's vectors, on the first --peers resamples. 100 resamples of texts with 20 copies a level, 30 of
# pictures with 10. The texts come from `scripts/acceptance.sh text --prepare-only`; the pictures are those of
# `scripts/bench.sh copies`, and are made where they are missing. Vectors stay in --data, which git ignores, so that a
# second run takes a fraction. Not in CI. Needs a Python with numpy, scipy and pyarrow, and Pillow, scikit-image and
# scikit-learn as photographs.py has them, named by PYTHON. Exit: 0 measured (goals are printed, not enforced), 1 texts
# are missing, a run of tamis failed or its record is at odds with itself, 2 usage.
set -euo pipefail
cd "$(dirname "$0")/.."

exec "${PYTHON:-python3}" scripts/calibration/calibrate.py "$@"
