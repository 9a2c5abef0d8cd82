import dataclasses

import pytest
from epee.runtime.errors import ConfigError
from epee.runtime.settings import from_dict
from epee.train.config import read_toml, to_toml
from epee.train.presets.segment import NETWORKS, SegmentConfig, check_preset


def test_a_configuration_survives_toml(tmp_path):
    config = SegmentConfig(data='odd "name"\\x.yaml', minutes=1.5, size_wh=(96, 72), network=NETWORKS["nano"])
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config))
    assert read_toml(SegmentConfig, path) == config


def test_an_unknown_key_names_the_near_one():
    with pytest.raises(ConfigError, match="unknown key 'epocs'; did you mean 'epochs'"):
        from_dict(SegmentConfig, {"data": "d.yaml", "epocs": 3})


def test_an_unknown_key_in_a_table_is_found():
    with pytest.raises(ConfigError, match="unknown key 'flipp'"):
        from_dict(SegmentConfig, {"data": "d.yaml", "epochs": 3, "augment": {"flipp": 0.5}})


def test_a_value_of_another_type_is_refused():
    with pytest.raises(ConfigError, match="'epochs': got 'three', expected a whole number"):
        from_dict(SegmentConfig, {"data": "d.yaml", "epochs": "three"})


def test_a_whole_number_is_taken_where_a_fraction_is_expected():
    assert from_dict(SegmentConfig, {"data": "d.yaml", "minutes": 3}).minutes == 3.0


@pytest.mark.parametrize("budget", [{}, {"epochs": 1, "minutes": 1.0}, {"epochs": 0}, {"minutes": -1.0}])
def test_a_budget_is_exactly_one_positive_number(budget):
    with pytest.raises(ConfigError, match="training budget"):
        SegmentConfig(data="d.yaml", **budget)


def test_an_unknown_clock_names_the_two():
    with pytest.raises(ConfigError, match="clock 'cpus': got no such clock, expected wall, cpu; did you mean 'cpu'"):
        SegmentConfig(data="d.yaml", minutes=1.0, clock="cpus")


def test_an_unknown_preset_names_the_near_one():
    with pytest.raises(ConfigError, match="did you mean 'small'"):
        check_preset("smal")


def test_configurations_are_frozen():
    config = SegmentConfig(data="d.yaml", epochs=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 3  # type: ignore[misc]
