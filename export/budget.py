"""The budget: what a smaller graph may lose, and what a search for one says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .exam import Mark


@dataclass(frozen=True)
class Budget:
    """What a smaller graph may cost, and how it is looked for.

    Pictures, fp16's too, are compared with the float graph's. At 40 dB they differ by 2.6 grey levels (root mean
    square), where an eye sees nothing side by side; SSIM 0.98 guards structure that few pixels carry; features may move
    by 5%. From frame to frame of a stream the difference may change by 2.6 grey levels.

    Attributes:
        max_drop: of mIoU, 0 to 1.
        seconds: for the search of one scheme.
        frames: to calibrate on, at most.
        quantizer: of `quantize.ENGINES`.
        min_psnr: of pictures, in dB.
        min_ssim: of pictures, up to 1.
        max_feature_distance: of pictures, as a share of the features' length; counts where an extractor is given.
        max_flicker: of streams, see `picture_exam.flicker`.
    """

    max_drop: float = 0.005
    seconds: float = 60.0
    frames: int = 128
    quantizer: str = "onnxruntime"
    min_psnr: float = 40.0
    min_ssim: float = 0.98
    max_feature_distance: float = 0.05
    max_flicker: float = 0.01

    def refuses(self, mark: Mark) -> str:
        """Why a graph with this mark may not stay, or ''."""
        numbers = mark.numbers
        if "psnr" not in numbers:
            return "" if mark.drop <= self.max_drop else f"more than {self.max_drop:g}"
        if too_far := self.too_far(numbers["psnr"]):
            return too_far
        if not numbers.get("ssim", 1.0) >= self.min_ssim:
            return f"SSIM {numbers['ssim']:.4f}, less than {self.min_ssim:g}"
        if not numbers.get("features", 0.0) <= self.max_feature_distance:
            return f"features differ by {numbers['features']:.4f}, more than {self.max_feature_distance:g}"
        if not numbers.get("flicker", 0.0) <= self.max_flicker:
            return f"flicker {numbers['flicker']:.4f}, more than {self.max_flicker:g}"
        return ""

    def too_far(self, psnr: float | None) -> str:
        """Why a float graph of less precision may not stay, by its pictures' PSNR (None for masks), or ''."""
        return "" if psnr is None or psnr >= self.min_psnr else f"PSNR {psnr:.1f} dB, less than {self.min_psnr:g}"

    def excess(self, mark: Mark) -> float:
        """How far a mark is from fitting, the smaller the better: what plans are compared by."""
        numbers = mark.numbers
        if "psnr" not in numbers:
            return mark.drop
        beyond = [mark.drop * 10 ** (self.min_psnr / 20), (1 - numbers.get("ssim", 1.0)) / max(1 - self.min_ssim, 1e-9),
                  numbers.get("features", 0.0) / max(self.max_feature_distance, 1e-9),
                  numbers.get("flicker", 0.0) / max(self.max_flicker, 1e-9)]
        return max(beyond)


@dataclass(frozen=True)
class Step:
    """A line of the search.

    Attributes:
        step: what was tried.
        drop: see `exam.Mark`, or None where it was not measured.
        ms: a frame on this CPU, or None where it was not timed.
        decision: what follows.
    """

    step: str
    drop: float | None
    ms: float | None
    decision: str


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        model: the INT8 graph, or None where no plan fits.
        calibrator: which one the plan uses.
        left_out: layers that stay float.
        mark: on the gate's half, or on the search's where no plan came that far.
        steps: all that was tried.
        reason: why there is no graph.
        ms, float_ms: a frame of the plan and of the float graph on this CPU, or None where they were not timed.
    """

    model: Any | None
    calibrator: str
    left_out: tuple[str, ...]
    mark: Mark
    steps: tuple[Step, ...]
    reason: str = ""
    ms: float | None = None
    float_ms: float | None = None

    def plan(self) -> dict[str, Any]:
        """What the manifest says of the plan."""
        return {"calibrator": self.calibrator, "left_float": list(self.left_out), "drop": self.mark.drop,
                **self.mark.numbers}


def table(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The search as JSON."""
    return [asdict(step) for step in steps]
