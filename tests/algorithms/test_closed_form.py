"""Leaving rows out where the answer is known: ridge regression in one step, logistic regression in a few."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from unlearnax.algorithms import _curvature, influence, newton
from unlearnax.algorithms.certified_removal import removal_step
from unlearnax.batching import subset
from unlearnax.certificates import Constants, descent_distance
from unlearnax.models import from_functions
from unlearnax.training.full_batch import descent_step
from unlearnax.types import InputSpec, TrainState

KEY = jax.random.key(0)
SOLVER = {"iterations": 200, "tolerance": 1e-7}


@pytest.fixture(scope="module")
def ridge():
    """x `[60, 6]`, y `[60]`; the solutions of mean (x·w − y)²/2 + λ/2 ‖w‖² over all rows and over the first 40."""
    rng = np.random.default_rng(0)
    x, decay = rng.normal(size=(60, 6)) * np.linspace(0.5, 2, 6), 0.1
    y = x @ rng.normal(size=6) + rng.normal(size=60) + 2 * (np.arange(60) >= 40)

    def solution(n):
        return np.linalg.solve(x[:n].T @ x[:n] / n + decay * np.eye(6), x[:n].T @ y[:n] / n)

    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), decay, solution(60), solution(40)


def ridge_direction(ridge, damping):
    """Newton's direction on R, the first 40 rows, from the solution over all."""
    x, y, decay, original, _ = ridge

    def loss(w, rows):
        return jnp.square(x[rows] @ w - y[rows]).sum() / 2

    def mean(zero, value):
        return jax.tree.map(lambda total: total / 40, value(np.arange(40)))

    start = jnp.asarray(original, jnp.float32)
    given = {"weight_decay": decay, "damping": damping} | SOLVER
    return _curvature.newton_direction(loss, start, mean, **given)[0]


def test_undamped_newton_with_the_hessian_of_the_retained_is_exact_on_ridge(ridge):
    *_, original, without = ridge
    assert np.abs(without - original).max() > 0.1
    np.testing.assert_allclose(original + ridge_direction(ridge, 0.0), without, atol=2e-5)


def test_damping_and_the_hessian_of_all_rows_are_not_exact_on_ridge(ridge):
    x, y, decay, original, without = ridge
    damped = original + ridge_direction(ridge, 0.5)
    residual = x[:40] @ jnp.asarray(original, jnp.float32) - y[:40]
    gradient = x[:40].T @ residual / 40 + decay * original
    all_rows = original - np.linalg.solve(x.T @ x / 60 + decay * np.eye(6), gradient)
    for other in (damped, all_rows):
        assert 0.01 < np.abs(other - without).max() < np.abs(original - without).max()


def test_certified_removal_is_exact_on_ridge(ridge):
    """The loss has no third derivative, so that the bound on what is left is 0; in batches that divide neither set."""
    x, y, decay, original, without = ridge

    def loss(w, rows, weights):
        return (weights * jnp.square(x[rows] @ w - y[rows])).sum() / 2

    step, _ = removal_step(
        loss, jnp.asarray(original, jnp.float32), subset(np.arange(40, 60), 30), subset(np.arange(40), 60),
        strong_convexity=decay, batch_size=7, **SOLVER,
    )  # fmt: skip
    np.testing.assert_allclose(original + step, without, atol=2e-5)


@pytest.mark.parametrize("steps", [1, 5, 40])
def test_descent_to_delete_ends_within_its_bound_on_ridge(steps, ridge):
    """L is the largest gradient of one example at the minimum over D, where alone the proof asks for it."""
    x, y, decay, original, without = ridge
    features, targets = np.asarray(x, np.float64), np.asarray(y, np.float64)
    slopes = (features @ original - targets)[:, None] * features
    smoothness = max(np.linalg.eigvalsh(features[:n].T @ features[:n] / n)[-1] for n in (40, 60)) + decay
    constants = Constants(np.linalg.norm(slopes, axis=1).max(), smoothness, decay)

    def slope(w):
        return jnp.square(x[:40] @ w - y[:40]).mean() / 2, x[:40].T @ (x[:40] @ w - y[:40]) / 40

    w = jnp.asarray(original, jnp.float32)
    for _ in range(steps):
        w, _ = descent_step(w, slope, 2 / (smoothness + decay), decay)
    away, moved = (np.linalg.norm(each - without) for each in (w, original))
    gamma = (smoothness - decay) / (smoothness + decay)
    assert away <= gamma**steps * moved + 1e-5
    assert away <= descent_distance(0.0, forgotten=20, examples=60, steps=steps, constants=constants) + 1e-5
    left = np.eye(6) - 2 / (smoothness + decay) * (features[:40].T @ features[:40] / 40 + decay * np.eye(6))
    expected = without + np.linalg.matrix_power(left, steps) @ (original - without)
    np.testing.assert_allclose(w, expected, atol=2e-5)


