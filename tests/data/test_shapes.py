import numpy as np
import pytest

from unlearnax import data
from unlearnax.data.shapes import SHAPES, draw


def test_sizes_types_and_range():
    splits = data.shapes(classes=SHAPES, per_class=20, test_per_class=7, size=12)
    assert [len(part.x) for part in (splits.train, splits.validation, splits.test)] == [100, 10, 35]
    for part in (splits.train, splits.validation, splits.test):
        assert part.x.dtype == np.float32
        assert part.x.shape[1:] == splits.inputs.shape == (12, 12, 1)
        assert part.x.min() >= 0
        assert part.x.max() <= 1
        assert part.y.dtype == np.int32
        np.testing.assert_array_equal(part.y, part.concept)
    assert splits.class_names == SHAPES


def test_counts_for_each_class():
    splits = data.shapes(classes=("star", "circle"), per_class=(30, 4), test_per_class=(2, 3))
    assert np.bincount(splits.train.y).tolist() == [30, 4]
    assert np.bincount(splits.validation.y).tolist() == [3, 1]
    assert np.bincount(splits.test.y).tolist() == [2, 3]


def test_seeds_repeat_and_differ_and_parts_share_no_image():
    one, same, other = (data.shapes(per_class=20, test_per_class=20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.train.x, same.train.x)
    assert (one.train.x != other.train.x).any()
    everything = np.concatenate([one.train.x, one.validation.x, one.test.x])
    assert len(np.unique(everything.reshape(len(everything), -1), axis=0)) == len(everything)


def area(shape):
    """Area of a shape of radius 1, from a formula of its own."""
    tip, notch = np.pi / 5, 0.4
    return {
        "circle": np.pi,
        "square": 1.6**2,
        "triangle": 3 * np.sqrt(3) * 0.55**2,
        "star": 10 * 0.5 * notch * np.sin(tip),
        "cross": 2 * (2 * 0.6) - 0.6**2,
    }[shape]


@pytest.mark.parametrize("shape", SHAPES)
def test_areas(shape):
    images = draw(shape, 400, 40, 0.0, np.random.default_rng(0))
    brightness = images.max((1, 2, 3))
    assert brightness.min() >= 0.7 - 1e-6
    covered = (images.sum((1, 2, 3)) / brightness) / 40**2
    radius_squared = (0.40**3 - 0.22**3) / (3 * (0.40 - 0.22))  # the mean of r² for uniform r
    assert covered.mean() == pytest.approx(area(shape) * radius_squared, rel=0.05)


def test_edges_are_anti_aliased():
    image = draw("circle", 1, 16, 0.0, np.random.default_rng(0))
    assert len(np.unique(image)) > 4


def test_noise_has_the_given_deviation():
    corner = draw("circle", 2000, 16, 0.2, np.random.default_rng(0))[:, 0, 0, 0]
    assert np.sqrt((corner**2).mean()) == pytest.approx(0.2 / np.sqrt(2), rel=0.1)  # clipped at 0


def test_normalisation_constants_suit_the_images():
    splits = data.shapes()
    normalised = (splits.train.x - splits.inputs.mean) / splits.inputs.std
    assert abs(normalised.mean()) < 0.2
    assert normalised.std() == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": ("circle", "stra")}, "Expected shape='stra' to be one of .* Did you mean 'star'"),
        ({"classes": ("circle",)}, "to be at least 2 different shapes"),
        ({"classes": ("circle", "circle")}, "to be at least 2 different shapes"),
        ({"per_class": 0}, "Expected per_class=0"),
        ({"per_class": (3, 4)}, r"Expected per_class=\(3, 4\) to be one number, or one for each of circle, square"),
        ({"test_per_class": 1.5}, "Expected test_per_class=1.5"),
        ({"size": 0}, "Expected size=0"),
        ({"noise": -0.1}, "Expected noise=-0.1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.shapes(**arguments)
