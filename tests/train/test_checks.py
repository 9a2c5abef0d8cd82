"""What configurations are asked, and in which words they are refused."""

import pytest
from epee.runtime.errors import ConfigError
from epee.train.checks import check_budget, check_least, check_multiple, check_name, check_share


@pytest.mark.parametrize(("given", "words"), [
    ({"steps": None, "minutes": None}, "training budget: got none, expected exactly one of steps, minutes"),
    ({"steps": 3, "minutes": 0.5}, "got steps 3, minutes 0.5, expected exactly one of steps, minutes"),
    ({"steps": 0, "minutes": None}, "training budget: got 0, expected more than 0")])
def test_a_budget_is_one_and_more_than_nothing(given, words):
    with pytest.raises(ConfigError, match=words):
        check_budget(**given)


@pytest.mark.parametrize(("check", "words"), [
    (lambda: check_name("adversarial form", "pixel", ("pixels", "features")),
     "adversarial form 'pixel': got no such form, expected pixels, features; did you mean 'pixels'"),
    (lambda: check_least("frames", 1, 2, "one does not move"), "frames: got 1, expected 2 or more: one does not move"),
    (lambda: check_share("begin", 1.0, below_one=True), "begin: got 1.0, expected a share, 0 to below 1"),
    (lambda: check_share("soften", 1.2), "soften: got 1.2, expected a share, 0 to 1"),
    (lambda: check_multiple("size", 20, 8, 16), "size: got 20, expected a multiple of 8 from 16 up")])
def test_what_does_not_fit_is_said_with_what_would(check, words):
    with pytest.raises(ConfigError, match=words):
        check()


def test_what_fits_passes():
    check_budget(steps=None, minutes=0.1)
    check_name("clock", "cpu", {"wall": 0, "cpu": 1})
    check_least("gamma", None, 0)
    check_least("gamma", 0, 0)
    check_share("soften", 1.0)
    check_multiple("size", 16, 8, 16)
