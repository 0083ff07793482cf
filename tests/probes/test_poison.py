"""Gaussian poison: the problem's rows and noise, scores against gradients written out, the null, the direction of traces."""

import dataclasses

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
import scipy.special
import scipy.stats

from unlearnax import problems
from unlearnax.models import from_functions, mlp
from unlearnax.populations import fit
from unlearnax.probes import PROBES, probe_arrays, run_probe
from unlearnax.probes.poison import gaussian_unlearning, poison_data, poison_numbers
from unlearnax.problems import gaussian_poison
from unlearnax.recipes import Recipe
from unlearnax.types import InputSpec, TrainState, World

KEY = jax.random.key(2)
LIMIT = hypothesis.settings(max_examples=20, deadline=None)


def noise_of(problem):
    return problem.train.x - problem.repaired.x


@LIMIT
@hypothesis.given(size=st.integers(2, 40), seed=st.integers(0, 5), rate=st.floats(0.01, 1))
def test_poisoned_rows_are_the_concept(toy, size, seed, rate):
    problem = gaussian_poison(toy.splits, size, 3.0, discovery_rate=rate, seed=seed)
    noise = noise_of(problem)
    np.testing.assert_array_equal(np.flatnonzero((noise != 0).any(1)), problem.concept)
    assert len(problem.concept) == size
    assert len(problem.forget) == max(1, round(rate * size))
    np.testing.assert_array_equal(problem.repaired.x, toy.splits.train.x)
    np.testing.assert_array_equal(problem.train.y, toy.splits.train.y)
    np.testing.assert_array_equal(problem.test.x, toy.splits.test.x)
    assert len(problem.concept_test) == 0
    smaller = gaussian_poison(toy.splits, size - 1, 3.0, discovery_rate=1.0, seed=seed)
    assert set(smaller.concept) < set(problem.concept)
    np.testing.assert_array_equal(noise_of(smaller)[smaller.concept], noise[smaller.concept])


def test_noise_is_gaussian_of_the_size_asked_for(toy):
    splits = toy.splits_like(rows=300, size=40)
    noise = noise_of(gaussian_poison(splits, 0.9, 4.0))
    noise = noise[(noise != 0).any(1)]
    assert noise.shape == (270, 40)
    assert scipy.stats.kstest(noise.ravel() / 4.0, "norm").pvalue > 0.01
    assert not np.array_equal(
        noise_of(gaussian_poison(splits, 9, 4.0, seed=1)), noise_of(gaussian_poison(splits, 9, 4.0))
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 0.0), "epsilon="), ((5, -1.0), "epsilon="), ((5, np.nan), "epsilon="), ((0, 1.0), "size="),
        ((60, 1.0), "size="), ((1.0, 1.0), "size="),
    ],
)  # fmt: skip
def test_arguments_out_of_range_are_refused(toy, arguments, message):
    with pytest.raises(ValueError, match=message):
        gaussian_poison(toy.splits, *arguments)


def test_whole_numbers_become_floating_everywhere_and_noise_is_not_rounded(toy):
    splits = toy.splits_like(dtype=np.uint8)
    problem = gaussian_poison(splits, 5, 1.0)
    assert problem.repaired is not None
    for given, part in (
        (splits.train, problem.repaired),
        (splits.validation, problem.validation),
        (splits.test, problem.test),
    ):
        assert part.x.dtype == np.float32
        np.testing.assert_array_equal(part.x, given.x)
    rows = problem.concept
    noise = problem.train.x[rows] - problem.repaired.x[rows]
    assert problem.train.x.dtype == np.float32
    assert (noise != np.round(noise)).mean() > 0.99
    assert noise.std() == pytest.approx(1.0, abs=0.4)


def test_rates_out_of_range_are_refused(toy):
    with pytest.raises(ValueError, match="discovery_rate="):
        gaussian_poison(toy.splits, 5, 1.0, discovery_rate=0.0)


