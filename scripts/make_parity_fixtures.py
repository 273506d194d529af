#!/usr/bin/env python3
"""Makes small random checkpoints of the known architectures and what the reference libraries compute from them.

    python scripts/make_parity_fixtures.py --out tests/fixtures/models/parity           make the files
    python scripts/make_parity_fixtures.py --out tests/fixtures/models/parity --check   make them again and compare

Run with Python 3.11 and the packages of PINNED; other versions are refused. No network. Every number is random with a
fixed seed; the same packages on the same kind of processor give the same bytes.

A case is a folder in hub layout: config.json, model.safetensors (f32, the tensor names of published checkpoints),
tokenizer.json for texts, preprocessor_config.json for pictures, the files of sentence-transformers where such models
are published with them, and golden.json:

- `made_with`: versions of the libraries that computed the vectors;
- `kind`: `text`, `image` or `text+image`; `pooling`; `dim`; `max_tokens`; `normalized`: whether vectors have length 1;
- `texts`: text, token ids as the model gets them (special tokens included, cut to max_tokens), vector; one text at a
  time without padding, unless `padded_to` is there;
- `prompted`: the same with a prompt of config_sentence_transformers.json in front of the text;
- `inputs`: pictures of exactly a size that the model takes, by `formula`, and the vector of (x / 255 - mean) / std;
- `preprocess`: what the reference image processor (Pillow) makes of a picture before rescaling: `pixels`, shape
  (height, width, 3), 0 to 255, row-major;
- `notes`: what else is to be known.

A formula gives the value of row i, column j and color c; see FORMULAS. Where transformers 5 writes another config.json
than the one that published checkpoints have, the folder holds both: config.json as published, and
config.transformers5.json, which means the same.

Before anything is written, the script shows that a fixture can fail: a zeroed tensor, a zeroed third of a fused one,
or a changed setting moves some vector by at least MIN_EFFECT, vectors of different inputs have a cosine below
MAX_COSINE, and the reference library gives the same vectors from the reloaded files as the model in memory does with
another implementation of attention.
"""

import argparse
import collections
import copy
import dataclasses
import filecmp
import functools
import importlib.metadata
import json
import math
import os
import pathlib
import re
import shutil
import sys
import tempfile
import warnings
import zlib

# Before the libraries are imported: no network, and one thread, so that sums have one order.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import model2vec
import model2vec.persistence
import numpy as np
import safetensors.torch
import sentence_transformers
import timm
import timm.models.efficientnet
import torch
import transformers
from PIL import Image
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

PINNED = {
    "model2vec": "0.10.0",
    "numpy": "2.4.6",
    "pillow": "13.0.0",
    "safetensors": "0.8.0",
    "sentence-transformers": "6.2.0",
    "timm": "1.0.31",
    "tokenizers": "0.23.3",
    "torch": "2.15.0",
    "torchvision": "0.29.2",
    "transformers": "5.23.0",
}

# Zeroing a tensor moves some number of some vector by at least this much: 100 times the tolerance of the tests.
MIN_EFFECT = 1e-2
# The same for a changed setting, whose effect may be small by nature (two kinds of GELU): 3 times the tolerance.
MIN_SETTING_EFFECT = 3e-4
MAX_COSINE = 0.99
# Between two implementations of the same sums in f32.
MAX_ABS_AGAIN = 2e-5

# Larger than any published one (1e-12 to 1e-5), so that a wrong epsilon shows.
EPS = 1e-2
MAX_TOKENS = 48
SIDE = 32
PATCH = 8

# Tensors without effect on an embedding: a bias of keys adds the same number to every score of a query, the rest
# belongs to other tasks.
INERT = r"(k_proj|\.key|attn\.k)\.bias$|mask_token|logit_scale|logit_bias|^pooler\.|^classifier\."

CORPUS = """The quick brown fox jumps over the lazy dog.
A dataset holds samples, labels and splits; an auditor reads all of them.
Two rows with the same text in train and test are a leak.
Nobody noticed that half of the pictures were copies of the other half.
Coffee is brewed from roasted beans, tea from the leaves of a plant.
The train from Paris to Vienna leaves at seven in the morning.
She counted 1,234 stars, 56 planets and 7 moons before sunrise.
Where do the rivers run when the mountains are dry?
The price of bread rose by 3.5 % in the last quarter of the year.
Rain fell on the roofs of the old town, and the streets were empty.
An embedding is a list of numbers; near numbers mean near meanings.
Please send the letter to the office before the end of the week!
El río nace en la montaña y muere en el mar.
Ein Sieb trennt das Feine vom Groben, wenn man es schüttelt.
Le tamis sépare la farine du son; la cuisine sent le café.
Write a function that returns the sum of two matrices, row by row.
The cat sat on the mat while the dog slept under the table.
Light travels faster than sound, which is why thunder comes late.
"""
LONG = " ".join(CORPUS.split())
SENTENCE = "The quick brown fox jumps over the lazy dog."
TEXTS = [
    "",
    "coffee",
    "naïve café 🦀 東京 — résumé №7",
    SENTENCE,
    LONG,
    "the QUICK brown FOX jumps over the LAZY dog.",
]

FORMULAS = {
    "ramp": "(c*7919 + i*31 + j*17) % 255",
    "waves": "(c*53 + i*i*3 + j*j*5 + i*j*(c+1)) % 256",
    "slope": "(c*40 + i*3 + j*2) % 256",
}

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
HALF = [0.5, 0.5, 0.5]


class Failure(Exception):
    """A check that did not hold; its text is printed and the exit status is 1."""


def main():
    """Makes or compares the fixtures and returns the exit status."""
    args = parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    try:
        check_versions()
        with tempfile.TemporaryDirectory() as made:
            made = pathlib.Path(made)
            for name, make in CASES.items():
                if not args.only or name in args.only:
                    make(made / name)
                    print(f"{folder_size(made / name):>9}  {name}")
            print(f"{folder_size(made):>9}  in all")
            if args.check:
                compare(made, args.out, whole=not args.only)
            else:
                replace(made, args.out, whole=not args.only)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


def parse_args():
    """Returns the parsed command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", required=True, help="folder of the cases")
    parser.add_argument("--check", action="store_true", help="compare DIR with what would be written")
    parser.add_argument("--only", action="append", metavar="CASE", choices=list(CASES), help="one case; repeatable")
    return parser.parse_args()


def check_versions():
    """Refuses other versions of the libraries than the pinned ones."""
    for package, expected in PINNED.items():
        got = importlib.metadata.version(package)
        if got.split("+")[0] != expected:
            raise Failure(f"{package}: expected version {expected}, got {got}")


def made_with(*packages):
    """Returns the versions for golden.json."""
    return {package: PINNED[package] for package in sorted({*packages, "numpy", "tokenizers", "torch"})}


def folder_size(folder):
    """Returns the bytes of all files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def files_of(folder):
    """Returns the relative paths of all files of a folder."""
    return {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}


