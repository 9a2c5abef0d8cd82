"""`epee generate` and the streams behind it: the same bytes each time, grids, loops, carried state, every sink."""

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import epee
import numpy as np
import pytest
from epee.runtime.backends import BACKENDS, open_session, probe
from epee.runtime.bundle import Bundle
from epee.runtime.cli import main
from epee.runtime.errors import BundleError, ConfigError, Unsupported
from epee.runtime.events import frame_event
from epee.runtime.pipeline import RunOptions, run
from epee.runtime.quality.generated import generated
from epee.runtime.sinks import SinkInfo
from epee.runtime.sinks.web.feed import Feed
from epee.runtime.sinks.web.packet import pack
from epee.runtime.sources import open_source
from epee.runtime.swap import same_contract

from .generators import CLASSES, SIDE, Z, write_generator

pytest.importorskip("onnxruntime")
ORT = ("--backend", "onnxruntime", "--threads", "1")


def command(*words):
    return main(["generate", *map(str, words), *ORT])


def pictures(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def stream(bundle, text, count, backend="onnxruntime"):
    with epee.open(bundle, backend, threads=1) as model:
        return [result.picture for result in model.stream(text, limit=count)]


def test_the_same_seed_gives_the_same_bytes(generator, tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        assert command(generator, "--sink", f"png:{tmp_path / name}", "--seed", seed, "--frames", 5) == 0
    assert list(pictures(tmp_path / "a")) == [f"{i:06d}.png" for i in range(5)]
    assert pictures(tmp_path / "a") == pictures(tmp_path / "b")
    assert not set(pictures(tmp_path / "a").values()) & set(pictures(tmp_path / "c").values())


def test_run_with_a_latent_source_is_the_same(generator, tmp_path):
    assert command(generator, "--sink", f"png:{tmp_path / 'a'}", "--seed", 3, "--frames", 3, "--grid", "3x2",
                   "--scale", 2, "--label", "dog,cat", "--truncation", 0.5, "--walk-frames", 2) == 0
    text = "latents:walk?grid=3x2&scale=2&label=dog,cat&truncation=0.5&walk-frames=2"
    for name, words in (("b", [f"{text}&seed=3"]), ("c", [text, "--seed", "3"])):
        assert main(["run", str(generator), "--sink", f"png:{tmp_path / name}", "--frames", "3", *ORT, "--source",
                     *words]) == 0
        assert pictures(tmp_path / name) == pictures(tmp_path / "a")
    assert cv2.imread(str(tmp_path / "a" / "000000.png")).shape == (2 * 2 * SIDE, 3 * 2 * SIDE, 3)


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "onnxruntime"])
def test_other_backends_are_within_a_grey_level(generator, backend):
    found = probe(backend)
    if not found.available:
        pytest.skip(found.reason)
    text = "latents:walk?seed=2&grid=4x4"
    try:
        theirs = np.stack(stream(generator, text, 8, backend)).astype(int)
    except Unsupported as error:  # it says which operator it lacks
        pytest.skip(str(error))
    ours = np.stack(stream(generator, text, 8)).astype(int)
    assert (abs(ours - theirs) <= 1).mean() >= 0.999
    np.testing.assert_array_equal(np.stack(stream(generator, text, 8, backend)), theirs)


def test_a_grid_is_what_its_pictures_are_alone(generator):
    grid = stream(generator, "latents:seeds?grid=2x2", 1)[0]
    alone = stream(generator, "latents:seeds", 4)
    np.testing.assert_array_equal(grid, np.vstack([np.hstack(alone[:2]), np.hstack(alone[2:])]))


def test_a_loop_is_seen_to_close(plain_generator):
    images = np.stack(stream(plain_generator, "latents:walk?loop=24&walk-frames=8", 25)).astype(int)
    np.testing.assert_array_equal(images[24], images[0])
    steps = abs(np.diff(images, axis=0)).mean((1, 2, 3))
    assert steps[-1] < 1.6 * steps[:-1].max()  # great circles are at most a right angle and a half faster than others


def test_labels_and_truncation_reach_the_network(generator):
    with epee.open(generator, "onnxruntime", threads=1) as model:
        made = {label: model.generate(1, label=label).picture for label in CLASSES}
        assert len({image.tobytes() for image in made.values()}) == 3
        flat = model.generate(1, truncation=0.01).picture
        assert flat.std() < made["cat"].std() / 10  # a latent of nearly nothing is grey all over
        result = model.generate(4, grid_wh=(3, 2), scale=2)
        assert (result.outputs["image"].shape, result.picture.shape) == ((6, SIDE, SIDE, 3), (64, 96, 3))
        np.testing.assert_array_equal(result.picture[:32:2, 32:64:2], result.outputs["image"][1])
        assert model.size_wh is None
        with pytest.raises(ConfigError, match="no such class"):
            model.generate(label="cow")


