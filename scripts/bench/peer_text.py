"""Embeds texts with a peer whenever a line comes on stdin: `peer_text.py ENGINE MODEL TEXTS.json THREADS VECTORS.f32`.

ENGINE is `sentence-transformers` or `onnxruntime`. The protocol is that of crates/tamis-embed/examples/text_speed.rs.
"""

import json
import os
import sys
import time
from pathlib import Path

BATCH = 32
"""sentence-transformers' default; texts are sorted by length, as it does."""

MAX_TOKENS = 256


def sentence_transformers(folder: Path, threads: int):
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = MAX_TOKENS
    return lambda texts: model.encode(texts, batch_size=BATCH, normalize_embeddings=True)


def onnxruntime(folder: Path, threads: int):
    import numpy as np
    import onnxruntime as ort
    from tokenizers import Tokenizer

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(exported(folder)), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)

    def embed(texts):
        ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        rows = np.empty((len(ids), 384), np.float32)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            longest = len(ids[batch[0]])
            tokens = np.zeros((len(batch), longest), np.int64)
            mask = np.zeros((len(batch), longest), np.int64)
            for row, index in enumerate(batch):
                tokens[row, : len(ids[index])] = ids[index]
                mask[row, : len(ids[index])] = 1
            (hidden,) = session.run(None, {"input_ids": tokens, "attention_mask": mask})
            pooled = (hidden * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
            rows[batch] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return rows

    return embed


def exported(folder: Path) -> Path:
    """The model as ONNX, beside the folder; exported where it is not there yet."""
    path = folder.parent / f"{folder.name}.onnx"
    if path.exists():
        return path
    import torch
    from transformers import AutoModel

    class Hidden(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    example = (torch.randint(5, 900, (2, 16)), torch.ones(2, 16, dtype=torch.long))
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        Hidden(),
        example,
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["hidden"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes},
        opset_version=17,
        dynamo=False,
    )
    return path


def main():
    engine, folder, texts, threads, out = sys.argv[1:]
    build = {"sentence-transformers": sentence_transformers, "onnxruntime": onnxruntime}[engine]
    texts = json.loads(Path(texts).read_text())
    # Libraries that print belong on stderr: stdout is the protocol.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    embed = build(Path(folder), int(threads))
    Path(out).write_bytes(embed(texts).astype("<f4").tobytes())
    for _ in sys.stdin:
        started = time.perf_counter()
        embed(texts)
        print(json.dumps({"texts": len(texts), "seconds": time.perf_counter() - started}), file=answers, flush=True)


if __name__ == "__main__":
    main()
