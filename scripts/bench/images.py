"""Pictures per second on one core: the one decode of tamis beside what others take for decoding and scaling alone.

Called by scripts/bench/engine.py, or by hand in a Python that has Pillow, and OpenCV and ImageHash if they are to take part:

    images.py FOLDER [--data DIR] [--rounds N] [--simd-python PATH] [--only small|sizes|large] [--example PATH]

Makes sets of photographs (photographs.py) in FOLDER unless they are there, as JPEG of quality 85 with colors at half the
resolution: `small`, 200 of 500 x 375 pixels; `sizes`, 200 of 450 to 550 x 340 to 410, lying and standing, each of another
size; and `large`, 12 of 2 to 12 million pixels at their own size. Each
contestant is a process with one thread that has all files in memory and is asked for one pass over a set at a time, in
turn with the others, at least seven times. Printed are the medians of pictures per second of the process's CPU time, user
and system, and of the ratio to the bicubic passes of Pillow and Pillow-SIMD of the same round, so that a load on the machine, which slows
neighbors in time alike, falls out of the ratio.

    tamis                 decode, hash of the pixels, perceptual hashes, grey picture, thumbnail, input of 224 x 224 (bicubic)
    tamis-bilinear        the same, bilinear
    tamis-fingerprints    the same, no input
    pillow                decode, convert to RGB as the loaders of torchvision do, scale to 224 x 224, bicubic
    pillow-bilinear       the same, bilinear
    pillow-rgb            pillow without the conversion, for who knows that all files are RGB: it saves a copy
    pillow-fingerprints   pillow, and what else tamis makes: SHA-256 of the pixels, phash and dhash by ImageHash, grey
                          picture, thumbnail (left out where ImageHash is missing)
    pillow-simd           pillow in the Python of --simd-python, where pillow-simd is installed
    pillow-simd-bilinear  the same, bilinear
    pillow-simd-rgb       pillow-rgb there
    opencv                decode and scale, cubic, with OpenCV (no antialiasing); left out where it is missing
    opencv-bilinear       the same, bilinear

Needs what photographs.py needs and cargo; not part of any check.
"""

import argparse
import io
import itertools
import json
import pathlib
import shutil
import statistics
import subprocess
import sys

from process import Process

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
SIDE = 224
N_SMALL = 200
N_LARGE = 12
SMALL_SIZE = (500, 375)
LARGE_PIXELS = range(2_000_000, 12_000_001)
QUALITY = 85
HALF_COLORS = 2
"""What Pillow calls subsampling 4:2:0."""
REFERENCES = ["pillow", "pillow-simd"]


# Pictures


def write_jpegs(folder, name, pictures):
    """Writes pictures as JPEG files into a new folder of that name."""
    partial = folder / f"{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        picture.save(partial / f"{number:03}.jpg", quality=QUALITY, subsampling=HALF_COLORS)
    partial.rename(folder / name)


def one_size(_):
    return SMALL_SIZE


def many_sizes(number):
    """Another size for each of some hundred pictures, lying and standing, with about as many pixels."""
    size = (SMALL_SIZE[0] - 50 + 37 * number % 101, SMALL_SIZE[1] - 35 + 53 * number % 71)
    return size[::-1] if number % 2 else size


def small(folder, data, size_of):
    """Yields the middle of photographs that are large enough, scaled to a size by their number."""
    from PIL import Image, ImageOps
    from photographs import write_photographs

    number = 0
    for path in write_photographs(folder / "photographs", data):
        picture = Image.open(path)
        if all(side >= least for side, least in zip(picture.size, SMALL_SIZE)):
            yield ImageOps.fit(picture, size_of(number), Image.Resampling.LANCZOS)
            number += 1


