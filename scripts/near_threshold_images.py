#!/usr/bin/env python3
"""For which cosine two pictures are near-duplicates: the measurement behind `near_duplicate.min_cosine` of the image
model.

    near_threshold_images.py --tamis PATH [--data DIR] [--center FILE] [--sides N,N] [DOMAIN ...]

Copies are pictures and what slight edits make of them; pairs of different pictures must not be taken for copies.
Domains:

    photos-640   photographs (photographs.py), longer side at most 640: edited at this size, seen by the model at 224
    photos-224   the same, longer side at most 224
    photos-96    the same, longer side at most 96
    emoji        Google's emoji, 64 x 64, on white; every 5th is edited
    fashion      the first 3,000 pictures of Fashion-MNIST, 28 x 28; every 10th is edited

A photograph is there whole and as three random crops (image_center.py); crops of one photograph make no pair. Emoji
that differ in skin tone, sex or direction alone are one family, whose members make no pair. For raw and for centered
vectors it prints quantiles of the cosine of different pictures, and for several thresholds how many different pictures
are above it, per million pairs, and which share of each kind of edit is. As in tamis, vectors are centered around the
mean of all that are not edited, drawn to the prior by the weight of 100 pictures.

With --sides it scales the emoji and Fashion-MNIST to each of these sizes first. Needs numpy, what photographs.py needs,
and the pictures of `acceptance.sh images` for emoji and Fashion-MNIST; not part of any check.
"""

import argparse
import base64
import gzip
import io
import pathlib
import re
import tempfile

import numpy
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from image_center import OUT, crops, embed
from photographs import ROOT, write_photographs

PRIOR_WEIGHT = 100
THRESHOLDS = [0.80, 0.85, 0.875, 0.90, 0.925, 0.95, 0.97]
QUANTILES = [0.5, 0.99, 0.999, 0.9999, 1]
N_FASHION = 3000


# Edits


