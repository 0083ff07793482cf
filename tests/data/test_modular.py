import numpy as np
import pytest

from unlearnax import data


@pytest.mark.parametrize("operation", ["add", "subtract", "multiply"])
def test_every_pair_is_there_once_with_its_result(operation):
    splits = data.load("modular", prime=7, operation=operation, train_fraction=0.6)
    seen = set()
    for part in (splits.train, splits.validation, splits.test):
        assert part.x.dtype == np.float32
        assert part.x.shape[1:] == splits.inputs.shape == (14,)
        np.testing.assert_array_equal(part.y, part.concept)
        for x, y in zip(part.x, part.y, strict=True):
            (a,), (b,) = np.flatnonzero(x[:7]), np.flatnonzero(x[7:])
            assert y == {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % 7
            seen.add((a, b))
    assert len(seen) == 49 == len(splits.train.x) + len(splits.validation.x) + len(splits.test.x)
    assert (len(splits.train.x), len(splits.validation.x)) == (29, 2)
    assert splits.class_names == tuple("0123456")


def test_smaller_shares_lie_inside_larger_ones_and_seeds_differ():
    rows = [{tuple(x) for x in data.modular(7, train_fraction=share).train.x} for share in (0.3, 0.6)]
    assert rows[0] < rows[1]
    assert {tuple(x) for x in data.modular(7, train_fraction=0.6, seed=1).train.x} != rows[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prime": 9}, "prime=9"),
        ({"prime": 3}, "prime=3"),
        ({"prime": 0}, "prime=0"),
        ({"operation": "divide"}, "operation"),
        ({"train_fraction": 0.0}, "train_fraction=0"),
        ({"train_fraction": 1.0}, "train_fraction=1"),
        ({"train_fraction": 0.97, "prime": 5}, r"train_fraction=0\.97 of 25 pairs"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.modular(**arguments)
