"""Entry of the NeurIPS 2023 unlearning competition, place 6: first and last layer reset and taught.

The details are those of the winner's notebook as ported in the code of Cadet et al., "Deep unlearn", 2024, arXiv
2410.01276; the notebook itself was not seen.
The head is the last of the model's layers.
"""

from __future__ import annotations

import jax

from unlearnax import batching, checks
from unlearnax.algorithms import _common, _neurips2023
from unlearnax.algorithms._neurips2023 import check_layers, cosine, reset, scheduled_sgd, shapes
from unlearnax.types import Algorithm, Model, UnlearnFn


def decoupled_reset(
    model: Model,
    *,
    temperature: float = 5.0,
    warmup_learning_rate: float = 9e-4,
    warmup_epochs: int = 3,
    learning_rate: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 3,
    batch_size: int = 64,
) -> UnlearnFn:
    """Resets the first convolution and the head, then distils the original on validation data, then on R with labels.

    First passes of the validation rows that minimise d = KL(p_θ0 ‖ p_θ) at temperature T, then SGD with a fresh
    momentum on E_R ℓ + 2 d, the rate of epoch e = 0 … E − 1 being η (1 + cos(π e / E)) / 2.  (The released code adds d and
    the cross-entropy between the same two, which is d and a constant.)

    The layers get new values from the model's own initialiser.  First is the first layer that holds a convolution; in a
    model without any the first layer, which is ours: the released code then resets the head alone.

    Args:
        temperature: T > 0.
        warmup_learning_rate, warmup_epochs: of the passes of validation rows.

    Raises:
        ValueError: a hyperparameter out of range, or a model without named layers.

    Source: sixth place (team of Stathis Karypidis, "Algorithmic Amnesiacs"; name unverified) in Triantafillou et al., "Are
    we making progress in unlearning?", 2024, arXiv 2406.09073; KDE in Cadet et al., 2024, arXiv 2410.01276, with the
    defaults of its code.
    """
    checks.positive("temperature", temperature)
    checks.positive("warmup_learning_rate", warmup_learning_rate)
    checks.at_least_one("warmup_epochs", warmup_epochs)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    check_layers(model)
    found = shapes(model)
    convolutional = [name for name in model.layers if any(leaf.ndim == 4 for leaf in jax.tree.leaves(found[name]))]
    names = ((convolutional or model.layers)[0], model.layers[-1])

    def unlearn(key, original, request):
        key_reset, key_warmup, key_passes = jax.random.split(key, 3)

        def compare(params, model_state, key, rows):
            x, y = _common.batch(request, rows)
            taught, _ = model.apply(original.params, original.model_state, x, train=False, key=None)
            logits, model_state = model.apply(params, model_state, x, train=True, key=key)
            return _common.divergence(taught, logits, temperature), _common.cross_entropy(logits, y), model_state

        def distil(params, model_state, key, step, rows):
            apart, _, model_state = compare(params, model_state, key, rows)
            return apart, model_state

        def hold(params, model_state, key, step, rows):
            apart, loss, model_state = compare(params, model_state, key, rows)
            return loss + 2 * apart, model_state

        state = original._replace(params=reset(key_reset, model, original.params, names))
        warmup = _common.sgd(warmup_learning_rate, momentum, weight_decay)
        state, _, examples = _common.optimise(
            key_warmup, _common.begin(state, warmup), warmup, distil, request.validation, batch_size=batch_size,
            passes=warmup_epochs,
        )  # fmt: skip
        steps = batching.steps_per_pass(request.retain, batch_size)
        optimizer = scheduled_sgd(learning_rate, momentum, weight_decay, cosine(epochs), steps)
        return _common.end(
            _common.optimise(
                key_passes, _common.begin(state, optimizer, examples), optimizer, hold, request.retain,
                batch_size=batch_size, passes=epochs,
            )
        )  # fmt: skip

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "decoupled_reset": Algorithm(
        decoupled_reset,
        "untraining",
        frozenset({"retain", "validation"}),
        _neurips2023.COMPETITION.format(6),
        words=_neurips2023.LIKE_RETRAINED,
        needs=frozenset({"layers"}),
        ranges=_common.SGD_RANGES | {"warmup_learning_rate": (1e-4, 0.2), "temperature": (1.0, 10.0)},
    ),
}