def compare(made, out, whole):
    """Fails where the files in `out` differ from those just made."""
    expected = files_of(made)
    found = files_of(out) if whole else {file for file in files_of(out) if (made / file.parts[0]).is_dir()}
    differing = sorted(str(file) for file in expected ^ found)
    differing += sorted(str(file) for file in expected & found if not filecmp.cmp(made / file, out / file, False))
    if differing:
        raise Failure(f"{out}: {len(differing)} files differ: {', '.join(differing)}")
    print(f"{len(expected)} files are the same")


def replace(made, out, whole):
    """Puts the cases just made into `out` and removes cases that are gone."""
    gone = [golden.parent for golden in out.glob("*/golden.json") if golden.parent.name not in CASES] if whole else []
    for folder in [*gone, *(out / case.name for case in made.iterdir())]:
        if folder.is_dir():
            shutil.rmtree(folder)
    for case in made.iterdir():
        shutil.copytree(case, out / case.name, copy_function=shutil.copyfile)


# Random numbers


def generator(name):
    """Returns the source of random numbers of a case."""
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def randomize(model, random):
    """Fills every parameter such that none is without effect.

    Weights of norms are in [0.5, 1.5] and never 1, biases are not 0, scales of layers (LayerScale) are far from 0 and
    of both signs. Matrices keep the size of what they are given; those that make queries and keys enlarge it, so that
    attention is far from uniform.
    """
    for name, tensor in sorted(model.named_parameters()):
        tensor.copy_(random_tensor(name, tensor.shape, random))
    model.eval()


def random_tensor(name, shape, random):
    """Returns random numbers for the parameter called `name`."""
    normal = torch.randn(shape, generator=random)
    uniform = torch.rand(shape, generator=random)
    if "lambda" in name:
        return (uniform * 0.9 + 0.3) * normal.sign()
    if len(shape) <= 1:
        if re.search(r"(q_norm|k_norm)\.weight$", name):
            return uniform + 1
        if name.endswith("weight"):
            return uniform + 0.5
        return normal * 0.2
    if re.search(r"embedding|attention_bias|token|probe", name) and not re.search(r"projection|patch", name):
        # What every text has, or every token at a place, must not drown the token itself.
        return normal * 0.5 if re.search(r"position|token_type", name) else normal
    fan_in = math.prod(shape[1:])
    weights = normal * 1.3 / math.sqrt(fan_in)
    if re.search(r"(q_proj|k_proj|query|key|attn\.q|attn\.k)\.weight$", name):
        weights *= 1.4
    elif re.search(r"Wqkv|in_proj_weight", name):
        weights[: 2 * shape[0] // 3] *= 1.4
    return weights


# Files


def write_json(path, value):
    """Writes JSON with one line for each element of a list, in the given order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = []
    for key, entry in value.items():
        if isinstance(entry, list) and entry and isinstance(entry[0], dict):
            rows = ",\n  ".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in entry)
            parts.append(f"{json.dumps(key)}: [\n  {rows}\n ]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(entry, ensure_ascii=False)}")
    path.write_text("{\n " + ",\n ".join(parts) + "\n}\n", encoding="utf-8")


def read_json(path):
    """Returns the parsed content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def rounded(vector):
    """Returns numbers with 9 significant digits, which tell any two f32 apart."""
    return [float(f"{float(value):.9g}") for value in np.asarray(vector, dtype=np.float32)]


def publish_config(folder, change):
    """Replaces config.json by the older form that published checkpoints have and keeps the other beside it."""
    saved = read_json(folder / "config.json")
    (folder / "config.json").rename(folder / "config.transformers5.json")
    (folder / "config.json").write_text(json.dumps(change(saved), indent=2) + "\n")


def write_sentence_files(folder, dim, pooling, prompts=None, normalize=False):
    """Writes the files of sentence-transformers in the form that published models have."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")] + [("2_Normalize", "Normalize")] * normalize
    modules = [
        {"idx": idx, "name": str(idx), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for idx, (path, kind) in enumerate(modules)
    ]
    pooling_config = {
        "word_embedding_dimension": dim,
        "pooling_mode_cls_token": pooling == "cls",
        "pooling_mode_mean_tokens": pooling == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
        "pooling_mode_weightedmean_tokens": False,
        "pooling_mode_lasttoken": pooling == "lasttoken",
        "include_prompt": True,
    }
    sentence = {"max_seq_length": MAX_TOKENS, "do_lower_case": False}
    files = {"modules.json": modules, "1_Pooling/config.json": pooling_config, "sentence_bert_config.json": sentence}
    if prompts:
        settings = {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"}
        files["config_sentence_transformers.json"] = settings
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")


# Tokenizers


def save_tokenizer(folder, tokenizer, max_tokens, **special):
    """Writes tokenizer.json and tokenizer_config.json as the transformers library does."""
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=max_tokens, **special
    )
    fast.save_pretrained(folder)


def learn_merges(tokenizer, n_merges, spell, join=lambda a, b: a + b):
    """Returns the symbols of the corpus and the most frequent pairs of neighbors, merged one after another.

    `spell` splits a word of the tokenizer's pre-tokenizer into symbols. Ties go to the pair that sorts first: the
    trainers of the tokenizers library break them differently in each run.
    """
    words = collections.Counter(tuple(spell(word)) for word in corpus_words(tokenizer))
    symbols = sorted({symbol for word in words for symbol in word})
    merges = []
    for _ in range(n_merges):
        counts = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                counts[pair] += count
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        merged = collections.Counter()
        for word, count in words.items():
            merged[merge(word, best, join)] += count
        words = merged
    return symbols, merges


def merge(word, pair, join):
    """Returns a word with each occurrence of a pair joined, from left to right."""
    symbols = []
    for symbol in word:
        if symbols and (symbols[-1], symbol) == pair:
            symbols[-1] = join(*pair)
        else:
            symbols.append(symbol)
    return tuple(symbols)


def corpus_words(tokenizer):
    """Returns the words of the corpus, normalized and split as the tokenizer does it."""
    for line in CORPUS.splitlines():
        line = tokenizer.normalizer.normalize_str(line) if tokenizer.normalizer else line
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(line):
            yield word


def numbered(tokens):
    """Returns {token: id} in the order of the tokens, each once."""
    return {token: idx for idx, token in enumerate(dict.fromkeys(tokens))}


def word_piece(special, cls, sep, vocab_size=300):
    """Returns a lower-casing WordPiece tokenizer like BERT's; `cls` and `sep` are the tokens around a text."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()

    def spell(word):
        return [word[0], *("##" + character for character in word[1:])]

    def join(a, b):
        return a + b.removeprefix("##")

    symbols, merges = learn_merges(tokenizer, vocab_size, spell, join)
    tokens = [*special, *symbols, *(join(a, b) for a, b in merges)]
    tokenizer.model = models.WordPiece(numbered(list(numbered(tokens))[:vocab_size]), unk_token="[UNK]")
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special])
    if cls:
        surround(tokenizer, cls, sep)
    return tokenizer


