"""The search chooses the best of what it tried, on seeds that nothing is reported on."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlearnax import populations, tuning, unlearning
from unlearnax.algorithms import ALGORITHMS
from unlearnax.evaluation import POOLED, make_layout
from unlearnax.experiment import Experiment, build_problems
from unlearnax.jackknife import signed_root
from unlearnax.metrics import energy
from unlearnax.recipes import Recipe
from unlearnax.tuning import _targets, draw, tune

SMALL = Experiment(
    name="small",
    problem_args=(("concepts", "3"),),
    recipe=Recipe(model_args=(("widths", (16,)),), epochs=3, batch_size=64),
    algorithms=(("gradient_ascent", (("epochs", 1),)), ("fine_tune", (("epochs", 1), ("learning_rate", 0.5)))),
)


@pytest.fixture(scope="module")
def found():
    return tune(SMALL, members=4, trials=6)


def test_ambiguous_algorithms_are_tuned_for_both_goals(found):
    goals = {(each.algorithm, each.goal) for each in found}
    assert goals == {("gradient_ascent", "untraining"), ("gradient_ascent", "unlearning"), ("fine_tune", "untraining")}


def test_equal_trials_and_costs_are_reported(found):
    for each in found:
        assert each.trials == 6
        assert each.examples > 0
        assert each.seconds > 0
        assert set(each.hyperparameters) == {"epochs", *ALGORITHMS[each.algorithm].ranges}
        assert each.hyperparameters["epochs"] == 1


def test_more_trials_are_never_worse_and_begin_with_the_same_points(found):
    more = tune(SMALL, members=4, trials=9)
    for few, many in zip(found, more, strict=True):
        assert many.objective <= few.objective


def test_the_goal_can_be_given(found):
    (one,) = tune(
        dataclasses.replace(SMALL, algorithms=SMALL.algorithms[:1]), goals={"gradient_ascent": ("unlearning",)},
        members=4, trials=6,
    )  # fmt: skip
    (same,) = [each for each in found if (each.algorithm, each.goal) == ("gradient_ascent", "unlearning")]
    assert one.objective == same.objective
    assert one.hyperparameters == same.hyperparameters


def test_what_is_reported_on_is_not_tuned_on():
    with pytest.raises(ValueError, match="seed=0"):
        tune(SMALL, seed=0)
    with pytest.raises(ValueError, match="goal='both'"):
        tune(SMALL, goals={"fine_tune": ("both",)})
    with pytest.raises(ValueError, match="declare ranges"):
        tune(dataclasses.replace(SMALL, algorithms=(("do_nothing", ()),)))


def test_members_and_forget_set_are_apart_from_those_reported(monkeypatch):
    """What the search trains and unlearns has roles and a seed of its own, and another half of the concept."""
    seen = {"fit": [], "grid": []}

    def fit(*args, seed, role, **given):
        seen["fit"].append((seed, role))
        return populations.fit(*args, seed=seed, role=role, **given)

    def grid(*args, seed, **given):
        seen["grid"].append((seed, args[3].forget))
        return unlearning.unlearn_grid(*args, seed=seed, **given)

    monkeypatch.setattr(tuning, "fit", fit)
    monkeypatch.setattr(tuning, "unlearn_grid", grid)
    tune(dataclasses.replace(SMALL, algorithms=SMALL.algorithms[:1]), members=3, trials=1)
    assert seen["fit"] == [(1000, f"tuning {role}") for role in ("original", "untraining", "unlearning")]
    (reported,) = build_problems(dataclasses.replace(SMALL, discovery_rates=(0.5,)))
    ((seed, forget),) = seen["grid"]
    assert seed == 1000
    assert len(forget) == len(reported.forget)
    assert set(forget.tolist()) != set(reported.forget.tolist())


def test_every_algorithm_passes_through_the_same_number_of_runs(monkeypatch):
    """Trials × members, counted where they are unlearned."""
    runs = {}

    def grid(algorithm, model, originals, problem, points, *, name, **given):
        runs[name] = len(points) * len(originals.step)
        return unlearning.unlearn_grid(algorithm, model, originals, problem, points, name=name, **given)

    monkeypatch.setattr(tuning, "unlearn_grid", grid)
    tune(SMALL, members=3, trials=2)
    assert runs == {"gradient_ascent": 6, "fine_tune": 6}


def test_the_objective_is_the_worst_root_distance():
    """Against the public energy distance, slice by slice."""
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 3
    layout = make_layout(
        {"forget": (np.arange(5), labels[:5], "concept"), "retain": (np.arange(5, 12), labels[5:], "damage")}
    )
    a, b, candidate = (rng.normal(size=(6, 12, 3)) + shift for shift in (0.0, np.eye(3)[labels] * 2, 0.5))
    targets = _targets(layout, {"untraining": a, "unlearning": b})
    worst = []
    for form in ("margin", "output"):
        for rows, unit_of in ((np.arange(5), b), (np.arange(5, 12), np.zeros((2, 12, 3)))):
            distance, unit = (
                energy(p[:, rows], a[:, rows], labels=labels[rows], form=form) for p in (candidate, unit_of)
            )
            worst.append(signed_root(distance / unit))
    assert targets["untraining"].objective(candidate) == pytest.approx(max(worst), rel=1e-4)
    assert targets["untraining"].objective(np.full_like(candidate, np.nan)) == np.inf
    assert POOLED in layout.slices


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_points_lie_in_their_ranges(seed):
    ranges = {"a": (1e-4, 0.1), "b": ("uniform", 0.5, 0.9)}
    point = draw(np.random.default_rng(seed), ranges)
    assert 0.9999e-4 <= point["a"] <= 0.1
    assert 0.5 <= point["b"] <= 0.9
