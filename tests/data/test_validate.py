import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlearnax import data
from unlearnax.data.validate import check_splits, held_out, stratified
from unlearnax.types import Dataset, InputSpec, Splits


def splits(**changes):
    x = np.linspace(0, 1, 24, dtype=np.float32).reshape(6, 2, 2, 1)
    y = np.array([0, 1, 0, 1, 0, 1], np.int32)
    part = Dataset(x, y, y)
    made = Splits("s", part, part, part, 2, ("a", "b"), ("a", "b"), InputSpec((2, 2, 1)))
    return dataclasses.replace(made, **changes)


def part(**changes):
    return splits().train._replace(**changes)


def with_nan():
    x = splits().train.x.copy()
    x[4, 0, 0] = np.nan
    return x


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": part(x=with_nan())}, r"Expected train.x to be finite; 1 examples are not, the first is row 4\."),
        ({"test": part(x=np.full((6, 2, 2, 1), np.inf, np.float32))}, "Expected test.x to be finite; 6 examples"),
        ({"train": part(x=np.zeros((6, 2, 2, 1), np.int64))}, "Expected train.x of type int64 to be floating or uint8"),
        ({"train": part(x=np.zeros((6, 2, 2, 1), object))}, "Expected train.x of type object"),
        (
            {"validation": part(x=np.zeros((6, 4), np.float32))},
            r"Expected validation.x of shape \(6, 4\) .*\(N, 2, 2, 1\)",
        ),
        ({"train": part(x=np.float32(1))}, r"Expected train.x of shape \(\)"),
        ({"test": part(x=np.zeros((6, 2, 2, 1), np.uint8))}, "Expected test.x of type uint8 to have train.x's type"),
        (
            {"train": part(y=np.zeros(5, np.int32))},
            r"Expected train.y of shape \(5,\) to have shape \(6,\), as train.x",
        ),
        ({"train": part(concept=np.zeros(5, np.int32))}, r"Expected train.concept of shape \(5,\)"),
        ({"train": part(y=np.zeros(6))}, "Expected train.y of type float64 to be int32"),
        ({"test": part(y=np.array([0, 1, 2, 0, 1, 0], np.int32))}, r"Expected test.y=2 in \[0, 2\), at row 2\."),
        ({"test": part(y=np.array([0, 1, -1, 0, 1, 0], np.int32))}, r"Expected test.y=-1 in \[0, 2\)"),
        ({"test": part(concept=np.full(6, -2, np.int32))}, r"Expected test.concept=-2 in \[-1, 2\)"),
        ({"test": part(concept=np.full(6, 2, np.int32))}, r"Expected test.concept=2 in \[-1, 2\)"),
        ({"validation": Dataset(*(v[:0] for v in splits().train))}, "Expected validation with 0 examples"),
        ({"num_classes": 1}, "Expected num_classes=1 in"),
        ({"class_names": ("a",)}, r"Expected class_names=\('a',\) to name num_classes=2"),
        ({"inputs": InputSpec((2, 2, 1), 0.0, 0.0)}, "Expected std=0.0 in"),
        ({"inputs": InputSpec((2, 2, 1), float("nan"), 1.0)}, "Expected mean=nan to be finite"),
    ],
)
def test_errors_name_the_part_and_the_value(changes, message):
    with pytest.raises(ValueError, match=message):
        check_splits(splits(**changes))


def test_valid_splits_pass_through():
    made = splits()
    assert check_splits(made) is made


def test_no_concept_is_allowed():
    check_splits(splits(train=part(concept=np.full(6, -1, np.int32))))


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=5), shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_stratified_parts_are_disjoint_and_in_proportion(counts, shares, seed):
    y = np.repeat(np.arange(len(counts)), counts)
    first = int(shares[0] * len(y))
    second = int(shares[1] * (len(y) - first))
    one, two = stratified(y, (first, second), seed)
    assert (len(one), len(two)) == (first, second)
    assert len(np.unique(np.concatenate([one, two]))) == first + second
    for label, count in enumerate(counts):
        assert abs((y[one] == label).sum() - count * first / len(y)) <= len(counts)
    (smaller,) = stratified(y, (first // 2,), seed)
    assert set(smaller) <= set(one)


def test_what_is_held_out_stays_the_same():
    """The very rows: another draw would make other problems of the same name."""
    y = np.arange(40) % 4
    train, validation = held_out(y, 5, 50, train_size=8)
    assert (train.tolist(), validation.tolist()) == ([0, 1, 5, 14, 15, 32, 38, 39], [9, 16, 19, 22])
    whole, same = held_out(y, 5, 50)
    assert same.tolist() == validation.tolist()
    assert sorted([*whole, *same]) == list(range(40))
    assert len(held_out(y, 1, 50_000)[1]) == 1
    with pytest.raises(ValueError, match="Expected train_size=37 to be at most 36"):
        held_out(y, 5, 50, train_size=37)


def test_load_suggests_the_nearest_name():
    with pytest.raises(ValueError, match=r"Expected dataset='digit' to be one of .* Did you mean 'digits'"):
        data.load("digit")


def test_load_passes_a_name_on():
    x, y = np.zeros((8, 2), np.float32), np.arange(8) % 2
    source = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    assert data.load("arrays", path=source, name="mine").name == "mine"
