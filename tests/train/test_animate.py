"""Animators: a motion that stays what it is, and a training that leaves everything, goes on, and notices a collapse."""

import dataclasses
import itertools
import json
import os
import signal
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from epee.runtime.cli import main
from epee.runtime.errors import ConfigError, DataError, TrainingError
from epee.train import animate, checkpoint
from epee.train.animate import train_animate
from epee.train.clips import ClipBatches, Clips, cut, open_clips
from epee.train.gan_losses import zero_centred
from epee.train.health import Limits
from epee.train.motion_pictures import motion_of
from epee.train.networks.animator import Animator, AnimatorConfig, Motion
from epee.train.networks.clip_discriminator import ClipDiscriminator, ClipDiscriminatorConfig
from epee.train.networks.discriminator import DiscriminatorConfig
from epee.train.networks.generator import GeneratorConfig
from epee.train.presets.animate import AnimateConfig, networks_of
from epee.train.schedule import CLOCKS

FRAMES = 4
NETWORKS = {"animator": AnimatorConfig(GeneratorConfig(8, 8, channels=(32, 16), convolutions=(1, 1)), longest=80.0),
            "discriminator": ClipDiscriminatorConfig(FRAMES, *[DiscriminatorConfig(8, channels=(32, 16),
                                                                                   convolutions=(1, 1))] * 2)}


@pytest.fixture(scope="module")
def squares():
    """24 runs of 12 frames of 8x8: a light square that goes to and fro on grey, at one or two pixels a frame."""
    rng, runs = np.random.default_rng(0), []
    for _ in range(24):
        run = np.full((12, 8, 8, 3), 60, np.uint8)
        y, x, step = *rng.integers(0, 6, 2), int(rng.choice([-1, 1]))
        for frame in run:
            frame[y:y + 3, x:x + 3] = 230
            step = -step if not 0 <= x + step <= 5 else step
            x += step
        runs.append(run)
    return Clips(tuple(runs))


@pytest.fixture(scope="module")
def tiny():
    """Makes an AnimateConfig for them; any field can be replaced."""
    config = AnimateConfig(data="squares", size=8, steps=40, batch=8, rate_first=2e-3, rate_last=5e-4, grids=4,
                           videos=2, limits=Limits(every=5, grace_images=400), **NETWORKS)
    return lambda **fields: dataclasses.replace(config, **fields)


@pytest.fixture(scope="module")
def whole_run(tiny, squares, tmp_path_factory):
    run = tmp_path_factory.mktemp("animate")
    return run, train_animate(tiny(), run, clips=squares, quiet=True)


def test_the_latent_is_standard_normal_at_every_moment():
    torch.manual_seed(0)
    motion = Motion(AnimatorConfig(GeneratorConfig(z=16)))
    with torch.no_grad():
        motion.turns.add_(torch.randn_like(motion.turns) * 0.3)
        motion.forgets.add_(torch.randn_like(motion.forgets))
        state, seen = torch.zeros(8000, motion.config.state), []
        for _ in range(60):
            latent, state = motion(torch.randn(8000, motion.config.z), state)
            seen.append(latent)
    for latent in (seen[0], seen[1], seen[-1]):
        assert float((latent.std(0) - 1).abs().max()) < 0.05
        assert float(latent.mean(0).abs().max()) < 0.05
    jumps = [float((b - a).square().mean().sqrt()) for a, b in pairwise(seen)]
    assert jumps[0] == pytest.approx(jumps[-1], rel=0.1)  # the first frame moves on as all others do
    turns = [float((c - 2 * b + a).square().mean().sqrt()) for a, b, c in zip(seen, seen[1:], seen[2:], strict=False)]
    assert max(turns) < 0.8 * min(jumps)  # where it goes, it goes on
    assert float(motion.poles()[0].detach().max()) < 1


def test_the_motion_forgets_where_it_began():
    torch.manual_seed(0)
    motion = Motion(AnimatorConfig(GeneratorConfig(z=8)))
    with torch.no_grad():
        state = torch.stack([torch.zeros(motion.config.state), 3 * torch.ones(motion.config.state)])
        state[1, -1] = 1
        for _ in range(900):
            latent, state = motion(torch.randn(1, motion.config.z).expand(2, -1), state)
    assert float((latent[0] - latent[1]).abs().max()) < 1e-3


