"""Real short texts for joins: where they come from, and what a join compares of them."""

import hashlib
import json
import zipfile
from collections import Counter
from pathlib import Path

EVALS = ("evals", "3.0.1.post1", "0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78")
"""Pool of evaluations: one wheel with the questions, passages, sentences and prompts of some 400 sets by many hands,
in many languages. Near duplicates are those of such pools: passages of web pages and of Wikipedia that come again with
their sentences in another order (most of all pairs), passages that are asked about twice, questions in several sets,
and forms that are filled in."""

INSIDE = "evals/registry/data/"

GENERATED = """
abstract-causal-reasoning arc backgammon comprehensive-graph-reasoning connect4 corr2cause dice-rotation-sequence
formal_logic integer-sequence-predictions logical_counting mazes pararule-plus-multi-step-deductive-reasoning
poker_analysis raven-matrices
""".split()
"""Puzzles that a program made, by the hundred thousand: one form with other numbers."""

LEFT_OUT = (*(f"{folder}/" for folder in GENERATED), "theory_of_mind/tomi/", "schelling_point/mix.jsonl")
"""Those, stories that a program made, and a file with nothing but the texts of two others."""

WORDS = range(25, 221)
MAX_COPIES = 3
ENDS, MAX_SAME_END = 6, 20
"""At most 20 texts begin, and at most 20 end, with the same 6 words: else a few forms of prompts, each filled in a
thousand times, would be most of all pairs."""
NOT_SPACE = str.maketrans(dict.fromkeys("\x1c\x1d\x1e\x1f", " "))
"""White space to Python and not to Unicode; replaced, so that all programs see the same words."""


def all_texts(wheel: Path):
    """Yields the strings of 25 to 220 words in all rows, in their order, within the limits above."""
    copies, starts, ends = Counter(), Counter(), Counter()
    for identifier, text in all_strings(wheel):
        text = text.translate(NOT_SPACE)
        words = text.lower().split()
        if len(words) not in WORDS:
            continue
        start, end = " ".join(words[:ENDS]), " ".join(words[-ENDS:])
        if copies[text] < MAX_COPIES and starts[start] < MAX_SAME_END and ends[end] < MAX_SAME_END:
            copies[text] += 1
            starts[start] += 1
            ends[end] += 1
            yield {"id": identifier, "source": identifier.split("/")[0], "text": text}


def all_strings(wheel: Path):
    """Yields all strings in the rows of all files with "file:row:ordinal"."""
    with zipfile.ZipFile(wheel) as files:
        for name in sorted(files.namelist()):
            inside = name.removeprefix(INSIDE)
            if inside == name or not name.endswith(".jsonl") or inside.startswith(LEFT_OUT):
                continue
            for number, line in enumerate(files.read(name).splitlines()):
                if line.strip():
                    for ordinal, text in enumerate(strings(json.loads(line))):
                        yield f"{inside}:{number}:{ordinal}", text


MOST_BYTES = 3_600_000
"""Files of more are left out of the prompts: 42 of 660, among them a lexicon that is most of all rows."""


def prompts(wheel: Path):
    """Yields name, row and prompt of all rows of the pool, files by name; the prompt is empty where a row has none."""
    with zipfile.ZipFile(wheel) as files:
        for entry in sorted(files.infolist(), key=lambda it: it.filename):
            if entry.filename.endswith(".jsonl") and entry.file_size <= MOST_BYTES:
                for number, line in enumerate(files.read(entry).splitlines()):
                    yield entry.filename.removeprefix(INSIDE), number, prompt(json.loads(line)) if line.strip() else ""


def write_prompts(wheel: Path, n: int, out: Path):
    """Writes the first n distinct prompts of the pool, files by name, as {"text"}; returns how many there are in all.

    The prompt of a row is its `input`: a string, or the messages of the user, or all messages where the user has none,
    with line breaks between them and without white space around them. Rows without any are left out.
    """
    seen, n_rows, names = {}, 0, set()
    for name, _, text in prompts(wheel):
        names.add(name)
        n_rows += bool(text)
        if text:
            seen.setdefault(text)
    partial = out.with_suffix(".partial")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        for text in list(seen)[:n]:
            file.write(json.dumps({"text": text}) + "\n")
    partial.rename(out)
    return {"files": len(names), "prompts": n_rows, "distinct": len(seen)}


def prompt(row):
    """What the user asks in a row, or nothing."""
    asked = row.get("input") if isinstance(row, dict) else None
    if isinstance(asked, list):
        messages = [it for it in asked if isinstance(it, dict)]
        messages = [it for it in messages if it.get("role") == "user"] or messages
        asked = "\n".join(str(it.get("content", "")) for it in messages)
    return asked.strip() if isinstance(asked, str) else ""


def strings(value):
    """Yields all strings in a JSON value, in its order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for it in value:
            yield from strings(it)
    elif isinstance(value, dict):
        for it in value.values():
            yield from strings(it)


def write_texts(wheel: Path, n: int, out: Path):
    """Writes the n texts of the smallest hashes, in their first order; copies stay together."""
    rows = list(all_texts(wheel))
    hashes = [hashlib.sha256(row["text"].encode()).digest() for row in rows]
    chosen = sorted(sorted(range(len(rows)), key=lambda i: (hashes[i], i))[:n])
    partial = out.with_suffix(".partial")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        for i in chosen:
            file.write(json.dumps(rows[i], ensure_ascii=False) + "\n")
    partial.rename(out)


def read_texts(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def shingles(text: str, n: int = 3):
    """Runs of n words, lower case, joined by one space; the whole text where it is shorter. With repeats."""
    words = text.lower().split()
    return [" ".join(words[i : i + n]) for i in range(max(len(words) - n + 1, 1))]
