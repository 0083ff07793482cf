"""Influence and Newton steps against systems that are formed and solved, and the solver itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from unlearnax import batching
from unlearnax.algorithms import _curvature, influence, newton

KEY = jax.random.key(0)
SOLVER = {"iterations": 300, "tolerance": 1e-7}


@pytest.fixture
def problem(tiny, direct):
    """State, flat weights with their inverse, rows of S and of R."""
    state = tiny.state()
    return state, *ravel_pytree(state.params), tiny.rows["forget"], tiny.rows["retain"]


def gradients(tiny, direct, flat, unravel, rows):
    """One gradient of ℓ for each row, `[n, P]` float64."""
    each = jax.jacobian(lambda w: direct.nll(unravel(w), tiny.x[rows], tiny.y[rows]))(flat)
    return np.asarray(each, np.float64)


def gauss_newton(tiny, direct, flat, unravel, rows):
    """Σ Jᵀ (diag p − p pᵀ) J, `[P, P]` float64."""
    logits = lambda w: direct.logits(unravel(w), tiny.x[rows])  # noqa: E731
    jacobian, p = (np.asarray(a, np.float64) for a in (jax.jacobian(logits)(flat), jnp.exp(direct.log_p(logits(flat)))))
    return sum(j.T @ (np.diag(q) - np.outer(q, q)) @ j for j, q in zip(jacobian, p, strict=True))


@pytest.mark.parametrize("curvature", ["retain", "all"])
def test_influence_solves_the_damped_gauss_newton_system(curvature, problem, tiny, direct):
    state, flat, unravel, s, r = problem
    matrix = gauss_newton(tiny, direct, flat, unravel, r if curvature == "retain" else np.concatenate([s, r]))
    v = gradients(tiny, direct, flat, unravel, s).sum(0) / 36
    expected = 0.6 * np.linalg.solve(matrix / 36 + 0.02 * np.eye(flat.size), v)
    make = influence(tiny.model, scale=0.6, damping=0.02, curvature=curvature, batch_size=7, **SOLVER)
    out, _ = jax.jit(make)(KEY, state, tiny.request())
    direct.close(out.params, unravel(flat + expected), rtol=2e-3, atol=2e-4)
    assert np.abs(expected).max() > 0.05


def test_influence_raises_the_loss_of_the_forget_set(problem, tiny, direct):
    state, *_, s, _ = problem
    out, _ = influence(tiny.model, scale=0.1, damping=0.1)(KEY, state, tiny.request())
    before, after = (direct.nll(params, tiny.x[s], tiny.y[s]).mean() for params in (state.params, out.params))
    assert after > before


def outside(direction, *span):
    """Share of a direction's length that no combination of these vectors reaches."""
    basis = np.stack(span, 1)
    return np.linalg.norm(direction - basis @ np.linalg.lstsq(basis, direction, rcond=None)[0]) / np.linalg.norm(
        direction
    )


def test_influence_direction_leaves_the_span_of_the_gradient(problem, tiny, direct):
    """A widely copied "WoodFisher" recursion keeps its second vector parallel to the first gradient, so that its product
    never leaves the plane of that gradient and v: no inverse curvature at all.
    """
    state, flat, unravel, s, r = problem
    v = gradients(tiny, direct, flat, unravel, s).sum(0) / 36
    retained = gradients(tiny, direct, flat, unravel, r)
    product, o = v.copy(), retained[0].copy()
    for g in retained[1:]:
        product -= product @ g / (1 + o @ g) * o
        o -= o @ g / (1 + o @ g) * o
    assert outside(product, v, retained[0]) < 1e-6

    out, _ = influence(tiny.model, damping=0.01, **SOLVER)(KEY, state, tiny.request())
    step = np.asarray(ravel_pytree(out.params)[0] - flat)
    assert outside(step, v) > 0.3
    assert outside(step, v, retained[0]) > 0.3


def test_newton_repeats_the_exact_damped_step(problem, tiny, direct):
    state, flat, unravel, _, r = problem

    def objective(w):
        return direct.nll(unravel(w), tiny.x[r], tiny.y[r]).mean() + 0.05 * jnp.square(w).sum()

    hessian, gradient, expected = jax.jit(jax.hessian(objective)), jax.grad(objective), flat
    for _ in range(2):
        matrix = np.asarray(hessian(expected), np.float64) + 0.9 * np.eye(flat.size)
        last, expected = expected, expected - jnp.asarray(np.linalg.solve(matrix, gradient(expected)))
    make = newton(tiny.model, damping=0.9, weight_decay=0.1, steps=2, batch_size=7, **SOLVER)
    out, info = jax.jit(make)(KEY, state, tiny.request())
    direct.close(out.params, unravel(expected))
    np.testing.assert_allclose(info.loss, objective(last), rtol=1e-4)


@pytest.mark.parametrize("length", [1, 4, 9, 12])
def test_total_counts_every_row_once(length):
    rows = batching.subset(np.arange(100, 100 + length), 16)
    out = jax.jit(lambda rows: _curvature.total(jnp.zeros(()), rows, lambda r, w: (r * w).sum(), 4))(rows)
    assert out == np.arange(100, 100 + length).sum()
