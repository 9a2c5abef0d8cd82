import cv2
import numpy as np
import pytest
from epee.runtime.errors import ConfigError
from epee.train.commands.options import rates_of


def test_a_rate_alone_falls_to_its_share_and_two_are_taken_as_they_are():
    assert rates_of(None, 0.1) == {}
    assert rates_of("1e-3", 0.1) == pytest.approx({"rate_first": 1e-3, "rate_last": 1e-4})
    assert rates_of("4e-4:1e-4", 0.1) == {"rate_first": 4e-4, "rate_last": 1e-4}


@pytest.mark.parametrize("text", ["fast", "1e-3:", ":1e-3", "0", "-1", "1e-3:nan", "1:2:3"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ConfigError, match=r"--learning-rate: got .*, expected FIRST or FIRST:LAST, e.g. 1e-3:1e-4"):
        rates_of(text, 0.1)


def test_rates_reach_the_training(tmp_path):
    from epee.runtime.cli import main
    from epee.train.config import read_toml
    from epee.train.presets.generate import GenerateConfig

    rng = np.random.default_rng(0)
    for i in range(16):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rng.integers(0, 256, (32, 32, 3), np.uint8))
    words = ["train", "generate", "--data", str(tmp_path), "--steps", "1", "--batch", "2", "--preset", "pico"]
    assert main([*words, "--learning-rate", "4e-4:1e-4", "--out", str(tmp_path / "run")]) == 0
    config = read_toml(GenerateConfig, tmp_path / "run" / "config.toml")
    assert (config.rate_first, config.rate_last, config.generator.channels) == (4e-4, 1e-4, (64, 64, 48, 16))


def test_the_penalty_follows_the_size():
    from epee.train.presets.generate import GenerateConfig

    gammas = [GenerateConfig(data="d", steps=1, size=size).resolved_gamma for size in (32, 64)]
    assert gammas == pytest.approx([0.2, 1.6])
    assert GenerateConfig(data="d", steps=1, gamma=0.05).resolved_gamma == 0.05
