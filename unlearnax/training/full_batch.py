"""Rules that take all rows at every step: gradient descent with a published copy under noise, and noisy descent.

One pass is one step on f(θ) = (1/n) Σ ℓ_i(θ) + m/2 ‖θ‖² in evaluation mode.  Of a recipe they read the model, `epochs`
(the number of steps) and `batch_size` (how many rows are summed at a time, which moves rounding only); the optimiser,
learning rate and weight decay are the rule's own.  What is proven of them holds for convex ℓ, so for softmax
regression, `mlp(widths=())`; networks with hidden layers train and unlearn by the same steps without any guarantee.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from unlearnax import batching, checks
from unlearnax.certificates import descent_noise
from unlearnax.recipes import Recipe
from unlearnax.training.plain import keep_state
from unlearnax.training.private import check_stateless
from unlearnax.types import Array, Info, Key, Model, Subset, Training, TrainState

Sum = TypeVar("Sum")
# update(key, state, x, y, rows) -> (params, mean ℓ before it)
Update = Callable[..., tuple[PyTree, jax.Array]]


def add_up(zero: Sum, rows: Subset, chunk: Callable[..., Sum], batch_size: int) -> Sum:
    """Σ chunk(rows `[B]`, inside `[B]` bool) over a subset; where `inside` is false a row stands there again."""
    order = jnp.asarray(rows.index)

    def add(i: jax.Array, sums: Sum) -> Sum:
        inside = i * batch_size + jnp.arange(batch_size) < rows.length
        value = chunk(batching.take_batch(order, rows, i, batch_size), inside)
        return jax.tree.map(jnp.add, sums, value)

    return jax.lax.fori_loop(0, (rows.length + batch_size - 1) // batch_size, add, zero)


def mean_loss(
    model: Model, state: TrainState, x: Array, y: Array, rows: Subset, batch_size: int
) -> Callable[[PyTree], tuple[jax.Array, PyTree]]:
    """``params -> ((1/n) Σ ℓ_i, its gradient)`` over every row of a subset, in evaluation mode."""
    x, y = jnp.asarray(x), jnp.asarray(y)

    def loss(params: PyTree, taken: jax.Array, inside: jax.Array) -> jax.Array:
        logits, _ = model.apply(params, state.model_state, x[taken], train=False, key=None)
        each = optax.softmax_cross_entropy_with_integer_labels(logits, y[taken])
        return jnp.where(inside, each, 0.0).sum()

    def value_and_gradient(params: PyTree) -> tuple[jax.Array, PyTree]:
        zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
        sums = add_up(zero, rows, lambda *chunk: jax.value_and_grad(loss)(params, *chunk), batch_size)
        return jax.tree.map(lambda leaf: leaf / rows.length, sums)

    return value_and_gradient


def descent_step(
    params: PyTree, slope: Callable[[PyTree], tuple[jax.Array, PyTree]], step_size: Any, strong_convexity: Any
) -> tuple[PyTree, jax.Array]:
    """θ − η ∇f(θ), and the mean ℓ at θ."""
    loss, gradient = slope(params)
    return jax.tree.map(lambda p, g: p - step_size * (g + strong_convexity * p), params, gradient), loss


def gaussian_like(key: Key, tree: PyTree) -> PyTree:
    """ξ ~ N(0, I) of a tree's shapes."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(structure, [jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)])


def add_noise(key: Key, params: PyTree, scale: Any) -> PyTree:
    """θ + scale · ξ with ξ ~ N(0, I)."""
    return jax.tree.map(lambda p, xi: p + scale * xi, params, gaussian_like(key, params))


def project(params: PyTree, radius: Any) -> PyTree:
    """The nearest weights with ‖θ‖ ≤ radius."""
    factor = jnp.minimum(1.0, radius / jnp.maximum(optax.tree.norm(params), 1e-30))
    return jax.tree.map(lambda p: factor * p, params)


def by_steps(
    rule: str, recipe: Recipe, model: Model, update: Update, log: Callable[[Key, PyTree], PyTree] = lambda key, p: ()
) -> Training:
    """Training by full-batch steps; step number i has the key ``fold_in(fold_in(key, 1), i)``.

    log: ``(key, initial params) -> tree``, what `TrainState.log` holds from the start.

    Raises:
        ValueError: a recipe that counts steps instead of epochs, a model with batch statistics.
    """
    if recipe.epochs is None:
        raise ValueError(
            f"Expected steps={recipe.steps} to be None and epochs to be set under rule {rule!r}: one epoch is one step."
        )
    check_stateless(rule, model)

    def init(key: Key) -> TrainState:
        params, model_state = model.init(jax.random.fold_in(key, 0))
        return TrainState(params, model_state, (), jnp.zeros((), jnp.int32), log(key, params))

    def segment(
        key: Key, state: TrainState, x: Array, y: Array, rows: Subset, passes: tuple[Array, Array]
    ) -> tuple[TrainState, Info]:
        key_steps = jax.random.fold_in(key, 1)

        def step(number: jax.Array, carry: tuple[TrainState, jax.Array]) -> tuple[TrainState, jax.Array]:
            state, loss_sum = carry
            params, loss = update(jax.random.fold_in(key_steps, number), state, x, y, rows)
            return state._replace(params=params, step=state.step + 1), loss_sum + loss

        before = state.step
        state, loss_sum = jax.lax.fori_loop(*passes, step, (state, jnp.zeros(())))
        taken = state.step - before
        return state, Info(loss_sum / jnp.maximum(taken, 1), taken * rows.length)

    return Training(init, segment, keep_state)


