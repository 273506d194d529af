"""How often the samples that tamis calls copies are clean, and which copies it finds: leaks put into real data.

    calibrate.py [CORPUS ..] [--data acceptance-data] [--tamis PATH] [--resamples N] [--copies N] [--peers 20]
                 [--threads N] [--quick]

Called by scripts/calibration.sh; see there. texts.py and pictures.py have the corpora and what is done to copies,
rules.py the rules of others.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy
from corpora import SEED
from pictures import CORPORA as OF_PICTURES
from pyarrow import parquet
from rules import PEERS
from scipy import stats
from texts import CORPORA as OF_TEXTS

ROOT = Path(__file__).resolve().parents[2]
CORPORA = OF_TEXTS | OF_PICTURES
DEFAULTS = {"text": (100, 20), "image": (30, 10)}
"""Resamples, and copies a resample and level."""
FDR = 0.05
IDENTICAL = ["bytes", "pixels", "folded", "alphanumeric"]
"""Rungs that are facts. An edit can leave the letters as they were: a word replaced by itself, a dash deleted; and a
picture that was made grey may have been grey."""


# --- tamis -----------------------------------------------------------------------------------------------------------


class Tamis:
    """Runs of the binary in one folder, whose store keeps the vector of every text or picture."""

    def __init__(self, binary, folder, column, threads):
        self.binary, self.folder, self.column, self.threads = binary, folder, column, threads
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, name, prefix, samples):
        """Writes samples as JSONL, with a prefix and a number as keys; returns the path."""
        path = self.folder / f"{name}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for k, it in enumerate(samples):
                print(json.dumps({"id": f"{prefix}{k}", self.column: it}), file=file)
        return path

    def call(self, *arguments):
        command = [self.binary, *map(str, arguments), "--threads", str(self.threads), "-q"]
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, command))} failed with {done.returncode}:\n{done.stderr.strip()}")

    def leaks(self, train, test, *options):
        """Searches `test`, a list of samples, for those of the file `train`: see `Found`."""
        out = self.folder / "leaks"
        paths = ["--train", train, "--test", self.write("test", "t", test), "--out", out]
        self.call("leaks", *paths, *options, "--exit-zero", "--format", "concise")
        return Found(out, len(test))

    def vectors(self, samples):
        """Vectors of unit length, as `tamis embed` writes them; a sample without a vector has zeros."""
        self.call("embed", self.write("embed", "e", samples), "--out", self.folder / "vectors.npy")
        return numpy.nan_to_num(numpy.load(self.folder / "vectors.npy"))


class Found:
    """What the record of `tamis leaks` says of n test samples."""

    def __init__(self, out, n):
        status = parquet.read_table(out / "leak-status.parquet", columns=["key", "status"]).to_pydict()
        self.leaked = numpy.zeros(n, bool)
        for key, it in zip(status["key"], status["status"], strict=True):
            self.leaked[int(key[1:])] = it == "leaked"
        (check,) = [it for it in json.loads((out / "audit.json").read_text())["checks"] if it["id"] == "split-leak"]
        if check["outcome"] != "ran":
            raise SystemExit(f"split-leak {check['outcome']}: {check['reason']}")
        self.curve = check["curve"]
        self.is_calibrated = "Benjamini-Hochberg" in check["threshold_source"]
        columns = ["a_key", "a_split", "b_split", "score"]
        pairs = parquet.read_table(out / "pairs.parquet", columns=columns).to_pylist()
        self.scores = numpy.zeros(n)
        """The highest score of each sample; 0 where it has none, and where it is identical: those are not tested."""
        for pair in pairs:
            if pair["a_split"] == "test" and pair["b_split"] == "train" and pair["score"] is not None:
                at = int(pair["a_key"][1:])
                self.scores[at] = max(self.scores[at], pair["score"])
        for line in (out / "findings.jsonl").read_text(encoding="utf-8").splitlines():
            finding = json.loads(line)
            if any(match["rung"] in IDENTICAL for match in finding["evidence"]["matches"]):
                self.scores[int(finding["samples"][0]["key"][1:])] = 0

    def breaks_bound(self, is_clean):
        """Whether at some threshold of the curve more clean samples are flagged than it says."""
        return any((is_clean & (it["threshold"] <= self.scores)).sum() > it["max_false"] for it in self.curve)


# --- figures ---------------------------------------------------------------------------------------------------------


def measured(leaked, levels):
    """False-discovery proportion, share of the clean samples that are flagged, and recall, over all and by level.

    `levels` has a level for each copy, in order; the samples before the copies are clean.
    """
    n_clean = len(leaked) - len(levels)
    n_false = leaked[:n_clean].sum()
    found = leaked[n_clean:]
    recall = [found[levels == level].mean() for level in dict.fromkeys(levels.tolist())]
    return [n_false / max(1, leaked.sum()), n_false / n_clean, found.mean(), *recall]


def mean_and_error(values):
    values = numpy.asarray(values, float)
    return values.mean(), values.std(ddof=1) / numpy.sqrt(len(values)) if len(values) > 1 else numpy.nan


def p_above(values):
    """One-sided t-test: how probable a mean this high is if the rate is at most FDR."""
    mean, error = mean_and_error(values)
    if not error > 0:
        return float("nan") if numpy.isnan(error) else float(mean <= FDR)
    return stats.t.sf((mean - FDR) / error, len(values) - 1)


def shown(p):
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def share(hits):
    """Hits of all, and the exact 95 % interval of the share."""
    k, n = int(sum(hits)), len(hits)
    low = stats.beta.ppf(0.025, k, n - k + 1) if k else 0.0
    high = stats.beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    # The share is at most FDR unless this many of n would be improbable then.
    p = stats.binom.sf(k - 1, n, FDR)
    verdict = "met" if k <= FDR * n else f"missed ({shown(p)} for so many, were the rate 5 %)"
    return f"{k} of {n} runs, {100 * k / n:.1f} % (95 % interval {100 * low:.1f} – {100 * high:.1f} %): goal {verdict}"


# --- a corpus --------------------------------------------------------------------------------------------------------


def run(corpus, tamis, options):
    """All resamples of a corpus: rows of figures by rule, and facts of runs by name."""
    figures, facts = defaultdict(list), defaultdict(list)
    draws = [corpus.draw(k, options.copies) for k in range(options.resamples)]
    for number, draw in enumerate(draws):
        train, reference = tamis.write("train", "a", draw.train), tamis.write("reference", "r", draw.reference)
        levels = numpy.array([level for level, _ in draw.copies])
        test = draw.test + [it for _, it in draw.copies]
        is_clean = numpy.arange(len(test)) < len(draw.test)

        found = tamis.leaks(train, test, "--reference", reference, "--fdr", FDR)
        figures["tamis"].append(measured(found.leaked, levels))
        for point in found.curve:
            n = (point["threshold"] <= found.scores).sum()
            if n != point["flagged"]:
                at = point["threshold"]
                raise SystemExit(f"pairs.parquet has {n} test samples at {at} and above, the curve {point['flagged']}")
        facts["bound"].append(found.breaks_bound(is_clean))
        facts["fallback"].append(not found.is_calibrated)

        fixed = tamis.leaks(train, test, "--min", corpus.fixed)
        figures["fixed"].append(measured(fixed.leaked, levels))

        clean = tamis.leaks(train, draw.test, "--reference", reference, "--fdr", FDR)
        facts["flagged"].append(clean.leaked.any())
        facts["flagged by the test"].append(clean.leaked.any() and clean.is_calibrated)
        facts["bound, no leaks"].append(clean.breaks_bound(numpy.ones(len(draw.test), bool)))
        if sys.stderr.isatty() or (number + 1) % 10 == 0:
            print(f"{corpus.name}: {number + 1} of {len(draws)} resamples", file=sys.stderr)
    peers(draws[: options.peers], tamis, figures)
    return figures, facts


def peers(draws, tamis, figures):
    """Adds what the rules of others find in `draws`; every sample is embedded once."""
    samples = [draw.train + draw.test + [it for _, it in draw.copies] for draw in draws]
    row_of = {it: row for row, it in enumerate(dict.fromkeys(it for of_draw in samples for it in of_draw))}
    vectors = tamis.vectors(list(row_of)) if draws else None
    for draw, of_draw in zip(draws, samples, strict=True):
        rows = vectors[[row_of[it] for it in of_draw]]
        levels = numpy.array([level for level, _ in draw.copies])
        for name, rule in PEERS.items():
            figures[name].append(measured(rule(rows[: len(draw.train)], rows[len(draw.train) :]), levels))


def table(corpus, figures, n_peers):
    head = ["rule", "runs", "false of the flagged", "flagged of the clean", "found of all", *corpus.levels.values()]
    yield f"| {' | '.join(head)} |"
    yield f"{'|---' * len(head)}|"
    rows = {
        "tamis with a reference, 5 %": figures["tamis"],
        f"tamis without: fixed score {corpus.fixed}": figures["fixed"],
        f"tamis with a reference, the first {n_peers} runs": figures["tamis"][:n_peers],
        **{name: figures[name] for name in PEERS},
    }
    for name, values in rows.items():
        if values:
            false, clean, *recall = (mean_and_error(column) for column in zip(*values, strict=True))
            cells = [f"{100 * false[0]:.1f} ± {100 * false[1]:.1f} %", f"{100 * clean[0]:.2f} %"]
            cells += [f"{100 * it[0]:.1f} %" for it in recall]
            yield f"| {name} | {len(values)} | {' | '.join(cells)} |"


def report(corpus, figures, facts, options):
    proportions = [it[0] for it in figures["tamis"]]
    mean, error = mean_and_error(proportions)
    p = p_above(proportions)
    sizes = f"{corpus.n_train:,} train, {corpus.n_test:,} clean test, {corpus.n_reference:,} reference"
    print(f"# {corpus.name}\n")
    n_copies = f"{len(corpus.levels)} x {options.copies} copies"
    print(f"Clean: {corpus.clean}. {corpus.made}.\n")
    print(f"{options.resamples} resamples of seed {SEED}; each has {sizes} and {n_copies} of train.\n")
    print("\n".join(table(corpus, figures, options.peers)))
    print("\nThe figure behind ± is the standard error of the mean over the runs.\n")
    verdict = "met" if mean <= FDR else "missed" if p < FDR else "above, within the error"
    print(
        f"- Realized false-discovery rate: {100 * mean:.2f} % (standard error {100 * error:.2f}); one-sided test of "
        f"a rate above 5 %: {shown(p)}. Goal of at most 5 %: {verdict}."
    )
    goals = [(2, "over all", corpus.goal)] if corpus.goal else []
    goals += [(3 + k, f"at {title}", corpus.goals.get(level)) for k, (level, title) in enumerate(corpus.levels.items())]
    for column, title, goal in goals:
        if goal:
            recall = numpy.mean([it[column] for it in figures["tamis"]])
            # Shares are given to a tenth of a percent.
            verdict = "met" if round(recall, 3) >= goal else "missed"
            print(f"- Recall {title}: {100 * recall:.1f} %; goal {100 * goal:.0f} %: {verdict}.")
    print(f"- No leaks put in, something called a copy: {share(facts['flagged'])}.")
    by_test = share(facts["flagged by the test"])
    print(f"- Of these, by Benjamini-Hochberg and not by the fixed score it falls back to: {by_test}.")
    print(f"- More clean samples flagged than `curve` says, at some threshold, with leaks: {share(facts['bound'])}.")
    print(f"- The same without leaks: {share(facts['bound, no leaks'])}.")
    print(f"- Runs with leaks in which tamis fell back to the fixed score: {sum(facts['fallback'])}.\n")


def main():
    parser = argparse.ArgumentParser(description="Measures the error rates of tamis leaks on injected copies.")
    parser.add_argument("corpora", nargs="*", metavar="CORPUS", help=f"of {' '.join(CORPORA)}; without any, all")
    parser.add_argument("--data", type=Path, default=ROOT / "acceptance-data")
    parser.add_argument("--tamis", type=Path, default=ROOT / "target" / "release" / "tamis")
    parser.add_argument("--resamples", type=int, help="100 of texts and 30 of pictures without it")
    parser.add_argument("--copies", type=int, help="copies a resample and level: 20 of texts, 10 of pictures")
    parser.add_argument("--peers", type=int, default=20, help="resamples on which the other rules run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="5 resamples, 2 of them by the other rules")
    options = parser.parse_args()
    if unknown := set(options.corpora) - set(CORPORA):
        parser.error(f"no corpus {', '.join(sorted(unknown))}; there are {', '.join(CORPORA)}")
    if options.quick:
        options.resamples, options.peers = 5, 2
    few = {"resamples": 2, "copies": 1, "peers": 0}
    if any(it is not None and it < few[name] for name in few for it in [getattr(options, name)]):
        parser.error("expected at least 2 resamples, 1 copy and 0 resamples for the other rules")
    if not options.tamis.is_file():
        parser.error(f"{options.tamis} is missing: cargo build --release makes it")
    print(
        "The corpora are those on which the scores were chosen; splits, edits and their seeds are others. A sample is "
        "clean by where it comes from, not by a statistic of tamis or of the others: an entry that says the same as one "
        "of train in nearly the same words, or shows nearly the same, counts as false where it is flagged.\n"
    )
    for name in options.corpora or CORPORA:
        start = time.monotonic()
        corpus = CORPORA[name](options.data)
        tamis = Tamis(options.tamis.resolve(), options.data / "calibration" / name, corpus.column, options.threads)
        resamples, copies = DEFAULTS[corpus.column]
        chosen = {"resamples": options.resamples or resamples, "copies": options.copies or copies}
        chosen["peers"] = min(options.peers, chosen["resamples"])
        of_corpus = argparse.Namespace(**chosen)
        figures, facts = run(corpus, tamis, of_corpus)
        report(corpus, figures, facts, of_corpus)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
