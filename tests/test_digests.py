import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlearnax.digests import digest, stable_hash
from unlearnax.types import InputSpec

PARTS = (
    np.arange(6, dtype=np.float32).reshape(2, 3),
    "a",
    1,
    2.5,
    None,
    True,
    {"b": [1, 2], "a": (3,)},
    InputSpec((2,)),
)
# Written down once: stored populations are found by such digests, on any machine.
GOLDEN = "38becac340272450843754ac6de9b931"
SCRIPT = """
import numpy as np
from unlearnax.digests import digest
from unlearnax.types import InputSpec
parts = (np.arange(6, dtype=">f4").reshape(2, 3), "a", 1, 2.5, None, True, {"a": (3,), "b": [1, 2]}, InputSpec((2,)))
print(digest(*parts))
"""


def test_the_same_in_another_process_with_another_hash_seed_byte_order_and_key_order():
    assert digest(*PARTS) == GOLDEN
    command = [sys.executable, "-c", SCRIPT]
    made = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"})
    assert made.stdout.strip() == GOLDEN


def test_memory_layout_does_not_count():
    a = np.arange(24.0).reshape(4, 6)
    for same in (np.asfortranarray(a), np.repeat(a, 2, 0)[::2], a.astype(">f8")):
        assert digest(same) == digest(a)


class Pair(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((np.zeros(2),), (np.zeros(3),)),
        ((np.zeros((2, 3)),), (np.zeros((3, 2)),)),
        ((np.zeros(2, np.int32),), (np.zeros(2, np.float32),)),
        ((np.zeros(2), np.zeros(2)), (np.zeros(4),)),
        ((1,), ("1",)),
        ((1,), (1.0,)),
        ((1,), (True,)),
        ((None,), ("None",)),
        (("ab", "c"), ("a", "bc")),
        (((1, 2), 3), ((1,), 2, 3)),
        (({"a": 1},), ({"b": 1},)),
        ((InputSpec((2,)),), (InputSpec((2,), 1.0),)),
        (((),), ()),
    ],
)
def test_different_contents_differ(one, other):
    assert digest(*one) != digest(*other)


def test_named_tuples_read_as_tuples():
    assert digest(Pair(1, 2)) == digest((1, 2))


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
nested = st.recursive(
    scalars, lambda x: st.tuples(x, x) | st.dictionaries(st.text(max_size=3), x, max_size=3), max_leaves=5
)


@settings(deadline=None)
@given(one=nested, other=nested)
def test_equal_digests_mean_equal_contents(one, other):
    assert (digest(one) == digest(other)) == (repr(ordered(one)) == repr(ordered(other)))


def ordered(value):
    """The value with mappings in key order, so that equal contents have one repr."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return tuple(map(ordered, value)) if isinstance(value, tuple) else value


def test_stable_hash_is_32_bits_of_the_digest():
    values = [stable_hash("role", i) for i in range(200)]
    assert all(0 <= value < 2**32 for value in values)
    assert len(set(values)) == 200
    assert max(values) > 2**31  # unsigned
    assert np.uint32(values[0]) == values[0]


def test_what_cannot_be_digested():
    with pytest.raises(ValueError, match="got objects"):
        digest(np.array([{}], dtype=object))
    with pytest.raises(TypeError, match="got set"):
        digest({1, 2})
