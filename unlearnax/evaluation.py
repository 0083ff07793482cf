"""What is scored: the examples of all slices side by side, and logits of populations on them."""

from __future__ import annotations

import dataclasses

import numpy as np

from unlearnax.types import Array, Problem

POOLED = "concept"  # all concept slices together, each example once: the compass's coordinate


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """Scored examples, slice by slice.

    rows: `[N]` columns of the logits each scored example is read from (an example scored on two labels stands twice).
    labels: `[N]`.  slices: name -> positions in `rows`; includes "concept", all concept slices pooled.
    damage: names of the slices that should stay as they are.
    """

    rows: np.ndarray
    labels: np.ndarray
    slices: dict[str, np.ndarray]
    damage: tuple[str, ...]

    @property
    def weights(self) -> np.ndarray:
        """`[S, N]` float32, a slice a row, each a mean over its examples."""
        weights = np.zeros((len(self.slices), len(self.rows)), np.float32)
        for row, positions in zip(weights, self.slices.values(), strict=True):
            row[positions] = 1 / len(positions)
        return weights


def make_layout(slices: dict[str, tuple[np.ndarray, np.ndarray, str]]) -> Layout:
    """Lays slices out from name -> (logit columns `[n]`, labels `[n]`, "concept" or "damage").

    Raises:
        ValueError: an empty slice, no concept slice, or a slice named like the pool.
    """
    start, positions, pool, damage = 0, {}, [], []
    for name, (columns, labels, about) in slices.items():
        if len(columns) == 0 or len(columns) != len(labels) or name == POOLED:
            raise ValueError(
                f"Expected slice {name!r} with {len(columns)} examples and {len(labels)} labels to be non-empty, of one "
                f"length, and not named {POOLED!r}."
            )
        positions[name] = np.arange(start, start + len(columns))
        (damage if about == "damage" else pool).append(name)
        start += len(columns)
    if not pool:
        raise ValueError(f"Expected at least one slice about the concept, got {list(slices)}.")
    pooled = np.concatenate([positions[name] for name in pool])
    rows = np.concatenate([np.asarray(columns, np.int64) for columns, _, _ in slices.values()])
    labels = np.concatenate([np.asarray(labels, np.int64) for _, labels, _ in slices.values()])
    return Layout(rows, labels, {POOLED: pooled} | positions, tuple(damage))


def problem_layout(problem: Problem) -> tuple[Layout, np.ndarray]:
    """The layout of a problem's slices and the raw inputs `[U, ...]`, each once, that logits are needed on."""
    sources = {"train": problem.train.x, "test": problem.test.x}
    offset = {"train": 0, "test": len(problem.train.x)}
    wanted = np.unique(np.concatenate([s.index + offset[s.split] for s in problem.slices.values()]))
    from_train = wanted[wanted < offset["test"]]
    from_test = wanted[wanted >= offset["test"]] - offset["test"]
    x = np.concatenate([sources["train"][from_train], sources["test"][from_test]])
    columns = {
        name: (np.searchsorted(wanted, s.index + offset[s.split]), s.labels, s.about)
        for name, s in problem.slices.items()
    }
    return make_layout(columns), x


def accuracies(logits: Array, layout: Layout) -> dict[str, np.ndarray]:
    """Share of right predictions per member and slice: name -> `[M]`; ties go to the lowest class, NaN counts as wrong."""
    logits = np.asarray(logits)[:, layout.rows]
    right = (logits.argmax(-1) == layout.labels) & np.isfinite(logits).all(-1)
    return {name: right[:, positions].mean(1) for name, positions in layout.slices.items()}