def surround(tokenizer, first, last):
    """Puts special tokens before and after every text; an empty name stands for none."""
    names = [name for name in (first, last) if name]
    template = " ".join([*([first] if first else []), "$A", *([last] if last else [])])
    pairs = [(name, tokenizer.token_to_id(name)) for name in names]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=pairs)


def byte_level_bpe(special, n_merges=60):
    """Returns a byte-level BPE tokenizer; `special` are its first tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    _, merges = learn_merges(tokenizer, n_merges, list)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.model = models.BPE(numbered([*special, *alphabet, *(a + b for a, b in merges)]), merges)
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special])
    return tokenizer


def unigram(special, normalizer, vocab_size=300):
    """Returns a Unigram tokenizer over words with a leading `▁`; `<unk>` is among the special tokens.

    A piece's score is the logarithm of its share of all occurrences of substrings, each counted by its length.
    """
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    counts = collections.Counter()
    for word in corpus_words(tokenizer):
        for start in range(len(word)):
            for end in range(start + 1, min(start + 8, len(word)) + 1):
                counts[word[start:end]] += end - start
    by_count = sorted(counts, key=lambda piece: (-counts[piece], piece))
    characters = [piece for piece in by_count if len(piece) == 1]
    longer = [piece for piece in by_count if len(piece) > 1]
    kept = set(characters + longer[: vocab_size - len(special) - len(characters)])
    total = sum(counts[piece] for piece in kept)
    pieces = [(piece, round(math.log(counts[piece] / total), 6)) for piece in by_count if piece in kept]
    tokenizer.model = models.Unigram([*((name, 0.0) for name in special), *pieces], special.index("<unk>"))
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special])
    return tokenizer


def clip_bpe():
    """Returns a tokenizer like CLIP's: lower case, merges within words, `</w>` at their ends.

    The vocabulary is CLIP's in small: bytes, bytes at a word's end, merges, start, end; and one token added after the
    end token, which tells the two ways of finding the end token apart.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = clip_normalizer()
    tokenizer.pre_tokenizer = clip_pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    _, merges = learn_merges(tokenizer, 48, lambda word: [*word[:-1], word[-1] + "</w>"])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    start, end, extra = "<|startoftext|>", "<|endoftext|>", "<|extra|>"
    vocab = numbered([*alphabet, *(byte + "</w>" for byte in alphabet), *(a + b for a, b in merges), start, end])
    tokenizer.model = models.BPE(vocab=vocab, merges=merges, unk_token=end, end_of_word_suffix="</w>")
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in (start, end, extra)])
    tokenizer.post_processor = processors.RobertaProcessing(
        (end, vocab[end]), (start, vocab[start]), trim_offsets=False, add_prefix_space=False
    )
    return tokenizer


def clip_normalizer():
    """Returns the normalizer of CLIP's tokenizer.json."""
    steps = [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    return normalizers.Sequence(steps)


def clip_pre_tokenizer():
    """Returns the pre-tokenizer of CLIP's tokenizer.json."""
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


# Checks


def check_distinct(case, keys, vectors):
    """Fails where vectors of different inputs are too close to tell a wrong input from the right one."""
    for a in range(len(vectors)):
        for b in range(a):
            cosine = float(vectors[a] @ vectors[b] / (np.linalg.norm(vectors[a]) * np.linalg.norm(vectors[b]) + 1e-30))
            if keys[a] != keys[b] and cosine >= MAX_COSINE:
                raise Failure(f"{case}: vectors {a} and {b} have cosine {cosine:.4f}, expected below {MAX_COSINE}")


def check_same(case, what, expected, got):
    """Fails where two ways to compute the same vectors disagree."""
    distance = float(np.abs(np.stack(expected) - np.stack(got)).max())
    if not distance <= MAX_ABS_AGAIN:
        raise Failure(f"{case}: {what} differs by {distance:.2e}, expected at most {MAX_ABS_AGAIN}")


def check_every_tensor_matters(case, model, embed):
    """Fails where a tensor, or a third of a fused one, can be zeroed without moving a vector."""
    before = np.stack(embed(model))
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if re.search(INERT, name) or not tensor.is_floating_point() or "inv_freq" in name:
            continue
        fused = re.search(r"Wqkv|in_proj", name)
        parts = tensor.data.chunk(3) if fused else [tensor.data]
        for idx, part in enumerate(parts):
            if name.endswith("in_proj_bias") and idx == 1:
                continue  # A bias of keys.
            kept = part.clone()
            part.zero_()
            effect = float(np.abs(np.stack(embed(model)) - before).max())
            part.copy_(kept)
            if effect < MIN_EFFECT:
                raise Failure(f"{case}: without {name} (part {idx}) vectors move by {effect:.1e} only")


def check_every_setting_matters(case, model, embed, settings):
    """Fails where another value of a setting of config.json moves no vector.

    `settings` are pairs of a path in the configuration, such as `text_config.hidden_act`, and the other value.
    """
    before = np.stack(embed(model))
    for path, value in settings:
        config = copy.deepcopy(model.config)
        *parents, last = path.split(".")
        place = config
        for parent in parents:
            place = place[parent] if isinstance(place, dict) else getattr(place, parent)
        if isinstance(place, dict):
            place[last] = value
        else:
            setattr(place, last, value)
        effect = float(np.abs(np.stack(embed(with_config(model, config))) - before).max())
        if effect < MIN_SETTING_EFFECT:
            raise Failure(f"{case}: {path} = {value} moves vectors by {effect:.1e} only")


def with_config(model, config):
    """Returns the weights of a model under a configuration, with attention as plain products and a softmax."""
    other = type(model)._from_config(copy.deepcopy(config), attn_implementation="eager")
    loaded = other.load_state_dict(model.state_dict(), strict=False)
    # The library adds a pooler of another task to a model built without it.
    missing = [name for name in loaded.missing_keys if not name.startswith("pooler.")]
    if missing or loaded.unexpected_keys:
        raise Failure(f"{type(model).__name__}: tensors missing {missing}, unexpected {loaded.unexpected_keys}")
    return other.eval()


def check_ids(case, folder, rows, max_tokens, pad_id=None):
    """Fails where tokenizer.json alone does not give the token ids that the library used.

    With a `pad_id`, ids are filled up to max_tokens with it.
    """
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(max_tokens)
    for row in rows:
        got = tokenizer.encode(row.get("prompt", "") + row["text"]).ids
        if pad_id is not None:
            got += [pad_id] * (max_tokens - len(got))
        if got != row["ids"]:
            raise Failure(f"{case}: tokenizer.json gives {got} for {row['text'][:20]!r}, the library {row['ids']}")


def check_tensors(case, folder, model):
    """Fails where the file holds other dtypes than f32, counters aside."""
    for name, tensor in safetensors.torch.load_file(folder / "model.safetensors").items():
        if tensor.dtype != torch.float32 and not name.endswith("num_batches_tracked"):
            raise Failure(f"{case}: {name} is {tensor.dtype}, expected f32")


# Texts


@dataclasses.dataclass
class TextCase:
    """A text model of the transformers library that sentence-transformers can load."""

    model: object
    tokenizer: Tokenizer
    special: dict  # Names of special tokens for tokenizer_config.json.
    pooling: str
    sentence_files: bool = True
    prompts: dict = None
    normalize: bool = False
    published: object = None  # Turns the saved configuration into the published form.
    published_is_readable: bool = True  # By the library, whose configuration may have other keys.
    settings: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)


