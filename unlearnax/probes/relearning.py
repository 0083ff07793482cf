"""Relearning: fine-tune on one part T of the concept and watch accuracy return on another part V.

A model in which the concept was only hidden gets it back sooner than one that never had it (Lynch et al., "Eight methods
to evaluate robust unlearning in LLMs", 2024, arXiv 2402.16835, test 4: relearning on part of what was forgotten).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from unlearnax import batching, checks
from unlearnax.metrics.energy import CLIP, margins
from unlearnax.types import Array, Key, Model, Problem, Subset, TrainState

# V is passed at every grid point: more rows would cost more than they tell.
MOST_TESTED = 500


class RelearningData(NamedTuple):
    """x: `[n, ...]` raw inputs and y: `[n]` labels of the rows of T and V, and no others.

    learn, test: which of these rows are T and which are V.
    """

    x: Array
    y: Array
    learn: Subset
    test: Subset


def deal(problem: Problem, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Deals the training rows of F to T and V in turn, at random within each label and discovery state.

    Both therefore hold S and F∖S, and every label, in equal shares to within a row.  V takes no test rows: what generalises
    to them is another question, and some problems have none.

    Returns:
        Rows of train: T `[⌈|F|/2⌉]`, and V `[⌊|F|/2⌋]`, thinned to `MOST_TESTED`.

    Raises:
        ValueError: fewer than 4 concept rows.
    """
    rows = problem.concept
    if len(rows) < 4:
        raise ValueError(
            f"Expected problem {problem.name!r} to have at least 4 concept rows to relearn and test on, has {len(rows)}."
        )
    order = np.random.default_rng([seed, 11]).permutation(rows)
    order = order[np.lexsort((problem.train.y[order], np.isin(order, problem.forget)))]  # stable: random in a stratum
    test = order[1::2]
    kept = min(len(test), MOST_TESTED)
    return np.sort(order[0::2]), np.sort(test[np.arange(kept) * len(test) // kept])  # evenly, along the strata


def relearning_data(problem: Problem, seed: int) -> RelearningData:
    """The rows of `deal` with the labels that were trained on, wrong ones included; one shape whatever is discovered.

    Raises:
        ValueError: fewer than 4 concept rows.
    """
    learn, test = deal(problem, seed)
    rows = np.concatenate([learn, test])
    place = np.arange(len(rows))
    return RelearningData(
        problem.train.x[rows], problem.train.y[rows], batching.subset(place[: len(learn)]),
        batching.subset(place[len(learn) :]),
    )  # fmt: skip


def relearning(
    model: Model, *, learning_rate: float = 0.01, steps: int = 40, batch_size: int = 16, every: int = 1
) -> Callable[[Key, TrainState, RelearningData], dict[str, jax.Array]]:
    """Plain SGD on T in train mode, V measured at steps 0, every, 2 · every, …, steps: K = steps / every + 1 points.

    Args:
        learning_rate: choose it so that the oracle needs a good part of the steps.
        steps: a multiple of `every`.

    Returns:
        ``probe(key, state, data)``, which gives accuracy: `[K]` on V in [0, 1]; margin: `[K]`, V's mean logit margin
        clipped to ±15; loss: `[K − 1]`, mean training loss on T's batches between two points.  NaN once a model diverges.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Lynch et al. 2024, arXiv 2402.16835, test 4; the fine-tuning itself is ours.
    """
    checks.positive("learning_rate", learning_rate)
    for name, value in (("steps", steps), ("batch_size", batch_size), ("every", every)):
        checks.at_least_one(name, value)
    if steps % every:
        raise ValueError(f"Expected steps={steps} to be a multiple of every={every}.")
    points = steps // every + 1

    def probe(key: Key, state: TrainState, data: RelearningData) -> dict[str, jax.Array]:
        x, y = jnp.asarray(data.x), jnp.asarray(data.y)
        tested = jnp.asarray(data.test.index)

        def measure(state: TrainState) -> jax.Array:
            logits, _ = model.apply(state.params, state.model_state, x[tested], train=False, key=None)
            right = jnp.where(jnp.isfinite(logits).all(-1), logits.argmax(-1) == y[tested], jnp.nan)
            return jnp.stack([right.mean(), jnp.clip(margins(logits, y[tested]), -CLIP, CLIP).mean()])

        def loss_fn(params, model_state, key, rows):
            logits, model_state = model.apply(params, model_state, x[rows], train=True, key=key)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean(), model_state

        def body(carry, key, number, rows):
            state, curves, losses = carry
            curves = jax.lax.cond(
                number % every == 0, lambda: curves.at[number // every].set(measure(state)), lambda: curves
            )
            (loss, model_state), grads = jax.value_and_grad(loss_fn, has_aux=True)(
                state.params, state.model_state, key, rows
            )
            params = jax.tree.map(lambda p, g: (p - learning_rate * g).astype(p.dtype), state.params, grads)
            state = state._replace(params=params, model_state=model_state, step=state.step + 1)
            return state, curves, losses.at[number // every].add(loss / every)

        per_pass = batching.steps_per_pass(data.learn, batch_size)
        carry = (state, jnp.zeros((points, 2)), jnp.zeros(points - 1))
        state, curves, losses = batching.run_passes(
            key, carry, data.learn, body, batch_size=batch_size, passes=(jnp.asarray(0), -(-steps // per_pass)),
            max_steps=jnp.asarray(steps),
        )  # fmt: skip
        curves = curves.at[-1].set(measure(state))
        return {"accuracy": curves[:, 0], "margin": curves[:, 1], "loss": losses}

    return probe


def relearning_numbers(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """start, end: accuracy on V before and after, `[M]` in [0, 1].

    area: its mean over the steps (trapezoids), the share of the run for which the concept was back; margin_area: the mean
    margin over the steps, which still tells models apart where accuracy is 0 or 1 at once.
    """
    accuracy = np.asarray(arrays["accuracy"], np.float64)
    return {"start": accuracy[:, 0], "end": accuracy[:, -1], "area": area(accuracy),
            "margin_area": area(arrays["margin"])}  # fmt: skip


def area(curve: Array) -> np.ndarray:
    """Mean of each curve `[M, K]` over an even grid by trapezoids, `[M]`, in the curve's own units; NaN where it has NaN."""
    curve = np.asarray(curve, np.float64)
    return ((curve[:, 1:] + curve[:, :-1]) / 2).mean(1)


def _curve(name: str, curve: Array) -> np.ndarray:
    curve = np.asarray(curve, np.float64)
    if curve.ndim != 2 or curve.shape[0] < 1 or curve.shape[1] < 2:
        raise ValueError(f"Expected {name} of shape {curve.shape} to be [M, K], with at least 2 points.")
    if np.isnan(curve).any():
        raise ValueError(f"Expected {name} to be free of NaN.")
    return curve


def relearn_time(curve: Array, steps: Array, target: float | Array) -> np.ndarray:
    """First step at which each curve reaches the target, by linear interpolation between grid points.

    Args:
        curve: accuracies on V `[M, K]`.  steps: the grid `[K]`, rising.  target: a number, or one for each curve `[M]`.

    Returns:
        `[M]` steps; ∞ where the target is never reached within the run: censored, not a long time.

    Raises:
        ValueError: shapes that do not fit, a grid that does not rise, NaN.
    """
    curve, steps = _curve("curve", curve), np.asarray(steps, np.float64)
    if steps.shape != curve.shape[1:] or not (np.diff(steps) > 0).all():
        raise ValueError(f"Expected steps of shape {steps.shape} to be a rising grid [K], K={curve.shape[1]}.")
    target = np.asarray(target, np.float64)
    if target.shape not in ((), curve.shape[:1]) or np.isnan(target).any():
        raise ValueError(f"Expected target of shape {target.shape} to be a number or [M], M={len(curve)}, without NaN.")
    target = np.broadcast_to(target, len(curve))
    above = curve >= target[:, None]
    first, members = above.argmax(1), np.arange(len(curve))
    before = np.maximum(first - 1, 0)
    low, high = curve[members, before], curve[members, first]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(first > 0, (target - low) / (high - low), 0.0)
    found = steps[before] + part * (steps[first] - steps[before])
    return np.where(above.any(1), found, np.inf)


def anamnesis_index(
    candidate: Array, reference: Array, original_accuracy: float | Array, steps: Array, *, alpha: float = 5.0
) -> np.ndarray:
    """AIN = r_t(unlearned, original, α) / r_t(trained from scratch, original, α).

    r_t is the number of steps until accuracy comes within α % of the original's on the forgotten data; "within" is read as
    at least (1 − α/100) times it.  Over populations, each candidate's time is divided by the reference's median time.

    Args:
        candidate, reference: accuracy curves on V, `[M, K]` and `[R, K]`; the reference are retrained models (the oracle).
        original_accuracy: the originals' accuracy on V before relearning, a number or `[M0]`, whose mean is taken.
        steps: the grid `[K]`.  alpha: in percent, in [0, 100); the default is ours.

    Returns:
        `[M]` in [0, ∞]: 1 ideal; below 1 the concept comes back too soon; above 1 the model was damaged so that unlearning
        shows (Streisand effect); ∞ where a candidate never got there within the run.

    Raises:
        ValueError: half of the reference members or more never get there, or are there from the first step.

    Source: Chundawat et al., "Zero-shot machine unlearning", IEEE TIFS 2023, arXiv 2201.05629, anamnesis index.
    """
    checks.in_range("alpha", alpha, 0, 100, open_high=True)
    target = (1 - alpha / 100) * float(np.mean(np.asarray(original_accuracy, np.float64)))
    times = relearn_time(reference, steps, target)
    reached = np.isfinite(times)
    if reached.mean() <= 0.5:
        raise ValueError(
            f"Expected most reference members to reach accuracy {target:.3g} in {np.max(steps):g} steps; "
            f"{(~reached).sum()} of {len(times)} do not: relearn longer."
        )
    typical = float(np.sort(times)[(len(times) - 1) // 2 : len(times) // 2 + 1].mean())
    if typical == 0:
        raise ValueError(
            f"Expected reference members below accuracy {target:.3g} at first; half of them or more are there at step 0."
        )
    return relearn_time(candidate, steps, target) / typical


def anchored(candidate: Array, low: Array, high: Array) -> np.ndarray:
    """Where each candidate's area under its curve lies between two anchors: 0 relearns as `low`, 1 as `high` does.

    Args:
        candidate: `[M, K]`.  low: curves of the oracle, or of freshly initialised models, `[R, K]`.
        high: curves of the originals, `[R', K]`.  All on one grid.

    Returns:
        `[M]`; below 0 relearns more slowly than `low`, above 1 sooner than `high`.

    Raises:
        ValueError: fewer than 2 members an anchor, other grids, or anchors that are less than 2 standard errors apart.
    """
    curves = [_curve(name, c) for name, c in (("candidate", candidate), ("low", low), ("high", high))]
    checks.enough_members("anchored", 2, *(len(c) for c in curves[1:]))
    if len({c.shape[1] for c in curves}) > 1:
        raise ValueError(f"Expected curves of {[c.shape[1] for c in curves]} points to share one grid.")
    mine, below, above = (area(c) for c in curves)
    distance = above.mean() - below.mean()
    error = math.sqrt(np.var(below, ddof=1) / len(below) + np.var(above, ddof=1) / len(above))
    if abs(distance) <= 2 * error:
        raise ValueError(
            f"Expected the anchors' areas {below.mean():.3g} and {above.mean():.3g} to be more than 2 standard errors "
            f"({error:.2g} each) apart: nothing lies between them."
        )
    return (mine - below.mean()) / distance


def relearning_compared(
    candidate: Mapping[str, np.ndarray], oracle: Mapping[str, np.ndarray], original: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray | str]:
    """anamnesis: see `anamnesis_index`; anchored: see `anchored`, from the oracle to the original.

    Each `[M]`, or why it cannot be had.
    """
    mine, retrained, untouched = (arrays["accuracy"] for arrays in (candidate, oracle, original))
    steps = np.arange(mine.shape[1])  # in grid points: the index is a ratio
    found: dict[str, np.ndarray | str] = {}
    for name, compare in (
        ("anamnesis", lambda: anamnesis_index(mine, retrained, untouched[:, 0], steps)),
        ("anchored", lambda: anchored(mine, retrained, untouched)),
    ):
        try:
            found[name] = compare()
        except ValueError as error:
            found[name] = str(error)
    return found
