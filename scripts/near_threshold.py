#!/usr/bin/env python3
"""How often a pair above a cosine is a copy: the measurement behind `near_duplicate.min_cosine` of a model.

    tamis embed texts.jsonl --out texts.npy
    scripts/near_threshold.py texts.jsonl texts.npy [--max-words N]

Texts that are equal in letters and digits are one text, as in tamis. For each threshold it prints how many pairs have at
least that cosine and which share of them is a copy by words: Jaccard similarity of their sets of three-word sequences
(texts of fewer than three words: of their words) at least 0.5, 0.3 and 0.1. Needs numpy; not part of any check.
"""

import argparse
import json

import numpy

THRESHOLDS = [0.80, 0.85, 0.88, 0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99]
COPY = [0.5, 0.3, 0.1]


def shingles(text, n=3):
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    if len(words) < n:
        return frozenset(words)
    return frozenset(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def jaccard(a, b):
    union = len(a | b)
    return len(a & b) / union if union else 1.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", help="JSONL with the key `text`")
    parser.add_argument("vectors", help=".npy of `tamis embed` on it")
    parser.add_argument("--max-words", type=int, help="only texts of at most this many words")
    args = parser.parse_args()
    vectors = numpy.load(args.vectors)
    texts = [json.loads(line)["text"] for line in open(args.texts, encoding="utf-8")]
    assert len(texts) == len(vectors)
    seen, rows = set(), []
    for i, text in enumerate(texts):
        letters = "".join(c for c in text.lower() if c.isalnum())
        short = args.max_words is None or len(text.split()) <= args.max_words
        if letters and letters not in seen and short and not numpy.isnan(vectors[i, 0]):
            seen.add(letters)
            rows.append(i)
    texts, vectors = [texts[i] for i in rows], vectors[rows]
    sets = [shingles(text) for text in texts]
    found = []
    for start in range(0, len(rows), 1024):
        scores = vectors[start : start + 1024] @ vectors.T
        for i, j in zip(*numpy.nonzero(scores >= THRESHOLDS[0])):
            if start + i < j:
                found.append((scores[i, j], jaccard(sets[start + i], sets[j])))
    found = numpy.array(found).reshape(-1, 2)
    print(f"{len(rows)} distinct texts")
    print("cosine >=     pairs " + "".join(f"  J >= {copy}" for copy in COPY))
    for threshold in THRESHOLDS:
        chosen = found[found[:, 0] >= threshold]
        shares = [f"{(chosen[:, 1] >= copy).mean():8.1%}" if len(chosen) else "       -" for copy in COPY]
        print(f"{threshold:9.2f} {len(chosen):9d} " + " ".join(shares))


if __name__ == "__main__":
    main()
