"""How much of a model's judgement another one keeps, on texts with labels. Called by scripts/bench/engine.py.

quality.py LABELS.json ORIGINAL.npy OTHER.npy ..

One line of JSON for each file of vectors: `accuracy`, the share of texts whose ten nearest neighbors have its label most
often; `overlap`, the share of the ten nearest of the original that are among its own; `spearman`, the rank correlation
of cosines of random pairs with those of the original.
"""

import json
import sys

import numpy as np

NEIGHBORS, PAIRS, SEED = 10, 200_000, 0


def unit(path):
    rows = np.load(path)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def nearest(rows):
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -2)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBORS]


def ranks(values):
    return np.argsort(np.argsort(values))


labels = np.unique(json.load(open(sys.argv[1])), return_inverse=True)[1]
first, second = np.random.default_rng(SEED).integers(0, len(labels), (2, PAIRS))
first, second = first[first != second], second[first != second]
original = None
for path in sys.argv[2:]:
    rows = unit(path)
    found = nearest(rows), ranks((rows[first] * rows[second]).sum(axis=1))
    original = original or found
    guesses = [np.bincount(labels[near]).argmax() for near in found[0]]
    overlap = np.mean([len(set(a) & set(b)) / NEIGHBORS for a, b in zip(found[0], original[0])])
    result = {
        "accuracy": float(np.mean(guesses == labels)),
        "overlap": float(overlap),
        "spearman": float(np.corrcoef(found[1], original[1])[0, 1]),
    }
    print(json.dumps(result))
