"""Which copies of pictures are found, and how many false ones: tamis beside perceptual hashes and a cosine alone.

    copies.py [--data acceptance-data] [--tamis PATH] [--only real|emoji] [--min SCORE ..]

Called by scripts/bench.sh copies; see there. Pictures are of Debian packages (photographs, clip art, icons of at least 64
pixels), scaled down to 256 pixels, and of two vendors' emoji of 64. A picture is a base and has a file for each
distortion of DISTORTIONS, but for emoji: every fourth is a base, every sixteenth is distorted. Truth is the file that it
was made of. Pairs of a base with a distorted file count: a true one has the same source. A file's name is a hash, so that which
of two files comes first, and is laid on the other one, says nothing of what they are.

Left out are pairs of different sources of one group: emoji that differ in skin tone alone, flags, and sources that are the
same picture by themselves (a copy in another package or size, or turned: mean difference of 32 x 32 grey levels at most
SAME_LEVELS in one of eight orientations, which is no statistic of tamis), and what is chained by these (the man and the
person that are drawn alike have one family of skin tones).

Pictures fall into two halves by the hash of their source's name. The cut, the same for all, is the lowest score from which
half 0 of the real pictures and that of the emoji have an FDR of at most MOST_FALSE over the distortions of the goldens; half
1 shows what it is worth. Recall and FDR of one row are over the same distortions: those of the goldens, or all.

What is made once is kept in --data, under a name with a digest of what it was made of. Needs what photographs.py needs, and
numpy.
"""

import argparse
import hashlib
import inspect
import io
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy
import PIL
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "acceptance")]

import photographs as photograph_sets  # noqa: E402
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
LEAST_CUT = 0.9
"""The lowest of the cuts that are tried."""


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


def digest(*parts):
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:12]


def recipe():
    """A digest of what decides which files are made, and what is known of them."""
    makers = [jpeg, half, crop, bright, turned, on_white, icons_and_art, real, emoji, family, same_pictures, groups, make]
    values = [PACKAGES, LONGEST_SIDE, SHORTEST_SIDE, MOST_PIXELS, SAME_LEVELS, EMOJI, EMOJI_VERSION]
    values += [step for _, *steps in DOMAINS.values() for step in steps]
    sources = map(inspect.getsource, [*makers, *DISTORTIONS.values(), photograph_sets])
    return digest(*sources, *DISTORTIONS, *values, PIL.__version__)


