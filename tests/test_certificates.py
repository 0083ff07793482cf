"""Constants, budgets and divergences by hand and by brute force."""

import numpy as np
import pytest

from unlearnax import certificates
from unlearnax.types import InputSpec

INPUTS = InputSpec((4,), mean=0.5, std=2.0)

DECAY = 0.1

ROWS = 120


def data(classes):
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, ROWS).astype(np.int32)
    return (rng.normal(size=(ROWS, 4)) + y[:, None]).astype(np.float32), y


def constants(x):
    return certificates.softmax_constants(x, INPUTS, strong_convexity=DECAY)


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