@pytest.fixture(scope="module")
def logistic(tiny):
    """A linear classifier, its minimum over D as a state, its minimum over R as flat weights, both of (1/n) Σ ℓ + w/2 ‖θ‖²
    with n = |D|, found by many Newton steps in float64.
    """
    inputs, decay = InputSpec((4,), mean=1.0, std=1.5), 0.05

    def init(key):
        return {"head": {"kernel": jnp.zeros((4, 3)), "bias": jnp.zeros(3)}}, {}

    def apply(params, model_state, x, *, train, key):
        return x @ params["head"]["kernel"] + params["head"]["bias"], model_state

    model = from_functions("linear", init, apply, inputs, 3)
    params, _ = model.init(KEY)
    _, unravel = ravel_pytree(params)

    def minimum(rows):
        x = (np.asarray(tiny.x[rows], np.float64) - 1) / 1.5
        features = np.concatenate([np.ones((len(x), 1)), x], 1)  # ravel_pytree puts the bias first
        w = np.zeros((5, 3))
        for _ in range(50):
            z = features @ w
            p = np.exp(z - z.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            gradient = features.T @ (p - np.eye(3)[tiny.y[rows]]) / 36 + decay * w
            blocks = np.einsum("na,nb,nkl->akbl", features, features, [np.diag(q) - np.outer(q, q) for q in p])
            w -= np.linalg.solve(blocks.reshape(15, 15) / 36 + decay * np.eye(15), gradient.ravel()).reshape(5, 3)
        assert np.abs(gradient).max() < 1e-12
        return w.ravel()

    s, r = tiny.rows["forget"], tiny.rows["retain"]
    original = unravel(jnp.asarray(minimum(np.concatenate([s, r])), jnp.float32))
    return model, TrainState(original, {}, (), np.zeros((), np.int32)), minimum(r), decay


def error(logistic, tiny, algorithm, **given):
    """Largest distance to the minimum over R, as a share of the original's."""
    model, state, without, _ = logistic
    out, _ = jax.jit(algorithm(model, **SOLVER | given))(KEY, state, tiny.request())
    distance = [np.abs(ravel_pytree(params)[0] - without).max() for params in (out.params, state.params)]
    assert distance[1] > 0.1
    return distance[0] / distance[1]


def test_repeated_newton_steps_approach_the_exact_solution_on_logistic_regression(logistic, tiny):
    decay = logistic[-1] * 36 / 24  # newton's loss is a mean over R
    errors = [error(logistic, tiny, newton, damping=0.0, weight_decay=decay, steps=k) for k in (1, 2, 4)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 1e-4
    assert error(logistic, tiny, newton, damping=0.5, weight_decay=decay, steps=4) > 100 * errors[2]


def test_influence_is_the_first_newton_step_and_no_more(logistic, tiny):
    """At a minimum over D the sums of gradients over S and over R, with the decay, cancel."""
    decay = logistic[-1]
    once = error(logistic, tiny, newton, damping=0.0, weight_decay=decay * 36 / 24)
    exact = error(logistic, tiny, influence, damping=decay)
    np.testing.assert_allclose(exact, once, rtol=1e-3)
    assert 1 > error(logistic, tiny, influence, damping=decay, curvature="all") > 1.5 * exact
    assert 1 > error(logistic, tiny, influence, damping=decay + 0.1) > 1.5 * exact
