"""Coverage of intervals and uniformity of null p-values, by simulation.

Members are vectors of N = 20 margins with a common member effect (correlation rho between examples) and unit variance;
candidates are shifted by delta.  The true energy per example is then known in closed form.
"""

import jax
import numpy as np
import pytest
import scipy.stats

from unlearnax import jackknife
from unlearnax.metrics.energy import p_values, pairwise, permuted_energies, random_splits

EXAMPLES = 20
WEIGHTS = np.full((1, EXAMPLES), 1 / EXAMPLES, np.float32)
APART = 2.0  # shift between the two oracles that make the scale


def mean_distance(shift):
    """E|X − Y| for unit normals shifted by `shift`."""
    root = np.sqrt(2)
    return root * np.sqrt(2 / np.pi) * np.exp(-(shift**2) / 4) + shift * (1 - 2 * scipy.stats.norm.cdf(-shift / root))


def true_energy(shift):
    return 2 * mean_distance(shift) - 2 * mean_distance(0.0)


def draw(rng, members, shift, rho):
    common = rng.standard_normal((members, 1))
    own = rng.standard_normal((members, EXAMPLES))
    return (shift + np.sqrt(rho) * common + np.sqrt(1 - rho) * own).astype(np.float32)[..., None]


def distances(a, b):
    return np.asarray(pairwise(a, b, WEIGHTS))[0]


def estimate(p, q, names):
    pp, qq = distances(p, p), distances(q, q)
    noise = jackknife.embedding_noise(pp) + jackknife.embedding_noise(qq)
    (found,) = jackknife.energy_estimates(pp[None], distances(p, q)[None], qq[None], *names, [noise])
    return found


def coverage(members, shift, rho, repeats, seed=0):
    """Share of repeats in which the interval of the scaled distance holds the truth, and misses (below, above)."""
    rng = np.random.default_rng([seed, members, int(1000 * shift), int(1000 * rho)])
    truth = true_energy(shift) / true_energy(APART)
    low, high = np.empty((2, repeats))
    for i in range(repeats):
        c, u, l = draw(rng, members, shift, rho), draw(rng, members, 0.0, rho), draw(rng, members, APART, rho)
        scaled = estimate(c, u, ("c", "u")).over(estimate(u, l, ("u", "l")).energy)
        low[i], high[i] = jackknife.energy_interval(scaled)
    return np.mean((low <= truth) & (truth <= high)), np.mean(truth < low), np.mean(truth > high)


def null_p_values(members, rho, repeats, count=499):
    rng = np.random.default_rng([1, members, int(1000 * rho)])
    found = np.empty(repeats)
    for i in range(repeats):
        both = np.concatenate([draw(rng, members, 0.0, rho), draw(rng, members, 0.0, rho)])
        d = distances(both, both)
        p, q = slice(None, members), slice(members, None)
        observed = 2 * d[p, q].mean() - (d[p, p].sum() + d[q, q].sum()) / (members * (members - 1))
        splits = random_splits(jax.random.key(i), p=members, q=members, pooled=2 * members, count=count)
        null = permuted_energies(d[None], *splits)
        found[i] = p_values(np.array([observed]), null)[0]
    return found


def test_intervals_cover_a_real_difference_short():
    covered, _, above = coverage(32, 1.0, 0.5, repeats=150)
    assert 0.88 <= covered <= 1.0
    assert above <= 0.08


def test_null_p_values_are_uniform_short():
    found = null_p_values(16, 0.5, repeats=150, count=199)
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("members", "shift"), [(24, 1.0), (24, 3.0), (64, 0.5), (64, 1.0), (64, 3.0)])
def test_intervals_cover_a_real_difference(members, shift, rho):
    covered, below, above = coverage(members, shift, rho, repeats=2000)
    print(f"M={members} shift={shift} rho={rho}: coverage {covered:.3f}, truth below {below:.3f}, above {above:.3f}")
    assert 0.92 <= covered <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(
    ("members", "shift"), [(24, 0.0), (24, 0.2), (24, 0.5), (64, 0.0), (64, 0.1), (64, 0.2), (64, 0.3)]
)
def test_intervals_are_conservative_near_equality(members, shift, rho):
    """What equivalence rests on: a small true distance is hardly ever above the interval."""
    covered, below, above = coverage(members, shift, rho, repeats=2000)
    print(f"M={members} shift={shift} rho={rho}: coverage {covered:.3f}, truth below {below:.3f}, above {above:.3f}")
    assert covered >= 0.92
    assert above <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.5])
@pytest.mark.parametrize("members", [8, 64])
def test_null_p_values_are_uniform(members, rho):
    found = null_p_values(members, rho, repeats=2000)
    print(f"M={members} rho={rho}: share below .05 is {np.mean(found <= 0.05):.3f}")
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.001
    assert 0.035 <= np.mean(found <= 0.05) <= 0.065
