"""Oracle matching: the control that is taught an oracle's outputs."""

import jax
import numpy as np
import pytest

from unlearnax import data, models, problems
from unlearnax.matching import match_oracle, oracle_matching
from unlearnax.metrics import energy
from unlearnax.oracles import ORACLES
from unlearnax.populations import fit, predict
from unlearnax.recipes import Recipe
from unlearnax.types import World

MEMBERS = 12


@pytest.fixture(scope="module")
def digits():
    """Originals, the concept-free oracle's reference and held-out members, on digits with class 3 as the concept."""
    splits = data.load("digits")
    problem = problems.concept(splits, 3, 0.5)
    recipe = Recipe(model="mlp", model_args=(("widths", (16,)),), epochs=8, batch_size=64)
    model = models.build(recipe, splits.inputs, splits.num_classes)
    everything = World(problem.train.x, problem.train.y, np.arange(len(problem.train.x)))
    free = ORACLES["concept_free"].world(problem)
    worlds = {"original": everything, "reference": free, "held-out": free}
    return (
        model,
        problem,
        {name: fit(model, recipe, world, MEMBERS, role=name).states for name, world in worlds.items()},
    )


def test_it_approaches_its_oracle_on_rows_it_was_not_taught(digits):
    """Distances on held-out test examples of the concept: to other members of the oracle than the teachers."""
    model, problem, states = digits
    done = match_oracle(model, states["original"], states["held-out"], problem, oracle="concept_free")
    x = problem.test.x[problem.concept_test]
    outputs = {name: predict(model, each, x) for name, each in (states | {"matched": done.states}).items()}
    away = {name: energy(outputs[name], outputs["reference"], form="output") for name in outputs}
    print(away)
    assert away["matched"] < 0.25 * away["original"]
    assert away["held-out"] < away["matched"]


def test_the_rule_is_the_divergence_from_the_teacher(digits):
    """One step of one batch that holds all rows: Adam's first step is the sign of the gradient of the mean KL."""
    model, problem, states = digits
    first, teacher = (jax.tree.map(lambda a: a[:1], states[name]) for name in ("original", "held-out"))
    rows = len(problem.forget)
    done = match_oracle(
        model, first, teacher, problem, oracle="x", retain_fraction=0.0, epochs=1, batch_size=rows, learning_rate=1e-3
    )
    x = problem.train.x[problem.forget]
    taught = jax.nn.softmax(predict(model, teacher, x)[0])

    def loss(params):
        logits, _ = model.apply(params, {}, x, train=True, key=None)
        return -(taught * jax.nn.log_softmax(logits)).sum(-1).mean()

    params = jax.tree.map(lambda a: a[0], first.params)
    grads = jax.grad(loss)(params)
    for before, after, g in zip(*map(jax.tree.leaves, (params, done.states.params, grads)), strict=True):
        clear = np.abs(np.asarray(g)) > 1e-6
        np.testing.assert_allclose(
            (np.asarray(after)[0] - before)[clear], -1e-3 * np.sign(g)[clear], rtol=0.05, atol=1e-6
        )
    assert done.examples[0] == rows


def test_bad_input_is_refused(digits):
    model, problem, states = digits
    with pytest.raises(ValueError, match=r"retain_fraction=1\.5"):
        oracle_matching(model, retain_fraction=1.5)
    fewer = jax.tree.map(lambda a: a[:3], states["held-out"])
    with pytest.raises(ValueError, match="12 originals, got 3"):
        match_oracle(model, states["original"], fewer, problem, oracle="concept_free")
