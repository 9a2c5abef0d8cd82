import pytest
import torch
from epee.train.diffaug import DiffAugment

NOTHING = DiffAugment(flip=0.0, translate=0.0, cutout=0.0)


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return torch.rand(16, 3, 16, 16, generator=chance()) + 0.5


def test_nothing_is_nothing(images):
    assert torch.equal(NOTHING(images, chance()), images)


def test_it_is_a_function_of_its_chance(images):
    how = DiffAugment()
    assert torch.equal(how(images, chance(1)), how(images, chance(1)))
    assert not torch.equal(how(images, chance(1)), how(images, chance(2)))


def test_flips_are_whole_pictures(images):
    changed = DiffAugment(flip=0.5, translate=0.0, cutout=0.0)(images, chance())
    flipped = [torch.equal(c, i.flip(2)) for c, i in zip(changed, images, strict=True)]
    same = [torch.equal(c, i) for c, i in zip(changed, images, strict=True)]
    assert all(a != b for a, b in zip(flipped, same, strict=True))
    assert 0 < sum(flipped) < 16


def test_shifts_move_what_is_there_and_bring_black(images):
    changed = DiffAugment(flip=0.0, translate=0.25, cutout=0.0, probability=1.0)(images, chance())
    for new, old in zip(changed, images, strict=True):
        moved = [torch.equal(new[:, max(0, -y):16 - max(0, y), max(0, -x):16 - max(0, x)],
                             old[:, max(0, y):16 + min(0, y), max(0, x):16 + min(0, x)])
                 and int((new[0] == 0).sum()) == 256 - (16 - abs(y)) * (16 - abs(x))
                 for y in range(-4, 5) for x in range(-4, 5)]
        assert sum(moved) == 1


def test_a_blanked_square_has_its_size_at_most(images):
    changed = DiffAugment(flip=0.0, translate=0.0, cutout=0.5, probability=1.0)(images, chance())
    blank = (changed == 0).all(1).flatten(1).sum(1)
    assert int(blank.max()) <= 64
    assert int(blank.min()) > 0


def test_gradients_pass_to_what_is_still_seen(images):
    images.requires_grad_()
    changed = DiffAugment()(images, chance())
    changed.sum().backward()
    seen = (changed != 0).flatten(1).sum(1)
    assert torch.equal(images.grad.flatten(1).sum(1).round().long(), seen)
