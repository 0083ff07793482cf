"""Kendall's τ-b on the page: its value as scipy has it, and how often its interval holds τ of the true numbers."""

import shutil

import numpy as np
import pytest
from scipy.stats import kendalltau

from unlearnax import claims
from unlearnax.report.page import asset

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra browser is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
N = 10  # algorithms


@pytest.fixture(scope="module")
def agreements():
    """A function of pairs of rankings, all of them judged by the page's own script."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        yield lambda pairs: tab.evaluate(
            f"(pairs) => {{ {asset('tau.js')}; return pairs.map((p) => agreement(...p)); }}", pairs
        )
        browser.close()


def ranking(values, errors=None):
    return {"values": list(map(float, values)), "errors": [None] * len(values) if errors is None else errors}


def exact(values):
    return ranking(values, [[0.0, 0.0]] * len(values))


def test_tau_is_scipys_also_with_ties(agreements):
    rng = np.random.default_rng(0)
    drawn = [(rng.integers(0, 6, N), rng.integers(0, 6, N)) for _ in range(50)]
    found = agreements([[ranking(a), ranking(b)] for a, b in drawn])
    np.testing.assert_allclose([f["tau"] for f in found], [kendalltau(a, b)[0] for a, b in drawn])
    assert all("low" not in f for f in found)  # no intervals, no interval
    for f, known in zip(found, agreements([[exact(a), exact(b)] for a, b in drawn]), strict=True):
        assert known["open"] == 0
        np.testing.assert_allclose([known["low"], known["high"]], f["tau"])


def test_the_interval_is_that_of_all_orders_of_the_open_pairs(agreements):
    first = ranking([1, 2, 3, 4], [[0.8, 0.8], [0.8, 0.8], [0, 0], [0, 0]])  # 1 and 2 are not told apart
    found, same = agreements([[first, exact([1, 2, 3, 4])], [first, exact([4, 3, 2, 1])]])
    assert (found["open"], found["tau"]) == (1, 1)
    assert (found["low"], found["high"]) == pytest.approx((4 / 6, 1))
    assert (same["low"], same["high"]) == pytest.approx((-1, -4 / 6))
    ends = ranking([1, 2], [[0.9, 0.3], [0.9, 0.3]])  # 1 reaches up by .3 and 2 down by .9: apart by hypot(.3, .9) < 1
    (found,) = agreements([[ends, exact([1, 2])]])
    assert found["open"] == 0


def test_claims_judge_by_the_same_interval(agreements):
    rng = np.random.default_rng(2)
    drawn = [(rng.integers(0, 6, (2, N)) + 0.0, rng.uniform(0, 1.5, (2, N, 2))) for _ in range(50)]
    pairs = [[ranking(*side) for side in zip(values, errors.tolist(), strict=True)] for values, errors in drawn]
    for (values, errors), found in zip(drawn, agreements(pairs), strict=True):
        sides = [
            {
                i: lambda runs, v=v, e=e: claims.Number(v, v - e[0], v + e[1])
                for i, (v, e) in enumerate(zip(*side, strict=True))
            }
            for side in zip(values, errors, strict=True)
        ]
        got = claims.rank_correlation(*sides)({})
        np.testing.assert_allclose(got, [found["tau"], found["low"], found["high"]], atol=1e-12)


@pytest.mark.parametrize("agree", [0.0, 0.9, 1.0, -1.0])
@pytest.mark.parametrize("noise", [0.02, 0.3, 1.0])
def test_coverage(agreements, agree, noise):
    rng = np.random.default_rng(1)
    pairs, taus = [], []
    for _ in range(200):
        a = rng.normal(size=N)
        b = agree * a + np.sqrt(1 - agree**2) * rng.normal(size=N)
        taus.append(kendalltau(a, b)[0])
        errors = [[1.96 * noise] * 2] * N
        pairs.append([ranking(x + noise * rng.normal(size=N), errors) for x in (a, b)])
    found = agreements(pairs)
    low, high = (np.array([f[end] for f in found]) for end in ("low", "high"))
    assert np.mean((low <= np.add(taus, 1e-9)) & (np.subtract(taus, 1e-9) <= high)) >= 0.95
    if noise == 0.02:  # and it is of use
        assert np.mean(high - low) < 0.2
