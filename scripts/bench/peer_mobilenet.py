"""Runs MobileNetV2 in ONNX Runtime whenever a line comes on stdin: `peer_mobilenet.py ONNX THREADS SIDE N BATCH`.

The weights are random: they do not matter to speed. The protocol is that of crates/tamis-embed/examples/image_speed.rs.
"""

import json
import sys
import time
from pathlib import Path


def exported(path: Path) -> Path:
    """The network without its classifier, exported where it is not there yet."""
    if not path.exists():
        import timm
        import torch

        model = timm.create_model("mobilenetv2_100", pretrained=False, num_classes=0).eval()
        axes = {0: "batch", 2: "height", 3: "width"}
        torch.onnx.export(
            model,
            (torch.randn(2, 3, 224, 224),),
            str(path),
            input_names=["pixels"],
            output_names=["pooled"],
            dynamic_axes={"pixels": axes},
            opset_version=17,
            dynamo=False,
        )
    return path


def main():
    import numpy as np
    import onnxruntime as ort

    path, threads, side, n, batch = sys.argv[1:]
    side, n, batch = int(side), int(n), int(batch)
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(threads)
    session = ort.InferenceSession(str(exported(Path(path))), options, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).standard_normal((batch, 3, side, side), np.float32)

    def run():
        for _ in range(n // batch):
            session.run(None, {"pixels": pixels})

    run()
    for _ in sys.stdin:
        started = time.perf_counter()
        run()
        print(json.dumps({"images": n // batch * batch, "seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
