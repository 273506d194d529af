"""Pictures per second on one core: the one decode of tamis beside what others take for decoding and scaling alone.

Called by scripts/bench/engine.py, or by hand in a Python that has Pillow, and OpenCV and ImageHash if they are to take part:

    images.py FOLDER [--data DIR] [--rounds N] [--simd-python PATH] [--only small|large]

Makes two sets of photographs (photographs.py) in FOLDER unless they are there, as JPEG of quality 85 with colors at half
the resolution: `small`, 200 of 500 x 375 pixels, and `large`, 12 of 2 to 12 million pixels at their own size. Each
contestant is a process with one thread that has all files in memory and is asked for one pass over a set at a time, in
turn with the others, at least seven times. Printed are the medians of pictures per second of the process's CPU time, user
and system, and of the ratio to Pillow's bicubic pass of the same round, so that a load on the machine, which slows
neighbors in time alike, falls out of the ratio.

    tamis                 decode, hash of the pixels, perceptual hashes, grey picture, thumbnail, input of 224 x 224 (bicubic)
    tamis-bilinear        the same, bilinear
    tamis-fingerprints    the same, no input
    pillow                decode and scale to 224 x 224, bicubic; nothing else
    pillow-bilinear       the same, bilinear
    pillow-fingerprints   pillow, and what else tamis makes: SHA-256 of the pixels, phash and dhash by ImageHash, grey
                          picture, thumbnail (left out where ImageHash is missing)
    pillow-simd           pillow in the Python of --simd-python, where pillow-simd is installed
    pillow-simd-bilinear  the same, bilinear
    opencv                decode and scale, cubic, with OpenCV (no antialiasing); left out where it is missing
    opencv-bilinear       the same, bilinear

Needs what photographs.py needs and cargo; not part of any check.
"""

import argparse
import io
import itertools
import json
import pathlib
import statistics
import subprocess
import sys
import time

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
REFERENCE = "pillow"


# Pictures


def write_jpegs(folder, name, pictures):
    """Writes pictures as JPEG files into a new folder of that name."""
    partial = folder / f"{name}.partial"
    partial.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        picture.save(partial / f"{number:03}.jpg", quality=QUALITY, subsampling=HALF_COLORS)
    partial.rename(folder / name)


def small(folder, data):
    """Yields the middle of photographs that are large enough, scaled to one size."""
    from PIL import Image, ImageOps
    from photographs import write_photographs

    for path in write_photographs(folder / "photographs", data):
        picture = Image.open(path)
        if all(side >= least for side, least in zip(picture.size, SMALL_SIZE)):
            yield ImageOps.fit(picture, SMALL_SIZE, Image.Resampling.LANCZOS)


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


# Contestants


def pillow(resampling, fingerprints=False):
    """Returns what one pass of Pillow does with the bytes of a file."""
    from PIL import Image

    def scale(content):
        picture = Image.open(io.BytesIO(content)).convert("RGB")
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
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        # The CPU clock of a process, as clock_getcpuclockid() makes its number.
        self.clock = ~self.process.pid << 3 | 2

    def seconds(self, folder):
        """Returns CPU seconds per picture of one pass; None where a package is missing."""
        start = time.clock_gettime(self.clock)
        self.process.stdin.write(f"{self.task} {folder}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if answer.startswith("missing"):
            return None
        if not answer:
            sys.exit(f"{self.task} in {self.process.args[0]} ended with {self.process.wait()}")
        return (time.clock_gettime(self.clock) - start) / int(answer)


def contestants(simd_python):
    """Returns all contestants by name."""
    build = ["cargo", "build", "--release", "--workspace", "--example", "decode_speed"]
    messages = subprocess.run(
        [*build, "--message-format", "json"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    [example] = {
        message["executable"]
        for message in map(json.loads, messages.splitlines())
        if message.get("executable") and message["target"]["name"] == "decode_speed"
    }
    found = {
        "tamis": Contestant("full", [example]),
        "tamis-bilinear": Contestant("bilinear", [example]),
        "tamis-fingerprints": Contestant("fingerprints", [example]),
    }
    found |= {name: Contestant(name, [sys.executable, __file__, "--serve"]) for name in PEERS}
    if simd_python:
        for name in ["pillow", "pillow-bilinear"]:
            found[name.replace("pillow", "pillow-simd")] = Contestant(name, [simd_python, __file__, "--serve"])
    return found


# Measuring


def measure(found, folder, rounds):
    """Prints a table of one set."""
    seconds = {name: [] for name in found if found[name].seconds(folder) is not None}
    for _ in range(rounds):
        for name, taken in seconds.items():
            taken.append(found[name].seconds(folder))
    print(f"\n{folder.name}: {len(list(folder.iterdir()))} pictures, {rounds} rounds\n")
    print("| contestant | pictures per CPU-second | least | most | faster than pillow by |\n|---|---|---|---|---|")
    for name, taken in seconds.items():
        rates = [1 / it for it in taken]
        ratio = statistics.median(theirs / ours for theirs, ours in zip(seconds[REFERENCE], taken))
        print(f"| {name} | {statistics.median(rates):.1f} | {min(rates):.1f} | {max(rates):.1f} | {ratio:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, nargs="?")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "acceptance-data", help="folder for downloads")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--simd-python", help="Python that has pillow-simd in the place of Pillow")
    parser.add_argument("--only", choices=["small", "large"], action="append", help="sets that are measured; default both")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return
    folder = args.folder.resolve()
    if not (folder / "small").exists():
        write_jpegs(folder, "small", itertools.islice(small(folder, args.data), N_SMALL))
    if not (folder / "large").exists():
        write_jpegs(folder, "large", large(args.data))
    found = contestants(args.simd_python)
    for name in args.only or ["small", "large"]:
        measure(found, folder / name, args.rounds)


if __name__ == "__main__":
    main()
