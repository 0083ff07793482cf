"""Entry of the NeurIPS 2023 unlearning competition, place 1: outputs made uniform, then pushed off those of R.

The details are those of the winner's notebook as ported in the code of Cadet et al., "Deep unlearn", 2024, arXiv
2410.01276; the notebook itself was not seen.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from unlearnax import batching, checks
from unlearnax.algorithms import _common, _neurips2023
from unlearnax.algorithms._neurips2023 import cosine, scheduled_sgd
from unlearnax.types import Algorithm, Model, UnlearnFn


def _taking_turns(number: int, optimizers: tuple[optax.GradientTransformation, ...]) -> optax.GradientTransformation:
    """One of several optimisers of the same weights, each with a state of its own that rests in the others' turns."""

    def update(updates, state, params=None):
        updates, mine = optimizers[number].update(updates, state[number], params)
        return updates, (*state[:number], mine, *state[number + 1 :])

    return optax.GradientTransformation(lambda params: tuple(each.init(params) for each in optimizers), update)


def fanchuan(
    model: Model,
    *,
    temperature: float = 1.15,
    uniform_learning_rate: float = 5e-3,
    forget_learning_rate: float = 3e-4,
    learning_rate: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 1e-2,
    epochs: int = 8,
    batch_size: int = 64,
) -> UnlearnFn:
    """Fanchuan: makes S look uniform, then pushes its logits off those of R and repairs R, by turns.

    One pass of S that minimises KL(uniform ‖ p_θ).  Then E times a pass of S that minimises
    −mean_ij log softmax_j(f_θ(x_i) · f_θ(x_j) / T), f the logits, x_i in a batch of S and x_j in one of R, those of R held
    constant, and a pass of R that minimises ℓ.  Each of the three is SGD with its own momentum, decay is on R only, and the
    rate on S in the second stage falls as a cosine over all of its steps.

    The released code has batches of 256 for R, the rate there 4 · 10⁻³ in proportion, ends a pass of S once R is through,
    and lets the falling rate end at 10⁻⁶, not 0.

    Args:
        temperature: T > 0.
        uniform_learning_rate, forget_learning_rate, learning_rate: of the first pass, of S and of R.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: first place (team fanchuan) in Triantafillou et al., "Are we making progress in unlearning?", 2024, arXiv
    2406.09073; FCS in Cadet et al., 2024, arXiv 2410.01276, with the defaults of its code.
    """
    checks.positive("temperature", temperature)
    checks.positive("uniform_learning_rate", uniform_learning_rate)
    checks.positive("forget_learning_rate", forget_learning_rate)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )

    def unlearn(key, state, request):
        key_uniform, key_forget, key_retain = jax.random.split(key, 3)
        total = epochs * batching.steps_per_pass(request.forget, batch_size)
        each = (
            _common.sgd(uniform_learning_rate, momentum, 0.0),
            scheduled_sgd(forget_learning_rate, momentum, 0.0, cosine(total), 1),
            _common.sgd(learning_rate, momentum, weight_decay),
        )
        first, push, repair = (_taking_turns(number, each) for number in range(3))

        def uniform(params, model_state, key, step, rows):
            x, _ = _common.batch(request, rows)
            logits, model_state = model.apply(params, model_state, x, train=True, key=key)
            log_p = jax.nn.log_softmax(logits)
            return -(log_p.mean(-1) + jnp.log(logits.shape[-1])).mean(), model_state

        def contrast(params, model_state, key, step, forgotten, retained):
            key_forgotten, key_retained = jax.random.split(key)
            x_s, x_r = (_common.batch(request, rows)[0] for rows in (forgotten, retained))
            of_s, model_state = model.apply(params, model_state, x_s, train=True, key=key_forgotten)
            of_r, model_state = model.apply(params, model_state, x_r, train=True, key=key_retained)
            alike = of_s @ jax.lax.stop_gradient(of_r).T / temperature
            return -jax.nn.log_softmax(alike).mean(), model_state

        def on_retain(params, model_state, key, step, rows):
            return _common.training_loss(model, params, model_state, key, request, rows)

        def epoch(number, carry):
            now = (number, number + 1)
            carry = _common.optimise(
                key_forget, carry, push, contrast, request.forget, batch_size=batch_size, passes=now,
                beside=(request.retain,),
            )  # fmt: skip
            return _common.optimise(
                key_retain, carry, repair, on_retain, request.retain, batch_size=batch_size, passes=now
            )

        carry = _common.begin(state, first)
        carry = _common.optimise(key_uniform, carry, first, uniform, request.forget, batch_size=batch_size, passes=1)
        return _common.end(jax.lax.fori_loop(0, epochs, epoch, carry))

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "fanchuan": Algorithm(
        fanchuan,
        "untraining",
        _common.BOTH,
        _neurips2023.COMPETITION.format(1),
        words=_neurips2023.LIKE_RETRAINED,
        ranges=_common.SGD_RANGES | {"uniform_learning_rate": (1e-4, 0.2), "forget_learning_rate": (1e-5, 0.1)},
    ),
}