def make(folder, domain, sources, step_of_bases, step):
    """Writes bases and distorted files, and what they are."""
    listing = folder / "files.json"
    if listing.exists():
        return json.loads(listing.read_text())
    (folder / "files").mkdir(parents=True, exist_ok=True)
    names, grey, files = [], [], {}

    def target(name, kind):
        file = f"{digest(domain, name, kind)}.{'jpg' if kind == 'jpeg30' else 'png'}"
        assert file not in files, f"two files are named {file}"
        files[file] = [len(names) - 1, kind]
        return folder / "files" / file

    for number, (name, picture) in enumerate(sources):
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        names.append(name)
        grey.append(picture.convert("L"))
        if number % step_of_bases == 0:
            picture.save(target(name, "base"), compress_level=1)
        if number % step == 0:
            for kind, distort in DISTORTIONS.items():
                if kind == "jpeg30":
                    picture.save(target(name, kind), quality=30)
                else:
                    distort(picture).save(target(name, kind), compress_level=1)
    facts = {
        "files": files,
        "names": names,
        "groups": groups(domain, names, grey),
        "families": [family(domain, name) for name in names],
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
    vectors = folder / f"vectors-{hashlib.sha256(Path(tamis).read_bytes()).hexdigest()[:12]}.npy"
    if not vectors.exists():
        subprocess.run([tamis, "embed", "files", "--out", vectors.name, "--quiet"], cwd=folder, check=True)
    names = sorted(files)
    found = pairs(tamis, folder, "--kind", "cosine", "--min", "0.9", "--vectors", vectors.name)
    return [(names[int(a)], names[int(b)], similarity) for a, b, similarity in found]


def judge(facts, found, kinds, sets):
    """For each half the kinds of the right pairs of a base with a distorted file, and how many are wrong.

    A pair is wrong where its sources are not in the same one of `sets`, which has a number or a name for each source.
    """
    files = facts["files"]
    right, n_wrong = [[], []], [0, 0]
    for a, b, _ in found:
        (base, kind), (other, of_kind) = files[Path(a).name], files[Path(b).name]
        if (kind == "base") == (of_kind == "base"):
            continue
        if kind != "base":
            base, other, of_kind = other, base, kind
        if of_kind not in kinds:
            continue
        part = facts["half"][other]
        if base == other:
            right[part].append(of_kind)
        else:
            n_wrong[part] += sets[base] != sets[other]
    return right, n_wrong


def tally(facts, found, kinds, sets):
    """For each half: share of the pairs of some kinds that are found, false ones, FDR, and share by kind."""
    asked = Counter((facts["half"][source], kind) for source, kind in facts["files"].values())
    right, n_wrong = judge(facts, found, kinds, sets)
    for part in (0, 1):
        n_right, of_kind = len(right[part]), Counter(right[part])
        n_asked = {kind: max(1, asked[part, kind]) for kind in kinds}
        share = {kind: of_kind[kind] / n for kind, n in n_asked.items()}
        fdr = n_wrong[part] / max(1, n_right + n_wrong[part])
        yield n_right / sum(n_asked.values()), n_wrong[part], fdr, share


def at_least(cut, found):
    return [it for it in found if cut <= it[2]]


def report(domain, facts, methods):
    largest = max(map(facts["groups"].count, set(facts["groups"])))
    n_groups = len(set(facts["groups"]))
    n_pictures, n_files = len(facts["names"]), len(facts["files"])
    print(f"\n## {domain}: {n_pictures} pictures in {n_groups} groups of up to {largest}, {n_files} files\n")
    of_kinds = [f"{what}, {kinds} kinds" for kinds in ("goldens'", "all") for what in ("recall", "false", "FDR")]
    head = ["method", "half", *of_kinds, *DISTORTIONS]
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for name, found in methods.items():
        halves = zip(*(tally(facts, found, kinds, facts["groups"]) for kinds in (GOLDEN, [*DISTORTIONS])), strict=True)
        for part, rows in enumerate(halves):
            figures = [it for recall, n_wrong, fdr, _ in rows for it in (f"{recall:.4f}", n_wrong, f"{fdr:.4f}")]
            cells = [name, part, *figures, *(f"{it:.3f}" for it in rows[1][3].values())]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def report_falsehood(found, cut):
    """What the FDR would be if other pairs counted as false."""
    print(f"\n## FDR at {cut} by what counts as false\n")
    print("| | false pairs are those of | half 0, goldens' kinds | half 1 | half 0, all kinds | half 1 |")
    print("|---|---|---|---|---|---|")
    for domain, (facts, copies, _) in found.items():
        for name, sets in (("groups", "groups"), ("families", "families"), ("sources", "names")):
            listed = at_least(cut, copies)
            halves = (it for kinds in (GOLDEN, DISTORTIONS) for it in tally(facts, listed, kinds, facts[sets]))
            print(f"| {domain} | different {name} | {' | '.join(f'{100 * fdr:.1f} %' for _, _, fdr, _ in halves)} |")


def chosen(domains):
    """The lowest score of a grid from which half 0 of each of the domains has an FDR of at most MOST_FALSE."""
    for cut in (round(LEAST_CUT + 0.005 * step, 3) for step in range(20)):
        halves = (next(tally(facts, at_least(cut, it), GOLDEN, facts["groups"])) for facts, it, _ in domains)
        if all(fdr <= MOST_FALSE for _, _, fdr, _ in halves):
            return cut
    return 1.0


DOMAINS = {"real": (real, 1, 1), "emoji": (emoji, 4, 16)}
"""Where pictures come from, every which one is a base, and every which one is distorted."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "acceptance-data")
    parser.add_argument("--tamis", default=ROOT / "target" / "release" / "tamis", type=Path)
    parser.add_argument("--only", choices=["real", "emoji"])
    parser.add_argument("--min", action="append", default=[], type=float, help="also at this score")
    args = parser.parse_args()
    tamis, data = str(args.tamis.resolve()), args.data.resolve()
    found = {}
    least = min([LEAST_CUT, *args.min])
    for domain, (sources, step_of_bases, step) in DOMAINS.items():
        if args.only not in (None, domain):
            continue
        folder = data / f"copies-{domain}-{recipe()}"
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
        found[domain] = facts, pairs(tamis, folder, "files", "--kind", "copy", "--min", str(least)), others
    cuts = [chosen(found.values()), *args.min]
    for domain, (facts, copies, others) in found.items():
        report(domain, facts, others | {f"copy >= {cut}": at_least(cut, copies) for cut in cuts})
    report_falsehood(found, cuts[0])


if __name__ == "__main__":
    main()
