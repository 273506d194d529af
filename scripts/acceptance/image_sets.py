"""Fetches or makes the image sets, arranges them as tamis will read them, and counts by itself what is in them.

usage: image_sets.py DATA QUICK PART..

QUICK is the number of images to take of the large sets, 0 for all. What a part needs to know about its data goes to
DATA/images/<part>.json; identities are counted here with Pillow, hashlib and a dictionary, and nothing of tamis.
Runs in the venv of images.py, in a process of its own so that its memory does not show in the peak of the runs.
"""

import csv
import gzip
import hashlib
import importlib.util
import json
import random
import re
import shutil
import struct
import sys
import zlib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from common import Unavailable, apt_download, call, npm_pack
from PIL import Image, ImageOps, PngImagePlugin
from text_sets import random_words, tar_files

EMOJI_VERSION = "16.0.0"
EMOJI = {
    "google": "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    "twitter": "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
}
FASHION_VERSION = "0.0~git20200523.55506a9-1"
FASHION = "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"
IDX_FILES = {"train": "train-{}", "test": "t10k-{}"}

LEAST = 0.975
"""The score from which on tamis calls a larger picture a copy."""

FLIP_SEED = 0
FLIP_RATE = 0.1
CHANGE_SEED = 0
CHANGE_RATE = 0.01
FIRST = 1000


# --- the two levels at which two pictures are the same ---------------------------------------------------------------


def upright(path: Path) -> Image.Image:
    """The picture as a viewer shows it: turned by its orientation, a palette replaced by what it maps to."""
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        transparent = "transparency" in image.info
        modes = {"P": "RGBA" if transparent else "RGB", "1": "L"}
        if transparent:
            modes.update({"L": "LA", "RGB": "RGBA"})
        return image.convert(modes.get(image.mode, image.mode))


def identities(path: Path):
    """What is equal at level bytes, and what is equal at level pixels: size, mode, and all numbers."""
    image = upright(path)
    pixels = hashlib.sha256(f"{image.mode} {image.width}x{image.height}\n".encode() + image.tobytes())
    return hashlib.sha256(path.read_bytes()).hexdigest(), pixels.hexdigest()


def groups(keys) -> list:
    """Positions with equal keys, for each key that occurs more than once."""
    places = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return [group for group in places.values() if len(group) > 1]


