"""What the corpora of the calibration have in common; texts.py and pictures.py have them."""

from dataclasses import dataclass

SEED = 20261123
"""No seed of the study by which the scores were chosen."""


@dataclass
class Resample:
    """A split of a corpus, and copies of what is in its train. Samples are texts, or paths of pictures."""

    train: list
    test: list
    """Clean."""
    reference: list
    copies: list
    """Pairs of a level and a copy."""


@dataclass
class Corpus:
    """A corpus of which two different entries are two different samples, by where they come from.

    Its method `draw(number, copies)` returns a resample, the same on every machine, with so many copies a level.
    """

    name: str
    clean: str
    """Why an entry of the test that is no injected copy is clean."""
    made: str
    """How copies are made."""
    column: str
    """What a sample is in the JSONL that tamis reads: `text` or `image`."""
    fixed: float
    """The score where there is no reference."""
    levels: dict
    """Title of each level at which copies are made."""
    goals: dict
    """Least recall by level."""
    goal: float | None
    """Least recall over all levels."""
    n_train: int
    n_test: int
    n_reference: int
