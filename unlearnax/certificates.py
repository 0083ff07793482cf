"""What certified methods promise, as numbers: constants of convex problems, noise that a promise asks for, proven bounds.

Everything here is about f_D(θ) = (1/n) Σ_D ℓ_i(θ) + m/2 ‖θ‖², ℓ convex.  The gradients of f_D and of f_R differ by
(k/n) (mean over R − mean over S) of ∇ℓ, k = |S| and n = |D|: by at most 2 k L / n where each ‖∇ℓ_i‖ ≤ L; the decay
cancels.  So L is the loss's alone, while M = smoothness counts the decay.  For a network with hidden layers none of
this holds.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from unlearnax import checks
from unlearnax.types import Array, InputSpec

# Largest |D³ logsumexp[u, u, v]| over unit u, v: the third central moment of numbers within √2 is at most √2³ / (6 √3).
SOFTMAX_THIRD = math.sqrt(2) / (3 * math.sqrt(3))


class Constants(NamedTuple):
    """lipschitz: L of each ℓ_i.  smoothness: M of ℓ_i + m/2 ‖θ‖², so of f over any rows.  strong_convexity: m."""

    lipschitz: float
    smoothness: float
    strong_convexity: float


def softmax_design(x: Array, inputs: InputSpec) -> np.ndarray:
    """Inputs `[n, ...]` as softmax regression sees them: normalised, flat, with a last column of 1, `[n, H + 1]` float64."""
    flat = (np.asarray(x, np.float64).reshape(len(x), -1) - inputs.mean) / inputs.std
    return np.concatenate([flat, np.ones((len(flat), 1))], 1)


def softmax_weights(params: Any) -> np.ndarray:
    """Weights of `mlp(widths=())`, or a tree like them, as one matrix `[H + 1, C]` float64, the bias last."""
    head = params["head"]
    return np.concatenate([np.asarray(head["kernel"], np.float64), np.asarray(head["bias"], np.float64)[None]])


def softmax_constants(x: Array, inputs: InputSpec, *, strong_convexity: float) -> Constants:
    """Constants of softmax regression, `mlp(widths=())`, with a bias: L = √2 r, M = r²/2 + m, r = largest ‖(x_i, 1)‖.

    ‖p − e_y‖ ≤ √2 and diag p − p pᵀ ≤ 1/2, whatever the weights; binary logistic regression is the case of two
    classes.  The constants hold for every set of these rows.  They read all rows given: where what is published must
    not depend on S even through them, give inputs that bound r by their range.

    Args:
        x: raw inputs `[n, ...]`, n ≥ 1.  strong_convexity: m > 0.
    """
    checks.positive("strong_convexity", strong_convexity)
    largest = float(np.square(softmax_design(x, inputs)).sum(1).max())
    return Constants(math.sqrt(2 * largest), largest / 2 + strong_convexity, strong_convexity)


def contraction(smoothness: float, strong_convexity: float) -> float:
    """γ = (M − m)/(M + m): a gradient step of 2/(M + m) brings a point at least so much nearer to the minimum.

    Raises:
        ValueError: unless 0 < m < M.
    """
    checks.positive("smoothness", smoothness)
    checks.in_range("strong_convexity", strong_convexity, 0, smoothness, open_low=True, open_high=True)
    return (smoothness - strong_convexity) / (smoothness + strong_convexity)


def descent_noise(
    examples: Any,
    *,
    steps: int,
    epsilon: float,
    delta: float,
    lipschitz: float,
    smoothness: float,
    strong_convexity: float,
    deletions: int = 1,
) -> Any:
    """σ = 4√2 k L γ^I / (m n (1 − γ^I) (√(ln(1/δ) + ε) − √ln(1/δ))), the noise of Descent-to-Delete on every weight.

    Args:
        examples: n, a number or a traced scalar.  steps: I ≥ 1, gradient steps for each request.
        epsilon, delta: ε > 0, δ in (0, 1).  lipschitz: L > 0.  smoothness, strong_convexity: M > m > 0.
        deletions: k, examples that one request takes out; the paper's formula is of one, k copies of it are ours.

    Raises:
        ValueError: a value out of range.

    Source: Neel et al., "Descent-to-Delete", ALT 2021, arXiv 2007.02923, the theorem for strongly convex losses and
    published outputs; the formula as also written in the released code of Chien et al., arXiv 2401.10371, baseline.py.
    """
    checks.at_least_one("steps", steps)
    checks.positive("epsilon", epsilon)
    checks.in_range("delta", delta, 0, 1, open_low=True, open_high=True)
    checks.positive("lipschitz", lipschitz)
    checks.at_least_one("deletions", deletions)
    shrunk = contraction(smoothness, strong_convexity) ** steps
    gap = math.sqrt(math.log(1 / delta) + epsilon) - math.sqrt(math.log(1 / delta))
    return 4 * math.sqrt(2) * deletions * lipschitz * shrunk / (strong_convexity * (1 - shrunk) * gap) / examples


def descent_training_steps(start: float, *, examples: int, steps: int, constants: Constants) -> int:
    """Fewest T ≥ I + ln(d m n / 2L) / ln(1/γ): so long must Descent-to-Delete train before its promise holds.

    Args:
        start: d > 0, how far the initial weights may be from the minimum; ‖∇f(θ_0)‖ / m is never less.
        examples, steps: n, I.

    Raises:
        ValueError: a value out of range.
    """
    checks.positive("start", start)
    checks.at_least_one("examples", examples)
    checks.at_least_one("steps", steps)
    gamma = contraction(constants.smoothness, constants.strong_convexity)
    ratio = start * constants.strong_convexity * examples / (2 * constants.lipschitz)
    return steps + max(0, math.ceil(math.log(ratio) / -math.log(gamma)))


def descent_distance(start: float, *, forgotten: int, examples: int, steps: int, constants: Constants) -> float:
    """How far I gradient steps on R can end from the minimum over R: γ^I (d + 2 k L / (m n)).

    Args:
        start: d, of the weights that it began with from the minimum over D; γ^T times that of training after T steps.
        forgotten, examples: k = |S| < n = |D|.  steps: I.

    Raises:
        ValueError: a value out of range.
    """
    checks.non_negative("start", start)
    checks.at_least_one("forgotten", forgotten)
    checks.at_least_one("examples", examples)
    checks.at_least_one("steps", steps)
    gamma = contraction(constants.smoothness, constants.strong_convexity)
    return gamma**steps * (start + 2 * forgotten * constants.lipschitz / (constants.strong_convexity * examples))


def langevin_divergence(
    order: float, *, noise: float, step_size: float, steps: int, forgotten: int, examples: int, constants: Constants
) -> float:
    """ε of (α, ε)-Rényi unlearning: exp(−η m K / α) · 4 α k² L² / (m σ² n²).

    Holds for training until stationary on n rows (a start with a log-Sobolev constant of at most 2σ²/m) and η ≤ 1/M; K
    = 0 is what training alone gives.  In terms of (ε, δ): add ln(1/δ) / (α − 1).

    Args:
        order: α > 1.  noise: σ > 0.  step_size: η in (0, 1/M].  steps: K ≥ 0.  forgotten, examples: k, n.

    Raises:
        ValueError: a value out of range.

    Source: Chien et al., "Langevin unlearning", NeurIPS 2024, arXiv 2401.10371, the guarantee for strongly convex
    losses as evaluated by the released code (baseline.py, `epsilon0_`, `epsilon_s1`), there for k rows replaced.
    """
    checks.in_range("order", order, 1, open_low=True, open_high=True)
    checks.positive("noise", noise)
    checks.in_range("step_size", step_size, 0, 1 / constants.smoothness, open_low=True)
    checks.at_least_zero("steps", steps)
    checks.at_least_one("forgotten", forgotten)
    checks.at_least_one("examples", examples)
    m = constants.strong_convexity
    learned = 4 * order * (forgotten * constants.lipschitz) ** 2 / (m * (noise * examples) ** 2)
    return math.exp(-step_size * m * steps / order) * learned


def removal_residual(
    design: np.ndarray, y: Array, weights: np.ndarray, perturbation: np.ndarray, *, strong_convexity: float
) -> np.ndarray:
    """Gradient of Σ ℓ_i + (m n/2) ‖θ‖² + bᵀθ, softmax regression, at some weights, `[H + 1, C]` float64.

    design, y: n rows, see `softmax_design`.  weights, perturbation: θ and b, `[H + 1, C]`, see `softmax_weights`.
    """
    logits = design @ weights
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(p)), np.asarray(y)] -= 1
    return design.T @ p + strong_convexity * len(design) * weights + perturbation


def removal_bound(
    design: np.ndarray,
    y: Array,
    before: np.ndarray,
    after: np.ndarray,
    perturbation: np.ndarray,
    *,
    strong_convexity: float,
) -> float:
    """Bound of the gradient norm of the perturbed objective over R after a Newton removal step u = after − before.

    γ ‖X‖₂ r ‖u‖ ‖X u‖ + ‖g + H u‖: X `[n, H + 1]` the rows of R, r the largest norm of one (1 in the paper, which
    normalises them), γ the Lipschitz constant of the loss's second derivative, g and H gradient and Hessian over R
    before the step.  The second term is what training and the linear solver left over; both are exact in the paper,
    which has the first only.  There γ = 1/4, of the logistic loss; of the softmax it is √2 / (3 √3) = 0.272, used here
    for any number of classes.  Two classes with decay m are the paper's logistic regression on w_1 − w_0 with decay
    m/2, next to w_0 + w_1, which no label moves.

    Args:
        design, y: the retained rows.  before, after, perturbation: weights and b, `[H + 1, C]`.

    Source: Guo et al., "Certified data removal from machine learning models", ICML 2020, arXiv 1911.03030, the
    data-dependent bound for batches (corollary 2), carried over from one logit to C.
    """
    step = after - before
    logits = design @ before
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    moved = design @ step
    curved = design.T @ (p * (moved - (p * moved).sum(1, keepdims=True))) + strong_convexity * len(design) * step
    left = curved + removal_residual(design, y, before, perturbation, strong_convexity=strong_convexity)
    largest = np.sqrt(np.square(design).sum(1).max())
    spread = np.linalg.norm(design, 2) * largest * np.linalg.norm(step) * np.linalg.norm(moved)
    return float(SOFTMAX_THIRD * spread + np.linalg.norm(left))


def removal_budget(noise: float, *, epsilon: float, delta: float) -> float:
    """The largest residual that b ~ N(0, σ² I) hides: σ ε / c with δ = 1.5 exp(−c²/2).

    Bounds of successive removals add up; a member whose sum is above the budget must be retrained.

    Args:
        noise: σ ≥ 0.  epsilon, delta: ε > 0, δ in (0, 1).

    Source: Guo et al., ICML 2020, arXiv 1911.03030, theorem 3 and algorithm 2.
    """
    checks.non_negative("noise", noise)
    checks.positive("epsilon", epsilon)
    checks.in_range("delta", delta, 0, 1, open_low=True, open_high=True)
    return noise * epsilon / math.sqrt(2 * math.log(1.5 / delta))