def make_text(folder, case):
    """Writes and checks a text model."""
    name = folder.name
    model = case.model
    randomize(model, generator(name))
    model.save_pretrained(folder)
    save_tokenizer(folder, case.tokenizer, MAX_TOKENS, **case.special)
    if case.sentence_files:
        write_sentence_files(folder, model.config.hidden_size, case.pooling, case.prompts, case.normalize)

    texts = [("", text) for text in TEXTS]
    prompted = [(prompt, SENTENCE) for prompt in (case.prompts or {}).values()]
    rows = sentence_rows(folder, texts + prompted)
    check_prompts(name, folder, case.prompts or {}, rows[len(texts) :])
    check_ids(name, folder, rows, MAX_TOKENS)
    check_tensors(name, folder, model)
    vectors = [row["vector"] for row in rows]
    check_distinct(name, [row["ids"] for row in rows], vectors)

    def embed(some_model):
        return [
            pool(some_model(input_ids=torch.tensor([row["ids"]])).last_hidden_state[0], case.pooling) for row in rows
        ]

    eager = with_config(model, model.config)
    check_same(name, "the model in memory", vectors, embed(eager))
    check_every_tensor_matters(name, eager, embed)
    check_every_setting_matters(name, eager, embed, case.settings)
    if case.published:
        publish_config(folder, case.published)
        if case.published_is_readable:
            again = [row["vector"] for row in sentence_rows(folder, texts + prompted)]
            check_same(name, "config.json as published", vectors, again)

    golden = {
        "made_with": made_with("transformers", "sentence-transformers"),
        "kind": "text",
        "pooling": case.pooling,
        "dim": len(vectors[0]),
        "max_tokens": MAX_TOKENS,
        "normalized": False,
        "notes": case.notes,
        "texts": golden_rows(rows[: len(texts)]),
    }
    if prompted:
        golden["prompted"] = golden_rows(rows[len(texts) :])
    write_json(folder / "golden.json", golden)


def sentence_rows(folder, texts):
    """Returns prompt, text, ids and vector by sentence-transformers, before a module that normalizes."""
    loaded = sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    rows = []
    for prompt, text in texts:
        features = loaded.preprocess([prompt + text])
        ids = features["input_ids"][0].tolist()
        for module in loaded:
            if type(module).__name__ != "Normalize":
                features = module(features)
        row = {"prompt": prompt} if prompt else {}
        vector = features["sentence_embedding"][0].numpy()
        rows.append({**row, "text": text, "ids": ids, "vector": vector})
    return rows


def check_prompts(case, folder, prompts, rows):
    """Fails where the library, told the name of a prompt, gives another vector than for the prompt before the text."""
    loaded = sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    for prompt, row in zip(prompts, rows):
        got = loaded.encode([row["text"]], prompt_name=prompt, normalize_embeddings=True)[0]
        check_same(case, f"prompt {prompt}", [row["vector"] / np.linalg.norm(row["vector"])], [got])


def pool(hidden, pooling):
    """Returns one vector for the vectors (t, dim) of the tokens."""
    pooled = {"mean": hidden.mean(0), "cls": hidden[0], "lasttoken": hidden[-1]}[pooling]
    return pooled.numpy().copy()


def golden_rows(rows):
    """Returns rows for golden.json."""
    return [{**row, "vector": rounded(row["vector"])} for row in rows]


BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BERT_NAMES = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
ROBERTA_NAMES = dict(
    bos_token="<s>", cls_token="<s>", pad_token="<pad>", eos_token="</s>", sep_token="</s>", unk_token="<unk>"
)
SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
BERT_SETTINGS = [("layer_norm_eps", 1e-12), ("hidden_act", "gelu_new"), ("num_attention_heads", 2)]


def make_bert(folder):
    """Writes the case `bert`."""
    tokenizer = word_piece(BERT_SPECIAL, "[CLS]", "[SEP]")
    config = transformers.BertConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=64, layer_norm_eps=EPS, **SIZES
    )
    case = TextCase(
        transformers.BertModel(config),
        tokenizer,
        BERT_NAMES,
        "mean",
        prompts={"query": "query: ", "document": "passage: "},
        normalize=True,
        settings=BERT_SETTINGS,
        notes=["modules.json ends with a module that normalizes; the vectors are taken before it"],
    )
    make_text(folder, case)


def make_roberta(folder):
    """Writes the case `roberta`."""
    tokenizer = byte_level_bpe(ROBERTA_SPECIAL)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    config = transformers.RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=MAX_TOKENS + 2,
        type_vocab_size=1,
        layer_norm_eps=EPS,
        **SIZES,
    )
    case = TextCase(
        transformers.RobertaModel(config, add_pooling_layer=False),
        tokenizer,
        ROBERTA_NAMES,
        "mean",
        sentence_files=False,
        settings=[*BERT_SETTINGS, ("pad_token_id", 0)],
        notes=[
            "positions start at pad_token_id + 1 = 2, so 50 positions are 48 tokens",
            "a checkpoint without the files of sentence-transformers: pooling is by the mean",
        ],
    )
    make_text(folder, case)


def make_xlm_roberta(folder):
    """Writes the case `xlm-roberta`."""
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer = unigram([*ROBERTA_SPECIAL, "<mask>"], normalizer)
    surround(tokenizer, "<s>", "</s>")
    config = transformers.XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=MAX_TOKENS + 2,
        type_vocab_size=1,
        layer_norm_eps=EPS,
        **SIZES,
    )
    case = TextCase(
        transformers.XLMRobertaModel(config, add_pooling_layer=False),
        tokenizer,
        {**ROBERTA_NAMES, "mask_token": "<mask>"},
        "cls",
        settings=[*BERT_SETTINGS, ("pad_token_id", 0)],
        notes=["positions start at pad_token_id + 1 = 2"],
    )
    make_text(folder, case)


