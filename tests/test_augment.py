"""Augmentations against slow loops over images."""

import jax
import numpy as np
import pytest

from unlearnax import augment

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(1, 256, (64, 6, 5, 3)).astype(np.uint8)


def test_crops_are_windows_of_the_padded_image_and_all_of_them_occur(images):
    x, mix = jax.jit(augment.crop(padding=1))(KEY, images)
    assert mix is None
    assert x.dtype == np.uint8
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    places = []
    for made, image in zip(np.asarray(x), padded, strict=True):
        windows = [(i, j) for i in range(3) for j in range(3) if np.array_equal(made, image[i : i + 6, j : j + 5])]
        assert len(windows) == 1
        places += windows
    assert len(set(places)) == 9


def test_half_of_the_images_are_flipped(images):
    x, _ = augment.flip()(KEY, images)
    flipped = [np.array_equal(made, image[:, ::-1]) for made, image in zip(np.asarray(x), images, strict=True)]
    same = [np.array_equal(made, image) for made, image in zip(np.asarray(x), images, strict=True)]
    assert all(a != b for a, b in zip(flipped, same, strict=True))
    assert 18 <= sum(flipped) <= 46  # 64 fair coins: outside of this once in 2,000 draws


@pytest.mark.parametrize("size", [1, 2, 3, 20])
def test_cutout_fills_one_square(images, size):
    x, _ = jax.jit(augment.cutout(size=size, fill=0.0))(KEY, images)
    holes = (np.asarray(x) == 0).all(-1)
    assert np.array_equal(np.where(holes[..., None], 0, images), x)
    for hole in holes:
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        assert 1 <= len(rows) <= size
        assert 1 <= len(columns) <= size
        assert hole.sum() == len(rows) * len(columns)
        assert len(rows) == rows.max() - rows.min() + 1
    if size == 2:
        assert {2, 4} <= {int(hole.sum()) for hole in holes} <= {1, 2, 4}  # cut off at the first row and column


def test_mixup_mixes_images_as_it_says_it_mixes_labels(images):
    x, (partner, weight) = jax.jit(augment.mixup(alpha=1.0))(KEY, images)
    assert sorted(np.asarray(partner)) == list(range(64))
    assert 0 < float(weight) < 1
    expected = float(weight) * images.astype(float) + (1 - float(weight)) * images[np.asarray(partner)]
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-3)


def test_a_chain_applies_each_in_order(images):
    both = augment.make_augment((("flip", ()), ("mixup", (("alpha", 0.5),))))
    x, (partner, weight) = both(KEY, images)
    flipped, _ = augment.flip()(jax.random.fold_in(KEY, 0), images)
    alone, mix = augment.mixup(alpha=0.5)(jax.random.fold_in(KEY, 1), flipped)
    np.testing.assert_array_equal(x, alone)
    np.testing.assert_array_equal(partner, mix[0])
    assert weight == mix[1]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ((("corp", ()),), "augment='corp'"),
        ((("crop", (("padding", 0),)),), "padding=0"),
        ((("crop", (("pading", 1),)),), "to suit augment 'crop'"),
        ((("cutout", (("size", 0),)),), "size=0"),
        ((("mixup", (("alpha", -1.0),)),), "alpha=-1"),
        ((("mixup", ()), ("flip", ())), "end in mixup"),
    ],
)
def test_bad_augmentations_are_refused(chosen, message):
    with pytest.raises(ValueError, match=message):
        augment.make_augment(chosen)
