"""Label issues from given probabilities and from vectors, beside cleanlab. Called by scripts/bench.sh; see there.

issues      cleanlab's find_label_issues with its default filter, ranked by self-confidence, on made probabilities
            (peer_labels.py): 1,000,000 items of 10 classes and 100,000 of 1,000, float32. The issues must be those of
            cleanlab, in the same order.
quality, noise, ablation
            labels changed on purpose, found from vectors of real pictures and texts: see label_noise.py.

tamis takes part in the first by the example `find_label_issues` of tamis-labels, a process that reads its files, then does its work
once for every line on stdin and answers by one line of JSON:

    find_label_issues LABELS.npy PROBABILITIES.npy ISSUES.npy THREADS
        {"seconds": .., "issues": n, "input_bytes": .., "peak_bytes": ..}

Memory is the most that a process had, and of tamis what exceeds the memory it had after reading. CPU seconds and memory
of the processes that cleanlab starts for more than one thread are not counted.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from engine import ROOT, interleaved, title
from pairs import HEAD, Contestant, Wrong, row, table

from common import Unavailable, call, make_venv

REQUIREMENTS = ["numpy==2.4.6", "cleanlab==2.9.0", "pillow==12.0.0"]

SIZES, SIZES_QUICK = [(1_000_000, 10), (100_000, 1000)], [(20_000, 10)]

BYTES_A_ROW, BYTES_MORE = 40, 64 << 20
"""Most memory beyond the input."""

BENCH = ROOT / "scripts" / "bench"


def issues(args):
    python = str(make_venv(args.data / "venv-labels", REQUIREMENTS))
    peer = [python, str(BENCH / "peer_labels.py")]
    # Threads of BLAS and OpenMP would come on top of the processes that cleanlab starts.
    os.environ["OMP_NUM_THREADS"] = "1"
    table(["items x classes", *HEAD, "issues", "peak MB"])
    for n, n_classes in SIZES_QUICK if args.quick else SIZES:
        kinds = ("given", "probabilities", "ours", "theirs")
        given, probabilities, ours, theirs = (str(args.data / f"labels-{n}x{n_classes}-{it}.npy") for it in kinds)
        if not Path(probabilities).exists():
            call([*peer, "made", str(n), str(n_classes), given, probabilities])
        for threads in args.threads:
            command = [str(args.examples / "find_label_issues"), given, probabilities, ours, str(threads)]
            contestants = [
                Contestant("tamis", command),
                Contestant("cleanlab", [*peer, "issues", given, probabilities, str(threads), theirs]),
            ]
            try:
                timings = interleaved(contestants, args.rounds)
            finally:
                for it in contestants:
                    it.close()
            compare(python, ours, theirs)
            for it in contestants:
                answer = it.answers[-1]
                peak = answer["peak_bytes"]
                if "input_bytes" in answer:
                    peak -= answer["input_bytes"]
                    if n * BYTES_A_ROW + BYTES_MORE < peak:
                        raise Wrong(f"{peak} bytes beyond the input of {n} x {n_classes}")
                print(f"| {n:,} x {n_classes:,} ", end="")
                row(threads, it.name, timings[it.name], timings["tamis"], [answer["issues"], f"{peak / 1e6:.0f}"])


def compare(python, ours, theirs):
    """Raises when two files of numbers differ."""
    same = "import sys, numpy as np; sys.exit(not np.array_equal(*map(np.load, sys.argv[1:])))"
    if subprocess.run([python, "-c", same, ours, theirs], check=False).returncode != 0:
        raise Wrong(f"{ours} and {theirs} differ")


def changed(part):
    """The part of label_noise.py."""

    def run(args):
        python = str(make_venv(args.data / "venv-labels", REQUIREMENTS))
        folder = args.data / "labels"
        script = [python, str(BENCH / "label_noise.py")]
        if args.tamis is None:
            subprocess.run(["cargo", "build", "--release"], cwd=ROOT, check=True)
            args.tamis = ROOT / "target" / "release" / "tamis"
        call([*script, "prepare", str(args.tamis), str(folder), str(args.data / "downloads")])
        sets = ["digits"] if args.quick else []
        sys.stdout.flush()
        example = str(args.examples / "label_evidence")
        subprocess.run([*script, part, example, str(folder), str(max(args.threads)), *sets], check=True)

    return run


PARTS = {"issues": issues} | {part: changed(part) for part in ["quality", "noise", "ablation"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--data", type=Path, default=ROOT / "acceptance-data")
    parser.add_argument("--threads", type=lambda it: [int(n) for n in it.split(",")], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="less data, to try the script")
    parser.add_argument("--tamis", type=Path, help="a built tamis, instead of building it")
    parser.add_argument("--examples", type=Path, help="folder of built examples, instead of building them")
    args = parser.parse_args()
    unknown = [part for part in args.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]}, expected {', '.join(PARTS)}")
    try:
        if args.examples is None:
            build = ["cargo", "build", "--release", "-p", "tamis-labels", "--examples"]
            subprocess.run(build, cwd=ROOT, check=True)
            args.examples = ROOT / "target" / "release" / "examples"
        print(f"# {title('Label issues')}\n")
        print(f"{', '.join(REQUIREMENTS)}; medians of {args.rounds} interleaved rounds.")
        for part in args.parts or PARTS:
            PARTS[part](args)
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Wrong as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
