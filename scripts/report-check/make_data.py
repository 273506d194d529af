"""Data for report-check.sh: a set full of HTML and script, a large one with thousands of copies, one with a group of 60,000."""

import json
import random
import sys
from pathlib import Path

ATTACKS = [
    "<script>window.attacked='script'</script>",
    "</script><script>window.attacked='end of script'</script>",
    "<img src=x onerror=\"window.attacked='image'\">",
    "\"><svg onload=\"window.attacked='svg'\"></svg>",
    "'};window.attacked='json';//",
    "<!--<script>window.attacked='comment'",
    "javascript:window.attacked='link'",
    "<style>*{display:none!important}</style>",
    "{{ 7 * 7 }}{% raw %}<b>template</b>",
    "\u202eright to left\u202c \u2028window.attacked='line'",
    "]]><iframe srcdoc=\"<script>parent.attacked='frame'</script>\"></iframe>",
    "\\u003cscript\\u003ewindow.attacked='escape'\\u003c/script\\u003e",
]


def hostile(folder: Path) -> None:
    """Texts, labels, keys, columns and file names that are markup; each text twice in training and once in the test."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "<img src=x onerror=window.attacked=1>"
    for split in ["train", "test"]:
        rows = []
        for i, attack in enumerate(ATTACKS):
            for copy in range(2 if split == "train" else 1):
                text = f"{attack} number {i} of some words that are in every text so that it is compared {'again' * copy}"
                label = ATTACKS[i % 3]
                rows.append({"id": f"{attack} {split} {i} {copy}", "text": text, "label": label, attack: attack})
                rows.append({"id": f"same {attack} {split} {i} {copy}", "text": f"the same {attack} {i}", "label": attack})
        rows.append({"id": f"empty {split} {ATTACKS[0]}", "text": " ", "label": ATTACKS[0]})
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        lines.append(f"{{broken {ATTACKS[2]}")
        (folder / f"{name}.{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def large(path: Path, n: int = 100_000, n_copies: int = 5_000) -> None:
    """Sentences of drawn words in two classes and two splits, with copies of which some words were changed."""
    rng = random.Random(7)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in ["a", "e", "i", "o", "u", "an", "er", "is"]]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(20_000)]
    with path.open("w", encoding="utf-8") as out:
        texts = []
        for i in range(n):
            if n - n_copies <= i:
                text = texts[rng.randrange(len(texts))].split()
                text[rng.randrange(len(text))] = rng.choice(words)
                text = " ".join(text)
            else:
                topic = words[(i % 40) * 100 : (i % 40) * 100 + 60]
                text = " ".join(rng.choices(topic, k=6) + rng.choices(words, k=12))
            texts.append(text)
            split = "test" if i % 10 == 0 else "train"
            out.write(json.dumps({"id": f"s{i}", "text": text, "label": f"class {i % 12}", "split": split}) + "\n")


def group(path: Path) -> None:
    """One text 60,000 times, and 300 others twice."""
    texts = ["the same words"] * 60_000 + [f"text number {i // 2}" for i in range(600)]
    rows = [json.dumps({"id": f"g{i}", "text": text}) for i, text in enumerate(texts)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    data = Path(sys.argv[1])
    hostile(data / "hostile")
    group(data / "group.jsonl")
    if not (data / "large.jsonl").exists():
        large(data / "large.jsonl")
