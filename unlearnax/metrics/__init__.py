"""Metrics: pure functions of arrays, never of models."""

from unlearnax.metrics.energy import energy, margins
from unlearnax.types import MetricFn

METRICS: dict[str, MetricFn] = {"energy": energy, "margins": margins}

__all__ = ["METRICS", "energy", "margins"]
