"""The source of latents: what its text says, what it gives, what it refuses; and the grid."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from epee.runtime.bundle import Bundle
from epee.runtime.errors import ConfigError, DataError, EpeeError, SourceError
from epee.runtime.latents import Grid
from epee.runtime.manifest import TensorSpec
from epee.runtime.sources import open_source
from epee.runtime.sources.latent import LatentSource
from epee.runtime.sources.latent_options import LatentOptions, parse

from .generators import CLASSES, SIDE, Z


@pytest.fixture(scope="module")
def manifest(generator):
    return Bundle.open(generator).manifest


@pytest.fixture(scope="module")
def plain(plain_generator):
    return Bundle.open(plain_generator).manifest


def frames(text, manifest, count, **more):
    with open_source(text, manifest=manifest, **more) as source:
        return list(islice(source, count))


@pytest.mark.parametrize("options", [
    LatentOptions(), LatentOptions("seeds", 3), LatentOptions(loop=240, grid_wh=(8, 4), scale=0, enlarge="cubic"),
    LatentOptions(truncation=0.7, label=("cat & dog", "frog"), fps=29.97, pace=True, walk_frames=5)])
def test_a_text_says_what_the_options_say(options):
    assert parse(options.text()) == options


def test_the_text_of_what_is_as_always_is_short():
    assert LatentOptions().text() == "latents:walk"
    assert LatentOptions(seed=7, grid_wh=(8, 8)).text() == "latents:walk?seed=7&grid=8x8"
    assert parse("latents:walk", seed=4).seed == 4
    assert parse("latents:walk?seed=7", seed=4).seed == 7


@pytest.mark.parametrize(("text", "words"), [
    ("latents:wander", "no way 'wander', expected latents:walk or latents:seeds"),
    ("latents:walk?gird=2x2", "did you mean 'grid'?"),
    ("latents:walk?grid=4", "got '4', expected COLUMNSxROWS"),
    ("latents:walk?grid=0x4", "got 0x4, expected COLUMNSxROWS, 1x1 or more"),
    ("latents:walk?seed=-1", "'seed': got -1, expected 0 or more"),
    ("latents:walk?seed=x", "got 'x', expected a whole number"),
    ("latents:walk?truncation=0", "'truncation': got 0.0, expected above 0, at most 2"),
    ("latents:walk?truncation=2.1", "above 0, at most 2"),
    ("latents:walk?truncation=nan", "got 'nan', expected a number"),
    ("latents:walk?walk-frames=0", "'walk-frames': got 0, expected 1 or more"),
    ("latents:walk?scale=-2", "'scale': got -2"),
    ("latents:walk?enlarge=lanczos", "got 'lanczos', expected nearest or cubic"),
    ("latents:walk?fps=0", "'fps': got 0.0"),
    ("latents:walk?pace=yes", "got 'yes', expected 0 or 1"),
    ("latents:seeds?loop=20", "a walk"),
    ("latents:walk?label=kat", "label 'kat': got no such class, expected a name, or an id below 3; did you mean 'cat'"),
    ("latents:walk?label=3", "id below 3"),
    ("latents:walk?label=-1", "no such class"),
    ("latents:walk?grid=200x200&scale=6", "expected sides of 16384 at most")])
def test_what_makes_no_sense_is_told(manifest, text, words):
    with pytest.raises(EpeeError, match=r"latents|grid|enlarge|label") as caught:
        open_source(text, manifest=manifest)
    assert words in str(caught.value)


def test_a_frame_has_every_input_of_the_bundle(manifest):
    first, second = frames("latents:walk?grid=2x2&truncation=0.7&walk-frames=1&label=all", manifest, 2, seed=3)
    feeds = first.feeds(manifest, {})
    assert {name: (array.shape, str(array.dtype)) for name, array in feeds.items()} == {
        "z": ((4, Z), "float32"), "label": ((4,), "int64"), "truncation": ((4,), "float32")}
    assert feeds["truncation"] == pytest.approx(0.7)
    assert (feeds["label"].tolist(), second.inputs["label"].tolist()) == ([0, 1, 2, 0], [1, 2, 0, 1])
    assert (first.index, second.index, second.name, second.position_s) == (0, 1, "000001", 1 / 30)
    assert first.facts == {"latents": {"seed": 3, "truncation": 0.7, "labels": ["cat", "dog", "frog", "cat"]}}


@pytest.mark.parametrize(("label", "ids"), [("", [0, 1, 2, 0]), ("all", [0, 1, 2, 0]), ("frog", [2, 2, 2, 2]),
                                            ("frog,cat", [2, 0, 2, 0]), ("1", [1, 1, 1, 1])])
def test_labels_are_taken_in_turn(manifest, label, ids):
    text = "latents:seeds" + (f"?label={label}" if label else "")
    assert [int(frame.inputs["label"][0]) for frame in frames(text, manifest, 4)] == ids


@pytest.mark.parametrize(("label", "ids"), [("", [0, 0, 0]), ("all", [0, 1, 2]), ("frog,dog", [2, 1, 2]),
                                            ("dog", [1, 1, 1])])
def test_a_walk_takes_another_class_with_each_leg_where_classes_are_named(manifest, label, ids):
    text = "latents:walk?walk-frames=2" + (f"&label={label}" if label else "")
    assert [int(frame.inputs["label"][0]) for frame in frames(text, manifest, 6)] == [i for i in ids for _ in (0, 1)]


def test_seeds_are_named_by_seed_and_index(plain):
    assert [frame.name for frame in frames("latents:seeds?seed=12", plain, 2)] == ["seed12-000000", "seed12-000001"]
    assert list(frames("latents:seeds", plain, 1)[0].inputs) == ["z"]


def test_a_bundle_without_labels_or_truncation_takes_none(plain):
    with pytest.raises(ConfigError, match="bundle 'plain', which knows no classes"):
        open_source("latents:walk?label=cat", manifest=plain)
    with pytest.raises(ConfigError, match=r"truncation 0.7: got bundle 'plain', which takes none"):
        open_source("latents:walk?truncation=0.7", manifest=plain)
    assert "truncation" not in frames("latents:walk?truncation=1", plain, 1)[0].inputs


def test_another_bundle_is_told_what_it_is_for(tiny_bundle, plain):
    with pytest.raises(DataError, match="got task segment, expected a generator; `epee run` with a --source of frames"):
        open_source("latents:walk", manifest=Bundle.open(tiny_bundle).manifest)
    with pytest.raises(DataError, match="no input that takes frames, expected inputs z; `epee generate` shows"):
        open_source("synthetic:street", manifest=plain)
    with pytest.raises(SourceError, match="no bundle that it is for"):
        open_source("latents:walk")


@pytest.mark.parametrize(("change", "words"), [
    ({"inputs": (TensorSpec("z", (None, None), "float32"),)}, r"input 'z': got shape \(None, None\), expected"),
    ({"inputs": (TensorSpec("z", (None, 4), "float32"), TensorSpec("mood", (None,), "float32"))},
     "input 'mood': got nothing that gives it, expected z, label, truncation, or an output 'next_mood'"),
    ({"outputs": (TensorSpec("image", (None, None, None, 3), "uint8", "NHWC", "bgr8"),)}, "of a fixed size"),
    ({"outputs": ()}, "expected a generator"),
    ({"inputs": (TensorSpec("z", (None, 4), "float32"), TensorSpec("label", (None,), "int64"))}, "and no classes")])
def test_a_bundle_that_cannot_be_given_what_it_takes_is_refused(plain, change, words):
    with pytest.raises(DataError, match=words):
        LatentSource(LatentOptions(), replace(plain, **change))


def test_a_grid_needs_a_batch(plain):
    one = replace(plain, inputs=(TensorSpec("z", (1, Z), "float32", "NZ"),))
    LatentSource(LatentOptions(), one)
    with pytest.raises(ConfigError, match="grid of 4: got bundle 'plain', whose batch is 1, expected a free batch"):
        LatentSource(LatentOptions(grid_wh=(2, 2)), one)


def test_a_label_never_reaches_the_graph_out_of_range(manifest):
    for text in ("latents:walk?grid=5x1&walk-frames=1", "latents:seeds?grid=5x1",
                 "latents:walk?loop=7&walk-frames=1&label=all"):
        assert max(int(f.inputs["label"].max()) for f in frames(text, manifest, 9)) == len(CLASSES) - 1


def test_a_grid_lays_pictures_out_row_after_row():
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((6, 2, 3, 3), np.uint8)
    whole = Grid(3, 2).laid_out(images)
    assert whole.shape == (4, 9, 3)
    assert whole[::2, ::3, 0].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("enlarge", ["nearest", "cubic"])
def test_pictures_are_enlarged_each_by_itself(enlarge):
    images = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    whole = Grid(2, 1, 4, enlarge).laid_out(images)
    alone = Grid(1, 1, 4, enlarge).laid_out(images[1:])
    assert whole.shape == (4 * SIDE, 8 * SIDE, 3)
    np.testing.assert_array_equal(whole[:, 4 * SIDE:], alone)
    if enlarge == "nearest":
        np.testing.assert_array_equal(alone, images[1].repeat(4, 0).repeat(4, 1))


def test_a_source_that_keeps_the_pace_waits(plain):
    source = LatentSource(LatentOptions(fps=50, pace=True), plain)
    stamps = [frame.captured_s for frame in islice(source, 5)]
    assert np.diff(stamps).min() > 0.0199
    source.close()
    assert list(source) == []
