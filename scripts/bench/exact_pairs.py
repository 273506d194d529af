"""The pairs and neighbors that a join has to find, by the plainest way there is, and the vectors it is tried on.

    exact_pairs.py lexical TEXTS.jsonl PAIRS.npy     all pairs of texts, and on stdout {"pairs", "checksum"}
    exact_pairs.py compare PAIRS.npy FOUND.npy       {"recall", "precision"} of pairs that another program found
    exact_pairs.py vectors N X.f32                   seeded vectors in clusters
    exact_pairs.py convert X.npy X.f32               {"dim"}; the rows of a file of vectors, made unit
    exact_pairs.py cosine X.f32 DIM T K              {"least", "most", "cosines"}
    exact_pairs.py check X.f32 DIM T FOUND.jsonl N   {"pairs", "missing", "wrong"} of N rows drawn at random

Called by pairs.py, once for each file of data, as it may take minutes. Nothing here is of tamis. Needs numpy and scipy.
"""

import json
import sys

import numpy as np
from texts import read_texts, shingles

JACCARD = (4, 5)
"""The least similarity, as a fraction: whole numbers decide which pair reaches it."""

ROWS = 1024

# --- pairs of texts -------------------------------------------------------------------------------------------------


def lexical(texts, out):
    """All pairs i < j with a Jaccard similarity of at least 4/5, in order, from a product of sparse matrices."""
    from scipy.sparse import csr_matrix

    sets = [set(shingles(text)) for text in read_texts(texts)]
    numbers = {}
    columns = np.array([numbers.setdefault(it, len(numbers)) for one in sets for it in one], np.int32)
    sizes = np.array([len(one) for one in sets])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    matrix = csr_matrix((np.ones(len(columns), np.int32), columns, starts), (len(sets), len(numbers)))
    # What stands in one text alone is in no intersection.
    matrix = matrix[:, np.bincount(columns) > 1]
    other = matrix.T.tocsr()
    found = []
    for start in range(0, len(sets), ROWS // 4):
        common = (matrix[start : start + ROWS // 4] @ other).tocoo()
        i, j, both = common.row.astype(np.int64) + start, common.col.astype(np.int64), common.data.astype(np.int64)
        either = sizes[i] + sizes[j] - both
        kept = (i < j) & (both * JACCARD[1] >= either * JACCARD[0])
        found.append(np.stack([i[kept], j[kept]], 1))
    pairs = np.concatenate(found)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    np.save(out, pairs.astype(np.uint32))
    return {"pairs": len(pairs), "checksum": checksum(pairs)}


def checksum(pairs):
    """The sum over pairs i < j of splitmix64(i << 32 | j), modulo 2^64, as 16 hexadecimal digits.

    splitmix64 is one step of the generator of that name from the state given (Steele, Lea and Flood, "Fast splittable
    pseudorandom number generators", 2014). The sum does not depend on the order of the pairs.
    """
    pairs = pairs.astype(np.uint64)
    z = (pairs[:, 0] << np.uint64(32) | pairs[:, 1]) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return f"{int((z ^ z >> np.uint64(31)).sum(dtype=np.uint64)):016x}"


def compare(exact, found):
    """Which share of the exact pairs was found, and which share of what was found is exact."""
    exact, found = (np.unique(keys(np.load(path))) for path in (exact, found))
    both = len(np.intersect1d(exact, found, assume_unique=True))
    return {"recall": both / max(len(exact), 1), "precision": both / max(len(found), 1)}


def keys(pairs):
    pairs = pairs.astype(np.uint64)
    return pairs[:, 0] << np.uint64(32) | pairs[:, 1]


# --- vectors --------------------------------------------------------------------------------------------------------

SEED = 20240607
DIM = 384
ROWS_PER_CLUSTER = 20
COMMON = 0.5
"""Length of what all centers share, beside 1 of their own: cosines of unrelated rows are then about 0.2, as those of
sentence embeddings, and not 0."""
SPREAD = (0.5, 0.95)
"""Cosines of rows of one cluster lie about a number of its own between these."""


def vectors(n, out):
    """Writes n unit rows of 384 numbers: clusters of uneven sizes and widths, with a few strong directions.

    The directions are turned at random, so that no coordinate tells more than another.
    """
    rng = np.random.default_rng(SEED)
    n_clusters = n // ROWS_PER_CLUSTER
    # Sizes fall off as those of topics do; the largest cluster of 100,000 rows has some 250.
    weights = 1 / (np.arange(n_clusters) + 100)
    cluster = rng.choice(n_clusters, n, p=weights / weights.sum())
    strength = 1 / np.sqrt(1 + np.arange(DIM) / 32)
    turn = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    centers = unit(rng.standard_normal((n_clusters, DIM)) * strength)
    centers = unit(centers + COMMON * unit(rng.standard_normal((1, DIM))))
    near = rng.uniform(*SPREAD, n_clusters)
    with open(out, "wb") as file:
        for start in range(0, n, ROWS):
            which = cluster[start : start + ROWS]
            noise = unit(rng.standard_normal((len(which), DIM)) * strength)
            share = np.clip(near[which] + rng.uniform(-0.1, 0.1, len(which)), 0, 0.99)[:, None]
            rows = np.sqrt(share) * centers[which] + np.sqrt(1 - share) * noise
            file.write(unit(unit(rows) @ turn).astype("<f4").tobytes())
    return {"dim": DIM}


def convert(path, out):
    """Writes the rows of a .npy as unit rows, without those that have no direction."""
    rows = np.load(path, mmap_mode="r")
    with open(out, "wb") as file:
        for start in range(0, len(rows), ROWS):
            block = rows[start : start + ROWS].astype(np.float64)
            block = block[np.linalg.norm(block, axis=1) > 0]
            file.write(unit(block).astype("<f4").tobytes())
    return {"dim": rows.shape[1]}


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


SLACK = 1e-6
"""A pair this near to the threshold may be found or not: sums in f32 differ by less with their order."""

DOUBT = 1e-4
"""Products of f32 only choose what is computed again in f64: all that this could change."""

SPARE = 8
"""How many more neighbors than asked for are computed again."""


def cosine(path, dim, threshold, k):
    """The least and the most pairs that are right at the threshold, and the sum of the cosines of all neighbors."""
    rows = np.fromfile(path, "<f4").reshape(-1, dim)
    least, most, cosines = 0, 0, 0.0
    buffer = np.empty((ROWS, len(rows)), np.float32)
    for start in range(0, len(rows), ROWS):
        block = rows[start : start + ROWS]
        scores = np.matmul(block, rows.T, out=buffer[: len(block)])
        own = np.arange(len(block))
        scores[own, own + start] = -2
        i, j = np.divmod(np.flatnonzero(scores >= threshold - DOUBT), len(rows))
        i, j = i[i + start < j], j[i + start < j]
        exact = products(block[i], rows[j])
        least += int((exact >= threshold + SLACK).sum())
        most += int((exact >= threshold - SLACK).sum())
        chosen = nearest(scores, k + SPARE)
        exact = np.stack([products(block, rows[column]) for column in chosen.T], 1)
        cosines += float(-np.sort(-exact, axis=1)[:, :k].sum())
    return {"least": least, "most": most, "cosines": cosines}


def check(path, dim, threshold, found, n):
    """Compares what `tamis pairs` wrote with all products of n rows, drawn with SEED.

    A pair nearer to the threshold than SLACK may be there or not.
    """
    rows = np.memmap(path, "<f4", "r").reshape(-1, dim)
    drawn = np.sort(np.random.default_rng(SEED).choice(len(rows), n, replace=False))
    is_drawn = np.zeros(len(rows), bool)
    is_drawn[drawn] = True
    listed = set()
    with open(found) as lines:
        for line in lines:
            pair = json.loads(line)
            i, j = int(pair["a_key"]), int(pair["b_key"])
            if is_drawn[i] or is_drawn[j]:
                listed.add((i, j))
    must, may = set(), set()
    for start in range(0, len(rows), 64 * ROWS):
        block = rows[start : start + 64 * ROWS]
        i, j = np.divmod(np.flatnonzero(rows[drawn] @ block.T >= threshold - DOUBT), len(block))
        exact = products(rows[drawn[i]], block[j])
        for a, b, value in zip(drawn[i].tolist(), (j + start).tolist(), exact.tolist()):
            if a != b and value >= threshold - SLACK:
                may.add((min(a, b), max(a, b)))
                if value >= threshold + SLACK:
                    must.add((min(a, b), max(a, b)))
    return {"pairs": len(listed), "missing": len(must - listed), "wrong": len(listed - may)}


def nearest(scores, k):
    """Columns of the k largest of every row: they are in the k pieces with the largest maxima, or in the rest."""
    n = scores.shape[1]
    width = max(n // (16 * k), 1)
    if width < 4:
        return np.argpartition(-scores, k, axis=1)[:, :k]
    whole = n // width * width
    maxima = scores[:, :whole].reshape(len(scores), -1, width).max(axis=2)
    pieces = np.argpartition(-maxima, k, axis=1)[:, :k]
    columns = (pieces[:, :, None] * width + np.arange(width)).reshape(len(scores), -1)
    rest = np.broadcast_to(np.arange(whole, n), (len(scores), n - whole))
    columns = np.concatenate([columns, rest], 1)
    kept = np.argpartition(-np.take_along_axis(scores, columns, 1), k, axis=1)[:, :k]
    return np.take_along_axis(columns, kept, 1)


def products(a, b):
    """Scalar products of rows in f64."""
    out = np.empty(len(a))
    for start in range(0, len(a), ROWS):
        piece = slice(start, start + ROWS)
        out[piece] = (a[piece].astype(np.float64) * b[piece]).sum(axis=1)
    return out


def main():
    tasks = {
        "lexical": lexical,
        "compare": compare,
        "vectors": lambda n, out: vectors(int(n), out),
        "convert": convert,
        "cosine": lambda path, dim, t, k: cosine(path, int(dim), float(t), int(k)),
        "check": lambda path, dim, t, found, n: check(path, int(dim), float(t), found, int(n)),
    }
    print(json.dumps(tasks[sys.argv[1]](*sys.argv[2:])))


if __name__ == "__main__":
    main()