def count(samples) -> dict:
    """Counts what is in twice among pairs of a bytes key and a pixels key."""
    facts = {"n_samples": len(samples)}
    for level, keys in {"bytes": [s[0] for s in samples], "pixels": [s[1] for s in samples]}.items():
        found = groups(keys)
        facts[f"groups_{level}"] = len(found)
        facts[f"redundant_{level}"] = sum(len(group) - 1 for group in found)
        facts[f"distinct_{level}"] = len(set(keys))
        if level == "bytes":
            facts["pairs_bytes"] = sum(len(group) * (len(group) - 1) // 2 for group in found)
            facts["largest_group_bytes"] = max(map(len, found), default=0)
    return facts


# --- emoji -----------------------------------------------------------------------------------------------------------


def slug(name: str) -> str:
    """`Smileys & Emotion` becomes `smileys-emotion`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def emoji_categories(table) -> dict:
    """Category of each file name; variations (skin tones) have that of their base."""
    categories = {}
    for emoji in table:
        for variation in [emoji, *emoji.get("skin_variations", {}).values()]:
            categories.setdefault(variation["image"], slug(emoji["category"]))
    return categories


def emoji_folder(data: Path, vendor: str, quick: int) -> Path:
    """Writes `<category>/<file>.png` once; the first files by name where not all are asked for."""
    folder = data / "images" / (f"emoji-{vendor}-first-{quick}" if quick else f"emoji-{vendor}")
    if folder.exists():
        return folder
    package = npm_pack(data / "downloads", f"emoji-datasource-{vendor}", EMOJI_VERSION, EMOJI[vendor])
    pictures, table = {}, None
    for name, raw in tar_files(package):
        if name == "package/emoji.json":
            table = json.loads(raw)
        elif name.startswith(f"package/img/{vendor}/64/"):
            pictures[Path(name).name] = raw
    categories = emoji_categories(table)
    partial = fresh(folder.with_name(f"partial-{folder.name}"))
    for name in sorted(pictures)[: quick or None]:
        if name not in categories:
            raise Unavailable(f"{name} has no category in emoji.json")
        target = partial / categories[name] / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(pictures[name])
    return partial.rename(folder)


def emoji_counts(folder: Path) -> dict:
    """What is in one emoji folder."""
    files = sorted(folder.glob("*/*.png"))
    facts = count([identities(path) for path in files])
    facts["labels"] = dict(sorted(Counter(path.parent.name for path in files).items()))
    facts["folder"] = str(folder)
    return facts


def emoji(data: Path, quick: int) -> dict:
    """3,786 pictures of 64 x 64 of each vendor (Apache-2.0; CC-BY 4.0), in 10 categories."""
    return {f"emoji-{vendor}": emoji_counts(emoji_folder(data, vendor, quick)) for vendor in EMOJI}


def first(data: Path, quick: int) -> dict:
    """The first 1,000 of them by file name."""
    return {"first": emoji_counts(emoji_folder(data, "google", min(quick or FIRST, FIRST)))}


def resume(data: Path, quick: int) -> dict:
    """The same folder, and for 1 % of its files a picture with one other pixel, no two of them the same."""
    folder = emoji_folder(data, "google", quick)
    files = sorted(folder.glob("*/*.png"))
    changed = fresh(data / "images" / "resume-changed")
    chosen = random.Random(CHANGE_SEED).sample(files, max(1, round(CHANGE_RATE * len(files))))
    for i, path in enumerate(sorted(chosen)):
        image = upright(path).convert("RGBA")
        image.putpixel((i % image.width, i // image.width), (255, 0, 255, 255))
        target = changed / path.relative_to(folder)
        target.parent.mkdir(exist_ok=True)
        image.save(target)
    after = [identities(changed / p.relative_to(folder)) if p in set(chosen) else identities(p) for p in files]
    facts = {"changed": str(changed), "n_changed": len(chosen), "after": count(after)}
    return {"resume": emoji_counts(folder) | facts}


# --- emoji that are drawn again --------------------------------------------------------------------------------------

TONE = re.compile("-1f3f[b-f]")
SIGN = re.compile("-200d-(2640|2642)|-fe0f")
MAN_OR_WOMAN = re.compile("1f46[89]")


def motif(path: Path) -> str:
    """What a file of emoji shows but for skin tone and gender: other drawings of one motif are no strangers."""
    return MAN_OR_WOMAN.sub("1f9d1", SIGN.sub("", TONE.sub("", path.stem)))


def kinds(paths) -> dict:
    """For each picture the first name of its kind: those of one motif, and those that are the same picture, turned too.

    Left and right hands are each other's mirror image, and a thumb that points down is one that points up.
    """
    # From the benchmark, which has its emoji from here.
    sys.path.append(str(Path(__file__).parents[1] / "bench"))
    from copies import on_white, same_pictures  # noqa: PLC0415

    first = {}

    def find(name):
        while first.setdefault(name, name) != name:
            name = first[name]
        return name

    motifs = [motif(path) for path in paths]
    for a, b in same_pictures([on_white(Image.open(path)).convert("L") for path in paths]):
        low, high = sorted((find(motifs[a]), find(motifs[b])))
        first[high] = low
    return {path: find(name) for path, name in zip(paths, motifs, strict=True)}


def arrange(folder: Path, train, test) -> dict:
    """Puts pictures of `train` of half of the kinds into train/; of `test` those of this half (leaks) and a third of the
    others (clean) into test/, the rest into reference/."""
    for part in ["train", "test", "reference"]:
        (folder / part).mkdir(parents=True)
    facts = {"folder": str(folder), "train": [], "leaks": [], "clean": [], "reference": []}
    kind_of = kinds(train + test)
    for paths, of_train in ((train, True), (test, False)):
        for path in paths:
            digest = hashlib.sha256(kind_of[path].encode()).digest()
            is_seen = digest[0] % 2 == 0
            if is_seen or not of_train:
                part = "train" if of_train else "leaks" if is_seen else "clean" if digest[1] % 3 == 0 else "reference"
                shutil.copy(path, folder / {"leaks": "test", "clean": "test"}.get(part, part))
                facts[part].append(path.name)
    return facts


def variants(data: Path, _quick: int) -> dict:
    """Emoji that are drawn again: with another skin tone by the same vendor, and by the other vendor.

    A family is a picture and its `skin_variations` in emoji.json. For a cut with an error rate the leaks of a test are
    toned pictures whose untoned one is in train, or the pictures of one vendor whose counterpart by the other is; a
    picture is clean, in the test and in the reference, if no picture of its kind is in train.
    """
    folder = fresh(data / "images" / "variants")
    pictures = {vendor: sorted(emoji_folder(data, vendor, 0).glob("*/*.png")) for vendor in EMOJI}
    package = npm_pack(data / "downloads", "emoji-datasource-google", EMOJI_VERSION, EMOJI["google"])
    table = next(json.loads(raw) for name, raw in tar_files(package) if name == "package/emoji.json")
    varied = [entry for entry in table if entry.get("skin_variations")]
    families = [[entry["image"], *(it["image"] for it in entry["skin_variations"].values())] for entry in varied]
    untoned, toned = {family[0] for family in families}, {name for family in families for name in family[1:]}
    facts = {
        "folders": {vendor: str(emoji_folder(data, vendor, 0)) for vendor in EMOJI},
        "families": families,
        "n_families": len(families),
        "n_pictures": sum(map(len, families)),
        "tones": {},
    }
    for vendor, paths in pictures.items():
        base, other = ([it for it in paths if it.name in names] for names in (untoned, toned))
        facts["tones"][vendor] = arrange(folder / f"tones-{vendor}", base, other)
    # Without the toned ones: they say the same again.
    google, twitter = ([it for it in pictures[vendor] if it.name not in toned] for vendor in ["google", "twitter"])
    facts["vendors"] = arrange(folder / "vendors", google, twitter)
    return {"variants": facts}


# --- Fashion-MNIST ---------------------------------------------------------------------------------------------------


def read_idx(path: Path) -> np.ndarray:
    """An idx file of bytes, packed by gzip."""
    raw = gzip.decompress(path.read_bytes())
    _, _, kind, n_axes = raw[:4]
    if kind != 8:
        raise Unavailable(f"{path} holds numbers of kind {kind}, expected 8 (bytes)")
    shape = struct.unpack(f">{n_axes}I", raw[4 : 4 + 4 * n_axes])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * n_axes).reshape(shape)


def idx(array: np.ndarray) -> bytes:
    """The content of an idx file of bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def fashion(data: Path, quick: int) -> dict:
    """60,000 + 10,000 grey pictures of 28 x 28 (MIT); and the train split with a tenth of its labels changed.

    The whole set is read as it is published, packed by gzip; the changed one is written without, which is as common.
    """
    unpacked = data / "downloads" / "fashion-mnist-unpacked"
    package = apt_download(data / "downloads", "dataset-fashion-mnist", FASHION_VERSION, FASHION)
    call(["dpkg", "-x", str(package), str(unpacked)])
    clean, noisy = (fresh(data / "images" / name) for name in ["fashion", "fashion-noisy"])
    samples, facts, grey = [], {"splits": {}}, {}
    for split, pattern in IDX_FILES.items():
        kinds = ["images-idx3-ubyte", "labels-idx1-ubyte"]
        sources = [unpacked / "usr/share/datasets/fashion-mnist" / f"{pattern.format(kind)}.gz" for kind in kinds]
        pictures, labels = (read_idx(source)[: quick or None] for source in sources)
        if quick:
            for source, array in zip(sources, [pictures, labels], strict=True):
                (clean / source.name).write_bytes(gzip.compress(idx(array), mtime=0))
        else:
            for source in sources:
                shutil.copy(source, clean)
        facts["splits"][split] = len(pictures)
        grey[split] = pictures
        samples += [(picture.tobytes(), picture.tobytes()) for picture in pictures]
        facts.setdefault("labels", Counter()).update(str(label) for label in labels)
        if split == "train":
            flips = flip_labels(labels)
            (noisy / pattern.format(kinds[0])).write_bytes(idx(pictures))
            (noisy / pattern.format(kinds[1])).write_bytes(idx(flips["labels"]))
            given = noisy.with_suffix(".jsonl")
            with given.open("w") as out:
                for i, label in enumerate(flips["labels"]):
                    out.write(json.dumps({"id": i, "label": str(label)}) + "\n")
            known = data / "images" / "fashion-flips.json"
            known.write_text(json.dumps({"seed": FLIP_SEED, "flipped": flips["flipped"]}))
            facts["noisy"] = {"folder": str(noisy), "given": str(given), "flips": str(known)}
            facts["noisy"] |= {"n_samples": len(labels), "n_flips": len(flips["flipped"])}
    facts["correlated"] = correlated(grey["train"], grey["test"])
    return {"fashion": count(samples) | facts | {"folder": str(clean)}}


def correlated(train: np.ndarray, test: np.ndarray) -> list:
    """Test picture, train picture and correlation of their pixels, for each of test with one of at least LEAST."""

    def standardized(pictures):
        flat = pictures.reshape(len(pictures), -1).astype(np.float32)
        flat -= flat.mean(axis=1, keepdims=True)
        return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)

    train, test, found = standardized(train), standardized(test), []
    for start in range(0, len(test), 500):
        products = test[start : start + 500] @ train.T
        best = products.argmax(axis=1)
        for row, column in enumerate(best.tolist()):
            if LEAST <= products[row, column]:
                found.append([start + row, column, round(float(products[row, column]), 4)])
    return sorted(found, key=lambda it: -it[2])


