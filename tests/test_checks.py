"""Each error names the argument, its value and what was expected."""

import math

import jax
import numpy as np
import pytest

from unlearnax import checks


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (1.4, {"low": 0, "high": 1, "open_low": True}, "Expected rate=1.4 in (0, 1]."),
        (0.0, {"low": 0, "high": 1, "open_low": True}, "Expected rate=0.0 in (0, 1]."),
        (1.0, {"low": 0, "high": 1, "open_high": True}, "Expected rate=1.0 in [0, 1)."),
        (-1, {"low": 0}, "Expected rate=-1 in [0, inf)."),
        (math.nan, {"low": 0, "high": 1}, "Expected rate=nan in [0, 1]."),
    ],
)
def test_in_range(value, options, message):
    with pytest.raises(ValueError, match="Expected") as caught:
        checks.in_range("rate", value, **options)
    assert str(caught.value) == message


def test_traced_values_pass():
    jax.jit(lambda x: checks.positive("x", x))(-1.0)


@pytest.mark.parametrize("value", [-1, 1.5, 3.0, True, math.nan, math.inf, None, "3", [2]])
def test_whole_numbers(value):
    for check, least in ((checks.at_least_one, 1), (checks.at_least_zero, 0)):
        with pytest.raises(ValueError, match=rf"Expected epochs=.* to be a whole number of at least {least}\."):
            check("epochs", value)
        check("epochs", least)
        check("epochs", np.int64(3))
    with pytest.raises(ValueError, match="Expected epochs=0 to be a whole number of at least 1"):
        checks.at_least_one("epochs", 0)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan, None, "0.1", True])
def test_positive(value):
    with pytest.raises(ValueError, match="Expected x="):
        checks.positive("x", value)
    checks.non_negative("x", 0.0)


def test_one_of_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"Expected digit=11 to be one of 0, 1\.$"):
        checks.one_of("digit", 11, range(2))
    with pytest.raises(ValueError, match=r"Expected name='scrubb' to be one of ssd, scrub\. Did you mean 'scrub'\?"):
        checks.one_of("name", "scrubb", {"ssd": 1, "scrub": 2})
    with pytest.raises(ValueError, match=r"one of ssd, scrub\.$"):
        checks.one_of("name", "xyz", ["ssd", "scrub"])
