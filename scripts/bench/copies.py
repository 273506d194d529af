"""Which copies of pictures are found, and how many false ones: tamis beside perceptual hashes and a cosine alone.

    copies.py [--data acceptance-data] [--tamis PATH] [--only real|emoji] [--min SCORE ..]

Called by scripts/bench.sh copies; see there. Pictures are of Debian packages (photographs, clip art, icons of at least 64
pixels), scaled down to 256 pixels, and of two vendors' emoji of 64. A picture is a base and has a file for each
distortion of DISTORTIONS, but for emoji: every fourth is a base, every sixteenth is distorted. Truth is the file that it
was made of. Pairs of a base with a distorted file count: a true one has the same source.

Left out are pairs of different sources of one group: emoji that differ in skin tone alone, flags, and sources that are the
same picture by themselves (a copy in another package or size, or turned: mean difference of 32 x 32 grey levels at most
SAME_LEVELS in one of eight orientations, which is no statistic of tamis), and what is chained by these (the man and the
person that are drawn alike have one family of skin tones).

Pictures fall into two halves by the hash of their source's name. The cut, the same for all, is the lowest score from which
half 0 of the real pictures and that of the emoji have an FDR of at most MOST_FALSE; half 1 shows what it is worth.
Needs what photographs.py needs, and numpy.
"""

import argparse
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from collections import defaultdict
from pathlib import Path

import numpy
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "acceptance")]

from common import npm_pack  # noqa: E402
from image_sets import EMOJI, EMOJI_VERSION, tar_files  # noqa: E402
from photographs import debian, photographs  # noqa: E402

# Package, version, SHA-256, pattern of the pictures, and most of them, evenly taken.
PACKAGES = [
    (
        "openclipart-png",
        "1:0.18+dfsg-19",
        "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
        r".*\.png$",
        200,
    ),
    (
        "ukui-wallpapers",
        "20.04.3-1.1",
        "6d49be70152e6d603163458e177e501deb0be8f2916389ccbfcf59b0d7fc0262",
        r".*\.(jpg|png)$",
        40,
    ),
    (
        "oxygen-icon-theme",
        "5:5.103.0-1",
        "3e49023e148906e41457a98a19a09858ddd761ef4f212fa356232924b3cebcce",
        r".*/(64x64|128x128)/.*\.png$",
        200,
    ),
]
LONGEST_SIDE = 256
SHORTEST_SIDE = 64
MOST_PIXELS = 20_000_000
"""Larger clip art would take most of the time."""
SAME_LEVELS = 4.0
MOST_FALSE = 0.05


def jpeg(picture, quality):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert(picture.mode)