def make_modernbert(folder):
    """Writes the case `modernbert`."""
    tokenizer = byte_level_bpe(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    surround(tokenizer, "[CLS]", "[SEP]")
    ids = {name: tokenizer.token_to_id(f"[{name.upper()}]") for name in ("cls", "sep", "pad")}
    config = transformers.ModernBertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=64,
        norm_eps=EPS,
        local_attention=8,
        global_attn_every_n_layers=3,
        global_rope_theta=160000.0,
        local_rope_theta=10000.0,
        pad_token_id=ids["pad"],
        bos_token_id=ids["cls"],
        cls_token_id=ids["cls"],
        eos_token_id=ids["sep"],
        sep_token_id=ids["sep"],
        **{**SIZES, "num_hidden_layers": 4},
    )

    def published(saved):
        for key in ("layer_types", "rope_parameters"):
            del saved[key]
        thetas = {"global_rope_theta": 160000.0, "local_rope_theta": 10000.0}
        return {**saved, **thetas, "global_attn_every_n_layers": 3, "position_embedding_type": "absolute"}

    case = TextCase(
        transformers.ModernBertModel(config),
        tokenizer,
        BERT_NAMES,
        "cls",
        published=published,
        settings=[
            ("norm_eps", 1e-5),
            ("hidden_activation", "gelu_new"),
            ("local_attention", 6),
            ("local_attention", 10),
            ("layer_types", ["full_attention"] * 4),
            ("layer_types", ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]),
            ("rope_parameters.full_attention.rope_theta", 10000.0),
            ("rope_parameters.sliding_attention.rope_theta", 160000.0),
        ],
        notes=["layers 0 and 3 are global; in 1 and 2 a token sees 4 to the left, itself and 4 to the right"],
    )
    make_text(folder, case)


def make_mpnet(folder):
    """Writes the case `mpnet`."""
    special = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    tokenizer = word_piece(special, "<s>", "</s>")
    config = transformers.MPNetConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=MAX_TOKENS + 2, layer_norm_eps=EPS, **SIZES
    )
    case = TextCase(
        transformers.MPNetModel(config, add_pooling_layer=False),
        tokenizer,
        {**ROBERTA_NAMES, "unk_token": "[UNK]", "mask_token": "<mask>"},
        "mean",
        settings=[("layer_norm_eps", 1e-12), ("hidden_act", "gelu_new")],
        notes=[
            "positions start at 2",
            "32 buckets of relative positions, half of them for each direction, logarithmic from 8",
        ],
    )
    make_text(folder, case)


def make_nomic_bert(folder):
    """Writes the case `nomic-bert`."""
    tokenizer = word_piece(BERT_SPECIAL, "[CLS]", "[SEP]")
    config = transformers.NomicBertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=64,
        layer_norm_eps=EPS,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
        **SIZES,
    )

    def published(saved):
        return {
            "activation_function": "swiglu",
            "architectures": ["NomicBertModel"],
            "attn_pdrop": 0.0,
            "causal": False,
            "embd_pdrop": 0.0,
            "layer_norm_epsilon": EPS,
            "max_trained_positions": 64,
            "mlp_fc1_bias": False,
            "mlp_fc2_bias": False,
            "model_type": "nomic_bert",
            "n_embd": saved["hidden_size"],
            "n_head": saved["num_attention_heads"],
            "n_inner": saved["intermediate_size"],
            "n_layer": saved["num_hidden_layers"],
            "n_positions": 64,
            "prenorm": False,
            "qkv_proj_bias": False,
            "resid_pdrop": 0.0,
            "rotary_emb_base": 1000,
            "rotary_emb_fraction": 1.0,
            "rotary_emb_interleaved": False,
            "rotary_emb_scale_base": None,
            "rotary_scaling_factor": None,
            "type_vocab_size": saved["type_vocab_size"],
            "use_flash_attn": True,
            "use_rms_norm": False,
            "vocab_size": saved["vocab_size"],
        }

    case = TextCase(
        transformers.NomicBertModel(config),
        tokenizer,
        BERT_NAMES,
        "mean",
        published=published,
        published_is_readable=False,
        settings=[("layer_norm_eps", 1e-12), ("hidden_act", "gelu"), ("rope_parameters.rope_theta", 10000.0)],
        notes=[
            "computed by the transformers library's own NomicBertModel from config.transformers5.json; it saves the "
            "tensors under the names of published checkpoints",
            "config.json has the keys of published checkpoints, which that class does not read",
        ],
    )
    make_text(folder, case)


def make_qwen3(folder):
    """Writes the case `qwen3`."""
    tokenizer = byte_level_bpe(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.normalizer = normalizers.NFC()
    surround(tokenizer, "", "<|endoftext|>")
    config = transformers.Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=64,
        num_key_value_heads=2,
        head_dim=16,
        rms_norm_eps=EPS,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        **SIZES,
    )

    def published(saved):
        for key in ("layer_types", "rope_parameters"):
            del saved[key]
        return {**saved, "rope_theta": 1000000, "rope_scaling": None}

    case = TextCase(
        transformers.Qwen3Model(config),
        tokenizer,
        dict(eos_token="<|endoftext|>", pad_token="<|endoftext|>", padding_side="left"),
        "lasttoken",
        prompts={"query": "Instruct: find passages\nQuery:"},
        normalize=True,
        published=published,
        settings=[
            ("rms_norm_eps", 1e-6),
            ("hidden_act", "gelu"),
            ("rope_parameters.rope_theta", 10000.0),
        ],
        notes=[
            "4 heads of 16 on a hidden size of 32; 2 heads of keys and values",
            "modules.json ends with a module that normalizes; the vectors are taken before it",
        ],
    )
    make_text(folder, case)


# Static embeddings


def make_static(folder):
    """Writes the case `static`: a table of vectors, as Model2Vec publishes it."""
    tokenizer = word_piece(BERT_SPECIAL, None, None)
    random = generator(folder.name)
    table = torch.randn((tokenizer.get_vocab_size(), 32), generator=random).numpy()
    config = static_config(normalize=True)
    # Longer than the 512 tokens that are the default.
    texts = [text if text != LONG else " ".join([LONG] * 4) for text in TEXTS]
    notes = [
        "config.json has no max_length: the default is 512",
    ]
    make_static_case(folder, tokenizer, config, texts, notes, embeddings=table)


