#!/usr/bin/env python3
"""Acceptance on images: public sets, planted copies, table formats, hostile files, resume. See scripts/acceptance.sh.

Every expected number below was counted in the data without tamis; each call counts again, with Pillow, and compares.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import common
from common import Run, Table, Tamis, Unavailable, make_venv
from text import AUPRC_SLACK, PEERS, cost, expect_no_panic, expect_sound, expect_unreadable, read

HERE = Path(__file__).parent
PACKAGES = [*PEERS, "pillow==13.0.0", "scikit-image==0.26.0"]

# The convolutions of 70,000 pictures take their time on two cores.
common.RUN_TIMEOUT_S = 4 * 3600

EXPECTED = {
    "emoji": {
        "emoji-google": {"n_samples": 3786, "groups_pixels": 12, "redundant_pixels": 19},
        "emoji-twitter": {"n_samples": 3786, "groups_pixels": 11, "redundant_pixels": 34},
    },
    "fashion": {
        "fashion": {"n_samples": 70_000, "groups_bytes": 0, "groups_pixels": 0},
    },
}

IDENTITY_FACTS = [
    "groups_bytes",
    "redundant_bytes",
    "pairs_bytes",
    "largest_group_bytes",
    "groups_pixels",
    "redundant_pixels",
    "distinct_pixels",
]

MEMORY_LIMIT_MIB = 1024
"""What a run on a folder of small pictures and hostile files may take."""

KILLS = 5
KILL_SEED = 0


def expect_identity(table: Table, run: Run, counts: dict):
    """Compares the samples and the facts of exact-duplicate with what was counted."""
    table.equal("samples", counts["n_samples"], run.dataset("n_samples"))
    for fact in IDENTITY_FACTS:
        table.equal(f"exact-duplicate: {fact}", counts[fact], run.fact("exact-duplicate", fact))


def expect_all_readable(table: Table, run: Run, n_samples: int):
    """Expects that every sample was read."""
    states = {"ok": n_samples, "empty": 0, "unreadable": 0}
    table.equal("states", states, run.dataset("states"))
    table.equal("unreadable-sample: findings", 0, len(run.findings_of("unreadable-sample")))


def show_near_duplicates(table: Table, run: Run):
    """What near-duplicate found, to be read."""
    facts = run.check("near-duplicate").get("facts", {})
    found = ", ".join(f"{name} {facts[name]}" for name in sorted(facts))
    table.info("near-duplicate", found or run.check("near-duplicate").get("reason") or "no facts")


def show_stages(table: Table, run: Run):
    """Rows, seconds and share of each stage."""
    stages = (run.audit or {}).get("timing", [])
    for stage in stages:
        share = 100 * stage["seconds"] / run.seconds
        found = f"{stage['rows']}, {stage['reused']}, {stage['seconds']:.2f} s, {share:.1f} %"
        table.info(f"stage {stage['stage']}: rows, reused, seconds, share", found)
    rest = run.seconds - sum(stage["seconds"] for stage in stages)
    table.info("outside the stages: seconds, share", f"{rest:.2f} s, {100 * rest / run.seconds:.1f} %")


def stage(run: Run, name: str, column: str) -> int | None:
    """One number of one stage; `None` where there is no such stage."""
    stages = (run.audit or {}).get("timing", [])
    return next((entry[column] for entry in stages if entry["stage"] == name), None)


def names(finding: dict) -> list:
    """File names of the samples of a finding."""
    return sorted(Path(sample["file"]).name for sample in finding["samples"])


class Resuming(Tamis):
    """Runs the binary more than once on one output folder."""

    def __init__(self, binary: Path, runs: Path):
        super().__init__(binary, runs)
        self.keep = False

    def again(self, name: str, *args) -> Run:
        """Runs an audit once more on the folder that the run of this name left."""
        self.keep = True
        try:
            return self.audit(name, *args)
        finally:
            self.keep = False

    def killed(self, name: str, after_s: float, *args) -> bool:
        """Starts an audit on a fresh folder and kills it by SIGKILL; false where it ended earlier by itself."""
        folder = self._fresh(name)
        command = [str(part) for part in [self.binary, "audit", *args, "--out", folder / "out"]]
        print(f"  $ {' '.join(command)}  # killed after {after_s:.1f} s", flush=True)
        with (folder / "killed-stderr").open("wb") as stderr:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)
            try:
                process.wait(after_s)
            except subprocess.TimeoutExpired:
                process.kill()
            finally:
                process.kill()
                process.wait()
        return process.returncode == -signal.SIGKILL

    def _fresh(self, name: str) -> Path:
        return self.runs / name if self.keep else super()._fresh(name)


# --- the runs --------------------------------------------------------------------------------------------------------


class Acceptance:
    """The parts, in order; each is a method that fills the table."""

    def __init__(self, tamis: Resuming, table: Table, data: Path, quick: int):
        self.tamis = tamis
        self.table = table
        self.data = data
        self.images = data / "images"
        self.quick = quick

    def counts(self, part: str) -> dict:
        """What image_sets.py counted for one part."""
        return json.loads((self.images / f"{part}.json").read_text())

    def emoji(self):
        """Two folders of 3,786 pictures in 10 categories, with the copies that are known to be in them."""
        table = self.table
        for name, counts in self.counts("emoji").items():
            table.heading(f"{name}, a folder for each category")
            run = self.tamis.audit(name, counts["folder"])
            expect_identity(table, run, counts)
            table.equal("labels", counts["labels"], run.counts("labels"))
            expect_all_readable(table, run, counts["n_samples"])
            expect_sound(table, run)
            show_near_duplicates(table, run)
            show_stages(table, run)

    def fashion(self):
        """Fashion-MNIST as it is published, and its train split with a tenth of the labels changed."""
        table, counts = self.table, self.counts("fashion")["fashion"]
        table.heading("Fashion-MNIST, four idx files packed by gzip")
        run = self.tamis.audit("fashion", counts["folder"])
        expect_identity(table, run, counts)
        table.equal("splits", counts["splits"], run.counts("splits"))
        table.equal("labels", counts["labels"], run.counts("labels"))
        expect_all_readable(table, run, counts["n_samples"])
        expect_sound(table, run)
        show_near_duplicates(table, run)
        show_stages(table, run)
        self.changed_labels(counts["noisy"])

    def changed_labels(self, noisy: dict):
        """Label errors against the known changes, next to cleanlab on the same vectors."""
        table = self.table
        table.heading(f"label-error with {noisy['n_flips']} of {noisy['n_samples']} labels changed, plain idx files")
        run = self.tamis.audit("fashion-noisy", noisy["folder"], "--only", "label-error")
        table.equal("samples", noisy["n_samples"], run.dataset("n_samples"))
        expect_sound(table, run)
        show_stages(table, run)
        vectors = self.tamis.embed("fashion-vectors", noisy["folder"])
        table.equal("tamis embed: exit code", 0, vectors.exit)
        table.info("tamis embed: seconds, peak memory", cost(vectors))
        inputs = [vectors.out, run.out / "samples.parquet", noisy["given"], noisy["flips"]]
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        command = [venv(self.data), HERE / "label_peer.py", *inputs]
        peer = subprocess.run(command, capture_output=True, text=True, env=environment)
        if peer.returncode != 0:
            table.holds("scores can be compared", False, "yes", peer.stderr.strip()[-300:])
            return
        result = json.loads(peer.stdout)
        table.equal("changed labels", noisy["n_flips"], result["flips"])
        table.equal("samples with a vector that tamis scored", result["vectors"], result["scored"])
        ours, theirs = result["tamis"], result["cleanlab"]
        if self.quick:
            table.info("AUPRC: tamis, on too few samples to judge", f"{ours['auprc']:.4f}")
        else:
            floor = theirs["auprc"] - AUPRC_SLACK
            table.holds("AUPRC: tamis", ours["auprc"] >= floor, f">= {floor:.4f}", f"{ours['auprc']:.4f}")
        table.info("AUPRC: cleanlab 2.9.0 (logistic regression, 5 folds)", f"{theirs['auprc']:.4f}")
        for name, of in (("tamis", ours), ("cleanlab 2.9.0", theirs)):
            found = f"{of['f1']:.4f} ({of['precision']:.3f} / {of['recall']:.3f}, {of['flagged']} flagged)"
            table.info(f"F1 of the default cut (P / R): {name}", found)
        table.info("seconds: cleanlab with its folds", f"{result['seconds']:.1f} s")

    def planted(self):
        """Photos, of which some are there again: the same bytes, the same pixels in another file, or only near."""
        table, counts = self.table, self.counts("planted")["planted"]
        table.heading("photos with planted copies, a flat folder without labels")
        run = self.tamis.audit("planted", counts["folder"])
        expect_identity(table, run, counts)
        found = {tuple(names(it)): it["evidence"].get("level") for it in run.findings_of("exact-duplicate")}
        planted = {tuple(members): level for level, members in counts["expected"]}
        for members, level in planted.items():
            table.equal(f"exact-duplicate: {' = '.join(members)}", level, found.get(members))
        table.equal("exact-duplicate: groups that were not planted", [], sorted(found.keys() - planted.keys()))
        expect_all_readable(table, run, counts["n_samples"])
        expect_sound(table, run)
        near = run.findings_of("near-duplicate")
        for what, pair in counts["near"].items():
            scores = [f"{finding['score']:.4f}" for finding in near if set(pair) <= set(names(finding))]
            table.info(f"near-duplicate: {what}", f"found, score {', '.join(scores)}" if scores else "not found")
        others = [names(it) for it in near if not any(set(pair) <= set(names(it)) for pair in counts["near"].values())]
        table.info("near-duplicate: others", others or "none")

    def formats(self):
        """The same 41 pictures in a Parquet file, beside a metadata.csv, and named by a JSONL."""
        table, counts = self.table, self.counts("formats")["formats"]
        for what, path in counts["inputs"].items():
            table.heading(what)
            run = self.tamis.audit(f"image-{Path(path).stem}", path)
            table.equal("modality", "image", run.dataset("modality"))
            expect_identity(table, run, counts)
            table.equal("labels", counts["labels"], run.counts("labels"))
            levels = [finding["evidence"].get("level") for finding in run.findings_of("exact-duplicate")]
            table.equal("exact-duplicate: the planted row, level", ["bytes"], levels)
            expect_all_readable(table, run, counts["n_samples"])
            expect_sound(table, run)

    def hostile(self):
        """What is no picture is a finding, what is only odd is read, and no claim of a file is taken for its size."""
        table, counts = self.table, self.counts("hostile")["hostile"]
        table.heading("hostile files among good pictures")
        run = self.tamis.audit("hostile", counts["folder"])
        table.equal("samples", counts["n_samples"], run.dataset("n_samples"))
        for name in counts["unreadable"]:
            expect_unreadable(table, run, name, None)
        found = sorted(name for finding in run.findings_of("unreadable-sample") for name in names(finding))
        table.equal("unreadable-sample: one finding each, none else", counts["unreadable"], found)
        for name in counts["readable"]:
            ok = run.audit is not None and name not in found
            table.holds(f"unreadable-sample: {name}", ok, "no finding", "a finding" if name in found else "none")
        states = {"ok": counts["n_samples"] - len(counts["unreadable"]), "empty": 0}
        table.equal("states", states | {"unreadable": len(counts["unreadable"])}, run.dataset("states"))
        expect_sound(table, run)
        ok = run.peak_mib < MEMORY_LIMIT_MIB
        table.holds("peak memory", ok, f"< {MEMORY_LIMIT_MIB} MiB", f"{run.peak_mib:.0f} MiB")
        for finding in run.findings_of("unreadable-sample"):
            table.info(f"says of {', '.join(names(finding))}", finding["message"])

    def resume(self):
        """The second run does nothing twice, an edit costs what it touches, and a killed run ends as if it was not."""
        table, counts = self.table, self.counts("resume")["resume"]
        folder = self.images / "resume"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(counts["folder"], folder)
        n = counts["n_samples"]

        table.heading("emoji-google, a fresh run")
        whole = self.tamis.audit("resume", folder)
        expected = read(whole.out / "findings.jsonl")
        table.equal("decode: rows + reused", n, total(whole, "decode"))
        table.info("embed: rows, reused", f"{stage(whole, 'embed', 'rows')}, {stage(whole, 'embed', 'reused')}")
        table.holds("findings.jsonl is there", bool(expected), "not empty", f"{len(expected)} bytes")
        expect_sound(table, whole)

        self.kills(folder, whole.seconds, expected)

        table.heading("emoji-google, the same once more")
        again = self.tamis.again("resume", folder)
        self.expect_same(again, expected)
        self.expect_work(again, 0, total(whole, "decode"), total(whole, "embed"))
        expect_sound(table, again)

        table.heading(f"emoji-google, after {counts['n_changed']} of {n} files were changed")
        shutil.copytree(counts["changed"], folder, dirs_exist_ok=True)
        changed = self.tamis.again("resume", folder)
        self.expect_work(changed, counts["n_changed"], n, total(whole, "embed"))
        expect_identity(table, changed, counts["after"])
        expect_sound(table, changed)
        scratch = self.tamis.audit("resume-from-scratch", folder)
        self.expect_same(changed, read(scratch.out / "findings.jsonl"), "those of a fresh run")

    def kills(self, folder: Path, seconds: float, expected: bytes):
        """Kills a fresh run at five random times, and each time starts it again."""
        table, times = self.table, random.Random(KILL_SEED)
        for i in range(KILLS):
            after_s = times.uniform(0.02, 0.98) * seconds
            table.heading(f"emoji-google, killed after {after_s:.1f} of {seconds:.1f} s and started again")
            was_running = self.tamis.killed(f"killed-{i}", after_s, folder)
            table.info("was still running", was_running)
            run = self.tamis.again(f"killed-{i}", folder)
            self.expect_same(run, expected)
            for name in ["decode", "embed"]:
                found = f"{stage(run, name, 'rows')}, {stage(run, name, 'reused')}"
                table.info(f"{name}: rows, reused", found)
            expect_sound(table, run)

    def expect_same(self, run: Run, expected: bytes, what: str = "those of the first run"):
        """Expects findings.jsonl with certain bytes."""
        same = bool(expected) and read(run.out / "findings.jsonl") == expected
        self.table.holds(f"findings.jsonl are {what}", same, "the same bytes", same)

    def expect_work(self, run: Run, rows: int, decoded: int | None, embedded: int | None):
        """Expects that `rows` were decoded and embedded now, and that the store gave the rest."""
        for name, n in (("decode", decoded), ("embed", embedded)):
            self.table.equal(f"{name}: rows", rows, stage(run, name, "rows"))
            rest = n - rows if n is not None else None
            self.table.equal(f"{name}: reused", rest, stage(run, name, "reused"))

    def first(self):
        """How long somebody waits for the report on 1,000 pictures."""
        table, counts = self.table, self.counts("first")["first"]
        table.heading(f"the first {counts['n_samples']} of emoji-google")
        run = self.tamis.audit("first", counts["folder"])
        expect_identity(table, run, counts)
        page = read(run.out / "report.html")
        table.holds("report.html is there", bool(page), "not empty", f"{len(page)} bytes")
        expect_sound(table, run)
        table.info("seconds to the report", f"{run.seconds:.1f} s")
        show_stages(table, run)


def total(run: Run, name: str) -> int | None:
    """Rows of one stage, done now or taken from the store; `None` where there is no such stage."""
    rows, reused = stage(run, name, "rows"), stage(run, name, "reused")
    return None if rows is None or reused is None else rows + reused


PARTS = ["emoji", "fashion", "planted", "formats", "hostile", "resume", "first"]


def venv(data: Path) -> Path:
    """The interpreter that makes the sets and runs the peers; apart from text.py's, which has other packages."""
    return make_venv(data / "venv-images", PACKAGES)


