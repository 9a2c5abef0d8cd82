"""`epee export`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..runtime.cli import DONE, FAILED, Command, Report, parse_size
from ..runtime.errors import ConfigError, need

if TYPE_CHECKING:
    from .budget import Budget
    from .exporting import ExportReport, Row

ALL = ["fp32", "fp16", "int8"]
"""What is written where frames to calibrate on are named."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a run's folder, or a checkpoint file")
    parser.add_argument("--out", required=True, metavar="B.epee", help="the bundle's folder")
    parser.add_argument("--size", metavar="WxH", help="size of the frames (default: the training's)")
    parser.add_argument("--precision", type=words, metavar="P",
                        help="fp32, fp16, int8, or an INT8 variant by name (int8-u8s8 for x86 CPUs, int8-s8s8 for "
                        "TensorRT, int8-u8s8-rr for x86 without VNNI), with commas; fp32 is always there "
                        "(default: fp32, and with --calibration fp32,fp16,int8)")
    parser.add_argument("--data", metavar="D.yaml", help="dataset whose validation pictures parity and INT8's drop "
                        "are measured on (default: the training's where it is at hand, else synthetic scenes for "
                        "parity and frames of --calibration for INT8)")
    parser.add_argument("--calibration", metavar="PATH", help="what INT8's ranges come from: a dataset YAML (its "
                        "train split), a folder of pictures, a video, or synthetic:street (default: the training's "
                        "data)")
    parser.add_argument("--max-drop", type=float, default=0.005, metavar="X",
                        help="mIoU that INT8 may lose, 0 to 1 (default: %(default)s)")
    parser.add_argument("--engine", metavar="LIBRARY:SM",
                        help="engines for GPUs that are not here, e.g. tensorrt-rtx:sm86,sm89")
    parser.add_argument("--search-seconds", type=float, default=60, metavar="N",
                        help="time to look for an INT8 plan within --max-drop, for each variant (default: %(default)s)")


def _run(args: argparse.Namespace) -> Report:
    for module in ("torch", "safetensors", "onnx", "onnxscript", "onnxruntime", "cv2"):
        need(module)
    from .exporting import ParityError, export_bundle

    def say(step: str) -> None:
        print(f"export: {step}", file=sys.stderr, flush=True)

    precisions = args.precision if args.precision is not None else ALL if args.calibration else ["fp32"]
    try:
        report = export_bundle(args.source, args.out, size_wh=parse_size(args.size) if args.size else None,
                               precisions=precisions, data=args.data, calibration=args.calibration,
                               budget=_budget(args), engine=args.engine, say=say)
    except ParityError as error:
        print(f"epee: {error}", file=sys.stderr)
        return Report(error.report.to_json(), render(error.report), FAILED)
    return Report(report.to_json(), render(report), DONE)


def _budget(args: argparse.Namespace) -> Budget:
    from .budget import Budget

    if not 0 <= args.max_drop <= 1:
        raise ConfigError("--max-drop", got=args.max_drop, expected="0 to 1, e.g. 0.005")
    if not args.search_seconds > 0:
        raise ConfigError("--search-seconds", got=args.search_seconds, expected="more than 0")
    return Budget(args.max_drop, args.search_seconds)


def render(report: ExportReport) -> str:
    """Gives the tables that a person reads: one of the variants, and one for each search."""
    lines = [f"{'variant':<20}{'precision':<11}{'size':>9}  {'equal':>8}  {'drop':>8}  {'logits differ by':<17} status"]
    for row in report.rows:
        equal, drop, difference = (row.parity.get(key) for key in ("equal", "drop", "logit_max_diff"))
        lines.append(f"{row.variant:<20}{row.precision:<11}{row.bytes / 1e6:>6.1f} MB  "
                     f"{_number(equal, '.5f'):>8}  {_number(drop, '.5f'):>8}  {_number(difference, '.2g'):<17} "
                     + row.status + (f": {row.reason}" if row.reason else ""))
    for row in report.rows:
        lines += _search(row)
    where = f"{report.bundle} in {report.seconds:.1f} s" if report.bundle else "nothing was written"
    return "\n".join([*lines, where])


def words(text: str) -> list[str]:
    """The entries of a comma list, as argparse's `type`."""
    return [word.strip() for word in text.split(",") if word.strip()]


def _search(row: Row) -> list[str]:
    """The steps that led to a variant, under its name."""
    if not row.search:
        return []
    return ["", f"{row.variant:<38}{'drop':>9}{'ms':>8}  decision",
            *(f"  {s.step:<36}{_number(s.drop, '.5f'):>9}{_number(s.ms, '.2f'):>8}  {s.decision}" for s in row.search),
            ""]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


EXPORT = Command(_arguments, _run)
