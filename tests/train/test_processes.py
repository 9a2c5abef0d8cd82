"""Trainings in two processes on one machine, by torchrun or as it would start them: real ones, over gloo."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from epee.train import checkpoint
from epee.train.adversary import FORMS
from epee.train.augment import Augment
from epee.train.config import save_config
from epee.train.networks.segmenter import SegmenterConfig
from epee.train.objective import Terms
from epee.train.presets.segment import SegmentConfig
from epee.train.pseudo import PseudoConfig
from epee.train.segment import train_segment

pytest.importorskip("lightning_fabric", reason="needs epee[distributed]")
LIMIT_S = 100
TINY = SegmenterConfig(classes=2, stem=8, quarter=8, eighth=8, sixteenth=8, dilations=(1,), decode8=8, decode4=8)
CONFIG = SegmentConfig(data="synthetic:street", size_wh=(96, 72), steps=50, batch=4, accumulate=2, train_count=12,
                       val_count=5, evaluations=2, warmup_steps=4, learning_rate=5e-3, network=TINY)
SEGMENT = ("-m", "epee", "train", "segment")


def measured(run, name="loss"):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextlib.contextmanager
def started(*commands, folders, env=None):
    """The commands at once, each in its folder; whatever still runs in the end is killed."""
    running = [subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                cwd=folder, env={**os.environ, **(env[i] if env else {})})
               for i, (command, folder) in enumerate(zip(commands, folders, strict=True))]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


def two_ranks(*command, folders):
    """Two processes as torchrun starts them, on one machine or in the folders of two; each can be hit by itself."""
    here, machines = ("2", "1") if len(folders) == 1 else ("1", "2")
    shared = {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": here, "GROUP_WORLD_SIZE": machines,
              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    env = [{**shared, "RANK": rank, "LOCAL_RANK": rank if here == "2" else "0",
            "GROUP_RANK": rank if here == "1" else "0"} for rank in "01"]
    return started(command, command, folders=[folders[0], folders[-1]], env=env)


def recipe(folder, config):
    save_config(folder / "recipe", config)
    return "--config", str(folder / "recipe" / "config.toml")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What one process learns that computes two halves of each batch one after the other."""
    run = tmp_path_factory.mktemp("whole")
    return run, train_segment(CONFIG, run, quiet=True)


def test_two_processes_learn_what_one_learns_that_accumulates_two_halves(whole, tmp_path):
    command = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *SEGMENT,
               *recipe(tmp_path, dataclasses.replace(CONFIG, accumulate=1)), "--out", "run", "--json")
    with started(command, folders=[tmp_path]) as (agent,):
        out, errors = agent.communicate(timeout=LIMIT_S)
    assert agent.returncode == 0, errors
    metrics = json.loads(out)  # one object, of the first process
    assert (metrics["processes"], whole[1]["processes"]) == (2, 1)
    assert metrics["miou"] == pytest.approx(whole[1]["miou"], abs=1e-4)
    one, two = measured(whole[0]), measured(tmp_path / "run")
    assert sorted(one) == sorted(two) == list(range(1, 51))
    assert list(two.values()) == pytest.approx(list(one.values()), abs=1e-4)
    assert two[50] < 0.8 * two[1]
    kept, found = (checkpoint.read(run / "last.safetensors")[0] for run in (whole[0], tmp_path / "run"))
    for name in kept:  # averages and running statistics as well
        if "num_batches_tracked" not in name:
            assert torch.allclose(found[name], kept[name], atol=1e-4), name


def test_a_run_of_one_process_goes_on_on_two_machines_with_all_parts_of_the_recipe(whole, drives, tmp_path,
                                                                                   interrupted):
    """The machines share no disk: the second one neither needs nor writes the run's folder."""
    config = dataclasses.replace(
        CONFIG, data=str(drives), steps=12, train_count=None, teacher=str(whole[0]), leave_out=("c_",),
        unlabelled=(str(drives.parent / "images" / "val"),), pseudo=PseudoConfig(confidence=0.3, begin=0.2),
        adversary=dataclasses.replace(FORMS["pixels"], begin=0.25), terms=Terms(auxiliary=0.4, boundary=0.5),
        augment=Augment(paste=0.5, rare=0.05))
    train_segment(config, tmp_path / "whole", quiet=True)
    interrupted(config, tmp_path / "first" / "run", 5)
    (tmp_path / "second").mkdir()
    with two_ranks(*SEGMENT, "--out", "run", "--resume", "--json",
                   folders=[tmp_path / "first", tmp_path / "second"]) as ranks:
        told = [rank.communicate(timeout=LIMIT_S) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], told
    assert [bool(out) for out, _ in told] == [True, False]
    assert not list((tmp_path / "second").iterdir())
    for name in ("loss", "pseudo", "adversarial", "trusted", "discriminator_loss", "boundary", "distill"):
        kept, found = measured(tmp_path / "whole", name), measured(tmp_path / "first" / "run", name)
        assert sorted(found) == sorted(kept)
        assert max(kept) == 12
        assert [found[s] for s in range(6, 13)] == pytest.approx([kept[s] for s in range(6, 13)], abs=1e-4), name


