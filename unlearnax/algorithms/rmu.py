"""Hidden features of S steered to one random direction.

Features are the input of the last layer, with the running batch statistics, or what another layer puts out.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from unlearnax import checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Model, UnlearnFn


def _up_to(model: Model, layer: str) -> Callable[..., jax.Array]:
    """``(params, model_state, x) -> [B, ...]``: what a layer puts out, with slopes in it and the two before it only."""
    checks.one_of("layer", layer, model.layers)
    if (hidden := model.hidden) is None:
        raise ValueError(f"Expected layer={layer!r} to be empty: model {model.name!r} shows its features only.")
    last = model.layers.index(layer) + 1
    trained = model.layers[max(last - 3, 0) : last]

    def activations(params, model_state, x):
        held = {name: leaf if name in trained else jax.lax.stop_gradient(leaf) for name, leaf in params.items()}
        return hidden(held, model_state, x, layer)

    return activations


def rmu(
    model: Model,
    *,
    layer: str = "",
    steering: float = 20.0,
    alpha: float = 100.0,
    learning_rate: float = 5e-5,
    epochs: int = 5,
    batch_size: int = 64,
) -> UnlearnFn:
    """RMU: minimises E_S ‖h_θ(x) − c u‖² + α E_R ‖h_θ(x) − h_θ0(x)‖² by Adam over passes of S, batches of R beside.

    h is what the layer of that name puts out and, as in the paper, it and the two below are trained; without a name h are
    the features and all layers but the last are trained.  u is a unit vector along the last axis, its entries uniform in
    [0, 1) before it is normalised, drawn once; the norm runs over that axis, the mean over images and positions.  The
    released code averages over features where the paper sums, a constant factor that Adam cancels.

    Args:
        layer: one of `Model.layers`, normalisation layers among them, or "" for the features.
        steering: c > 0; this and the next two as in the released code, for language models.
        alpha: α ≥ 0.
        epochs: ours; the released code stops after 80 batches.

    Raises:
        ValueError: a hyperparameter out of range, a layer that the model does not have or cannot be asked for.

    Source: Li et al., "The WMDP benchmark", ICML 2024, arXiv 2403.03218, section 4.
    """
    checks.positive("steering", steering)
    checks.non_negative("alpha", alpha)
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size)
    optimizer = optax.adam(learning_rate)
    activations = model.features if layer == "" else _up_to(model, layer)

    def unlearn(key, original, request):
        key_direction, key_passes = jax.random.split(key)

        def features(params, rows):
            return activations(params, original.model_state, _common.batch(request, rows)[0])

        width = jax.eval_shape(features, original.params, jnp.zeros(1, int)).shape[-1]  # shapes only: nothing is read
        u = jax.random.uniform(key_direction, (width,))
        u = u / jnp.linalg.norm(u)

        def objective(params, model_state, key, step, forgotten, retained):
            steered = jnp.square(features(params, forgotten) - steering * u).sum(-1).mean()
            moved = features(params, retained) - features(original.params, retained)
            return steered + alpha * jnp.square(moved).sum(-1).mean(), model_state

        return _common.minimise(
            key_passes, original, optimizer, objective, request.forget, batch_size=batch_size, epochs=epochs,
            beside=(request.retain,),
        )  # fmt: skip

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "rmu": Algorithm(
        rmu,
        "unlearning",
        _common.BOTH,
        "Li et al., ICML 2024, arXiv 2403.03218",
        words="reduce hazardous knowledge, generalizing from limited samples of an entire distribution of it",
        ranges=_common.ADAM_RANGES | {"steering": (1.0, 50.0), "alpha": (0.1, 1000.0)},
    ),
}
