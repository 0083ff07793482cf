"""Recipe: the training algorithm A as a frozen, hashable, serialisable value."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import optax
from tyro.conf import Suppress

from unlearnax import checks
from unlearnax.augment import make_augment

OPTIMIZERS = ("sgd", "adam", "adamw", "nadam", "nadamw", "rmsprop", "lion", "lamb")
SCHEDULES = ("constant_schedule", "linear_schedule", "cosine_decay_schedule", "warmup_cosine_decay_schedule")

Args = tuple[tuple[str, Any], ...]


def freeze(args: Mapping[str, Any] | Args) -> Args:
    """Keyword arguments as sorted pairs with lists made tuples at every depth, so that they hash."""

    def frozen(value: Any) -> Any:
        return tuple(frozen(each) for each in value) if isinstance(value, list | tuple) else value

    return tuple((name, frozen(value)) for name, value in sorted(dict(args).items()))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one model is trained, whatever the world.

    model: a name in `models.MODELS`, or "path/to/file.py:factory".  model_args: the factory's keywords.
    optimizer: one of `OPTIMIZERS` from optax; optimizer_args: its keywords except the learning rate.
    schedule: one of `SCHEDULES` from optax, with every step argument in schedule_args a *fraction of the run*: worlds of
        different sizes then follow the same curve.  "constant_schedule" needs no arguments.
    weight_decay: coupled L2 added to the gradient.
    epochs, steps: exactly one is set. With `epochs` every world is passed that often, so less data means fewer steps;
        with `steps` every world takes that many steps, whatever was removed from it.
    augment: (name in `augment.AUGMENTATIONS`, its keywords) pairs, applied in order to the images of every batch.
    dtype: compute dtype, "float32" or "bfloat16"; parameters stay float32.
    rule, rule_args: a name in `training.RULES` or "path/to/file.py:rule", and its keywords.
    """

    model: str = "mlp"
    model_args: Suppress[Args] = ()
    optimizer: str = "sgd"
    optimizer_args: Suppress[Args] = (("momentum", 0.9),)
    learning_rate: float = 0.05
    schedule: str = "cosine_decay_schedule"
    schedule_args: Suppress[Args] = (("decay_steps", 1.0),)
    weight_decay: float = 5e-4
    batch_size: int = 64
    epochs: int | None = 30
    steps: int | None = None
    augment: Suppress[tuple[tuple[str, Args], ...]] = ()
    dtype: str = "float32"
    rule: str = "plain"
    rule_args: Suppress[Args] = ()

    def __post_init__(self) -> None:
        for name in ("model_args", "optimizer_args", "schedule_args", "rule_args"):
            object.__setattr__(self, name, freeze(getattr(self, name)))
        object.__setattr__(self, "augment", tuple((name, freeze(args)) for name, args in self.augment))
        make_augment(self.augment)
        checks.one_of("optimizer", self.optimizer, OPTIMIZERS)
        checks.one_of("schedule", self.schedule, SCHEDULES)
        checks.one_of("dtype", self.dtype, ("float32", "bfloat16"))
        checks.positive("learning_rate", self.learning_rate)
        checks.non_negative("weight_decay", self.weight_decay)
        for name in ("batch_size", "epochs", "steps"):  # 3.0 is the same recipe as 3
            value = getattr(self, name)
            if isinstance(value, float) and value.is_integer():
                object.__setattr__(self, name, int(value))
        checks.at_least_one("batch_size", self.batch_size)
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"Expected exactly one of epochs={self.epochs} and steps={self.steps} to be set.")
        if self.epochs is not None:
            checks.at_least_one("epochs", self.epochs)
        if self.steps is not None:
            checks.at_least_one("steps", self.steps)
        # One form of equal numbers: equal recipes must have equal JSON, which populations are known by.
        for name, kind in (("learning_rate", float), ("weight_decay", float), ("batch_size", int), ("epochs", int),
                           ("steps", int)):  # fmt: skip
            if getattr(self, name) is not None:
                object.__setattr__(self, name, kind(getattr(self, name)))
        for name, value in self.schedule_args:
            if name.endswith("_steps") or name == "transition_begin":  # a count, as optax takes it, would never decay
                checks.in_range(f"schedule_args[{name!r}]", value, 0, 1)
        self.gradient_transform()
        self.learning_rate_at(0.5)

    @property
    def budget(self) -> str:
        """What stays equal when data are removed: "epochs=30" or "steps=660"."""
        return f"epochs={self.epochs}" if self.steps is None else f"steps={self.steps}"

    def total_steps(self, rows: Any) -> Any:
        """Optimiser steps in a world of `rows` examples (a number or a traced scalar)."""
        return self.epochs * (rows // self.batch_size) if self.steps is None else self.steps

    def num_passes(self, rows: int) -> int:
        """Passes over a world of `rows` examples, the last one possibly cut short."""
        return self.epochs or -(-(self.steps or 0) // (rows // self.batch_size))

    def gradient_transform(self) -> optax.GradientTransformation:
        """The optimiser at learning rate 1; the caller scales its updates by `learning_rate_at`.

        Raises:
            ValueError: optimizer_args that the optimiser does not take.
        """
        try:
            base = getattr(optax, self.optimizer)(learning_rate=1.0, **dict(self.optimizer_args))
        except TypeError as error:
            given = dict(self.optimizer_args)
            raise ValueError(f"Expected optimizer_args={given} to fit {self.optimizer}: {error}.") from error
        return optax.chain(optax.add_decayed_weights(self.weight_decay), base) if self.weight_decay else base

    def learning_rate_at(self, progress: Any) -> Any:
        """Learning rate at `progress` t/T in [0, 1].

        Raises:
            ValueError: schedule_args that the schedule does not take.
        """
        args = dict(self.schedule_args) if self.schedule != "constant_schedule" else {}
        first = {"constant_schedule": "value", "warmup_cosine_decay_schedule": "peak_value"}.get(
            self.schedule, "init_value"
        )
        if first in args:
            raise ValueError(f"Expected schedule_args={args} without {first}: that is learning_rate.")
        if self.schedule == "warmup_cosine_decay_schedule":
            args = {"init_value": 0.0} | args
        try:
            return getattr(optax, self.schedule)(**{first: self.learning_rate} | args)(progress)
        except TypeError as error:
            raise ValueError(f"Expected schedule_args={args} to fit {self.schedule}: {error}.") from error

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Inverse of `to_json`."""
        fields = json.loads(text)
        for name in ("model_args", "optimizer_args", "schedule_args", "rule_args"):
            fields[name] = freeze(dict(fields[name]))
        fields["augment"] = tuple((name, dict(args)) for name, args in fields["augment"])
        return cls(**fields)
