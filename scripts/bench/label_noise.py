"""Ranks and counts labels that were changed on purpose: tamis beside cleanlab. Called by labels.py, in its venv.

    label_noise.py prepare TAMIS FOLDER DOWNLOADS
    label_noise.py quality|noise|ablation EXAMPLE FOLDER THREADS [SET ..]

prepare     has the program TAMIS embed Fashion-MNIST with the bundled model for images and the mails of SpamAssassin with
            that for texts, unless FOLDER has them: NAME.npy (vectors, f32) and NAME.labels.npy for fashion (60,000),
            clothes (its test split of 10,000) and mails. Digits come from scikit-learn. EXAMPLE is the example
            `label_evidence` of tamis-labels. Neighbors are found by numpy once and kept in FOLDER.
quality     each setting: average precision and F1 of both. cleanlab gets probabilities of a logistic regression (C = 1,
            at most 100 iterations, one thread) in five stratified folds on the same vectors; its rank is the better of
            self-confidence and normalized margin, its cut the default, and the best of its seven filters as an oracle.
noise       the estimated rate of wrong labels with its interval, against the truth, over many settings; then how often
            labels of a stated probability are wrong.
ablation    what each part adds, on the settings of quality that are quick.

Noise: `class` draws a noise matrix with the given trace and share of zeros by cleanlab's generator; `symmetric` any other
class alike; `pair` the next class; `instance` flips by a random linear function of the vector (Xia et al. 2020); `doubt`
gives the second class of a regression on clean labels, the more often the closer it is.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
from cleanlab.benchmarking.noise_generation import generate_noise_matrix_from_trace  # noqa: E402
from cleanlab.filter import find_label_issues  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import average_precision_score  # noqa: E402
from sklearn.model_selection import StratifiedKFold, cross_val_predict  # noqa: E402

K = 40
SPARSITY = 0.4

QUALITY = [
    ("fashion", "class", 0.2, 101),
    ("fashion", "class", 0.1, 102),
    ("fashion", "instance", 0.2, 103),
    ("fashion", "symmetric", 0.4, 104),
    ("fashion", "pair", 0.2, 105),
    ("mails", "symmetric", 0.05, 106),
    ("mails", "symmetric", 0.2, 107),
    ("digits", "class", 0.1, 108),
    ("digits", "class", 0.2, 109),
    ("digits", "symmetric", 0.4, 110),
    ("digits", "pair", 0.2, 111),
    ("digits", "doubt", 0.1, 112),
    ("mails", "doubt", 0.1, 113),
    ("clothes", "doubt", 0.1, 114),
]
"""Set, noise, rate, seed. Options were chosen on other seeds, on digits, mails, the test split of the clothes, and definitions."""

RATES = [0.03, 0.05, 0.1, 0.2, 0.3]
NOISE = [
    *[("digits", kind, rate) for kind in ["class", "symmetric", "pair", "instance"] for rate in RATES],
    *[("clothes", kind, rate) for kind in ["class", "symmetric", "pair", "instance"] for rate in RATES],
    *[("mails", "symmetric", rate) for rate in RATES],
]
FILTERS = [
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
]


class Set:
    """Vectors, clean labels, neighbors, and a running example."""

    def __init__(self, folder: Path, name: str):
        self.name, self.folder = name, folder
        if name == "digits":
            digits = load_digits()
            vectors = digits.data - digits.data.mean(0)
            self.vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f4")
            self.labels = digits.target
        else:
            vectors, labels = np.load(folder / f"{name}.npy"), np.load(folder / f"{name}.labels.npy")
            seen = ~np.isnan(vectors).any(axis=1)
            self.vectors, self.labels = np.ascontiguousarray(vectors[seen], "<f4"), labels[seen].astype(int)
        self.n_classes = int(self.labels.max()) + 1

    def neighbors(self):
        kept = self.folder / f"{self.name}.neighbors.npz"
        if not kept.exists():
            n = len(self.vectors)
            ids, cosines = np.empty((n, K), "<u4"), np.empty((n, K), "<f4")
            for first in range(0, n, 1000):
                block = self.vectors[first : first + 1000] @ self.vectors.T
                block[np.arange(len(block)), np.arange(first, first + len(block))] = -2
                near = np.argpartition(-block, K, axis=1)[:, :K]
                values = np.take_along_axis(block, near, 1)
                order = np.argsort(-values, axis=1, kind="stable")
                ids[first : first + 1000] = np.take_along_axis(near, order, 1)
                cosines[first : first + 1000] = np.take_along_axis(values, order, 1)
            np.savez(kept, ids=ids, cosines=cosines)
        found = np.load(kept)
        return found["ids"], found["cosines"]


class Tamis:
    """The example, with the vectors of one set."""

    def __init__(self, example: str, data: Set, threads: str, *options):
        self.folder = Path(tempfile.mkdtemp(dir=data.folder))
        files = [str(self.folder / name) for name in ["vectors", "labels", "neighbors", "similarities", "out"]]
        self.labels, self.out = files[1], files[4]
        ids, cosines = data.neighbors()
        for path, array in zip([files[0], files[2], files[3]], [data.vectors, ids, cosines], strict=True):
            array.tofile(path)
        n, dim = data.vectors.shape
        numbers = [str(it) for it in [n, dim, K, data.n_classes, threads, *options]]
        command = [example, *files, *numbers]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def judge(self, given):
        given.astype("<i4").tofile(self.labels)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        rows = np.fromfile(self.out, "<f4").reshape(-1, 4).astype(float)
        return answer, rows

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        for file in self.folder.iterdir():
            file.unlink()
        self.folder.rmdir()


def folds(seed):
    return StratifiedKFold(5, shuffle=True, random_state=seed)


def regression(vectors, labels, seed=0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=1.0, max_iter=100)
        return cross_val_predict(model, vectors, labels, cv=folds(seed), method="predict_proba")


def changed(data: Set, kind: str, rate: float, seed: int):
    """Given labels."""
    clean, n, k = data.labels, len(data.labels), data.n_classes
    rng = np.random.RandomState(seed)
    if kind == "class":
        np.random.seed(seed)
        shares = np.bincount(clean) / n
        trace = k * (1 - rate)
        zeros = SPARSITY if k > 2 else 0
        matrix = generate_noise_matrix_from_trace(
            k, trace=trace, py=shares, frac_zero_noise_rates=zeros, seed=seed, valid_noise_matrix=False
        )
        given = clean.copy()
        for label in range(k):
            column = np.clip(matrix[:, label], 0, None)
            where = np.flatnonzero(clean == label)
            given[where] = rng.choice(k, len(where), p=column / column.sum())
        return given
    if kind == "instance":
        rates = np.clip(rng.normal(rate, 0.1, n), 0, 1)
        given = clean.copy()
        for label, weights in enumerate(rng.randn(k, data.vectors.shape[1], k)):
            where = np.flatnonzero(clean == label)
            scores = data.vectors[where] @ weights
            scores[:, label] = -np.inf
            chances = np.exp(scores - scores.max(1, keepdims=True))
            chances *= rates[where, None] / chances.sum(1, keepdims=True)
            chances[:, label] = 1 - rates[where]
            given[where] = np.minimum((chances.cumsum(1) < rng.rand(len(where), 1)).sum(1), k - 1)
        return given
    flips = rng.rand(n) < rate
    if kind == "symmetric":
        return np.where(flips, (clean + rng.randint(1, k, n)) % k, clean)
    if kind == "pair":
        return np.where(flips, (clean + 1) % k, clean)
    if kind == "doubt":
        chances = regression(data.vectors, clean, seed=9)
        own = chances[np.arange(n), clean]
        chances[np.arange(n), clean] = -1
        second = chances.argmax(1)
        doubt = np.sqrt(chances.max(1) / (chances.max(1) + own))
        low, high = 0.0, 50.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if np.minimum(middle * doubt, 0.95).mean() < rate else (low, middle)
        return np.where(rng.rand(n) < np.minimum(low * doubt, 0.95), second, clean)
    raise ValueError(kind)


def f1(flags, truth):
    return 2 * (flags & truth).sum() / max(1, flags.sum() + truth.sum())


def suspected(rows):
    return (rows[:, 1] < 0.5) | (rows[:, 0] < 0.02)


def suspicion(rows):
    return 1 - np.sqrt(rows[:, 0] * rows[:, 1])


def cleanlab(data, given, truth):
    start = time.perf_counter()
    chances = regression(data.vectors, given)
    seconds = time.perf_counter() - start
    own = chances[np.arange(len(given)), given]
    others = chances.copy()
    others[np.arange(len(given)), given] = -1
    ranks = [average_precision_score(truth, -own), average_precision_score(truth, others.max(1) - own)]
    chances = chances.astype(np.float64)
    cuts = {name: f1(find_label_issues(given, chances, filter_by=name, n_jobs=1), truth) for name in FILTERS}
    return seconds, ranks, cuts


def quality(example, folder, threads, only):
    print("| set | noise | wrong | AP tamis | AP cleanlab: self-conf. | margin | F1 tamis | cleanlab default | its best filter | s tamis | s LR |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    gains, shares, better, beaten = [], [], 0, 0
    settings = [it for it in QUALITY if not only or it[0] in only]
    for name in dict.fromkeys(it[0] for it in settings):
        data = Set(folder, name)
        tamis = Tamis(example, data, threads)
        for _, kind, rate, seed in (it for it in settings if it[0] == name):
            given = changed(data, kind, rate, seed)
            truth = given != data.labels
            answer, rows = tamis.judge(given)
            seconds, ranks, cuts = cleanlab(data, given, truth)
            mine, cut = average_precision_score(truth, suspicion(rows)), f1(suspected(rows), truth)
            default, best = cuts["prune_by_noise_rate"], max(cuts, key=cuts.get)
            print(
                f"| {name} | {kind} {rate} | {truth.mean():.3f} | {mine:.3f} | {ranks[0]:.3f} | {ranks[1]:.3f} | {cut:.3f} "
                f"| {default:.3f} | {cuts[best]:.3f} {best} | {answer['seconds']:.2f} | {seconds:.1f} |",
                flush=True,
            )
            gains.append(mine - ranks[0])
            shares.append(cut / cuts[best])
            better += ranks[0] < mine
            beaten += default <= cut
        tamis.close()
    n = len(gains)
    print(
        f"\nAP above cleanlab's self-confidence on {better} of {n}, by {np.mean(gains):.3f} on average; F1 at least that of its "
        f"default cut on {beaten} of {n}, and {np.mean(shares):.3f} of its best filter on average."
    )


def noise(example, folder, threads, only):
    print("| set | noise | wrong | estimated | 90 % interval | holds | classes that hold | to review | expected errors | errors |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    holds, halves, by_class, chances, wrong = [], [], [], [], []
    settings = [it for it in NOISE if not only or it[0] in only]
    seeds = {it: 7000 + place for place, it in enumerate(NOISE)}
    for name in dict.fromkeys(it[0] for it in settings):
        data = Set(folder, name)
        tamis = Tamis(example, data, threads)
        for _, kind, rate in (it for it in settings if it[0] == name):
            given = changed(data, kind, rate, seeds[name, kind, rate])
            truth = given != data.labels
            answer, rows = tamis.judge(given)
            holds.append(answer["low"] <= truth.mean() <= answer["high"])
            halves.append((answer["high"] - answer["low"]) / 2 / truth.mean())
            within = [it["low"] <= truth[given == it["class"]].mean() <= it["high"] for it in answer["by_class"]]
            by_class += within
            review = (rows[:, 1] <= 0.8) | (rows[:, 0] < 0.02)
            chances.append(1 - rows[:, 1])
            wrong.append(truth)
            print(
                f"| {name} | {kind} {rate} | {truth.mean():.4f} | {answer['rate']:.4f} | {answer['low']:.4f} to "
                f"{answer['high']:.4f} | {'yes' if holds[-1] else 'no'} | {sum(within)}/{len(within)} | {answer['to_review']} "
                f"| {answer['expected_errors']:.0f} | {truth[review].sum()} |",
                flush=True,
            )
        tamis.close()
    print(
        f"\nThe interval holds the truth in {sum(holds)} of {len(holds)} settings, those by class in {sum(by_class)} of "
        f"{len(by_class)}; its half width is {np.median(halves):.2f} of the truth in the median.\n"
    )
    chances, wrong = np.concatenate(chances), np.concatenate(wrong)
    print("| probability of an error | labels | mean | wrong |")
    print("|---|---|---|---|")
    edges = [0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0]
    points = []
    for low, high in zip(edges, edges[1:], strict=False):
        part = (low <= chances) & ((chances < high) | (high == 1.0))
        if part.any():
            points.append((chances[part].mean(), wrong[part].mean()))
            print(f"| {low} to {high} | {part.sum()} | {chances[part].mean():.3f} | {wrong[part].mean():.3f} |")
    plot(folder / "calibration.svg", points)
    print(f"\nThe same as a plot: {folder / 'calibration.svg'}")


def plot(path: Path, points):
    """Writes stated against true shares of wrong labels; the diagonal is what they should be."""
    at = [(40 + 300 * x, 320 - 300 * y) for x, y in points]
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in at)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    ticks = "".join(
        f'<text x="{40 + 60 * i}" y="338" text-anchor="middle">{i / 5:.1f}</text>'
        f'<text x="34" y="{324 - 60 * i}" text-anchor="end">{i / 5:.1f}</text>'
        for i in range(6)
    )
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="380" height="370" font-family="sans-serif" font-size="11">'
        '<rect width="380" height="370" fill="white"/><rect x="40" y="20" width="300" height="300" fill="none" stroke="#888"/>'
        '<line x1="40" y1="320" x2="340" y2="20" stroke="#bbb" stroke-dasharray="4"/>'
        f'<polyline points="{line}" fill="none" stroke="#1f6f8b"/><g fill="#1f6f8b">{dots}</g>{ticks}'
        '<text x="190" y="358" text-anchor="middle">stated probability that a label is wrong</text>'
        '<text x="12" y="170" text-anchor="middle" transform="rotate(-90 12 170)">share that is wrong</text></svg>\n'
    )


def ablation(example, folder, threads, only):
    variants = {
        "Gaussian alone, no sweep": (0, 0),
        "and votes": (0, 30),
        "and one sweep": (1, 30),
        "Gaussian alone, one sweep": (1, 0),
        "two sweeps": (2, 30),
        "ten voters": (1, 10),
    }
    print("| set | noise | variant | AP before the label | AP after | AP of both | F1 | wrong | estimated |")
    print("|---|---|---|---|---|---|---|---|---|")
    settings = [it for it in QUALITY if (it[0] in only if only else it[0] != "fashion")]
    settings += [("clothes", "class", 0.2, 121), ("clothes", "pair", 0.2, 122), ("clothes", "instance", 0.2, 123)]
    for name in dict.fromkeys(it[0] for it in settings):
        data = Set(folder, name)
        for variant, options in variants.items():
            tamis = Tamis(example, data, threads, *options)
            for _, kind, rate, seed in (it for it in settings if it[0] == name):
                given = changed(data, kind, rate, seed)
                truth = given != data.labels
                answer, rows = tamis.judge(given)
                ranks = [average_precision_score(truth, it) for it in [-rows[:, 0], -rows[:, 1], suspicion(rows)]]
                print(
                    f"| {name} | {kind} {rate} | {variant} | {ranks[0]:.3f} | {ranks[1]:.3f} | {ranks[2]:.3f} "
                    f"| {f1(suspected(rows), truth):.3f} | {truth.mean():.3f} | {answer['rate']:.3f} |",
                    flush=True,
                )
            tamis.close()


def prepare(tamis, folder: Path, downloads: Path):
    sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "acceptance")]
    from common import apt_download, call
    from image_sets import FASHION, FASHION_VERSION, read_idx
    from text_sets import spam_assassin

    folder.mkdir(parents=True, exist_ok=True)

    def embed(name, source, labels):
        call([tamis, "embed", "--quiet", "--out", str(folder / f"{name}.npy"), str(source)])
        np.save(folder / f"{name}.labels.npy", labels)

    unpacked = downloads / "fashion-mnist-unpacked"
    for name, prefix in {"fashion": "train", "clothes": "t10k"}.items():
        if (folder / f"{name}.labels.npy").exists():
            continue
        call(["dpkg", "-x", str(apt_download(downloads, "dataset-fashion-mnist", FASHION_VERSION, FASHION)), str(unpacked)])
        with tempfile.TemporaryDirectory(dir=folder) as pictures:
            for file in (unpacked / "usr/share/datasets/fashion-mnist").glob(f"{prefix}-*"):
                shutil.copy(file, pictures)
            labels = next(Path(pictures).glob("*labels*"))
            embed(name, pictures, read_idx(labels))
    if not (folder / "mails.labels.npy").exists():
        mails = list(spam_assassin(downloads))
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", dir=folder) as file:
            file.writelines(json.dumps(mail) + "\n" for mail in mails)
            file.flush()
            embed("mails", file.name, np.array([int(mail["label"] == "spam") for mail in mails]))


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
        sys.exit()
    what, example, folder, threads = sys.argv[1:5]
    {"quality": quality, "noise": noise, "ablation": ablation}[what](example, Path(folder), threads, sys.argv[5:])
