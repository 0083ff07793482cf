"""Energy distance between two populations, averaged over the examples of a slice.

For member sets P and Q with d(i, j) a mean over the slice,

    E = 2 mean d(P, Q) − mean_{i≠j} d(P, P) − mean_{i≠j} d(Q, Q),

a U-statistic: its expectation is exactly 0 for equal populations, so estimates may come out slightly negative.  Source:
Székely & Rizzo, "Energy statistics", J. Stat. Plan. Inference 143 (2013), eq. 2 and 6.
"""

from __future__ import annotations

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from unlearnax import checks
from unlearnax.types import Array, Metric, View

FORMS = ("margin", "output")
CLIP = 15.0  # margins beyond ±15 (probabilities within 3e-7 of 0 or 1) differ by rounding more than by meaning


@jax.jit
def margins(logits: Array, labels: Array) -> jax.Array:
    """Logit-scaled confidence of the label, z_y − logsumexp_{j≠y} z_j.

    Args:
        logits: `[..., N, C]`.  labels: `[N]` integers in [0, C).

    Returns:
        `[..., N]` float32; ±inf only where logits are infinite.

    Source: Carlini et al., "Membership inference attacks from first principles", 2022, arXiv 2112.03570, eq. 5.
    """
    logits = jnp.asarray(logits, jnp.float32)
    labels = jnp.asarray(labels)
    chex.assert_equal_shape_suffix([logits[..., 0], jnp.broadcast_to(labels, logits.shape[:-1])], 1)
    own = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    others = jax.nn.logsumexp(jnp.where(own, -jnp.inf, logits), axis=-1)
    return jnp.take_along_axis(logits, jnp.broadcast_to(labels, logits.shape[:-1])[..., None], -1)[..., 0] - others


@jax.jit
def _clipped_margins(logits: Array, labels: Array) -> jax.Array:
    return jnp.clip(margins(logits, labels), -CLIP, CLIP)[..., None]


def represent(logits: Array, labels: Array, form: str) -> jax.Array:
    """What the distance compares, `[M, N, K]`: clipped margins (K = 1) or half the softmax outputs (K = C).

    With it the distance of two members on one example is the L1 norm of a difference in both forms: |m_i − m_j|, or
    the total variation ½ Σ_c |p_ic − p_jc|.
    """
    checks.one_of("form", form, FORMS)
    if form == "margin":
        return _clipped_margins(logits, labels)
    return jax.nn.softmax(jnp.asarray(logits, jnp.float32), axis=-1) / 2


@jax.jit
def pairwise(a: Array, b: Array, weights: Array) -> jax.Array:
    """Weighted mean distances between all members of two sets.

    Args:
        a: `[Ma, N, K]` and b: `[Mb, N, K]` from `represent`.
        weights: `[S, N]`, one row a slice, each summing to 1.

    Returns:
        `[S, Ma, Mb]` float32.
    """
    a, b, weights = jnp.asarray(a), jnp.asarray(b), jnp.asarray(weights)

    def row(member: jax.Array) -> jax.Array:
        return jnp.abs(member - b).sum(-1) @ weights.T  # [Mb, S]

    return jnp.moveaxis(jax.lax.map(row, a), -1, 0)


def energy_from_distances(within_p: Array, between: Array, within_q: Array) -> np.ndarray:
    """E from mean-distance matrices `[..., P, P]`, `[..., P, Q]`, `[..., Q, Q]` with zero diagonals.

    Raises:
        ValueError: fewer than two members on a side.
    """
    within_p, between, within_q = (np.asarray(m, np.float64) for m in (within_p, between, within_q))
    p, q = between.shape[-2:]
    if p < 2 or q < 2:
        raise ValueError(f"Expected at least 2 members on each side, got {p} and {q}.")
    over = (-2, -1)
    return (
        2 * between.mean(over) - within_p.sum(over) / (p * (p - 1)) - within_q.sum(over) / (q * (q - 1))
    )  # fmt: skip


