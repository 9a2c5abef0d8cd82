"""Where tiles lie, how they are blended, and loops of what is carried from frame to frame."""

from itertools import pairwise

import epee
import numpy as np
import pytest
from epee.runtime.errors import BundleError, ConfigError, DataError
from epee.runtime.frames import Frame
from epee.runtime.manifest import Fit, Manifest, TensorSpec, Tiling, Variant
from epee.runtime.pixels import fit
from epee.runtime.site import Camera
from epee.runtime.sources import open_source
from epee.runtime.tiles import Layout, TiledFrame, Tiles, merged, starts, tiled
from epee.runtime.walks import Noise

cv2 = pytest.importorskip("cv2")


TILING = Tiling(2, 4)


def manifest(tiling=TILING, mode="tile", scale=2):
    frame = TensorSpec("frame", (None, 32, 48, 3), "uint8", "NHWC", "bgr8")
    image = TensorSpec("image", (None, 32 * scale, 48 * scale, 3), "uint8", "NHWC", "bgr8")
    return Manifest("sharp", "enhance", (frame,), (image,), (Variant("fp32", "a", "onnx", "fp32", "", 0),),
                    fit=Fit(mode), tiling=tiling)


@pytest.mark.parametrize(("length", "step", "overlap"), [(33, 1, 0), (100, 1, 5), (100, 8, 16), (640, 4, 28),
                                                         (64, 8, 24), (65, 8, 24)])
def test_tiles_cover_the_frame_in_steps_and_overlap(length, step, overlap):
    tile = 32
    found = starts(length, tile, step, overlap)
    assert found[0] == 0
    assert length <= found[-1] + tile < length + step
    assert all(start % step == 0 for start in found)
    assert all(0 < b - a <= tile - overlap for a, b in pairwise(found))


def test_a_frame_that_fits_is_one_tile_and_an_overlap_has_to_leave_something():
    assert starts(32, 32, 8, 31) == starts(20, 32, 8, 0) == (0,)
    with pytest.raises(ConfigError, match="overlap of tiles: got 30, expected at most 24 for tiles of 32"):
        starts(40, 32, 8, 30)
    with pytest.raises(ConfigError, match="0 or more"):
        Tiles(-1)


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("hw", [(32, 48), (20, 30), (57, 201), (100, 48)])
def test_what_is_cut_is_joined_again(hw, scale):
    frame = Frame(np.random.default_rng(0).integers(0, 256, (*hw, 3), np.uint8), 3, "cam", name="x")
    there = tiled(frame, manifest(), None)
    if hw == (32, 48):
        assert there is frame
        return
    assert isinstance(there, TiledFrame)
    assert (there.index, there.source, there.name, there.size_hw) == (3, "cam", "x", hw)
    times_ms = {}
    tiles = there.feeds(manifest(), times_ms)["frame"]
    assert tiles.shape[1:] == (32, 48, 3)
    parts = list(there.parts({"frame": tiles}))
    assert max(len(part["frame"]) for part in parts) <= 4
    np.testing.assert_array_equal(np.concatenate([part["frame"] for part in parts]), tiles)
    image = there.own({"image": tiles.repeat(scale, 1).repeat(scale, 2)}, times_ms)["image"]
    want = frame.image.repeat(scale, 0).repeat(scale, 1)
    assert np.abs(image.astype(int) - want).max() <= 1  # blending equal pixels rounds
    assert set(times_ms) == {"tile", "join"}


def test_a_border_that_is_wrong_within_the_reach_is_not_seen():
    """Each tile's own border is spoiled as padding would; only the frame's borders show it."""
    image = np.full((60, 90, 3), 100, np.uint8)
    layout = Layout((32, 48), starts(60, 32, 1, 5), starts(90, 48, 1, 5), trim=2)
    tiles = layout.cut(image)
    for tile in tiles:
        tile[:2] = tile[-2:] = tile[:, :2] = tile[:, -2:] = 0
    joined = layout.joined(tiles, (60, 90))
    assert (joined[2:-2, 2:-2] == 100).all()
    assert (joined[:2] == 0).all()


def test_one_picture_fades_into_the_next():
    dark, light = (np.full((4, 20, 3), level, np.uint8) for level in (0, 200))
    row = merged([dark, light], [0, 12], 1, axis=1)[0, :, 0].astype(int)
    assert (len(row), row[12], row[18]) == (32, 0, 171)
    assert (row[:13] == 0).all()
    assert (row[19:] == 200).all()
    assert (np.diff(row) >= 0).all()
    column = merged([dark.swapaxes(0, 1), light.swapaxes(0, 1)], [0, 12], 1, axis=0)
    np.testing.assert_array_equal(column[:, 0, 0], row)


def test_who_takes_tiles():
    frame = Frame(np.zeros((40, 60, 3), np.uint8))
    assert tiled(frame, manifest(mode="crop"), None) is frame
    assert isinstance(tiled(frame, manifest(mode="crop"), Tiles()), TiledFrame)
    with pytest.raises(DataError, match="tiles for model 'sharp'"):
        tiled(frame, manifest(tiling=None, mode="crop"), Tiles())
    with pytest.raises(DataError, match="expected tiles of 48x32"):
        fit(frame.image, (32, 48), Fit("tile"))
    assert (Camera("0", "b").tiles, Camera("0", "b", tile=True).tiles) == (None, Tiles())
    assert Camera("0", "b", overlap=8).tiles == Tiles(8)
    with pytest.raises(ConfigError, match="'overlap'"):
        Camera("0", "b", overlap=-1)


def test_the_manifest_keeps_it():
    there = Manifest.from_json(manifest().to_json())
    assert (there.tiling, there.fit.mode) == (TILING, "tile")
    plain = manifest(tiling=None, mode="crop").to_json()
    assert "tiling" not in plain
    assert Manifest.from_json(plain).tiling is None
    with pytest.raises(BundleError):
        Manifest.from_json({**manifest().to_json(), "tiling": {"step": 4}})


def test_noise_is_new_with_each_frame_and_repeats_in_a_loop():
    noise, loop = Noise(3, 8, 2), Noise(3, 8, 2, loop=5)
    seen = [noise.latents(i) for i in range(9)]
    assert len({z.tobytes() for z in seen}) == 9
    np.testing.assert_array_equal(loop.latents(7), seen[2])
    np.testing.assert_array_equal(Noise(3, 8, 1).latents(4)[0], seen[4][0])  # of the first tile in every grid
    np.testing.assert_array_equal(noise.turns(4), [0, 1])


def test_a_loop_of_what_is_carried_closes(animator):
    pytest.importorskip("onnxruntime")
    with epee.open(animator, "onnxruntime", threads=1) as model:
        text = "latents:noise?seed=1&loop=6"
        source = open_source(text, manifest=model.manifest)
        assert source.period == 6
        looped, free = ([r.outputs["next_state"] for r in model.stream(t, limit=13)]
                        for t in (text, "latents:noise?seed=1"))
        for turn in (6, 12):
            np.testing.assert_allclose(looped[turn], looped[0], atol=2e-3)
        assert np.abs(free[6] - free[0]).max() > 0.1


def test_a_state_that_does_not_forget_is_told(animator, capsys, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("epee.runtime.answering.MOST_TURNS", 1)  # one turn can not be compared with another
    with epee.open(animator, "onnxruntime", threads=1) as model:
        next(iter(model.stream("latents:noise?loop=2", limit=1)))
    assert "forgets too slowly for this loop" in capsys.readouterr().err
