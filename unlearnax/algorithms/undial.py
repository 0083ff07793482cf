"""Self-distillation with the logit of the true label lowered."""

from __future__ import annotations

import jax
import optax

from unlearnax import checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Model, UnlearnFn


def undial(
    model: Model,
    *,
    beta: float = 10.0,
    learning_rate: float = 1e-2,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 10,
    batch_size: int = 64,
) -> UnlearnFn:
    """UNDIAL: minimises the cross-entropy E_S −Σ_k q_k log p_θ(k|x) to q = softmax(z_θ0 − β onehot(y)) over passes of S.

    The original teaches, its logit of the true label lowered by β: a bounded target, unlike that of ascent.

    Args:
        beta: β ≥ 0; 0 distils the original unchanged.
        learning_rate, momentum, weight_decay, epochs: ours, for classifiers by SGD; the paper treats language models.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Dong et al., "UNDIAL: self-distillation with adjusted logits for robust unlearning in large language models",
    NAACL 2025, arXiv 2402.10052.
    """
    checks.non_negative("beta", beta)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, original, request):
        def objective(params, model_state, key, step, rows):
            x, y = _common.batch(request, rows)
            before, _ = model.apply(original.params, original.model_state, x, train=False, key=None)
            target = jax.nn.softmax(before - beta * jax.nn.one_hot(y, before.shape[-1]))
            logits, model_state = model.apply(params, model_state, x, train=True, key=key)
            return optax.softmax_cross_entropy(logits, target).mean(), model_state

        return _common.minimise(
            key, original, optimizer, objective, request.forget, batch_size=batch_size, epochs=epochs
        )

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "undial": Algorithm(
        undial,
        "ambiguous",
        _common.S,
        "Dong et al., NAACL 2025, arXiv 2402.10052",
        words="mitigate the retention of sensitive or copyrighted content",
        ranges={"learning_rate": (1e-4, 0.1), "beta": (0.3, 30.0)},
    ),
}
