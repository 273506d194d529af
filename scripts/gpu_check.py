#!/usr/bin/env python3
"""Prints what scripts/gpu-check.sh measured as a table, beside sentence-transformers and timm where they are installed.

    gpu_check.py RESULTS.jsonl MODELS [--tamis PROGRAM --texts FILE.jsonl --pictures FOLDER [--device D] [--scale X]]

RESULTS.jsonl comes from examples/gpu_speed, which left models of random weights in MODELS. The peers run the same
architectures in half precision on the same texts and pictures, which are on the device's side of decoding for all.

With --tamis, audits follow that read from the disk: copies of the texts and of the JPEG files of a folder, made different
from each other, as many as fill some seconds of a GPU (times --scale). Printed are samples a second from disk to vectors,
less what a run on a single sample takes, and the seconds of each stage; reading and embedding overlap.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

WORDS = "time year people way day man thing woman life child world school state family student group".split()


def median(run, synchronize):
    """Median of five runs after one that is not counted, in seconds."""
    times = []
    for _ in range(6):
        start = time.perf_counter()
        run()
        synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def sentence_transformers(models):
    """Texts a second by name of the row; empty where a package is missing."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    def texts(n, tokens):
        rng = random.Random(11)
        return [" ".join(rng.choice(WORDS) for _ in range(tokens - 2)) for _ in range(n)]

    body = Transformer(f"{models}/base", max_seq_length=512)
    model = SentenceTransformer(modules=[body, Pooling(body.get_word_embedding_dimension(), "cls")], device="cuda").half()
    rates = {}
    for tokens, n, batch in [(50, 20_000, 512), (512, 4_000, 64)]:
        sample = texts(n, tokens)
        seconds = median(lambda: model.encode(sample, batch_size=batch, show_progress_bar=False), torch.cuda.synchronize)
        rates[f"bge-base, {tokens} tokens"] = n / seconds
    return rates


def timm_models(_):
    """Pictures a second by name of the row, from numbers that are on the GPU already."""
    import timm
    import torch

    rates = {}
    for row, name, batch in [
        ("CLIP ViT-B/32", "vit_base_patch32_clip_224", 1024),
        ("CLIP ViT-L/14", "vit_large_patch14_clip_224", 256),
        ("DINOv2-S", "vit_small_patch14_dinov2", 512),
    ]:
        options = {"img_size": 224} if "dinov2" in name else {}
        model = timm.create_model(name, pretrained=False, num_classes=0, **options).cuda().half().eval()
        pictures = torch.randn(batch, 3, 224, 224, device="cuda", dtype=torch.float16)
        with torch.inference_mode():
            seconds = median(lambda: [model(pictures) for _ in range(4)], torch.cuda.synchronize)
        rates[row] = 4 * batch / seconds
    return rates


def peers(models):
    """All rates of peers, with a line on stderr for each that cannot run."""
    rates = {}
    for run in (sentence_transformers, timm_models):
        try:
            rates.update(run(models))
        except Exception as error:  # any failure of a peer is the peer's
            print(f"warning: no figures of {run.__name__}: {type(error).__name__}: {error}", file=sys.stderr)
    return rates


def write_texts(path, sources, n):
    """Writes n texts, each one of its own."""
    with open(path, "w", encoding="utf-8") as file:
        for number in range(n):
            file.write(json.dumps({"text": f"{sources[number % len(sources)]} {number}"}) + "\n")


def write_pictures(folder, sources, n):
    """Writes n JPEG files of different bytes: each has its number as a comment behind the first mark."""
    folder.mkdir()
    for number in range(n):
        content, comment = sources[number % len(sources)], str(number).encode()
        mark = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (folder / f"{number:06}.jpg").write_bytes(content[:2] + mark + content[2:])


def audit(args, data, model, out):
    """The wall time of an audit, and the seconds of its stages."""
    command = [args.tamis, "audit", data, "--model", model, "--device", args.device, "--only", "near-duplicate"]
    start = time.perf_counter()
    subprocess.run([*command, "--out", out, "--exit-zero", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    record = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    return seconds, {it["stage"]: it["seconds"] for it in record["timing"]}


def pipelines(args):
    """Prints a line for each model that reads from the disk."""
    lines = args.texts.read_text(encoding="utf-8").splitlines()
    texts = [it if isinstance(it, str) else it["text"] for it in map(json.loads, lines)]
    pictures = [path.read_bytes() for path in sorted(args.pictures.glob("*.jpg"))]
    print(f"\n{'from the disk':32}{'samples':>10}{'samples/s':>12}  seconds of each stage")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, model, n in [
            ("MiniLM-L6, texts", "all-minilm-l6-v2", 400_000),
            ("MobileNetV2, JPEG", "mobilenet-v2", 20_000),
            ("CLIP ViT-B/32, JPEG", f"{args.models}/b32", 40_000),
            ("CLIP ViT-L/14, JPEG", f"{args.models}/l14", 10_000),
            ("DINOv2-S, JPEG", f"{args.models}/dino", 40_000),
        ]:
            n, stem = max(2, int(n * args.scale)), name.split()[0].strip(",")
            seconds = {}
            for count in (1, n):
                if "texts" in name:
                    data = folder / f"{stem}-{count}.jsonl"
                    write_texts(data, texts, count)
                else:
                    data = folder / f"pictures-{count}"
                    if not data.exists():
                        write_pictures(data, pictures, count)
                seconds[count] = audit(args, data, model, folder / f"{stem}-{count}-out")
            (wall, stages), (start, _) = seconds[n], seconds[1]
            after = sum(value for stage, value in stages.items() if stage not in ("load model", "decode", "embed", "store"))
            parts = ", ".join(f"{stage} {value:.2f}" for stage, value in stages.items())
            print(f"{name:32}{n:10,}{n / (wall - start - after):12,.0f}  {parts}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("models")
    parser.add_argument("--tamis")
    parser.add_argument("--texts", type=pathlib.Path)
    parser.add_argument("--pictures", type=pathlib.Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    if args.results.stat().st_size > 0:
        table(args.results, args.models)
    if args.tamis:
        pipelines(args)


def table(path, models):
    """Prints what gpu_speed measured."""
    with open(path, encoding="utf-8") as lines:
        results = [json.loads(line) for line in lines]
    rate = next(it["rate"] for it in results if "rate" in it)
    theirs = peers(models)
    print(f"\nproduct of 8192 x 8192 matrices in f16: {rate['f16_flops'] / 1e12:.0f} TFLOP/s; "
          f"copy: {rate['copy_bytes'] / 1e12:.2f} TB/s read and written\n")
    for it in (it["parity"] for it in results if "parity" in it):
        print(f"parity {it['name']}: least cosine with the CPU {it['min_cosine']:.6f} of {it['vectors']} vectors")
    print(f"\n{'':32}{'items/s':>12}{'tokens/s':>14}{'TFLOP/s':>10}{'share':>8}{'peer/s':>12}{'ratio':>8}")
    for it in (it["speed"] for it in results if "speed" in it):
        peer = theirs.get(it["name"])
        cells = [
            f"{it['name']:32}{it['items_per_s']:12,.0f}",
            f"{it['tokens_per_s']:14,.0f}" if it["tokens_per_s"] else f"{'':14}",
            f"{it['flops'] / 1e12:10.1f}{it['flops'] / rate['f16_flops']:8.1%}" if it["flops"] else f"{'':18}",
            f"{peer:12,.0f}{it['items_per_s'] / peer:8.2f}" if peer else "",
        ]
        print("".join(cells))


if __name__ == "__main__":
    main()
