"""Where a worker's time goes: compiling, and each stage of its work apart from that."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import jax

COMPILING = (
    "/jax/core/compile/"  # JAX's events of tracing, lowering and compiling (or loading what was compiled before)
)
STAGES = ("training", "unlearning", "scoring")


class Clock:
    """Seconds by stage, and of "compiling", since it was made."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys((*STAGES, "compiling"), 0.0)
        self._spans: list[tuple[float, float]] = []
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, duration_secs: float, **_: str | int) -> None:
        """Adds a span that ends now; those inside it have ended before and count once."""
        if not event.startswith(COMPILING):
            return
        end = time.perf_counter()
        start = end - duration_secs
        while self._spans and self._spans[-1][1] > start:
            first, last = self._spans.pop()
            self.seconds["compiling"] -= last - first
            start = min(start, first)
        self._spans.append((start, end))
        self.seconds["compiling"] += end - start

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the time of the context, compiling apart, as that stage's."""
        start, before = time.perf_counter(), self.seconds["compiling"]
        try:
            yield
        finally:
            took = time.perf_counter() - start
            self.seconds[name] += took - (self.seconds["compiling"] - before)
            self._spans.clear()

    def take(self) -> dict[str, float]:
        """The seconds since this was last called."""
        found, self.seconds = self.seconds, dict.fromkeys(self.seconds, 0.0)
        return found
