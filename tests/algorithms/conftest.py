"""A tiny problem: 52 rows, of which 12 are forgotten, 24 retained, 8 validation and 8 belong to no subset."""

from typing import NamedTuple

import jax
import numpy as np
import pytest

from unlearnax import batching
from unlearnax.models import mlp
from unlearnax.types import InputSpec, Model, Request, TrainState

CLASSES = 3
CAPACITY = {"forget": 16, "retain": 40, "validation": 8}


class Tiny(NamedTuple):
    """model: plain.  normed: with BatchNorm.  rows: row numbers by subset, "none" for those in no subset."""

    model: Model
    normed: Model
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


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    rng = np.random.default_rng(0)
    order = rng.permutation(52)
    rows = dict(zip(("forget", "retain", "validation", "none"), np.split(order, (12, 36, 44)), strict=True))
    y = rng.integers(0, CLASSES, 52).astype(np.int32)
    x = (rng.normal(size=(52, 4)) + y[:, None]).astype(np.float32)
    inputs = InputSpec((4,), mean=1.0, std=1.5)
    plain, normed = (mlp(inputs, CLASSES, widths=(8,), batch_norm=norm) for norm in (False, True))
    return Tiny(plain, normed, rows, x, y)
