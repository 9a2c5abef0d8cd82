"""A segmenter's card: what it is, what it was trained on and by which command, how good it is and where it fails.

    python -m epee.benchmarks.card BUNDLE --notes NOTES.toml --data D.yaml --out CARD.md [--split val]
        [--precision fp32,int8-u8s8] [--left-out RECIPE]

What a person has to say stands in NOTES.toml: `summary`, `data`, `terms`, `command` and `limits`. The rest is read off
the bundle or measured: each variant is scored by class, the first one by drive as well (what a file's name begins with,
up to its first `_`), and the frames that it does best and worst are drawn beside their labels into CARD.jpg. With
`--left-out` the card also says what trainings of that recipe reached on drives that they had not seen, out of the
results of `epee.benchmarks.studies.cross_drive`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime import settings
from ..runtime.backends import open_session
from ..runtime.bundle import Bundle
from ..runtime.colour_masks import painted
from ..runtime.commands import names
from ..runtime.dataset import Dataset, FolderDataset
from ..runtime.errors import ConfigError, need
from ..runtime.evaluate import answered, open_fitting
from ..runtime.manifest import Manifest
from ..runtime.pixels import overlay, resize
from ..runtime.scores import Confusion
from .studies import ledger
from .studies.ledger import pooled

BACKEND = "onnxruntime"
SHOWN, PANEL_WIDTH, GAP, BAR = 2, 320, 8, 22
"""Frames of either kind that are drawn; sizes in pixels."""
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Notes:
    """What a person says of a network, as Markdown.

    Attributes:
        summary: what it is for, in a sentence or two.
        data: what it was trained on, and where a reader gets that.
        terms: under which it may be used.
        command: that trained it and the one that exported it.
        limits: where it is not to be trusted.
    """

    summary: str
    data: str
    terms: str
    command: str
    limits: str


@dataclass
class Scored:
    """A variant on a split.

    Attributes:
        whole: of all frames.
        frames: of each.
        drives: each frame's drive, "" where its name tells none.
    """

    whole: Confusion
    frames: list[Confusion]
    drives: list[str]

    def by_drive(self) -> dict[str, tuple[int, float]]:
        """Drive -> its frames and their mIoU."""
        found = {}
        for drive in dict.fromkeys(self.drives):
            mine = [c for c, of in zip(self.frames, self.drives, strict=True) if of == drive]
            found[drive] = (len(mine), sum(mine[1:], mine[0]).miou())
        return found

    def extremes(self, count: int) -> tuple[list[int], list[int]]:
        """The best and the worst frames by their own mIoU, `count` each."""
        order = np.argsort([c.miou() for c in self.frames])
        return order[::-1][:count].tolist(), order[:count].tolist()


def main() -> None:
    """Measures, and writes the card and its picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--notes", required=True, type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--out", required=True, type=Path, metavar="CARD.md")
    parser.add_argument("--precision", type=names, help="with commas (default: all that the backend takes)")
    parser.add_argument("--left-out", metavar="RECIPE")
    parser.add_argument("--limit", type=int, help="only the first so many frames")
    parser.add_argument("--results", type=Path, default=ledger.FOLDER / "cross_drive.jsonl")
    args = parser.parse_args()
    notes = settings.from_dict(Notes, settings.read_toml(args.notes, "notes"), str(args.notes))
    bundle = Bundle.open(args.bundle)
    left_out = [] if args.left_out is None else rows_of(args.results, args.left_out)
    dataset = open_fitting(bundle.manifest, args.data, args.split, args.limit)
    variants = args.precision or [v.name for v in bundle.manifest.variants if v.kind == "onnx"]
    scored = {name: score(bundle, name, dataset) for name in variants}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    picture = args.out.with_suffix(".jpg")
    draw(bundle, dataset, scored[variants[0]], variants[0], picture)
    args.out.write_text(card(bundle, notes, args.split, scored, left_out, picture.name), encoding="utf-8")


def rows_of(results: Path, recipe: str) -> list[dict[str, Any]]:
    """The lines of a recipe's trainings. Raises ConfigError where there is none."""
    rows = [line for line in ledger.lines(results) if line["recipe"] == recipe]
    if not rows:
        raise ConfigError(f"--left-out '{recipe}'", got=f"no line of it in {results}",
                          do="run epee.benchmarks.studies.cross_drive first")
    return rows


def score(bundle: Bundle, variant: str, dataset: Dataset) -> Scored:
    """Scores a variant frame by frame.

    Raises:
        BackendError: the variant does not open.
        DataError: a file is broken.
    """
    frames: list[Confusion] = []
    with open_session(bundle, BACKEND, variant) as session:
        for _, label, mask in answered(session, bundle.manifest, dataset):
            confusion = Confusion(len(dataset.names), dataset.ignore)
            confusion.add(label, mask)
            frames.append(confusion)
    stems = dataset.stems if isinstance(dataset, FolderDataset) else [""] * len(frames)
    drives = [stem.split("_")[0] if "_" in stem else "" for stem in stems]
    return Scored(sum(frames[1:], frames[0]), frames, drives)