def test_a_signal_to_one_ends_all_at_the_same_step_and_one_process_goes_on(whole, tmp_path):
    run, steps = tmp_path / "run", tmp_path / "run" / "metrics.jsonl"
    with two_ranks(*SEGMENT, *recipe(tmp_path, CONFIG), "--out", "run", folders=[tmp_path]) as ranks:
        deadline = time.monotonic() + LIMIT_S
        while not (steps.exists() and steps.read_text()):
            assert time.monotonic() < deadline, "no step was made"
            time.sleep(0.01)
        ranks[1].send_signal(signal.SIGTERM)
        errors = [rank.communicate(timeout=LIMIT_S)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [130, 130], errors
    assert not any("Traceback" in text for text in errors)
    reached = checkpoint.read(run / "last.safetensors")[1]["place"]["step"]
    assert 1 <= reached == max(measured(run)) < 50
    train_segment(CONFIG, run, resume=True, quiet=True)
    one, resumed = measured(whole[0]), measured(run)
    assert sorted(resumed) == list(range(1, 51))
    assert list(resumed.values()) == pytest.approx(list(one.values()), abs=1e-3)


TOGETHER = """
import os, sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from epee.runtime.errors import EpeeError, TrainingError
from epee.train import segment
from epee.train.config import read_toml
from epee.train.presets.segment import SegmentConfig
from epee.train.processes import joined

def fails():
    raise TrainingError("no room")

def said(call, *given):
    try:
        return call(*given)
    except EpeeError as error:
        return str(error)

config = read_toml(SegmentConfig, Path(sys.argv[1]))
with joined() as processes:
    rank = processes.rank
    print(processes.from_first(lambda: f"of {rank}"), flush=True)
    print(said(processes.from_first, fails), flush=True)
    print(processes.agree(100.0 + rank, rank == 1), processes.agree(7.0, False), flush=True)
    print(said(processes.check_alike, "the weights", rank, "copy them"), flush=True)
    print(segment.train_segment(config, Path("minutes"), quiet=True, processes=processes)["steps"], flush=True)
    real, count = segment.train_step, 0
    def dying(*given):
        global count
        count += 1
        if rank == 1 and count == 3:
            os._exit(9)
        return real(*given)
    segment.train_step = dying
    endless = replace(config, minutes=None, steps=1000)
    print(said(partial(segment.train_segment, endless, Path("dead"), quiet=True, processes=processes)), flush=True)
"""


def test_they_agree_and_a_process_that_dies_ends_the_other_with_an_error(tmp_path):
    """The budget in minutes ends at the same step everywhere, by the first one's clock."""
    timed = dataclasses.replace(CONFIG, steps=None, minutes=0.03)
    command = ("-c", TOGETHER, recipe(tmp_path, timed)[1])
    with two_ranks(*command, folders=[tmp_path]) as ranks:
        told = [rank.communicate(timeout=LIMIT_S) for rank in ranks]
    first, second = (out.splitlines() for out, _ in told)
    assert (first[0], second[0]) == ("of 0", "of 0"), told
    assert (first[1], second[1]) == ("no room", "the first process gave up: got no room")
    assert first[2] == second[2] == "(100.0, True) (7.0, False)"
    assert first[3] == second[3] == ("the weights: got another one in process 1 than in process 0, "
                                     "expected the same everywhere; copy them")
    assert first[4] == second[4]
    assert int(first[4]) == checkpoint.read(tmp_path / "minutes" / "last.safetensors")[1]["place"]["step"]
    assert first[5].startswith("process 0 of 2 has lost the others"), told
    assert ranks[1].returncode == 9
    assert sorted(measured(tmp_path / "dead")) == [1, 2]
