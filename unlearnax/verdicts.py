"""From distances with intervals to one verdict, by equivalence."""

from __future__ import annotations

import math
from typing import NamedTuple

MAX_PLANNED = 100_000


class Bound(NamedTuple):
    """One comparison on the squared scale (energy over the scale's energy): value and interval."""

    name: str
    value: float
    low: float
    high: float


class Outcome(NamedTuple):
    """verdict: the word.  detail: one sentence.  members_needed: planner's estimate where more would settle it."""

    verdict: str
    detail: str
    members_needed: int | None


def members_needed(bounds: list[Bound], share: float, members: int) -> int | None:
    """Members after which every straddling interval would clear share², its half-width shrinking as 1/√M.

    Returns None where that is beyond `MAX_PLANNED`.
    """
    needed = members
    for bound in bounds:
        if bound.low <= share**2 <= bound.high:
            half, gap = (bound.high - bound.low) / 2, abs(bound.value - share**2)
            if gap * math.sqrt(MAX_PLANNED / members) <= half:
                return None
            needed = max(needed, math.ceil(members * (half / gap) ** 2) + 1)
    return needed


def reaches(bounds: list[Bound], share: float) -> bool | None:
    """True: every interval ends below share².  False: some interval lies above it.  None: undecided."""
    if all(bound.high < share**2 for bound in bounds):
        return True
    return False if any(bound.low > share**2 for bound in bounds) else None


def _root(value: float) -> str:
    return f"{math.copysign(math.sqrt(abs(value)), value):.2f}"


def _worst(bounds: list[Bound]) -> str:
    worst = max(bounds, key=lambda bound: bound.high)
    return f"{worst.name} {_root(worst.value)} [{_root(worst.low)}, {_root(worst.high)}]"


def decide(
    bounds: dict[str, list[Bound]],
    goals: dict[str, str],
    closer: dict[str, tuple[float, float]] | None,
    damage: dict[str, list[Bound]],
    *,
    share: float,
    damage_share: float,
    members: int,
    diverged: int,
    coincide: bool,
) -> Outcome:
    """The verdict on one candidate.

    Args:
        bounds: oracle -> every slice and form.  goals: oracle -> the word for reaching it.
        closer: form -> interval of (distance to untraining − distance to unlearning) on the pooled concept; None where
            the problem does not have both oracles or they coincide.
        damage: oracle -> output-form bounds on the damage slices alone.
        share: declared share of the root scale below which an oracle counts as reached.
        damage_share: the share above which damage slices count as damaged.
        members: M.  diverged: members with outputs that are not finite.
        coincide: the untraining and unlearning oracles describe one world.
    """
    if diverged:
        return Outcome("damages the model", f"{diverged} of {members} members have outputs that are not finite", None)
    status = {oracle: reaches(each, share) for oracle, each in bounds.items()}
    reached = [oracle for oracle, answer in status.items() if answer]
    if reached:
        words = [goals[oracle] for oracle in reached]
        both = coincide and {"untraining", "unlearning"} <= set(words)
        words = (
            ["both (oracles coincide)", *(w for w in words if w not in ("untraining", "unlearning"))] if both else words
        )
        detail = "; ".join(f"{oracle}: at most {_worst(bounds[oracle])}" for oracle in reached)
        return Outcome(f"reaches {' and '.join(words)}", f"every interval below {share:g} of the scale: {detail}", None)
    if damage and all(any(b.low > damage_share**2 for b in each) for each in damage.values()):
        nearest = min(damage, key=lambda oracle: max(b.value for b in damage[oracle]))
        return Outcome(
            "damages the model",
            f"outputs beyond {damage_share:g} from every oracle; {nearest}: {_worst(damage[nearest])}",
            None,
        )
    undecided = [oracle for oracle, answer in status.items() if answer is None]
    if undecided:
        plans = [members_needed(bounds[oracle], share, members) for oracle in undecided]
        known = [plan for plan in plans if plan is not None]
        detail = "; ".join(f"{oracle}: {_worst(bounds[oracle])} straddles {share:g}" for oracle in undecided)
        nearer = f"{nearest} for certain, but " if (nearest := _nearer(closer)) else ""
        return Outcome("inconclusive", nearer + detail, max(known) if len(known) == len(plans) else None)
    if closer is None:
        away = "; ".join(f"{oracle}: {_worst(each)}" for oracle, each in bounds.items())
        verdict = "reaches neither" if len(bounds) > 1 else f"does not reach {' or '.join(goals.values())}"
        return Outcome(verdict, away, None)
    if nearest := _nearer(closer):
        return Outcome(nearest, _closer_detail(closer), None)
    return Outcome(
        "inconclusive", f"the two distances do not agree on the nearer oracle: {_closer_detail(closer)}", None
    )


def _nearer(closer: dict[str, tuple[float, float]] | None) -> str:
    """The word "closer to ..." where both forms' intervals say so, else an empty string."""
    if closer and all(high < 0 for _, high in closer.values()):
        return "closer to untraining"
    return "closer to unlearning" if closer and all(low > 0 for low, _ in closer.values()) else ""


def _closer_detail(closer: dict[str, tuple[float, float]]) -> str:
    shown = ", ".join(f"{form} [{low:.2f}, {high:.2f}]" for form, (low, high) in closer.items())
    return f"untraining minus unlearning distance on the concept (squared scale): {shown}"
