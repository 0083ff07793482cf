"""SCRUB with rewinding: back to the epoch that forgot as much as there was to forget."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from unlearnax.algorithms import _common, _curvature, distill
from unlearnax.types import Algorithm, Model, UnlearnFn


def scrub_rewind(
    model: Model,
    *,
    alpha: float = 0.5,
    gamma: float = 1.0,
    temperature: float = 4.0,
    max_epochs: int = 3,
    learning_rate: float = 5e-4,
    epochs: int = 5,
    batch_size: int = 64,
) -> UnlearnFn:
    """SCRUB+R: SCRUB, then back to the epoch whose error on S is nearest to what data like S would have.

    With θ_1 … θ_E the students after each epoch of `scrub`, returns θ_e of e = argmin |err_S(θ_e) − err_V(θ_E)|, the last
    one among equals.  V are the validation rows of the classes in S, each class weighted by its share of S: "the same
    distribution as the forget set".  The reference is measured once, at the end of training, where the error on S is
    typically the highest; so every epoch's student is kept until then.  Errors are shares of wrong top classes, with the
    running batch statistics; where V is empty the last student is returned.

    Args:
        alpha, gamma, temperature, max_epochs, learning_rate, epochs: see `scrub`.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Kurmanji et al., "Towards unbounded machine unlearning", NeurIPS 2023, arXiv 2302.09880, section on SCRUB and
    rewind.
    """
    distill.check_scrub(alpha=alpha, gamma=gamma, temperature=temperature, max_epochs=max_epochs)
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size)
    optimizer = optax.adam(learning_rate)

    def unlearn(key, teacher, request):
        def logits_of(state, rows):
            x, y = _common.batch(request, rows)
            return model.apply(state.params, state.model_state, x, train=False, key=None)[0], y

        classes = jax.eval_shape(logits_of, teacher, jnp.zeros(1, int))[0].shape[-1]  # shapes only: nothing is read

        def class_counts(rows):
            inside = jnp.arange(len(rows.index)) < rows.length
            return jnp.zeros(classes).at[jnp.asarray(request.y)[rows.index]].add(inside)

        def error(state, rows, class_weights):
            def wrong(rows, weights):
                logits, y = logits_of(state, rows)
                right = (logits.argmax(-1) == y) & ~jnp.isnan(logits).any(-1)
                return (weights * class_weights[y] * ~right).sum(), (weights * class_weights[y]).sum()

            missed, weight = _curvature.total((jnp.zeros(()), jnp.zeros(())), rows, wrong, batch_size)
            return missed / jnp.maximum(weight, 1e-12)

        of_forget, of_validation = class_counts(request.forget), class_counts(request.validation)
        alike = jnp.where(of_validation > 0, of_forget / jnp.maximum(of_validation, 1), 0.0)
        epoch = distill.scrub_epoch(
            model, key, teacher, request, optimizer, alpha=alpha, gamma=gamma, temperature=temperature,
            max_epochs=max_epochs, batch_size=batch_size,
        )  # fmt: skip

        def keep(carry, number):
            carry = epoch(number, carry)
            student = carry[0]._replace(opt_state=())
            return carry, (student, carry[1], error(student, request.forget, jnp.ones(classes)))

        (last, _, examples), (students, losses, errors) = jax.lax.scan(
            keep, _common.begin(teacher, optimizer), jnp.arange(epochs)
        )
        apart = jnp.where(alike.any(), jnp.abs(errors - error(last, request.validation, alike)), 0.0)
        # The last one among equals: shares of few examples, which rounding must not tell apart.
        best = epochs - 1 - (apart <= apart.min() + 1e-6)[::-1].argmax()
        student, loss = jax.tree.map(lambda each: each[best], (students, losses))
        return _common.end((student, loss, examples))

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "scrub_rewind": Algorithm(
        scrub_rewind,
        "untraining",
        frozenset({"forget", "retain", "validation"}),
        "Kurmanji et al., NeurIPS 2023, arXiv 2302.09880",
        words="forget error 'just high enough': that of a model that never learned about the forget set",
        ranges=_common.ADAM_RANGES | {"alpha": (0.01, 2.0), "gamma": (0.1, 10.0)},
    ),
}
