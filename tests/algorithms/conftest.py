"""A tiny problem: 52 rows, of which 12 are forgotten, 24 retained, 8 validation and 8 belong to no subset."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax import batching
from unlearnax.models import cnn, mlp
from unlearnax.types import InputSpec, Model, Request, TrainState

CLASSES = 3
CAPACITY = {"forget": 16, "retain": 40, "validation": 8}


class Tiny(NamedTuple):
    """model: plain.  normed: with BatchNorm.  conv, conv_normed: the same with convolutions, on rows as 2 × 2 images.

    rows: row numbers by subset, "none" for those in no subset.
    """

    model: Model
    normed: Model
    conv: Model
    conv_normed: Model
    rows: dict[str, np.ndarray]
    x: np.ndarray
    y: np.ndarray

    def state(self, model: Model | None = None, seed: int = 1) -> TrainState:
        params, model_state = (model or self.model).init(jax.random.key(seed))
        return TrainState(params, model_state, (), np.asarray(7, np.int32))

    def request(self, x=None, y=None, **rows) -> Request:
        """The problem with other inputs, labels or rows of a subset; the capacities never change."""
        subsets = {name: batching.subset(rows.get(name, self.rows[name]), CAPACITY[name]) for name in CAPACITY}
        return Request(self.x if x is None else x, self.y if y is None else y, **subsets)


def on_rows(model: Model) -> Model:
    """A model of 2 × 2 images on rows of 4 numbers."""
    return dataclasses.replace(
        model,
        apply=lambda params, state, x, **given: model.apply(params, state, x.reshape(-1, 2, 2, 1), **given),
        features=lambda params, state, x: model.features(params, state, x.reshape(-1, 2, 2, 1)),
    )


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    rng = np.random.default_rng(0)
    order = rng.permutation(52)
    rows = dict(zip(("forget", "retain", "validation", "none"), np.split(order, (12, 36, 44)), strict=True))
    y = rng.integers(0, CLASSES, 52).astype(np.int32)
    x = (rng.normal(size=(52, 4)) + y[:, None]).astype(np.float32)
    inputs = InputSpec((4,), mean=1.0, std=1.5)
    plain, normed = (mlp(inputs, CLASSES, widths=(8,), batch_norm=norm) for norm in (False, True))
    images = dataclasses.replace(inputs, shape=(2, 2, 1))
    conv, conv_normed = (on_rows(cnn(images, CLASSES, widths=(6, 6), batch_norm=norm)) for norm in (False, True))
    return Tiny(plain, normed, conv, conv_normed, rows, x, y)


class Direct:
    """The same network and optimisers written out, without batches, loops under jit or optax."""

    @staticmethod
    def logits(params, x):
        hidden = (x - 1.0) / 1.5 @ params["dense0"]["kernel"] + params["dense0"]["bias"]
        return jnp.maximum(hidden, 0) @ params["head"]["kernel"] + params["head"]["bias"]

    @staticmethod
    def log_p(logits, temperature=1.0):
        return jnp.log(jnp.exp(logits / temperature) / jnp.exp(logits / temperature).sum(-1, keepdims=True))

    @classmethod
    def nll(cls, params, x, y):
        return -cls.log_p(cls.logits(params, x))[np.arange(len(y)), y]

    @classmethod
    def kl(cls, p, q, temperature=1.0):
        """KL(p ‖ q) of each row of logits."""
        p, q = cls.log_p(p, temperature), cls.log_p(q, temperature)
        return (jnp.exp(p) * (p - q)).sum(-1)

    @staticmethod
    def sgd(params, objectives, *, learning_rate, momentum=0.0, weight_decay=0.0):
        """One step for each objective(params), with the decay added to the gradient."""
        buffer = jax.tree.map(jnp.zeros_like, params)
        slopes = {objective: jax.jit(jax.grad(objective)) for objective in set(objectives)}
        for objective in objectives:
            grads = slopes[objective](params)
            buffer = jax.tree.map(lambda b, g, p: momentum * b + g + weight_decay * p, buffer, grads, params)
            params = jax.tree.map(lambda p, b: p - learning_rate * b, params, buffer)
        return params

    @staticmethod
    def adam(params, objectives, *, learning_rate):
        first = second = jax.tree.map(jnp.zeros_like, params)
        slopes = {objective: jax.jit(jax.grad(objective)) for objective in set(objectives)}
        for t, objective in enumerate(objectives, 1):
            grads = slopes[objective](params)
            first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
            second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, grads)
            params = jax.tree.map(
                lambda p, m, v, t=t: p - learning_rate * m / (1 - 0.9**t) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8),
                params, first, second,
            )  # fmt: skip
        return params

    @staticmethod
    def close(a, b, rtol=1e-3, atol=2e-5):
        jax.tree.map(lambda p, q: np.testing.assert_allclose(p, q, rtol=rtol, atol=atol), a, b)

    @staticmethod
    def differ(a, b, by=1e-3):
        return max(float(jnp.abs(p - q).max()) for p, q in zip(*map(jax.tree.leaves, (a, b)), strict=True)) > by


@pytest.fixture(scope="session")
def direct() -> type[Direct]:
    return Direct