def flip_labels(labels: np.ndarray) -> dict:
    """Gives a tenth of the samples, drawn by seed, one of the nine other labels, each as likely."""
    generator = np.random.default_rng(FLIP_SEED)
    chosen = np.sort(generator.choice(len(labels), size=round(FLIP_RATE * len(labels)), replace=False))
    noisy = labels.copy()
    noisy[chosen] = (noisy[chosen] + generator.integers(1, 10, size=len(chosen))) % 10
    return {"labels": noisy, "flipped": chosen.tolist()}


# --- photos with planted copies --------------------------------------------------------------------------------------


def photo(name: str) -> Path:
    """One of the pictures that scikit-image and scikit-learn carry."""
    for package, folder in {"skimage": "data", "sklearn": "datasets/images"}.items():
        path = Path(importlib.util.find_spec(package).submodule_search_locations[0]) / folder / name
        if path.exists():
            return path
    raise Unavailable(f"neither scikit-image nor scikit-learn carries {name}")


def with_segments(jpeg: bytes, orientation: int, comment: str = "") -> bytes:
    """The same coded picture with an EXIF orientation, and with a comment."""
    entry = struct.pack("<HHII", 0x0112, 3, 1, orientation)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    segments = [(0xE1, exif)] + ([(0xFE, comment.encode())] if comment else [])
    made = b"".join(struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body for marker, body in segments)
    at = 2
    if jpeg[2:4] == b"\xff\xe0":  # the JFIF header, where there is one, stays first
        at += 2 + struct.unpack(">H", jpeg[4:6])[0]
    return jpeg[:at] + made + jpeg[at:]


