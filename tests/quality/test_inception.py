"""The network that FID is named after. Its weights are not here: what can be known without them is."""

import numpy as np
import pytest
from epee.runtime.errors import DataError

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from epee.train.inception import Inceptions, clean_resize, open_inception  # noqa: E402
from epee.train.networks.inception import Inception  # noqa: E402

PUBLISHED_BYTES = 95_628_359
"""Of the published weights; what is no number in it is some 150 bytes a tensor."""


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Inception().eval()


def test_it_has_as_many_numbers_as_the_published_weights(network):
    tensors = network.state_dict()
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    assert 0 < PUBLISHED_BYTES - size < 200 * len(tensors)
    assert sum(p.numel() for p in network.parameters()) == 23_850_960


def test_it_gives_2048_features(network):
    with torch.inference_mode():
        features = network(torch.zeros(1, 3, 299, 299))
    assert features.shape == (1, 2048)


def test_it_looks_at_pictures_as_they_come(network):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    with Inceptions(network) as look:
        features = look(images)
        assert (look.kid_name, look.fd_name) == ("kid", "fid")
    x = torch.from_numpy(np.stack([clean_resize(image) for image in images])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        assert features == pytest.approx(network((x - 128) / 128).numpy(), rel=1e-4, abs=1e-6)


def test_only_the_papers_weights_give_fid(network, tmp_path):
    path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    torch.save({}, path)
    with pytest.raises(DataError, match="only the papers' weights give FID"):
        open_inception(path)
    with pytest.raises(DataError, match="got nothing there"):
        open_inception(tmp_path / "none.pth")


def test_the_resize_is_pillows_on_floats():
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    got = clean_resize(image)
    assert (got.shape, got.dtype) == ((299, 299, 3), np.float32)
    red = np.asarray(Image.fromarray(image[..., 2].astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC))
    assert (got[..., 0] == red.clip(0, 255)).all()
    assert (got[..., 0] != got[..., 0].round()).mean() > 0.9  # floats, not bytes


def test_shrinking_averages():
    stripes = np.zeros((1196, 1196, 3), np.uint8)
    stripes[::2] = 255
    assert np.abs(clean_resize(stripes)[8:-8] - 127.5).max() < 3  # without averaging it would be black or white
