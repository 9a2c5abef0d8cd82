"""What viewers get of a frame is the frame's picture and the network's mask, whatever the sizes and the fit."""

import dataclasses
import json
import struct
from typing import Any

import numpy as np
import pytest
from epee.runtime.bundle import Bundle
from epee.runtime.frames import Frame, Result
from epee.runtime.manifest import Fit, Manifest
from epee.runtime.sinks.web.packet import encode_mask, pack

cv2 = pytest.importorskip("cv2")
image_module = pytest.importorskip("PIL.Image")


@pytest.fixture
def manifest(tiny_bundle: Any) -> Manifest:
    return Bundle.open(tiny_bundle).manifest


def unpack(packet: bytes) -> tuple[dict[str, Any], np.ndarray, Any]:
    """Header, picture and mask (an opened palette PNG)."""
    import io

    length, = struct.unpack(">I", packet[:4])
    header = json.loads(packet[4:4 + length])
    jpeg, png = packet[4 + length:][:header["jpeg"]], packet[4 + length + header["jpeg"]:]
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return header, picture, image_module.open(io.BytesIO(png)) if png else None


def smooth(h: int, w: int) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(np.linspace(20, 230, w, dtype=np.uint8)[None, :, None], (h, w, 3)))


def test_a_frame_comes_back_as_it_was(manifest: Manifest) -> None:
    mask = np.random.default_rng(0).integers(0, 4, (72, 96), np.uint8)
    result = Result(Frame(smooth(360, 480), 7, "gate"), {"mask": mask}, manifest)
    header, picture, png = unpack(pack(result, "gate", 960, 80))
    assert picture.shape == (360, 480, 3)
    assert np.abs(picture.astype(int) - result.frame.image).max() < 8
    assert np.array_equal(np.asarray(png), mask)
    assert png.mode == "P"
    assert png.getpalette()[:6] == [0, 0, 255, 0, 255, 0]
    assert (header["index"], header["size"], header["box"]) == (7, [480, 360], [0, 0, 1, 1])
    assert header["shares"] == result.shares


def test_wide_pictures_get_narrower_and_tell_their_size(manifest: Manifest) -> None:
    mask = np.zeros((72, 96), np.uint8)
    for width in (960, 400):
        header, picture, _ = unpack(pack(Result(Frame(smooth(720, 1280)), {"mask": mask}, manifest), "", width, 80))
        assert picture.shape[:2] == (round(width * 9 / 16), width)
        assert header["size"] == [1280, 720]
        assert abs(int(picture[0, width // 2, 0]) - 125) < 5


def test_ids_without_a_class_are_transparent() -> None:
    import io

    mask = np.array([[0, 1, 2, 255]], np.uint8)
    drawn = np.asarray(image_module.open(io.BytesIO(encode_mask(mask, ((9, 8, 7), (1, 2, 3))))).convert("RGBA"))
    assert drawn[0].tolist() == [[9, 8, 7, 255], [1, 2, 3, 255], [0, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(("mode", "box", "seen_hw"), [
    ("stretch", [0, 0, 1, 1], (72, 96)), ("letterbox", [0, 0, 1, 1], (54, 96)),
    ("crop", [0.125, 0, 0.75, 1], (72, 96))])
def test_the_box_says_where_the_mask_lies(manifest: Manifest, mode: str, box: list[float],
                                          seen_hw: tuple[int, int]) -> None:
    fitted = dataclasses.replace(manifest, fit=Fit(mode))
    result = Result(Frame(smooth(360, 640)), {"mask": np.zeros((72, 96), np.uint8)}, fitted)
    header, _, png = unpack(pack(result, "", 960, 80))
    assert header["box"] == pytest.approx(box)
    assert np.asarray(png).shape == seen_hw


def test_the_networks_own_picture_needs_no_mask(manifest: Manifest) -> None:
    result = Result(Frame(smooth(72, 96)), {"image": 255 - smooth(72, 96)}, manifest)
    header, picture, png = unpack(pack(result, "", 960, 80))
    assert png is None
    assert header["shares"] == {}
    assert np.abs(picture.astype(int) - result.outputs["image"]).max() < 8
