"""Layouts and accuracies."""

import numpy as np
import pytest

from unlearnax import data, problems
from unlearnax.evaluation import accuracies, make_layout, problem_layout


def test_problem_layout_reads_the_right_examples():
    splits = data.load("digits")
    problem = problems.concept(splits, 3, 0.5)
    layout, x = problem_layout(problem)
    sources = {"train": problem.train, "test": problem.test}
    for name, part in problem.slices.items():
        positions = layout.slices[name]
        np.testing.assert_array_equal(x[layout.rows[positions]], sources[part.split].x[part.index])
        np.testing.assert_array_equal(layout.labels[positions], part.labels)
    assert len(x) == len(splits.train.x) + len(splits.test.x)
    assert layout.damage == ("retain", "other_test")


def test_an_example_scored_on_two_labels_is_predicted_once():
    problem = problems.mislabelled(data.load("digits"), 0.1, 0.5)
    layout, x = problem_layout(problem)
    assert len(layout.rows) == len(x) + len(problem.concept)
    pooled = layout.slices["concept"]
    assert len(pooled) == 2 * len(problem.concept)


def test_weights_are_means():
    layout = make_layout({"a": (np.arange(3), np.zeros(3), "concept"), "retain": (np.arange(2), np.ones(2), "damage")})
    np.testing.assert_allclose(layout.weights.sum(1), 1)
    assert list(layout.slices) == ["concept", "a", "retain"]


def test_accuracy_counts_nan_as_wrong():
    layout = make_layout({"a": (np.arange(2), np.array([1, 0]), "concept")})
    logits = np.array([[[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [np.nan, 0.0]]])
    np.testing.assert_allclose(accuracies(logits, layout)["a"], [1.0, 0.5])


@pytest.mark.parametrize("name", ["concept", "a"])
def test_bad_slices(name):
    columns = np.arange(0 if name == "a" else 2)
    with pytest.raises(ValueError, match="Expected slice"):
        make_layout({name: (columns, columns, "concept")})
    with pytest.raises(ValueError, match="at least one slice about the concept"):
        make_layout({"retain": (np.arange(2), np.zeros(2), "damage")})
