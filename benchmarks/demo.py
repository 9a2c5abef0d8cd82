"""`epee demo`: the whole way on a street it draws itself, by the very commands that one would type.

Train, export, draw a clip that training never saw, run on it, score, benchmark; and what the other kinds of network
make of a street, by small ones that ship. Each command is shown before it runs: the demo is the shortest manual, too.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..runtime import machine
from ..runtime.errors import EpeeError, need
from . import strip

MINUTES, MINUTES_IN_FLOAT = 1.3, 5.0
"""Of training, so that all of it takes less than three minutes on two cores; and on a processor that does not compute
in bfloat16, where a step takes several times as long."""
BF16 = {"avx512_bf16", "amx_bf16"}
STREETS, VAL_STREETS, TEST_STREETS = 600, 40, 100
"""Drawn for the training, for its own scores, and for the last score; drawing takes part of the three minutes too."""
GOOD_MIOU = 0.75
"""On unseen streets; below it the demo counts as failed."""
CLIP_SEED, CLIP_WH, CLIP_FRAMES, CLIP_FPS = 4711, (640, 480), 150, 25.0
STILLS = 4
BENCH = ("--limit", 20, "--rounds", 3, "--seconds", 0.5)
"""A short benchmark; `epee bench` alone takes its time."""
MODULES = ("torch", "safetensors", "tensorboard", "onnx", "onnxscript", "onnxruntime", "cv2", "av", "rich",
           "matplotlib")
MADE = ("run", "street.epee", "street.mp4", "overlay.mp4", "stills", "pictures", "masks", "strip", "strip.png",
        "bench")
"""What the demo writes into its folder, and removes there before it starts again."""
LOOK_AT = {
    "bundle": ("street.epee", "the network, ready for `epee run`"),
    "clip": ("street.mp4", "a drive that training never saw"),
    "overlay": ("overlay.mp4", "the same drive as the network sees it; start here"),
    "pictures": ("pictures", "four other streets, the network's classes over them"),
    "strip": ("strip.png", "one of them, its mask, and what a translator, an enhancer and a generator make"),
    "latency": ("bench/latency.png", "how fast each backend is"),
    "report": ("bench/report.html", "the benchmark as a page"),
    "results": ("bench/results.json", "the benchmark as numbers"),
    "training": ("run", "weights, metrics and pictures of the training"),
}
"""Name -> where it lies in the demo's folder, and what it is."""


@dataclass
class Demo:
    """What came out.

    Attributes:
        artifacts: what to look at, by name.
        miou: on the test streets.
        seconds: by step.
    """

    artifacts: dict[str, str] = field(default_factory=dict)
    miou: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether the network answers as well as it should."""
        return self.miou >= GOOD_MIOU

    def to_json(self) -> dict[str, Any]:
        """The contract's `artifacts`, with the score and the times."""
        return {"artifacts": self.artifacts, "miou": self.miou, "min_miou": GOOD_MIOU, "seconds": self.seconds}


def minutes_here() -> float:
    """How long to train on this machine."""
    return MINUTES if BF16 & set(machine.cpu()["flags"]) or machine.gpus() else MINUTES_IN_FLOAT


def demo(out: Path, minutes: float | None = None, seed: int = 0) -> Demo:
    """Goes the whole way; what happens is told on standard error.

    Args:
        out: folder for everything; what an earlier demo left there is replaced.
        minutes: of training; None takes `minutes_here`.
        seed: of the training.

    Raises:
        EpeeError: a module is missing, the folder cannot be written, or a step failed.
    """
    for module in MODULES:
        need(module)
    minutes = minutes_here() if minutes is None else minutes
    _clear(out)
    found, bundle = Demo(), out / "street.epee"
    _step(found, "train", lambda: _epee("train", "segment", "--data", "synthetic:street", "--out", out / "run",
                                        "--preset", "nano", "--minutes", f"{minutes:g}",
                                        "--train-count", STREETS, "--val-count", VAL_STREETS,
                                        "--seed", seed))
    _step(found, "export", lambda: _epee("export", out / "run", "--out", bundle))
    _step(found, "draw", lambda: _draw(out, bundle))
    _step(found, "run", lambda: _epee("run", bundle, "--source", out / "street.mp4", "--sink", out / "overlay.mp4"))
    _step(found, "pictures", lambda: _epee("run", bundle, "--source", out / "stills", "--sink",
                                           f"png:{out / 'pictures'}", "--sink", f"masks:{out / 'masks'}"))
    still = "street-0.png"
    _step(found, "strip", lambda: strip.make(out / "stills" / still, out / "masks" / still, out / "strip",
                                             out / "strip.png", _epee))
    _step(found, "eval", lambda: _score(found, bundle))
    _step(found, "bench", lambda: _epee("bench", bundle, "--out", out / "bench", "--data", "synthetic:street",
                                        "--split", "test", *BENCH))
    found.artifacts = {name: str(out / path) for name, (path, _) in LOOK_AT.items() if (out / path).exists()}
    return found


