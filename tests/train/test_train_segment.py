"""Short real trainings on the synthetic street."""

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from epee.runtime.cli import main
from epee.runtime.dataset import open_dataset
from epee.runtime.errors import TrainingError
from epee.train import checkpoint, schedule, segment
from epee.train.augment import Augment
from epee.train.networks.segmenter import SegmenterConfig
from epee.train.objective import Terms
from epee.train.presets.segment import SegmentConfig
from epee.train.segment import train_segment

TINY = SegmenterConfig(classes=2, stem=8, quarter=8, eighth=16, sixteenth=16, dilations=(1, 2), decode8=16, decode4=8)
CONFIG = SegmentConfig(data="synthetic:street", size_wh=(96, 72), epochs=6, batch=4, train_count=40, evaluations=2,
                       val_count=6,
                       warmup_steps=4, learning_rate=5e-3, network=TINY)


def losses(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    return run, train_segment(CONFIG, run, quiet=True)


def test_minutes_of_processor_time_are_counted_by_that_clock(tmp_path, monkeypatch):
    seconds = itertools.count(0, 5)  # each look at the clock finds five seconds gone
    monkeypatch.setitem(schedule.CLOCKS, "cpu", lambda: float(next(seconds)))
    config = dataclasses.replace(CONFIG, epochs=None, minutes=1.0, clock="cpu", evaluations=1)
    metrics = train_segment(config, tmp_path, quiet=True)
    assert 1 <= metrics["steps"] <= 12


def test_a_run_leaves_what_it_promises(whole_run):
    run, metrics = whole_run
    assert {"config.toml", "best.safetensors", "last.safetensors", "metrics.jsonl"} <= set(os.listdir(run))
    assert list((run / "pictures").glob("*.png"))
    assert list((run / "tensorboard").iterdir())
    assert metrics["steps"] == 60
    assert 0 <= metrics["miou"] <= 1
    assert len(metrics["iou"]) > 4


def test_it_learns(whole_run):
    by_step = losses(whole_run[0])
    assert sum(by_step[s] for s in range(51, 61)) < 0.8 * sum(by_step[s] for s in range(1, 11))


def test_what_is_exported_scores_what_was_reported(whole_run):
    run, metrics = whole_run
    trained = checkpoint.load_trained(run)
    val = open_dataset("synthetic:street", "val", size_wh=(96, 72), count=6)
    again = segment.evaluate(trained.network, val, trained.size_wh, trained.fit, torch.device("cpu"))
    assert again.miou() == pytest.approx(metrics["miou"], abs=1e-4)
    assert trained.names == val.names


def test_a_resumed_run_goes_on_as_if_uninterrupted(whole_run, tmp_path, interrupted):
    """Stops after 17 steps as Ctrl-C would, goes on, and must see the very losses of the whole run."""
    interrupted(CONFIG, tmp_path, 17)
    assert max(losses(tmp_path)) == 17
    train_segment(CONFIG, tmp_path, resume=True, quiet=True)
    whole, resumed = losses(whole_run[0]), losses(tmp_path)
    assert sorted(resumed) == sorted(whole)
    assert [resumed[s] for s in range(18, 38)] == pytest.approx([whole[s] for s in range(18, 38)], rel=1e-4)


@pytest.fixture(scope="module")
def full(whole_run, drives):
    """All parts of the recipe at once, taught by the run of another seed and begun from it."""
    return dataclasses.replace(
        CONFIG, data=str(drives), epochs=None, steps=12, seed=1, teacher=str(whole_run[0]), init=str(whole_run[0]),
        network=dataclasses.replace(TINY, decode2=4),
        terms=Terms(hardest=0.5, auxiliary=0.4, boundary=0.5, pairwise=0.5),
        augment=Augment(focus=0.5, paste=0.5, rare=0.05, saturation=0.3, small_steps=0.5))


def test_every_part_of_the_recipe_at_once_goes_on_where_it_stopped(full, tmp_path, interrupted):
    whole = train_segment(full, tmp_path / "whole", quiet=True)
    assert whole["init"]["head"] == "new"  # the head reads the finer decoder
    interrupted(full, tmp_path / "cut", 5)
    train_segment(full, tmp_path / "cut", resume=True, quiet=True)
    kept, resumed = losses(tmp_path / "whole"), losses(tmp_path / "cut")
    assert sorted(resumed) == sorted(kept) == list(range(1, 13))
    assert [resumed[s] for s in (6, 7, 8)] == pytest.approx([kept[s] for s in (6, 7, 8)], rel=1e-4)
    line = json.loads((tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()[0])
    parts = [line[name] for name in ("cross_entropy", "auxiliary", "boundary", "distill", "pairwise")]
    assert line["loss"] == pytest.approx(sum(parts), abs=1e-4)


def test_heads_and_teachers_are_left_behind(full, tmp_path):
    train_segment(dataclasses.replace(full, steps=1), tmp_path, quiet=True)
    tensors, _ = checkpoint.read(tmp_path / "best.safetensors")
    assert {name.removeprefix("ema.").split(".")[0] for name in tensors} == {
        "stem", "quarter", "eighth", "sixteenth", "side8", "join8", "side4", "join4", "up4", "side2", "join2", "head"}


def test_a_teacher_of_other_classes_is_one_clear_line(full, drives, tmp_path):
    text = drives.read_text().replace("sky", "heaven")
    (drives.parent / "other.yaml").write_text(text)
    with pytest.raises(TrainingError, match=r"teacher .*: got classes .*train it on the same data"):
        train_segment(dataclasses.replace(full, data=str(drives.parent / "other.yaml"), init=""), tmp_path, quiet=True)


def test_fine_tuning_begins_better_than_from_nothing(whole_run, drives, tmp_path, capsys):
    """The command takes network and head from the run, and says so; its own classes are the run's here."""
    arguments = ["train", "segment", "--data", str(drives), "--steps", "2", "--batch", "4", "--leave-out", "b_",
                 "--json"]
    assert main([*arguments, "--init", str(whole_run[0]), "--out", str(tmp_path / "tuned")]) == 0
    printed = capsys.readouterr()
    tuned = json.loads(printed.out)
    assert tuned["init"]["head"] == "whole"
    assert "tensors taken from" in printed.err
    assert tuned["scored"] == "train frames of b_"
    nothing = dataclasses.replace(CONFIG, data=str(drives), epochs=None, steps=2, leave_out=("b_",))
    assert tuned["miou"] > train_segment(nothing, tmp_path / "nothing", quiet=True)["miou"] + 0.05


def test_minutes_restore_the_time_spent(tmp_path):
    config = dataclasses.replace(CONFIG, epochs=None, minutes=0.08)
    first = train_segment(config, tmp_path, quiet=True)
    second = train_segment(dataclasses.replace(config, minutes=0.16), tmp_path, resume=True, quiet=True)
    assert second["minutes"] == pytest.approx(0.16, abs=0.04)
    assert second["steps"] > first["steps"]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    resumed = next(line for line in lines if line["step"] == first["steps"] + 1)
    assert resumed["elapsed_s"] > 3.0  # the first three seconds are not spent again


def test_a_loss_that_is_no_number_stops_with_a_clear_error(tmp_path, monkeypatch):
    config = dataclasses.replace(CONFIG, learning_rate=1e30, warmup_steps=0)
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf) at step \d+.*smaller --learning-rate"):
        train_segment(config, tmp_path, quiet=True)


def test_a_cut_checkpoint_is_one_clear_line(whole_run, tmp_path):
    data = (whole_run[0] / "last.safetensors").read_bytes()
    (tmp_path / "last.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(TrainingError, match="does not open"):
        train_segment(CONFIG, tmp_path, resume=True, quiet=True)


def test_ctrl_c_ends_the_command_with_130_and_a_checkpoint(tmp_path):
    command = [sys.executable, "-m", "epee", "train", "segment", "--data", "synthetic:street", "--size", "96x72",
               "--train-count", "16", "--preset", "nano", "--minutes", "5", "--batch", "4", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "metrics.jsonl").exists() or not (tmp_path / "metrics.jsonl").read_text():
        assert time.monotonic() < deadline, "no step was made"
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    _, facts = checkpoint.read(tmp_path / "last.safetensors")
    assert facts["place"]["step"] >= 1


FULL_DISK = """
import resource, sys, torch
from pathlib import Path
from epee.runtime.dataset import open_dataset
from epee.runtime.errors import TrainingError
from epee.train import checkpoint

path = Path(sys.argv[1])
checkpoint.write(path, {"a": torch.zeros(3)}, {"epoch": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    checkpoint.write(path, {"a": torch.zeros(100_000)}, {"epoch": 2})
except TrainingError as error:
    print(error)
print(checkpoint.read(path)[1]["epoch"], sorted(p.name for p in path.parent.iterdir()))
"""


def test_a_full_disk_is_one_clear_line_and_the_old_checkpoint_stays(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path / "last.safetensors")],
                          capture_output=True, text=True, timeout=60)
    assert "cannot write checkpoint" in done.stdout, done.stderr
    assert "1 ['last.safetensors']" in done.stdout
