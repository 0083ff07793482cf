"""What a sweep expands to, and everything that can be wrong with it, before anything is trained."""

import dataclasses

import pytest
from tiny_sweep import BASE, tiny

from unlearnax import populations
from unlearnax.recipes import Recipe
from unlearnax.sweeps import Sweep
from unlearnax.sweeps.plan import make_plan
from unlearnax.sweeps.spec import settings, spots


@pytest.fixture(autouse=True)
def nothing_is_trained(monkeypatch):
    monkeypatch.setattr(populations, "_train", lambda *_: pytest.fail("something was trained"))


def test_every_combination_is_a_setting():
    algorithms = {
        "npo": {"beta": (0.1, 1.0), "learning_rate": [0.01, 0.02, 0.03], "epochs": 5},
        "ssd": {},
        "scrub@mine": {"gamma": (0.5,)},
        "some/file.py:own": {"widths": ((1, 2), (3,))},
    }
    base = dataclasses.replace(BASE, algorithms=(("fine_tune", {"epochs": 2}),))
    found = _settings(base, algorithms)
    assert [s.label for s in found][:3] == [
        "fine_tune",
        "npo@beta=0.1,learning_rate=0.01",
        "npo@beta=0.1,learning_rate=0.02",
    ]
    assert len(found) == 1 + 6 + 1 + 1 + 2
    assert found[1].args == (("beta", 0.1), ("epochs", 5), ("learning_rate", 0.01))
    assert {s.key for s in found[1:7]} == {"npo"}
    assert found[8].label == "scrub@mine,gamma=0.5"
    assert found[8].key == "scrub@mine"
    assert found[9].label == "own@widths=(1, 2)"
    assert found[9].args == (("widths", (1, 2)),)
    assert found[9].name == "some/file.py:own"


def _settings(base, algorithms):
    """Of a sweep whose files need not exist."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unlearnax.plugins.source_digest", lambda name: "")
        return settings(Sweep(base, algorithms))


def test_every_problem_recipe_and_seed_is_a_spot():
    short, long = BASE.recipe, dataclasses.replace(BASE.recipe, epochs=3)
    sweep = tiny(
        base=dataclasses.replace(BASE, discovery_rates=(0.1, 0.5)),
        problems=({}, {"problem": "random_subset", "problem_args": {"size": 50}, "discovery_rates": ()}),
        recipes={"short": short, "long": long}, seeds=(0, 7),
    )  # fmt: skip
    found = spots(sweep)
    assert len(found) == (2 + 1) * 2 * 2
    assert len({(s.experiment.problem, s.experiment.discovery_rates, s.recipe, s.experiment.seed) for s in found}) == 12
    assert {s.experiment.recipe for s in found if s.recipe == "long"} == {long}
    assert [s.experiment.discovery_rates for s in found[:2]] == [(0.1,), (0.5,)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seeds": (1, 2, 1)}, "seeds to hold 1 once"),
        ({"seeds": (-1,)}, "seed=-1"),
        ({"algorithms": ()}, r"algorithms=\(\)"),
        ({"algorithms": (("npo", {"beta": ()}),)}, r"beta=\(\) of algorithm 'npo'"),
        ({"algorithms": (("npo", {"beta": (0.1, 0.1)}),)}, "'npo@beta=0.1' once"),
        ({"algorithms": (("npo", {"beta": 0.1}), ("npo", {"beta": (0.1,)}))}, "algorithms to hold"),
        ({"algorithms": (("npoo", {}),)}, "algorithm='npoo'.*Did you mean 'npo'"),
        ({"algorithms": (("npo", {"betta": (0.1,)}),)}, "betta"),
        ({"algorithms": (("npo", {"beta": (0.1, -1.0)}),)}, "beta.*-1.0"),
        ({"algorithms": (("no/file.py:own", {}),)}, "no/file.py"),
        ({"problems": ()}, r"problems=\(\)"),
        ({"problems": ({"rate": 1},)}, "field of problems='rate'"),
        ({"problems": ({"discovery_rates": (1.4,)},)}, "discovery_rate=1.4"),
        ({"problems": ({"discovery_rates": (0.5, 0.5)},)}, "discovery_rates to hold 0.5 once"),
        ({"problems": ({}, {"problem_args": {"concepts": "3"}})}, "once"),
        ({"problems": ({"problem": "concpt"},)}, "problem='concpt'"),
        ({"problems": ({"problem_args": {"concepts": 30}},)}, "concept=30"),
        ({"problems": ({"dataset": "digit"},)}, "dataset='digit'"),
        ({"recipes": (("a", Recipe()), ("a", Recipe(epochs=2)))}, "labels of recipes to hold 'a' once"),
        ({"recipes": (("a", Recipe()), ("b", Recipe()))}, "recipes to hold"),
        ({"recipes": (("a", Recipe(model="mlpp")),)}, "model='mlpp'"),
        ({"recipes": (("a", Recipe(batch_size=2000)),)}, "batch_size=2000"),
        ({"base": dataclasses.replace(BASE, store=False)}, "base.store=False"),
        ({"base": dataclasses.replace(BASE, oracles=("retrian",))}, "oracle='retrian'"),
        ({"base": dataclasses.replace(BASE, metrics=("klomm",))}, "metric='klomm'"),
    ],
)
def test_what_is_wrong_is_said_before_training(fields, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make_plan(tiny(**fields))
