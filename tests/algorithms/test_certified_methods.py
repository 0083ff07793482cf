"""Methods with a proof, held to it: minima over R by Newton in float64, distances and residuals beside their bounds."""

import jax
import numpy as np
import pytest
from scipy import stats

from unlearnax import certificates, models
from unlearnax.algorithms import ALGORITHMS
from unlearnax.batching import subset
from unlearnax.certificates import removal_residual, softmax_design, softmax_weights
from unlearnax.data import load
from unlearnax.populations import fit
from unlearnax.recipes import Recipe
from unlearnax.training import make_train, under_rule
from unlearnax.types import InputSpec, Request, World

INPUTS = InputSpec((4,), mean=0.5, std=2.0)
DECAY = 0.1
ROWS = 120


def data(classes):
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, ROWS).astype(np.int32)
    return (rng.normal(size=(ROWS, 4)) + y[:, None]).astype(np.float32), y


def minimum(design, y, classes, tilt=0.0):
    """Weights `[H + 1, C]` where Σ ℓ_i / n + m/2 ‖θ‖² + tilt·θ / n has no gradient, by Newton's method in float64."""
    weights, count = np.zeros((design.shape[1], classes)), len(design)
    for _ in range(50):
        logits = design @ weights
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        gradient = design.T @ (p - np.eye(classes)[y]) / count + DECAY * weights + tilt / count
        curve = (np.eye(classes) * p[:, :, None] - p[:, :, None] * p[:, None, :]) / count
        hessian = np.einsum("nh,nk,ncd->hckd", design, design, curve).reshape(weights.size, -1)
        weights = weights - np.linalg.solve(hessian + DECAY * np.eye(weights.size), gradient.ravel()).reshape(
            weights.shape
        )
    assert np.abs(gradient).max() < 1e-12
    return weights


def trained(recipe, classes, key=0):
    x, y = data(classes)
    model = under_rule(recipe, models.mlp(INPUTS, classes, widths=()))
    state, _ = jax.jit(make_train(recipe, model))(jax.random.key(key), World(x, y, np.arange(ROWS)))
    return model, state, x, y


def removed(name, recipe, model, state, x, y, forgotten, **hyperparameters):
    rows = np.arange(ROWS)
    request = Request(x, y, subset(rows[:forgotten], 20), subset(rows[forgotten:], ROWS), subset(np.zeros(0, int), 1))
    return jax.jit(ALGORITHMS[name].make(model, recipe=recipe, **hyperparameters))(jax.random.key(7), state, request)


def constants(x):
    return certificates.softmax_constants(x, INPUTS, strong_convexity=DECAY)


def descent_recipe(x, steps, epochs=400, **more):
    found = constants(x)
    given = {"lipschitz": found.lipschitz, "smoothness": found.smoothness, "strong_convexity": DECAY} | more
    return Recipe(
        rule="descent_to_delete", rule_args=tuple(given.items()) + (("unlearning_steps", steps),), epochs=epochs,
        batch_size=32,
    )  # fmt: skip


@pytest.mark.parametrize("steps", [1, 3, 10])
@pytest.mark.parametrize("forgotten", [1, 10])
@pytest.mark.parametrize("classes", [2, 3])
def test_descent_to_delete_ends_as_near_to_the_exact_minimum_as_proven(classes, forgotten, steps):
    x, _ = data(classes)
    recipe = descent_recipe(x, steps, deletions=forgotten)
    model, state, x, y = trained(recipe, classes)
    done, info = removed("descent_to_delete", recipe, model, state, x, y, forgotten)
    design = certificates.softmax_design(x, INPUTS)
    on_all, on_rest = minimum(design, y, classes), minimum(design[forgotten:], y[forgotten:], classes)
    start = np.linalg.norm(certificates.softmax_weights(state.log) - on_all)
    assert start < 1e-3  # trained to the minimum over D
    away = np.linalg.norm(certificates.softmax_weights(done.log) - on_rest)
    bound = certificates.descent_distance(
        start, forgotten=forgotten, examples=ROWS, steps=steps, constants=constants(x)
    )
    assert away <= bound + 1e-5
    # Not vacuous: the minimum moved, the steps went there, and the bound is within three orders of what happened.
    moved = np.linalg.norm(on_all - on_rest)
    assert away < moved
    assert bound < 1000 * moved
    assert info.examples == steps * (ROWS - forgotten)