def make_static_weighted(folder):
    """Writes the case `static-weighted`: fewer rows than tokens, with a row and a weight for each token."""
    tokenizer = word_piece(BERT_SPECIAL, None, None)
    random = generator(folder.name)
    n_tokens, n_rows = tokenizer.get_vocab_size(), 96
    table = torch.randn((n_rows, 32), generator=random).numpy()
    weights = (torch.rand(n_tokens, generator=random) * 2 + 0.1).numpy()
    mapping = torch.randint(0, n_rows, (n_tokens,), generator=random, dtype=torch.int32).numpy()
    config = {**static_config(normalize=False), "max_length": 16}
    notes = ["vector = mean over tokens of embeddings[mapping[id]] * weights[id]"]
    make_static_case(
        folder, tokenizer, config, TEXTS, notes, embeddings=table, weights=weights, mapping=mapping
    )


def static_config(normalize):
    """Returns the config.json of a published Model2Vec model."""
    return {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "tokenizer_name": "parity",
        "apply_pca": 32,
        "apply_zipf": None,
        "sif_coefficient": 0.0001,
        "hidden_dim": 32,
        "seq_length": 1000000,
        "normalize": normalize,
    }


def make_static_case(folder, tokenizer, config, texts, notes, **tensors):
    """Writes and checks a static model."""
    model2vec.persistence.save_pretrained(
        folder, tokenizer=tokenizer, config=config, create_model_card=False, **tensors
    )
    loaded = model2vec.StaticModel.from_pretrained(folder)
    max_length = loaded.max_length
    max_chars = max_length * loaded.median_token_length
    rows = []
    for text in texts:
        ids = loaded.tokenize([text[:max_chars]])[0]
        vector = loaded.encode([text], use_multiprocessing=False)[0]
        rows.append({"text": text, "ids": ids, "vector": vector})
    vectors = [row["vector"] for row in rows]
    check_distinct(folder.name, [row["ids"] for row in rows], vectors)
    check_same(folder.name, "the formula", vectors, [static_vector(row["ids"], config, **tensors) for row in rows])
    if max(len(row["ids"]) for row in rows) > max_length:
        raise Failure(f"{folder.name}: more than {max_length} tokens")
    golden = {
        "made_with": made_with("model2vec"),
        "kind": "text",
        "pooling": "mean",
        "dim": 32,
        "max_tokens": max_length,
        "max_chars": max_chars,
        "normalized": config["normalize"],
        "notes": [
            "no special tokens; [UNK] is left out of ids and mean; a text without tokens has the vector 0",
            "a text is first cut to max_chars characters, max_tokens times the median length of the tokens of the "
            "vocabulary, then to max_tokens tokens, then [UNK] is removed",
            *notes,
        ],
        "texts": golden_rows(rows),
    }
    write_json(folder / "golden.json", golden)


def static_vector(ids, config, embeddings, weights=None, mapping=None):
    """Returns the vector of a static model by its formula."""
    if not ids:
        return np.zeros(embeddings.shape[1], dtype=np.float32)
    rows = embeddings[ids if mapping is None else mapping[ids]]
    mean = (rows if weights is None else rows * weights[ids][:, None]).mean(0)
    return mean / np.linalg.norm(mean) if config["normalize"] else mean


# Pictures


def picture(formula, width, height):
    """Returns the pixels (height, width, 3) of a formula, u8."""
    i, j, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return eval(FORMULAS[formula], {"__builtins__": {}}, {"i": i, "j": j, "c": c}).astype(np.uint8)


def pixel_values(pixels, mean, std):
    """Returns (1, 3, height, width), f32: (x / 255 - mean) / std."""
    scaled = pixels.astype(np.float32) / np.float32(255)
    normal = (scaled - np.array(mean, dtype=np.float32)) / np.array(std, dtype=np.float32)
    return torch.from_numpy(normal.transpose(2, 0, 1)[None].copy())


def input_rows(sides, mean, std):
    """Returns the pictures of golden.json, each formula at each side, and their normalized values."""
    rows = [{"formula": formula, "width": side, "height": side} for side in sides for formula in FORMULAS]
    return rows, [pixel_values(picture(row["formula"], row["width"], row["height"]), mean, std) for row in rows]


def check_values(case, processor, rows, values):
    """Fails where the reference processor, told not to resize, normalizes otherwise than (x / 255 - mean) / std."""
    for row, expected in zip(rows, values):
        image = Image.fromarray(picture(row["formula"], row["width"], row["height"]))
        got = processor(images=image, do_resize=False, do_center_crop=False, return_tensors="np")["pixel_values"]
        check_same(case, "normalization", [expected.numpy()], [np.asarray(got, dtype=np.float32)])


def preprocessed(processor, sizes):
    """Returns what the reference processor makes of pictures before it rescales them."""
    rows = []
    for formula, (width, height) in zip(("ramp", "slope"), sizes):
        image = Image.fromarray(picture(formula, width, height))
        made = processor(images=image, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
        rows.append(preprocess_row(formula, width, height, np.asarray(made).transpose(1, 2, 0)))
    return rows


def preprocess_row(formula, width, height, made):
    """Returns an entry of `preprocess`; `made` are pixels (side, side, 3)."""
    pixels = np.rint(made).astype(np.int64)
    if np.abs(pixels - made).max() > 0 or pixels.min() < 0 or pixels.max() > 255:
        raise Failure(f"preprocess: expected whole numbers from 0 to 255, got {made.min()} to {made.max()}")
    side = pixels.shape[0]
    return {"formula": formula, "width": width, "height": height, "side": side, "pixels": pixels.ravel().tolist()}


SOURCES = [(61, 43), (43, 61)]
VISION = dict(
    hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=SIDE, patch_size=PATCH
)


def features(output):
    """Returns the vector of a `get_*_features` call."""
    return (output if torch.is_tensor(output) else output.pooler_output)[0].numpy().copy()


def make_vision(folder, model, processor, sides, vector, notes, settings, pooling):
    """Writes and checks a model for pictures alone; `vector` takes the model's output."""
    name = folder.name
    randomize(model, generator(name))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    rows, values = input_rows(sides, processor.image_mean, processor.image_std)
    check_values(name, processor, rows, values)

    def embed(some_model):
        return [vector(some_model(pixel_values=value)).numpy().copy() for value in values]

    loaded = type(model).from_pretrained(folder).eval()
    vectors = embed(loaded)
    eager = with_config(model, model.config)
    check_same(name, "the model in memory", vectors, embed(eager))
    check_tensors(name, folder, model)
    check_distinct(name, list(range(len(rows))), vectors)
    check_every_tensor_matters(name, eager, embed)
    check_every_setting_matters(name, eager, embed, settings)
    write_json(
        folder / "golden.json",
        {
            "made_with": made_with("transformers", "pillow", "torchvision"),
            "kind": "image",
            "pooling": pooling,
            "dim": len(vectors[0]),
            "normalized": False,
            "notes": notes,
            "formulas": FORMULAS,
            "inputs": [{**row, "vector": rounded(got)} for row, got in zip(rows, vectors)],
            "preprocess": preprocessed(processor, SOURCES),
        },
    )


VIT_SETTINGS = [("layer_norm_eps", 1e-12), ("hidden_act", "gelu_new"), ("num_attention_heads", 2)]


def make_vit(folder):
    """Writes the case `vit`."""
    config = transformers.ViTConfig(layer_norm_eps=EPS, **VISION)
    make_vision(
        folder,
        transformers.ViTModel(config, add_pooling_layer=False),
        transformers.ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}),
        [SIDE],
        lambda output: output.last_hidden_state[0, 0],
        ["the vector is the first token after the last norm", "the processor stretches by the bilinear filter"],
        VIT_SETTINGS,
        "cls",
    )


