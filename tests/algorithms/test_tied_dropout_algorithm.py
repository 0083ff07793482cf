"""Dropping the memory channels of members trained by example-tied dropout."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax import models
from unlearnax.algorithms import ALGORITHMS, etd
from unlearnax.recipes import Recipe
from unlearnax.training import make_train
from unlearnax.training.tied_dropout import Channels
from unlearnax.types import InputSpec, World
from unlearnax.unlearning import bind

KEY = jax.random.key(0)
RULE = {"rule": "example_tied_dropout", "rule_args": (("p_gen", 0.5), ("p_mem", 0.3))}
RECIPE = Recipe(batch_size=12, epochs=3, learning_rate=0.05, **RULE)


@pytest.fixture(scope="module")
def member(tiny):
    rows = np.concatenate([tiny.rows["forget"], tiny.rows["retain"]])
    return jax.jit(make_train(RECIPE, tiny.model))(KEY, World(tiny.x, tiny.y, rows))[0]


def dropped(tiny, member, request=None, **given):
    return etd(tiny.model, recipe=RECIPE, **given)(KEY, member, request or tiny.request())[0]


def with_rows(params, factor):
    kernel = np.array(params["head"]["kernel"]) * np.array(factor)[:, None]
    return {**params, "head": {**params["head"], "kernel": kernel}}


def test_all_memory_channels_are_dropped(tiny, member, direct):
    found = dropped(tiny, member)
    direct.close(found.params, with_rows(member.params, [1] * 4 + [0] * 4), rtol=0, atol=0)
    assert direct.differ(found.params, member.params)
    np.testing.assert_array_equal(found.log, member.log)


def test_rescaled_generalising_channels(tiny, member, direct):
    expected = with_rows(member.params, [(0.5 + 0.3) / 0.5] * 4 + [0] * 4)
    direct.close(dropped(tiny, member, drop="rescaled").params, expected, rtol=1e-6, atol=1e-7)


def test_only_the_channels_that_the_forgotten_own(tiny, member, direct):
    """Two rows of S; the unused end of the index names others, whose channels stay."""
    forgotten, others = tiny.rows["forget"][:2], tiny.rows["retain"]
    request = tiny.request(forget=forgotten)
    padding = np.resize(others, 14)
    request = request._replace(forget=request.forget._replace(index=np.append(forgotten, padding).astype(np.int32)))
    key = jax.random.fold_in(KEY, 2)
    owned = {
        int(row): jax.random.bernoulli(jax.random.fold_in(key, int(row)), 0.3, (8,)) for row in [*forgotten, *others]
    }
    gone = np.any([owned[int(row)] for row in forgotten], axis=0)[4:]
    assert gone.any()
    assert not gone.all()
    assert np.any([owned[int(row)] for row in others], axis=0)[4:].all()
    expected = with_rows(member.params, np.append(np.ones(4), ~gone))
    direct.close(dropped(tiny, member, request, drop="forgotten").params, expected, rtol=0, atol=0)


def test_what_was_memorised_of_single_examples_goes_with_their_channels(tiny):
    """A tenth of the labels are wrong: known to the channels of their own examples, lost with these, the others kept."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 200)
    x = (np.eye(4)[y] @ rng.normal(size=(4, 20)) + 0.5 * rng.normal(size=(200, 20))).astype(np.float32)
    labels = y.copy()
    labels[:20] = (y[:20] + rng.integers(1, 4, 20)) % 4
    model = models.mlp(InputSpec((20,)), 4, widths=(200,))
    recipe = Recipe(
        epochs=150, batch_size=50, learning_rate=0.1, weight_decay=0.0, rule=RULE["rule"],
        rule_args=(("p_gen", 0.05), ("p_mem", 0.1)),
    )  # fmt: skip
    world = World(x, labels.astype(np.int32), np.arange(200))
    state, _ = jax.jit(make_train(recipe, model))(KEY, world)
    out, _ = etd(model, recipe=recipe)(KEY, state, tiny.request())  # of which nothing is read

    def correct(params, seen):
        head = params["head"]
        right = ((model.features(params, {}, x) * seen) @ head["kernel"] + head["bias"]).argmax(-1) == labels
        return float(right[:20].mean()), float(right[20:].mean())

    channels = Channels(0.05, 0.1)
    trained = with_rows(state.params, 1 / np.where(channels.memory(200), 0.1, 1.0))
    assert correct(trained, channels.seen(state.log, jnp.arange(200), 200)) == (1.0, 1.0)
    noisy, clean = correct(out.params, 1.0)
    assert noisy < 0.1
    assert clean > 0.95
    assert correct(state.params, 1.0)[0] < 0.2  # the mean over masks recalls little of what only one mask shows


def test_its_members_must_be_trained_under_the_rule(tiny):
    plain = dataclasses.replace(RECIPE, rule="plain", rule_args=())
    with pytest.raises(ValueError, match="'etd' to be trained under rule 'example_tied_dropout', got 'plain'"):
        bind("etd", ALGORITHMS["etd"], {}, plain)
    assert bind("etd", ALGORITHMS["etd"], {"drop": "all"}, RECIPE) == {"drop": "all", "recipe": RECIPE}
