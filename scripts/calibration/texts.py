"""The texts of the calibration: clean by where they come from, split anew for every resample, and edited copies."""

import json
import random
from dataclasses import dataclass

from corpora import SEED, Corpus, Resample

LEVELS = [0.02, 0.10, 0.20, 0.35]
"""Shares of the words of a copy that are edited."""

FEWEST_WORDS = 8
"""Shorter entries are left out: cross-references, of which many hold the same few words."""

MOST_WORDS = 500
"""A copy has this many words of its source at most."""

FIXED = 0.7
"""The score for texts where there is no reference."""

GOALS = {0.02: 1.0, 0.10: 1.0, 0.20: 0.95}
"""Least recall by the share of edited words; none is set for 35 %."""


def letters(text):
    return "".join(it for it in text.lower() if it.isalnum())


def distinct(rows):
    """Texts of at least FEWEST_WORDS words, the first of those that agree in letters and digits: that is a fact."""
    seen = {letters(it): it for it in reversed(rows) if len(it.split()) >= FEWEST_WORDS}
    return list(reversed(seen.values()))


def read(path):
    try:
        with path.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except FileNotFoundError:
        raise SystemExit(f"{path} is missing: scripts/acceptance.sh text --prepare-only makes it") from None


def foldoc(data):
    texts = distinct([it["text"] for it in read(data / "text" / "foldoc.jsonl")])
    # Embedding is most of what a run costs. A split of these is as random as one of all.
    texts = random.Random(f"{SEED}/foldoc").sample(texts, 4000)
    clean = "entries of one dictionary under different headwords (4,000 of its entries, drawn once)"
    return of_texts("FOLDOC", clean, {"foldoc": texts}, 2000, 400, 1000)


def fortunes(data):
    by_file = {}
    for row in read(data / "text" / "fortunes.jsonl"):
        by_file.setdefault(row["label"], []).append(row["text"])
    largest = sorted(by_file, key=lambda it: (-len(distinct(by_file[it])), it))[:3]
    clean = "different quotes of one file of the package; the three largest files in turn: " + ", ".join(largest)
    return of_texts("fortunes", clean, {name: distinct(by_file[name]) for name in largest}, 400, 120, 450)


def of_texts(name, clean, groups, *sizes):
    levels = {level: f"{100 * level:.0f} % of words" for level in LEVELS}
    made = "An edit deletes a word, replaces it or puts another behind it, by equal chance"
    return Texts(name, clean, made, "text", FIXED, levels, GOALS, None, *sizes, groups)


CORPORA = {"foldoc": foldoc, "fortunes": fortunes}


def edited(text, share, words, rng):
    """A copy of which round(share * words) words, at least one, are deleted, replaced or followed by another word."""
    copy = text.split()[:MOST_WORDS]
    for at in sorted(rng.sample(range(len(copy)), max(1, round(share * len(copy)))), reverse=True):
        kind = rng.choice(["delete", "insert", "replace"])
        new = [] if kind == "delete" else [rng.choice(words)]
        copy[at : at + 1] = [copy[at], *new] if kind == "insert" else new
    return " ".join(copy)


@dataclass
class Texts(Corpus):
    """Texts, and copies with edited words."""

    groups: dict
    """Lists of texts by group; a resample takes all its texts from one group."""

    def draw(self, number, copies):
        rng = random.Random(f"{SEED}/{self.name}/{number}")
        names = sorted(self.groups)
        texts = self.groups[names[number % len(names)]]
        needed = self.n_train + self.n_test + self.n_reference
        if len(texts) < needed:
            raise SystemExit(f"{self.name} has a group of {len(texts)} texts, expected at least {needed}")
        drawn = rng.sample(texts, needed)
        train, rest = drawn[: self.n_train], drawn[self.n_train :]
        # The words of edits are those of other entries, as often as they occur there.
        words = [word for text in rng.sample(texts, min(500, len(texts))) for word in text.split()[:MOST_WORDS]]
        sources = rng.sample(train, copies * len(LEVELS))
        made = [
            (level, edited(text, level, words, rng))
            for k, level in enumerate(LEVELS)
            for text in sources[k * copies : (k + 1) * copies]
        ]
        return Resample(train, rest[: self.n_test], rest[self.n_test :], made)
