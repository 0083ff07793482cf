"""The rules of the verdict, and the planner."""

import pytest

from unlearnax.verdicts import Bound, decide, members_needed, reaches

GOALS = {"retrain": "untraining", "concept_free": "unlearning"}


def bound(name, low, high):
    return Bound(name, (low + high) / 2, low, high)


NEAR, AWAY, UNSURE = bound("near", -0.001, 0.005), bound("away", 0.5, 0.7), bound("unsure", 0.004, 0.03)
TO_UNTRAINING, TO_UNLEARNING, MIXED = (
    {"margin": (-2.0, -1.0), "output": (-2.0, -1.0)},
    {"margin": (1.0, 2.0), "output": (1.0, 2.0)},
    {"margin": (-2.0, -1.0), "output": (1.0, 2.0)},
)


def verdict(retrain, concept_free, closer=TO_UNTRAINING, damage=(NEAR, NEAR), *, diverged=0, coincide=False):
    return decide(
        {"retrain": retrain, "concept_free": concept_free},
        GOALS,
        None if coincide else closer,
        {"retrain": [damage[0]], "concept_free": [damage[1]]},
        share=0.1,
        damage_share=0.2,
        members=64,
        diverged=diverged,
        coincide=coincide,
    )


@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        (([NEAR, NEAR], [AWAY, AWAY]), {}, "reaches untraining"),
        (([AWAY], [NEAR]), {}, "reaches unlearning"),
        (([NEAR], [NEAR]), {"coincide": True}, "reaches both (oracles coincide)"),
        (([AWAY], [AWAY]), {"coincide": True}, "reaches neither"),
        (([AWAY], [AWAY]), {}, "closer to untraining"),
        (([AWAY], [AWAY]), {"closer": TO_UNLEARNING}, "closer to unlearning"),
        (([AWAY], [AWAY]), {"closer": MIXED}, "inconclusive"),
        (([NEAR, UNSURE], [AWAY]), {}, "inconclusive"),
        # one slice or form away is enough not to reach: a fake that matches margins but not outputs
        (([AWAY], [NEAR, AWAY]), {"closer": TO_UNLEARNING}, "closer to unlearning"),
        (([AWAY], [AWAY]), {"damage": (AWAY, AWAY)}, "damages the model"),
        (([AWAY], [AWAY]), {"damage": (AWAY, NEAR)}, "closer to untraining"),
        (([NEAR], [AWAY]), {"diverged": 1}, "damages the model"),
    ],
)
def test_verdicts(arguments, options, expected):
    assert verdict(*arguments, **options).verdict == expected


def test_an_inconclusive_verdict_says_what_is_certain_and_plans():
    found = verdict([NEAR, UNSURE], [AWAY])
    assert found.detail.startswith("closer to untraining for certain")
    assert found.members_needed == members_needed([NEAR, UNSURE], 0.1, 64)


def test_no_plan_where_more_members_would_not_help():
    assert verdict([AWAY], [AWAY], MIXED).members_needed is None
    assert members_needed([Bound("on the line", 0.01, 0.005, 0.015)], 0.1, 64) is None


def test_planned_members_would_settle_it():
    needed = members_needed([UNSURE], 0.1, 64)
    assert needed is not None
    half = (UNSURE.high - UNSURE.low) / 2 * (64 / needed) ** 0.5
    assert UNSURE.value - half > 0.1**2
    assert members_needed([NEAR, AWAY], 0.1, 64) == 64


def test_reaches_needs_every_interval():
    assert reaches([NEAR, NEAR], 0.1) is True
    assert reaches([NEAR, AWAY], 0.1) is False
    assert reaches([NEAR, UNSURE], 0.1) is None


def test_one_oracle_alone():
    found = decide({"corrected": [AWAY]}, {"corrected": "correction"}, None, {}, share=0.1, damage_share=0.2, members=9,
                   diverged=0, coincide=False)  # fmt: skip
    assert found.verdict == "does not reach correction"
