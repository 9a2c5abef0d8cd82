"""Frames to the network's size and back, expansion, overlay."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")

from epee.runtime import pixels
from epee.runtime.bundle import Bundle
from epee.runtime.errors import DataError
from epee.runtime.manifest import Fit

MODES = ("stretch", "letterbox", "crop")
random = np.random.default_rng(0)


@pytest.mark.parametrize("mode", MODES)
def test_equal_sizes_pass_untouched(mode: str) -> None:
    image, mask = np.zeros((72, 96, 3), np.uint8), np.zeros((72, 96), np.uint8)
    assert pixels.fit(image, (72, 96), Fit(mode)) is image
    assert pixels.fit_mask(mask, (72, 96), Fit(mode)) is mask
    assert pixels.unfit_mask(mask, (72, 96), Fit(mode)) is mask
    assert pixels.unfit_image(image, (72, 96), Fit(mode)) is image


@pytest.mark.parametrize("interpolation", ["linear", "area", "nearest", "cubic"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("frame_hw", [(144, 192), (100, 200), (201, 99), (7, 300), (1, 1)])
def test_there_and_back_keeps_sizes_and_types(mode: str, interpolation: str, frame_hw: tuple[int, int]) -> None:
    fit = Fit(mode, interpolation)
    image = random.integers(0, 256, (*frame_hw, 3), np.uint8)
    fitted = pixels.fit(image, (72, 96), fit)
    assert fitted.shape == (72, 96, 3)
    assert fitted.dtype == np.uint8
    assert pixels.unfit_image(fitted, frame_hw, fit).shape == image.shape
    mask = pixels.unfit_mask(fitted[..., 0], frame_hw, fit)
    assert mask.shape == frame_hw
    assert mask.dtype == np.uint8


@pytest.mark.parametrize("mode", MODES)
def test_a_mask_survives_the_way_to_a_finer_grid_and_back(mode: str) -> None:
    mask = random.integers(0, 11, (36, 64), np.uint8)
    back = pixels.unfit_mask(pixels.fit_mask(mask, (288, 288), Fit(mode)), (36, 64), Fit(mode))
    seen = back != pixels.UNSEEN
    assert seen.mean() > (0.5 if mode == "crop" else 0.999)
    assert (back[seen] == mask[seen]).all()


def test_a_mask_goes_where_its_picture_goes() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[25:75, 50:100] = 255
    for mode in MODES:
        fitted = pixels.fit(image, (64, 64), Fit(mode, "nearest"))[..., 0]
        label = pixels.fit_mask((image[..., 0] // 255).astype(np.uint8), (64, 64), Fit(mode), ignore=9)
        assert ((fitted == 255) == (label == 1)).all()


def test_letterbox_borders_are_grey_and_ignored() -> None:
    fitted = pixels.fit(np.full((50, 100, 3), 200, np.uint8), (100, 100), Fit("letterbox"))
    label = pixels.fit_mask(np.ones((50, 100), np.uint8), (100, 100), Fit("letterbox"), ignore=7)
    assert (fitted[:25] == pixels.BORDER).all()
    assert (fitted[75:] == pixels.BORDER).all()
    assert (fitted[25:75] == 200).all()
    assert (label[:25] == 7).all()
    assert (label[25:75] == 1).all()


def test_outside_a_crop_nothing_was_seen() -> None:
    mask = pixels.unfit_mask(np.ones((50, 50), np.uint8), (50, 100), Fit("crop"))
    assert (mask[:, :25] == pixels.UNSEEN).all()
    assert (mask[:, 75:] == pixels.UNSEEN).all()
    assert (mask[:, 25:75] == 1).all()


def test_grey_alpha_and_16_bits_are_expanded() -> None:
    grey = random.integers(0, 256, (8, 6), np.uint8)
    for image in (grey, grey[..., None]):
        assert (pixels.expand(image) == grey[..., None]).all()
        assert pixels.expand(image).shape == (8, 6, 3)
    bgra = random.integers(0, 256, (8, 6, 4), np.uint8)
    assert (pixels.expand(bgra) == bgra[..., :3]).all()
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    assert pixels.expand(deep)[0, :, 0].tolist() == [0, 1, 128, 255]
    bgr = random.integers(0, 256, (8, 6, 3), np.uint8)
    assert pixels.expand(bgr) is bgr


@pytest.mark.parametrize("bad", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8),
                                 np.zeros(4, np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_frame_is_refused(bad: Any) -> None:
    with pytest.raises(DataError, match=r"frame: got \(.*expected \(H, W, 3\) uint8 BGR"):
        pixels.expand(bad)


@pytest.mark.parametrize("frame_hw", [(72, 96), (144, 200)])
def test_overlay_blends_the_class_colour(tiny_bundle: Any, frame_hw: tuple[int, int]) -> None:
    manifest = Bundle.open(tiny_bundle).manifest
    image = np.full((*frame_hw, 3), 100, np.uint8)
    mask = np.zeros((72, 96), np.uint8)
    mask[:, 48:] = 2
    drawn = pixels.overlay(image, mask, manifest, strength=0.5)
    assert drawn[3, 3].tolist() == [178, 50, 50]  # blue's (255, 0, 0) in BGR, half of it
    assert drawn[3, -3].tolist() == [50, 50, 178]
    assert (image == 100).all()
    assert (pixels.overlay(image, mask, manifest, strength=0) == image).all()
    with pytest.raises(DataError, match="strength"):
        pixels.overlay(image, mask, manifest, strength=2)


def test_overlay_leaves_what_was_not_seen(tiny_bundle: Any) -> None:
    import dataclasses

    manifest = dataclasses.replace(Bundle.open(tiny_bundle).manifest, fit=Fit("crop"))
    image = np.full((72, 192, 3), 100, np.uint8)
    drawn = pixels.overlay(image, np.zeros((72, 96), np.uint8), manifest, legend=False)
    assert (drawn[:, :48] == 100).all()
    assert (drawn[:, 48:144] == (178, 50, 50)).all()
    assert (drawn[:, 144:] == 100).all()
    full = pixels.unfit_mask(np.zeros((72, 96), np.uint8), (72, 192), Fit("crop"))
    assert (pixels.overlay(image, full, manifest) == drawn).all()


@pytest.mark.parametrize("frame_hw", [(360, 480), (20, 30), (3, 3)])
def test_the_legend_fits_into_any_frame(tiny_bundle: Any, frame_hw: tuple[int, int]) -> None:
    manifest = Bundle.open(tiny_bundle).manifest
    image = np.full((*frame_hw, 3), 100, np.uint8)
    mask = random.integers(0, 4, frame_hw, np.uint8)
    plain, drawn = (pixels.overlay(image, mask, manifest, legend=legend) for legend in (False, True))
    assert drawn.shape == plain.shape
    if frame_hw == (360, 480):
        assert (drawn != plain)[:60, :60].any()
        assert (drawn[100:] == plain[100:]).all()


def test_shares_count_classes_alone() -> None:
    mask = np.array([[0, 0, 1, 255], [255, 2, 2, 2]], np.uint8)
    shares = pixels.class_shares(mask, ("a", "b", "c", "d"))
    assert shares == pytest.approx({"a": 2 / 6, "b": 1 / 6, "c": 3 / 6, "d": 0})
    assert pixels.class_shares(np.full((2, 2), 255, np.uint8), ("a",)) == {"a": 0}


@pytest.mark.parametrize("channels", [(), (3,)])
def test_nearest_enlargement_is_opencvs_exact_one(channels: tuple[int, ...]) -> None:
    cv2: Any = pytest.importorskip("cv2")
    rng = np.random.default_rng(3)
    for h, w, to_h, to_w in ((36, 48, 72, 128), (7, 5, 61, 3), (1, 1, 9, 9), (180, 240, 719, 1281), (33, 20, 34, 20)):
        image = rng.integers(0, 255, (h, w, *channels), np.uint8)
        want = cv2.resize(image, (to_w, to_h), interpolation=cv2.INTER_NEAREST_EXACT)
        np.testing.assert_array_equal(pixels.resize(image, (to_h, to_w), "nearest"), want)


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("scale", [1, 2])
def test_an_overlay_is_the_weighted_mean_within_a_grey_level(tiny_bundle: Any, strength: float, scale: int) -> None:
    manifest = Bundle.open(tiny_bundle).manifest
    rng = np.random.default_rng(4)
    image = rng.integers(0, 256, (24 * scale, 32 * scale, 3), np.uint8)
    mask = rng.integers(0, len(manifest.classes), (24, 32)).astype(np.uint8)
    colours = np.array(manifest.colours)[mask.repeat(scale, 0).repeat(scale, 1)][..., ::-1]
    want = (1 - strength) * image + strength * colours
    before = image.copy()
    got = pixels.overlay(image, mask, manifest, strength=strength)
    assert np.abs(got - want).max() <= 1.01
    np.testing.assert_array_equal(image, before)
