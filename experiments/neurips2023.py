"""What does the score of the NeurIPS 2023 unlearning competition say?

Source: Triantafillou et al., "Are we making progress in unlearning?", 2024, arXiv 2406.09073: forgetting quality F
from one original unlearned 512 times and 512 retrained models; final score F · (RA / retraining's RA) · (TA /
retraining's TA), RA and TA the accuracies on retained and test examples. Its findings: the best entries surpass
fine-tuning and SCRUB, and the ranking stays when cheaper evaluations are used. F of one set of retrained models
against another is asked here: normal margins give about 0.20 at 512 models under the released rules (docs of
`forgetting_quality`), not 1.

Commands:
    unlearnax run experiments/neurips2023.py                  digits, 3 entries, 64 and 32 runs, one forget set
    unlearnax run experiments/neurips2023.py --size medium    digits, 7 entries, 512 and 64 runs, 3 forget sets
    unlearnax run experiments/neurips2023.py --size full      CIFAR-10 and ResNet-18, 512 and 128 runs, on a GPU

Runtime: small 98 s, medium 17 min 32 s on 2 CPU cores; full not run yet; GPU: not measured
Expected numbers, docs/experiments/neurips2023.md: at medium F of retrained v retrained models 0.19, scores 0.020 (place 7),
0.014 (3), 0.006 (fine-tuning), 0.0003 (place 1 and SCRUB); at small F 0.20, scores 0.04 (places 2 and 3), 0.03, 0.004, 0.006

The smaller population is the first part of the larger one, so nothing is trained for it.  Entries by place: `fanchuan`,
`magnitude_gradient`, `class_weighted_noise`, `prune_match`, `transpose_kernels`, `decoupled_reset`,
`random_noise_injection`; their hyperparameters were made for a ResNet-18, so all algorithms were tuned, see deep_unlearn.py,
whose networks and settings these are.  They were chosen for a random tenth of the training set; here it is a fiftieth.

Differs from the source: digits instead of faces; small networks; 3 to 5 passes of R instead of a
fifth of a retrain's time; size small has 64 runs where the competition has 512.
"""

import dataclasses
import math
from pathlib import Path

from unlearnax import plugins
from unlearnax.claims import (
    At,
    Check,
    Claim,
    Number,
    Runs,
    Source,
    above,
    all_of,
    at_least,
    below,
    greater,
    of_algorithms,
    rank_correlation,
    within,
)
from unlearnax.experiment import Experiment, on_seeds
from unlearnax.metrics import competition_score

DEEP = plugins.load_file(Path(__file__).parent / "deep_unlearn.py")
MANY, FEW = "neurips2023", "neurips2023_fewer"
# Of the training set: the released rules take 5 ms an example, and are applied some 100 times for the floor.
SHARE = 0.02
FIRST, BASELINES = "fanchuan", ("fine_tune", "scrub")
HELD_OUT, RETRAIN = "held-out retrain", "oracle retrain"


def algorithms(tuned: str, batch_size: int, count: int = 7) -> tuple:
    """The first `count` entries by place, and the baselines."""
    entries, baselines = DEEP.competition(batch_size), DEEP.baselines(batch_size)
    fixed = {name: baselines[name] for name in BASELINES} | dict(list(entries.items())[:count])
    return DEEP.settings(tuned, fixed)


def two(experiment: Experiment, many: int, few: int) -> tuple[Experiment, ...]:
    """A fiftieth of the training set to forget, for two numbers of runs."""
    measured = dataclasses.replace(
        experiment,
        problem_args=tuple((dict(experiment.problem_args) | {"size": SHARE}).items()),
        estimand="runs",
        metrics=("forgetting_quality/released", "retain_accuracy", "test_accuracy"),
    )
    return tuple(dataclasses.replace(measured, name=name, members=n) for name, n in ((MANY, many), (FEW, few)))


