"""What every algorithm owes: each entry of `ALGORITHMS` goes through all of these, with its needs in one table."""

import dataclasses
import functools
import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithm_needs import BATCH, EPOCHS, NEEDS, Needs

from unlearnax.algorithms import ALGORITHMS
from unlearnax.training import make_train, under_rule
from unlearnax.types import World
from unlearnax.unlearning import needed_rule

NAMES = sorted(ALGORITHMS)
SUBSETS = ("forget", "retain", "validation")
KEY = jax.random.key(4)


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
        ALGORITHMS[name].make(plain, **visible(name) | {hyperparameter: value})


@pytest.mark.parametrize("name", [n for n in NAMES if "convolutions" in ALGORITHMS[n].needs])
def test_a_model_without_convolutions_is_refused_where_they_are_needed(name, tiny):
    with pytest.raises(ValueError, match="to have convolutions"):
        ALGORITHMS[name].make(tiny.model)
