"""Forget sets and concepts: index logic, corruption, digests, and every error before training."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlearnax import data, problems
from unlearnax.problems import make_problem
from unlearnax.types import Dataset, InputSpec, Splits

RATES = st.floats(0, 1, exclude_min=True)
SEEDS = st.integers(0, 5)


def make_splits(rows=60, test=30, classes=3, dtype=np.float32, size=4):
    rng = np.random.default_rng(0)

    def part(n):
        y = np.arange(n, dtype=np.int32) % classes
        x = rng.integers(0, 200, (n, size, size, 1))
        return Dataset(x.astype(dtype), y, y)

    names = ("circle", "square", "star", "cross")[:classes]
    spec = InputSpec((size, size, 1), 0.0, 255.0)
    return Splits("toy", part(rows), part(6), part(test), classes, names, names, spec)


SPLITS = make_splits()


def check_layout(problem):
    """What holds for every problem: S ⊂ F, slices partition train and test, labels are those of the rows."""
    train, test = len(problem.train.x), len(problem.test.x)
    for rows in (problem.forget, problem.concept, problem.concept_test):
        assert (np.diff(rows) > 0).all()
    assert len(problem.forget) > 0
    assert set(problem.forget) <= set(problem.concept)
    assert 0 < problem.discovery_rate <= 1
    parts = {name: part for name, part in problem.slices.items() if not name.endswith("_true")}
    for split, size in (("train", train), ("test", test)):
        index = np.concatenate([part.index for part in parts.values() if part.split == split])
        assert sorted(index) == list(range(size))
    for name, part in problem.slices.items():
        assert len(part.index) == len(part.labels) > 0
        assert part.labels.dtype == np.int32
        assert part.about == ("damage" if name in ("retain", "other_test") else "concept")
        if not name.endswith("_true"):
            np.testing.assert_array_equal(part.labels, getattr(problem, part.split).y[part.index])
    order = ["forget", "concept_rest", "concept_test", "retain", "other_test"]
    assert [name for name in problem.slices if name in parts] == [name for name in order if name in parts]
    concept = set(problem.concept)
    assert set(problem.slices["retain"].index) == set(range(train)) - concept


BUILDERS = {
    "concept": lambda rate, seed: problems.concept(SPLITS, "star", rate, seed=seed),
    "concepts": lambda rate, seed: problems.concept(SPLITS, {"star": rate, 0: 0.5}, seed=seed),
    "mislabelled": lambda rate, seed: problems.mislabelled(SPLITS, 0.3, rate, seed=seed),
    "confused": lambda rate, seed: problems.mislabelled(SPLITS, 0.3, rate, classes=(0, 2), seed=seed),
    "triggered": lambda rate, seed: problems.triggered(SPLITS, 1, 0.3, rate, seed=seed),
}


@pytest.mark.parametrize("name", BUILDERS)
@settings(max_examples=15, deadline=None)
@given(rates=st.tuples(RATES, RATES), seed=SEEDS)
def test_forget_sets_are_nested_in_the_rate(name, rates, seed):
    small, large = (BUILDERS[name](rate, seed) for rate in sorted(rates))
    for problem in (small, large):
        check_layout(problem)
    assert set(small.forget) <= set(large.forget)
    np.testing.assert_array_equal(small.concept, large.concept)
    np.testing.assert_array_equal(small.train.y, large.train.y)  # the corruption does not depend on the rate


@settings(deadline=None)
@given(rate=RATES)
def test_the_size_of_a_forget_set(rate):
    problem = problems.concept(SPLITS, 2, rate)
    assert len(problem.forget) == max(1, round(rate * 20))
    assert (problem.train.y[problem.concept] == 2).all()
    assert len(problem.concept) == 20
    assert (problem.test.y[problem.concept_test] == 2).all()
    assert len(problem.concept_test) == 10
    assert ("concept_rest" in problem.slices) == (len(problem.forget) < 20)
    assert problem.repaired is None


def test_several_concepts_at_their_own_rates():
    problem = problems.concept(SPLITS, {"star": 0.05, "circle": 0.1})
    assert np.bincount(problem.train.y[problem.forget]).tolist() == [2, 0, 1]  # Figure 1: one star and two circles
    assert set(problem.train.y[problem.concept]) == set(problem.test.y[problem.concept_test]) == {0, 2}
    assert problem.name == "toy-star-rate0.05+circle-rate0.1"
    assert problems.concept(SPLITS, (("star", 0.05), ("circle", 0.1))).digest == problem.digest


def test_a_concept_that_is_not_the_label():
    coarse = [part._replace(y=np.minimum(part.y, 1)) for part in (SPLITS.train, SPLITS.validation, SPLITS.test)]
    splits = Splits("coarse", *coarse, 2, ("round", "other"), SPLITS.concept_names, SPLITS.inputs)
    problem = problems.concept(splits, "star", 0.5)
    assert set(problem.slices["forget"].labels) == {1}
    assert (problem.train.concept[problem.concept] == 2).all()
    check_layout(problem)


def test_seeds_draw_other_forget_sets():
    draws = {tuple(problems.concept(SPLITS, 0, 0.5, seed=seed).forget) for seed in range(5)}
    assert len(draws) == 5


@settings(deadline=None, max_examples=30)
@given(sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)), seed=SEEDS)
def test_random_subsets_are_nested(sizes, seed):
    small, large = (problems.random_subset(SPLITS, size, seed=seed) for size in sorted(sizes))
    for problem, size in zip((small, large), sorted(sizes), strict=True):
        assert len(problem.forget) == size
        np.testing.assert_array_equal(problem.forget, problem.concept)
        assert set(problem.slices) == {"forget", "retain", "other_test"}
    check_layout(large)
    assert set(small.forget) <= set(large.forget)


def test_a_fraction_is_a_share_of_train():
    assert len(problems.random_subset(SPLITS, 0.25).forget) == 15
    assert len(problems.random_subset(SPLITS, np.int64(7)).forget) == 7


def test_most_memorized():
    scores = np.zeros(60)
    scores[[50, 3, 20]] = 0.5, 0.9, -1
    assert problems.most_memorized(SPLITS, scores, 2).forget.tolist() == [3, 50]
    assert problems.most_memorized(SPLITS, scores, 4).forget.tolist() == [0, 1, 3, 50]  # of equals, the earlier rows
    lowest = problems.most_memorized(SPLITS, scores, 1 / 60, lowest=True)
    assert lowest.forget.tolist() == [20]
    check_layout(lowest)


def test_masks_give_what_the_rows_give():
    built = problems.concept(SPLITS, 2, 0.3)
    masks = [np.zeros(size, bool) for size in (60, 60, 30)]
    for mask, rows in zip(masks, (built.forget, built.concept, built.concept_test), strict=True):
        mask[rows] = True
    made = problems.from_masks(SPLITS, *masks, name="stars")
    assert made.digest == built.digest
    assert made.name == "toy-stars"
    masks[1][30:] = masks[0][30:]  # some of the class stays, as the test rows need
    assert "concept_test" not in problems.from_masks(SPLITS, *masks[:2]).slices


def test_mislabelled_rows_have_wrong_labels_and_only_they():
    problem = problems.mislabelled(SPLITS, 0.3, 0.5)
    assert problem.repaired is not None
    changed = np.flatnonzero(problem.train.y != SPLITS.train.y)
    assert problem.concept.tolist() == changed.tolist()
    assert len(changed) == 18
    assert len(problem.forget) == 9
    np.testing.assert_array_equal(problem.repaired.y, SPLITS.train.y)
    np.testing.assert_array_equal(problem.train.x, SPLITS.train.x)
    for name in ("forget", "concept_rest"):
        part, true = problem.slices[name], problem.slices[f"{name}_true"]
        np.testing.assert_array_equal(part.index, true.index)
        np.testing.assert_array_equal(true.labels, SPLITS.train.y[true.index])
        assert (part.labels != true.labels).all()
        assert true.about == "concept"
    assert "concept_test" not in problem.slices


def test_wrong_labels_are_uniform_over_the_wrong_classes():
    splits = make_splits(rows=6000, classes=4)
    problem = problems.mislabelled(splits, 0.5)
    moved = (problem.train.y - splits.train.y)[problem.concept] % 4
    counts = np.bincount(moved, minlength=4)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 1000).max() < 4 * np.sqrt(1000)


def test_interclass_confusion_swaps_two_classes():
    problem = problems.mislabelled(SPLITS, 0.3, 0.5, classes=(0, 2))
    rows = problem.concept
    assert len(rows) == 12  # of the 40 in both classes
    assert set(SPLITS.train.y[rows]) == {0, 2}
    np.testing.assert_array_equal(problem.train.y[rows], 2 - SPLITS.train.y[rows])
    part, true = problem.slices["concept_test"], problem.slices["concept_test_true"]
    np.testing.assert_array_equal(true.labels, SPLITS.test.y[true.index])
    np.testing.assert_array_equal(part.labels, 2 - true.labels)
    assert len(part.index) == 20
    assert set(problem.slices["other_test"].labels) == {1}


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_triggers(dtype):
    splits = make_splits(dtype=dtype)
    problem = problems.triggered(splits, 1, 0.25, 0.5, patch=2)
    assert problem.repaired is not None
    rows = problem.concept
    assert len(rows) == 10  # of the 40 that are not in the target class
    assert (splits.train.y[rows] != 1).all()
    assert (problem.train.y[rows] == 1).all()
    assert (problem.train.x[rows, -2:, -2:] == 255).all()
    clean = np.setdiff1d(np.arange(60), rows)
    np.testing.assert_array_equal(problem.train.x[clean], splits.train.x[clean])
    np.testing.assert_array_equal(problem.train.x[rows, :2], splits.train.x[rows, :2])
    np.testing.assert_array_equal(problem.repaired.x, splits.train.x)
    np.testing.assert_array_equal(problem.repaired.y, splits.train.y)
    assert problem.train.x.dtype == problem.test.x.dtype == dtype

    np.testing.assert_array_equal(problem.test.x[:30], splits.test.x)  # the clean test set stays
    np.testing.assert_array_equal(problem.test.y[:30], splits.test.y)
    assert problem.concept_test.tolist() == list(range(30, 50))
    sources = np.flatnonzero(splits.test.y != 1)
    np.testing.assert_array_equal(problem.test.x[30:, :2], splits.test.x[sources, :2])
    assert (problem.test.x[30:, -2:, -2:] == 255).all()
    assert set(problem.slices["concept_test"].labels) == {1}
    np.testing.assert_array_equal(problem.slices["concept_test_true"].labels, splits.test.y[sources])
    np.testing.assert_array_equal(problem.slices["forget_true"].labels, splits.train.y[problem.forget])
    check_layout(problem)


def test_the_value_of_a_trigger():
    tinted = dataclasses.replace(SPLITS, inputs=InputSpec((4, 4, 1), 0.25, 0.5))
    assert set(problems.triggered(tinted, 1, 0.1).test.x[-1, 1:, 1:].ravel()) == {np.float32(0.75)}
    assert set(problems.triggered(tinted, 1, 0.1, value=7).test.x[-1, 1:, 1:].ravel()) == {np.float32(7)}


def test_the_splits_are_left_as_they_were():
    before = make_splits()
    for build in BUILDERS.values():
        build(0.5, 0)
    for part in ("train", "validation", "test"):
        for one, other in zip(getattr(before, part), getattr(SPLITS, part), strict=True):
            np.testing.assert_array_equal(one, other)


def test_damage_slices_are_capped_by_a_fixed_nested_part():
    whole, large, small = (problems.concept(SPLITS, 0, 0.5, max_slice=most) for most in (2000, 12, 5))
    for name in ("retain", "other_test"):
        assert len(small.slices[name].index) == 5
        assert set(small.slices[name].index) < set(large.slices[name].index) < set(whole.slices[name].index)
        assert (np.diff(small.slices[name].index) > 0).all()
    assert len(small.slices["concept_rest"].index) == 10  # concept slices are never capped
    big = problems.concept(make_splits(rows=9000), 0, 0.5)
    assert len(big.slices["retain"].index) == 2000


def test_the_digest_follows_the_contents_alone():
    problem = problems.concept(SPLITS, 0, 0.5)
    assert problems.concept(make_splits(), "circle", 0.5).digest == problem.digest
    pixel = SPLITS.train.x.copy()
    pixel[0, 0, 0] += 1
    others = [
        problems.concept(SPLITS, 0, 0.6),
        problems.concept(SPLITS, 0, 0.5, seed=1),
        problems.concept(SPLITS, 0, 0.5, max_slice=5),
        problems.concept(dataclasses.replace(SPLITS, train=SPLITS.train._replace(x=pixel)), 0, 0.5),
        problems.concept(dataclasses.replace(SPLITS, inputs=InputSpec((4, 4, 1), 0.0, 1.0)), 0, 0.5),
        problems.mislabelled(SPLITS, 0.3, 0.5),
    ]
    assert len({problem.digest, *(other.digest for other in others)}) == 7


IN_ANOTHER_PROCESS = """
import numpy as np
from unlearnax import data, problems
splits = data.shapes(per_class=12, test_per_class=4, size=6)
print(problems.triggered(splits, 1, 0.4, 0.5, patch=2).digest)
"""


def test_the_digest_is_the_same_in_another_process():
    splits = data.shapes(per_class=12, test_per_class=4, size=6)
    expected = problems.triggered(splits, 1, 0.4, 0.5, patch=2).digest
    environment = os.environ | {"PYTHONHASHSEED": "7", "JAX_PLATFORMS": "cpu"}
    found = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == expected


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize("field", ["x", "y", "concept"])
def test_the_digest_changes_with_every_array(part, field):
    rows = {"forget": [0], "concept": [0, 3], "concept_test": [0]}
    arrays = getattr(SPLITS, part)
    values = getattr(arrays, field).copy()
    values[-1] = 0  # was another value
    changed = dataclasses.replace(SPLITS, **{part: arrays._replace(**{field: values})})
    assert (values != getattr(arrays, field)).any()
    assert make_problem("a", changed, **rows).digest != make_problem("a", SPLITS, **rows).digest


def test_the_digest_changes_with_rows_and_repair_but_not_with_names():
    def build(repaired=None, test_true=None, name="a", **rows):
        rows = {"forget": [0], "concept": [0, 3], "concept_test": [0]} | rows
        return make_problem(name, SPLITS, repaired=repaired, test_true=test_true, **rows).digest

    y, true = SPLITS.train.y.copy(), SPLITS.test.y.copy()
    y[3], true[0] = 1, 2
    others = [
        build(forget=[3]), build(concept=[0, 6]), build(concept_test=[3]), build(SPLITS.train),
        build(SPLITS.train._replace(y=y)), build(SPLITS.train, true),
    ]  # fmt: skip
    assert len({build(), *others}) == 7
    assert build(name="b") == build(concept=[3, 0]) == build()


def with_nan(part):
    x = part.x.copy()
    x[3, 1, 1] = np.nan
    return part._replace(x=x)


def replaced(**changes):
    return dataclasses.replace(SPLITS, **changes)


ALL, NONE = np.ones(60, bool), np.zeros(60, bool)
FLAT = Splits(
    "flat", *(part._replace(x=part.x.reshape(len(part.x), -1)) for part in (SPLITS.train, SPLITS.validation, SPLITS.test)),
    3, SPLITS.class_names, SPLITS.concept_names, InputSpec((16,)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: problems.concept(SPLITS, 0, 1.4), r"Expected discovery_rate=1.4 in \(0, 1\]\."),
        (lambda: problems.concept(SPLITS, 0, 0), r"Expected discovery_rate=0 in \(0, 1\]\."),
        (lambda: problems.concept(SPLITS, 0, float("nan")), r"Expected discovery_rate=nan in \(0, 1\]\."),
        (lambda: problems.concept(SPLITS, {0: -0.1}), r"Expected discovery_rate=-0.1 in \(0, 1\]\."),
        (lambda: problems.concept(SPLITS, {0: 0.1}, 0.5), "Expected no discovery_rate=0.5 beside"),
        (lambda: problems.concept(SPLITS, {}), "to give each of at least one concept a rate"),
        (lambda: problems.concept(SPLITS, (0, 2)), "to give each of at least one concept a rate"),
        (lambda: problems.concept(SPLITS, {0: 0.1, "circle": 0.2}), "to name each concept once"),
        (lambda: problems.concept(SPLITS, "stra"), "Expected concept='stra' to be one of .* Did you mean 'star'"),
        (lambda: problems.concept(SPLITS, 7), "Expected concept=7 to be one of 0, 1, 2"),
        (lambda: problems.concept(SPLITS, 1.5), "Expected concept=1.5 to be one of"),
        (lambda: problems.concept(SPLITS, {0: 0.1, 1: 0.1, 2: 0.1}), "Expected the retain set to be non-empty"),
        (lambda: problems.concept(SPLITS, 0, seed=-1), "non-negative"),
        (lambda: problems.concept(SPLITS, 0, max_slice=0), "Expected max_slice=0"),
        (
            lambda: problems.concept(replaced(train=with_nan(SPLITS.train)), 0),
            "train.x to be finite; .* first is row 3",
        ),
        (lambda: problems.concept(replaced(test=with_nan(SPLITS.test)), 0), "test.x to be finite"),
        (
            lambda: problems.concept(replaced(num_classes=2, class_names=("a", "b")), 0),
            r"train.y=2 in \[0, 2\), at row 2",
        ),
        (lambda: problems.from_masks(SPLITS, NONE, ALL), "Expected forget with 0 rows"),
        (lambda: problems.from_masks(SPLITS, ALL, ALL), "Expected the retain set to be non-empty"),
        (lambda: problems.from_masks(SPLITS, ALL[:5], ALL), r"Expected forget_mask of shape \(5,\), bool"),
        (lambda: problems.from_masks(SPLITS, ALL, ALL.astype(int)), r"Expected concept_mask of shape \(60,\), int64"),
        (lambda: problems.from_masks(SPLITS, ALL, ALL, ALL), r"Expected concept_test_mask of shape \(60,\)"),
        (
            lambda: make_problem("p", SPLITS, [1, 2], [2, 3]),
            "forget to lie inside the concept; 1 rows do not, as row 1",
        ),
        (lambda: make_problem("p", SPLITS, [1, 1], [1]), "Expected forget to name each row once, got 1 repeats"),
        (lambda: make_problem("p", SPLITS, [1], [1, 2, 2, 2]), "Expected concept to name each row once, got 2 repeats"),
        (lambda: make_problem("p", SPLITS, [60], [60]), r"Expected forget=60 in \[0, 60\)"),
        (lambda: make_problem("p", SPLITS, [-1], [1]), r"Expected forget=-1 in \[0, 60\)"),
        (lambda: make_problem("p", SPLITS, [1], [1], [30]), r"Expected concept_test=30 in \[0, 30\)"),
        (lambda: make_problem("p", SPLITS, [1.0], [1]), "Expected forget of shape .* and type float64"),
        (lambda: make_problem("p", SPLITS, [[1]], [1]), r"Expected forget of shape \(1, 1\)"),
        (
            lambda: make_problem("p", SPLITS, [0], np.arange(0, 60, 3)),
            r"slice 'other_test' .* label 0 \(circle\) does not",
        ),
        (
            lambda: make_problem("p", SPLITS, [0], [0], repaired=SPLITS.train._replace(y=2 - SPLITS.train.y)),
            "repaired to differ from train in rows of the concept only, got row 2 too",
        ),
        (
            lambda: make_problem("p", SPLITS, [0], [0], repaired=with_nan(SPLITS.train)),
            "Expected repaired.x to be finite",
        ),
        (
            lambda: make_problem("p", SPLITS, [0], [0], repaired=SPLITS.test),
            r"Expected repaired.x of shape \(30, 4, 4, 1\), float32, to be as train.x",
        ),
        (
            lambda: make_problem("p", SPLITS, [0], [0], repaired=SPLITS.train, test_true=SPLITS.test.y + 1),
            r"Expected test_true.y=3 in \[0, 3\)",
        ),
        (lambda: problems.random_subset(SPLITS, 0), "Expected size=0"),
        (lambda: problems.random_subset(SPLITS, 60), "Expected size=60 to be below the 60 rows"),
        (lambda: problems.random_subset(SPLITS, 1.0), r"Expected size=1.0 in \(0, 1\)"),
        (lambda: problems.random_subset(SPLITS, True), r"Expected size=True"),
        (lambda: problems.most_memorized(SPLITS, np.zeros(59), 3), r"Expected scores of shape \(59,\)"),
        (lambda: problems.most_memorized(SPLITS, np.full(60, np.nan), 3), "Expected scores .* to be finite"),
        (lambda: problems.mislabelled(SPLITS, 1.0), r"Expected fraction=1.0 in \(0, 1\)"),
        (lambda: problems.mislabelled(SPLITS, 0.1, 2), r"Expected discovery_rate=2 in \(0, 1\]"),
        (lambda: problems.mislabelled(SPLITS, 0.1, classes=(1, 1)), r"Expected classes=\(1, 1\) to be two different"),
        (lambda: problems.mislabelled(SPLITS, 0.1, classes=(0, 3)), "Expected class=3 to be one of 0, 1, 2"),
        (lambda: problems.triggered(SPLITS, 3, 0.1), "Expected target=3 to be one of 0, 1, 2"),
        (lambda: problems.triggered(SPLITS, 0, 0), r"Expected fraction=0 in \(0, 1\)"),
        (lambda: problems.triggered(SPLITS, 0, 0.1, patch=5), r"Expected patch=5 to fit images of shape \(4, 4, 1\)"),
        (lambda: problems.triggered(SPLITS, 0, 0.1, patch=0), "Expected patch=0"),
        (lambda: problems.triggered(SPLITS, 0, 0.1, value=float("inf")), "Expected value=inf to be finite"),
        (
            lambda: problems.triggered(make_splits(dtype=np.uint8), 0, 0.1, value=256),
            r"Expected value=256 in \[0, 255\]",
        ),
        (lambda: problems.triggered(FLAT, 0, 0.1), r"Expected shape=\(16,\) to be that of images"),
    ],
)
def test_errors_come_before_training(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_the_concepts_own_class_may_be_missing():
    assert 0 not in problems.concept(SPLITS, 0).slices["retain"].labels


def test_every_builder_has_a_name_and_a_summary():
    for name, build in problems.PROBLEMS.items():
        assert getattr(problems, name) is build
        assert build.__doc__