SMALL = dataclasses.replace(DEEP.SMALL, algorithms=algorithms("random_digits", 64, 3))
MEDIUM = dataclasses.replace(DEEP.SMALL, algorithms=algorithms("random_digits", 64))
FULL = dataclasses.replace(DEEP.FULL, algorithms=algorithms("random_cifar", 256))
SIZES = {"small": two(SMALL, 64, 32), "medium": on_seeds(*two(MEDIUM, 512, 64)), "full": on_seeds(*two(FULL, 512, 128))}


def quality(candidate: str, run: str = MANY) -> At:
    """F under the released rules."""
    return At("forgetting_quality/released", candidate, "retrain", "forget", run=run)


def score(candidate: str, run: str = MANY) -> Source:
    """The competition's final score.  Its interval is of independent factors: relative half-widths add in squares."""

    def number(runs: Runs) -> Number:
        f = quality(candidate, run)(runs)
        accuracies = [
            At(metric, name, "", part, run=run)(runs)
            for metric, part in (("retain_accuracy", "retain"), ("test_accuracy", "other_test"))
            for name in (candidate, RETRAIN)
        ]
        factor = competition_score(1.0, *(n.value for n in accuracies))
        spread = sum(((n.high - n.low) / (2 * n.value)) ** 2 for n in accuracies if n.value > 0)
        value, wide = f.value * factor, f.value * factor * math.sqrt(spread)
        return Number(
            value,
            value - math.hypot((f.value - f.low) * factor, wide),
            value + math.hypot((f.high - f.value) * factor, wide),
        )

    return number


def beats(entry: str) -> Check:
    """A higher score than fine-tuning's and SCRUB's."""
    return all_of({name: greater(score(entry), score(name)) for name in BASELINES})


def most(names: list[str]) -> Check:
    """More than half of the entries there beat both."""
    entries = [name for name in names if name not in BASELINES]
    return at_least(len(entries) // 2 + 1, {name: beats(name) for name in entries})


def stable(names: list[str]) -> Check:
    """Kendall's τ between the rankings by score at many and at few runs is above 0.6."""
    many, few = ({name: score(name, run) for name in names} for run in (MANY, FEW))
    return above(rank_correlation(many, few), 0.6)


SOURCE = "Triantafillou et al. 2024, arXiv 2406.09073"
CLAIMS = (
    Claim(
        "F of retrained against retrained models is about 0.20 under the released rules: between 0.1 and 0.3",
        "ours, from normal margins: 0.20 at 512",
        "none",
        within(quality(HELD_OUT), 0.1, 0.3),
    ),
    Claim(
        "A perfect unlearner is nowhere near F = 1: retrained models stay below 0.5",
        "ours",
        "none",
        below(quality(HELD_OUT), 0.5),
    ),
    Claim(
        "Most of the best entries have a higher score than fine-tuning and than SCRUB",
        SOURCE,
        "the best surpass existing algorithms",
        of_algorithms(most),
    ),
    Claim(
        "The first place (fanchuan) has a higher score than fine-tuning and than SCRUB", SOURCE, "first", beats(FIRST)
    ),
    Claim(
        "Every entry keeps to the competition's limit: less than a fifth of a retrain's compute",
        f"{SOURCE}, a condition of the rest",
        "about 20 % of a retrain's time",
        of_algorithms(
            lambda names: all_of(
                {name: below(At("cost/flop_share", name, run=MANY), 0.2) for name in names if name not in BASELINES}
            )
        ),
        setting="counted in operations, not in time",
    ),
    Claim(
        "The ranking by score stays with fewer runs: Kendall's τ > 0.6",
        SOURCE,
        "stable",
        of_algorithms(stable),
    ),
    Claim(
        "No algorithm here scores above retrained models",
        "ours: they are the target",
        "none",
        of_algorithms(lambda names: all_of({name: greater(score(HELD_OUT), score(name)) for name in names})),
    ),
)
