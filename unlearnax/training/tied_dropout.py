"""Dropout tied to examples: what is memorised of each goes to channels that are its own and can be dropped later."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from unlearnax import checks
from unlearnax.recipes import Recipe
from unlearnax.training.plain import by_batches, mean_gradients
from unlearnax.training.private import check_stateless
from unlearnax.types import Array, Key, Model, Training


@dataclasses.dataclass(frozen=True)
class Channels:
    """How H features are shared out: the first ⌊p_gen H⌋ generalise, each other one is an example's with chance p_mem.

    Raises:
        ValueError: a share outside of [0, 1], p_gen = 0.
    """

    p_gen: float = 0.2
    p_mem: float = 0.1

    def __post_init__(self) -> None:
        checks.in_range("p_gen", self.p_gen, 0, 1, open_low=True)
        checks.in_range("p_mem", self.p_mem, 0, 1)

    def memory(self, width: int) -> jax.Array:
        """Which of H features are memory, `[H]` bool."""
        return jnp.arange(width) >= int(self.p_gen * width)

    def seen(self, key_data: Array, rows: Array, width: int) -> jax.Array:
        """Which features the examples of these rows see in training, `[B, H]` bool.

        key_data: `TrainState.log` of the member.  A row sees the same ones in every world.
        """
        key = jax.random.wrap_key_data(jnp.asarray(key_data))
        own = jax.vmap(lambda row: jax.random.bernoulli(jax.random.fold_in(key, row), self.p_mem, (width,)))(rows)
        return own | ~self.memory(width)


def example_tied_dropout(recipe: Recipe, model: Model, *, p_gen: float = 0.2, p_mem: float = 0.1) -> Training:
    """Example i is trained on the logits (m_i ∘ h) K + b: h the features, m_i its mask, K, b the last layer.

    The mask shows the generalising channels to every example, and to each a random share p_mem of the others, its memory
    channels, the same ones at every step.  The published member has all channels, the rows of K for memory channels scaled
    by p_mem, their mean over examples: the released layer's "test" mode.  The paper drops them at test time (figure 6);
    here that is the algorithm `etd`.  Without masks little is recalled of what single examples taught: 20 wrong labels
    among 200 points (MLP of 200) are all reproduced under the examples' own masks, one of them by the published member,
    none once its memory channels are dropped.

    There the dropout follows every block of a ResNet; here it acts on the features alone, which suits every architecture.
    Masked logits are the model's own less ((1 − m_i) ∘ h) K, all in evaluation mode: no other dropout is active.

    Args:
        p_gen: share of generalising channels, in (0, 1], rounded down to at least one channel.
        p_mem: share of the other channels that each example owns, in [0, 1] (both defaults are the released layer's, the
            values of the paper's experiments unverified).

    Raises:
        ValueError: arguments out of range, no generalising channel, a model with batch statistics or whose last layer has
            no kernel `[H, C]`.

    Source: Maini et al., "Can neural network memorization be localized?", ICML 2023, arXiv 2307.09542; released code
    github.com/pratyushmaini/localizing-memorization, models/dropout.py.
    """
    channels = Channels(p_gen, p_mem)
    check_stateless("example_tied_dropout", model)
    width = head_width(model)
    if int(p_gen * width) == 0:
        raise ValueError(
            f"Expected p_gen={p_gen!r} to be at least one of the {width} features of model {model.name!r}."
        )
    head = model.layers[-1]

    def masked(seen: jax.Array) -> Model:
        def apply(params, model_state, x, *, train, key):
            logits, model_state = model.apply(params, model_state, x, train=False, key=None)
            features = model.features(params, model_state, x)
            if features.shape != seen.shape:
                raise ValueError(
                    f"Expected features of model {model.name!r} to be the input of its last layer, of width {width}, "
                    f"got shape {features.shape}."
                )
            return logits - jnp.where(seen, 0.0, features) @ params[head]["kernel"], model_state

        return dataclasses.replace(model, apply=apply)

    def gradients(state, key, x, y, taken, rows):
        shown = masked(channels.seen(state.log, taken, width))
        return mean_gradients(shown, recipe.augment, whole=True)(state, key, x, y, taken, rows)

    def finish(key, state, rows):
        scale = jnp.where(channels.memory(width), p_mem, 1.0)
        return state._replace(params=scale_features(state.params, head, scale), opt_state=())

    def log(key: Key) -> jax.Array:
        return jax.random.key_data(jax.random.fold_in(key, 2))

    return by_batches(recipe, model, gradients, log)._replace(finish=finish)


def head_width(model: Model) -> int:
    """H of a last layer with a kernel `[H, C]`.

    Raises:
        ValueError: it has none.
    """
    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    last = params[model.layers[-1]] if model.layers else {}
    kernel = last.get("kernel") if isinstance(last, Mapping) else None
    if kernel is None or kernel.ndim != 2:
        raise ValueError(
            f"Expected the last layer of model {model.name!r} to have a kernel of shape (features, classes)."
        )
    return kernel.shape[0]


def scale_features(params: PyTree, head: str, scale: jax.Array) -> PyTree:
    """The parameters with the rows of the last layer's kernel scaled, `[H]`."""
    return {**params, head: {**params[head], "kernel": params[head]["kernel"] * scale[:, None]}}
