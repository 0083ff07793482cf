"""Does it matter which goal's metrics rank the algorithms?

Commands:
    unlearnax run experiments/metric_mismatch.py                  digits, one forget set
    unlearnax run experiments/metric_mismatch.py --size medium    6,000 images of Fashion-MNIST, three forget sets
    unlearnax run experiments/metric_mismatch.py --size full      all of Fashion-MNIST, a convolutional network, on a GPU
Runtime: small 24 s on 2 CPU cores after discovery_rate.py, medium 208 s; full not run yet; GPU: not measured
Expected (small): τ = -0.58 between distances to the two oracles, 0.79 between two metrics of untraining
Draws: figures/ranks.png and .pdf: a line an algorithm, its rank by both distances and KLoM against either oracle

The problems, populations and settings are those of experiments/discovery_rate.py at a rate of 0.1: run after it, this trains
nothing.  What is ranked are settings: each algorithm stands there as tuned for untraining and as tuned for unlearning.

Metrics of untraining compare with A(D∖S) on S: KLoM, U-LiRA, forgetting quality.  Metrics of unlearning compare with A(D∖F)
on the concept: KLoM on held-out examples of it, the scorecard's distance.

Source of the warning: Triantafillou et al. 2026, arXiv 2604.07962.  It publishes no ranking; that two rankings disagree where
τ is below 0.5 (a quarter of all pairs swapped) was decided before any run.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from unlearnax import plugins
from unlearnax.claims import At, Check, Claim, Source, above, below, of_algorithms, opposite, rank_correlation, swaps
from unlearnax.experiment import Experiment

RATES = plugins.load_file(Path(__file__).parent / "discovery_rate.py").SIZES


def measured(experiment: Experiment) -> Experiment:
    """The same at one rate, with the metrics of either goal."""
    return dataclasses.replace(
        experiment,
        name=experiment.name.replace("discovery_rate", "metric_mismatch"),
        discovery_rates=(0.1,),
        metrics=("klom", "forgetting_quality/single", "u_lira", "tow", "unlearning_accuracy"),
    )


SIZES = {
    size: tuple(map(measured, given)) if isinstance(given, tuple) else measured(given) for size, given in RATES.items()
}

Ranking = Callable[[list[str]], Mapping[str, Source]]


def by(metric: str, oracle: str, slice: str, *, better: str = "lower") -> Ranking:
    """Candidates by a metric, the nearest to the oracle first."""

    def of(names: list[str]) -> dict[str, Source]:
        found: dict[str, Source] = {name: At(metric, name, oracle, slice) for name in names}
        return found if better == "lower" else {name: opposite(source) for name, source in found.items()}

    return of


KLOM = by("klom", "retrain", "forget")
DISTANCE = by("distance/output", "retrain", "concept")
LIRA = by("u_lira/balanced_accuracy", "retrain", "forget")
QUALITY = by("forgetting_quality/single", "retrain", "forget", better="higher")
UNLEARNED_KLOM = by("klom", "concept_free", "concept_test")
UNLEARNED_DISTANCE = by("distance/output", "concept_free", "concept")


def tau(first: Ranking, second: Ranking, check: Callable[[Source], Check]) -> Check:
    """A check of Kendall's τ between two rankings of a run's algorithms."""
    return of_algorithms(lambda names: check(rank_correlation(first(names), second(names))))


SOURCE = "Triantafillou et al. 2026, arXiv 2604.07962 (the warning)"
CLAIMS = (
    *(
        Claim(
            f"{name} ranks algorithms otherwise than KLoM against the unlearning oracle on the held-out concept: τ < 0.5.",
            SOURCE,
            "none",
            tau(ranking, UNLEARNED_KLOM, lambda source: below(source, 0.5)),
        )
        for name, ranking in (
            ("KLoM against the untraining oracle on S", KLOM),
            ("U-LiRA", LIRA),
            ("Forgetting quality", QUALITY),
        )
    ),
    Claim(
        "Distance to the untraining oracle ranks algorithms otherwise than distance to the unlearning oracle: τ < 0.5.",
        SOURCE,
        "none",
        tau(DISTANCE, UNLEARNED_DISTANCE, lambda source: below(source, 0.5)),
    ),
    Claim(
        "Metrics of one goal agree: KLoM on S and distance to the untraining oracle have τ > 0.5.",
        "the control of the above",
        "none",
        tau(KLOM, DISTANCE, lambda source: above(source, 0.5)),
    ),
    Claim(
        "Some pairs stand one way by distance to the untraining oracle, the other way by distance to the unlearning oracle.",
        SOURCE,
        "none",
        of_algorithms(lambda names: swaps(DISTANCE(names), UNLEARNED_DISTANCE(names))),
    ),
)
