"""What every algorithm owes: each entry of `ALGORITHMS` goes through all of these, with its needs in one table."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.algorithms import ALGORITHMS
from unlearnax.recipes import Recipe
from unlearnax.training import make_train, under_rule
from unlearnax.types import World
from unlearnax.unlearning import needed_rule

BATCH, EPOCHS = 8, 2
NAMES = sorted(ALGORITHMS)
SUBSETS = ("forget", "retain", "validation")
KEY = jax.random.key(4)


def steps(rows: int) -> int:
    return max(rows // BATCH, 1)


@dataclasses.dataclass(frozen=True)
class Needs:
    """visible: hyperparameters that move the weights of a tiny model.  changes: whether it moves them at all.

    examples: how many it passes for |S| and |R|.  bad: values out of range, beyond those of `BAD`.
    model: what it is tried on, "mlp" or "conv".  normed: whether also on one with batch statistics.
    rule, rule_args: the training rule that its members need.
    """

    visible: dict[str, Any] = dataclasses.field(default_factory=dict)
    changes: bool = True
    examples: Callable[[int, int], int] | None = None
    bad: dict[str, tuple] = dataclasses.field(default_factory=dict)
    model: str = "mlp"
    normed: bool = True
    rule: str = "plain"
    rule_args: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        args = tuple(self.rule_args.items())
        return Recipe(batch_size=BATCH, epochs=EPOCHS, learning_rate=0.05, rule=self.rule, rule_args=args)


NEEDS = {
    "do_nothing": Needs(changes=False, examples=lambda s, r: 0),
    "fine_tune": Needs(examples=lambda s, r: EPOCHS * steps(r) * BATCH),
    "l1_sparse": Needs({"gamma": 0.01}, examples=lambda s, r: EPOCHS * steps(r) * BATCH, bad={"gamma": (-1.0,)}),
    "gradient_ascent": Needs(examples=lambda s, r: EPOCHS * steps(s) * BATCH),
    "neg_grad_plus": Needs(
        {"alpha": 0.6}, examples=lambda s, r: 2 * EPOCHS * steps(r) * BATCH, bad={"alpha": (-0.1, 1.1)}
    ),
    "npo": Needs(
        {"beta": 0.5}, examples=lambda s, r: 2 * EPOCHS * steps(r) * BATCH, bad={"alpha": (-1.0,), "beta": (0.0, -1.0)}
    ),
    "random_label": Needs(examples=lambda s, r: EPOCHS * steps(s + r) * BATCH),
    "salun": Needs(
        examples=lambda s, r: (steps(s) + EPOCHS * (steps(s) + steps(r))) * BATCH, bad={"fraction": (-0.1, 1.1)}
    ),
    "scrub": Needs(
        {"max_epochs": EPOCHS},
        examples=lambda s, r: EPOCHS * (steps(s) + steps(r)) * BATCH,
        bad={"alpha": (-1.0,), "gamma": (-1.0,), "temperature": (0.0,), "max_epochs": (-1,)},
    ),
    "bad_teacher": Needs(
        {"retain_fraction": 1.0},
        examples=lambda s, r: EPOCHS * steps(s + r) * BATCH,
        bad={"retain_fraction": (-0.1, 1.1), "temperature": (0.0,)},
    ),
    "ssd": Needs(
        {"alpha": 1.0, "dampening": 0.5},
        examples=lambda s, r: (steps(s + r) + steps(s)) * BATCH,
        bad={"alpha": (0.0,), "dampening": (0.0,)},
    ),
    "lfssd": Needs(
        {"alpha": 0.2, "dampening": 0.2},
        examples=lambda s, r: (steps(s + r) + steps(s)) * BATCH,
        bad={"alpha": (0.0, -1.0), "dampening": (0.0,)},
    ),
    "assd": Needs(
        {"dampening": 0.5},
        examples=lambda s, r: (steps(s + r) + steps(s)) * BATCH,
        bad={"dampening": (0.0,)},
    ),
    "potion": Needs(
        {"dampening": 0.5, "max_trials": 60},
        examples=lambda s, r: (steps(s + r) + steps(s)) * BATCH,
        bad={
            "rho": (-0.1, 1.1),
            "dampening": (0.0,),
            "start": (0.0,),
            "growth": (0.9, math.inf),
            "max_trials": (0, 1.5),
        },
    ),
    "fisher_forgetting": Needs({"alpha": 1e-4}, examples=lambda s, r: 3 * steps(r) * BATCH, bad={"alpha": (0.0, -1.0)}),
    "ntk_forgetting": Needs(
        examples=lambda s, r: s + r,
        bad={"scale": (0.0,), "weight_decay": (0.0, -1.0), "max_weights": (0, 10)},
    ),
    "influence": Needs(
        {"damping": 0.2, "iterations": 10},
        bad={
            "scale": (0.0,),
            "damping": (-1.0,),
            "curvature": ("forget",),
            "iterations": (0, 1.5),
            "tolerance": (-0.1, 1.0),
        },
    ),
    "newton": Needs(
        {"damping": 1.0, "iterations": 10, "steps": EPOCHS},
        bad={"damping": (-1.0,), "steps": (0, 1.5), "iterations": (0, 1.5), "tolerance": (-0.1, 1.0)},
    ),
    "ascent_descent": Needs(
        {"ascent_epochs": 1},
        examples=lambda s, r: (steps(s) + EPOCHS * steps(r)) * BATCH,
        bad={"ascent_epochs": (-1,)},
    ),
    "grad_diff": Needs(examples=lambda s, r: 2 * EPOCHS * steps(s) * BATCH, bad={"alpha": (-1.0,)}),
    "ascent_kl": Needs(examples=lambda s, r: 2 * EPOCHS * steps(s) * BATCH, bad={"alpha": (-1.0,)}),
    "sim_npo": Needs(
        {"delta": 0.2},
        examples=lambda s, r: 2 * EPOCHS * steps(r) * BATCH,
        bad={"alpha": (-1.0,), "beta": (0.0, -1.0), "delta": (math.inf, -math.inf)},
    ),
    "dpo": Needs(
        {"beta": 0.5},
        examples=lambda s, r: 2 * EPOCHS * steps(r) * BATCH,
        bad={"alpha": (-1.0,), "beta": (0.0, -1.0), "refusal": ("idk", None)},
    ),
    "undial": Needs(examples=lambda s, r: EPOCHS * steps(s) * BATCH, bad={"beta": (-1.0, math.inf)}),
    "rmu": Needs(examples=lambda s, r: 2 * EPOCHS * steps(s) * BATCH, bad={"steering": (0.0,), "alpha": (-1.0,)}),
    "lipschitz": Needs(
        {"samples": 3},
        examples=lambda s, r: EPOCHS * steps(s) * BATCH,
        bad={"sigma": (0.0, -1.0), "samples": (0, 1.5)},
    ),
    "task_vector": Needs(examples=lambda s, r: EPOCHS * steps(s) * BATCH, bad={"scale": (-1.0, math.inf)}),
    "duck": Needs(
        {"retain_batches": 2, "target_accuracy": 0.0},
        examples=lambda s, r: 2 * EPOCHS * 2 * steps(s) * BATCH,
        bad={
            "forget_weight": (-1.0,),
            "retain_weight": (-1.0,),
            "temperature": (0.0,),
            "target_accuracy": (-0.1, 1.1),
            "retain_batches": (0, 1.5),
        },
    ),
    "gaussian_noise": Needs(
        examples=lambda s, r: EPOCHS * steps(r) * BATCH, bad={"sigma": (-1.0,), "epochs": (-1, 1.5)}
    ),
    "cf_k": Needs(examples=lambda s, r: EPOCHS * steps(r) * BATCH, bad={"k": (0, 1.5, 5, "dense9")}),
    "eu_k": Needs(examples=lambda s, r: EPOCHS * steps(r) * BATCH, bad={"k": (0, 1.5, 5, "dense9")}),
    "boundary_shrink": Needs(
        {"bound": 0.3},
        examples=lambda s, r: (math.ceil(s / BATCH) + EPOCHS * steps(s)) * BATCH,
        bad={"bound": (-1.0,)},
    ),
    "unsir": Needs(
        {"noise_steps": 5, "noises": 4, "retain_fraction": 1.0},
        examples=lambda s, r: 5 * 4 + EPOCHS * steps(r) * (2 * BATCH + 4),
        bad={
            "noise_rate": (0.0,),
            "noise_penalty": (-1.0,),
            "noise_steps": (0, 1.5),
            "noises": (0, 1.5),
            "retain_fraction": (0.0, 1.1),
            "impair_rate": (0.0,),
            "repair_rate": (0.0,),
        },
    ),
    "scrub_rewind": Needs(
        {"epochs": 6},
        examples=lambda s, r: (3 * steps(s) + 6 * steps(r)) * BATCH,
        bad={"alpha": (-1.0,), "gamma": (-1.0,), "temperature": (0.0,), "max_epochs": (-1,)},
    ),
    "undo": Needs(
        {"suppress_rate": 0.02},
        examples=lambda s, r: (1 + EPOCHS) * 2 * steps(r) * BATCH,
        bad={"alpha": (-0.1, 1.1), "beta": (-1.0,), "suppress_rate": (0.0,), "suppress_epochs": (0, 1.5)},
    ),
    "fanchuan": Needs(
        examples=lambda s, r: (steps(s) + EPOCHS * (2 * steps(s) + steps(r))) * BATCH,
        bad={
            "temperature": (0.0, -1.0),
            "uniform_learning_rate": (0.0, -1.0, math.inf),
            "forget_learning_rate": (0.0, -1.0, math.inf),
        },
    ),
    "magnitude_gradient": Needs(
        examples=lambda s, r: (steps(s) + steps(min(s, r)) + EPOCHS * steps(r)) * BATCH,
        bad={"fraction": (-0.1, 1.1), "slowdown": (-0.1, 1.1)},
        model="conv",
    ),
    "class_weighted_noise": Needs(
        examples=lambda s, r: EPOCHS * steps(r) * BATCH,
        bad={"sigma": (-1.0, math.inf), "final_sigma": (-1.0, math.inf)},
        model="conv",
    ),
    "prune_match": Needs(examples=lambda s, r: EPOCHS * steps(r) * BATCH, bad={"fraction": (-0.1, 1.1)}),
    "transpose_kernels": Needs(examples=lambda s, r: EPOCHS * steps(r) * BATCH, model="conv"),
    "decoupled_reset": Needs(
        {"warmup_epochs": EPOCHS, "warmup_learning_rate": 0.05},
        examples=lambda s, r: EPOCHS * (1 + steps(r)) * BATCH,
        bad={"temperature": (0.0,), "warmup_learning_rate": (0.0, math.inf), "warmup_epochs": (0, 1.5)},
        model="conv",
    ),
    "random_noise_injection": Needs(
        {"kernels": 1, "warmup_epochs": 0, "fine_epochs": 1},
        examples=lambda s, r: EPOCHS * steps(r) * BATCH,
        bad={
            "sigma": (-1.0, math.inf),
            "noise_fraction": (-0.1, 1.1),
            "kernels": (0, 1.5),
            "warmup_epochs": (-1, math.inf),
            "fine_epochs": (-1, math.inf),
        },
    ),
    "dp_sgd": Needs(changes=False, examples=lambda s, r: 0, normed=False, rule="dp_sgd"),
}
# What all who have such a hyperparameter share.
VISIBLE = {"learning_rate": 0.05, "epochs": EPOCHS, "batch_size": BATCH}
BAD = {
    "learning_rate": (0.0, -1.0, math.inf),
    "momentum": (-0.1, 1.0),
    "weight_decay": (-1.0,),
    "epochs": (0, -1, 1.5),
    "batch_size": (0, 2.5),
}


def needs(name):
    return NEEDS.get(name, Needs())


def parameters(name):
    """Name and default of each hyperparameter."""
    given = inspect.signature(ALGORITHMS[name].make).parameters
    return {key: p.default for key, p in given.items() if key not in ("model", "recipe")}


def visible(name):
    mine = parameters(name)
    ruled = {"recipe": needs(name).recipe} if needed_rule(ALGORITHMS[name]) else {}
    return mine | {key: value for key, value in VISIBLE.items() if key in mine} | needs(name).visible | ruled


def start(name, model, tiny, seed=1):
    """A member: initialised, or trained on S and R under the rule that the algorithm needs."""
    if needed_rule(ALGORITHMS[name]) is None:
        return tiny.state(model, seed)
    rows = np.concatenate([tiny.rows["forget"], tiny.rows["retain"]])
    return trained(needs(name).recipe, model)(jax.random.key(seed), World(tiny.x, tiny.y, rows))[0]


@functools.cache
def trained(recipe, model):
    return jax.jit(make_train(recipe, model))


COUNTED: dict[int, tuple[Any, list[int]]] = {}


def counted(model):
    """The model with a count of the calls of its apply from Python: compiled calls do not reach it."""
    if id(model) not in COUNTED:
        count = [0]

        def apply(*args, **kwargs):
            count[0] += 1
            return model.apply(*args, **kwargs)

        COUNTED[id(model)] = dataclasses.replace(model, apply=apply), count
    return COUNTED[id(model)]


def floats_of(name):
    return {key: value for key, value in visible(name).items() if isinstance(value, float)}


@functools.cache
def program(name, model):
    """One program for each algorithm and model, with every float hyperparameter traced."""
    make, mine = ALGORITHMS[name].make, visible(name)
    cheap = {"xla_backend_optimization_level": 0}  # compiling is nearly all that these tests do

    def run(key, state, request, floats):
        return make(counted(model)[0], **mine | floats)(key, state, request)

    return jax.jit(run, compiler_options=cheap), jax.jit(jax.vmap(run, (0, 0, None, 0)), compiler_options=cheap)


def compiled(name, model):
    run, floats = program(name, model)[0], floats_of(name)
    return lambda key, state, request: run(key, state, request, floats)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def plain(name, tiny):
    return ruled(needs(name).recipe, {"mlp": tiny.model, "conv": tiny.conv}[needs(name).model])


@functools.cache
def ruled(recipe, model):
    return under_rule(recipe, model)


@pytest.fixture(params=["plain", "normed"])
def model(request, name, plain, tiny):
    if request.param == "plain":
        return plain
    normed = {"mlp": tiny.normed, "conv": tiny.conv_normed}[needs(name).model]
    if not needs(name).normed:
        with pytest.raises(ValueError, match="batch statistics"):
            under_rule(needs(name).recipe, normed)
        pytest.skip("it refuses batch statistics")
    return ruled(needs(name).recipe, normed)


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(leaves(a), leaves(b), strict=True))


def finite(tree):
    return all(np.isfinite(leaf).all() for leaf in leaves(tree))


def assert_close(a, b):
    jax.tree.map(lambda p, q: np.testing.assert_allclose(p, q, rtol=1e-3, atol=1e-4), a, b)


def with_nan(tiny, *subsets):
    """Inputs with NaN in the rows of these subsets, labels with another class there."""
    rows = np.concatenate([np.zeros(0, int), *(tiny.rows[s] for s in subsets)])
    x, y = tiny.x.copy(), tiny.y.copy()
    x[rows], y[rows] = np.nan, (y[rows] + 1) % 3
    return x, y


def test_metadata_is_complete(name):
    algorithm = ALGORITHMS[name]
    assert algorithm.goal in ("untraining", "unlearning", "ambiguous", "control")
    assert algorithm.access <= set(SUBSETS)
    assert algorithm.citation
    assert "Source:" in algorithm.make.__doc__ or algorithm.goal == "control"


def test_a_member_stays_a_member(name, model, tiny):
    """Structure, dtypes, no optimiser state; finite; changed where it should be; the same for the same key."""
    state = start(name, model, tiny)
    kept = jax.tree.map(np.array, state)
    out, info = compiled(name, model)(KEY, state, tiny.request())
    assert jax.tree.structure(out) == jax.tree.structure(state)
    assert [(a.shape, a.dtype) for a in leaves(out)] == [(a.shape, a.dtype) for a in leaves(state)]
    assert out.opt_state == ()
    assert finite(out)
    assert finite(info)
    assert info.loss.shape == info.examples.shape == ()
    assert same(out.params, state.params) is not needs(name).changes
    assert same(state, kept)
    assert same((out, info), compiled(name, model)(KEY, state, tiny.request()))


def test_eager_with_python_values_equals_jit_with_traced_ones(name, plain, tiny):
    state, request = start(name, plain, tiny), tiny.request()
    kept = jax.tree.map(np.array, (state, request))
    eager = ALGORITHMS[name].make(plain, **visible(name))(KEY, state, request)
    assert_close(eager, compiled(name, plain)(KEY, state, request))
    assert same((state, request), kept)


def test_batched_members_and_floats_equal_a_loop(name, plain, tiny):
    """Two lanes with their own key, state and hyperparameters: one at the visible values, one with each float halved."""
    one, batched = program(name, plain)
    lanes = [
        (
            jax.random.key(i),
            start(name, plain, tiny, seed=i),
            {key: value / (1 + i) for key, value in floats_of(name).items()},
        )
        for i in range(2)
    ]
    keys, states, floats = jax.tree.map(lambda *leaf: jnp.stack(leaf), *lanes)
    together = batched(keys, states, tiny.request(), floats)
    for i, (key, state, mine) in enumerate(lanes):
        assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], together), one(key, state, tiny.request(), mine))


@pytest.mark.parametrize("forgotten", [1, 5, 16])
def test_every_size_of_forget_set_shares_one_program(name, model, tiny, forgotten):
    """One example, fewer than a batch, two batches; the retain set takes or gives the difference."""
    run, state = compiled(name, model), start(name, model, tiny)
    run(KEY, state, tiny.request())
    before = counted(model)[1][0]
    rows = np.concatenate([tiny.rows["forget"], tiny.rows["retain"]])
    out, info = run(KEY, state, tiny.request(forget=rows[:forgotten], retain=rows[forgotten:]))
    assert counted(model)[1][0] == before
    assert finite((out, info))
    assert same(out.params, state.params) is not needs(name).changes
    if (examples := needs(name).examples) is not None:
        assert info.examples == examples(forgotten, len(rows) - forgotten)


def test_undeclared_rows_are_never_read(name, model, tiny):
    undeclared = [s for s in (*SUBSETS, "none") if s not in ALGORITHMS[name].access]
    run, state = compiled(name, model), start(name, model, tiny)
    x, y = with_nan(tiny, *undeclared)
    assert same(run(KEY, state, tiny.request(x, y)), run(KEY, state, tiny.request()))


@pytest.mark.parametrize(("name", "subset"), [(n, s) for n in NAMES for s in SUBSETS if s in ALGORITHMS[n].access])
def test_each_declared_subset_is_read(name, subset, model, tiny):
    run, state = compiled(name, model), start(name, model, tiny)
    x, _ = with_nan(tiny, subset)
    assert not same(run(KEY, state, tiny.request(x))[0].params, run(KEY, state, tiny.request())[0].params)


@pytest.mark.parametrize("filler", ["none", "retain", "forget"])
def test_padding_is_never_read(name, model, tiny, filler):
    """The unused end of an index may name rows of no subset, tainted, or rows of another subset."""
    run, state, clean = compiled(name, model), start(name, model, tiny), tiny.request()
    x, y = with_nan(tiny, "none", *{"validation"} - ALGORITHMS[name].access)

    def filled(subset):
        used = int(subset.length)
        rest = np.resize(tiny.rows[filler], len(subset.index) - used)
        return subset._replace(index=np.append(subset.index[:used], rest).astype(np.int32))

    padded = clean._replace(x=x, y=y, forget=filled(clean.forget), retain=filled(clean.retain))
    assert same(run(KEY, state, padded), run(KEY, state, clean))


@pytest.mark.parametrize("name", [n for n in NAMES if needs(n).model == "mlp"], indirect=True)
def test_convolutions_are_no_obstacle(name, tiny):
    """The package's convolution has no forward-mode derivative on CPU, and kernels of rank 4."""
    model = ruled(needs(name).recipe, tiny.conv)
    state = start(name, model, tiny)
    out, info = compiled(name, model)(KEY, state, tiny.request())
    assert finite((out, info))
    assert same(out.params, state.params) is not needs(name).changes


OUT_OF_RANGE = [
    (n, key, value)
    for n in NAMES
    for key, default in parameters(n).items()
    if not isinstance(default, bool)
    for value in (*(BAD | needs(n).bad)[key], *((math.nan,) if isinstance(default, float) else ()))
]


@pytest.mark.parametrize(("name", "hyperparameter", "value"), OUT_OF_RANGE)
def test_hyperparameters_out_of_range_are_refused(name, hyperparameter, value, plain):
    with pytest.raises(ValueError, match=rf"\b{hyperparameter}="):
        ALGORITHMS[name].make(plain, **{hyperparameter: value})


@pytest.mark.parametrize("name", [n for n in NAMES if "convolutions" in ALGORITHMS[n].needs])
def test_a_model_without_convolutions_is_refused_where_they_are_needed(name, tiny):
    with pytest.raises(ValueError, match="to have convolutions"):
        ALGORITHMS[name].make(tiny.model)