def test_a_clip_is_its_frames_one_by_one():
    torch.manual_seed(0)
    animator = Animator(NETWORKS["animator"]).eval()
    z = torch.randn(3, 5, animator.config.z)
    state, frames = torch.zeros(3, animator.config.state), []
    with torch.no_grad():
        for noise in z.unbind(1):
            frame, state = animator(noise, state)
            frames.append(frame)
        torch.testing.assert_close(animator.clip(z), torch.stack(frames, 1))


def test_one_discriminator_sees_a_frame_and_the_other_their_order():
    torch.manual_seed(0)
    judge = ClipDiscriminator(NETWORKS["discriminator"])
    clips = torch.randn(2, 3 * FRAMES, 8, 8)
    others = clips.clone()
    others[:, 3:6] = clips[:, :3]
    others[:, :3] = clips[:, 3:6]  # two frames change places, the middle one stays
    before, after = judge(clips), judge(others)
    assert before.shape == (2, 2)
    torch.testing.assert_close(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])
    leaf = clips.requires_grad_()
    scores = judge(leaf)
    apart = sum(zero_centred(scores[:, i], leaf) for i in range(2))
    torch.testing.assert_close(zero_centred(scores, leaf), apart)


def test_a_training_leaves_what_is_needed_to_look_and_to_go_on(whole_run):
    run, metrics = whole_run
    assert metrics["healthy"]
    assert (metrics["steps"], metrics["clips_seen"], metrics["clips"]) == (40, 320, 24)
    assert {"diversity", "motion", "real_score", "fake_score", "r1", "r2", "clips_per_s"} <= set(metrics)
    for name in ("config.toml", "generator.safetensors", "last.safetensors", "metrics.jsonl"):
        assert (run / name).stat().st_size > 0
    image = cv2.imread(str(run / "pictures" / "step-00000040.png"))
    assert image.shape == (8 * 64, FRAMES * 64, 3)
    trained = checkpoint.load_trained(run)
    assert (trained.task, trained.size_wh, trained.provenance["frames"]) == ("animate", (8, 8), FRAMES)
    assert isinstance(trained.network, Animator)
    assert set(trained.provenance["scores"]) == {"diversity", "motion"}


def test_videos_show_the_training_and_how_it_moves(whole_run):
    pytest.importorskip("av")
    for name, size_wh in (("training.mp4", (FRAMES * 64, 512)), ("motion.mp4", (256, 256))):
        video = cv2.VideoCapture(str(whole_run[0] / name))
        assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == size_wh
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 120


