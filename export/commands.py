"""`epee export`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..runtime.cli import DONE, FAILED, Command, Report, parse_size
from ..runtime.errors import need

if TYPE_CHECKING:
    from .exporting import ExportReport


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a run's folder, or a checkpoint file")
    parser.add_argument("--out", required=True, metavar="B.epee", help="the bundle's folder")
    parser.add_argument("--size", metavar="WxH", help="size of the frames (default: the training's)")
    parser.add_argument("--precision", type=words, default=["fp32"], metavar="P", help="fp32 (default: %(default)s)")
    parser.add_argument("--data", metavar="D.yaml", help="dataset whose validation pictures parity is measured on "
                        "(default: the training's where it is at hand, else synthetic scenes)")


def _run(args: argparse.Namespace) -> Report:
    for module in ("torch", "safetensors", "onnx", "onnxscript", "onnxruntime", "cv2"):
        need(module)
    from .exporting import ParityError, export_bundle

    def say(step: str) -> None:
        print(f"export: {step}", file=sys.stderr, flush=True)

    try:
        report = export_bundle(args.source, args.out, size_wh=parse_size(args.size) if args.size else None,
                               precisions=args.precision, data=args.data, say=say)
    except ParityError as error:
        print(f"epee: {error}", file=sys.stderr)
        return Report(error.report.to_json(), render(error.report), FAILED)
    return Report(report.to_json(), render(report), DONE)


def render(report: ExportReport) -> str:
    """Gives the table that a person reads."""
    lines = [f"{'variant':<14}{'precision':<11}{'size':>9}  {'equal':>8}  {'logits differ by':<17} status"]
    for row in report.rows:
        equal, difference = row.parity.get("equal"), row.parity.get("logit_max_diff")
        lines.append(f"{row.variant:<14}{row.precision:<11}{row.bytes / 1e6:>6.1f} MB  "
                     f"{_number(equal, '.5f'):>8}  {_number(difference, '.2g'):<17} "
                     + row.status + (f": {row.reason}" if row.reason else ""))
    where = f"{report.bundle} in {report.seconds:.1f} s" if report.bundle else "nothing was written"
    return "\n".join([*lines, where])


def words(text: str) -> list[str]:
    """The entries of a comma list, as argparse's `type`."""
    return [word.strip() for word in text.split(",") if word.strip()]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


EXPORT = Command(_arguments, _run)
