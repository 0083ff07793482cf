"""Single examples: how often the members of every population get them right, with their pictures, for people to look at."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from unlearnax.evaluation import POOLED, Layout
from unlearnax.metrics.energy import margins
from unlearnax.results import LEVELS, ExampleRow, ImageRow
from unlearnax.types import Array, Problem

Z = 1.959964  # two-sided 95 % of a normal


class Shown(NamedTuple):
    """A population whose decisions are told example by example.  logits: `[M, U, C]`.  kind: see `results.Row`."""

    logits: Array
    kind: str


def wilson(share: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a probability, from the share of `count` independent decisions; never of no width.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927).
    """
    centre = share + Z**2 / (2 * count)
    half = Z * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    whole = 1 + Z**2 / count
    return np.maximum((centre - half) / whole, 0.0), np.minimum((centre + half) / whole, 1.0)


def at_random(labels: np.ndarray, count: int) -> np.ndarray:
    """At most `count` positions of `labels` `[n]`, as evenly over the labels as they go, always the same ones, sorted.

    A larger count's positions hold a smaller one's.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    turn = np.empty(len(labels), int)  # the how manieth of its label each is
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        turn[mine] = np.arange(len(mine))
    return np.sort(order[np.argsort(turn[order], kind="stable")][:count])


def worst(differences: np.ndarray, count: int) -> np.ndarray:
    """At most `count` positions where some row of `differences` `[P, n]` is largest: first every row's largest, then every
    row's second, and so on; so no row that is large everywhere crowds the others out.  Sorted.
    """
    ranks = np.argsort(np.argsort(-differences, axis=1, kind="stable"), axis=1).min(0)
    return np.sort(np.argsort(ranks, kind="stable")[:count])


def packed(values: np.ndarray) -> np.ndarray:
    """The distributions of `[M, n]` values over members, as `ExampleRow.margins` keeps them: `[n]` of bytes.

    Half precision: three digits, which is more than a few dozen members settle.
    """
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    quantiles = np.quantile(values, levels, axis=0, method="inverted_cdf")  # members' own values, none in between
    limit = np.finfo(np.float16).max
    return np.array([each.tobytes() for each in np.clip(quantiles, -limit, limit).T.astype("<f2")], object)


def example_records(
    problem: Problem, layout: Layout, x: np.ndarray, populations: Mapping[str, Shown], count: int
) -> list[ExampleRow | ImageRow]:
    """Rows about single examples of every slice, and a picture of each where inputs are images.

    Args:
        layout, x: from `evaluation.problem_layout`; x: raw inputs `[U, ...]`.
        populations: by name, the oracles' as "oracle NAME".
        count: so many examples of each slice at random, and as many in which algorithms differ most from oracles.
    """
    everything = {name: np.asarray(p.logits)[:, layout.rows] for name, p in populations.items()}
    alive = {name: np.isfinite(logits).all((1, 2)) for name, logits in everything.items()}
    right = {  # what is not finite is wrong
        name: ((logits.argmax(-1) == layout.labels) & np.isfinite(logits).all(-1)).mean(0)
        for name, logits in everything.items()
    }
    over_members = {
        name: np.asarray(margins(logits[alive[name]], layout.labels))
        for name, logits in everything.items()
        if alive[name].any()
    }
    nothing = np.full(len(layout.rows), math.nan)
    margin = {name: over_members[name].mean(0) if name in over_members else nothing for name in everything}
    pairs = [
        abs(np.nan_to_num(margin[name], nan=0.0) - margin[oracle])
        for name, p in populations.items()
        for oracle, q in populations.items()
        if p.kind == "algorithm" and q.kind == "oracle"
    ]
    rows: list[ExampleRow | ImageRow] = []
    pictured: dict[tuple[str, int], np.ndarray] = {}
    for part, positions in layout.slices.items():
        if part == POOLED:
            continue
        drawn = at_random(layout.labels[positions], count)
        extreme = worst(np.stack(pairs)[:, positions], count) if pairs else drawn[:0]
        chosen = np.union1d(drawn, extreme)
        spreads = {name: packed(values[:, positions[chosen]]) for name, values in over_members.items()}
        for i, at in enumerate(chosen):
            position, number = positions[at], int(problem.slices[part].index[at])
            pictured[part, number] = x[layout.rows[position]]
            for name, p in populations.items():
                share = right[name][position]
                low, high = wilson(share, len(everything[name]))
                rows.append(
                    ExampleRow(problem.name, name, p.kind, part, number, problem.class_names[layout.labels[position]],
                               bool(at in drawn), float(share), float(low), float(high), float(margin[name][position]),
                               spreads[name][i] if name in spreads else b"")
                )  # fmt: skip
    return rows + [ImageRow(problem.name, *where, png) for where, png in _pictures(pictured).items()]


def _pictures(inputs: Mapping[tuple[str, int], np.ndarray]) -> dict[tuple[str, int], bytes]:
    """PNG files of images `[H, W, 1 or 3]`, floats on one grey scale from the least to the greatest value of all."""
    values = list(inputs.values())
    if not values or values[0].ndim != 3 or values[0].shape[-1] not in (1, 3):
        return {}
    whole = values[0].dtype == np.uint8
    low, high = (0, 255) if whole else (min(v.min() for v in values), max(v.max() for v in values))
    found = {}
    for where, value in inputs.items():
        scaled = value if whole else np.round(255 * (value - low) / ((high - low) or 1)).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(scaled[..., 0] if scaled.shape[-1] == 1 else scaled).save(buffer, "PNG", optimize=True)
        found[where] = buffer.getvalue()
    return found
