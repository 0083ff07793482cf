"""Pieces that the algorithms with a proof share: each needs members trained under its rule.

The promises as numbers are in `unlearnax.certificates`.  Softmax regression, `mlp(widths=())`, is covered by the proofs;
on networks with hidden layers the same steps run and nothing is guaranteed.
"""

from __future__ import annotations

from typing import Any

from unlearnax.recipes import Recipe
from unlearnax.training.full_batch import mean_loss
from unlearnax.types import Model, Request, TrainState


def rule_values(rule: Any, recipe: Recipe) -> dict[str, Any]:
    """The arguments of a training rule, with its defaults where the recipe gives none."""
    return dict(rule.__kwdefaults__) | dict(recipe.rule_args)


def retained_loss(model: Model, state: TrainState, request: Request, batch_size: int):
    """``params -> ((1/|R|) Σ_R ℓ_i, its gradient)``."""
    return mean_loss(model, state, request.x, request.y, request.retain, batch_size)