def test_data_are_the_problem_s(toy):
    problem = toy.poisoned(0.3)
    data = poison_data(problem, 0)
    np.testing.assert_array_equal(data.x, toy.splits.train.x[problem.concept])
    np.testing.assert_array_equal(data.y, toy.splits.train.y[problem.concept])
    np.testing.assert_array_equal(problem.concept[data.discovered], problem.forget)
    noise = noise_of(problem)[problem.concept]
    ratio = noise / data.noise
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)
    assert ratio[0, 0] == pytest.approx(5.0, rel=4 / np.sqrt(2 * noise.size))  # ε, estimated from 120 values
    assert np.square(data.noise).mean() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize(
    "build",
    [
        lambda splits: problems.concept(splits, "c"),
        lambda splits: problems.mislabelled(splits, 0.5),
        lambda splits: dataclasses.replace(
            gaussian_poison(splits, 9, 1.0), repaired=splits.train._replace(y=(splits.train.y + 1) % 3)
        ),
    ],
)
def test_problems_without_poison_are_refused(toy, build):
    problem = build(toy.splits)
    with pytest.raises(ValueError, match=f"Expected problem '{problem.name}' to carry Gaussian poison"):
        run_probe("gaussian_unlearning", toy.model, toy.states(toy.model), problem)


def test_corruption_in_places_is_no_gaussian_poison(toy):
    problem = toy.poisoned()
    x = problem.repaired.x.copy()
    x[problem.concept, 0] = 9.0
    with pytest.raises(ValueError, match="not every value"):
        poison_data(dataclasses.replace(problem, train=problem.train._replace(x=x)), 0)


def linear_model(size, classes):
    """Softmax regression on raw inputs; weights `[size, classes]` under "w"."""
    init = lambda key: ({"w": jax.random.normal(key, (size, classes))}, {})  # noqa: E731
    apply = lambda params, state, x, *, train, key: (x @ params["w"], state)  # noqa: E731
    return from_functions("softmax", init, apply, InputSpec((size,)), classes)


def state_of(weights):
    return TrainState({"w": np.asarray(weights, np.float32)}, {}, (), np.int32(0))


def slow_scores(weights, data):
    """−⟨∇_x ℓ, ξ⟩ / (ε ‖∇_x ℓ‖) with ∇_x ℓ = W (p − e_y), one example at a time in float64."""
    found = []
    for x, y, noise in zip(data.x, data.y, data.noise, strict=True):
        slope = np.asarray(weights, np.float64) @ (
            scipy.special.softmax(x.astype(np.float64) @ weights) - np.eye(weights.shape[1])[y]
        )
        found.append(-(slope @ noise) / np.linalg.norm(slope))
    return found


def test_scores_equal_gradients_written_out(toy):
    data = poison_data(toy.poisoned(), 0)
    weights = 0.01 * np.random.default_rng(0).normal(size=(6, 3))
    found = gaussian_unlearning(linear_model(6, 3))(KEY, state_of(weights), data)
    np.testing.assert_allclose(found["scores"], slow_scores(weights, data), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found["discovered"], data.discovered)


def test_a_certain_model_has_scores_too(toy):
    """With two classes the direction does not depend on the weights' size, though p_y rounds to 1 in float32."""
    data = poison_data(toy.poisoned(), 0)
    data = data._replace(y=np.minimum(data.y, 1))
    weights = 1e-3 * np.random.default_rng(0).normal(size=(6, 2))
    probe = gaussian_unlearning(linear_model(6, 2))
    small, large = (probe(KEY, state_of(scale * weights), data)["scores"] for scale in (1, 1e6))
    np.testing.assert_allclose(small, large, rtol=1e-4, atol=1e-5)


def test_a_model_that_ignores_its_input_scores_0(toy):
    found = gaussian_unlearning(linear_model(6, 3))(KEY, state_of(np.zeros((6, 3))), poison_data(toy.poisoned(), 0))
    assert (np.asarray(found["scores"]) == 0).all()


def test_scores_are_standard_normal_for_models_that_never_saw_the_noise(toy):
    """One untouched model and many poisons: each score N(0, 1), z within bounds, TPR at its rate."""
    splits = toy.splits_like(rows=400, size=30)
    model = mlp(splits.inputs, 3, widths=(16,))
    states = toy.states(model, 1)
    scores, z, rates = [], [], []
    for seed in range(40):
        problem = gaussian_poison(splits, 300, 5.0, seed=seed)
        arrays = probe_arrays(PROBES["gaussian_unlearning"], model, states, problem, {"fresh_draws": 20}, seed=seed)
        numbers = poison_numbers(arrays)
        scores.append(arrays["scores"].ravel())
        z.append(numbers["forget/z"][0])
        rates.append(numbers["forget/tpr"][0])
        assert arrays["threshold"][0] == pytest.approx(scipy.stats.norm.ppf(0.99), abs=0.2)  # of 6,000 draws
    assert scipy.stats.kstest(np.concatenate(scores), "norm").pvalue > 0.001
    assert np.abs(z).max() < 3.5
    assert 0.7 < np.std(z) < 1.3
    assert np.mean(rates) == pytest.approx(0.01, abs=0.003)  # of 12,000: three standard errors


