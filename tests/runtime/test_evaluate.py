"""eval against scores counted here from the session's own masks, and its refusals."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from epee.runtime import pixels
from epee.runtime.backends import open_session
from epee.runtime.bundle import Bundle
from epee.runtime.cli import main
from epee.runtime.dataset import open_dataset
from epee.runtime.evaluate import evaluate


def by_hand(bundle: Bundle, data: str) -> tuple[float, float]:
    """mIoU and pixel accuracy from masks at the labels' size, with sets of pixels."""
    labels, answers = [], []
    dataset = open_dataset(data, "val")
    with open_session(bundle, "onnxruntime") as session:
        for image, label in (dataset[i] for i in range(len(dataset))):
            size_hw = bundle.manifest.inputs[0].size_hw or image.shape[:2]
            mask = session.run({"frame": pixels.fit(image, size_hw, bundle.manifest.fit)[None]})["mask"][0]
            answers.append(pixels.unfit_mask(mask, label.shape, bundle.manifest.fit).ravel())
            labels.append(label.ravel())
    label, answer = np.concatenate(labels), np.concatenate(answers)
    label, answer = label[label != 255], answer[label != 255]
    ious = [((label == c) & (answer == c)).sum() / union for c in range(len(bundle.manifest.classes))
            if (union := ((label == c) | (answer == c)).sum())]
    return float(np.mean(ious)), float((label == answer).mean())


def test_scores_are_those_counted_by_hand(tiny_bundle: Path, pictures: Path, capsys) -> None:
    bundle = Bundle.open(tiny_bundle)
    assert main(["eval", str(tiny_bundle), "--data", str(pictures), "--backend", "onnxruntime", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert (found["miou"], found["pixel_accuracy"]) == pytest.approx(by_hand(bundle, str(pictures)))
    assert tuple(found["iou"]) == bundle.manifest.classes
    assert (found["images"], found["backend"]) == (3, "onnxruntime")
    assert (found["variant"], found["precision"]) == ("fp32", "fp32")


def test_perfect_labels_score_one_and_unseen_classes_are_null(tiny_bundle: Path, pictures: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    dataset = open_dataset(str(pictures), "val")
    with open_session(bundle, "onnxruntime") as session:
        for i in range(len(dataset)):
            image, label = dataset[i]
            size_hw = bundle.manifest.inputs[0].size_hw or image.shape[:2]
            mask = session.run({"frame": pixels.fit(image, size_hw, bundle.manifest.fit)[None]})["mask"][0]
            mask = pixels.unfit_mask(mask, label.shape, bundle.manifest.fit)
            cv2.imwrite(str(pictures.parent / f"masks/val/{i}.png"), mask)
    scores = evaluate(bundle, str(pictures), backend="onnxruntime").to_json()
    assert (scores["miou"], scores["pixel_accuracy"]) == (1.0, 1.0)
    assert set(scores["iou"].values()) <= {1.0, None}


def test_batches_change_nothing(tiny_bundle: Path, pictures: Path, monkeypatch) -> None:
    bundle = Bundle.open(tiny_bundle)
    one = evaluate(bundle, str(pictures))
    monkeypatch.setattr("epee.runtime.evaluate._batch_size", lambda session: 2)
    assert evaluate(bundle, str(pictures)).to_json() == one.to_json()


def test_limit_and_progress(tiny_bundle: Path, pictures: Path) -> None:
    seen: list[tuple[int, int]] = []
    scores = evaluate(Bundle.open(tiny_bundle), str(pictures), limit=2, progress=lambda *x: seen.append(x))
    assert scores.images == 2
    assert seen == [(1, 2), (2, 2)]


def test_text(tiny_bundle: Path, pictures: Path, capsys) -> None:
    assert main(["eval", str(tiny_bundle), "--data", str(pictures)]) == 0
    out = capsys.readouterr().out
    assert "mIoU " in out
    assert "3 images, " in out


def names_line(pictures: Path, names: list[str]) -> str:
    """Rewrites the data set's names; gives its path."""
    data = yaml.safe_load(pictures.read_text()) | {"names": names, "label_mapping": dict.fromkeys(range(32), 0)}
    pictures.write_text(yaml.safe_dump(data))
    return str(pictures)


def test_another_number_of_classes(tiny_bundle: Path, pictures: Path, capsys) -> None:
    classes = Bundle.open(tiny_bundle).manifest.classes
    data = names_line(pictures, [*classes, "boat"])
    assert main(["eval", str(tiny_bundle), "--data", data]) == 1
    line = capsys.readouterr().err
    assert f"got {len(classes) + 1} in the data ({classes[0]}, " in line
    assert f"expected {len(classes)} ({classes[0]}, " in line
    assert line.count("\n") == 1


def test_another_order_of_classes(tiny_bundle: Path, pictures: Path, capsys) -> None:
    classes = list(Bundle.open(tiny_bundle).manifest.classes)
    data = names_line(pictures, [classes[1], classes[0], *classes[2:]])
    assert main(["eval", str(tiny_bundle), "--data", data]) == 1
    assert f"got '{classes[1]}' as class 0 of the data, expected '{classes[0]}'; " in capsys.readouterr().err


def test_another_task(tiny_copy: Path, pictures: Path, capsys) -> None:
    data = json.loads((tiny_copy / "manifest.json").read_text())
    (tiny_copy / "manifest.json").write_text(json.dumps(data | {"task": "enhance"}))
    assert main(["eval", str(tiny_copy), "--data", str(pictures)]) == 1
    assert "got task enhance, expected task segment; eval scores masks against labels" in capsys.readouterr().err


def test_a_split_that_is_not_there(tiny_bundle: Path, pictures: Path, capsys) -> None:
    assert main(["eval", str(tiny_bundle), "--data", str(pictures), "--split", "test"]) == 1
    assert "split 'test': got not in the file, expected one of val" in capsys.readouterr().err