def prepare(table: Table, data: Path, quick: int, parts):
    """Makes the sets, then compares EXPECTED with what a count without tamis finds."""
    environment = dict(os.environ, HF_HUB_OFFLINE="1", HF_HOME=str(data / "hf-home"))
    environment["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    command = [venv(data), HERE / "image_sets.py", data, str(quick), *parts]
    if subprocess.run(command, check=False, env=environment).returncode != 0:
        raise Unavailable("the sets could not be prepared")
    table.heading("the data itself, counted without tamis")
    for part in parts:
        counts = json.loads((data / "images" / f"{part}.json").read_text())
        for name, facts in EXPECTED.get(part, {}).items():
            for fact, expected in facts.items():
                if quick:
                    table.info(f"{name}: {fact}", counts[name][fact])
                else:
                    table.equal(f"{name}: {fact}", expected, counts[name][fact])
        if part == "planted":
            groups = counts[part]["counted"]
            same = groups == counts[part]["expected"]
            table.holds("planted: groups that Pillow sees", same, "those planted", f"{len(groups)}, the same: {same}")


def main() -> int:
    """Parses the command line, prepares, runs, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/acceptance.sh images", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of: {' '.join(PARTS)}; without any, all")
    parser.add_argument("--bin", type=Path, default=Path("target/release/tamis"), help="the binary to run")
    parser.add_argument("--data", type=Path, default=Path("acceptance-data"), help="folder for data and runs")
    parser.add_argument("--quick", type=int, default=0, metavar="N", help="the first N images of the large sets only")
    parser.add_argument("--prepare-only", action="store_true", help="fetch, arrange and count; needs no binary")
    args = parser.parse_args()
    parts = args.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if args.quick < 0:
        parser.error("--quick is a number of images")
    if not args.prepare_only and not args.bin.is_file():
        parser.error(f"{args.bin} is not there: cargo build --release, or name another with --bin")

    table = Table()
    args.data.mkdir(parents=True, exist_ok=True)
    data = args.data.resolve()
    prepare(table, data, args.quick, parts)
    if not args.prepare_only:
        acceptance = Acceptance(Resuming(args.bin.resolve(), data / "runs"), table, data, args.quick)
        for part in parts:
            getattr(acceptance, part)()
    return table.summary()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