def test_state_is_carried_from_frame_to_frame_in_order(animator):
    with epee.open(animator, "onnxruntime", threads=2, depth=2) as model:
        source = open_source("latents:walk?seed=1&grid=2x1&walk-frames=3", manifest=model.manifest)
        results = list(model.stream(source, limit=12))
        state = np.zeros((2, Z), np.float32)
        for result in results:
            state = 0.5 * state + result.frame.inputs["z"]
            np.testing.assert_allclose(result.outputs["next_state"], state, rtol=1e-5, atol=1e-6)
        again = [result.picture for result in model.stream("latents:walk?seed=1&grid=2x1&walk-frames=3", limit=12)]
        np.testing.assert_array_equal(again, [result.picture for result in results])  # a stream begins with zeros
        first = model.session.run({"z": results[1].frame.inputs["z"], "state": np.zeros((2, Z), np.float32)})
        assert not np.array_equal(first["image"], results[1].outputs["image"])


def test_streams_that_share_a_session_keep_their_states_apart(animator, tmp_path):
    words = [word for seed in (1, 2) for word in ("--source", f"latents:walk?seed={seed}&grid=2x1")]
    assert command(animator, *words, "--sink", f"png:{tmp_path}/{{source}}", "--frames", 6) == 0
    for seed in (1, 2):
        alone = stream(animator, f"latents:walk?seed={seed}&grid=2x1", 6)
        files = sorted((tmp_path / f"walk-{seed}").iterdir())
        np.testing.assert_array_equal([cv2.imread(str(file)) for file in files], alone)


def test_every_sink_takes_what_is_made(generator, tmp_path, capsys):
    av = pytest.importorskip("av")
    assert command(generator, "--sink", tmp_path / "walk.mp4", "--sink", f"jsonl:{tmp_path / 'walk.jsonl'}", "--sink",
                   "null:overlay", "--grid", "3x2", "--fps", 24, "--frames", 6, "--seed", 5, "--json") == 0
    stats = json.loads(capsys.readouterr().out)
    assert (stats["frames"], stats["dropped"], stats["source"]) == (6, 0, "walk")
    with av.open(str(tmp_path / "walk.mp4")) as video:
        assert (video.streams.video[0].average_rate, video.streams.video[0].width) == (24, 3 * SIDE)
        assert sum(1 for _ in video.decode(video=0)) == 6
    events = [json.loads(line) for line in (tmp_path / "walk.jsonl").read_text().splitlines()]
    assert events[5]["latents"] == {"seed": 5, "truncation": 1.0, "labels": [*CLASSES, *CLASSES]}


def test_events_keep_to_their_schema(generator):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(__file__).parents[2] / "docs" / "event.schema.json").read_text())
    with epee.open(generator, "onnxruntime", threads=1) as model:
        for result in model.stream("latents:walk?grid=2x1", limit=2):
            jsonschema.validate(frame_event(result), schema)


def test_scores_are_of_pictures_without_truncation(generator):
    bundle = Bundle.open(generator)
    images = np.stack(list(generated(bundle, 70, 3, backend="onnxruntime", threads=1)))
    with open_session(bundle, "onnxruntime", threads=1) as session:
        z = np.random.default_rng(3).standard_normal((64, Z)).astype(np.float32)
        feeds = {"z": z, "label": np.arange(64) % len(CLASSES), "truncation": np.ones(64, np.float32)}
        np.testing.assert_array_equal(images[:64], session.run(feeds)["image"])
    assert images.shape == (70, SIDE, SIDE, 3)


def test_masks_are_refused(generator, capsys, tmp_path):
    assert command(generator, "--sink", f"masks:{tmp_path}") == 1
    assert "a 'generate' model, which makes no masks; take png:" in capsys.readouterr().err


def test_the_page_shows_the_picture_and_no_classes(generator):
    with epee.open(generator, "onnxruntime", threads=1) as model:
        result = next(iter(model.stream("latents:walk?grid=2x1&scale=3", limit=1)))
        feed = Feed("walk", SinkInfo("walk", model.manifest))
        feed.take(result)
        assert feed.facts()["classes"] == []
        assert feed.stats()["size"] == [96, 48]
        data = pack(result, "walk", 960, 90)
        length = int.from_bytes(data[:4], "big")
        header = json.loads(data[4:4 + length])
        assert (header["size"], header["shares"], header["jpeg"]) == ([96, 48], {}, len(data) - 4 - length)
        shown = cv2.imdecode(np.frombuffer(data[4 + length:], np.uint8), cv2.IMREAD_COLOR)
        assert abs(shown.astype(int) - result.picture).mean() < 20  # a JPEG of hard edges


@pytest.mark.parametrize(("words", "text"), [
    ([], "latents:walk"),
    (["--walk", "none", "--seed", "9"], "latents:seeds?seed=9"),
    (["--loop"], "latents:walk?loop=240"),
    (["--loop", "--walk-frames", "10"], "latents:walk?walk-frames=10&loop=80"),
    (["--loop", "--frames", "77"], "latents:walk?loop=77"),
    (["--sink", "web:0"], "latents:walk?scale=0&pace=1"),
    (["--sink", "window", "--scale", "2"], "latents:walk?scale=2"),
    (["--label", "cat, dog"], "latents:walk?label=cat,dog")])
