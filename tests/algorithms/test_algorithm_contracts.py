"""What every algorithm owes when it runs: each entry of `ALGORITHMS` goes through all of these, its needs in one table."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithm_needs import needs, ruled, tried_on, visible

from unlearnax.algorithms import ALGORITHMS
from unlearnax.training import make_train, under_rule
from unlearnax.types import World
from unlearnax.unlearning import needed_rule

NAMES = sorted(ALGORITHMS)
SUBSETS = ("forget", "retain", "validation")
KEY = jax.random.key(4)


STARTS: dict[Any, Any] = {}


def start(name, model, tiny, seed=1):
    """A member: initialised, or trained on S and R under the rule that the algorithm needs."""
    recipe = needs(name).recipe if needed_rule(ALGORITHMS[name]) else None
    if (model, recipe, seed) not in STARTS:
        rows = np.concatenate([tiny.rows["forget"], tiny.rows["retain"]])
        STARTS[model, recipe, seed] = (
            trained(recipe, model)(jax.random.key(seed), World(tiny.x, tiny.y, rows))[0]
            if recipe
            else tiny.state(model, seed)
        )
    return STARTS[model, recipe, seed]


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


TRACES: dict[Any, int] = {}


@functools.cache
def program(name, model):
    """One program for each algorithm and model, with every float hyperparameter traced; alone, and for many at once."""
    make, mine = ALGORITHMS[name].make, visible(name)
    # Compiling is nearly all that these tests do, and half as long with these.
    cheap = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}

    def run(key, state, request, floats):
        TRACES[name, model] = TRACES.get((name, model), 0) + 1
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
    return tried_on(name, tiny)


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


# One of each kind of control flow; of the others it takes minutes.
EAGER = ("duck", "fine_tune", "newton", "npo", "potion", "rem", "scrub_rewind", "sisa", "unsir")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in EAGER else pytest.mark.slow) for n in NAMES], indirect=True
)
def test_eager_with_python_values_equals_jit_with_traced_ones(name, plain, tiny):
    state, request = start(name, plain, tiny), tiny.request()
    kept = jax.tree.map(np.array, (state, request))
    eager = ALGORITHMS[name].make(plain, **visible(name))(KEY, state, request)
    assert_close(eager, compiled(name, plain)(KEY, state, request))
    assert same((state, request), kept)


@pytest.mark.parametrize(
    ("name", "points", "count"),
    [
        *((n, 2, 2) for n in NAMES),
        # As large as a search is: of every algorithm it takes minutes.
        *(pytest.param(n, 32, 16, marks=() if n in ("npo", "scrub") else pytest.mark.slow) for n in NAMES),
    ],
    indirect=["name"],
)
def test_a_grid_of_a_search_is_one_program_whose_lanes_are_runs_of_their_own(name, points, count, plain, tiny):
    """Points × members, each with its key, state and floats (down to 92 % of the visible ones)."""
    one, batched = program(name, plain)
    share = np.linspace(1.0, 0.92, points).repeat(count)
    floats = {
        key: jnp.asarray(value * share if value else 0.01 * (1 - share), jnp.float32)
        for key, value in floats_of(name).items()
    }
    members = [(jax.random.key(i), start(name, plain, tiny, seed=i)) for i in range(count)]
    keys, states = jax.block_until_ready(jax.tree.map(lambda *leaf: jnp.stack(leaf * points), *members))
    one(*members[0], tiny.request(), {key: value[0] for key, value in floats.items()})
    before = TRACES[name, plain]
    # One after the other: two at once can wait for each other's threads for ever on a CPU of two cores (jax 0.10.2).
    together, _ = (
        jax.block_until_ready(batched(keys, states, tiny.request(), each))
        for each in (floats, {key: value[::-1] for key, value in floats.items()})
    )
    assert TRACES[name, plain] == before + 1
    for lane in (0, points * count // 2, points * count - 1):
        mine = {key: value[lane] for key, value in floats.items()}
        alone = jax.block_until_ready(one(*members[lane % count], tiny.request(), mine))
        assert_close(jax.tree.map(lambda leaf, lane=lane: np.asarray(leaf)[lane], together), alone)
    assert TRACES[name, plain] == before + 1


@pytest.mark.parametrize("name", [n for n in NAMES if needs(n).still], indirect=True)
def test_weights_that_must_stay_have_neither_momentum_nor_decay(name, plain, tiny):
    """From weights of which none is 0, so that decay would move each."""
    state = start(name, plain, tiny)
    state = state._replace(params=jax.tree.map(lambda leaf: leaf + 0.1, state.params))
    floats = floats_of(name)
    floats |= {key: value for key, value in {"weight_decay": 0.1, "momentum": 0.9}.items() if key in floats}
    out, _ = program(name, plain)[0](KEY, state, tiny.request(), floats)
    assert needs(name).still(state.params, out.params)


@pytest.mark.parametrize("name", [n for n in NAMES if needs(n).normed], indirect=True)
def test_batch_statistics_go_on_in_passes_of_training_and_stay_otherwise(name, tiny):
    model = ruled(needs(name).recipe, {"mlp": tiny.normed, "conv": tiny.conv_normed}[needs(name).model])
    state = start(name, model, tiny)
    out, _ = compiled(name, model)(KEY, state, tiny.request())
    found = zip(leaves(out.model_state), leaves(state.model_state), strict=True)
    assert {not np.array_equal(a, b) for a, b in found} == {needs(name).statistics}


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


# Those that derive twice, look at activations or choose kernels; of the others it takes minutes.
CONVOLVED = ("certified_removal", "fisher_forgetting", "magnitude_gradient", "newton", "rmu", "ssd", "unsir")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in CONVOLVED else pytest.mark.slow) for n in NAMES if needs(n).model == "mlp"],
    indirect=True,
)
def test_convolutions_are_no_obstacle(name, tiny):
    """The package's convolution has no forward-mode derivative on CPU, and kernels of rank 4."""
    model = ruled(needs(name).recipe, tiny.conv)
    state = start(name, model, tiny)
    out, info = compiled(name, model)(KEY, state, tiny.request())
    assert finite((out, info))
    assert same(out.params, state.params) is not needs(name).changes