def test_a_resumed_run_goes_on_as_if_uninterrupted(whole_run, tiny, squares, tmp_path, monkeypatch):
    real, count = animate.gan_step, 0

    def stopping(*args):
        nonlocal count
        count += 1
        if count == 21:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(animate, "gan_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_animate(tiny(), tmp_path, clips=squares, quiet=True)
    train_animate(tiny(), tmp_path, resume=True, clips=squares, quiet=True)
    whole, resumed = ({line["step"]: line["generator_loss"] for line in lines(run) if "generator_loss" in line}
                      for run in (whole_run[0], tmp_path))
    assert sorted(resumed) == sorted(whole)
    assert [resumed[s] for s in range(18, 41)] == pytest.approx([whole[s] for s in range(18, 41)], rel=1e-3)
    with pytest.raises(TrainingError, match="trained on other clips"):
        train_animate(tiny(), tmp_path, clips=Clips(squares.runs[:9]), resume=True, quiet=True)


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_collapse_is_caught(tiny, squares, tmp_path):
    config = tiny(loss="hinge", gamma=0.0, rate_first=0.3, rate_last=0.3, steps=300)
    metrics = train_animate(config, tmp_path, clips=squares, quiet=True)
    assert (metrics["healthy"], metrics["rollbacks"]) == (False, 2)
    assert metrics["problem"].startswith(("collapsed", "diverged"))


def test_clips_come_from_folders_and_videos(tmp_path, clip):
    pytest.importorskip("av")
    for name, count in (("a", 6), ("deep/b", 3), ("deep/c", 2)):
        (tmp_path / name).mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(str(tmp_path / name / f"{i}.png"), np.full((20, 30, 3), 40 * i + 5, np.uint8))
    (tmp_path / "deep" / "film.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    found = open_clips(tmp_path, 16, 3)
    assert [run.shape for run in found.runs] == [(6, 16, 16, 3), (30, 16, 16, 3), (3, 16, 16, 3)]
    assert [name for name, _ in found.skipped] == ["broken.mp4", "deep/c"]
    assert dict(found.skipped)["deep/c"] == "2 frames, fewer than 3"
    np.testing.assert_array_equal(found.runs[0][:, 0, 0, 0], np.arange(6) * 40 + 5)
    batches = ClipBatches(found, 3, 4, seed=0)
    assert (len(batches), batches(7).shape) == (4 + 28 + 1, (4, 3, 16, 16, 3))
    np.testing.assert_array_equal(batches(7), ClipBatches(found, 3, 4, seed=0)(7))
    assert open_clips(clip, 16, 3).runs[0].shape == (30, 16, 16, 3)
    with pytest.raises(DataError, match=r"none that can be used \(broken.mp4"):
        open_clips(tmp_path / "broken.mp4", 16, 3)
    with pytest.raises(DataError, match="nothing there"):
        open_clips(tmp_path / "gone", 16, 3)


def test_squares_of_a_frame_make_clips_where_something_moves(tmp_path):
    """A light block flies through the upper left of a frame that grows brighter all the time and is cut once."""
    for i in range(14):
        frame = np.full((50, 65, 3), 60 + 5 * i + 80 * (i > 9), np.uint8)
        if i < 8:
            frame[4:12, 2 * i:2 * i + 8] = 20
        cv2.imwrite(str(tmp_path / f"{i:02d}.png"), frame)
    assert len(cut(np.zeros((50, 65, 3), np.uint8), 32)) == 2 * 3
    found = open_clips(tmp_path, 16, 4, crop=32)
    assert {run.shape[1:] for run in found.runs} == {(16, 16, 3)}
    assert 1 <= len(found.runs) <= 3  # where the block is; the cut and the light move nothing
    assert all(4 <= len(run) <= 11 for run in found.runs)
    with pytest.raises(DataError, match=r"got none that can be used .*nothing moves in any square of 16 pixels"):
        open_clips(still(tmp_path / "still"), 16, 4, crop=16)
    with pytest.raises(DataError, match="got a frame of 65x50, expected 64x64 or larger; name a smaller --crop"):
        open_clips(tmp_path, 16, 4, crop=64)


def still(folder):
    folder.mkdir()
    for i in range(6):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((40, 40, 3), 90, np.uint8))
    return folder


def test_how_much_a_clip_moves():
    still = torch.zeros(2, 9, 4, 4)
    moving = still.clone()
    moving[:, 3:6] = 1.0
    assert (motion_of(still), motion_of(moving)) == (0.0, 1.0)


def test_the_command_trains_and_refuses(tmp_path, clip, capsys):
    pytest.importorskip("av")
    words = ["train", "animate", "--out", str(tmp_path / "run")]
    assert main([*words, "--data", str(clip), "--steps", "1", "--batch", "2", "--frames", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["steps"], found["clips"]) == (1, 1)
    for more, line in ((["--resume", "--frames", "4"], "--resume: --frames"), ([], "--data: got nothing"),
                       (["--data", str(clip), "--frames", "1"], "frames: got 1, expected 2 or more")):
        assert main([*words, *more]) == 1
        assert line in capsys.readouterr().err


@pytest.mark.parametrize(("fields", "message"), [
    ({"loss": "hinges"}, "did you mean 'hinge'"), ({"size": 48}, "size: got 48"), ({"batch": 1}, "batch: got 1"),
    ({"minutes": 1.0}, "exactly one of minutes, steps"),
    ({"crop": 4}, "crop: got 4, expected 8 or more"), ({"penalised": "fake"}, "no such end")])
def test_settings_that_make_no_sense_are_refused(tiny, fields, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**fields)


def test_networks_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="multiple of 4"):
        AnimatorConfig(GeneratorConfig(z=6))
    with pytest.raises(ConfigError, match="animator's memory"):
        AnimatorConfig(memory=(10.0, 200.0))
    with pytest.raises(ConfigError, match="no such preset"):
        networks_of("huge", 32, 6)


def test_minutes_may_be_of_processor_time(tiny, squares, tmp_path, monkeypatch):
    monkeypatch.setitem(CLOCKS, "cpu", itertools.count(step=10.0).__next__)  # 10 s at each look
    metrics = train_animate(tiny(steps=None, minutes=5.0, clock="cpu"), tmp_path, clips=squares, quiet=True)
    assert metrics["minutes"] >= 5
    assert metrics["steps"] < 40
