#!/usr/bin/env python3
"""Acceptance on text: public sets with known defects, hard formats, bad input. See scripts/acceptance.sh.

Every expected number below was counted in the data without tamis; `--prepare-only` counts them again and compares.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from common import Run, Table, Tamis, Unavailable, call, make_venv
from text_sets import random_words

HERE = Path(__file__).parent
PEERS = [
    "cleanlab==2.9.0",
    "datasets==5.2.0",
    "numpy==2.4.6",
    "pyarrow==26.0.1",
    "scikit-learn==1.9.1",
]

EXPECTED = {
    "spdx": {
        "n_samples": 728,
        "groups_bytes": 15,
        "redundant_bytes": 40,
        "groups_folded": 16,
        "redundant_folded": 43,
        "groups_alphanumeric": 16,
        "redundant_alphanumeric": 45,
        "pairs_bytes": 95,
        "largest_group_bytes": 7,
    },
    "fortunes": {
        "n_samples": 15218,
        "pairs_bytes": 86,
        "groups_bytes": 86,
        "redundant_bytes": 86,
        "groups_folded": 121,
        "groups_alphanumeric": 226,
        "conflict_pairs_bytes": 82,
        "conflict_groups_bytes": 82,
        "conflict_groups_folded": 116,
        "conflict_groups_alphanumeric": 218,
    },
    "spam": {
        "n_samples": 6046,
        "groups_bytes": 126,
        "redundant_bytes": 171,
        "groups_folded": 146,
        "redundant_folded": 207,
        "groups_alphanumeric": 156,
        "redundant_alphanumeric": 224,
        "largest_group_bytes": 7,
        "conflict_groups_bytes": 0,
        "split_groups_bytes": 1,
        "split_groups_folded": 4,
        "split_groups_alphanumeric": 4,
    },
    "logiqa": {"n_samples": 1354, "groups_bytes": 677, "redundant_bytes": 677},
}


def expect_facts(table: Table, run: Run, name: str):
    """Compares one run with EXPECTED: `conflict_*` and `split_*` are facts of the checks of those names."""
    checks = {"conflict": "conflicting-labels", "split": "split-leak"}
    for fact, expected in EXPECTED[name].items():
        first, _, rest = fact.partition("_")
        if fact == "n_samples":
            table.equal("samples", expected, run.dataset("n_samples"))
        elif first in checks:
            table.equal(f"{checks[first]}: {rest}", expected, run.fact(checks[first], rest))
        else:
            table.equal(f"exact-duplicate: {fact}", expected, run.fact("exact-duplicate", fact))


def expect_no_panic(table: Table, run: Run):
    """Expects no panic message, and no end by a signal (a negative exit code)."""
    panics = [line for line in run.stderr.splitlines() if "panicked" in line]
    table.holds("no panic", not panics and run.exit >= 0, "none", panics or f"none, exit code {run.exit}")


def expect_sound(table: Table, run: Run, fail_on: str = "high"):
    """What holds for every run with a report: no panic, no failed check, and the exit code the findings ask for."""
    expect_no_panic(table, run)
    failed = [check["id"] for check in (run.audit or {}).get("checks", []) if check["outcome"] == "failed"]
    table.holds("audit.json is there, no check failed", run.audit is not None and not failed, "none failed", failed)
    table.equal(f"exit code by severities (--fail-on {fail_on})", run.exit_by_severity(fail_on), run.exit)
    table.info("seconds, peak memory", cost(run))


def expect_refusal(table: Table, run: Run, code: int, *named: str):
    """Expects an error on stderr that names things, an exit code, and no panic."""
    expect_no_panic(table, run)
    table.equal("exit code", code, run.exit)
    says = run.stderr.strip()
    is_error = any(line.startswith("error: ") for line in says.splitlines())
    table.holds("stderr has a line 'error: ...'", is_error, "error: ...", says)
    for name in named:
        table.holds(f"stderr names {name}", name in says, name, says)


def expect_unreadable(table: Table, run: Run, file: str, row: int | None):
    """Expects a finding `unreadable-sample` at a file, and at a row where the file has rows."""
    places = [(s["file"], s["row"]) for f in run.findings_of("unreadable-sample") for s in f["samples"]]
    ok = any(Path(found).name == file and (row is None or found_row == row) for found, found_row in places)
    table.holds("finding unreadable-sample names the place", ok, f"{file}, row {row}" if row else file, places)


def cost(run: Run) -> str:
    """Wall seconds and peak memory in words."""
    return f"{run.seconds:.1f} s, {run.peak_mib:.0f} MiB"


# --- the runs --------------------------------------------------------------------------------------------------------


class Acceptance:
    """The runs, in order; each is a method that fills the table."""

    def __init__(self, tamis: Tamis, table: Table, data: Path):
        self.tamis = tamis
        self.table = table
        self.data = data
        self.text = data / "text"
        self.counts = json.loads((self.text / "counts.json").read_text())

    def spdx(self):
        """Licence texts, as JSONL; twice, with one thread and with two."""
        table = self.table
        table.heading("SPDX licence texts, JSONL")
        run = self.tamis.audit("spdx", self.text / "spdx.jsonl", "--threads", 2)
        expect_facts(table, run, "spdx")
        expect_sound(table, run)
        again = self.tamis.audit("spdx-one-thread", self.text / "spdx.jsonl", "--threads", 1)
        same = bool(run.findings) and (run.out / "findings.jsonl").read_bytes() == read(again.out / "findings.jsonl")
        table.holds("findings.jsonl with 1 and with 2 threads", same, "the same bytes", same)

    def pairs(self):
        """Pairs of texts that share words, beside numbers that were counted with sets in Python."""
        table = self.table
        table.heading("pairs of licence texts, and of two dictionaries, one of which took entries from the other")
        jaccard = ["--kind", "jaccard", "--min"]
        for shingle, least, expected in [
            ("alnum:5", 0.7, 639),
            ("alnum:5", 0.8, 394),
            ("word:5", 0.7, 591),
            ("word:5", 0.8, 354),
        ]:
            run = self.tamis.pairs("spdx-pairs", self.text / "spdx.jsonl", *jaccard, least, "--shingle", shingle)
            table.equal(f"SPDX: pairs, {shingle} at least {least}", expected, len(run.findings))
        jargon = ["--against", self.text / "jargon.jsonl", "--shingle", "alnum:5"]
        for kind, least, expected in [
            ("jaccard", 0.2, 1187),
            ("jaccard", 0.5, 731),
            ("jaccard", 0.8, 196),
            ("containment", 0.5, 1130),
        ]:
            run = self.tamis.pairs("foldoc", self.text / "foldoc.jsonl", *jargon, "--kind", kind, "--min", least)
            found = len({pair["a_key"] for pair in run.findings})
            table.equal(f"FOLDOC entries with one of the Jargon File, {kind} at least {least}", expected, found)
        table.info("seconds, peak memory", cost(run))

    def fortunes(self):
        """Quotes in 43 files, which are the labels; identity only, no embedding."""
        table = self.table
        table.heading("fortunes, JSONL")
        checks = "exact-duplicate,conflicting-labels"
        run = self.tamis.audit("fortunes", self.text / "fortunes.jsonl", "--only", checks)
        expect_facts(table, run, "fortunes")
        table.equal("labels", 43, len(run.counts("labels")))
        expect_sound(table, run)

    def spam(self):
        """The main run: everything on 6,046 mails, with the share of every stage."""
        table = self.table
        table.heading("SpamAssassin mail bodies, JSONL with labels and splits")
        run = self.tamis.audit("spam", self.text / "spam.jsonl")
        expect_facts(table, run, "spam")
        table.equal("labels", {"ham": 4150, "spam": 1896}, run.counts("labels"))
        table.equal("splits", {"train": 3250, "test": 2796}, run.counts("splits"))
        self.across_folders(run)
        table.equal("label-error", "ran", run.check("label-error").get("outcome"))
        table.equal("label-error: population", 6046, run.check("label-error").get("population"))
        for name in ["samples.parquet", "pairs.parquet", "findings.parquet", "findings.jsonl", "report.html"]:
            table.holds(f"{name} is there", bool(read(run.out / name)), "not empty", len(read(run.out / name)))
        expect_sound(table, run)
        for check in (run.audit or {}).get("checks", []):
            table.info(f"{check['id']}: {check['outcome']}", check.get("reason") or f"{check['findings']} findings")
        stages = (run.audit or {}).get("timing", [])
        for stage in stages:
            found = f"{stage['rows']}, {stage['seconds']:.2f} s, {100 * stage['seconds'] / run.seconds:.1f} %"
            table.info(f"stage {stage['stage']}: rows, seconds, share", found)
        rest = run.seconds - sum(stage["seconds"] for stage in stages)
        table.info("outside the stages: seconds, share", f"{rest:.2f} s, {100 * rest / run.seconds:.1f} %")
        counts = self.counts["spam"]
        mean = f"{counts['mean_characters']:.0f} characters, {counts['mean_words']:.0f} words"
        table.info("mean body", mean)
        first = self.tamis.audit("spam-1000", self.text / "spam-1000.jsonl")
        table.info("the whole audit on 1,000 of the mails", cost(first))

    def across_folders(self, run: Run):
        """Mails of several folders whose bodies are equal in lower case with every run of white space one space.

        `*-1` is train and `*-2` test, and no such group stands in two folders of one split, so each is a leak: its mails
        of test are those of one finding, its mails of train are matches there, at level bytes or folded.
        """
        table, groups = self.table, self.counts["spam"]["across_folders"]
        table.equal("groups of equal folded bodies in several folders", 4, len(groups))
        found = []
        for finding in run.findings_of("split-leak"):
            of_test = [sample["key"] for sample in finding["samples"] if sample["split"] == "test"]
            of_train = [it["key"] for it in finding["evidence"]["matches"] if it["rung"] in ["bytes", "folded"]]
            found.append({*of_test, *of_train})
        whole = sum(any(set(group) <= keys for keys in found) for group in groups)
        table.equal("split-leak: of these, with all their mails in one finding", len(groups), whole)

    def humaneval(self):
        """A benchmark of programming tasks against a pool of other evaluations, and three tasks planted in a part of it."""
        table, check = self.table, "benchmark-contamination"
        table.heading("HumanEval against all prompts of a pool of evaluations, runs of words")
        counts = json.loads((self.text / "humaneval.json").read_text())
        benchmark = self.text / "HumanEval.jsonl"
        table.info("distinct prompts", counts["whole"]["n_samples"])
        for n in [8, 13]:
            # Whatever shares a run has a containment above 0, and none is as small as this.
            options = ["--kind", "containment", "--min", 1e-6, "--shingle", f"word:{n}"]
            run = self.tamis.pairs("humaneval-pairs", benchmark, "--against", self.text / "prompts.jsonl", *options)
            expected = counts["whole"][f"shared_{n}"]
            found = {pair["a_key"] for pair in run.findings}
            table.equal(f"tasks that share a run of {n} words with a prompt", expected, len(found))
            for key, words in counts["whole"][f"runs_{n}"].items():
                table.info(f"{key}: the first such run", words[0])
        table.info("seconds, peak memory", cost(run))

        counts = counts["some"]
        table.heading(f"HumanEval against {counts['n_samples']} of the prompts, three tasks planted among them")
        corpus = self.text / "prompts-some.jsonl"
        run = self.tamis.leaks("humaneval", "--corpus", corpus, "--benchmark", benchmark, "--ngram", 13)
        for level in ["bytes", "folded", "alphanumeric"]:
            table.equal(f"{check}: groups_{level}", counts[f"equal_{level}"], run.fact(check, f"groups_{level}"))
        shared = {"words": 13, "samples": counts["shared_13"]}
        table.equal("tasks that share a run of 13 words", shared, (run.leaks or {}).get("shared_runs"))
        expect_sound(table, run)
        findings = {finding["samples"][0]["key"]: finding["evidence"]["matches"] for finding in run.findings_of(check)}
        for task, rung in [("HumanEval/0", "bytes"), ("HumanEval/1", "folded"), ("HumanEval/2", "copy")]:
            best = next(iter(findings.pop(task, [])), {})
            table.equal(f"{task}: planted, rung", (f"planted-{rung}", rung), (best.get("key"), best.get("rung")))
        copies = {task for task, matches in findings.items() if matches[0]["rung"] != "semantic"}
        table.equal("other tasks that are called copies", set(), copies)
        for task, matches in findings.items():
            table.info(f"{task}: {matches[0]['rung']}", matches[0])

    def labels(self):
        """Label errors against 10 % flipped labels, next to cleanlab on the same vectors."""
        table = self.table
        table.heading("label-error on SpamAssassin with 605 of 6,046 labels flipped")
        flipped = self.text / "spam-flipped.jsonl"
        run = self.tamis.audit("labels", flipped, "--only", "label-error")
        expect_sound(table, run)
        vectors = self.tamis.embed("labels-vectors", flipped)
        table.equal("tamis embed: exit code", 0, vectors.exit)
        table.info("tamis embed: seconds, peak memory", cost(vectors))
        python = make_venv(self.data / "venv", PEERS)
        inputs = [vectors.out, run.out / "samples.parquet", flipped, self.text / "spam-flips.json"]
        command = [python, HERE / "label_peer.py", *inputs]
        peer = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, OMP_NUM_THREADS="1"))
        if peer.returncode != 0:
            table.holds("scores can be compared", False, "yes", peer.stderr.strip()[-300:])
            return
        result = json.loads(peer.stdout)
        table.equal("flips", 605, result["flips"])
        table.equal("samples with a vector that tamis scored", result["vectors"], result["scored"])
        ours, theirs = result["tamis"], result["cleanlab"]
        floor = theirs["auprc"]
        table.holds("AUPRC: tamis", ours["auprc"] >= floor, f">= {floor:.4f}", f"{ours['auprc']:.4f}")
        table.info("AUPRC: cleanlab 2.9.0 (logistic regression, 5 folds)", f"{theirs['auprc']:.4f}")
        least = theirs["f1"]
        table.holds("F1 at least that of cleanlab's default cut", ours["f1"] >= least, f">= {least:.4f}", f"{ours['f1']:.4f}")
        for name, of in (("tamis", ours), ("cleanlab 2.9.0", theirs)):
            found = f"{of['f1']:.4f} ({of['precision']:.3f} / {of['recall']:.3f}, {of['flagged']} flagged)"
            table.info(f"F1 of the default cut (P / R): {name}", found)
        stages = {stage["stage"]: f"{stage['seconds']:.1f} s" for stage in (run.audit or {}).get("timing", [])}
        table.info("seconds: tamis by stage; cleanlab with its folds", f"{stages}; {result['seconds']:.1f} s")

    def formats(self):
        """Chat rows, a CSV with everything in it, Parquet with the metadata of Hugging Face."""
        table = self.table
        table.heading("logiqa.jsonl of a pool of evaluations (chat rows)")
        run = self.tamis.audit("logiqa", self.text / "logiqa.jsonl")
        expect_facts(table, run, "logiqa")
        expect_sound(table, run)

        table.heading("CSV: byte-order mark, CRLF, quotes and line breaks in fields")
        columns = ["--text", "text", "--label", "label", "--id", "id"]
        run = self.tamis.audit("csv", self.text / "tricky.csv", *columns, "--format", "json")
        table.equal("samples", 40, run.dataset("n_samples"))
        table.equal("labels", {"even": 20, "odd": 20}, run.counts("labels"))
        table.equal("exact-duplicate: redundant_bytes", 1, run.fact("exact-duplicate", "redundant_bytes"))
        keys = [sorted(s["key"] for s in finding["samples"]) for finding in run.findings_of("exact-duplicate")]
        table.equal("the planted duplicate, by --id", [["r07", "r31"]], keys)
        table.holds("--format json: stdout is JSON and nothing else", is_json(run.stdout), "JSON", run.stdout)
        expect_sound(table, run)

        table.heading("Parquet written by Hugging Face datasets, labels a ClassLabel")
        path = self.parquet()
        run = self.tamis.audit("hf-parquet", path)
        table.equal("samples", 30, run.dataset("n_samples"))
        table.equal("label names", ["advert", "genuine"], sorted(run.counts("labels")))
        table.equal("conflicting-labels: pairs_bytes", 1, run.fact("conflicting-labels", "pairs_bytes"))
        expect_sound(table, run)

    def bad_input(self):
        """What is broken gives a clear message or a finding, the right exit code, and never a panic."""
        table, folder = self.table, self.data / "bad"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

        table.heading("bad input: a path that is not there")
        expect_refusal(table, self.tamis.audit("missing", folder / "nothing-here.jsonl"), 3, "nothing-here.jsonl")

        table.heading("bad input: an empty folder")
        (folder / "empty-folder").mkdir()
        expect_refusal(table, self.tamis.audit("empty-folder", folder / "empty-folder"), 3, "empty-folder")

        table.heading("bad input: JSONL with a broken line in the middle")
        lines = [json.dumps({"text": f"row {i}: {random_words(random.Random(i), 12)}"}) for i in range(9)]
        lines[4] = lines[4][:20]
        broken = folder / "broken-line.jsonl"
        broken.write_text("\n".join(lines) + "\n")
        run = self.tamis.audit("broken-line", broken)
        expect_unreadable(table, run, broken.name, 5)
        table.equal("samples, the broken one among them", 9, run.dataset("n_samples"))
        table.equal("states", {"ok": 8, "empty": 0, "unreadable": 1}, run.dataset("states"))
        expect_sound(table, run)
        run = self.tamis.audit("broken-line-info", broken, "--fail-on", "info")
        table.equal("exit code with --fail-on info", 1, run.exit)
        run = self.tamis.audit("broken-line-zero", broken, "--fail-on", "info", "--exit-zero")
        table.equal("exit code with --fail-on info --exit-zero", 0, run.exit)

        table.heading("bad input: CSV without the named column")
        columns = folder / "columns.csv"
        columns.write_text("serial,passage,topic\n1,one text,a\n2,another text,b\n")
        run = self.tamis.audit("no-column", columns, "--text", "utterance")
        expect_refusal(table, run, 2, "utterance", "serial", "passage", "topic")

        table.heading("bad input: a Parquet file of 0 bytes")
        zero = folder / "zero.parquet"
        zero.touch()
        expect_refusal(table, self.tamis.audit("zero-parquet", zero), 3, zero.name)
        run = self.tamis.audit("zero-beside-good", self.parquet(), zero)
        expect_unreadable(table, run, zero.name, None)
        expect_sound(table, run)

        self.unreadable_file()

        table.heading("bad input: 50,000 equal rows")
        equal = folder / "equal-50000.jsonl"
        equal.write_text((json.dumps({"text": "The same sentence, over and over again."}) + "\n") * 50_000)
        run = self.tamis.audit("equal-50000", equal)
        table.equal("samples", 50_000, run.dataset("n_samples"))
        table.equal("exact-duplicate: groups_bytes", 1, run.fact("exact-duplicate", "groups_bytes"))
        table.equal("exact-duplicate: redundant_bytes", 49_999, run.fact("exact-duplicate", "redundant_bytes"))
        table.equal("exact-duplicate: findings", 1, len(run.findings_of("exact-duplicate")))
        expect_sound(table, run)

        for name, path in self.long_texts(folder).items():
            table.heading(f"bad input: one text of 10 MB, {name}")
            run = self.tamis.audit(path.stem, path)
            table.equal("samples", 3, run.dataset("n_samples"))
            expect_sound(table, run)

    def unreadable_file(self):
        """A file without permissions: beside good files a finding, alone a refusal.

        Root reads everything, so as root the binary is copied to a folder that all may enter and run as nobody.
        """
        table = self.table
        table.heading("bad input: an unreadable file (chmod 000)")
        prefix = []
        if os.geteuid() == 0:
            prefix = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
            if not shutil.which(prefix[0]):
                table.info("left out", "running as root without setpriv: root reads every file")
                return
        place = Path(tempfile.mkdtemp(prefix="tamis-acceptance-"))
        try:
            place.chmod(0o755)
            inputs = place / "inputs"
            inputs.mkdir()
            for name in ["first", "locked", "second"]:
                (inputs / f"{name}.txt").write_text(f"{name}: {random_words(random.Random(name), 30)}\n")
            (inputs / "locked.txt").chmod(0)
            binary = shutil.copy(self.tamis.binary, place / "tamis")
            nobody = Tamis(Path(binary), place / "runs", prefix)

            run = nobody.audit("locked", inputs)
            expect_unreadable(table, run, "locked.txt", None)
            table.equal("samples", 3, run.dataset("n_samples"))
            expect_sound(table, run)
            expect_refusal(table, nobody.audit("locked-alone", inputs / "locked.txt"), 3, "locked.txt")
        finally:
            shutil.rmtree(place)

    def long_texts(self, folder: Path) -> dict:
        """The same long text as a JSONL row and as a file, each beside two short ones."""
        words = random.Random(10)
        block = random_words(words, 20_000)
        long = (block + "\n") * (10_000_000 // len(block) + 1)
        short = [random_words(words, 20) for _ in range(2)]
        rows = folder / "long-row.jsonl"
        rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in [short[0], long, short[1]]))
        files = folder / "long-file"
        files.mkdir()
        for name, text in zip(["a", "b", "c"], [short[0], long, short[1]], strict=True):
            (files / f"{name}.txt").write_text(text)
        return {"as a row": rows, "as a file": files}

    def parquet(self) -> Path:
        """The Parquet file with a ClassLabel, written once."""
        path = self.text / "class-label.parquet"
        if not path.exists():
            python = make_venv(self.data / "venv", PEERS)
            environment = dict(os.environ, HF_HUB_OFFLINE="1", HF_HOME=str(self.data / "hf-home"))
            call([python, HERE / "hf_parquet.py", path], env=environment)
        return path


def read(path: Path) -> bytes:
    """The content of a file, empty where there is none."""
    return path.read_bytes() if path.exists() else b""


def is_json(text: str) -> bool:
    """Whether `text` is one JSON document."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


