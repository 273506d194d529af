"""Finds pairs with a peer whenever a line comes on stdin, and answers by one line of JSON.

    peer_pairs.py rensa|datasketch TEXTS.jsonl THREADS FOUND.npy    {"seconds", "pairs"}
    peer_pairs.py faiss|numpy|numpy-triangle X.f32 DIM T THREADS    {"seconds", "pairs"}
    peer_pairs.py faiss-knn X.f32 DIM K THREADS                     {"seconds", "checksum"}

The protocol is that of the example `join_speed`; see pairs.py. The time includes making word 3-grams, and does not
include reading the file, nor adding rows to the index of faiss, which copies them. Pairs of texts are the candidates
i < j of the index, as it gives them, and go to FOUND.npy when stdin ends. Needs numpy, and rensa, datasketch or
faiss-cpu.
"""

import json
import os
import sys
import time

PERMUTATIONS, JACCARD, BANDS, SEED = 128, 0.8, 16, 42
ROWS = 1024

# --- pairs of texts -------------------------------------------------------------------------------------------------


def rensa_pairs(texts):
    """RMinHash and RMinHashLSH, with 16 bands of 8 rows, in bulk."""
    from rensa import RMinHash, RMinHashLSH

    from texts import shingles

    def run():
        # Repeats in a text do not change its signature, and a set would cost time.
        sketches = RMinHash.from_token_sets([shingles(text) for text in texts], PERMUTATIONS, SEED)
        index = RMinHashLSH(JACCARD, PERMUTATIONS, BANDS)
        index.insert_many(sketches)
        return [(i, j) for i, near in enumerate(index.query_all(sketches)) for j in near if i < j]

    return run


def datasketch_pairs(texts):
    """MinHash.bulk and MinHashLSH, which chooses its bands for the threshold."""
    from datasketch import MinHash, MinHashLSH

    from texts import shingles

    def run():
        tokens = ([it.encode() for it in shingles(text)] for text in texts)
        sketches = MinHash.bulk(tokens, num_perm=PERMUTATIONS)
        index = MinHashLSH(threshold=JACCARD, num_perm=PERMUTATIONS)
        for i, sketch in enumerate(sketches):
            index.insert(i, sketch, check_duplication=False)
        return [(i, j) for i, sketch in enumerate(sketches) for j in index.query(sketch) if i < j]

    return run


def serve_texts(build, path, out):
    import numpy as np

    from texts import read_texts

    run = build(read_texts(path))
    pairs = []
    for _ in sys.stdin:
        started = time.perf_counter()
        pairs = run()
        answer({"seconds": time.perf_counter() - started, "pairs": len(pairs)})
    np.save(out, np.array(pairs, np.uint32).reshape(-1, 2))


# --- pairs of vectors -----------------------------------------------------------------------------------------------


def faiss_pairs(rows, threshold):
    """IndexFlatIP.range_search of all rows: both orders of every pair, and every row itself."""
    index = flat(rows)

    def run():
        ends = index.range_search(rows, threshold)[0]
        return {"pairs": (int(ends[-1]) - len(rows)) // 2}

    return run


def faiss_neighbors(rows, k):
    """IndexFlatIP.search; one more is asked for, as every row finds itself."""
    import numpy as np

    index, own = flat(rows), np.arange(len(rows))[:, None]

    def run():
        cosines, found = index.search(rows, int(k) + 1)
        return {"checksum": lambda: total(cosines, found != own)}

    def total(cosines, is_other):
        # A row with many copies may not be among those that it finds.
        is_other[is_other.all(axis=1), -1] = False
        return float(cosines[is_other].sum(dtype=np.float64))

    return run


def flat(rows):
    import faiss

    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index


def numpy_pairs(rows, threshold):
    """Blocks of 1,024 rows times all rows: every product is made twice, as the plain way to write it does."""
    import numpy as np

    buffer = np.empty(ROWS * len(rows), np.float32)

    def run():
        n_pairs = 0
        for start in range(0, len(rows), ROWS):
            i, j = above(rows[start : start + ROWS], rows, threshold, buffer)
            n_pairs += int((i + start < j).sum())
        return {"pairs": n_pairs}

    return run


def numpy_triangle_pairs(rows, threshold):
    """Blocks of 1,024 rows times the rows from there on: every product once, but for the blocks' own squares."""
    import numpy as np

    buffer = np.empty(ROWS * len(rows), np.float32)

    def run():
        n_pairs = 0
        for start in range(0, len(rows), ROWS):
            i, j = above(rows[start : start + ROWS], rows[start:], threshold, buffer)
            n_pairs += int((i < j).sum())
        return {"pairs": n_pairs}

    return run


def above(a, b, threshold, buffer):
    """Rows of a and of b with a product of at least the threshold; the buffer saves fresh memory for every block."""
    import numpy as np

    scores = np.matmul(a, b.T, out=buffer[: len(a) * len(b)].reshape(len(a), len(b)))
    return np.divmod(np.flatnonzero(scores >= np.float32(threshold)), len(b))


def serve_vectors(build, path, dim, value):
    import numpy as np

    run = build(np.fromfile(path, "<f4").reshape(-1, int(dim)), float(value))
    for _ in sys.stdin:
        started = time.perf_counter()
        found = run()
        seconds = time.perf_counter() - started
        answer({"seconds": seconds} | {key: it() if callable(it) else it for key, it in found.items()})


# --------------------------------------------------------------------------------------------------------------------


def answer(it):
    print(json.dumps(it), flush=True)


TEXTS = {"rensa": rensa_pairs, "datasketch": datasketch_pairs}
VECTORS = {
    "faiss": faiss_pairs,
    "faiss-knn": faiss_neighbors,
    "numpy": numpy_pairs,
    "numpy-triangle": numpy_triangle_pairs,
}


def main():
    name, path, *rest = sys.argv[1:]
    threads = rest[0] if name in TEXTS else rest[-1]
    # The libraries read these when they are loaded.
    for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"]:
        os.environ[variable] = threads
    if name in TEXTS:
        serve_texts(TEXTS[name], path, rest[1])
    else:
        serve_vectors(VECTORS[name], path, rest[0], rest[1])


if __name__ == "__main__":
    main()