def jpeg(picture, quality=30):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def half(picture):
    return picture.resize([max(1, side // 2) for side in picture.size], Image.Resampling.LANCZOS)


def crop(picture):
    width, height = picture.size
    x, y = max(1, round(0.05 * width)), max(1, round(0.05 * height))
    return picture.crop((x, y, width - x, height - y))


def rotate(picture):
    corner = picture.getpixel((0, 0))
    return picture.rotate(2, resample=Image.Resampling.BICUBIC, fillcolor=corner)


def watermark(picture):
    """Writes half-transparent text across the middle, about six tenths as wide as the picture."""
    layer = Image.new("L", (200, 20))
    ImageDraw.Draw(layer).text((1, 1), "© EXAMPLE.ORG", fill=128)
    layer = layer.crop(layer.getbbox())
    width = round(0.6 * picture.width)
    layer = layer.resize((width, max(1, round(width * layer.height / layer.width))), Image.Resampling.BILINEAR)
    marked = picture.copy()
    at = ((picture.width - layer.width) // 2, (picture.height - layer.height) // 2)
    marked.paste((255, 255, 255), at, layer)
    marked.paste((0, 0, 0), (at[0] + 1, at[1] + 1), layer.point(lambda it: it // 2))
    return marked


EDITS = {
    "png": lambda picture: picture.copy(),
    "half": half,
    "jpeg30": jpeg,
    "crop5%": crop,
    "bright1.3": lambda picture: ImageEnhance.Brightness(picture).enhance(1.3),
    "blur2": lambda picture: picture.filter(ImageFilter.GaussianBlur(2)),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "rotate2": rotate,
    "watermark": watermark,
}


# Domains: lists of (family, picture), and of which of them edits are made


def photographs(side):
    def load(data, folder):
        found = []
        for path in write_photographs(folder / "photographs", data):
            for picture in crops(path.stem, Image.open(path)):
                picture.thumbnail((side, side), Image.Resampling.LANCZOS)
                found.append((path.stem, picture))
        return found, 4

    return load


def emoji_family(stem):
    """Returns the code points of an emoji without skin tone, sex, direction and variation."""
    codes = [code for code in stem.split("-") if not re.fullmatch("1f3f[b-f]|2640|2642|27a1|fe0f|200d", code)]
    return "-".join(["1f9d1" if code in ("1f468", "1f469") else code for code in codes])


def emoji(data, _folder):
    found = []
    for path in sorted((data / "images" / "emoji-google").glob("*/*.png")):
        picture = Image.open(path).convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        found.append((emoji_family(path.stem), Image.alpha_composite(white, picture).convert("RGB")))
    return found, 5


def fashion(data, _folder):
    with gzip.open(data / "images" / "fashion" / "train-images-idx3-ubyte.gz") as file:
        pixels = numpy.frombuffer(file.read(16 + N_FASHION * 28 * 28)[16:], numpy.uint8).reshape(-1, 28, 28)
    return [(idx, Image.fromarray(it).convert("RGB")) for idx, it in enumerate(pixels)], 10


DOMAINS = {f"photos-{side}": photographs(side) for side in (640, 224, 96)} | {"emoji": emoji, "fashion": fashion}


# Measurement


def center(rows, plain, prior):
    """Returns all rows centered and normalized, as tamis does for the plain ones."""
    mean = (rows[plain].sum(axis=0) + PRIOR_WEIGHT * prior) / (plain.sum() + PRIOR_WEIGHT)
    centered = rows - mean
    return centered / numpy.linalg.norm(centered, axis=1, keepdims=True)


def different(rows, families):
    """Returns the cosines of all pairs of rows of different families."""
    _, families = numpy.unique(numpy.array(families, dtype=str), return_inverse=True)
    found = []
    for start in range(0, len(rows), 512):
        scores = (rows[start : start + 512] @ rows.T).astype(numpy.float32)
        upper = numpy.arange(len(rows)) > numpy.arange(start, start + len(scores))[:, None]
        found.append(scores[upper & (families[start : start + 512, None] != families)])
    return numpy.concatenate(found)


def measure(title, rows, plain, families, copies):
    apart = different(rows[plain], families)
    quantiles = numpy.quantile(apart, QUANTILES)
    print(f"\n{title}: {len(apart)} pairs of different pictures")
    print("quantiles " + "  ".join(f"{q:g}: {value:.3f}" for q, value in zip(QUANTILES, quantiles)))
    print("cosine >=  false/million " + " ".join(f"{kind:>9}" for kind in EDITS))
    cosines = {kind: numpy.array([rows[a] @ rows[b] for a, b in pairs]) for kind, pairs in copies.items()}
    for threshold in THRESHOLDS:
        shares = " ".join(f"{(it >= threshold).mean():9.1%}" for it in cosines.values())
        print(f"{threshold:9.3f} {1e6 * (apart >= threshold).mean():14.1f} {shares}")
    print("lowest 5 % below         " + " ".join(f"{numpy.quantile(it, 0.05):9.3f}" for it in cosines.values()))


def run(tamis, data, name, prior, side):
    """Embeds the pictures of one domain and their edits, scaled to a side if there is one, and prints the tables."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        pictures, step = DOMAINS[name](data, folder)
        target = folder / "pictures"
        target.mkdir()
        n = 0
        plain, families, copies = [], [], {kind: [] for kind in EDITS}

        def add(picture):
            nonlocal n
            if side:
                picture = picture.resize((side, side), Image.Resampling.BILINEAR)
            picture.save(target / f"{n:06}.png", compress_level=1)
            n += 1
            return n - 1

        for idx, (family, picture) in enumerate(pictures):
            original = add(picture)
            plain.append(original)
            families.append(family)
            if idx % step == 0:
                for kind, edit in EDITS.items():
                    copies[kind].append((original, add(edit(picture))))
        rows = embed(tamis, target).astype(numpy.float64)
    assert len(rows) == n and numpy.isfinite(rows).all()
    is_plain = numpy.zeros(n, dtype=bool)
    is_plain[plain] = True
    title = f"{name} at {side}" if side else name
    print(f"\n{title}: {len(plain)} pictures, {len(copies['png'])} of them edited in {len(EDITS)} ways")
    measure(f"{title}, raw", rows, is_plain, families, copies)
    measure(f"{title}, centered", center(rows, is_plain, prior), is_plain, families, copies)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domains", nargs="*", metavar="DOMAIN", default=[])
    parser.add_argument("--tamis", type=pathlib.Path, required=True, help="tamis binary")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "acceptance-data", help="folder of the acceptance data")
    parser.add_argument("--center", type=pathlib.Path, default=OUT, help="prior (default: %(default)s)")
    parser.add_argument("--sides", default="", help="input sizes, for emoji and Fashion-MNIST")
    args = parser.parse_args()
    prior = numpy.frombuffer(base64.b64decode(args.center.read_text()), "<f2").astype(numpy.float64)
    for name in args.domains or DOMAINS:
        for side in [int(it) for it in args.sides.split(",") if it] or [None]:
            run(args.tamis, args.data, name, prior, side)


if __name__ == "__main__":
    main()
