"""Architectures: each a factory ``(inputs, num_classes, **arguments) -> Model``."""

from __future__ import annotations

from collections.abc import Callable

from unlearnax import plugins
from unlearnax.models.adapters import from_functions, from_linen, from_nnx
from unlearnax.models.airbench import airbench
from unlearnax.models.cnn import cnn
from unlearnax.models.mixer import mixer
from unlearnax.models.mlp import mlp
from unlearnax.models.resnet import resnet9, resnet18
from unlearnax.models.vit import vit
from unlearnax.recipes import Recipe
from unlearnax.training import under_rule
from unlearnax.types import InputSpec, Model

MODELS: dict[str, Callable[..., Model]] = {
    "mlp": mlp, "cnn": cnn, "mixer": mixer, "resnet9": resnet9, "resnet18": resnet18, "airbench": airbench, "vit": vit,
}  # fmt: skip

__all__ = [
    "MODELS", "airbench", "build", "cnn", "from_functions", "from_linen", "from_nnx", "mixer", "mlp", "resnet9", "resnet18",
    "vit",
]  # fmt: skip


def build(recipe: Recipe, inputs: InputSpec, num_classes: int) -> Model:
    """The model that a recipe names, for inputs of this shape, as its training rule trains it.

    Raises:
        ValueError: an unknown name, arguments that the factory does not take; what `training.under_rule` raises.
    """
    factory = plugins.resolve("model", recipe.model, MODELS)
    arguments = dict(recipe.model_args) | {"dtype": recipe.dtype}
    try:
        model = factory(inputs, num_classes, **arguments)
    except TypeError as error:
        raise ValueError(f"Expected model_args={arguments} to suit model {recipe.model!r}: {error}.") from error
    return under_rule(recipe, model)