def energy(candidate: Array, oracle: Array, *, labels: Array | None = None, form: str = "margin") -> float:
    """Energy distance of two populations averaged over all examples given.

    Args:
        candidate, oracle: margins `[M, N]`, or logits `[M, N, C]`; the member counts may differ.
        labels: `[N]`, needed for the margin form from logits.
        form: "margin" or "output" (the latter from logits).

    Returns:
        E, unbiased, 0 in expectation for equal populations.

    Raises:
        ValueError: shapes that do not fit the form, or fewer than two members.
    """
    checks.one_of("form", form, FORMS)
    candidate, oracle = jnp.asarray(candidate, jnp.float32), jnp.asarray(oracle, jnp.float32)
    if candidate.ndim == 2 and form == "margin":
        p, q = (jnp.clip(m, -CLIP, CLIP)[..., None] for m in (candidate, oracle))
    elif candidate.ndim == 3 and (form == "output" or labels is not None):
        p, q = (
            represent(m, np.zeros(m.shape[1], int) if labels is None else labels, form) for m in (candidate, oracle)
        )
    else:
        raise ValueError(f"Expected candidate of shape {candidate.shape} to suit form={form!r}: margins [M, N], or "
                         "logits [M, N, C] with labels for the margin form.")  # fmt: skip
    weights = np.full((1, candidate.shape[1]), 1 / candidate.shape[1], np.float32)
    parts = (pairwise(a, b, weights)[0] for a, b in ((p, p), (p, q), (q, q)))
    return float(energy_from_distances(*parts))


@functools.partial(jax.jit, static_argnames=("p", "q", "pooled", "count"))
def random_splits(key: jax.Array, *, p: int, q: int, pooled: int, count: int) -> tuple[jax.Array, jax.Array]:
    """`count` random pairs of disjoint sets of p and q out of `pooled` members, as 0/1 float32 rows `[count, pooled]`."""
    ranks = jnp.argsort(jax.random.uniform(key, (count, pooled)), axis=1)
    return (ranks < p).astype(jnp.float32), ((ranks >= p) & (ranks < p + q)).astype(jnp.float32)


@jax.jit
def permuted_energies(distances: Array, in_p: Array, in_q: Array) -> jax.Array:
    """Null distribution of E: its value for every split of pooled members.

    Args:
        distances: `[S, L, L]` between all pooled members, zero diagonals; the same splits serve all slices.
        in_p, in_q: `[count, L]` from `random_splits`.

    Returns:
        `[S, count]`.
    """
    p, q = in_p[0].sum(), in_q[0].sum()

    def one_slice(d: jax.Array) -> jax.Array:
        to_p = in_p @ d
        pp, pq, qq = (to_p * in_p).sum(1), (to_p * in_q).sum(1), ((in_q @ d) * in_q).sum(1)
        return 2 * pq / (p * q) - pp / (p * (p - 1)) - qq / (q * (q - 1))

    return jax.lax.map(one_slice, jnp.asarray(distances))


def p_values(observed: Array, null: Array) -> np.ndarray:
    """Share of the null at or above the observed value, the observed one counted in.

    Args:
        observed: `[S]`.  null: `[S, count]`.

    Returns:
        `[S]`, at least 1/(count + 1).
    """
    return (np.asarray(as_extreme(observed, null), np.float64) + 1) / (null.shape[1] + 1)


@jax.jit
def as_extreme(observed: Array, null: Array) -> jax.Array:
    """How many of the null `[S, count]` are at or above each observed value `[S]`."""
    observed, null = jnp.asarray(observed)[:, None], jnp.asarray(null)
    tolerance = 1e-6 * jnp.abs(null).max(
        axis=1, keepdims=True
    )  # float32 sums of the identical split may differ so much
    return (null >= observed - tolerance).sum(1)


def _applied(form: str) -> Metric:
    def measure(candidate: View, oracle: View, part: str) -> float:
        return energy(candidate.logits[part], oracle.logits[part], labels=candidate.labels[part], form=form)

    compared = "logit-scaled confidences" if form == "margin" else "whole softmax outputs"
    fooled = (
        "a constant wrong margin fools this form" if form == "margin" else "it sees little of very confident models"
    )
    return Metric(
        energy, measure, "scorecard", ("forget", "concept_rest", "concept_test", "concept", "retain", "other_test"),
        answers="either",
        question=f"How far are the candidate's {compared} from the oracle's, as distributions over seeds?",
        use_when="always: verdicts rest on it, in both forms",
        caution=f"a small value in one form alone: {fooled}",
        better="lower", at_untraining="0 to the untraining oracle", at_unlearning="0 to the unlearning oracle",
        estimand="either", members=3,
        citation="Székely & Rizzo 2013, J. Stat. Plan. Inference 143, eq. 2 and 6",
    )  # fmt: skip


METRICS: dict[str, Metric] = {f"energy/{form}": _applied(form) for form in FORMS}