def draw(bundle: Bundle, dataset: Dataset, scored: Scored, variant: str, out: Path) -> None:
    """Draws the best frames above the worst: the picture, its label, what is answered."""
    cv2: Any = need("cv2")
    best, worst = scored.extremes(SHOWN)
    rows = []
    with open_session(bundle, BACKEND, variant) as session:
        for kind, index in [*(("best", i) for i in best), *(("worst", i) for i in worst)]:
            image, label, mask = next(iter(answered(session, bundle.manifest, _Only(dataset, index))))
            panels = [image, painted(label, dataset.colours), overlay(image, mask, bundle.manifest, strength=0.7)]
            height = round(PANEL_WIDTH * image.shape[0] / image.shape[1])
            row = [resize(panel, (height, PANEL_WIDTH), "area") for panel in panels]
            rows.append(_titled(row, f"{kind}: frame {index}, mIoU {scored.frames[index].miou():.3f}"))
    cv2.imwrite(str(out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 88])


class _Only:
    """A data set of one frame of another."""

    def __init__(self, dataset: Dataset, index: int) -> None:
        self._dataset, self._index = dataset, index
        self.names, self.colours, self.ignore = dataset.names, dataset.colours, dataset.ignore

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._dataset[self._index]


def _titled(panels: Sequence[Image], title: str) -> Image:
    cv2: Any = need("cv2")
    h, w = panels[0].shape[:2]
    row: Image = np.full((h + BAR, len(panels) * (w + GAP) - GAP, 3), 255, np.uint8)
    for i, panel in enumerate(panels):
        row[BAR:, i * (w + GAP):i * (w + GAP) + w] = panel
    cv2.putText(row, title, (4, BAR - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return row


def card(bundle: Bundle, notes: Notes, split: str, scored: Mapping[str, Scored], left_out: Sequence[Mapping[str, Any]],
         picture: str) -> str:
    """The card, as Markdown."""
    m, first = bundle.manifest, next(iter(scored.values()))
    count = len(first.frames)
    drives = {drive: found for drive, found in first.by_drive().items() if drive}
    parts = [f"# {m.name}", notes.summary.strip(), f"![Best and worst frames of {split}]({picture})",
             f"Above the best, below the worst of {count} frames of {split} by their own mIoU: the picture, its label, "
             f"what {next(iter(scored))} answers.",
             "## What it is", *_facts(m), _variants(m),
             "## Trained on", notes.data.strip(), f"Terms: {notes.terms.strip()}",
             f"```console\n{notes.command.strip()}\n```", _provenance(m),
             f"## Scores on {split}", _classes(m, scored),
             *([_drives(drives)] if len(drives) > 1 else []),
             *([_left_out(left_out)] if left_out else []),
             "## Limits", notes.limits.strip(),
             f"Scored in {BACKEND} on {ledger.here()}; bundle {bundle.digest()[:8]}."]
    return "\n\n".join(parts) + "\n"


def _facts(m: Manifest) -> list[str]:
    size = m.inputs[0].size_hw
    told = m.provenance
    words = [f"{told['parameters'] / 1e6:.2f} M parameters" if "parameters" in told else "",
             f"{told['macs'] / 1e9:.2f} GMAC a frame" if "macs" in told else "",
             f"{size[1]}x{size[0]}" if size else "any size", f"{len(m.classes)} classes: {', '.join(m.classes)}"]
    return ["; ".join(word for word in words if word) + "."]


def _variants(m: Manifest) -> str:
    rows = [[v.name, f"{v.bytes / 1e6:.2f} MB", *(f"{v.parity[key]:.5f}" if key in v.parity else "" for key in
                                                ("equal", "drop"))] for v in m.variants]
    return table(["variant", "size", "pixels equal to torch", "mIoU lost at export"], rows)


def _provenance(m: Manifest) -> str:
    told = m.provenance
    keys = ("preset", "seed", "step", "minutes", "init", "teacher", "adversarial", "torch", "epee")
    return "; ".join(f"{key} {told[key]}" for key in keys if told.get(key) not in (None, "")) + "."


def _classes(m: Manifest, scored: Mapping[str, Scored]) -> str:
    iou = {name: s.whole.iou() for name, s in scored.items()}
    rows = [[name, *(_number(each[i]) for each in iou.values())] for i, name in enumerate(m.classes)]
    rows.append(["**mIoU**", *(f"**{s.whole.miou():.4f}**" for s in scored.values())])
    rows.append(["pixel accuracy", *(_number(s.whole.pixel_accuracy()) for s in scored.values())])
    return table(["class", *scored], rows)


def _drives(drives: Mapping[str, tuple[int, float]]) -> str:
    return table(["drive", "frames", "mIoU"], [[name, str(n), _number(x)] for name, (n, x) in drives.items()])


def _left_out(rows: Sequence[Mapping[str, Any]]) -> str:
    first = rows[0]
    told = [[row["fold"], str(row["seed"]), _number(row["miou"])] for row in rows]
    told.append(["**all, pooled**", "", f"**{pooled(rows).miou():.4f}**"])
    return (f"Trainings of the same recipe at {first['size']}, {first['steps']} steps, each without a drive, on that "
            "drive:\n\n" + table(["drive left out", "seed", "mIoU"], told))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [list(head), ["---"] * len(head), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(x: float) -> str:
    return "not seen" if np.isnan(x) else f"{x:.4f}"


if __name__ == "__main__":
    main()
