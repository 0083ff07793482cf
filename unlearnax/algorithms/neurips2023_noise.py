"""Entry of the NeurIPS 2023 unlearning competition, place 7: a few kernels at a time, with noise.

The details are those of the winners' notebooks as ported in the code of Cadet et al., "Deep unlearn", 2024, arXiv
2410.01276; the notebooks themselves were not seen.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unlearnax import checks
from unlearnax.algorithms import _common, _neurips2023
from unlearnax.algorithms._neurips2023 import check_layers, key_tree, reset
from unlearnax.types import Algorithm, Model, UnlearnFn


def random_noise_injection(
    model: Model,
    *,
    sigma: float = 0.04,
    noise_fraction: float = 0.7,
    kernels: int = 9,
    warmup_epochs: int = 1,
    fine_epochs: int = 4,
    learning_rate: float = 2e-4,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 9,
    batch_size: int = 64,
) -> UnlearnFn:
    """Resets the head, then fine-tunes a few random kernels at a time on R, with noise on most of them.

    In each of the E epochs but the last `fine_epochs`, `kernels` of all kernels (rank 2 and more; all of them if there are
    fewer) are drawn and only they and all vectors (biases, normalisation) move; except in the first `warmup_epochs`, the
    share `noise_fraction` of the drawn ones, rounded to a whole number, first gets θ ← θ + σ ξ.  The last epochs train
    everything.  Each epoch is SGD on E_R ℓ with a fresh momentum.

    The released code draws biases like kernels, and its very last epoch has rate 10⁻³.

    Args:
        sigma: σ ≥ 0.
        noise_fraction: in [0, 1].
        kernels: how many are drawn, at least 1.
        warmup_epochs, fine_epochs: whole numbers ≥ 0; where they add up to `epochs` and more there is no noise.

    Raises:
        ValueError: a hyperparameter out of range, or a model without named layers.

    Source: seventh place (Jiaxi Sun; name unverified) in Triantafillou et al., "Are we making progress in unlearning?",
    2024, arXiv 2406.09073; RNI in Cadet et al., 2024, arXiv 2410.01276, with the defaults of its code.
    """
    checks.non_negative("sigma", sigma)
    checks.in_range("noise_fraction", noise_fraction, 0, 1)
    checks.at_least_one("kernels", kernels)
    checks.at_least_zero("warmup_epochs", warmup_epochs)
    checks.at_least_zero("fine_epochs", fine_epochs)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    check_layers(model)
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, state, request):
        key_reset, key_rounds, key_passes = jax.random.split(key, 3)
        leaves, structure = jax.tree.flatten(state.params)
        matrices = [i for i, leaf in enumerate(leaves) if leaf.ndim > 1]
        drawn = min(kernels, len(matrices))

        def objective(params, model_state, key, step, rows):
            return _common.training_loss(model, params, model_state, key, request, rows)

        def epoch(number, carry):
            state, mean, examples = carry
            key_draw, key_noise = jax.random.split(jax.random.fold_in(key_rounds, number))
            place = jnp.zeros(len(leaves)).at[jnp.asarray(matrices)].set(
                jax.random.permutation(key_draw, len(matrices))
            )  # fmt: skip
            fine = number >= epochs - fine_epochs
            matrix = jnp.zeros(len(leaves), bool).at[jnp.asarray(matrices)].set(True)
            moving = ~matrix | (place < drawn) | fine
            noisy = matrix & (place < jnp.round(noise_fraction * drawn)) & (number >= warmup_epochs) & ~fine
            mask, level = (jax.tree.unflatten(structure, list(flag.astype(jnp.float32))) for flag in (moving, noisy))
            params = jax.tree.map(
                lambda leaf, on, key: leaf + sigma * on * jax.random.normal(key, leaf.shape, leaf.dtype),
                state.params, level, key_tree(key_noise, state.params),
            )  # fmt: skip
            state = state._replace(params=params, opt_state=optimizer.init(params))
            return _common.optimise(
                key_passes, (state, mean, examples), optimizer, objective, request.retain, batch_size=batch_size,
                passes=(number, number + 1), mask=mask,
            )  # fmt: skip

        state = state._replace(params=reset(key_reset, model, state.params, model.layers[-1:]))
        return _common.end(jax.lax.fori_loop(0, epochs, epoch, _common.begin(state, optimizer)))

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "random_noise_injection": Algorithm(
        random_noise_injection,
        "untraining",
        _common.R,
        _neurips2023.COMPETITION.format(7),
        words=_neurips2023.LIKE_RETRAINED,
        needs=frozenset({"layers"}),
        ranges=_common.SGD_RANGES | {"sigma": (1e-3, 0.3), "noise_fraction": ("uniform", 0.0, 1.0)},
    ),
}
