"""Weights to begin from: where they are found, and what of them is taken."""

import dataclasses
import shutil

import pytest
import torch
from epee.runtime import bundle
from epee.runtime.errors import TrainingError
from epee.runtime.manifest import Fit
from epee.train import checkpoint
from epee.train.initial import load_initial, take, weights_of
from epee.train.networks.segmenter import Segmenter, SegmenterConfig

TINY = SegmenterConfig(classes=3, stem=8, quarter=8, eighth=8, sixteenth=8, dilations=(1,), decode8=8, decode4=8)
NAMES = ("sky", "road", "car")


@pytest.fixture
def trained(tmp_path):
    """A checkpoint with random weights; its path."""
    torch.manual_seed(0)
    facts = {"task": "segment", "network": dataclasses.asdict(TINY), "size_wh": (96, 72), "names": NAMES,
             "colours": [(0, 0, 0)] * 3, "ignore": 255, "fit": dataclasses.asdict(Fit()), "data": "d.yaml",
             "provenance": {"preset": "nano"}}
    checkpoint.write(tmp_path / "net.safetensors", checkpoint.pack("ema", Segmenter(TINY).state_dict()), facts)
    return tmp_path / "net.safetensors"


def fresh(**changes):
    torch.manual_seed(1)
    return Segmenter(dataclasses.replace(TINY, **changes))


def test_a_bundles_weights_lie_beside_it(trained, tiny_bundle, monkeypatch):
    shutil.copytree(tiny_bundle, trained.parent / "net.epee")
    monkeypatch.setenv("EPEE_WEIGHTS", str(trained.parent))
    assert weights_of("net") == weights_of(trained.parent / "net.epee") == weights_of(trained) == trained
    trained.rename(trained.parent / "elsewhere.safetensors")
    with pytest.raises(TrainingError, match=r"no weights to train on with, expected net\.safetensors beside it"):
        weights_of("net")


def test_a_name_that_is_nowhere_says_where_it_was_looked_for(trained, monkeypatch):
    monkeypatch.setenv("EPEE_WEIGHTS", str(trained.parent))
    with pytest.raises(TrainingError, match=rf"got nothing there.*{trained.parent}.*{bundle.cache_folder()}"):
        weights_of("no-such-weights")


def test_the_same_classes_take_the_whole_head(trained):
    network, weights = fresh(), load_initial(str(trained))
    taken = take(network, NAMES, weights)
    assert (taken.head, taken.anew) == ("whole", ())
    assert taken.tensors[0] == taken.tensors[1]
    own, given = network.state_dict(), weights.network.state_dict()
    assert all(torch.equal(own[k], given[k]) for k in own)


def test_other_classes_get_a_new_head_with_the_rows_they_share(trained):
    network, weights = fresh(classes=4), load_initial(str(trained))
    before = network.head.weight.clone()
    taken = take(network, ("tree", "car", "sky", "pole"), weights)
    assert (taken.head, taken.classes) == ("rows", ("car", "sky"))
    given = weights.network.head.weight
    assert torch.equal(network.head.weight, torch.stack([before[0], given[2], given[0], before[3]]))
    assert torch.equal(network.stem[0].weight, weights.network.stem[0].weight)
    assert "a new head with the rows of car, sky" in taken.render("net")


def test_a_deeper_network_takes_what_fits_and_says_the_rest(trained):
    taken = take(fresh(dilations=(1, 2), classes=2), ("a", "b"), load_initial(str(trained)))
    assert taken.head == "new"
    assert taken.anew
    assert all(name.startswith("sixteenth.") for name in taken.anew)
    assert "begun anew: sixteenth." in taken.render("net")


def test_weights_of_other_sizes_are_one_clear_line(trained):
    sizes = dict.fromkeys(("stem", "quarter", "eighth", "sixteenth", "decode8", "decode4"), 12)
    with pytest.raises(TrainingError, match="leave --preset out"):
        take(fresh(**sizes), NAMES, load_initial(str(trained)))
