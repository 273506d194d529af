#!/usr/bin/env python3
"""Acceptance on images: public sets, planted copies, table formats, hostile files, resume. See scripts/acceptance.sh.

Every expected number below was counted in the data without tamis; each call counts again, with Pillow, and compares.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import common
from common import Run, Table, Tamis, Unavailable, make_venv
from text import PEERS, cost, expect_no_panic, expect_sound, expect_unreadable, read

HERE = Path(__file__).parent
PACKAGES = [*PEERS, "pillow==13.0.0", "scikit-image==0.26.0"]

# The convolutions of 70,000 pictures take their time on two cores.
common.RUN_TIMEOUT_S = 4 * 3600

EXPECTED = {
    "emoji": {
        "emoji-google": {"n_samples": 3786, "groups_pixels": 12, "redundant_pixels": 19},
        "emoji-twitter": {"n_samples": 3786, "groups_pixels": 11, "redundant_pixels": 34},
    },
    "variants": {"variants": {"n_families": 323, "n_pictures": 2198}},
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

FDR = 0.05
"""The share of `tamis leaks --fdr` without it."""

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


def rungs_of_test(run: Run) -> dict:
    """For each sample of the test with a finding of split-leak, the rung of each of its matches by file name."""
    rungs = {}
    for finding in run.findings_of("split-leak"):
        matches = {Path(match["key"]).name: match["rung"] for match in finding["evidence"]["matches"]}
        for sample in finding["samples"]:
            if sample["split"] == "test":
                rungs[Path(sample["key"]).name] = matches
    return rungs


def apart(a: str, b: str) -> int | None:
    """How many of the five skin tones two emoji are apart; `None` where one of them does not have just one tone."""
    tones = [re.findall("-1f3f([b-f])", name) for name in (a, b)]
    return abs(int(tones[0][0], 16) - int(tones[1][0], 16)) if all(len(it) == 1 for it in tones) else None


def is_flag(name: str) -> bool:
    """Whether a file of emoji is the flag of a country or region."""
    return re.match("1f1[ef]|1f3f4-e00", name) is not None


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

    def variants(self):
        """Emoji drawn again: in other skin tones, and by another vendor; copies by the fixed cut and a calibrated one."""
        counts = self.counts("variants")["variants"]
        base = {name: family[0] for family in counts["families"] for name in family}
        for vendor, folder in counts["folders"].items():
            self.listed(vendor, folder, counts["families"])
            title = f"emoji-{vendor}: untoned in train, toned in the test"
            self.called(f"tones-{vendor}", title, counts["tones"][vendor], base)
        self.called("vendors", "google's emoji in train, twitter's in the test", counts["vendors"], {})

    def listed(self, vendor: str, folder: str, families: list):
        """Copies by the fixed score: which of the pairs of a family, and which besides.

        Pictures are compared in grey, and a skin tone is a grey level too: a neighboring tone is a copy, the lightest and
        the darkest are none, and what differs in color alone is one (discs, hearts, flags).
        """
        table = self.table
        table.heading(f"emoji-{vendor}, copies of at least 0.975")
        family_of = {name: number for number, family in enumerate(families) for name in family}
        run = self.tamis.pairs(f"variants-{vendor}", folder, "--kind", "copy")
        table.equal("exit code", 0, run.exit)
        table.info("seconds, peak memory", cost(run))
        found, steps, others = 0, Counter(), Counter()
        for pair in run.findings:
            a, b = (Path(pair[side]).name for side in ["a_key", "b_key"])
            if a in family_of and family_of[a] == family_of.get(b):
                found += 1
                steps[apart(a, b)] += 1
            else:
                others["flags" if all(is_flag(name) for name in (a, b)) else "others"] += 1
        of_family = [(a, b) for family in families for i, a in enumerate(family) for b in family[:i]]
        table.info("pairs of one family", f"{found} of {len(of_family)}, {100 * found / len(of_family):.1f} %")
        there = Counter(apart(a, b) for a, b in of_family)
        for n in sorted(filter(None, there)):
            table.info(f"of these, tones {n} apart", f"{steps[n]} of {there[n]}, {100 * steps[n] / there[n]:.1f} %")
        table.info("pairs of two families or none: two flags, others", f"{others['flags']}, {others['others']}")

    def called(self, name: str, title: str, counts: dict, base: dict):
        """Which leaks are called copies, and how many clean ones, by the fixed score and with a reference.

        `base` has the name of the picture in train that a leak is a drawing of, where that is another name.
        """
        table, folder = self.table, Path(counts["folder"])
        inputs = ["--train", folder / "train", "--test", folder / "test"]
        n_leaks, n_tested = len(counts["leaks"]), len(counts["leaks"]) + len(counts["clean"])
        for what, more in {"fixed": [], "reference": ["--reference", folder / "reference"]}.items():
            table.heading(f"{title}, {'with' if more else 'without'} a reference")
            run = self.tamis.leaks(f"{name}-{what}", *inputs, *more)
            table.equal("tested samples", n_tested, (run.leaks or {}).get("samples"))
            expect_sound(table, run)
            rungs = rungs_of_test(run)
            called = {key for key, matches in rungs.items() if set(matches.values()) - {"semantic"}}
            table.equal("leaks.json: leaked", len(called), (run.leaks or {}).get("leaked"))
            right = called & set(counts["leaks"])
            own = Counter(rungs.get(key, {}).get(base.get(key, key)) for key in counts["leaks"])
            table.info("leaks called copies", f"{len(right)} of {n_leaks}, {100 * len(right) / n_leaks:.1f} %")
            close = sum(set(matches.values()) == {"semantic"} for matches in rungs.values())
            table.info("of the test, only close", close)
            table.info("leaks by the rung of their own picture", {str(rung): n for rung, n in own.items()})
            source = run.check("split-leak").get("threshold_source", "")
            said = "Benjamini-Hochberg" if "Benjamini" in source else "the fixed score"
            table.info("threshold, by", f"{(run.leaks or {}).get('threshold')}, {said}")
            n_false = len(called - right)
            found = f"{n_false} of {len(called)}"
            if "Benjamini" in source:
                # The rate is an expectation: twice the standard error of the share is left to chance.
                most = FDR * len(called) + 2 * (FDR * (1 - FDR) * len(called)) ** 0.5
                table.holds("clean ones among them", n_false <= most, f"<= {most:.1f}", found)
            else:
                table.info("clean ones among them", found)

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
        self.fashion_leaks(run, counts)
        self.changed_labels(counts["noisy"])

    def fashion_leaks(self, run: Run, counts: dict):
        """No picture of test is in train, and none is called a copy: garments of one cut agree in 28 x 28 pixels.

        That is why pictures of fewer than 48 pixels on a side are never verified; those that are close are listed.
        """
        table = self.table
        for check, facts in {"split-leak": ["groups_bytes", "groups_pixels", "copy_pairs"]}.items():
            for fact in facts:
                table.equal(f"{check}: {fact}", 0, run.fact(check, fact))
        leaks = run.findings_of("split-leak")
        rungs = Counter(match["rung"] for finding in leaks for match in finding["evidence"]["matches"])
        table.holds("split-leak: rungs of all matches", set(rungs) <= {"semantic"}, "semantic alone", dict(rungs))
        of_near = Counter(finding["evidence"].get("rung") for finding in run.findings_of("near-duplicate"))
        table.holds("near-duplicate: rungs", set(of_near) <= {"semantic"}, "semantic alone", dict(of_near))
        # Rows count from 1.
        alike, close = counts["correlated"], {finding["samples"][0]["row"] - 1 for finding in leaks}
        both = sum(row in close for row, _, _ in alike)
        table.info("test pictures with a correlation of pixels >= .975 in train", f"{len(alike)} (numpy), {both} listed")
        table.info("split-leak: pictures of test that are close to one of train", len(leaks))
        for finding in leaks[:5]:
            keys = [sample["key"] for sample in finding["samples"][:2]]
            table.info(f"close: {' '.join(keys)}", f"cosine {finding['score']:.3f}")

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
            floor = theirs["auprc"]
            table.holds("AUPRC: tamis", ours["auprc"] >= floor, f">= {floor:.4f}", f"{ours['auprc']:.4f}")
            least = theirs["f1"]
            table.holds("F1 at least that of cleanlab's default cut", ours["f1"] >= least, f">= {least:.4f}", f"{ours['f1']:.4f}")
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


PARTS = ["emoji", "variants", "fashion", "planted", "formats", "hostile", "resume", "first"]


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