ORIGINALS = [
    *["astronaut.png", "chelsea.png", "coffee.png", "ihc.png", "motorcycle_left.png", "motorcycle_right.png"],
    *["camera.png", "coins.png", "grass.png", "logo.png"],
    *["china.jpg", "flower.jpg", "hubble_deep_field.jpg", "retina.jpg", "rocket.jpg"],
]


def planted(data: Path, _quick: int) -> dict:
    """Photos, and copies of some: what is a copy at which level, and what is near without being one."""
    folder = fresh(data / "images" / "planted")
    for name in ORIGINALS:
        shutil.copy(photo(name), folder)

    shutil.copy(folder / "astronaut.png", folder / "astronaut-copy.png")

    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "the same pixels in another file")
    Image.open(folder / "chelsea.png").save(folder / "chelsea-saved-again.png", pnginfo=notes, compress_level=1)

    china, rocket = ((folder / name).read_bytes() for name in ["china.jpg", "rocket.jpg"])
    (folder / "china-tagged.jpg").write_bytes(with_segments(china, 1, "the same scan"))

    coffee = Image.open(folder / "coffee.png")
    turned = coffee.transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "coffee-turned.tiff", compression="tiff_lzw", tiffinfo={0x0112: 6})

    (folder / "rocket-turned.jpg").write_bytes(with_segments(rocket, 6))
    Image.open(folder / "camera.png").convert("RGB").save(folder / "camera-as-rgb.png")
    Image.open(folder / "retina.jpg").save(folder / "retina-quality-30.jpg", quality=30)
    flower = Image.open(folder / "flower.jpg")
    flower.resize((flower.width // 2, flower.height // 2), Image.Resampling.LANCZOS).save(folder / "flower-half.png")

    files = sorted(folder.iterdir())
    keys = [identities(path) for path in files]
    found = []
    for group in groups([pixels for _, pixels in keys]):
        level = "bytes" if len({keys[place][0] for place in group}) == 1 else "pixels"
        found.append([level, sorted(files[place].name for place in group)])
    facts = {
        "folder": str(folder),
        "expected": [
            ["bytes", ["astronaut-copy.png", "astronaut.png"]],
            ["pixels", ["chelsea-saved-again.png", "chelsea.png"]],
            ["pixels", ["china-tagged.jpg", "china.jpg"]],
            ["pixels", ["coffee-turned.tiff", "coffee.png"]],
        ],
        "counted": sorted(found),
        "near": {
            "turned by its orientation": ["rocket.jpg", "rocket-turned.jpg"],
            "grey stored as RGB": ["camera.png", "camera-as-rgb.png"],
            "JPEG quality 30": ["retina.jpg", "retina-quality-30.jpg"],
            "half size": ["flower.jpg", "flower-half.png"],
            "a stereo pair": ["motorcycle_left.png", "motorcycle_right.png"],
        },
    }
    return {"planted": count(keys) | facts}


# --- formats ---------------------------------------------------------------------------------------------------------

FORMAT_LABELS = ["animals-nature", "activities", "food-drink", "travel-places"]


def formats(data: Path, _quick: int) -> dict:
    """40 emoji of 4 categories and one of them again, in the three forms in which Hugging Face users keep pictures."""
    source = emoji_folder(data, "google", 0)
    rows = [(path, label) for label in FORMAT_LABELS for path in sorted((source / label).iterdir())[::8][:10]]
    rows.append(rows[17])
    folder = fresh(data / "images" / "formats")

    from datasets import ClassLabel, Dataset, Features, Image as ImageFeature  # noqa: I001, PLC0415 - takes seconds

    features = Features({"image": ImageFeature(), "label": ClassLabel(names=FORMAT_LABELS)})
    cells = [{"bytes": path.read_bytes(), "path": None} for path, _ in rows]
    columns = {"image": cells, "label": [FORMAT_LABELS.index(label) for _, label in rows]}
    Dataset.from_dict(columns, features=features).to_parquet(folder / "class-label.parquet")

    tables = {"metadata": folder / "with-metadata", "jsonl": folder / "with-jsonl" / "pictures"}
    for pictures in tables.values():
        pictures.mkdir(parents=True)
        for i, (path, _) in enumerate(rows):
            shutil.copy(path, pictures / f"picture-{i:02}.png")
    with (tables["metadata"] / "metadata.csv").open("w", newline="") as out:
        lines = [[f"picture-{i:02}.png", label] for i, (_, label) in enumerate(rows)]
        csv.writer(out).writerows([["file_name", "label"], *lines])
    jsonl = folder / "with-jsonl" / "rows.jsonl"
    with jsonl.open("w") as out:
        for i, (_, label) in enumerate(rows):
            out.write(json.dumps({"image": f"pictures/picture-{i:02}.png", "label": label}) + "\n")

    facts = count([identities(path) for path, _ in rows])
    facts["labels"] = dict(sorted(Counter(label for _, label in rows).items()))
    facts["inputs"] = {
        "Parquet written by Hugging Face datasets, Image and ClassLabel": str(folder / "class-label.parquet"),
        "a folder of pictures with metadata.csv (file_name, label)": str(tables["metadata"]),
        "JSONL with the path of each picture": str(jsonl),
    }
    return {"formats": facts}


# --- hostile files ---------------------------------------------------------------------------------------------------


def png(width: int, height: int, *chunks) -> bytes:
    """A PNG of 8-bit grey that declares a size and holds these chunks, all with the right sums."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), *chunks, (b"IEND", b"")]
    made = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def hostile(data: Path, _quick: int) -> dict:
    """A folder with good pictures, odd but readable ones, and files that are no pictures."""
    folder = fresh(data / "images" / "hostile")
    for name in ["astronaut.png", "camera.png", "coffee.png", "china.jpg", "rocket.jpg"]:
        shutil.copy(photo(name), folder)
    for path in sorted((emoji_folder(data, "google", 0) / "food-drink").iterdir())[:5]:
        shutil.copy(path, folder)
    readable = ["one-pixel.png", "wide.png"]
    Image.new("RGB", (1, 1), (10, 20, 30)).save(folder / readable[0])
    Image.new("RGB", (30_000, 1), (200, 20, 30)).save(folder / readable[1])

    flower = photo("flower.jpg").read_bytes()
    rows = zlib.compress(bytes(1_000_000))
    bad = {
        "truncated.jpg": flower[: len(flower) // 2],
        "text.jpg": (random_words(random.Random(3), 200) + "\n").encode(),
        "declares-2-to-31.png": png(2**16, 2**15),
        "begins-2-to-31.png": png(2**16, 2**15, (b"IDAT", rows)),
        "empty.png": b"",
    }
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    return {
        "hostile": {
            "folder": str(folder),
            "n_samples": len(list(folder.iterdir())),
            "unreadable": sorted(bad),
            "readable": readable,
        }
    }


# --- writing ---------------------------------------------------------------------------------------------------------


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


PARTS = {part.__name__: part for part in [emoji, variants, fashion, planted, formats, hostile, resume, first]}


def main(data: Path, quick: int, parts):
    """Makes the sets of some parts and writes what is in them."""
    (data / "downloads").mkdir(parents=True, exist_ok=True)
    (data / "images").mkdir(exist_ok=True)
    for part in parts:
        facts = PARTS[part](data, quick)
        (data / "images" / f"{part}.json").write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
    except Unavailable as error:
        sys.exit(f"error: {error}")
