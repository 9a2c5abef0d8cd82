"""What a command line makes of preset, recipe file and options."""

import argparse
from dataclasses import replace

import pytest
from epee.runtime.errors import ConfigError
from epee.train.adversary import FORMS
from epee.train.commands.segment import _configuration, arguments
from epee.train.presets.segment import NETWORKS, RECIPES


def configured(*words):
    parser = argparse.ArgumentParser()
    arguments(parser)
    return _configuration(parser.parse_args(["--out", "run", *map(str, words)]))[0]


@pytest.fixture
def recipe(tmp_path):
    """A recipe file of a few fields; gives a function that writes more of them."""
    def write(text=""):
        file = tmp_path / "recipe.toml"
        file.write_text(f"batch = 6\n{text}\n[augment]\npaste = 0.5\n[terms]\nauxiliary = 0.4\n")
        return file
    return write


def test_the_default_is_small_for_half_an_hour():
    config = configured("--data", "d.yaml")
    assert (config.preset, config.network, config.minutes) == ("small", NETWORKS["small"], 30.0)


def test_a_recipe_changes_what_it_names_and_options_go_first(recipe):
    config = configured("--data", "d.yaml", "--preset", "nano", "--config", recipe("steps = 500"))
    assert (config.batch, config.steps, config.minutes) == (6, 500, None)
    assert (config.augment.paste, config.augment.scale) == (0.5, RECIPES["nano"]["augment"].scale)
    assert config.terms.auxiliary == 0.4
    config = configured("--data", "d.yaml", "--config", recipe("steps = 500"), "--batch", 2, "--minutes", 3,
                        "--leave-out", "a,val")
    assert (config.batch, config.steps, config.minutes, config.leave_out) == (2, None, 3.0, ("a", "val"))


def test_a_recipe_may_name_data_and_preset(recipe):
    config = configured("--config", recipe('data = "e.yaml"\npreset = "nano"'))
    assert (config.data, config.preset, config.network) == ("e.yaml", "nano", NETWORKS["nano"])


def test_an_unknown_field_of_a_recipe_names_the_near_one(recipe):
    with pytest.raises(ConfigError, match=r"recipe\.toml: unknown key 'batsch'; did you mean 'batch'"):
        configured("--data", "d.yaml", "--config", recipe("batsch = 3"))


def test_a_form_brings_its_settings_and_a_recipe_may_change_them(recipe):
    plain = configured("--data", "d.yaml", "--unlabelled", "a", "--unlabelled", "b")
    assert (plain.unlabelled, plain.adversarial) == (("a", "b"), "")
    assert configured("--data", "d.yaml", "--adversarial").adversary == FORMS["pixels"]
    assert configured("--data", "d.yaml", "--adversarial", "features").adversary == FORMS["features"]
    file = recipe("[adversary]\nform = 'holistic'\nbegin = 0.7")
    assert configured("--data", "d.yaml", "--config", file).adversary == replace(FORMS["holistic"], begin=0.7)
    asked = configured("--data", "d.yaml", "--config", file, "--adversarial", "pixels")
    assert asked.adversary == FORMS["pixels"]  # settings of another form are none of its own
    shared = recipe("[adversary]\nbegin = 0.7")
    assert configured("--data", "d.yaml", "--config", shared, "--adversarial", "pixels").adversary.begin == 0.7


def test_a_form_of_a_recipe_that_is_none_names_the_near_one(recipe):
    with pytest.raises(ConfigError, match=r"did you mean 'features'"):
        configured("--data", "d.yaml", "--config", recipe("[adversary]\nform = 'feature'"))


def test_without_data_the_line_says_what_to_give(recipe):
    with pytest.raises(ConfigError, match="--data: got nothing"):
        configured("--config", recipe())
