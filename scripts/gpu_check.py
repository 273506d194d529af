#!/usr/bin/env python3
"""Prints what scripts/gpu-check.sh measured as a table, beside sentence-transformers and timm where they are installed.

    gpu_check.py RESULTS.jsonl MODELS

RESULTS.jsonl comes from examples/gpu_speed, which left models of random weights in MODELS. The peers run the same
architectures in half precision on the same texts and pictures, which are on the device's side of decoding for all.
"""

import json
import random
import statistics
import sys
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


def main():
    path, models = sys.argv[1:]
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
