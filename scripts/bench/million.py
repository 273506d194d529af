"""A join of a million vectors: how long it takes, how much memory, and whether it is right. Called by scripts/bench.sh.

The vectors are made (exact_pairs.py), 1.5 GB of f32. `tamis pairs --kind cosine --vectors` joins them; then the pairs of
rows drawn at random are computed by numpy, and every one of them has to be there, and no other. Exit: 0 it is, 1 it is
not, 2 a package cannot be had.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from engine import ROOT, title

from common import Unavailable, call, make_venv
from pairs import BENCH, MIN_COSINE, REQUIREMENTS

N, N_QUICK, N_CHECKED = 1_000_000, 20_000, 200
DIM = 384
MEASURED = "elapsed %e s, CPU %U s, peak %M KiB"


def npy(n, vectors, out):
    """Puts the head of a .npy file before the numbers of another."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {DIM}), }}\n".encode()
    with vectors.open("rb") as source, out.open("wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
        while block := source.read(1 << 24):
            file.write(block)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "acceptance-data")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--quick", action="store_true", help="20,000 vectors, to try the script")
    parser.add_argument("--tamis", type=Path, help="a built binary, instead of building it")
    args = parser.parse_args()
    try:
        if args.tamis is None:
            subprocess.run(["cargo", "build", "--release", "--bin", "tamis"], cwd=ROOT, check=True)
            args.tamis = ROOT / "target" / "release" / "tamis"
        python = str(make_venv(args.data / "venv-pairs", REQUIREMENTS))
        n = N_QUICK if args.quick else N
        raw, rows = args.data / f"pairs-vectors-{n}.f32", args.data / f"million-{n}.npy"
        found = args.data / f"million-{n}.jsonl"
        exact = [python, str(BENCH / "exact_pairs.py")]
        if not rows.exists():
            if not raw.exists():
                partial = raw.with_suffix(".partial")
                call([*exact, "vectors", str(n), str(partial)])
                partial.rename(raw)
            npy(n, raw, rows.with_suffix(".partial"))
            rows.with_suffix(".partial").rename(rows)
        print(f"# {title('A join of many vectors')}\n")
        # The longest part of what is printed: a million vectors have some 3 million pairs.
        command = ["time", "--format", MEASURED, str(args.tamis), "pairs", "--kind", "cosine", "--min", MIN_COSINE]
        command += ["--vectors", str(rows), "--threads", args.threads, "--max-pairs", "100000000", "--out", str(found)]
        said = call(command).splitlines()
        elapsed, cpu, peak = re.fullmatch(r"elapsed (.*) s, CPU (.*) s, peak (.*) KiB", said[-1]).groups()
        pairs = re.match(r"\d+ pairs?", next(line for line in said if re.match(r"\d+ pairs? of", line)))[0]
        print("| vectors | cosine | threads | pairs | seconds | CPU seconds | peak memory |\n" + "|---" * 7 + "|")
        memory = int(peak) / 2**20
        print(f"| {n:,} x {DIM} | {MIN_COSINE} | {args.threads} | {pairs} | {elapsed} | {cpu} | {memory:.1f} GiB |\n")
        print("\n".join(line for line in said if "cells" in line) or "Without cells.")
        checked = json.loads(call([*exact, "check", str(raw), str(DIM), MIN_COSINE, str(found), str(N_CHECKED)]))
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\nOf {N_CHECKED} rows drawn at random, compared with all others by numpy: {checked['pairs']} pairs, ", end="")
    print(f"{checked['missing']} missing, {checked['wrong']} wrong.")
    return 1 if checked["missing"] or checked["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
