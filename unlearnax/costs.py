"""What training and unlearning cost: model FLOPs, bytes, device time; checked against measurement by `scripts/scaling.py`."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np

from unlearnax.models.conv import convolution_form
from unlearnax.training.tiles import left_bytes, mean_loss, step_shapes
from unlearnax.types import InputSpec, Model


@functools.cache
def example_flops(model: Model, inputs: InputSpec, batch: int = 64) -> float:
    """FLOPs of one example passed forward and backward, as the compiler counts them for one training step.

    One step is analysed, and what a run costs is this times the examples that it passed: the analysis of a compiled loop
    counts the loop's body once.  Forward-only passes (teachers, evaluations) are not in the count of examples.
    """
    gradient = jax.jit(jax.grad(functools.partial(mean_loss, model)))
    with convolution_form("native"):  # ours makes patches in a loop
        lowered = gradient.lower(*step_shapes(model, inputs.shape, np.dtype(np.float32), batch))
    analysis = lowered.compile().cost_analysis()
    assert analysis is not None
    return float(analysis["flops"]) / batch


def example_bytes(model: Model, inputs: InputSpec) -> float:
    """Bytes that the forward pass of one example leaves for its backward pass, before the compiler merges operations."""
    return sum(left_bytes(model, inputs.shape, np.dtype(np.float32)))


@dataclasses.dataclass(frozen=True)
class Member:
    """What it costs to train one model, whatever the device.

    flops, activations: of one example: FLOPs forward and backward, bytes left for the backward pass.
    parameters: how many, 4 bytes each.  batch: examples a step.  slots: numbers the optimiser keeps for each parameter.
    """

    flops: float
    activations: float
    parameters: int
    batch: int
    slots: int = 1

    @property
    def state(self) -> int:
        """Bytes of parameters and optimiser."""
        return 4 * self.parameters * (1 + self.slots)

    @property
    def working(self) -> float:
        """Bytes that a step needs beside the state: what is left for the backward pass, and gradients."""
        return self.batch * self.activations + 4 * self.parameters

    @property
    def traffic(self) -> float:
        """Bytes that a step moves between memory and processor, about.

        Weights are read forward and backward; gradients are written and read; parameters and optimiser are read and
        written.  What is left for the backward pass is written and read, and so are its gradients.
        """
        return 4 * self.parameters * (2 + 2) + 2 * self.state + 4 * self.batch * self.activations

    @property
    def intensity(self) -> float:
        """FLOPs for each byte moved.  Members share no weights, so it does not depend on how many run at once."""
        return self.flops * self.batch / self.traffic

    def run_flops(self, rows: int, epochs: int) -> float:
        """FLOPs of training in a world of `rows` examples, the last incomplete batch of a pass dropped."""
        return self.flops * epochs * (rows // self.batch) * self.batch

    def training_bytes(self, members: int, width: int) -> float:
        """Bytes on a device that trains `members` at `width` at a time, data apart.

        A segment's result takes the place of the state that it began from, unless members take turns: their loop reads one
        array and writes another, and those at work have a copy of their own.
        """
        if width < members:
            return (2 * members + width) * self.state + width * self.working
        return members * (self.state + self.working)


def member(model: Model, inputs: InputSpec, batch: int, slots: int = 1) -> Member:
    """The `Member` of a model of the library."""
    parameters = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0))[0]))
    return Member(example_flops(model, inputs), example_bytes(model, inputs), parameters, batch, slots)


def populations(rows: int, forget: tuple[int, ...], concept: int) -> dict[str, tuple[int, int]]:
    """Populations that the discovery rates of one concept need: name -> (rows of its world, times M members).

    forget: |S| at each rate.  concept: |F|.  Rates share the originals and the oracle without the concept; of every
    oracle there are 2M members, reference and held out.
    """
    retrains = {f"retrain, |S| = {size}": (rows - size, 2) for size in forget}
    return {"original": (rows, 1), "concept_free": (rows - concept, 2)} | retrains


def problem_flops(one: Member, epochs: int, members: int, worlds: dict[str, tuple[int, int]]) -> float:
    """FLOPs of training every population in `worlds`, as `populations` gives them."""
    return sum(times * members * one.run_flops(rows, epochs) for rows, times in worlds.values())


@dataclasses.dataclass(frozen=True)
class Device:
    """A device by its rates.

    rate: FLOP/s of matrix products.  bandwidth: bytes a second to and from its memory.  memory: bytes.
    units: product engines that work side by side, each on one tile of an output.
    launch: seconds that starting one operation costs.
    """

    rate: float
    bandwidth: float
    memory: float
    units: int
    launch: float = 0.0

    def attainable(self, intensity: float, fraction: float = 1.0) -> float:
        """FLOP/s at an intensity, when `fraction` of the rate is reached where memory is no limit.

        Source: Williams, Waterman, Patterson, "Roofline", Communications of the ACM 52(4), 2009.
        """
        return min(fraction * self.rate, intensity * self.bandwidth)