def render(found: Demo) -> str:
    """The last lines: how good it is and which files to look at."""
    verdict = "" if found.good else f", which is below {GOOD_MIOU}: something is wrong, or --minutes was too short"
    width = max(map(len, found.artifacts.values()), default=0)
    lines = [f"  {path:<{width}}  {LOOK_AT[name][1]}" for name, path in found.artifacts.items()]
    return "\n".join([f"\nmIoU {found.miou:.4f} on unseen streets, in {sum(found.seconds.values()):.0f} s{verdict}",
                      "Look at:", *lines])


def _clear(out: Path) -> None:
    """Makes the folder, and removes from it what the demo is going to write."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in MADE:
            if (out / name).is_dir():
                shutil.rmtree(out / name)
            else:
                (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise EpeeError(f"--out '{out}'", got=error.strerror or str(error), expected="a folder to write in",
                        do="name another --out") from None


def _step(found: Demo, name: str, work: Callable[[], object]) -> None:
    start = time.monotonic()
    work()
    found.seconds[name] = round(time.monotonic() - start, 1)
    _say(f"  ({found.seconds[name]:.0f} s)")


def _epee(*words: object, answer: bool = False) -> str:
    """Shows an `epee` command and runs it; gives its standard output where `answer`, else lets it be seen."""
    texts = [str(word) for word in words]
    _say("\n$ " + shlex.join(["epee", *texts]))
    return _child([sys.executable, "-m", "epee", *texts, *["--json"] * answer], answer)


def _child(command: Sequence[str], answer: bool) -> str:
    """Runs a command to its end. An interrupt reaches the child too: it gets ten seconds to close what it holds."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE if answer else 2, stdin=subprocess.DEVNULL, text=True)
    try:
        text, _ = child.communicate()
    except KeyboardInterrupt:
        try:
            child.wait(10)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            child.kill()
        raise
    if child.returncode == 130:
        raise KeyboardInterrupt
    if child.returncode:
        raise EpeeError(f"demo: `epee {command[3]}`", got=f"exit status {child.returncode}",
                        do="its own line above says why")
    return text or ""


def _draw(out: Path, bundle: Path) -> None:
    """Draws the clip and the stills, of seeds that no training split has, and writes them as mp4 and PNG."""
    from ..runtime.bundle import Bundle
    from ..runtime.frames import Frame, Result
    from ..runtime.sinks import SinkInfo, open_sink
    from ..runtime.street import Street, StreetDataset

    cv2: Any = need("cv2")
    seconds = CLIP_FRAMES / CLIP_FPS
    _say(f"\ndrawing {out / 'street.mp4'}: {seconds:g} s of a street that training never saw; {STILLS} more as stills")
    manifest, street = Bundle.open(bundle).manifest, Street(CLIP_SEED, CLIP_WH)
    with open_sink(str(out / "street.mp4"), SinkInfo("street", manifest, CLIP_FPS)) as sink:
        for i in range(CLIP_FRAMES):
            image, _ = street.render(i)
            sink.write(Result(Frame(image, i, "street"), {"image": image}, manifest))
    (out / "stills").mkdir()
    stills = StreetDataset("test", CLIP_WH, STILLS)
    for i in range(STILLS):
        cv2.imwrite(str(out / f"stills/street-{i}.png"), stills[i][0])


def _score(found: Demo, bundle: Path) -> None:
    scores = json.loads(_epee("eval", bundle, "--data", "synthetic:street", "--split", "test", "--limit",
                             TEST_STREETS, answer=True))
    found.miou = scores["miou"] or 0.0
    _say(f"mIoU {found.miou:.4f}, pixel accuracy {scores['pixel_accuracy']:.4f} on {scores['images']} unseen streets")
    _say("  " + ", ".join(f"{name} {iou:.2f}" for name, iou in scores["iou"].items() if iou is not None))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
