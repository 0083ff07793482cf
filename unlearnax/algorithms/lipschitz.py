"""Outputs made smooth around the forget set: JiT."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unlearnax import checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Model, UnlearnFn


def lipschitz(
    model: Model,
    *,
    sigma: float = 0.5,
    samples: int = 25,
    learning_rate: float = 3e-4,
    epochs: int = 1,
    batch_size: int = 64,
) -> UnlearnFn:
    """JiT: makes the logits f smooth around S, descending (1/m) Σ_x Σ_j ‖f(x) − sg f(x + ξ_j)‖ / ‖ξ_j‖ by SGD.

    The sum is over the examples of a batch and m perturbations of each, ξ ~ N(0, σ² I), with x + ξ clipped to the range of
    the batch's inputs as in the released code; the perturbed side is constant (sg), and no labels are read.  So f(x) is
    pulled to the middle of its surroundings: where f is linear around x and nothing is clipped the pulls cancel on
    average, and the sum itself need not fall.  Networks run with their running batch statistics.

    Inputs are measured in standard deviations of the batch's, so that σ means the same for bytes and for normalised pixels;
    the released code perturbs normalised images.

    Args:
        sigma: σ > 0; here as the released code sets it for VGG-16, between 0.01 and 0.8 by network and task there.
        samples: m, at least 1.
        learning_rate: as there for VGG-16, up to 1.5 for a ViT; the loss is a sum, so it goes with the batch size.
        epochs: 1 in the released code.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Foster et al., "An information theoretic approach to machine unlearning", 2024, arXiv 2402.01401 (its first
    version: "Zero-shot machine unlearning at scale via Lipschitz regularization").
    """
    checks.positive("sigma", sigma)
    checks.at_least_one("samples", samples)
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size)
    optimizer = _common.sgd(learning_rate, 0.0, 0.0)

    def lengths(a):
        squared = jnp.square(a.reshape(len(a), -1)).sum(-1)
        return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)  # no slope at 0

    def unlearn(key, original, request):
        def objective(params, model_state, key, step, rows):
            x = _common.batch(request, rows)[0].astype(jnp.float32)
            unit = jnp.where(x.std() > 0, x.std(), 1.0)
            frozen = jax.lax.stop_gradient(params)

            def perturbed(key):
                noisy = jnp.clip(x + sigma * unit * jax.random.normal(key, x.shape), x.min(), x.max())
                logits, _ = model.apply(frozen, model_state, noisy, train=False, key=None)
                return logits, jnp.maximum(lengths(noisy - x) / unit, 1e-6)

            logits, _ = model.apply(params, model_state, x, train=False, key=None)
            nearby, radii = jax.lax.map(perturbed, jax.random.split(key, samples))
            ratios = jax.vmap(lambda near, radius: lengths(logits - near) / radius)(nearby, radii)
            return ratios.mean(0).sum(), model_state

        return _common.minimise(
            key, original, optimizer, objective, request.forget, batch_size=batch_size, epochs=epochs
        )

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "lipschitz": Algorithm(
        lipschitz,
        "ambiguous",
        _common.S,
        "Foster et al., 2024, arXiv 2402.01401",
        words="forget data from a trained model, given only the model and the data to be forgotten",
        ranges={"learning_rate": (1e-6, 0.1), "sigma": (0.01, 1.0)},
    ),
}
