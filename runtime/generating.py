"""`epee generate`: `epee run` with a source of latents, which its own options describe."""

from __future__ import annotations

import argparse
from typing import Any

from . import running
from .cli import Command, Report

LEGS = 8
"""Legs of a loop where nobody says how long it is."""
OWN = ("walk", "walk_frames", "loop", "grid_wh", "scale", "enlarge", "label", "truncation", "fps")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `epee generate` takes: all of run's options, and what is generated."""
    running.arguments(parser)
    group = parser.add_argument_group("what is generated")
    group.add_argument("--walk", choices=("slerp", "none"),
                       help="slerp: from one latent to the next along a great circle; none: independent latents, by "
                            "(seed, 0), (seed, 1) …; an animator's are the noise that moves it (default: slerp, for an "
                            "animator none)")
    group.add_argument("--walk-frames", type=int, metavar="N", help="frames from one latent to the next (default: 30)")
    group.add_argument("--loop", action="store_true", default=None,
                       help=f"the walk closes without a seam after --frames N (default: {LEGS} legs)")
    group.add_argument("--grid", metavar="CxR", dest="grid_wh", help="pictures side by side and one below another, "
                       "computed as one batch, e.g. 8x8")
    group.add_argument("--scale", type=int, metavar="N", help="enlarge each picture so many times (default: 1; for a "
                       "window or a web page what makes it 256 pixels high)")
    group.add_argument("--enlarge", choices=("nearest", "cubic"), help="how (default: nearest)")
    group.add_argument("--label", metavar="A,B", help="classes, or all: a walk takes another with each leg "
                       "(default: each place in the grid keeps one of all, in turn)")
    group.add_argument("--truncation", type=float, metavar="X", help="above 0, at most 2: below 1 pictures are more "
                       "typical and more alike (default: 1)")
    group.add_argument("--fps", type=float, metavar="X", help="frames a second of a video, and on a page "
                       "(default: 30)")


def run(args: argparse.Namespace) -> Report:
    """Streams latents through a generator into sinks."""
    given = {name: getattr(args, name) for name in OWN if getattr(args, name) is not None}
    if args.config is None and not args.source:
        args.source = [source_text(args, given)]
    elif given:
        args.misused("--source and --config say themselves what is generated, e.g. latents:walk?grid=8x8: leave "
                     + ", ".join("--" + name.removesuffix("_wh").replace("_", "-") for name in given) + " out")
    return running.run(args)


GENERATE = Command(arguments, run)


def source_text(args: argparse.Namespace, given: dict[str, Any]) -> str:
    """The source, `latents:…`, that the options describe.

    Args:
        given: which of the options in OWN were given, by name.

    Raises:
        ConfigError: a value that makes no sense.
        BundleError: no such bundle.
    """
    from .bundle import Bundle
    from .errors import ConfigError
    from .sinks import parse_sink
    from .sources.latent_options import LatentOptions, parse_grid

    kinds = {parse_sink(text)[0] for text in args.sink}
    values: dict[str, Any] = dict(given)
    if args.bundle is not None and Bundle.open(args.bundle).manifest.carried:
        way = {"slerp": "walk"}.get(values.pop("walk", "none"), "noise")
    else:
        way = "seeds" if values.pop("walk", "slerp") == "none" else "walk"
    if values.pop("loop", False):
        values["loop"] = args.frames or LEGS * values.get("walk_frames", LatentOptions.walk_frames)
    if "grid_wh" in values:
        try:
            values["grid_wh"] = parse_grid(values["grid_wh"])
        except ValueError:
            raise ConfigError("--grid", got=repr(values["grid_wh"]), expected="COLUMNSxROWS, e.g. 8x8") from None
    if "label" in values:
        values["label"] = tuple(word.strip() for word in values["label"].split(",") if word.strip())
    if kinds & {"window", "web"}:  # somebody looks
        values.setdefault("scale", 0)
        values["pace"] = "web" in kinds
    return LatentOptions(way, args.seed or 0, **values).text()
