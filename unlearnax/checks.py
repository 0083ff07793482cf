"""Argument checks: each error names the argument, its value and what was expected."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable
from typing import Any


def in_range(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Raises ValueError unless `value` lies between `low` and `high`; traced values pass, they were checked before."""
    from jax.core import Tracer  # here, so that other checks are there before JAX is

    if isinstance(value, Tracer):
        return
    try:
        above = value > low if open_low else value >= low
        below = value < high if open_high else value <= high
    except TypeError:  # None, a string
        above = below = False
    if isinstance(value, bool) or not (above and below):  # also false for NaN
        left = "(" if open_low or low == -math.inf else "["
        right = ")" if open_high or high == math.inf else "]"
        raise ValueError(f"Expected {name}={value!r} in {left}{low:g}, {high:g}{right}.")


def positive(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is finite and above 0."""
    in_range(name, value, 0.0, math.inf, open_low=True, open_high=True)


def non_negative(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is finite and at least 0."""
    in_range(name, value, 0.0, math.inf, open_high=True)


def at_least_one(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a whole number of at least 1; 3.0 is none, floats may be traced."""
    _whole(name, value, 1)


def at_least_zero(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a whole number of at least 0; 3.0 is none, floats may be traced."""
    _whole(name, value, 0)


def _whole(name: str, value: Any, least: int) -> None:
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"Expected {name}={value!r} to be a whole number of at least {least}.")


def one_of(name: str, value: Any, options: Iterable[Any]) -> None:
    """Raises ValueError unless `value` is one of `options`, suggesting the nearest names."""
    options = list(options)
    if value not in options:
        words = [option for option in options if isinstance(option, str)]  # the nearest number is no misspelling
        near = difflib.get_close_matches(str(value), words, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(repr(option) for option in near)}?" if near else ""
        raise ValueError(f"Expected {name}={value!r} to be one of {', '.join(map(str, options))}.{hint}")


def image(name: str, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless `shape` is that of one image, (height, width, channels)."""
    if len(shape) != 3:
        raise ValueError(f"Expected {name}={shape} to be that of images, (height, width, channels).")


def enough_members(metric: str, needed: int, *counts: int) -> None:
    """Raises ValueError unless every population has at least `needed` members: too few never give a number."""
    if min(counts) < needed:
        raise ValueError(f"{metric} needs at least {needed} members, has {' and '.join(map(str, counts))}.")
