"""Ascent on the forget set and descent on the retained one, pass by pass in turns."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unlearnax import checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Model, UnlearnFn


def ascent_descent(
    model: Model,
    *,
    ascent_epochs: int = 3,
    learning_rate: float = 5e-4,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    epochs: int = 5,
    batch_size: int = 64,
) -> UnlearnFn:
    """Ascent-descent: in epochs 1 … a a pass over S that maximises E_S ℓ(θ); in every epoch a pass that minimises E_R ℓ(θ).

    One SGD optimiser makes both kinds of passes.

    Args:
        ascent_epochs: a ≥ 0, how many epochs begin with the pass over S; the benchmark's grid has 3 and 5.
        learning_rate: the benchmark's grid spans 5e-5 to 5e-3.
        epochs: 5 to 10 in the benchmark.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Rinberg et al., "Data-Unlearn-Bench: making evaluating data unlearning easy", MUGEN workshop at ICML 2025 (on
    arXiv "Easy data unlearning bench", 2602.16400), `ascent_descent` of the released code (EasyDUB), which older versions
    call SCRUB although they distil nothing.
    """
    checks.at_least_zero("ascent_epochs", ascent_epochs)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, state, request):
        key_forget, key_retain = jax.random.split(key)

        def descend(params, model_state, key, step, rows):
            return _common.training_loss(model, params, model_state, key, request, rows)

        def ascend(params, model_state, key, step, rows):
            loss, model_state = descend(params, model_state, key, step, rows)
            return -loss, model_state

        def epoch(number, carry):
            last = jnp.where(number < ascent_epochs, number + 1, number)  # an empty range of passes once a is over
            carry = _common.optimise(
                key_forget, carry, optimizer, ascend, request.forget, batch_size=batch_size, passes=(number, last)
            )
            return _common.optimise(
                key_retain,
                carry,
                optimizer,
                descend,
                request.retain,
                batch_size=batch_size,
                passes=(number, number + 1),
            )

        return _common.end(jax.lax.fori_loop(0, epochs, epoch, _common.begin(state, optimizer)))

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "ascent_descent": Algorithm(
        ascent_descent,
        "untraining",
        _common.BOTH,
        "Rinberg et al., MUGEN workshop at ICML 2025, arXiv 2602.16400",
        words="close to an oracle model retrained without the forget set",
        ranges={"learning_rate": (5e-5, 5e-2)},
    ),
}