def descent_to_delete(
    recipe: Recipe,
    model: Model,
    *,
    lipschitz: float,
    smoothness: float,
    strong_convexity: float = 1e-2,
    unlearning_steps: int = 10,
    epsilon: float = 1.0,
    delta: float = 1e-5,
    deletions: int = 1,
) -> Training:
    """Gradient descent θ ← θ − η ∇f(θ), η = 2/(M + m); what is published is θ + N(0, σ² I), σ = `certificates.descent_noise`.

    This is the paper's basic algorithm for strongly convex losses with its weaker promise: what is *published* after I
    steps on R is (ε, δ)-indistinguishable from what would be published after retraining on R.  The weights without
    noise are kept as a secret state, in `TrainState.log`, where S may still be found; the paper's stronger promise, of
    the whole state, needs another σ and fresh noise in the state, which is not done here.  n in σ is the number of rows
    that the member was trained on, so that a candidate has exactly its oracle's noise.

    The promise also needs T ≥ I + ln(d m n / 2L) / ln(1/γ) epochs (`certificates.descent_training_steps`).  The paper
    projects onto a bounded set, within which its L holds; without that, L is the loss's alone (`certificates`).

    Args:
        lipschitz: L > 0 of each ℓ_i.  smoothness: M > m of f; both from `certificates.softmax_constants`.
        strong_convexity: m > 0, the decay; ours (released code of arXiv 2401.10371 has 1e-6 n, 1.2e-2 on its MNIST).
        unlearning_steps: I ≥ 1, steps that a request will get.  epsilon, delta: ε > 0, δ in (0, 1).  Ours.
        deletions: examples that one request may take out, ours; the paper has requests of one.

    Raises:
        ValueError: arguments out of range, a recipe with `steps`, a model with batch statistics.

    Source: Neel et al., "Descent-to-Delete: gradient-based methods for machine unlearning", ALT 2021, arXiv 2007.02923,
    algorithms 1 and 2.
    """
    given = {"steps": unlearning_steps, "epsilon": epsilon, "delta": delta, "lipschitz": lipschitz}
    given |= {"smoothness": smoothness, "strong_convexity": strong_convexity, "deletions": deletions}
    descent_noise(1, **given)  # checks the values
    step_size = 2 / (smoothness + strong_convexity)

    def update(key, state, x, y, rows):
        slope = mean_loss(model, state, x, y, rows, recipe.batch_size)
        return descent_step(state.params, slope, step_size, strong_convexity)

    def finish(key, state, rows):
        published = add_noise(jax.random.fold_in(key, 2), state.params, descent_noise(rows.length, **given))
        return state._replace(params=published, log=state.params)

    training = by_steps("descent_to_delete", recipe, model, update, log=lambda key, params: params)
    return training._replace(finish=finish)


def langevin(
    recipe: Recipe,
    model: Model,
    *,
    step_size: float,
    strong_convexity: float = 1e-2,
    noise: float = 0.03,
    radius: float = 100.0,
) -> Training:
    """Projected noisy gradient descent θ ← Π(θ − η ∇f(θ) + √(2ησ²) ξ), ξ ~ N(0, I), Π onto ‖θ‖ ≤ radius.

    Learning and unlearning are the same process, on D and then on R: each has its own stationary law, and after K steps
    on R the divergence to retraining is at most `certificates.langevin_divergence`.  It begins at the model's own
    initial weights.  The released code also clips the gradient of each example to L, which is not needed where
    every ‖∇ℓ_i‖ ≤ L.

    Args:
        step_size: η in (0, 1/M]; the released code has 1/M.
        strong_convexity: m ≥ 0, the decay; ours (released code: 1e-6 n, 1.2e-2 on its MNIST).
        noise: σ ≥ 0; 0.03 in the released code's commands.  radius: of the ball, > 0 (default unverified).

    Raises:
        ValueError: arguments out of range, a recipe with `steps`, a model with batch statistics.

    Source: Chien et al., "Langevin unlearning: a new perspective of noisy gradient descent for machine unlearning",
    NeurIPS 2024, arXiv 2401.10371, algorithm 1; released code github.com/Graph-COM/Langevin_unlearning.
    """
    checks.positive("step_size", step_size)
    checks.non_negative("strong_convexity", strong_convexity)
    checks.non_negative("noise", noise)
    checks.positive("radius", radius)

    def update(key, state, x, y, rows):
        slope = mean_loss(model, state, x, y, rows, recipe.batch_size)
        return langevin_step(key, state.params, slope, step_size, strong_convexity, noise, radius)

    return by_steps("langevin", recipe, model, update)


def langevin_step(
    key: Key,
    params: PyTree,
    slope: Callable[[PyTree], tuple[jax.Array, PyTree]],
    step_size: float,
    strong_convexity: float,
    noise: float,
    radius: float,
) -> tuple[PyTree, jax.Array]:
    """Π(θ − η ∇f(θ) + √(2ησ²) ξ), and the mean ℓ at θ."""
    moved, loss = descent_step(params, slope, step_size, strong_convexity)
    return project(add_noise(key, moved, (2 * step_size) ** 0.5 * noise), radius), loss