def test_published_noise_is_what_the_promise_asks_for():
    """Over members: weights published less secret weights are N(0, σ²), σ by hand from the theorem's formula."""
    x, _ = data(2)
    recipe = descent_recipe(x, 5, epochs=3, epsilon=2.0, delta=1e-3)
    found = constants(x)
    model = under_rule(recipe, models.mlp(INPUTS, 2, widths=()))
    x, y = data(2)
    states, _ = jax.vmap(lambda key: make_train(recipe, model)(key, World(x, y, np.arange(ROWS))))(
        jax.random.split(jax.random.key(0), 400)
    )
    noise = np.concatenate(
        [np.ravel(a - b) for a, b in zip(*map(jax.tree.leaves, (states.params, states.log)), strict=True)]
    )
    gamma = ((found.smoothness - DECAY) / (found.smoothness + DECAY)) ** 5
    gap = np.sqrt(np.log(1000) + 2) - np.sqrt(np.log(1000))
    sigma = 4 * np.sqrt(2) * found.lipschitz * gamma / (DECAY * ROWS * (1 - gamma) * gap)
    assert stats.kstest(noise / sigma, "norm").pvalue > 1e-3


@pytest.mark.parametrize("classes", [2, 3])
def test_the_constants_hold(classes):
    """Gradients and curvature of each example at random weights, of any size, stay within L and M."""
    x, y = data(classes)
    found, design = constants(x), certificates.softmax_design(x, INPUTS)
    rng = np.random.default_rng(1)
    worst_slope = worst_curve = 0.0
    for scale in (0.01, 1.0, 100.0):
        logits = design @ rng.normal(size=(5, classes)) * scale
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        radius = np.linalg.norm(design, axis=1)
        worst_slope = max(worst_slope, (radius * np.linalg.norm(p - np.eye(classes)[y], axis=1)).max())
        curve = np.eye(classes) * p[:, :, None] - p[:, :, None] * p[:, None, :]
        worst_curve = max(worst_curve, (radius**2 * np.linalg.norm(curve, 2, axis=(1, 2))).max() + DECAY)
    assert worst_slope <= found.lipschitz * (1 + 1e-9)
    assert worst_curve <= found.smoothness * (1 + 1e-9)
    assert worst_slope > 0.5 * found.lipschitz
    assert worst_curve > 0.5 * found.smoothness


@pytest.mark.parametrize("forgotten", [1, 10])
@pytest.mark.parametrize("classes", [2, 3])
def test_certified_removal_leaves_no_more_gradient_than_its_bound(classes, forgotten):
    args = (("strong_convexity", DECAY), ("noise", 1.0))
    recipe = Recipe(rule="objective_perturbation", rule_args=args, epochs=20, batch_size=32)
    model, state, x, y = trained(recipe, classes)
    design = certificates.softmax_design(x, INPUTS)
    tilt, before = certificates.softmax_weights(state.log), certificates.softmax_weights(state.params)
    np.testing.assert_allclose(before, minimum(design, y, classes, tilt), atol=1e-4)
    done, _ = removed("certified_removal", recipe, model, state, x, y, forgotten)
    after = certificates.softmax_weights(done.params)
    rest = design[forgotten:], y[forgotten:]
    left, untouched = (
        np.linalg.norm(certificates.removal_residual(*rest, weights, tilt, strong_convexity=DECAY))
        for weights in (after, before)
    )
    bound = certificates.removal_bound(*rest, before, after, tilt, strong_convexity=DECAY)
    assert left <= bound
    assert left < 0.2 * untouched
    assert bound < 100 * untouched
    # And it is near to the exact answer, in proportion to what the removal moved.
    exact = minimum(*rest, classes, tilt)
    assert np.linalg.norm(after - exact) < 0.2 * np.linalg.norm(before - exact)


@pytest.mark.parametrize("batch_size", [64, 512])
def test_objective_perturbation_reaches_its_minimum_on_digits(batch_size):
    """As many rows and as large a batch as users have: the gradient of the tilted objective vanishes."""
    splits, m = load("digits"), 0.1
    args = (("strong_convexity", m), ("noise", 10.0), ("solver_iterations", 50))
    recipe = Recipe(
        model_args=(("widths", ()),), rule="objective_perturbation", rule_args=args, epochs=8, batch_size=batch_size
    )
    model = models.build(recipe, splits.inputs, 10)
    found = fit(model, recipe, World(splits.train.x, splits.train.y, np.arange(1400)), 2).states
    design = softmax_design(splits.train.x, splits.inputs)
    for i in range(2):
        weights, tilt = (softmax_weights(jax.tree.map(lambda a: a[i], each)) for each in (found.params, found.log))  # noqa: B023
        left = removal_residual(design, splits.train.y, weights, tilt, strong_convexity=m)
        assert np.linalg.norm(left) < 1e-3 * np.linalg.norm(tilt)


