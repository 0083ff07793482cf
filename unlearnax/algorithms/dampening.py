"""Shrinking the weights that matter more to the forget set than to the whole: selective synaptic dampening.

No training: I_D and I_S are importances of each weight over D = S ∪ R and over S, of θ0 with train=False, means over the
batches of one pass.  A pass drops its last incomplete batch and repeats rows of a set smaller than a batch.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from unlearnax import batching, checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Array, Info, Key, Model, Request, TrainState, UnlearnFn

Loss = Callable[[PyTree, Array], jax.Array]
Importances = tuple[PyTree, PyTree, jax.Array]


def importances(
    key: Key,
    state: TrainState,
    request: Request,
    loss: Loss,
    measure: Callable[[jax.Array], jax.Array],
    *,
    batch_size: int,
    per_example: bool = False,
) -> Importances:
    """I_D and I_S, means of measure(gradient) over batches, or over single examples; and the examples passed."""
    gradient = jax.grad(loss)

    def measured(rows):
        if per_example:
            each = jax.vmap(gradient, (None, 0))(state.params, rows[:, None])
            return jax.tree.map(lambda g: measure(g).mean(0), each)
        return jax.tree.map(measure, gradient(state.params, rows))

    def importance(key, rows):
        zero = jax.tree.map(jnp.zeros_like, state.params)
        total, batches = _common.sum_over_batches(key, zero, rows, measured, batch_size)
        return jax.tree.map(lambda leaf: leaf / batches, total), batches

    key_all, key_forget = jax.random.split(key)
    overall, batches_all = importance(key_all, batching.union(request.forget, request.retain))
    forgotten, batches_forget = importance(key_forget, request.forget)
    return overall, forgotten, jnp.asarray((batches_all + batches_forget) * batch_size, jnp.float32)


def output_norm(model: Model, state: TrainState, request: Request, power: int) -> Loss:
    """Mean ‖f(x)‖₂^power of the logits over a batch, power 1 or 2: no labels."""

    def loss(params: PyTree, rows: Array) -> jax.Array:
        x, _ = _common.batch(request, rows)
        logits = model.apply(params, state.model_state, x, train=False, key=None)[0]
        if power == 2:
            return jnp.square(logits).sum(-1).mean()
        # In units of the largest, or the squares of large outputs overflow and their gradients vanish unseen; outputs
        # that are all 0 have norm 0 and no gradient.  NaN is not 0 and goes through.
        largest = jax.lax.stop_gradient(jnp.abs(logits).max(-1))
        zero = largest == 0
        unit = jnp.where(zero, 1.0, largest)
        squared = jnp.square(logits / unit[:, None]).sum(-1)
        return jnp.where(zero, 0.0, unit * jnp.sqrt(jnp.where(zero, 1.0, squared))).mean()

    return loss


def dampen(
    params: PyTree, overall: PyTree, forgotten: PyTree, alpha: Array | float, dampening: Array | float
) -> PyTree:
    """θ · min(λ I_D / I_S, 1) where I_S > α I_D; NaN where an importance is not finite, which no comparison would select."""

    def one(theta, i_d, i_s):
        selected = i_s > alpha * i_d
        factor = jnp.minimum(dampening * i_d / jnp.where(selected, i_s, 1.0), 1.0)  # no 0/0 where nothing is done
        edited = jnp.where(selected, theta * factor, theta)
        return jnp.where(jnp.isfinite(i_d) & jnp.isfinite(i_s), edited, jnp.nan)

    return jax.tree.map(one, params, overall, forgotten)


def ssd(
    model: Model,
    *,
    alpha: float = 10.0,
    dampening: float = 1.0,
    batch_size: int = 64,
    per_example: bool = False,
) -> UnlearnFn:
    """Selective synaptic dampening: where I_S > α I_D, θ ← θ · min(λ I_D / I_S, 1).

    Importances are squared gradients of the loss, of batch means (as released; they depend on the batch size), or of
    single examples (the diagonal of the empirical Fisher matrix, as written in the paper).  A weight whose importance is
    not finite becomes NaN.

    Args:
        alpha: α > 0, selection.
        dampening: λ > 0.
        per_example: the importance of single examples.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Foster et al., "Fast machine unlearning without retraining through selective synaptic dampening", AAAI 2024,
    arXiv 2308.07707.
    """
    checks.positive("alpha", alpha)
    checks.positive("dampening", dampening)
    checks.at_least_one("batch_size", batch_size)

    def unlearn(key, state, request):
        overall, forgotten, examples = importances(
            key, state, request, _common.frozen_loss(model, state, request), jnp.square,
            batch_size=batch_size, per_example=per_example,
        )  # fmt: skip
        params = dampen(state.params, overall, forgotten, alpha, dampening)
        return state._replace(params=params), Info(jnp.zeros(()), examples)

    return unlearn


def lfssd(model: Model, *, alpha: float = 10.0, dampening: float = 1.0, batch_size: int = 64) -> UnlearnFn:
    """Loss-free SSD: SSD with the importance E |∇ E_batch ‖f(x)‖₂²|, f the logits: labels are not read.

    The gradient is of batch means, and its absolute value is taken, as in the authors' code for Potion.

    Args:
        alpha: α > 0, selection (default unverified: SSD's).
        dampening: λ > 0 (default unverified: SSD's).

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Foster et al., "Loss-free machine unlearning", ICLR 2024 (tiny papers), arXiv 2402.19308.
    """
    checks.positive("alpha", alpha)
    checks.positive("dampening", dampening)
    checks.at_least_one("batch_size", batch_size)

    def unlearn(key, state, request):
        overall, forgotten, examples = importances(
            key, state, request, output_norm(model, state, request, 2), jnp.abs, batch_size=batch_size
        )
        params = dampen(state.params, overall, forgotten, alpha, dampening)
        return state._replace(params=params), Info(jnp.zeros(()), examples)

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "ssd": Algorithm(
        ssd,
        "untraining",
        _common.BOTH,
        "Foster et al., AAAI 2024, arXiv 2308.07707",
        words="forgetting specific information while protecting model performance on the remaining data",
        ranges={"alpha": (1.0, 1e4), "dampening": (0.1, 10.0)},
    ),
    "lfssd": Algorithm(
        lfssd,
        "untraining",
        _common.BOTH,
        "Foster et al., ICLR 2024 (tiny papers), arXiv 2402.19308",
        words="a machine unlearning approach that is both retraining- and label-free",
        ranges={"alpha": (0.1, 1e4), "dampening": (0.1, 10.0)},
    ),
}
