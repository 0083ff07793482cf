import numpy as np
import pytest

from unlearnax import data
from unlearnax.digests import digest


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_sizes_types_and_range(digits):
    parts = (digits.train, digits.validation, digits.test)
    assert [len(part.x) for part in parts] == [1400, 97, 300]
    for part in parts:
        assert part.x.shape[1:] == digits.inputs.shape == (8, 8, 1)
        assert part.x.dtype == np.float32
        assert part.y.dtype == part.concept.dtype == np.int32
        assert part.x.min() == 0
        assert part.x.max() == 16
        np.testing.assert_array_equal(part.y, part.concept)
    assert (digits.inputs.mean, digits.inputs.std) == (0.0, 16.0)


def test_parts_are_stratified_and_hold_every_image_once(digits):
    from sklearn.datasets import load_digits

    parts = (digits.train, digits.validation, digits.test)
    raw = load_digits()
    made = np.concatenate([part.x.reshape(len(part.x), -1) for part in parts])
    assert sorted(map(bytes, made)) == sorted(map(bytes, raw.data.astype(np.float32)))
    for part in parts:
        expected = np.bincount(raw.target) * len(part.y) / 1797
        assert np.abs(np.bincount(part.y, minlength=10) - expected).max() < 2


def test_the_split_is_fixed(digits):
    # Another split would silently change what every stored result means.
    assert digest(digits.train, digits.validation, digits.test) == "cb9cc5654de3d1f687a9e124a37eb035"
