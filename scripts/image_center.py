#!/usr/bin/env python3
"""Makes the prior of centering of the image model: the mean unit vector of many varied photographs.

    image_center.py --tamis PATH [--data DIR] [--out FILE]

tamis subtracts from the vectors of this model what all have in common; for small datasets that is mostly this mean.
Each photograph of photographs.py is taken whole and as three random crops whose sides are 0.75, 0.5 and 0.35 of its
own, which makes 1,400 pictures; a crop that shows nothing but background is drawn again. They are scaled to each of the
model's input sizes, embedded by `tamis embed --raw`, and all unit vectors count alike. The result is written as text:
base64 of little-endian f16 numbers. make_default_models.py puts it into the weights as the tensor `center`.

The crops are seeded by the names of the photographs. With Pillow 13.0.0 the same pictures come out on every machine;
vectors may differ in their last bits between processors, so that single numbers may round to the f16 beside.

Needs numpy and what photographs.py needs; not part of any check.
"""

import argparse
import base64
import pathlib
import random
import subprocess
import tempfile

import numpy
from PIL import Image, ImageStat

from photographs import ROOT, write_photographs

OUT = ROOT / "scripts" / "mobilenet_v2_center.txt"
SIDES = [96, 128, 160, 192, 224]
CROPS = [0.75, 0.5, 0.35]
MIN_CONTRAST = 12
"""Standard deviation of the grey values below which a crop shows background alone."""
LINE = 76


def crops(name, picture):
    """Returns the whole picture and one random crop of each scale."""
    rng = random.Random(name)
    width, height = picture.size
    found = [picture]
    for scale in CROPS:
        w, h = round(width * scale), round(height * scale)
        for _ in range(100):
            x, y = rng.randint(0, width - w), rng.randint(0, height - h)
            crop = picture.crop((x, y, x + w, y + h))
            if ImageStat.Stat(crop.convert("L")).stddev[0] >= MIN_CONTRAST:
                break
        found.append(crop)
    return found


def embed(tamis, folder):
    """Returns the unit vectors of the pictures in a folder, sorted by the bytes of their paths."""
    target = folder.with_name(folder.name + ".npy")
    subprocess.run([tamis, "embed", "--raw", "--quiet", folder, "--out", target], check=True)
    return numpy.load(target)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tamis", type=pathlib.Path, required=True, help="tamis binary")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "acceptance-data", help="folder for downloads")
    parser.add_argument("--out", type=pathlib.Path, default=OUT, help="file to write (default: %(default)s)")
    args = parser.parse_args()
    total, n = numpy.zeros(1280), 0
    means = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        paths = write_photographs(folder / "photographs", args.data)
        pictures = [it for path in paths for it in crops(path.stem, Image.open(path))]
        for side in SIDES:
            scaled = folder / str(side)
            scaled.mkdir()
            for idx, picture in enumerate(pictures):
                picture = picture.resize((side, side), Image.Resampling.BILINEAR)
                picture.save(scaled / f"{idx:05}.png", compress_level=1)
            rows = embed(args.tamis, scaled).astype(numpy.float64)
            assert len(rows) == len(pictures) and numpy.isfinite(rows).all()
            means.append(rows.mean(axis=0))
            total += rows.sum(axis=0)
            n += len(rows)
    center = total / n
    for side, mean in zip(SIDES, means):
        cosine = mean @ center / numpy.linalg.norm(mean) / numpy.linalg.norm(center)
        print(f"side {side}: norm of the mean {numpy.linalg.norm(mean):.4f}, cosine to the center {cosine:.4f}")
    print(f"{len(paths)} photographs, {len(pictures)} pictures, norm of the center {numpy.linalg.norm(center):.4f}")
    text = base64.b64encode(center.astype("<f2").tobytes()).decode()
    args.out.write_text("".join(text[at : at + LINE] + "\n" for at in range(0, len(text), LINE)))


if __name__ == "__main__":
    main()