RUNS = ["spdx", "pairs", "fortunes", "spam", "labels", "humaneval", "formats", "bad-input"]


def prepare(table: Table, data: Path):
    """Fetches and converts, then compares EXPECTED with what a count without tamis finds."""
    for script in ["text_sets.py", "pool_sets.py"]:
        if subprocess.run([sys.executable, HERE / script, data], check=False).returncode != 0:
            raise Unavailable("the sets could not be prepared")
    counts = json.loads((data / "text" / "counts.json").read_text())
    table.heading("the data itself, counted without tamis")
    for name, facts in EXPECTED.items():
        for fact, expected in facts.items():
            table.equal(f"{name}: {fact}", expected, counts[name][fact])


def main() -> int:
    """Parses the command line, prepares, runs, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/acceptance.sh text", description=__doc__)
    parser.add_argument("--bin", type=Path, default=Path("target/release/tamis"), help="the binary to run")
    parser.add_argument("--data", type=Path, default=Path("acceptance-data"), help="folder for data and runs")
    parser.add_argument("--only", metavar="RUN,..", help=f"some of: {' '.join(RUNS)}")
    parser.add_argument("--prepare-only", action="store_true", help="fetch, convert and count; needs no binary")
    args = parser.parse_args()
    chosen = args.only.split(",") if args.only else RUNS
    if unknown := set(chosen) - set(RUNS):
        parser.error(f"unknown run {', '.join(sorted(unknown))}; there are {', '.join(RUNS)}")
    if not args.prepare_only and not args.bin.is_file():
        parser.error(f"{args.bin} is not there: cargo build --release, or name another with --bin")

    table = Table()
    args.data.mkdir(parents=True, exist_ok=True)
    prepare(table, args.data.resolve())
    if not args.prepare_only:
        acceptance = Acceptance(Tamis(args.bin.resolve(), args.data.resolve() / "runs"), table, args.data.resolve())
        for name in chosen:
            getattr(acceptance, name.replace("-", "_"))()
    return table.summary()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
