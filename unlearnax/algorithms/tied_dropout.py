"""Channels dropped that training tied to examples."""

from __future__ import annotations

import jax.numpy as jnp

from unlearnax import checks
from unlearnax.algorithms import _common
from unlearnax.recipes import Recipe
from unlearnax.training.tied_dropout import Channels, head_width, scale_features
from unlearnax.types import Algorithm, Info, Model, UnlearnFn


def etd(model: Model, *, recipe: Recipe, drop: str = "all") -> UnlearnFn:
    """Example-tied dropout: the memory channels' rows of the last layer's kernel are set to 0.

    What single examples left in their own channels is gone, and so is what all the others left in theirs: nothing is read.
    What S shares with other examples stays in the generalising channels, as the paper wants it.  There the channels are
    dropped after every block of the network, here before the last layer, where the training rule tied them.

    Args:
        drop: "all" memory channels, the generalising ones as they are; "rescaled" multiplies those by
            (p_gen + p_mem) / p_gen, as the released layer's "drop" mode does; "forgotten" drops only the channels that an
            example of S owns (ours), which needs the row numbers of S but none of its data.  With many examples in S, or a
            large p_mem, these are all channels.

    Raises:
        ValueError: another `drop`.

    Source: Maini et al., "Can neural network memorization be localized?", ICML 2023, arXiv 2307.09542; as a baseline
    of unlearning in Schoepf et al., ICLR 2026, arXiv 2505.17730.
    """
    checks.one_of("drop", drop, ("all", "rescaled", "forgotten"))
    channels, width = Channels(**dict(recipe.rule_args)), head_width(model)
    kept = (channels.p_gen + channels.p_mem) / channels.p_gen if drop == "rescaled" else 1.0

    def unlearn(key, state, request):
        dropped = channels.memory(width)
        if drop == "forgotten":
            rows = request.forget
            owned = channels.seen(state.log, rows.index, width)
            dropped &= (owned & (jnp.arange(len(rows.index)) < rows.length)[:, None]).any(0)
        params = scale_features(state.params, model.layers[-1], jnp.where(dropped, 0.0, kept))
        return state._replace(params=params), Info(jnp.zeros(()), jnp.zeros(()))

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "etd": Algorithm(
        etd,
        "untraining",
        _common.NOTHING,
        "Maini et al., ICML 2023, arXiv 2307.09542",
        words="direct the memorization of examples to an a priori determined set of neurons, and drop these",
        needs=frozenset({"rule example_tied_dropout"}),
    ),
}
