"""Metrics: pure functions of arrays, never of models.  Each family's file ends in its entries of the one dict, `METRICS`."""

from unlearnax.metrics import accuracy as _accuracy
from unlearnax.metrics import certified as _certified
from unlearnax.metrics import energy as _energy
from unlearnax.metrics import forgetting as _forgetting
from unlearnax.metrics import klom as _klom
from unlearnax.metrics import lira as _lira
from unlearnax.metrics import membership as _membership
from unlearnax.metrics import neighbours as _neighbours
from unlearnax.metrics import outputs as _outputs
from unlearnax.metrics import representation as _representation
from unlearnax.metrics.accuracy import (
    attack_success_rate,
    average_gap,
    healed_accuracy,
    healed_times_utility,
    interclass_confusion,
    tow,
    tow_mia,
)
from unlearnax.metrics.certified import epsilon_lower_bound, mu_lower_bound
from unlearnax.metrics.energy import energy, margins
from unlearnax.metrics.forgetting import competition_score, forgetting_epsilon, forgetting_quality
from unlearnax.metrics.klom import klom
from unlearnax.metrics.lira import u_lira
from unlearnax.metrics.membership import entropy_mia, loss_tpr, svc_mia, u_mia
from unlearnax.metrics.outputs import agreement, churn, js, kl, mean_predictions, pairs_js, pairs_kl, pairs_tv, tv, zrf
from unlearnax.metrics.representation import cka, procrustes, weight_distance
from unlearnax.types import Metric

METRICS: dict[str, Metric] = (
    _energy.METRICS
    | _klom.METRICS
    | _forgetting.METRICS
    | _certified.METRICS
    | _lira.METRICS
    | _membership.METRICS
    | _accuracy.METRICS
    | _outputs.METRICS
    | _representation.METRICS
    | _neighbours.METRICS
)

__all__ = [
    "METRICS",
    "agreement",
    "attack_success_rate",
    "average_gap",
    "churn",
    "cka",
    "competition_score",
    "energy",
    "entropy_mia",
    "epsilon_lower_bound",
    "forgetting_epsilon",
    "forgetting_quality",
    "healed_accuracy",
    "healed_times_utility",
    "interclass_confusion",
    "js",
    "kl",
    "klom",
    "loss_tpr",
    "margins",
    "mean_predictions",
    "mu_lower_bound",
    "pairs_js",
    "pairs_kl",
    "pairs_tv",
    "procrustes",
    "svc_mia",
    "tow",
    "tow_mia",
    "tv",
    "u_lira",
    "u_mia",
    "weight_distance",
    "zrf",
]
