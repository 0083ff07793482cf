"""Datasets: one file each, host arrays with fixed splits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unlearnax import checks
from unlearnax.data.arrays import arrays
from unlearnax.data.cifar import cifar10, cifar100
from unlearnax.data.digits import digits
from unlearnax.data.fashion_mnist import fashion_mnist
from unlearnax.data.modular import modular
from unlearnax.data.shapes import shapes
from unlearnax.types import Splits

DATASETS: dict[str, Callable[..., Splits]] = {
    "digits": digits,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "shapes": shapes,
    "modular": modular,
    "arrays": arrays,
}

__all__ = ["DATASETS", "arrays", "cifar10", "cifar100", "digits", "fashion_mnist", "load", "modular", "shapes"]


def load(dataset: str, /, **arguments: Any) -> Splits:
    """A dataset by name, with the keywords of its loader.

    Raises:
        ValueError: an unknown name; the nearest ones are suggested.  And what the loader raises.
    """
    checks.one_of("dataset", dataset, DATASETS)
    return DATASETS[dataset](**arguments)
