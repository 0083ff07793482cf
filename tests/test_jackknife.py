"""Leave-one-out values against recomputation from scratch."""

import numpy as np
import pytest

from unlearnax import jackknife
from unlearnax.metrics.energy import energy_from_distances


def distances(a, b):
    return np.abs(a[:, None] - b[None]).mean(-1)


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 4)), rng.normal(0.4, 1, size=(7, 4)), rng.normal(1.5, 1, size=(5, 4))


def estimate(p, q, names):
    pp, pq, qq = distances(p, p), distances(p, q), distances(q, q)
    noise = jackknife.embedding_noise(pp) + jackknife.embedding_noise(qq)
    (found,) = jackknife.energy_estimates(pp[None], pq[None], qq[None], *names, [noise])
    return found


def value(p, q):
    return float(energy_from_distances(distances(p, p), distances(p, q), distances(q, q)))


def test_leaving_one_out_equals_recomputation(sets):
    p, q, _ = sets
    found = estimate(p, q, ("p", "q")).energy
    assert found.value == pytest.approx(value(p, q))
    np.testing.assert_allclose(found.without["p"], [value(np.delete(p, i, 0), q) for i in range(6)])
    np.testing.assert_allclose(found.without["q"], [value(p, np.delete(q, i, 0)) for i in range(7)])


def test_ratio_leaves_out_jointly(sets):
    p, q, r = sets
    ratio = estimate(p, q, ("p", "q")).over(estimate(q, r, ("q", "r")).energy).energy
    expected = [value(p, np.delete(q, i, 0)) / value(np.delete(q, i, 0), r) for i in range(7)]
    np.testing.assert_allclose(ratio.without["q"], expected)
    assert set(ratio.without) == {"p", "q", "r"}


def test_standard_error_of_a_mean_is_the_textbook_one():
    x = np.random.default_rng(1).normal(size=20)
    found = jackknife.mean_estimate(x, "x")
    assert found.value == pytest.approx(x.mean())
    assert jackknife.standard_error(found) == pytest.approx(x.std(ddof=1) / np.sqrt(20))
    low, high = jackknife.interval(found)
    assert (low + high) / 2 == pytest.approx(x.mean())
    assert (high - low) / 2 == pytest.approx(2.093 * x.std(ddof=1) / np.sqrt(20), rel=1e-3)  # t(.975, 19)


def test_bias_completes_the_v_statistic(sets):
    p, q, _ = sets
    found = estimate(p, q, ("p", "q"))
    v = 2 * distances(p, q).mean() - distances(p, p).mean() - distances(q, q).mean()
    assert found.energy.value + found.bias.value == pytest.approx(v)


def test_noise_is_the_variance_of_a_mean_in_one_dimension():
    # Two points a distance 1 apart, in shares ½: the embedding varies along one direction with variance ½·½·‖φ‖².
    x = np.repeat([0.0, 1.0], 8)[:, None]
    d = distances(x, x)
    # ‖φ(0) − φ(1)‖² = 2·d = 2, variance ¼·2 with M−1 in place of M, of a mean of 16.
    assert jackknife.embedding_noise(d) == pytest.approx(0.5 * 16 / 15 / 16)


def test_interval_holds_the_estimate_and_shrinks_with_members():
    rng = np.random.default_rng(2)
    widths = []
    for members in (8, 32, 128):
        found = estimate(rng.normal(size=(members, 5)), rng.normal(1, 1, size=(members, 5)), ("p", "q"))
        low, high = jackknife.energy_interval(found)
        assert low <= found.energy.value <= high
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]


def test_too_few_members_are_said():
    with pytest.raises(ValueError, match="at least 3 members"):
        estimate(np.zeros((2, 3)), np.zeros((5, 3)), ("p", "q"))


def test_signed_root_keeps_the_sign():
    assert jackknife.signed_root(-0.04) == pytest.approx(-0.2)
    assert jackknife.signed_root(0.09) == pytest.approx(0.3)
