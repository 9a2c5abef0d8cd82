import pytest
from epee.runtime.errors import ConfigError
from epee.train.options import rates_of


def test_a_rate_alone_falls_to_its_share_and_two_are_taken_as_they_are():
    assert rates_of(None, 0.1) == {}
    assert rates_of("1e-3", 0.1) == pytest.approx({"rate_first": 1e-3, "rate_last": 1e-4})
    assert rates_of("4e-4:1e-4", 0.1) == {"rate_first": 4e-4, "rate_last": 1e-4}


@pytest.mark.parametrize("text", ["fast", "1e-3:", ":1e-3", "0", "-1", "1e-3:nan", "1:2:3"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ConfigError, match=r"--learning-rate: got .*, expected FIRST or FIRST:LAST, e.g. 1e-3:1e-4"):
        rates_of(text, 0.1)
