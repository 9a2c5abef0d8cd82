"""Folding changes nothing but rounding; the tails give the masks they promise."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from epee.export.fuse import FusedSegmenter, fold  # noqa: E402
from epee.export.tails import TAILS, double, scale2x  # noqa: E402
from epee.runtime.errors import ExportError  # noqa: E402
from epee.train.networks.segmenter import Segmenter, SegmenterConfig, resize_logits  # noqa: E402


def answers(module, frames):
    with torch.no_grad():
        return [t.numpy() for t in module(torch.as_tensor(frames))]


def test_folding_leaves_no_batch_norm_and_the_same_answers(network: Segmenter, frames) -> None:
    folded = FusedSegmenter(network, (96, 64))
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    mask, logits = answers(folded, frames)
    want_mask, want_logits = answers(FusedSegmenter(network, (96, 64), folded=False), frames)
    assert np.abs(logits - want_logits).max() < 1e-5 * np.abs(want_logits).max()
    assert (mask == want_mask).mean() > 0.9995
    assert len(np.unique(mask)) > 1


def test_borders_stay_right_in_a_white_frame(network: Segmenter) -> None:
    white = np.full((1, 64, 96, 3), 255, np.uint8)
    _, logits = answers(FusedSegmenter(network, (96, 64)), white)
    _, want = answers(FusedSegmenter(network, (96, 64), folded=False), white)
    np.testing.assert_allclose(logits, want, atol=1e-5 * np.abs(want).max())


def test_the_trained_network_is_left_alone(network: Segmenter) -> None:
    before = copy.deepcopy(network.state_dict())
    fold(network)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_a_convolution_with_a_bias_is_folded_too() -> None:
    network = Segmenter(SegmenterConfig(classes=2, stem=4, quarter=4, eighth=4, sixteenth=4, dilations=(1,),
                                        decode8=4, decode4=4))
    network.stem[0] = torch.nn.Conv2d(3, 4, 3, 2, 1)
    network(torch.rand(2, 3, 32, 32))
    network.eval()
    x = torch.randint(0, 256, (1, 3, 32, 32)).float()
    with torch.no_grad():
        torch.testing.assert_close(fold(network)(x), network(x / 255), rtol=1e-4, atol=1e-5)


def test_the_full_tail_is_the_argmax_at_full_size(network: Segmenter, frames) -> None:
    mask, logits = answers(FusedSegmenter(network, (96, 64), tail="full", folded=False), frames)
    x = torch.as_tensor(frames).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        want = resize_logits(network(x), (64, 96)).argmax(1).numpy()
    assert logits.shape == (5, 64, 96, 4)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, want)


def test_the_half_tail_doubles_ids_and_is_near_the_full_one(network: Segmenter, frames) -> None:
    mask, logits = answers(FusedSegmenter(network, (96, 64), tail="half"), frames)
    full, _ = answers(FusedSegmenter(network, (96, 64), tail="full"), frames)
    assert logits.shape == (5, 32, 48, 4)
    np.testing.assert_array_equal(mask, mask[:, ::2, ::2].repeat(2, 1).repeat(2, 2))
    assert (mask == full).mean() > 0.9


def test_the_tall_tail_doubles_rows_alone(network: Segmenter, frames) -> None:
    mask, logits = answers(FusedSegmenter(network, (96, 64), tail="tall"), frames)
    full, _ = answers(FusedSegmenter(network, (96, 64), tail="full"), frames)
    half, _ = answers(FusedSegmenter(network, (96, 64), tail="half"), frames)
    assert logits.shape == (5, 32, 96, 4)
    np.testing.assert_array_equal(mask, mask[:, ::2].repeat(2, 1))
    assert (mask == full).mean() > (half == full).mean()


def test_scale2x_rounds_corners_and_keeps_lines() -> None:
    ids = torch.tensor([[[0, 0, 0, 0], [0, 0, 0, 2], [0, 0, 2, 2], [0, 2, 2, 2]]])
    np.testing.assert_array_equal(scale2x(ids)[0].numpy(), [
        [0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, 2, 2, 2],
        [0, 0, 0, 0, 0, 2, 2, 2], [0, 0, 0, 2, 2, 2, 2, 2], [0, 0, 0, 2, 2, 2, 2, 2], [0, 0, 2, 2, 2, 2, 2, 2]])
    line = torch.tensor([[[0, 0, 0], [1, 1, 1], [0, 0, 0]]])
    np.testing.assert_array_equal(scale2x(line).numpy(), double(line, (6, 6)).numpy())
    dot = torch.tensor([[[0, 0, 0], [0, 1, 0], [0, 0, 0]]])
    np.testing.assert_array_equal(scale2x(dot).numpy(), double(dot, (6, 6)).numpy())


@pytest.mark.parametrize("size_wh", [(97, 65), (33, 64), (130, 47)])
def test_odd_sizes_give_masks_of_the_frame(network: Segmenter, size_wh) -> None:
    w, h = size_wh
    frame = np.zeros((2, h, w, 3), np.uint8)
    for tail in TAILS:
        assert answers(FusedSegmenter(network, size_wh, tail=tail), frame)[0].shape == (2, h, w)


def test_what_makes_no_sense_is_refused(network: Segmenter) -> None:
    with pytest.raises(ExportError, match="got 31x64, expected 32x32 or more"):
        FusedSegmenter(network, (31, 64))
    with pytest.raises(ExportError, match="got 'quarter', expected full, tall"):
        FusedSegmenter(network, (64, 64), tail="quarter")