DINO = dict(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    mlp_ratio=2,
    layer_norm_eps=EPS,
    image_size=48,
    patch_size=PATCH,
)


def dino_processor():
    """Returns the processor of DINOv2: the shortest edge to 8/7 of the side, then the middle."""
    return transformers.BitImageProcessorPil(
        size={"shortest_edge": 37},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
    )


def make_dinov2(folder):
    """Writes the case `dinov2`."""
    make_vision(
        folder,
        transformers.Dinov2Model(transformers.Dinov2Config(**DINO)),
        dino_processor(),
        [48, SIDE, 64],
        lambda output: output.pooler_output[0],
        [
            "the vector is the first token after the last norm",
            "positions are those of side 48; at 32 and 64 they are interpolated: bicubic, a = -0.75, corners not "
            "aligned, scale = size in / size out, no antialiasing",
        ],
        VIT_SETTINGS,
        "cls",
    )


def make_dinov2_swiglu(folder):
    """Writes the case `dinov2-swiglu`."""
    make_vision(
        folder,
        transformers.Dinov2Model(
            transformers.Dinov2Config(use_swiglu_ffn=True, qkv_bias=False, **{**DINO, "image_size": 36})
        ),
        dino_processor(),
        [36],
        lambda output: output.pooler_output[0],
        [
            "the feed-forward part has a gate, whose width is 2/3 of mlp_ratio * hidden_size in multiples of 8: 48",
            "queries, keys and values have no bias",
            "image_size is no multiple of patch_size: there are 4 x 4 whole patches, and nothing is interpolated",
        ],
        [("layer_norm_eps", 1e-12), ("num_attention_heads", 2)],
        "cls",
    )


def make_dinov2_with_registers(folder):
    """Writes the case `dinov2-with-registers`."""
    make_vision(
        folder,
        transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(num_register_tokens=3, **DINO)),
        dino_processor(),
        [48, SIDE, 64],
        lambda output: output.pooler_output[0],
        [
            "the vector is the first token after the last norm; the order is first token, registers, patches",
            "positions are those of side 48, none for registers; at 32 and 64 they are interpolated: bicubic with "
            "antialiasing, which means a = -0.5 and, at 32, a filter widened by 48 / 32",
        ],
        VIT_SETTINGS,
        "cls",
    )


# Texts and pictures


def make_pair(folder, model, tokenizer, special, processor, texts, embed_text, golden, settings):
    """Writes and checks a model for texts and pictures; `embed_text` takes a model and token ids."""
    name = folder.name
    randomize(model, generator(name))
    model.save_pretrained(folder)
    max_tokens = model.config.text_config.max_position_embeddings
    save_tokenizer(folder, tokenizer, max_tokens, **special)
    processor.save_pretrained(folder)
    loaded = type(model).from_pretrained(folder).eval()
    fast = transformers.AutoTokenizer.from_pretrained(folder)
    padding = "max_length" if "padded_to" in golden else False
    rows = [{"text": text, "ids": fast(text, truncation=True, padding=padding)["input_ids"]} for text in texts]
    pad_id = model.config.text_config.pad_token_id if padding else None
    check_ids(name, folder, rows, max_tokens, pad_id)
    inputs, values = input_rows([SIDE], processor.image_mean, processor.image_std)
    check_values(name, processor, inputs, values)

    def embed(some_model):
        pictures = [features(some_model.get_image_features(pixel_values=value)) for value in values]
        return [embed_text(some_model, row["ids"]) for row in rows] + pictures

    vectors = embed(loaded)
    eager = with_config(model, model.config)
    check_same(name, "the model in memory", vectors, embed(eager))
    check_tensors(name, folder, model)
    check_distinct(name, [*(row["ids"] for row in rows), *range(len(inputs))], vectors)
    check_every_tensor_matters(name, eager, embed)
    check_every_setting_matters(name, eager, embed, settings)
    write_json(
        folder / "golden.json",
        {
            "made_with": made_with("transformers", "pillow", "torchvision"),
            "kind": "text+image",
            "dim": len(vectors[0]),
            "max_tokens": max_tokens,
            "normalized": False,
            **golden,
            "formulas": FORMULAS,
            "texts": golden_rows([{**row, "vector": vector} for row, vector in zip(rows, vectors)]),
            "inputs": [{**row, "vector": rounded(got)} for row, got in zip(inputs, vectors[len(rows) :])],
            "preprocess": preprocessed(processor, SOURCES),
        },
    )
    return eager


def text_features(model, ids):
    """Returns the vector of token ids, all of them attended to."""
    return features(model.get_text_features(input_ids=torch.tensor([ids])))