def test_noiseless_langevin_meets_the_minimum_over_r_and_its_noise_is_stationary():
    x, y = data(2)
    found, design = constants(x), certificates.softmax_design(*(x, INPUTS))
    args = {"step_size": 1 / found.smoothness, "strong_convexity": DECAY}
    still = Recipe(rule="langevin", rule_args=tuple((args | {"noise": 0.0}).items()), epochs=400, batch_size=32)
    model, state, x, y = trained(still, 2)
    done, _ = removed("langevin", still, model, state, x, y, 10, steps=400)
    np.testing.assert_allclose(certificates.softmax_weights(done.params), minimum(design[10:], y[10:], 2), atol=1e-3)
    # Along w_0 + w_1 the loss is flat and the objective a parabola of curvature m: an autoregression with factor
    # 1 − η m, whose stationary variance is 2 η σ² / (1 − (1 − η m)²) for each of the two weights.
    noisy = Recipe(rule="langevin", rule_args=tuple((args | {"noise": 0.3}).items()), epochs=300, batch_size=120)
    model = under_rule(noisy, models.mlp(INPUTS, 2, widths=()))
    run = jax.jit(jax.vmap(lambda key: make_train(noisy, model)(key, World(x, y, np.arange(ROWS)))[0].params))
    params = run(jax.random.split(jax.random.key(0), 200))["head"]["kernel"]
    along = np.asarray(params).sum(-1) / np.sqrt(2)
    factor = 1 - DECAY / found.smoothness
    noise = 2 / found.smoothness * 0.3**2 * (1 - factor**600) / (1 - factor**2)
    expected = noise + factor**600 / 4  # initial weights have the variance 1 / 4, one over the number of inputs
    low, high = stats.chi2.ppf([1e-4, 1 - 1e-4], along.size) / along.size
    assert low < np.square(along).mean() / expected < high


def test_langevin_stays_in_its_ball():
    recipe = Recipe(
        rule="langevin", rule_args=(("step_size", 0.1), ("noise", 5.0), ("radius", 0.5)), epochs=5, batch_size=32
    )
    model, state, x, y = trained(recipe, 3)
    done, _ = removed("langevin", recipe, model, state, x, y, 5, steps=3)
    for each in (state, done):
        assert np.linalg.norm(certificates.softmax_weights(each.params)) == pytest.approx(0.5, rel=1e-4)


def test_budgets_and_divergences_by_hand():
    assert certificates.removal_budget(10.0, epsilon=1.0, delta=1e-4) == pytest.approx(10 / np.sqrt(2 * np.log(1.5e4)))
    given = certificates.Constants(lipschitz=1.0, smoothness=0.35, strong_convexity=0.1)
    at_zero = certificates.langevin_divergence(
        2.0, noise=0.5, step_size=1.0, steps=0, forgotten=3, examples=100, constants=given
    )
    assert at_zero == pytest.approx(4 * 2 * 9 / (0.1 * 0.25 * 1e4))
    later = certificates.langevin_divergence(
        2.0, noise=0.5, step_size=1.0, steps=20, forgotten=3, examples=100, constants=given
    )
    assert later == pytest.approx(at_zero * np.exp(-1.0))
    assert certificates.descent_training_steps(1.0, examples=100, steps=5, constants=given) == 5 + int(
        np.ceil(np.log(0.1 * 100 / 2) / -np.log(0.25 / 0.45))
    )


@pytest.mark.parametrize(
    ("rule", "changes", "message"),
    [
        ("descent_to_delete", {"smoothness": 0.005}, "strong_convexity"),
        ("descent_to_delete", {"delta": 1.0}, "delta=1"),
        ("descent_to_delete", {"epsilon": 0.0}, "epsilon=0"),
        ("descent_to_delete", {"unlearning_steps": 0}, "steps=0"),
        ("langevin", {"step_size": 0.0}, "step_size=0"),
        ("langevin", {"noise": -1.0}, "noise=-1"),
        ("langevin", {"radius": 0.0}, "radius=0"),
        ("objective_perturbation", {"strong_convexity": 0.0}, "strong_convexity=0"),
        ("objective_perturbation", {"noise": -1.0}, "noise=-1"),
    ],
)
def test_bad_arguments_of_the_rules_are_refused(rule, changes, message):
    good = {"descent_to_delete": {"lipschitz": 3.0, "smoothness": 5.0}, "langevin": {"step_size": 0.1}}.get(rule, {})
    recipe = Recipe(rule=rule, rule_args=tuple((good | changes).items()))
    with pytest.raises(ValueError, match=message):
        under_rule(recipe, models.mlp(INPUTS, 2, widths=()))


def test_full_batch_rules_count_epochs():
    recipe = Recipe(rule="langevin", rule_args=(("step_size", 0.1),), epochs=None, steps=5)
    with pytest.raises(ValueError, match="one epoch is one step"):
        under_rule(recipe, models.mlp(INPUTS, 2, widths=()))
