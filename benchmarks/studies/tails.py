"""What each tail costs: mIoU of the float graph, and milliseconds of the fused float and INT8 graphs.

Every tail's graph takes its turn in the same rounds, one process a backend, so that the rows compare whatever else
the machine does. `equal` is the share of pixels that are as with the first tail, the full-size ArgMax.

    python -m epee.benchmarks.studies.tails RUN --data D.yaml [--rounds 5]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...export.calibration import read_calibration
from ...export.candidate import Candidate
from ...export.exam import ignored, outputs_of, score
from ...export.fuse import FusedSegmenter
from ...export.quantize import Quantizer
from ...export.samples import framed, stacked
from ...export.schemes import SCHEMES
from ...export.segmenter import from_trained
from ...export.tails import TAILS
from ...export.tensors import FRAME, LOGITS, MASK
from ...export.to_onnx import to_onnx, without_output
from ...export.traced import network_of
from ...runtime import bundle, pixels
from ...runtime.evaluate import open_fitting
from ...runtime.manifest import Tolerance, Variant
from ...runtime.scores import equal_share
from ...runtime.stopwatch import time_variants
from ...train.checkpoint import load_trained
from ...train.networks.segmenter import Segmenter

BACKENDS = ("onnxruntime", "openvino")
FRAMES = 32
"""To calibrate on: ranges, not scores, are what the times depend on."""


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--data", required=True, help="a labelled data set")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tail", default=",".join(TAILS))
    args = parser.parse_args()
    trained = load_trained(args.run)
    candidate = from_trained(trained, "tails")
    network = network_of(trained, Segmenter, "segment")
    graphs = {}
    for tail in args.tail.split(","):
        fused = FusedSegmenter(network, trained.size_wh, tail=tail)
        graphs[tail] = without_output(
            to_onnx(fused, [torch.zeros(1, *fused.size_hw, 3, dtype=torch.uint8)], [FRAME], [MASK, LOGITS]), LOGITS)
    scores = qualities(candidate, graphs, args.data)
    times = milliseconds(candidate, graphs, args.data, args.rounds)
    columns = [(backend, precision) for backend in BACKENDS for precision in ("fp32", "int8")]
    print(f"{'tail':<8}{'mIoU':>9}{'equal':>9}" + "".join(f"{f'{b} {p}':>18}" for b, p in columns))
    for tail in graphs:
        ms = "".join(f"{times[b, f'{tail}-{p}']:>18.2f}" for b, p in columns)
        print(f"{tail:<8}{scores[tail][0]:>9.4f}{scores[tail][1]:>9.4f}{ms}")


def qualities(candidate: Candidate, graphs: dict[str, Any], data: str) -> dict[str, tuple[float, float]]:
    """Tail -> mIoU, and share of pixels that are as the first tail's."""
    split = open_fitting(candidate.manifest((), {}), data, "val")
    pairs = [split[i] for i in range(len(split))]
    samples = framed(pixels.fit(image, candidate.size_hw, candidate.fit) for image, _ in pairs)
    labels = [label for _, label in pairs]
    first = outputs_of(next(iter(graphs.values())), samples[::4])
    found = {}
    for tail, model in graphs.items():
        masks = outputs_of(model, samples[::4])
        miou = score(model, samples, labels, candidate.fit, len(candidate.names), ignored(candidate))
        found[tail] = miou, float(np.mean([equal_share(a, b) for a, b in zip(masks, first, strict=True)]))
    return found


def milliseconds(candidate: Candidate, graphs: dict[str, Any], data: str,
                 rounds: int) -> dict[tuple[str, str], float]:
    """(backend, `TAIL-fp32` or `TAIL-int8`) -> the median of the best round."""
    calibration = read_calibration(data, candidate.size_hw, candidate.fit, count=FRAMES).samples
    models = {}
    for tail, model in graphs.items():
        models[f"{tail}-fp32"] = model
        models[f"{tail}-int8"] = Quantizer(model, calibration).quantize(SCHEMES["int8-u8s8"])
    with tempfile.TemporaryDirectory(prefix="epee-tails-") as place:
        with bundle.writing(Path(place, "tails.epee")) as folder:
            variants = [written(folder, name, model) for name, model in models.items()]
            samples = list(calibration[:4])
            goldens = {**stacked(samples), MASK: np.stack(outputs_of(candidate.model, samples))}
            bundle.save(folder, candidate.manifest(variants, {}), goldens)
        opened = bundle.Bundle.open(Path(place, "tails.epee"))
        timings = time_variants(opened, [(b, name) for b in BACKENDS for name in models], rounds=rounds, seconds=0.5,
                                timeout_s=600)
    return {(t.backend, t.variant): t.ms if t.ms is not None else float("nan") for t in timings}


def written(folder: Path, name: str, model: Any) -> Variant:
    """Writes a graph into a bundle's folder; gives its entry, which any answer satisfies."""
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    return Variant(name, path.name, "onnx", name.rpartition("-")[2], bundle.sha256(path), path.stat().st_size,
                   tolerance=Tolerance(0.0))


if __name__ == "__main__":
    main()
