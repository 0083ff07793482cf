"""Scrubbing by the Fisher matrix and by the neural tangent kernel."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from unlearnax import checks
from unlearnax.algorithms import _common, _curvature
from unlearnax.types import Algorithm, Array, Info, Model, Request, TrainState, UnlearnFn


def expected_fisher(model: Model, state: TrainState, request: Request, rows: Array, labels: int) -> PyTree:
    """Mean over rows `[B]` of Σ_k p_k (∇ log p_k)², a tree like params; one label after the other, to hold B gradients."""

    def surprise(params, row, label):
        x, _ = _common.batch(request, row[None])
        logits = model.apply(params, state.model_state, x, train=False, key=None)[0]
        return -jax.nn.log_softmax(logits)[0, label]

    def of_label(total, label):
        each, grads = jax.vmap(jax.value_and_grad(surprise), (None, 0, None))(state.params, rows, label)
        p = jnp.exp(-each)
        weighed = jax.tree.map(lambda g: jnp.tensordot(p, jnp.square(g), 1, precision="highest") / len(p), grads)
        return jax.tree.map(jnp.add, total, weighed), None

    return jax.lax.scan(of_label, jax.tree.map(jnp.zeros_like, state.params), jnp.arange(labels))[0]


def fisher_forgetting(model: Model, *, alpha: float = 1e-6, batch_size: int = 64) -> UnlearnFn:
    """Fisher forgetting: θ0 + √v ⊙ ξ, ξ ~ N(0, I), v = α min(1 / (F + 1e-8), 1e3).

    F is the diagonal of the Fisher matrix of R at θ0, E_R Σ_k p_k (∇ log p_k)², in expectation over predicted labels:
    weights that R does not need get the most noise.  Costs C passes of R with a gradient for each example.

    The released code further averages v over each row of a kernel, caps it at 1e2 in the last layer, and adds a factor of
    10 there and on vectors; here v is that of the formula.

    Args:
        alpha: α > 0.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Golatkar et al., "Eternal sunshine of the spotless net", CVPR 2020, arXiv 1911.04933; constants as released.
    """
    checks.positive("alpha", alpha)
    checks.at_least_one("batch_size", batch_size)

    def unlearn(key, state, request):
        key_pass, key_noise = jax.random.split(key)

        def logits_of_one(params):
            return model.apply(params, state.model_state, request.x[:1], train=False, key=None)[0]

        labels = jax.eval_shape(logits_of_one, state.params).shape[-1]  # shapes only: nothing is read
        zero = jax.tree.map(jnp.zeros_like, state.params)
        total, batches = _common.sum_over_batches(
            key_pass,
            zero,
            request.retain,
            lambda rows: expected_fisher(model, state, request, rows, labels),
            batch_size,
        )
        flat, unravel = ravel_pytree(state.params)
        fisher = ravel_pytree(total)[0] / batches
        variance = alpha * jnp.minimum(1 / (fisher + 1e-8), 1e3)
        noisy = flat + jnp.sqrt(variance) * jax.random.normal(key_noise, flat.shape)
        examples = jnp.asarray(batches * batch_size * labels, jnp.float32)
        return state._replace(params=unravel(noisy)), Info(jnp.zeros(()), examples)

    return unlearn


def ntk_forgetting(
    model: Model,
    *,
    scale: float = 1.0,
    weight_decay: float = 0.1,
    max_weights: int = 4096,
    batch_size: int = 64,
) -> UnlearnFn:
    """NTK forgetting: θ0 + c (w_R − w_D), w_X = −J_Xᵀ (J_X J_Xᵀ + |X| λ I)⁻¹ (p_X − y_X).

    w_X is where training on X alone would take the model that is linear in its weights around θ0, J_X the Jacobian of all
    logits on X, p − y the softmax outputs less the one-hot labels.  It is solved as (J_Xᵀ J_X + |X| λ I) w_X =
    −J_Xᵀ (p_X − y_X), the same numbers, whose cost does not grow with the data: for P weights, two systems of P × P, that
    is 12 P² bytes and about P³ operations a member, besides n C P² for the products and batch_size · C · P numbers for J.
    Tiny models only.

    The loss's Hessian by the logits is taken as the identity for cross-entropy too, as released.  The paper linearises
    around the weights before training, which an algorithm does not get here, corrects the length of the step by the error
    made there, and may add noise as Fisher forgetting does; none of these is done.

    Args:
        scale: c > 0.
        weight_decay: λ > 0.
        max_weights: largest P to accept.

    Raises:
        ValueError: a hyperparameter out of range; a model of more weights than `max_weights`.

    Source: Golatkar et al., "Forgetting outside the box", ECCV 2020, arXiv 2003.02960; λ as released.
    """
    checks.positive("scale", scale)
    checks.positive("weight_decay", weight_decay)
    checks.at_least_one("max_weights", max_weights)
    checks.at_least_one("batch_size", batch_size)
    params, _ = jax.eval_shape(model.init, jax.eval_shape(lambda: jax.random.key(0)))
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    if count > max_weights:
        raise ValueError(
            f"Expected a model of at most max_weights={max_weights} weights for ntk_forgetting, {model.name!r} has {count}: "
            f"it would solve systems of {count} × {count}, {12 * count**2 / 2**30:.3g} GiB a member."
        )

    def unlearn(key, state, request):
        flat, unravel = ravel_pytree(state.params)
        logits = _curvature.logits_of(model, state, request, unravel)

        def moments(rows, weights):
            outputs = logits(flat, rows)
            jacobian = jax.jacrev(logits)(flat, rows) * weights[:, None, None]
            error = jax.nn.softmax(outputs) - jax.nn.one_hot(jnp.asarray(request.y)[rows], outputs.shape[-1])
            rows_of_j = jacobian.reshape(-1, flat.size)
            product = jnp.matmul(rows_of_j.T, rows_of_j, precision="highest")
            return product, jnp.matmul(error.reshape(-1), rows_of_j, precision="highest")

        zero = (jnp.zeros((flat.size, flat.size)), jnp.zeros_like(flat))
        forgotten, retained = (
            _curvature.total(zero, rows, moments, batch_size) for rows in (request.forget, request.retain)
        )

        def solution(moments, length):
            matrix, vector = moments
            damped = matrix + length * weight_decay * jnp.eye(flat.size)
            return -jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(damped), vector)

        everything = jax.tree.map(jnp.add, forgotten, retained)
        length = request.forget.length + request.retain.length
        step = solution(retained, request.retain.length) - solution(everything, length)
        return state._replace(params=unravel(flat + scale * step)), Info(
            jnp.zeros(()), jnp.asarray(length, jnp.float32)
        )

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "fisher_forgetting": Algorithm(
        fisher_forgetting,
        "untraining",
        _common.R,
        "Golatkar et al., CVPR 2020, arXiv 1911.04933",
        words="'scrubbing' the weights clean of information about a particular set of training data",
        ranges={"alpha": (1e-9, 1e-3)},
    ),
    "ntk_forgetting": Algorithm(
        ntk_forgetting,
        "untraining",
        _common.BOTH,
        "Golatkar et al., ECCV 2020, arXiv 2003.02960",
        words="removing dependency on a cohort of training data from a trained deep network",
        ranges={"scale": (0.1, 10.0), "weight_decay": (1e-4, 10.0)},
    ),
}
