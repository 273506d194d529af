"""Writes a Parquet file as Hugging Face `datasets` does, with a ClassLabel. Runs in the venv of text.py.

usage: hf_parquet.py OUT

30 rows; row 21 repeats the text of row 4 with the other label.
"""

import sys

from datasets import ClassLabel, Dataset, Features, Value

texts = [f"Message number {i}: " + " ".join(f"word{(i * 31 + j * 17) % 97}" for j in range(12)) for i in range(30)]
labels = [i % 3 == 0 for i in range(30)]
texts[21], labels[21] = texts[4], not labels[4]
features = Features({"text": Value("string"), "label": ClassLabel(names=["genuine", "advert"])})
Dataset.from_dict({"text": texts, "label": [int(label) for label in labels]}, features=features).to_parquet(sys.argv[1])