def large(data):
    """Yields photographs of 2 to 12 million pixels as they are, from all sizes alike."""
    from PIL import Image
    from photographs import photographs

    found = []
    for name, content in photographs(data / "downloads"):
        width, height = Image.open(io.BytesIO(content)).size
        if width * height in LARGE_PIXELS:
            found.append((width * height, name, content))
    found.sort()
    for number in range(N_LARGE):
        yield Image.open(io.BytesIO(found[number * len(found) // N_LARGE][2])).convert("RGB")


# Each with what yields its pictures.
SETS = {
    "small": lambda folder, data: itertools.islice(small(folder, data, one_size), N_SMALL),
    "sizes": lambda folder, data: itertools.islice(small(folder, data, many_sizes), N_SMALL),
    "large": lambda _, data: large(data),
}


# Contestants


def pillow(resampling, fingerprints=False, converts=True):
    """Returns what one pass of Pillow does with the bytes of a file."""
    from PIL import Image

    def scale(content):
        picture = Image.open(io.BytesIO(content))
        if converts:
            # As the loaders of torchvision do; of what is RGB already this makes a copy.
            picture = picture.convert("RGB")
        picture.resize((SIDE, SIDE), resampling).tobytes()
        return picture

    if not fingerprints:
        return scale
    import hashlib

    import imagehash

    def scale_and_fingerprint(content):
        picture = scale(content)
        hashlib.sha256(picture.tobytes()).digest()
        imagehash.phash(picture)
        imagehash.dhash(picture)
        grey = picture.convert("L")
        grey.thumbnail((64, 64), Image.Resampling.BILINEAR, reducing_gap=None)
        picture.thumbnail((128, 128), Image.Resampling.BILINEAR, reducing_gap=None)
        picture.save(io.BytesIO(), "JPEG", quality=QUALITY)

    return scale_and_fingerprint


def opencv(interpolation):
    """Returns what one pass of OpenCV does with the bytes of a file."""
    import cv2
    import numpy

    cv2.setNumThreads(1)
    interpolation = getattr(cv2, interpolation)

    def scale(content):
        picture = cv2.imdecode(numpy.frombuffer(content, numpy.uint8), cv2.IMREAD_COLOR)
        cv2.resize(picture, (SIDE, SIDE), interpolation=interpolation)

    return scale


# Pillow's numbers of its filters.
BILINEAR, BICUBIC = 2, 3
PEERS = {
    "pillow": lambda: pillow(BICUBIC),
    "pillow-bilinear": lambda: pillow(BILINEAR),
    "pillow-rgb": lambda: pillow(BICUBIC, converts=False),
    "pillow-fingerprints": lambda: pillow(BICUBIC, fingerprints=True),
    "opencv": lambda: opencv("INTER_CUBIC"),
    "opencv-bilinear": lambda: opencv("INTER_LINEAR"),
}


def serve():
    """Answers tasks as the example `decode_speed` does: a line with a name and a folder, by the number of pictures."""
    contents, passes = {}, {}
    for line in sys.stdin:
        name, folder = line.rstrip("\n").split(" ", 1)
        if folder not in contents:
            contents[folder] = [path.read_bytes() for path in sorted(pathlib.Path(folder).iterdir())]
        if name not in passes:
            try:
                passes[name] = PEERS[name]()
            except ImportError as error:
                print(f"missing: {error}", flush=True)
                continue
        for content in contents[folder]:
            passes[name](content)
        print(len(contents[folder]), flush=True)


class Contestant:
    """A process that is asked for passes over a folder."""

    def __init__(self, task, command):
        self.task = task
        self.process = Process(command)

    def seconds(self, folder):
        """Returns CPU seconds per picture of one pass; None where a package is missing."""
        answer, seconds = self.process.ask(f"{self.task} {folder}")
        if answer.startswith("missing"):
            return None
        if not answer:
            sys.exit(f"{self.task} ended with {self.process.close()}")
        return seconds / int(answer)


def contestants(example, simd_python):
    """Returns all contestants by name."""
    found = {
        "tamis": Contestant("full", [example]),
        "tamis-bilinear": Contestant("bilinear", [example]),
        "tamis-fingerprints": Contestant("fingerprints", [example]),
    }
    found |= {name: Contestant(name, [sys.executable, __file__, "--serve"]) for name in PEERS}
    if simd_python:
        for name in ["pillow", "pillow-bilinear", "pillow-rgb"]:
            found[name.replace("pillow", "pillow-simd")] = Contestant(name, [simd_python, __file__, "--serve"])
    return found


def built():
    """Builds the example, and returns its path."""
    build = ["cargo", "build", "--release", "--workspace", "--example", "decode_speed"]
    subprocess.run(build, cwd=ROOT, check=True)
    return ROOT / "target" / "release" / "examples" / "decode_speed"


# Measuring


def measure(found, folder, rounds):
    """Prints a table of one set."""
    seconds = {name: [] for name in found if found[name].seconds(folder) is not None}
    for _ in range(rounds):
        for name, taken in seconds.items():
            taken.append(found[name].seconds(folder))
    print(f"\n{folder.name}: {len(list(folder.iterdir()))} pictures, {rounds} rounds\n")
    references = [name for name in REFERENCES if name in seconds]
    print("| contestant | pictures per CPU-second | least | most |" + "".join(f" by {it} |" for it in references))
    print("|---" * (4 + len(references)) + "|")
    for name, taken in seconds.items():
        rates = [1 / it for it in taken]
        ratios = [statistics.median(theirs / ours for theirs, ours in zip(seconds[it], taken)) for it in references]
        cells = [f"{it:.1f}" for it in (statistics.median(rates), min(rates), max(rates))] + [f"{it:.2f}" for it in ratios]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, nargs="?")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "acceptance-data", help="folder for downloads")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--simd-python", help="Python that has pillow-simd in the place of Pillow")
    parser.add_argument("--only", choices=SETS, action="append", help="sets that are measured; default all")
    parser.add_argument("--example", type=pathlib.Path, help="the example decode_speed, instead of building it")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return
    if args.folder is None:
        parser.error("FOLDER is needed")
    folder = args.folder.resolve()
    found = contestants(args.example or built(), args.simd_python)
    for name in args.only or SETS:
        if not (folder / name).exists():
            write_jpegs(folder, name, SETS[name](folder, args.data))
        measure(found, folder / name, args.rounds)


if __name__ == "__main__":
    main()
