"""For a whole class: noise that stands in for it impairs the network, the rest repairs it.

Inputs are raw here, and a model does not tell its constants of normalisation: noise is in units of the inputs that an
algorithm is handed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from unlearnax import batching, checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Model, Request, Subset, UnlearnFn


def input_scale(request: Request, *subsets: Subset) -> tuple[jax.Array, jax.Array]:
    """Mean and standard deviation of all input values of some subsets together; 1 where they do not vary."""
    x = jnp.asarray(request.x).reshape(len(request.y), -1)
    inside = jnp.zeros(len(x), bool)
    for rows in subsets:
        valid = jnp.arange(len(rows.index)) < rows.length
        inside = inside.at[jnp.where(valid, rows.index, len(x))].set(True, mode="drop")
    mean = jnp.where(inside, x.astype(jnp.float32).mean(1), 0.0).sum() / inside.sum()
    squared = jnp.square(x.astype(jnp.float32) - mean).mean(1)
    std = jnp.sqrt(jnp.where(inside, squared, 0.0).sum() / inside.sum())
    return mean, jnp.where(std == 0, 1.0, std)


def unsir(
    model: Model,
    *,
    noise_rate: float = 0.1,
    noise_penalty: float = 0.1,
    noise_steps: int = 25,
    noises: int = 36,
    retain_fraction: float = 0.2,
    impair_rate: float = 0.02,
    repair_rate: float = 0.01,
    epochs: int = 1,
    batch_size: int = 64,
) -> UnlearnFn:
    """UNSIR: noise that maximises the error of a class, impairing with it, repairing without.

    1. Noise: m inputs n minimise −ℓ(θ0; n, c) + λ mean ‖n‖² by Adam from N(0, I), c the class of S.
    2. Impair: minimises the mean ℓ(θ) of the noise, labelled c, and a batch of R together, by Adam over a part of R.
    3. Repair: minimises E ℓ(θ) over the same part of R, by Adam.

    The noise lives in normalised inputs, as in the paper: the raw input is μ + s n, with μ and s the mean and standard
    deviation of all input values of S and R, since a model does not tell its own constants.  Beyond these two numbers
    and its class nothing of S is read.

    Args:
        noise_rate, noise_steps: learning rate and steps of 1; 25 steps as in a widely used reimplementation (default
            unverified in the authors' code).
        noise_penalty: λ ≥ 0.
        noises: m, at least 1.  Reimplementations shuffle 20 copies of 256 noises, or 80 of 32, into 9 classes of 1000 or
            of 500 examples: 36 beside each 64 of R are the same share.
        retain_fraction: part of R that takes part, drawn once, in (0, 1]; 1000 of the 5000 of a class likewise.
        impair_rate, repair_rate: learning rates of 2 and 3 (defaults unverified: a reimplementation names them as the
            paper's).
        epochs: passes over the part of R, of 2 and of 3 each.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Tarun et al., "Fast yet effective machine unlearning", TNNLS 2023, arXiv 2111.08947.
    """
    checks.positive("noise_rate", noise_rate)
    checks.non_negative("noise_penalty", noise_penalty)
    checks.at_least_one("noise_steps", noise_steps)
    checks.at_least_one("noises", noises)
    checks.in_range("retain_fraction", retain_fraction, 0, 1, open_low=True)
    checks.positive("impair_rate", impair_rate)
    checks.positive("repair_rate", repair_rate)
    _common.check_optimisation(learning_rate=1.0, epochs=epochs, batch_size=batch_size)
    making, impairing, repairing = (optax.adam(rate) for rate in (noise_rate, impair_rate, repair_rate))

    def unlearn(key, original, request):
        key_noise, key_part, key_impair, key_repair = jax.random.split(key, 4)
        mean, std = input_scale(request, request.forget, request.retain)
        labels = jnp.full(noises, jnp.asarray(request.y)[request.forget.index[0]])

        def made(noise):
            logits, _ = model.apply(original.params, original.model_state, mean + std * noise, train=False, key=None)
            size = jnp.square(noise.reshape(noises, -1)).sum(1).mean()
            return -_common.cross_entropy(logits, labels) + noise_penalty * size

        def make(_, carry):
            noise, opt_state = carry
            updates, opt_state = making.update(jax.grad(made)(noise), opt_state)
            return noise + updates, opt_state

        noise = jax.random.normal(key_noise, (noises, *request.x.shape[1:]))
        noise, _ = jax.lax.fori_loop(0, noise_steps, make, (noise, making.init(noise)))
        length = jnp.floor(retain_fraction * request.retain.length).astype(jnp.int32)
        part = Subset(batching.shuffle(key_part, request.retain), jnp.maximum(length, 1))

        def impair(params, model_state, key, step, rows):
            x, y = _common.batch(request, rows)
            x = jnp.concatenate([x.astype(jnp.float32), mean + std * noise])
            logits, model_state = model.apply(params, model_state, x, train=True, key=key)
            return _common.cross_entropy(logits, jnp.concatenate([y, labels])), model_state

        def repair(params, model_state, key, step, rows):
            return _common.training_loss(model, params, model_state, key, request, rows)

        # The noise takes part in every step of 1 and of 2.
        steps = noise_steps + epochs * batching.steps_per_pass(part, batch_size)
        carry = _common.begin(original, impairing, steps * noises)
        carry = _common.optimise(key_impair, carry, impairing, impair, part, batch_size=batch_size, passes=epochs)
        carry = _common.begin(carry[0], repairing, carry[2])
        return _common.end(
            _common.optimise(key_repair, carry, repairing, repair, part, batch_size=batch_size, passes=epochs)
        )

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "unsir": Algorithm(
        unsir,
        "unlearning",
        _common.BOTH,
        "Tarun et al., TNNLS 2023, arXiv 2111.08947",
        words="manipulate the model weights to unlearn the targeted class of data",
        needs=frozenset({"one class"}),
        ranges={"impair_rate": (1e-5, 0.1), "repair_rate": (1e-5, 0.1), "retain_fraction": ("uniform", 0.1, 1.0)},
    ),
}
