"""Finds label issues with cleanlab whenever a line comes on stdin, and answers by one line of JSON.

    peer_labels.py issues LABELS.npy PROBABILITIES.npy JOBS ISSUES.npy    {"seconds", "issues", "peak_bytes"}
    peer_labels.py made N CLASSES LABELS.npy PROBABILITIES.npy            writes data, and answers nothing

The protocol is that of the example `find_label_issues` of tamis-labels; see labels.py. The time does not include
reading the files. When stdin ends, the issues are computed once more and go to ISSUES.npy: from the probabilities as
float64, and with numpy's sort replaced by its stable form, so that ties go to the smaller row on every processor. Needs
cleanlab.
"""

import json
import resource
import sys
import time
import warnings

import numpy as np

ROWS = 50_000
NOISE = 0.1


def issues(labels, probabilities, jobs, out):
    from cleanlab.filter import find_label_issues

    labels, probabilities = np.load(labels), np.load(probabilities)

    def find(values):
        return find_label_issues(labels, values, return_indices_ranked_by="self_confidence", n_jobs=int(jobs))

    for _ in sys.stdin:
        start = time.perf_counter()
        found = find(probabilities)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "issues": len(found), "peak_bytes": peak}), flush=True)
    default = np.argsort
    np.argsort = lambda values, axis=-1, **_: default(values, axis=axis, kind="stable")
    np.save(out, find(probabilities.astype(np.float64)))


def made(n, n_classes, labels, probabilities):
    """Soft-max of normal scores, raised for the true class; a tenth of the labels are drawn anew."""
    n, n_classes = int(n), int(n_classes)
    rng = np.random.default_rng(n_classes)
    true = rng.integers(0, n_classes, n)
    given = np.where(rng.random(n) < NOISE, rng.integers(0, n_classes, n), true)
    rows = np.empty((n, n_classes), np.float32)
    for first in range(0, n, ROWS):
        part = slice(first, first + ROWS)
        scores = rng.standard_normal(rows[part].shape, np.float32)
        scores[np.arange(len(scores)), true[part]] += 2 + np.log(n_classes) + rng.standard_normal(len(scores))
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        rows[part] = scores / scores.sum(axis=1, keepdims=True)
    np.save(labels, given.astype(np.int32))
    np.save(probabilities, rows)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    {"issues": issues, "made": made}[sys.argv[1]](*sys.argv[2:])
