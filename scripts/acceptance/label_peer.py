"""Scores tamis's label errors and cleanlab's against known flips, on the same vectors. Runs in the venv of text.py.

usage: label_peer.py VECTORS.npy SAMPLES.parquet FLIPPED.jsonl FLIPS.json

cleanlab gets out-of-sample probabilities of a logistic regression (C = 1, at most 100 iterations) in five stratified,
shuffled folds; it ranks by self-confidence and cuts by `prune_by_noise_rate`, its default. Samples without a vector are
left out for both; a sample that tamis did not score ranks last for tamis. Prints one JSON object.
"""

import json
import sys
import time
import warnings

import numpy as np
import pyarrow.parquet as pq
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, precision_recall_fscore_support
from sklearn.model_selection import StratifiedKFold, cross_val_predict

vectors = np.load(sys.argv[1])
samples = pq.read_table(sys.argv[2])
with open(sys.argv[3], encoding="utf-8") as lines:
    given = [json.loads(line) for line in lines]
with open(sys.argv[4], encoding="utf-8") as file:
    flipped = set(json.load(file)["flipped"])

if not len(vectors) == samples.num_rows == len(given):
    sizes = f"{len(vectors)} vectors, {samples.num_rows} rows in samples.parquet, {len(given)} samples"
    sys.exit(f"{sizes}: expected equal")
if samples.column("label").to_pylist() != [sample["label"] for sample in given]:
    sys.exit("the labels of samples.parquet are not those of the input, in reading order")

seen = ~np.isnan(vectors).any(axis=1)
names, labels = np.unique([sample["label"] for sample in given], return_inverse=True)
labels = labels[seen]
truth = np.array([sample["id"] in flipped for sample in given])[seen]


def report(suspicion, flags):
    """Ranking and cut of one method."""
    precision, recall, f1, _ = precision_recall_fscore_support(truth, flags, average="binary", zero_division=0)
    auprc = average_precision_score(truth, suspicion)
    return {"auprc": auprc, "precision": precision, "recall": recall, "f1": f1, "flagged": int(flags.sum())}


start = time.monotonic()
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    probabilities = cross_val_predict(
        LogisticRegression(C=1.0, max_iter=100),
        vectors[seen].astype(np.float64),
        labels,
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
        method="predict_proba",
    )
quality = get_label_quality_scores(labels, probabilities, method="self_confidence")
issues = find_label_issues(labels, probabilities, filter_by="prune_by_noise_rate", n_jobs=1)
seconds = time.monotonic() - start

scores = samples.column("label_error_score").to_numpy(zero_copy_only=False).astype(np.float64)[seen]
flags = np.array([bool(flag) for flag in samples.column("label_error").to_pylist()])[seen]
result = {
    "n": len(given),
    "vectors": int(seen.sum()),
    "flips": int(truth.sum()),
    "scored": int((~np.isnan(scores)).sum()),
    "seconds": seconds,
    "tamis": report(np.where(np.isnan(scores), -np.inf, scores).clip(-1e300, 1e300), flags),
    "cleanlab": report(1.0 - quality, issues),
}
json.dump(result, sys.stdout)