def half(picture):
    return picture.resize([max(1, side // 2) for side in picture.size], Image.Resampling.LANCZOS)


def crop(picture, share):
    x, y = (max(1, round(share * side)) for side in picture.size)
    return picture.crop((x, y, picture.width - x, picture.height - y))


def bright(picture):
    return ImageEnhance.Brightness(picture).enhance(1.3)


def turned(picture):
    return picture.transpose(Image.Transpose.ROTATE_90)


# The first eight are those of the goldens.
DISTORTIONS = {
    "resize50": half,
    "jpeg30": lambda it: jpeg(it, 30),
    "crop5": lambda it: crop(it, 0.05),
    "flip": ImageOps.mirror,
    "rot90": turned,
    "bright130": bright,
    "blur2": lambda it: it.filter(ImageFilter.GaussianBlur(2)),
    "gray": lambda it: it.convert("L"),
    "crop10": lambda it: crop(it, 0.10),
    "crop15": lambda it: crop(it, 0.15),
    "flip+crop5": lambda it: crop(ImageOps.mirror(it), 0.05),
    "rot90+jpeg30": lambda it: jpeg(turned(it), 30),
    "crop5+bright130": lambda it: bright(crop(it, 0.05)),
    "gray+resize50": lambda it: half(it).convert("L"),
}
GOLDEN = list(DISTORTIONS)[:8]


def on_white(picture):
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def icons_and_art(downloads):
    # Sizes are checked here, before anything is decoded.
    Image.MAX_IMAGE_PIXELS = None
    for package, version, sha256, pattern, n in PACKAGES:
        files = {name: raw for name, raw in debian(downloads, package, version, sha256) if re.match(pattern, name)}
        names = sorted(files)
        kept = 0
        for name in names[:: max(1, len(names) // (2 * n))]:
            if kept == n:
                break
            picture = Image.open(io.BytesIO(files[name]))
            if SHORTEST_SIDE <= min(picture.size) and picture.width * picture.height <= MOST_PIXELS:
                kept += 1
                yield f"{package}-{kept:03}", on_white(picture)


def real(downloads):
    for name, raw in photographs(downloads):
        yield name, on_white(Image.open(io.BytesIO(raw)))
    yield from icons_and_art(downloads)


def emoji(downloads):
    for vendor, sha256 in EMOJI.items():
        for name, raw in tar_files(npm_pack(downloads, f"emoji-datasource-{vendor}", EMOJI_VERSION, sha256)):
            if name.startswith(f"package/img/{vendor}/64/"):
                yield f"{vendor}-{Path(name).stem}", on_white(Image.open(io.BytesIO(raw)))


def family(domain, source):
    """Sources of one family make no pair, but for those of a picture with itself."""
    if domain != "emoji":
        return source
    vendor, codes = source.split("-", 1)
    if re.match("1f1e[6-9a-f]|1f1f", codes) or codes.startswith("1f3f4-e0"):
        return "flags"
    return re.sub("-(1f3f[b-f]|fe0f)", "", codes)


def same_pictures(pictures):
    """Pairs of pictures that are the same by themselves, in some orientation: no statistic of tamis."""
    small = [numpy.asarray(it.resize((32, 32), Image.Resampling.BOX), numpy.float32) for it in pictures]
    small = numpy.stack(small)

    def coarse(views):
        return views.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4)).reshape(len(views), -1)

    upright = coarse(small)
    lengths = (upright**2).sum(axis=1)
    for turn in range(4):
        turned = numpy.rot90(small, turn, axes=(1, 2))
        for views in (turned, turned[:, :, ::-1]):
            # Few are near on 16 x 16, and those are compared on 32 x 32.
            squares = lengths[:, None] + lengths[None] - 2 * (upright @ coarse(views).T)
            for a, b in numpy.argwhere(squares <= 256 * (2 * SAME_LEVELS) ** 2):
                if a < b and numpy.abs(small[a] - views[b]).mean() <= SAME_LEVELS:
                    yield int(a), int(b)


def groups(domain, names, pictures):
    """For each source the first one of its group: those of one family, and those that are the same picture."""
    leader = list(range(len(names)))

    def first(source):
        while leader[source] != source:
            source = leader[source]
        return source

    def join(a, b):
        a, b = sorted((first(a), first(b)))
        leader[b] = a

    of_family = {}
    for source, name in enumerate(names):
        join(source, of_family.setdefault(family(domain, name), source))
    for a, b in same_pictures(pictures):
        join(a, b)
    return [first(source) for source in range(len(names))]


def make(folder, domain, sources, step_of_bases, step):
    """Writes bases and distorted files, and what they are."""
    listing = folder / "files.json"
    if listing.exists():
        return json.loads(listing.read_text())
    (folder / "files").mkdir(parents=True, exist_ok=True)
    names, grey, files = [], [], {}
    for number, (name, picture) in enumerate(sources):
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        names.append(name)
        grey.append(picture.convert("L"))
        if number % step_of_bases == 0:
            picture.save(folder / "files" / f"{number:05}_base.png", compress_level=1)
            files[f"{number:05}_base.png"] = [number, "base"]
        if number % step == 0:
            for kind, distort in DISTORTIONS.items():
                ending = "jpg" if kind == "jpeg30" else "png"
                target = f"{number:05}_{kind}.{ending}"
                if kind == "jpeg30":
                    picture.save(folder / "files" / target, quality=30)
                else:
                    distort(picture).save(folder / "files" / target, compress_level=1)
                files[target] = [number, kind]
    facts = {
        "files": files,
        "names": names,
        "groups": groups(domain, names, grey),
        "half": [hashlib.sha256(name.encode()).digest()[0] % 2 for name in names],
    }
    listing.write_text(json.dumps(facts))
    return facts


def pairs(tamis, folder, *words):
    """Pairs that tamis lists, as (file, file, similarity)."""
    command = [tamis, "pairs", *words, "--format", "jsonl", "--quiet"]
    found = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [(it["a_key"], it["b_key"], it["similarity"]) for it in map(json.loads, found.splitlines())]


def cosine_pairs(tamis, folder, files):
    vectors = folder / "vectors.npy"
    if not vectors.exists():
        subprocess.run([tamis, "embed", "files", "--out", vectors.name, "--quiet"], cwd=folder, check=True)
    names = sorted(files)
    found = pairs(tamis, folder, "--kind", "cosine", "--min", "0.9", "--vectors", vectors.name)
    return [(names[int(a)], names[int(b)], similarity) for a, b, similarity in found]


def judge(facts, found):
    """Pairs of a base with a distorted file: those that are right by kind, and those that are wrong with their score."""
    files = facts["files"]
    right, wrong = {0: defaultdict(int), 1: defaultdict(int)}, {0: [], 1: []}
    for a, b, score in found:
        (base, kind), (other, of_kind) = files[Path(a).name], files[Path(b).name]
        if (kind == "base") == (of_kind == "base"):
            continue
        part = facts["half"][other if kind == "base" else base]
        made = of_kind if kind == "base" else kind
        if base == other:
            right[part][made] += 1
        elif facts["groups"][base] != facts["groups"][other]:
            wrong[part].append((score, a, b))
    return right, wrong


def tally(facts, found):
    """For each half: share of the pairs that are found, of those of the goldens' kinds, false ones, FDR, share by kind."""
    asked = {part: defaultdict(int) for part in (0, 1)}
    for source, kind in facts["files"].values():
        if kind != "base":
            asked[facts["half"][source]][kind] += 1
    right, wrong = judge(facts, found)
    for part in (0, 1):
        n_right = sum(right[part].values())
        golden = sum(right[part][kind] for kind in GOLDEN) / max(1, sum(asked[part][kind] for kind in GOLDEN))
        share = [right[part][kind] / max(1, asked[part][kind]) for kind in DISTORTIONS]
        fdr = len(wrong[part]) / max(1, n_right + len(wrong[part]))
        yield n_right / max(1, sum(asked[part].values())), golden, len(wrong[part]), fdr, share


def report(domain, facts, methods):
    largest = max(map(facts["groups"].count, set(facts["groups"])))
    n_groups = len(set(facts["groups"]))
    n_pictures, n_files = len(facts["names"]), len(facts["files"])
    print(f"\n## {domain}: {n_pictures} pictures in {n_groups} groups of up to {largest}, {n_files} files\n")
    head = ["method", "half", "recall", "recall, goldens' kinds", "false", "FDR", *DISTORTIONS]
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for name, found in methods.items():
        for part, (recall, golden, n_wrong, fdr, share) in enumerate(tally(facts, found)):
            cells = [name, part, f"{recall:.4f}", f"{golden:.4f}", n_wrong, f"{fdr:.4f}", *(f"{it:.3f}" for it in share)]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def chosen(domains):
    """The lowest score of a grid from which half 0 of each of the domains has an FDR of at most MOST_FALSE."""
    for cut in (round(0.9 + 0.005 * step, 3) for step in range(20)):
        halves = (next(tally(facts, [it for it in copies if cut <= it[2]])) for facts, copies, _ in domains)
        if all(fdr <= MOST_FALSE for _, _, _, fdr, _ in halves):
            return cut
    return 1.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "acceptance-data")
    parser.add_argument("--tamis", default=ROOT / "target" / "release" / "tamis", type=Path)
    parser.add_argument("--only", choices=["real", "emoji"])
    parser.add_argument("--min", action="append", default=[], help="also at this score")
    args = parser.parse_args()
    tamis, data = str(args.tamis.resolve()), args.data.resolve()
    found = {}
    # Every which picture is a base, and every which is distorted.
    for domain, (sources, step_of_bases, step) in {"real": (real, 1, 1), "emoji": (emoji, 4, 16)}.items():
        if args.only not in (None, domain):
            continue
        folder = data / f"copies-{domain}"
        facts = make(folder, domain, sources(data / "downloads"), step_of_bases, step)
        others = {
            f"{name} <= {radius}{', turned' if turned else ''}": pairs(
                tamis, folder, "files", "--kind", "hamming", "--hash", name, "--radius", radius, *turned
            )
            for name, radius in (("phash", "10"), ("pdq", "31"))
            for turned in ([], ["--turned"])
        } | {
            "cosine >= .9": cosine_pairs(tamis, folder, facts["files"]),
        }
        found[domain] = facts, pairs(tamis, folder, "files", "--kind", "copy", "--min", "0.9"), others
    cuts = [chosen(found.values()), *map(float, args.min)]
    for domain, (facts, copies, others) in found.items():
        ours = {f"copy >= {cut}": [it for it in copies if cut <= it[2]] for cut in cuts}
        report(domain, facts, others | ours)


if __name__ == "__main__":
    main()
