"""Energy distances against slow direct computations, and their properties."""

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
import scipy.special
from hypothesis.extra.numpy import arrays

from unlearnax.metrics import energy, margins
from unlearnax.metrics.energy import (
    energy_from_distances,
    p_values,
    pairwise,
    permuted_energies,
    random_splits,
    represent,
)

LIMIT = hypothesis.settings(max_examples=25, deadline=None)


def slow_energy(p, q, distance):
    """The definition, one pair at a time."""
    between = np.mean([distance(a, b) for a in p for b in q])
    within_p = np.mean([distance(a, b) for i, a in enumerate(p) for j, b in enumerate(p) if i != j])
    within_q = np.mean([distance(a, b) for i, a in enumerate(q) for j, b in enumerate(q) if i != j])
    return 2 * between - within_p - within_q


def slow_margin(z, y):
    others = np.delete(z.astype(np.float64), y)
    return z[y] - scipy.special.logsumexp(others)


@pytest.fixture
def logits():
    rng = np.random.default_rng(0)
    return rng.normal(size=(5, 7, 4)), rng.normal(0.5, 2, size=(6, 7, 4)), rng.integers(0, 4, 7)


def test_margins_equal_the_definition(logits):
    z, _, y = logits
    expected = [[slow_margin(z[m, n], y[n]) for n in range(7)] for m in range(5)]
    np.testing.assert_allclose(margins(z, y), expected, rtol=1e-5, atol=1e-5)


def test_margins_are_stable_for_large_logits():
    z = np.array([[1e4, 0.0, 0.0], [0.0, 1e4, 0.0]])
    np.testing.assert_allclose(margins(z, np.array([0, 0])), [1e4 - np.log(2), -1e4], rtol=1e-6)


def test_energy_equals_the_definition_in_both_forms(logits):
    p, q, y = logits
    as_margins = [np.array([[slow_margin(m[n], y[n]) for n in range(7)] for m in each]) for each in (p, q)]
    expected = slow_energy(*as_margins, lambda a, b: np.abs(a - b).mean())
    assert energy(p, q, labels=y) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert energy(*as_margins) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    outputs = [scipy.special.softmax(each, -1) for each in (p, q)]
    expected = slow_energy(*outputs, lambda a, b: (np.abs(a - b).sum(-1) / 2).mean())
    assert energy(p, q, form="output") == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_margins_are_clipped_at_15():
    far, farther = np.full((3, 2), 20.0), np.full((4, 2), 90.0)
    assert energy(far, farther) == 0


def test_energy_is_unbiased_at_equality():
    rng = np.random.default_rng(1)
    found = [energy(rng.normal(size=(8, 5)), rng.normal(size=(8, 5))) for _ in range(400)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
    assert min(found) < 0  # the sign is kept


@LIMIT
@hypothesis.given(
    arrays(np.float32, (4, 3), elements=st.floats(-20, 20, width=32)),
    arrays(np.float32, (5, 3), elements=st.floats(-20, 20, width=32)),
    st.randoms(use_true_random=False),
)
def test_energy_is_symmetric_and_ignores_order(p, q, random):
    value = energy(p, q)
    assert energy(q, p) == pytest.approx(value, abs=1e-4)
    members, examples = random.sample(range(4), 4), random.sample(range(3), 3)
    assert energy(p[members][:, examples], q[:, examples]) == pytest.approx(value, abs=1e-4)


@LIMIT
@hypothesis.given(arrays(np.float32, (4, 3, 3), elements=st.floats(-30, 30, width=32)))
def test_output_form_is_bounded(p):
    assert -1e-5 <= energy(p, p[::-1], form="output") + 1 <= 3
    a = np.asarray(represent(p, np.zeros(3, int), "output"))
    distances = np.asarray(pairwise(a, a, np.full((1, 3), 1 / 3, np.float32)))
    assert distances.min() >= 0
    assert distances.max() <= 1 + 1e-5
    np.testing.assert_allclose(np.diagonal(distances[0]), 0, atol=1e-7)


def test_slices_are_weighted_means(logits):
    p, q, y = logits
    a, b = (np.asarray(represent(m, y, "margin")) for m in (p, q))
    weights = np.array([[1 / 7] * 7, [0.5, 0.5, 0, 0, 0, 0, 0]], np.float32)
    found = np.asarray(pairwise(a, b, weights))
    each = np.abs(a[:, None] - b[None])[..., 0]
    np.testing.assert_allclose(found[0], each.mean(-1), rtol=1e-5)
    np.testing.assert_allclose(found[1], each[..., :2].mean(-1), rtol=1e-5)


def test_bad_shapes_and_forms_are_named(logits):
    p, q, _ = logits
    with pytest.raises(ValueError, match="form='margin'"):
        energy(p, q)
    with pytest.raises(ValueError, match="Expected form='outputs' to be one of"):
        energy(p, q, form="outputs")
    with pytest.raises(ValueError, match="at least 2 members"):
        energy(np.zeros((1, 3)), np.zeros((4, 3)))


def test_permutations_equal_explicit_splits():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(9, 4))
    d = np.abs(x[:, None] - x[None]).mean(-1).astype(np.float32)
    for p, q in ((4, 5), (3, 4)):
        in_p, in_q = random_splits(jax.random.key(0), p=p, q=q, pooled=9, count=50)
        found = np.asarray(permuted_energies(d[None], in_p, in_q))[0]
        assert len(np.unique(in_p, axis=0)) > 25
        for value, one_p, one_q in zip(found, in_p, in_q, strict=True):
            first, second = np.flatnonzero(one_p), np.flatnonzero(one_q)
            assert (len(first), len(second), len(np.intersect1d(first, second))) == (p, q, 0)
            parts = d[np.ix_(first, first)], d[np.ix_(first, second)], d[np.ix_(second, second)]
            assert value == pytest.approx(float(energy_from_distances(*parts)), abs=1e-5)


def test_p_value_counts_the_observed_and_ties():
    null = np.array([[0.0, 1.0, 2.0, 3.0]])
    assert p_values(np.array([2.0]), null) == pytest.approx(3 / 5)
    assert p_values(np.array([9.0]), null) == pytest.approx(1 / 5)
