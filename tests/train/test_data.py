import itertools

import numpy as np
import pytest
from epee.runtime.dataset import open_dataset
from epee.runtime.manifest import Fit
from epee.train.augment import Augment
from epee.train.data import Batches, Order, Store, class_frequency


@pytest.fixture(scope="module")
def store():
    return Store(open_dataset("synthetic:street", "train", size_wh=(96, 72), count=10), (96, 72), Fit())


def first(store, count, **kw):
    with Batches(store, 4, 0, Augment(), **kw) as batches:
        return list(itertools.islice(batches, count))


def test_batches_are_a_function_of_seed_and_step(store):
    whole, later = first(store, 5), first(store, 2, start=3, ahead=3)
    for (a, b), (c, d) in zip(whole[3:], later, strict=True):
        assert np.array_equal(a, c)
        assert np.array_equal(b, d)


def test_an_epoch_gives_each_picture_once():
    order = Order(10, 5, 0)
    for epoch in range(3):
        steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
        assert sorted(i for step in steps for i in order(step)) == list(range(10))


def test_a_set_smaller_than_a_batch_wraps(store):
    with Batches(store, 16, 0, Augment()) as batches:
        images, masks = next(iter(batches))
    assert images.shape == (16, 72, 96, 3)
    assert masks.shape == (16, 72, 96)


def test_an_error_in_a_thread_reaches_the_loop(store):
    class Broken:
        names, colours, ignore = store.data.names, store.data.colours, 255

        def __len__(self):
            return 10

        def __getitem__(self, index):
            raise OSError("disk gone")

    with Batches(Store(Broken(), (96, 72), Fit()), 4, 0, Augment()) as batches, pytest.raises(OSError, match="gone"):
        next(iter(batches))


def test_frequencies_sum_to_one_without_void(store):
    frequency = class_frequency(store)
    assert frequency.sum() == pytest.approx(1.0)
    assert len(frequency) == len(store.data.names)


def test_pictures_of_another_size_are_fitted_with_their_masks(store):
    small = Store(store.data, (48, 40), Fit())
    image, mask = small[3]
    assert image.shape == (40, 48, 3)
    assert mask.shape == (40, 48)
    assert set(np.unique(mask)) <= set(np.unique(store.data[3][1]))
    assert small[3][0] is image  # kept, not read again


def test_rare_classes_are_seen_more_often(store):
    """Copying them in, and laying views around them, each raise the share of views that show one."""
    frequency = class_frequency(store)
    rare = [i for i, share in enumerate(frequency) if 0 < share < 0.05]
    assert rare

    def share(**how):
        with Batches(store, 4, 0, Augment(scale=(2.0, 2.0), rare=0.05, **how), frequency=frequency) as batches:
            masks = np.concatenate([masks for _, masks in itertools.islice(batches, 12)])
        return np.isin(masks, rare).any((1, 2)).mean()

    assert share(focus=1.0) > share()
    assert share(paste=1.0) > share()


def test_a_small_step_gives_a_small_batch(store):
    with Batches(store, 4, 0, Augment(small_steps=1.0, small_size=0.5)) as batches:
        images, masks = next(iter(batches))
    assert images.shape == (4, 36, 48, 3)
    assert masks.shape == (4, 36, 48)
