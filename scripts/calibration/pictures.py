"""The pictures of the calibration: those of the copies benchmark, split anew for every resample, and distorted copies."""

import random
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from corpora import SEED, Corpus, Resample

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))

from copies import GOLDEN, SAME_LEVELS, make, real  # noqa: E402


@dataclass
class Pictures(Corpus):
    """Real pictures with a file of each distortion of each."""

    groups: list
    """Lists of sources that show the same picture."""
    files: dict
    """Path by source and distortion."""

    def draw(self, number, copies):
        """One picture of each group, so that all that are drawn are different; copies are of different sources."""
        rng = random.Random(f"{SEED}/{self.name}/{number}")
        drawn = [rng.choice(group) for group in self.groups]
        rng.shuffle(drawn)
        ends = [self.n_train, self.n_train + self.n_test, self.n_train + self.n_test + self.n_reference]
        train, test, reference = drawn[: ends[0]], drawn[ends[0] : ends[1]], drawn[ends[1] : ends[2]]
        sources = rng.sample(train, copies * len(self.levels))
        levels = [level for level in self.levels for _ in range(copies)]
        made = [(level, self.files[source, level]) for level, source in zip(levels, sources, strict=True)]
        return Resample(*([self.files[it, "base"] for it in part] for part in (train, test, reference)), made)


def pictures(data):
    folder = data / "copies-real"
    facts = make(folder, "real", real(data / "downloads"), 1, 1)
    groups = defaultdict(list)
    for source, leader in enumerate(facts["groups"]):
        groups[leader].append(source)
    return Pictures(
        name="pictures",
        clean=f"different pictures, of {len(facts['names'])} in {len(groups)} groups; two files are one group where they "
        "show the same by themselves (copies in another package or size, or turned: mean difference of 32 x 32 grey "
        f"levels at most {SAME_LEVELS:.0f}), and of each group a resample takes one",
        made="Pictures are scaled down to 256 pixels, and a copy has one of the distortions of scripts/bench/copies.py",
        column="image",
        fixed=0.975,
        levels={kind: kind for kind in GOLDEN},
        goals={},
        goal=0.97,
        n_train=260,
        n_test=150,
        n_reference=320,
        groups=[groups[leader] for leader in sorted(groups)],
        files={(source, kind): str(folder / "files" / name) for name, (source, kind) in facts["files"].items()},
    )


CORPORA = {"pictures": pictures}
