"""A segmenter's card: its numbers are those of eval, its frames the best and the worst, its words the notes'."""

import sys

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
yaml = pytest.importorskip("yaml")

from epee.benchmarks import card  # noqa: E402
from epee.benchmarks.studies import ledger  # noqa: E402
from epee.runtime.bundle import Bundle  # noqa: E402
from epee.runtime.errors import ConfigError  # noqa: E402
from epee.runtime.evaluate import evaluate  # noqa: E402

NOTES = {"summary": "Names colours.", "data": "Painted squares.", "terms": "None.", "command": "$ paint",
         "limits": "Grey."}


@pytest.fixture
def squares(tmp_path):
    """Four pictures of pure colours, two drives; in `b_1` half the labels are wrong, in `b_0` a fifth."""
    for folder in ("images/val", "masks/val"):
        (tmp_path / folder).mkdir(parents=True)
    for stem, wrong in (("a_0", 0), ("a_1", 0), ("b_0", 20), ("b_1", 48)):
        image = np.zeros((72, 96, 3), np.uint8)
        image[:, :48, 0], image[:, 48:, 2] = 200, 200
        mask = np.where(np.arange(96) < 48, 0, 2).astype(np.uint8)[None].repeat(72, 0)
        mask[:, :wrong] = 1
        cv2.imwrite(str(tmp_path / "images/val" / f"{stem}.png"), image)
        cv2.imwrite(str(tmp_path / "masks/val" / f"{stem}.png"), mask)
    described = {"val": "images/val", "names": dict(enumerate(("blue", "green", "red", "dark")))}
    (tmp_path / "squares.yaml").write_text(yaml.safe_dump(described))
    return tmp_path / "squares.yaml"


def made(tmp_path, monkeypatch, bundle, squares, notes=NOTES, *options):
    (tmp_path / "notes.toml").write_text("".join(f'{key} = "{text}"\n' for key, text in notes.items()))
    monkeypatch.setattr(sys, "argv", ["card", str(bundle), "--notes", str(tmp_path / "notes.toml"), "--data",
                                      str(squares), "--out", str(tmp_path / "cards" / "tiny.md"), *options])
    card.main()
    return (tmp_path / "cards" / "tiny.md").read_text()


def test_a_card_says_what_eval_says_and_shows_frames(tiny_bundle, squares, tmp_path, monkeypatch):
    text = made(tmp_path, monkeypatch, tiny_bundle, squares)
    scores = evaluate(Bundle.open(tiny_bundle), str(squares))
    assert f"| **mIoU** | **{scores.miou:.4f}** |" in text
    assert f"| blue | {scores.iou['blue']:.4f} |" in text
    assert "| dark | not seen |" in text
    assert "| a | 2 | 1.0000 |" in text
    assert all(words in text for words in NOTES.values())
    picture = cv2.imread(str(tmp_path / "cards" / "tiny.jpg"))
    assert picture.shape == (4 * (240 + card.BAR), 3 * (320 + card.GAP) - card.GAP, 3)
    worst = picture[2 * (240 + card.BAR) + card.BAR + 120]  # a row through it: its left half is blue, its label green
    assert worst[80, 0] > 150
    assert worst[400, 1] > worst[400, 0]


def test_the_worst_frames_come_worst_first(tiny_bundle, squares):
    from epee.runtime.evaluate import open_fitting

    bundle = Bundle.open(tiny_bundle)
    scored = card.score(bundle, "fp32", open_fitting(bundle.manifest, str(squares), "val"))
    best, worst = scored.extremes(2)
    assert (set(best), worst) == ({0, 1}, [3, 2])
    assert scored.by_drive()["b"][0] == 2


def test_drives_left_out_are_told_where_they_were_run(tiny_bundle, squares, tmp_path, monkeypatch):
    results = tmp_path / "cross.jsonl"
    names = ["blue", "green", "red", "dark"]
    for fold, miou in (("a_", 0.5), ("b_", 1.0)):
        matrix = np.diag([10, 10, 10, 10]) + (miou < 1) * np.eye(4, k=1, dtype=int) * 5
        ledger.append(results, {"recipe": "best", "fold": fold, "size": "96x72", "steps": 9, "seed": 0, "miou": miou,
                                "names": names, "confusion": matrix.tolist()})
    text = made(tmp_path, monkeypatch, tiny_bundle, squares, NOTES, "--left-out", "best", "--results", str(results))
    assert "| a_ | 0 | 0.5000 |" in text
    assert "**all, pooled**" in text
    with pytest.raises(ConfigError, match="'other': got no line of it"):
        made(tmp_path, monkeypatch, tiny_bundle, squares, NOTES, "--left-out", "other", "--results", str(results))


def test_notes_are_whole_and_known(tiny_bundle, squares, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="'limits': got nothing"):
        made(tmp_path, monkeypatch, tiny_bundle, squares, {k: v for k, v in NOTES.items() if k != "limits"})
    with pytest.raises(ConfigError, match="unknown key 'limit'"):
        made(tmp_path, monkeypatch, tiny_bundle, squares, {**NOTES, "limit": "x"})


def test_lines_say_what_machine_they_came_of(tmp_path):
    ledger.append(tmp_path / "r.jsonl", {"seed": 1})
    row, = ledger.lines(tmp_path / "r.jsonl")
    assert row == {"seed": 1, "machine": ledger.here()}
    assert ledger.line_of(tmp_path / "r.jsonl", {"seed": 2}) is None
    assert ledger.machines([row, row]) == f"machine: {ledger.here()}"
    assert ledger.machines([row, {"seed": 0}]).startswith("machines, whose minutes differ: ")
