"""A small softmax regression for the methods with a proof, and its minima by Newton in float64."""

import jax
import numpy as np

from unlearnax import certificates, models
from unlearnax.algorithms import ALGORITHMS
from unlearnax.batching import subset
from unlearnax.training import make_train, under_rule
from unlearnax.types import InputSpec, Request, World

INPUTS = InputSpec((4,), mean=0.5, std=2.0)

DECAY = 0.1

ROWS = 120


def data(classes):
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, ROWS).astype(np.int32)
    return (rng.normal(size=(ROWS, 4)) + y[:, None]).astype(np.float32), y


def minimum(design, y, classes, tilt=0.0):
    """Weights `[H + 1, C]` where Σ ℓ_i / n + m/2 ‖θ‖² + tilt·θ / n has no gradient, by Newton's method in float64."""
    weights, count = np.zeros((design.shape[1], classes)), len(design)
    for _ in range(50):
        logits = design @ weights
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        gradient = design.T @ (p - np.eye(classes)[y]) / count + DECAY * weights + tilt / count
        curve = (np.eye(classes) * p[:, :, None] - p[:, :, None] * p[:, None, :]) / count
        hessian = np.einsum("nh,nk,ncd->hckd", design, design, curve).reshape(weights.size, -1)
        weights = weights - np.linalg.solve(hessian + DECAY * np.eye(weights.size), gradient.ravel()).reshape(
            weights.shape
        )
    assert np.abs(gradient).max() < 1e-12
    return weights


def trained(recipe, classes, key=0):
    x, y = data(classes)
    model = under_rule(recipe, models.mlp(INPUTS, classes, widths=()))
    state, _ = jax.jit(make_train(recipe, model))(jax.random.key(key), World(x, y, np.arange(ROWS)))
    return model, state, x, y


def removed(name, recipe, model, state, x, y, forgotten, **hyperparameters):
    rows = np.arange(ROWS)
    request = Request(x, y, subset(rows[:forgotten], 20), subset(rows[forgotten:], ROWS), subset(np.zeros(0, int), 1))
    return jax.jit(ALGORITHMS[name].make(model, recipe=recipe, **hyperparameters))(jax.random.key(7), state, request)


def constants(x):
    return certificates.softmax_constants(x, INPUTS, strong_convexity=DECAY)
