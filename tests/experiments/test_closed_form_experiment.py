"""The specs of closed_form; a smoke run in which a Newton step already meets the exact minimum."""

import dataclasses

import pytest
from experiment_smoke import check_sizes, load_experiment, smoke

from unlearnax.claims import REPRODUCED

closed_form = load_experiment("closed_form")


def test_sizes_and_claims():
    check_sizes(closed_form)


def test_members_suffice_for_the_certified_bound():
    from unlearnax.metrics.certified import METRICS

    for experiments in closed_form.SIZES.values():
        for each in experiments:
            if each.name == closed_form.DESCENT:
                assert each.members >= 80 >= METRICS["epsilon_lower_bound"].members


@pytest.mark.slow
def test_newton_smoke(tmp_path):
    newton = closed_form.SIZES["small"][0]
    assert newton.name == closed_form.NEWTON
    recipe = dataclasses.replace(newton.recipe, epochs=8)
    found, _ = smoke(closed_form, newton, tmp_path, recipe=recipe)
    assert [each.outcome for each in found] == [REPRODUCED] * 3


def test_the_same_noise_reaches_original_and_oracle():
    """Descent-to-Delete and its oracle must have constants of one problem: the rule's arguments are the recipe's."""
    descent = closed_form.SIZES["small"][2]
    rule = dict(descent.recipe.rule_args)
    assert rule["epsilon"] == closed_form.EPSILON
    assert rule["smoothness"] == pytest.approx(
        65 / 2 + rule["strong_convexity"]
    )  # 64 pixels of at most 1, and the bias
    assert descent.recipe.epochs >= 2 * rule["unlearning_steps"]