def test_a_linear_model_trained_on_the_poison_leans_towards_it(toy):
    """Softmax regression by gradient descent with more weights than rows: traces of ξ in what it was trained on only."""
    splits = toy.splits_like(rows=60, size=400)
    problem = gaussian_poison(splits, 40, 50.0, discovery_rate=0.5)
    x, y = (problem.train.x - 50) / 10, np.eye(3)[problem.train.y]

    def trained(rows):
        weights = np.zeros((400, 3))
        for _ in range(200):
            weights += 0.01 * x[rows].T @ (y[rows] - scipy.special.softmax(x[rows] @ weights, axis=1))
        return weights

    everything = np.arange(60)
    data = poison_data(problem, 0)
    data = data._replace(x=(data.x - 50) / 10)
    probe = jax.jit(gaussian_unlearning(linear_model(400, 3)))

    def numbers(rows):
        found = probe(KEY, state_of(trained(rows)), data)
        return {k: v[0] for k, v in poison_numbers({k: np.asarray(v)[None] for k, v in found.items()}).items()}

    original = numbers(everything)
    retrained = numbers(np.setdiff1d(everything, problem.forget))
    clean = numbers(np.setdiff1d(everything, problem.concept))
    assert original["forget/mean"] > 1
    assert original["forget/z"] > 5
    assert original["forget/tpr"] > 0.1
    assert original["concept_rest/z"] > 2.5
    assert abs(retrained["forget/z"]) < 3  # untrained: S has left no trace, F∖S has
    assert retrained["concept_rest/z"] > 5
    assert max(abs(clean["forget/z"]), abs(clean["concept_rest/z"])) < 3


def test_a_trained_network_leans_towards_the_poison(toy):
    splits = toy.splits_like(rows=120, size=200)
    problem = gaussian_poison(splits, 60, 60.0)
    model = mlp(splits.inputs, 3, widths=(16,))
    recipe = Recipe(epochs=20, batch_size=20)
    everything = np.arange(120)
    found = []
    for rows in (everything, np.setdiff1d(everything, problem.concept)):
        states = fit(model, recipe, World(problem.train.x, problem.train.y, rows), 4, role="probe", capacity=120).states
        found.append(run_probe("gaussian_unlearning", model, states, problem))
    assert found[0]["forget/mean"].min() > found[1]["forget/mean"].max()
    assert found[0]["forget/z"].min() > 3


def test_numbers_are_means_and_shares_by_discovery():
    arrays = {
        "scores": np.array([[1.0, 3.0, -2.0, 5.0], [0.0, 0.0, 0.0, 9.0]]),
        "discovered": np.array([[True, True, True, False]] * 2),
        "threshold": np.array([2.0, 2.0]),
    }
    found = poison_numbers(arrays)
    np.testing.assert_allclose(found["forget/mean"], [2 / 3, 0])
    np.testing.assert_allclose(found["forget/z"], [2 / 3 * np.sqrt(3), 0])
    np.testing.assert_allclose(found["forget/tpr"], [1 / 3, 0])
    np.testing.assert_allclose(found["concept_rest/mean"], [5, 9])
    np.testing.assert_allclose(found["concept_rest/z"], [5, 9])
    np.testing.assert_allclose(found["concept_rest/tpr"], [1, 1])
    whole = poison_numbers(arrays | {"discovered": np.ones((2, 4), bool)})
    assert set(whole) == {"forget/mean", "forget/z", "forget/tpr"}


def test_poison_changes_no_label_so_no_slice_stands_twice(toy):
    problem = problems.gaussian_poison(toy.splits, 6, 1.0)
    assert not any(name.endswith("_true") for name in problem.slices)
