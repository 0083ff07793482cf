"""Tasks and their ids."""

import dataclasses

import pytest
from tiny_sweep import BASE, ROOT, tiny

from unlearnax import plugins
from unlearnax.recipes import Recipe
from unlearnax.sweeps.plan import make_plan


def ids(sweep, kind="cell"):
    plan = make_plan(sweep)
    assert all(name == task.id for name, task in plan.tasks.items())
    return [task.id for task in plan.results(kind)] if kind in ("cell", "controls") else list(plan.tasks)


def test_ids_do_not_depend_on_order():
    algorithms = (("fine_tune", {"learning_rate": (0.01, 0.02)}), ("ssd", {"alpha": (10.0, 30.0)}))
    turned = (("ssd", {"alpha": (30.0, 10.0)}), ("fine_tune", {"learning_rate": (0.02, 0.01)}))
    base = dataclasses.replace(BASE, discovery_rates=(0.1, 0.5))
    back = dataclasses.replace(BASE, discovery_rates=(0.5, 0.1), name="another name")
    one = make_plan(tiny(base=base, algorithms=algorithms, seeds=(0, 1)))
    other = make_plan(tiny(base=back, algorithms=turned, seeds=(1, 0)))
    assert len(one.results("cell")) == 16
    assert set(one.tasks) == set(other.tasks)
    where, there = (
        {t.id: (t.label, t.experiment.seed, t.experiment.discovery_rates) for t in plan.results("cell")}
        for plan in (one, other)
    )
    assert where == there


@pytest.mark.parametrize(
    "fields",
    [
        {"seeds": (1,)},
        {"recipes": {"": dataclasses.replace(BASE.recipe, learning_rate=0.06)}},
        {"problems": ({"discovery_rates": (0.6,)},)},
        {"problems": ({"problem_args": {"concepts": 4}},)},
        {"algorithms": (("fine_tune", {"learning_rate": (0.01,), "epochs": 2}),)},
        {"algorithms": (("fine_tune@again", {"learning_rate": (0.01,), "epochs": 1}),)},
        *(
            {"base": dataclasses.replace(BASE, **{name: value})}
            for name, value in (("members", 5), ("margin", 0.2), ("damage", 0.3), ("plan", "map"), ("estimand", "runs"),
                                ("oracles", ("retrain",)), ("metrics", ("klom",)), ("probes", ("relearning",)))
        ),
    ],
    ids=str,
)  # fmt: skip
def test_whatever_decides_a_result_is_part_of_its_id(fields):
    assert not set(ids(tiny())) & set(ids(tiny(**fields)))


def test_a_sweep_can_grow():
    fewer = (("fine_tune", {"learning_rate": (0.01, 0.02), "epochs": 1}),)  # 5 candidates with the controls, then 8
    assert set(ids(tiny(algorithms=fewer))) < set(ids(tiny()))
    assert set(ids(tiny(), "all")) < set(ids(tiny(seeds=(0, 1)), "all"))


def test_grounds_share_populations():
    """Rates share the originals and the concept-free oracle; seeds share nothing."""
    base = dataclasses.replace(BASE, discovery_rates=(0.1, 0.5))
    plan = make_plan(tiny(base=base, seeds=(0, 1)))
    roles = sorted(task.role for task in plan.results("population"))
    assert len(roles) == 2 * (1 + 2 + 2 * 2)
    assert roles.count("original") == 2
    assert roles.count("retrain reference") == 4
    for task in plan.results():
        needed = [plan.tasks[name] for name in task.needs]
        assert len(needed) == 5
        assert {each.experiment.seed for each in needed} == {task.experiment.seed}
    # Where the oracles are one world they are still two populations, with seeds of their own.
    everything = make_plan(tiny(base=dataclasses.replace(BASE, discovery_rates=(1.0,))))
    assert len(everything.results("population")) == 5


def test_scores_come_first():
    problem = {"problem": "most_memorized", "problem_args": {"size": 50, "members": 8}, "discovery_rates": ()}
    plan = make_plan(tiny(problems=(problem,)))
    (scores,) = plan.results("scores")
    populations = plan.results("population")
    assert populations
    assert all(task.needs == (scores.id,) for task in populations)


def test_problems_are_named_apart():
    recipes = {"short": BASE.recipe, "long": dataclasses.replace(BASE.recipe, epochs=2)}
    names = lambda **fields: [block.problem for block in make_plan(tiny(**fields)).blocks]  # noqa: E731
    assert names() == ["digits-3-rate0.5"]
    assert names(recipes=recipes) == ["digits-3-rate0.5 short", "digits-3-rate0.5 long"]
    assert names(seeds=(0, 1)) == ["digits-3-rate0.5 seed 0", "digits-3-rate0.5 seed 1"]
    assert len(set(names(seeds=(0, 1), recipes=recipes))) == 4
    alike = names(problems=({}, {"problem_args": {"concepts": 3, "max_slice": 20}}))
    assert len(set(alike)) == 2


def test_p_values_are_fine_enough_for_all_candidates():
    plan = make_plan(tiny())
    candidates = len(plan.results("cell")) + 3  # do-nothing, two held-out oracles
    assert {task.among for task in plan.results()} == {8}
    assert candidates <= 8


def test_the_digits_sweep_has_200_cells():
    sweep = plugins.load_file(ROOT / "experiments/sweep_digits.py").SWEEP
    plan = make_plan(sweep)
    assert len(plan.results("cell")) == 200
    assert len(plan.blocks) == 4
    assert len(plan.results("population")) == 14
    assert isinstance(sweep.base.recipe, Recipe)
