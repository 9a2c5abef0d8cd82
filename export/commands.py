"""`epee export`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..runtime.cli import DONE, FAILED, Command, Report, parse_size
from ..runtime.errors import ConfigError, need

if TYPE_CHECKING:
    from .budget import Budget
    from .foreign.described import Foreign
    from .report import ExportReport, Row

ALL = ["fp32", "fp16", "int8"]
"""What is written where frames to calibrate on are named."""
FOREIGN = ("task", "classes", "layout", "mean", "std", "scale", "colour_order", "ignore", "input", "output")
"""Options that only somebody else's model takes."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a run's folder, a checkpoint file, or somebody else's "
                        "float .onnx file (with --task and --classes)")
    parser.add_argument("--out", required=True, metavar="B.epee", help="the bundle's folder")
    parser.add_argument("--size", metavar="WxH", help="size of the frames (default: the training's, or the "
                        "ONNX graph's where it is fixed); generators and animators have their own")
    parser.add_argument("--precision", type=words, metavar="P",
                        help="fp32, fp16, int8, or an INT8 variant by name (int8-u8s8 for x86 CPUs, int8-s8s8 for "
                        "TensorRT, int8-u8s8-rr for x86 without VNNI), with commas; fp32 is always there "
                        "(default: fp32, and with --calibration fp32,fp16,int8)")
    parser.add_argument("--data", metavar="D.yaml", help="dataset whose validation pictures parity and INT8's drop "
                        "are measured on; for a translator or an enhancer also a folder or a video (default: the "
                        "training's where it is at hand, else synthetic scenes for parity and frames of --calibration "
                        "for INT8)")
    parser.add_argument("--calibration", metavar="PATH", help="what INT8's ranges come from: a dataset YAML (its "
                        "train split), a folder of pictures, a video, or synthetic:street (default: the training's "
                        "data; a generator takes drawn latents, and no calibration)")
    parser.add_argument("--max-drop", type=float, default=0.005, metavar="X",
                        help="mIoU that INT8 may lose, 0 to 1 (default: %(default)s)")
    parser.add_argument("--min-psnr", type=float, default=40, metavar="DB",
                        help="for networks that make pictures: least PSNR of INT8's and fp16's against the float ones "
                        "(default: %(default)s)")
    parser.add_argument("--quantizer", default="onnxruntime", metavar="Q",
                        help="who writes INT8: onnxruntime, nncf (for CPUs), modelopt (for TensorRT) "
                        "(default: %(default)s)")
    parser.add_argument("--engine", metavar="LIBRARY:SM",
                        help="engines for GPUs that are not here, e.g. tensorrt-rtx:sm86,sm89")
    parser.add_argument("--search-seconds", type=float, default=60, metavar="N",
                        help="time to look for an INT8 plan within --max-drop, for each variant (default: %(default)s)")
    _foreign_arguments(parser)


def _foreign_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("somebody else's model", "What an .onnx file does not say itself. It sees "
                                      "(x / scale - mean) / std; what is left out is read from its metadata or shapes.")
    group.add_argument("--task", metavar="T", help="segment")
    group.add_argument("--classes", metavar="NAMES", help="in the order of their ids, with commas; or a file of one "
                       "name a line, or a dataset YAML. A model of one score a pixel takes one name")
    group.add_argument("--layout", metavar="L", help="nchw or nhwc, where the input's shape does not tell")
    group.add_argument("--mean", metavar="R,G,B", help="in the order r,g,b, whatever --colour-order is (default: 0)")
    group.add_argument("--std", metavar="R,G,B", help="likewise (default: 1)")
    group.add_argument("--scale", type=float, metavar="X", help="what bytes are divided by first: 255 where mean and "
                       "std are for 0 to 1, 1 where they are for 0 to 255 (default: 255)")
    group.add_argument("--colour-order", metavar="O", help="rgb or bgr (default: rgb)")
    group.add_argument("--ignore", type=int, metavar="ID", help="label id that scores leave out (default: 255)")
    group.add_argument("--input", metavar="NAME", help="the tensor that takes pictures, where there are several inputs")
    group.add_argument("--output", metavar="NAME", help="the tensor that answers, where there are several outputs")


def _run(args: argparse.Namespace) -> Report:
    for module in ("torch", "safetensors", "onnx", "onnxscript", "onnxruntime", "cv2"):
        need(module)
    from .exporting import export_bundle
    from .report import ParityError

    def say(step: str) -> None:
        print(f"export: {step}", file=sys.stderr, flush=True)

    precisions = args.precision if args.precision is not None else ALL if args.calibration else ["fp32"]
    try:
        report = export_bundle(args.source, args.out, size_wh=parse_size(args.size) if args.size else None,
                               precisions=precisions, data=args.data, calibration=args.calibration,
                               budget=_budget(args), engine=args.engine, foreign=_foreign(args), say=say)
    except ParityError as error:
        print(f"epee: {error}", file=sys.stderr)
        return Report(error.report.to_json(), render(error.report), FAILED)
    return Report(report.to_json(), render(report), DONE)


def _foreign(args: argparse.Namespace) -> Foreign | None:
    """What is said of somebody else's model, or None where nothing is."""
    said = {name: getattr(args, name) for name in FOREIGN if getattr(args, name) is not None}
    if not said:
        return None
    from .foreign.described import Foreign, parse_triple, read_classes

    if "classes" in said:
        said["classes"], said["colours"] = read_classes(said["classes"])
    for name in ("mean", "std"):
        if name in said:
            said[name] = parse_triple(said[name])
    return Foreign(**said)


def _budget(args: argparse.Namespace) -> Budget:
    from .budget import Budget

    if not 0 <= args.max_drop <= 1:
        raise ConfigError("--max-drop", got=args.max_drop, expected="0 to 1, e.g. 0.005")
    if not args.search_seconds > 0:
        raise ConfigError("--search-seconds", got=args.search_seconds, expected="more than 0")
    return Budget(args.max_drop, args.search_seconds, quantizer=args.quantizer, min_psnr=args.min_psnr)


def render(report: ExportReport) -> str:
    """Gives the tables that a person reads: one of the variants, and one for each search."""
    pictures = any("psnr" in row.parity for row in report.rows)
    inner = "inside differs by" if pictures else "logits differ by"
    lines = [f"{'variant':<20}{'precision':<11}{'size':>9}  {'equal':>8}  {'PSNR':>8}  {'drop':>8}  {inner:<17} status"
             if pictures else
             f"{'variant':<20}{'precision':<11}{'size':>9}  {'equal':>8}  {'drop':>8}  {inner:<17} status"]
    for row in report.rows:
        equal, psnr, drop, difference = (row.parity.get(key) for key in ("equal", "psnr", "drop", "logit_max_diff"))
        lines.append(f"{row.variant:<20}{row.precision:<11}{row.bytes / 1e6:>6.1f} MB  {_number(equal, '.5f'):>8}  "
                     + (f"{_number(psnr, '.1f'):>8}  " if pictures else "")
                     + f"{_number(drop, '.5f'):>8}  {_number(difference, '.2g'):<17} {row.status}"
                     + (f": {row.reason}" if row.reason else ""))
    for row in report.rows:
        lines += _search(row)
    lines += [f"lacking: {line}" for line in report.lacking.values()]
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
