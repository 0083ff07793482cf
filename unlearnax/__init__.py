"""unlearnax: is an algorithm untraining, unlearning, or neither, measured against populations of retrained models.

Submodules: `data`, `problems`, `models`, `recipes`, `populations`, `oracles`, `unlearning`, `algorithms`, `metrics`,
`scoring`, `experiment`, `results`, `report`.  Names below load on first use, so that `unlearnax.set_up()` can run before
JAX does.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "set_up": "devices",
    "Recipe": "recipes",
    "fit": "populations",
    "predict": "populations",
    "Population": "populations",
    "make_train": "training",
    "unlearn": "unlearning",
    "make_request": "unlearning",
    "score": "scoring",
    "OracleLogits": "scoring",
    "CandidateLogits": "scoring",
    "problem_layout": "evaluation",
    "make_layout": "evaluation",
    "verify_oracle": "taint",
    "Experiment": "experiment",
    "run": "experiment",
    "Store": "store",
    "Algorithm": "types",
    "Oracle": "types",
    "Exclusion": "types",
    "Problem": "types",
    "World": "types",
}

__all__ = list(_PUBLIC)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'unlearnax' has no attribute {name!r}")
    return getattr(importlib.import_module(f"unlearnax.{_PUBLIC[name]}"), name)