def make_clip(folder):
    """Writes the case `clip`."""
    tokenizer = clip_bpe()
    end = tokenizer.token_to_id("<|endoftext|>")
    text = dict(
        SIZES,
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=MAX_TOKENS,
        layer_norm_eps=EPS,
        bos_token_id=tokenizer.token_to_id("<|startoftext|>"),
        eos_token_id=end,
        pad_token_id=end,
        projection_dim=24,
    )
    vision = dict(VISION, layer_norm_eps=EPS, projection_dim=24)
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    texts = [*TEXTS, "a cup of <|extra|> coffee"]
    golden = {
        "pooling": "eos",
        "notes": [
            "texts are pooled at the first token with text_config.eos_token_id; <|extra|> has a higher id",
            "texts_legacy: the same weights with text_config.eos_token_id = 2, as in checkpoints of before 2023, where "
            "texts are pooled at the first of the highest ids",
            "pictures take the first token, post_layernorm and visual_projection; the patch embedding has no bias",
        ],
    }
    model = make_pair(
        folder,
        transformers.CLIPModel(config),
        tokenizer,
        {"bos_token": "<|startoftext|>", **dict.fromkeys(("eos_token", "unk_token", "pad_token"), "<|endoftext|>")},
        transformers.CLIPImageProcessorPil(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        texts,
        text_features,
        golden,
        [
            *(
                (f"{part}_config.{key}", value)
                for part in ("text", "vision")
                for key, value in (("hidden_act", "gelu"), ("layer_norm_eps", 1e-5), ("num_attention_heads", 2))
            ),
            ("text_config.eos_token_id", 2),
        ],
    )
    golden = read_json(folder / "golden.json")
    config = copy.deepcopy(model.config)
    config.text_config.eos_token_id = 2
    model = with_config(model, config)
    rows = [row for row in golden["texts"] if row["text"] in (SENTENCE, texts[-1])]
    golden["texts_legacy"] = [{**row, "vector": rounded(text_features(model, row["ids"]))} for row in rows]
    write_json(folder / "golden.json", golden)


def make_siglip(folder):
    """Writes the case `siglip`."""
    # What the reference tokenizer does in code stands in the normalizer: lower case, no ASCII punctuation, one space.
    punctuation = Regex(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]")
    steps = [
        normalizers.Lowercase(),
        normalizers.Replace(punctuation, ""),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
    ]
    tokenizer = unigram(["<pad>", "</s>", "<unk>"], normalizers.Sequence(steps))
    surround(tokenizer, "", "</s>")
    length = 16
    text = dict(
        SIZES,
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=length,
        layer_norm_eps=EPS,
        projection_size=32,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=1,
    )
    vision = dict(VISION, layer_norm_eps=EPS, hidden_size=32)
    golden = {
        "pooling": "last",
        "padded_to": length,
        "notes": [
            "texts are padded to padded_to with pad_token_id = 1, which is the end token too, and the padding is "
            "attended to; the vector is text_model.head of the last position after final_layer_norm",
            "pictures are pooled by vision_model.head, attention with the probe as the only query",
            "the processor stretches by the bicubic filter",
        ],
    }
    make_pair(
        folder,
        transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision)),
        tokenizer,
        dict(eos_token="</s>", pad_token="</s>", unk_token="<unk>", model_input_names=["input_ids"]),
        transformers.SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}),
        TEXTS,
        text_features,
        golden,
        [
            (f"{part}_config.{key}", value)
            for part in ("text", "vision")
            for key, value in (("hidden_act", "gelu"), ("layer_norm_eps", 1e-6), ("num_attention_heads", 2))
        ],
    )


# EfficientNet-Lite


# As timm builds lite0, whose multipliers are 1 and whose last map has 1,280 channels.
LITE_STAGES = [
    ["ds_r1_k3_s1_e1_c16"],
    ["ir_r2_k3_s2_e6_c24"],
    ["ir_r2_k5_s2_e6_c40"],
    ["ir_r3_k3_s2_e6_c80"],
    ["ir_r3_k5_s1_e6_c112"],
    ["ir_r4_k5_s2_e6_c192"],
    ["ir_r1_k3_s1_e6_c320"],
]


def small_efficientnet_lite():
    """Returns a network of the stages of lite0."""
    efficientnet = timm.models.efficientnet
    model = efficientnet.EfficientNet(
        block_args=efficientnet.decode_arch_def(LITE_STAGES, depth_multiplier=0.5, fix_first_last=True),
        num_features=96,
        num_classes=3,
        stem_size=32,
        fix_stem=True,
        round_chs_fn=functools.partial(efficientnet.round_channels, multiplier=0.1),
        act_layer=torch.nn.ReLU6,
        norm_layer=torch.nn.BatchNorm2d,
    )
    return model.eval()


def make_efficientnet_lite(folder):
    """Writes the case `efficientnet-lite`: lite0 with a tenth of the channels, half the blocks."""
    name = folder.name
    side = 64

    rows, values = input_rows([side, 96], IMAGENET_MEAN, IMAGENET_STD)
    model = small_efficientnet_lite()
    randomize(model, generator(name))
    # Random running statistics would let the biases drown the picture: those of the pictures themselves are taken.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()(torch.cat([value for value in values if value.shape[-1] == side]))
    model.eval()
    published = timm.get_pretrained_cfg("efficientnet_lite0").to_dict()
    model.pretrained_cfg = {**published, "input_size": (3, side, side), "pool_size": (2, 2), "num_classes": 3}
    timm.models.save_for_hf(model, folder, {"architecture": "efficientnet_lite0"}, safe_serialization=True)

    def embed(some_model):
        return [
            some_model.forward_head(some_model.forward_features(value), pre_logits=True)[0].numpy().copy()
            for value in values
        ]

    loaded = small_efficientnet_lite()
    loaded.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    vectors = embed(loaded)
    check_same(name, "the model in memory", vectors, embed(model))
    check_tensors(name, folder, model)
    check_distinct(name, list(range(len(rows))), vectors)
    check_every_tensor_matters(name, model, embed)
    data = timm.data.resolve_data_config(model.pretrained_cfg)
    steps = timm.data.create_transform(**data).transforms[:2]
    if [type(step).__name__ for step in steps] != ["Resize", "CenterCrop"]:
        raise Failure(f"{name}: expected a resize and a crop, got {steps}")
    image = Image.fromarray(picture("ramp", 101, 83))
    for step in steps:
        image = step(image)
    write_json(
        folder / "golden.json",
        {
            "made_with": made_with("timm", "pillow", "torchvision"),
            "kind": "image",
            "pooling": "mean",
            "dim": len(vectors[0]),
            "normalized": False,
            "notes": [
                "the vector is the mean over the last map, after conv_head, bn2 and ReLU6; the classifier is left out",
                "channel multiplier 0.1, depth multiplier 0.5, 96 channels in the last map: blocks and channels are "
                "those of the tensors, the strides of the stages are 1, 2, 2, 2, 1, 2, 1 after a stem of stride 2",
                f"preprocess: {', '.join(str(step) for step in steps)}",
            ],
            "formulas": FORMULAS,
            "inputs": [{**row, "vector": rounded(got)} for row, got in zip(rows, vectors)],
            "preprocess": [preprocess_row("ramp", 101, 83, np.asarray(image))],
        },
    )


CASES = {
    "bert": make_bert,
    "roberta": make_roberta,
    "xlm-roberta": make_xlm_roberta,
    "modernbert": make_modernbert,
    "clip": make_clip,
    "dinov2": make_dinov2,
    "dinov2-swiglu": make_dinov2_swiglu,
    "dinov2-with-registers": make_dinov2_with_registers,
    "static": make_static,
    "static-weighted": make_static_weighted,
    "siglip": make_siglip,
    "vit": make_vit,
    "mpnet": make_mpnet,
    "nomic-bert": make_nomic_bert,
    "qwen3": make_qwen3,
    "efficientnet-lite": make_efficientnet_lite,
}

if __name__ == "__main__":
    sys.exit(main())
