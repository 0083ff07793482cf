"""Hidden features of S pulled to the centroids of other classes.

Features are the input of the last layer, with the running batch statistics.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from unlearnax import checks
from unlearnax.algorithms import _common, _curvature
from unlearnax.types import Algorithm, Model, UnlearnFn


def duck(
    model: Model,
    *,
    forget_weight: float = 1.0,
    retain_weight: float = 1.4,
    temperature: float = 2.0,
    target_accuracy: float = 0.01,
    retain_batches: int = 5,
    learning_rate: float = 4e-4,
    epochs: int = 30,
    batch_size: int = 64,
) -> UnlearnFn:
    """DUCK: minimises λ₁ E_S d(h_θ(x), c(x)) + λ₂ E_R ℓ(f_θ(x) / T, y) by Adam until S is no longer predicted.

    d is the cosine distance, h the features, f the logits.  The centroids are the mean features of each class of R under
    θ0; c(x) is the one nearest to h_θ0(x) among those of the other classes.  An epoch is `retain_batches` passes of S, a
    new batch of R beside each of S; after it the accuracy on S is measured, and below `target_accuracy` it ends.

    The released code keeps a batch of S for its batches of R instead of passing S anew, halves the learning rate at
    epochs 25 and 40, takes the centroids of 50 batches of R, and adds two epochs of recovery: none of these here.

    Args:
        forget_weight, retain_weight: λ₁, λ₂ ≥ 0.
        temperature: T > 0.
        target_accuracy: in [0, 1]; 0 never ends early.
        retain_batches: how many batches of R for each of S, at least 1.
        epochs: at most so many; ours, 200 in the released code.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Cotogni et al., "DUCK: distance-based unlearning via centroid kinematics", 2023, arXiv 2312.02052; defaults of
    the released code.
    """
    checks.non_negative("forget_weight", forget_weight)
    checks.non_negative("retain_weight", retain_weight)
    checks.positive("temperature", temperature)
    checks.in_range("target_accuracy", target_accuracy, 0, 1)
    checks.at_least_one("retain_batches", retain_batches)
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size)
    optimizer = optax.adam(learning_rate)

    def unit(h):
        return h * jax.lax.rsqrt(jnp.maximum(jnp.square(h).sum(-1, keepdims=True), 1e-12))  # silent features stay 0

    def unlearn(key, original, request):
        def logits_of(state, rows):
            x, y = _common.batch(request, rows)
            return model.apply(state.params, state.model_state, x, train=False, key=None)[0], y

        def features(params, rows):
            return model.features(params, original.model_state, _common.batch(request, rows)[0])

        def class_sums(rows, weights):
            members = jax.nn.one_hot(_common.batch(request, rows)[1], classes) * weights[:, None]
            return members.T @ features(original.params, rows), members.sum(0)

        one = jnp.zeros(1, int)
        classes = jax.eval_shape(logits_of, original, one)[0].shape[-1]
        width = jax.eval_shape(features, original.params, one).shape[-1]
        zero = jnp.zeros((classes, width)), jnp.zeros(classes)
        sums, counts = _curvature.total(zero, request.retain, class_sums, batch_size)
        centroids = unit(sums)  # their lengths do not matter to the cosine

        def objective(params, model_state, key, step, forgotten, retained):
            y = _common.batch(request, forgotten)[1]
            others = (counts > 0) & (jnp.arange(classes) != y[:, None])
            near = jnp.where(others, unit(features(original.params, forgotten)) @ centroids.T, -jnp.inf).argmax(-1)
            apart = 1 - (unit(features(params, forgotten)) * centroids[near]).sum(-1)
            x, labels = _common.batch(request, retained)
            logits, model_state = model.apply(params, model_state, x, train=True, key=key)
            kept = _common.cross_entropy(logits / temperature, labels)
            # Where R has no other class there is nothing to pull towards.
            return forget_weight * (others.any(-1) * apart).mean() + retain_weight * kept, model_state

        def accuracy(state):
            def correct(rows, weights):
                logits, y = logits_of(state, rows)
                return (weights * (logits.argmax(-1) == y)).sum()

            return _curvature.total(jnp.zeros(()), request.forget, correct, batch_size) / request.forget.length

        def unfinished(carry):
            return (carry[0] < epochs) & (carry[2] >= target_accuracy)

        def epoch(carry):
            number, carry, _ = carry
            passes = (number * retain_batches, (number + 1) * retain_batches)
            carry = _common.optimise(
                key, carry, optimizer, objective, request.forget, batch_size=batch_size, passes=passes,
                beside=(request.retain,),
            )  # fmt: skip
            return number + 1, carry, accuracy(carry[0])

        start = jnp.zeros((), jnp.int32), _common.begin(original, optimizer), jnp.ones(())
        return _common.end(jax.lax.while_loop(unfinished, epoch, start)[1])

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "duck": Algorithm(
        duck,
        "untraining",
        _common.BOTH,
        "Cotogni et al., 2023, arXiv 2312.02052",
        words="eradicate any residual influence of a specific subset of data from the knowledge acquired",
        ranges=_common.ADAM_RANGES | {"forget_weight": (0.1, 10.0), "target_accuracy": ("uniform", 0.0, 1.0)},
    ),
}
