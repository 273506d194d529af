"""The rules of other tools, written from their published definitions, over vectors of unit length.

Each returns which rows of `test` it calls leaked, an array of booleans.
"""

import numpy


def above(train, test, cosine):
    """A fixed cosine to the nearest text of train: what fastdup, imagededup, semhash and distilabel do, at .9."""
    return (test @ train.T).max(axis=1) >= cosine


def selfclean(train, test, alpha, share=0.05):
    """SelfClean's automatic cut (Gröger et al., "Intrinsic Self-Supervision for Data Quality Audits", 2024).

    Distances in (0, 1) of all pairs of test and train go through the logit; a logistic left tail is laid through their
    quantiles at p and at the root of p / 2, with p the square of `alpha` as its code has it for pairs; the cut is where
    that tail has share * p * (samples / pairs) of all. Where copies are more of the pairs than p, the tail is laid
    through them.
    """
    distance = numpy.clip((1 - test @ train.T) / 2, 1e-6, 1 - 1e-6)
    scores = logit(distance.ravel())
    p = alpha**2
    other = numpy.sqrt(p / 2)
    low, high = numpy.quantile(scores, [p, other])
    scale = (high - low) / (logit(other) - logit(p))
    cut = low + scale * (logit(share * p * len(test) / scores.size) - logit(p))
    return (logit(distance) <= cut).any(axis=1)


def fiftyone(train, test, distance=0.2):
    """FiftyOne's leaky splits: a duplicate is compared with its nearest kept sample alone.

    Samples are walked in order, train first; one is kept when no kept sample is within `distance` (1 - cosine). A leak
    is a sample that was not kept and its nearest kept one, if they are of two splits; both are called leaked.
    """
    vectors = numpy.concatenate([train, test])
    cosine = vectors @ vectors.T
    kept = numpy.zeros(len(vectors), bool)
    for row in range(len(vectors)):
        kept[row] = not (cosine[row, :row][kept[:row]] >= 1 - distance).any()
    of_kept = numpy.flatnonzero(kept)
    leaked = numpy.zeros(len(vectors), bool)
    for row in numpy.flatnonzero(~kept):
        nearest = of_kept[cosine[row, of_kept].argmax()]
        if (row < len(train)) != (nearest < len(train)):
            leaked[[row, nearest]] = True
    return leaked[len(train) :]


def logit(p):
    return numpy.log(p / (1 - p))


PEERS = {
    "cosine at least 0.9": lambda train, test: above(train, test, 0.9),
    "SelfClean's automatic cut, alpha 0.01 (its default)": lambda train, test: selfclean(train, test, 0.01),
    "SelfClean's automatic cut, alpha 0.1": lambda train, test: selfclean(train, test, 0.1),
    "FiftyOne's leaky splits, distance 0.2 (its default)": lambda train, test: fiftyone(train, test),
}
