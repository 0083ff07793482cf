"""FLOPs and bytes of a step against counting by hand, and against what the compiler and the engine report."""

import functools

import jax
import numpy as np
import pytest

from unlearnax import batching, data, models
from unlearnax.costs import Device, Member, example_bytes, example_flops, member, populations, problem_flops
from unlearnax.experiment import populations_of
from unlearnax.members import Prepared, member_keys
from unlearnax.oracles import ORACLES
from unlearnax.problems import concept
from unlearnax.recipes import Recipe
from unlearnax.training import make_training
from unlearnax.types import InputSpec

FLAT, SMALL = InputSpec((64,)), InputSpec((8, 8, 3))


def test_an_mlp_costs_its_products_forward_and_backward():
    """Forward 2 · in · out a layer; backward as much for weights, and for inputs but the first layer's."""
    model = models.mlp(FLAT, 10, widths=(128,))
    expected = 4 * 64 * 128 + 6 * 128 * 10
    assert example_flops(model, FLAT) == pytest.approx(expected, rel=0.1)
    assert example_flops(model, FLAT, 128) == pytest.approx(example_flops(model, FLAT), rel=0.05)


def test_twice_the_width_costs_twice_as_much():
    narrow, wide = (example_flops(models.mlp(FLAT, 10, widths=(w,)), FLAT) for w in (128, 256))
    assert wide == pytest.approx(2 * narrow, rel=0.05)


def inside(size, kernel=3, stride=1):
    """Pairs of output and kernel position along one side that meet a pixel, not padding of "SAME"."""
    outputs = -(-size // stride)
    before = max((outputs - 1) * stride + kernel - size, 0) // 2
    return sum(0 <= o * stride - before + k < size for o in range(outputs) for k in range(kernel))


def test_a_cnn_costs_its_products():
    """The compiler leaves out what meets padding."""
    model = models.cnn(SMALL, 10, widths=(16, 32))
    expected, size, channels = 0, 8, 3
    for i, width in enumerate((16, 32)):
        expected += 2 * channels * width * inside(size, stride=2) ** 2 * (3 if i else 2)
        size, channels = size // 2, width
    expected += 6 * size * size * channels * 10
    assert example_flops(model, SMALL) == pytest.approx(expected, rel=0.1)


def test_resnet9_costs_its_products():
    model = models.resnet9(SMALL, 10, width=8)
    convolutions = [(8, 3, 8), (8, 8, 16), (4, 16, 16), (4, 16, 16), (4, 16, 32), (2, 32, 64), (1, 64, 64), (1, 64, 64)]
    expected = 6 * 64 * 10
    for i, (size, channels, width) in enumerate(convolutions):
        expected += 2 * channels * width * inside(size) ** 2 * (3 if i else 2)
    assert example_flops(model, SMALL) == pytest.approx(expected, rel=0.2)  # norms and pooling are the rest


def test_a_vision_transformer_costs_its_products():
    tokens, width, depth = 5, 32, 2
    model = models.vit(SMALL, 10, patch=4, width=width, depth=depth, heads=2)
    block = 2 * tokens * 12 * width**2 + 4 * tokens**2 * width
    expected = 4 * 4 * 4 * 4 * 3 * width + 3 * depth * block + 6 * width * 10
    assert example_flops(model, SMALL) == pytest.approx(expected, rel=0.2)


def test_an_mlp_leaves_its_inputs_and_hidden_layers():
    """At least what backward needs, the hidden layer and the softmax; at most a few arrays of each size."""
    least = 4 * (128 + 10)
    found = example_bytes(models.mlp(FLAT, 10, widths=(128,)), FLAT)
    assert least <= found <= 4 * (64 + 3 * 128 + 4 * 10)
    wide = example_bytes(models.mlp(FLAT, 10, widths=(256,)), FLAT)
    assert wide - found == pytest.approx(found - example_bytes(models.mlp(FLAT, 10, widths=()), FLAT), rel=0.2)


def test_state_is_what_a_member_holds():
    recipe = Recipe(model_args=(("widths", (128,)),))
    model = models.build(recipe, FLAT, 10)
    state = jax.eval_shape(make_training(recipe, model).init, jax.random.key(0))
    one = member(model, FLAT, 64)
    assert one.parameters == 65 * 128 + 129 * 10
    assert one.state == sum(4 * leaf.size for leaf in jax.tree.leaves((state.params, state.opt_state)))


WIDE = Recipe(model_args=(("widths", (512,)),), batch_size=16)  # large weights and a small batch: states stand out


@functools.cache
def segment_bytes(members, plan):
    """Bytes of a compiled segment as the compiler counts them, data apart, and the `Member`."""
    model = models.build(WIDE, FLAT, 10)
    bound = make_training(WIDE, model)
    keys = member_keys(0, 0, range(members))
    states = jax.tree.map(lambda a: np.zeros((members, *a.shape), a.dtype), jax.eval_shape(bound.init, keys[0]))
    x, y = np.zeros((64, 64), np.float32), np.zeros(64, np.int32)
    shared = (x, y, batching.subset(np.arange(64)), (np.int32(0), np.int32(1)))
    program = Prepared(lambda both, s: bound.segment(both[1][0], both[0], *s)[0], (keys,), shared, plan, states)
    return program.bytes() - x.nbytes, member(model, FLAT, 16)


@pytest.mark.parametrize(("plan", "width"), [("map", 1), ("vmap:4", 4), ("vmap", 16)])
def test_bytes_of_a_compiled_segment(plan, width):
    found, one = segment_bytes(16, plan)
    assert found == pytest.approx(one.training_bytes(16 // jax.local_device_count(), width), rel=0.2)


def test_members_beyond_the_width_cost_their_states_only():
    (few, one), (many, _) = (segment_bytes(count, "map") for count in (16, 32))
    assert many - few == pytest.approx(2 * 16 // jax.local_device_count() * one.state, rel=0.01)


def test_populations_are_those_of_an_experiment():
    splits = data.load("digits")
    problems = [concept(splits, 3, rate) for rate in (0.1, 1.0)]
    rows, members = len(splits.train.x), 4
    found = populations(rows, tuple(len(p.forget) for p in problems), len(problems[0].concept))
    oracles = {name: ORACLES[name] for name in ("retrain", "concept_free")}
    worlds = {}  # retrains differ between the rates, originals and the other oracle do not
    for problem in problems:
        for role, world in populations_of(problem, oracles).items():
            worlds[role, len(problem.forget) if "retrain" in role else None] = len(world.index)
    assert sum(times for _, times in found.values()) == len(worlds) == 7
    one = Member(flops=3.0, activations=0.0, parameters=1, batch=64)
    assert one.run_flops(rows, 5) == 3.0 * 64 * Recipe(epochs=5, batch_size=64).total_steps(rows)
    assert problem_flops(one, 1, members, found) == members * sum(3.0 * (n // 64) * 64 for n in worlds.values())


def test_roofline():
    device = Device(rate=100.0, bandwidth=10.0, memory=1.0, units=1)
    assert [device.attainable(i, f) for i, f in ((1.0, 1.0), (10.0, 1.0), (50.0, 1.0), (50.0, 0.3), (1.0, 0.3))] == [
        10.0, 100.0, 100.0, 30.0, 10.0,
    ]  # fmt: skip
    one = Member(flops=8.0, activations=4.0, parameters=10, batch=5)
    assert one.state == 80
    assert one.traffic == 160 + 160 + 80
    assert one.intensity == 40 / 400
    assert one.training_bytes(3, 8) == 3 * (80 + 20 + 40)
    assert one.training_bytes(3, 1) == 2 * 3 * 80 + 80 + 60