def test_options_become_a_source(words, text, generator, monkeypatch):
    from epee.runtime import running

    seen = []
    monkeypatch.setattr(running, "run", lambda args: seen.extend(args.source) or running.Report({}))
    assert main(["generate", str(generator), *words]) == 0
    assert seen == [text]


@pytest.mark.parametrize(("words", "text"), [
    ([], "latents:noise"), (["--walk", "none", "--loop", "--frames", "7"], "latents:noise?loop=7"),
    (["--walk", "slerp"], "latents:walk")])
def test_an_animator_is_moved_by_noise(words, text, animator, monkeypatch):
    from epee.runtime import running

    seen = []
    monkeypatch.setattr(running, "run", lambda args: seen.extend(args.source) or running.Report({}))
    assert main(["generate", str(animator), *words]) == 0
    assert seen == [text]


@pytest.mark.parametrize(("words", "status", "line"), [
    (["--grid", "8"], 1, "--grid: got '8', expected COLUMNSxROWS"), (["--grid", "0x4"], 1, "got 0x4"),
    (["--seed", "-1"], 1, "'seed': got -1"), (["--truncation", "2.5"], 1, "got 2.5, expected above 0, at most 2"),
    (["--label", "frock"], 1, "did you mean 'frog'?"), (["--walk", "none", "--loop"], 1, "expected a walk"),
    (["--walk", "spline"], 2, "invalid choice"),
    (["--source", "latents:walk", "--grid", "2x2"], 2, "leave --grid out"),
    (["--source", "synthetic:street"], 1, "no input that takes frames")])
def test_bad_input_is_one_line(generator, words, status, line, capsys):
    try:
        got = command(generator, "--sink", "null", *words)
    except SystemExit as stop:
        got = stop.code
    assert got == status
    assert line in capsys.readouterr().err


def test_a_segmenter_says_what_to_use(tiny_bundle, generator, clip, capsys):
    assert command(tiny_bundle, "--sink", "null") == 1
    assert "got task segment, expected a generator; `epee run` with a --source" in capsys.readouterr().err
    assert main(["run", str(generator), "--source", str(clip), "--sink", "null"]) == 1
    assert "`epee generate` shows what it makes" in capsys.readouterr().err


def test_an_end_is_made_where_nobody_watches(plain_generator, capsys):
    assert command(plain_generator, "--sink", "null", "--loop", "--walk-frames", 5, "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["frames"] == 40
    assert "'walk' begins anew: taking 40 frames" in err


@pytest.mark.timeout(240)
def test_an_interrupt_leaves_whole_files(generator, tmp_path):
    av = pytest.importorskip("av")
    file = tmp_path / "walk.mp4"
    child = subprocess.Popen([sys.executable, "-m", "epee", "generate", generator, "--sink", file, "--seconds", "50",
                              "--json", *ORT], stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 120  # on a machine that has much else to do
    while not (file.is_file() and file.stat().st_size > 2000) and time.monotonic() < end:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    stats = json.loads(out)
    assert (child.returncode, stats["interrupted"]) == (130, True)
    with av.open(str(file)) as video:
        assert sum(1 for _ in video.decode(video=0)) == stats["frames"] > 0


def test_a_slow_sink_gets_every_frame(plain_generator):
    with epee.open(plain_generator, "onnxruntime", threads=1) as model, \
            open_source("latents:walk", manifest=model.manifest) as source:
        seen = []

        class Slow:
            kind, target, files = "slow", "", ()
            prepare = lost = staticmethod(lambda _: None)
            close = staticmethod(lambda: None)

            def write(self, result):
                time.sleep(0.005)
                seen.append(result.frame.index)

        stats = run(model, source, [Slow()], RunOptions(frames=20), stop=threading.Event())
        assert (seen, stats.dropped) == (list(range(20)), 0)


def test_a_bundle_of_other_latents_does_not_replace_the_running_one(generator, plain_generator, animator, tmp_path):
    pets = Bundle.open(generator).manifest
    other = Bundle.open(write_generator(tmp_path / "other.epee", ("z", "label", "truncation"), seed=1)).manifest
    same_contract(pets, other)
    with pytest.raises(BundleError, match="classes: got \\[2\\], expected \\[3\\]"):
        same_contract(pets, replace(other, classes=CLASSES[:2]))
    with pytest.raises(BundleError, match="inputs"):
        same_contract(pets, Bundle.open(plain_generator).manifest)
    with pytest.raises(BundleError, match="task"):
        same_contract(pets, Bundle.open(animator).manifest)


def test_two_walks_share_a_mosaic(generator, tmp_path):
    words = [word for seed in (1, 2) for word in ("--source", f"latents:walk?seed={seed}&grid=2x1&pace=1")]
    assert command(generator, *words, "--sink", f"mosaic:png:{tmp_path / 'both'}", "--seconds", "0.4") == 0
    assert list((tmp_path / "both").iterdir())
