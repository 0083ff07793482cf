"""The scorecard on synthetic populations whose answer is known."""

import dataclasses

import numpy as np
import pytest

from unlearnax.evaluation import make_layout
from unlearnax.scoring import CandidateLogits, OracleLogits, holm, score

C, MEMBERS = 5, 48
SIZES = {"forget": 10, "concept_rest": 12, "concept_test": 14, "retain": 20, "other_test": 16}


@pytest.fixture(scope="module")
def layout():
    slices, start = {}, 0
    for name, size in SIZES.items():
        about = "damage" if name in ("retain", "other_test") else "concept"
        columns = np.arange(start, start + size)
        slices[name] = (columns, columns % (C - 1) + 1 if about == "damage" else np.zeros(size, int), about)
        start += size
    return make_layout(slices)


def population(layout, seed, *, knows_forget, knows_concept, members=MEMBERS):
    """Members that know the damage slices' labels always, and the concept's label (class 0) as told.

    A member that does not know the concept spreads it over the other classes, as an exact retrain does.
    """
    rng = np.random.default_rng(seed)
    logits = 0.5 * rng.normal(size=(members, len(layout.rows), C))
    columns = np.arange(len(layout.rows))
    logits[:, columns, layout.labels] += 4
    for name, known in (("forget", knows_forget), ("concept_rest", knows_concept), ("concept_test", knows_concept)):
        part = layout.slices[name]
        if not known:
            logits[:, part, 0] -= 12
            logits[:, part, 1:] += np.array([2.0, 1.0, 0.0, 0.0])
    return logits.astype(np.float32)


@pytest.fixture(scope="module")
def oracles(layout):
    untrained = {"knows_forget": True, "knows_concept": True}
    unlearned = {"knows_forget": False, "knows_concept": False}
    return {
        "retrain": OracleLogits(*(population(layout, s, **untrained) for s in (1, 2)), "untraining"),
        "concept_free": OracleLogits(*(population(layout, s, **unlearned) for s in (3, 4)), "unlearning"),
    }


@pytest.fixture(scope="module")
def card(layout, oracles):
    margin = population(layout, 7, knows_forget=False, knows_concept=False)
    for name in ("forget", "concept_rest", "concept_test"):
        part = layout.slices[name]
        margin[:, part] = np.array([-60.0, 0, -60, -60, -60], np.float32) * 1.0  # one fixed wrong answer, margin -60
        margin[:, part, 1] = 0
    broken = population(layout, 8, knows_forget=True, knows_concept=True)
    broken[3] = np.nan
    candidates = {
        "do_nothing": CandidateLogits(population(layout, 5, knows_forget=True, knows_concept=True), "original"),
        "unlearns": CandidateLogits(population(layout, 6, knows_forget=False, knows_concept=False), "algorithm"),
        "few_shot": CandidateLogits(population(layout, 9, knows_forget=False, knows_concept=True), "algorithm"),
        "constant_margin": CandidateLogits(margin, "algorithm"),
        "broken": CandidateLogits(broken, "algorithm"),
        "ruins": CandidateLogits(np.zeros_like(margin), "algorithm"),
    }
    return score("synthetic", layout, oracles, candidates)


def verdicts(card):
    return {row.candidate: row.verdict for row in card.verdicts}


def value(card, candidate, metric, oracle, part):
    return next(
        row
        for row in card.rows
        if (row.candidate, row.metric, row.oracle, row.slice) == (candidate, metric, oracle, part)
    )


def test_controls_come_out_right(card):
    found = verdicts(card)
    assert found["held-out retrain"] == "reaches untraining"
    assert found["held-out concept_free"] == "reaches unlearning"
    assert found["do_nothing"] == "reaches untraining"
    assert card.nothing_to_untrain
    assert card.scale == "oracle to oracle"


def test_candidates_come_out_right(card):
    found = verdicts(card)
    assert found["unlearns"] == "reaches unlearning"
    assert found["few_shot"] == "closer to untraining"
    assert found["broken"] == "damages the model"
    assert found["ruins"] == "damages the model"


def test_a_constant_wrong_margin_does_not_reach_unlearning(card):
    assert verdicts(card)["constant_margin"] != "reaches unlearning"
    # The clipped margin hardly tells it from the oracle; the whole output does.
    near = value(card, "constant_margin", "distance/margin", "concept_free", "concept")
    far = value(card, "constant_margin", "distance/output", "concept_free", "concept")
    assert far.low > 0.1
    assert far.value > near.value


def test_landmarks_of_the_compass(card):
    for form in ("margin", "output"):
        for candidate, x, y in (("held-out retrain", 0, 1), ("held-out concept_free", 1, 0)):
            for oracle, expected in (("retrain", x), ("concept_free", y)):
                row = value(card, candidate, f"distance/{form}", oracle, "concept")
                assert row.low - 0.05 <= expected <= row.high + 0.05
                assert row.value == pytest.approx(expected, abs=0.15)


def test_candidates_scored_one_by_one(layout, oracles):
    """Are what they are scored together; what they share is found out once, and adjusted p-values come at the end."""
    candidates = {
        "do_nothing": CandidateLogits(population(layout, 5, knows_forget=True, knows_concept=True), "original"),
        "first": CandidateLogits(population(layout, 6, knows_forget=False, knows_concept=True), "algorithm"),
        "second": CandidateLogits(population(layout, 7, knows_forget=False, knows_concept=False), "algorithm"),
    }
    together = score("p", layout, oracles, candidates)
    known = {}
    for name in ("first", "second"):
        own = {"do_nothing": candidates["do_nothing"], name: candidates[name]}
        card = score("p", layout, oracles, own, only=[name], among=5, known=known)
        assert (card.scale, card.nothing_to_untrain) == (together.scale, together.nothing_to_untrain)
        assert card.verdicts == [row for row in together.verdicts if row.candidate == name]
        bare = [[dataclasses.replace(row, p_adjusted=None) for row in rows if row.candidate == name]
                for rows in (card.rows, together.rows)]  # fmt: skip
        assert bare[0] == bare[1]
    assert known


def test_floor_and_p_values(card):
    null = value(card, "held-out retrain", "energy/margin", "retrain", "concept")
    assert null.p > 0.001
    assert null.floor > 0
    away = value(card, "unlearns", "energy/output", "retrain", "forget")
    assert away.value > away.floor
    assert away.p < 1e-3
    assert away.p <= away.p_adjusted < 0.05


def test_accuracies(card):
    assert value(card, "unlearns", "accuracy", "", "concept_test").value < 0.05
    assert value(card, "oracle retrain", "accuracy", "", "forget").value > 0.9
    assert (
        value(card, "broken", "accuracy", "", "retain").value
        < value(card, "do_nothing", "accuracy", "", "retain").value
    )


def test_broken_members_are_counted_not_averaged(card):
    row = next(row for row in card.verdicts if row.candidate == "broken")
    assert row.diverged == 1
    assert np.isfinite(value(card, "broken", "distance/margin", "retrain", "concept").value)


def test_coinciding_oracles_use_the_originals_as_scale(layout):
    unlearned = {"knows_forget": False, "knows_concept": False}
    oracles = {
        "retrain": OracleLogits(*(population(layout, s, **unlearned) for s in (1, 2)), "untraining"),
        "concept_free": OracleLogits(*(population(layout, s, **unlearned) for s in (3, 4)), "unlearning"),
    }
    original = CandidateLogits(population(layout, 5, knows_forget=True, knows_concept=True), "original")
    card = score("one", layout, oracles, {"do_nothing": original}, coincide=True)
    assert card.scale == "original to oracle"
    assert verdicts(card)["held-out retrain"] == "reaches both (oracles coincide)"
    assert verdicts(card)["do_nothing"] == "reaches neither"
    row = value(card, "do_nothing", "distance/output", "retrain", "concept")
    assert row.value == pytest.approx(1)
    assert row.high - row.low < 0.02  # its own scale: leaving a member out changes both nearly alike


def test_nothing_to_compare_with_falls_back_to_the_uninformed_model(layout):
    same = {"knows_forget": True, "knows_concept": True}
    oracle = {"retrain": OracleLogits(population(layout, 1, **same), population(layout, 2, **same), "untraining")}
    original = CandidateLogits(population(layout, 5, **same), "original")
    card = score("none", layout, oracle, {"do_nothing": original}, coincide=True)
    assert card.scale == "uninformed to oracle"
    assert card.nothing_to_untrain


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": 1.5}, r"Expected margin=1.5 in \(0, 1\)\."),
        ({"damage": 0}, r"Expected damage=0 in \(0, 1\)\."),
    ],
)
def test_bad_shares(layout, oracles, change, message):
    candidate = CandidateLogits(population(layout, 5, knows_forget=True, knows_concept=True), "original")
    with pytest.raises(ValueError, match=message):
        score("bad", layout, oracles, {"do_nothing": candidate}, **change)


def test_bad_shapes(layout, oracles):
    few = population(layout, 5, knows_forget=True, knows_concept=True)[:, :-1]
    with pytest.raises(ValueError, match="Expected logits of candidate few"):
        score("bad", layout, oracles, {"few": CandidateLogits(few, "algorithm")})
    two = population(layout, 5, knows_forget=True, knows_concept=True, members=2)
    with pytest.raises(ValueError, match="at least 3 members"):
        score("bad", layout, oracles, {"two": CandidateLogits(two, "algorithm")})
    with pytest.raises(ValueError, match="at least one oracle"):
        score("bad", layout, {}, {})


def test_holm_against_the_definition():
    p = np.array([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).max() == 1.0
