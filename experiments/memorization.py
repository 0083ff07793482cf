"""Is a forget set easier to untrain the less it was memorized?

Commands:
    unlearnax run experiments/memorization.py                  digits
    unlearnax run experiments/memorization.py --size medium    6,000 images of Fashion-MNIST, three seeds
    unlearnax run experiments/memorization.py --size full      all of Fashion-MNIST, a convolutional network, on a GPU
Runtime: small 33 s, medium 295 s on 2 CPU cores; full not run yet; GPU: not measured
Expected (small): ToW of doing nothing .998 on the least, .971 on random, .542 on the most memorized examples;
    docs/experiments/memorization.md

Three forget sets of 6 % of the training data: the least memorized, random, the most memorized.  Memorization is
estimated from members trained on random 70 % of the data (Feldman & Zhang 2020, arXiv 2008.03703).  Every example is
its own concept, so there is one oracle, A(D∖S).

Algorithms have the defaults of their papers and are not tuned: tuning for each level is what the source advises, and
would answer another question.  The source has ResNets on CIFAR-10 and CIFAR-100, S of 3,000, and a middle level by
memorization where ours is random.

Source: Zhao, Kurmanji, Barbulescu, Triantafillou, Triantafillou, NeurIPS 2024, arXiv 2406.01257.
"""

import dataclasses

from unlearnax.claims import At, Claim, all_of, at_floor, at_least, greater, verdict
from unlearnax.experiment import Experiment, on_seeds
from unlearnax.recipes import Recipe

SHARE = 0.06
ALGORITHMS = ("fine_tune", "l1_sparse", "gradient_ascent", "neg_grad_plus", "scrub", "random_label", "salun")
LOW, RANDOM, HIGH = LEVELS = ("memorization_low", "memorization_random", "memorization_high")


def levels(experiment: Experiment, estimated_from: int) -> tuple[Experiment, ...]:
    """One experiment for each level of memorization."""
    scored = (("members", estimated_from), ("size", SHARE))
    problems = (
        ("most_memorized", (*scored, ("lowest", True))),
        ("random_subset", (("size", SHARE),)),
        ("most_memorized", scored),
    )
    return tuple(
        dataclasses.replace(experiment, name=name, problem=problem, problem_args=args)
        for name, (problem, args) in zip(LEVELS, problems, strict=True)
    )


SMALL = Experiment(
    name="memorization",
    dataset="digits",
    discovery_rates=(),
    recipe=Recipe(model="mlp", model_args=(("widths", (64,)),), epochs=30, batch_size=64),
    algorithms=tuple((name, ()) for name in ALGORITHMS),
    oracles=("retrain",),
    metrics=("tow", "unlearning_accuracy"),
    members=16,
)
MEDIUM = dataclasses.replace(
    SMALL,
    dataset="fashion_mnist",
    dataset_args=(("train_size", 6000),),
    recipe=Recipe(model="mlp", model_args=(("widths", (64,)),), epochs=10, learning_rate=0.1, batch_size=128),
    members=32,
)
FULL = dataclasses.replace(
    MEDIUM, dataset_args=(), recipe=Recipe(model="cnn", epochs=20, batch_size=128), members=64
)  # fmt: skip


SIZES = {"small": levels(SMALL, 64), "medium": on_seeds(*levels(MEDIUM, 64)), "full": on_seeds(*levels(FULL, 256))}


def tow(candidate: str, level: str) -> At:
    """Tug of war: 1 where accuracies on S, the rest and test data are the oracle's."""
    return At("tow", candidate, "retrain", "forget", run=level)


SOURCE = "Zhao et al., NeurIPS 2024, arXiv 2406.01257"
CLAIMS = (
    Claim(
        "Of the least memorized examples there is nothing to untrain: on S doing nothing is within the floor of the oracle.",
        f"{SOURCE}; Triantafillou et al. 2026, arXiv 2604.07962",
        "none",
        at_floor(At("energy/output", "do_nothing", "retrain", "forget", run=LOW)),
    ),
    Claim(
        "Doing nothing loses ToW as S is memorized more: least memorized > random > most memorized.",
        SOURCE,
        "figures only",
        all_of(
            {
                "least > random": greater(tow("do_nothing", LOW), tow("do_nothing", RANDOM)),
                "random > most": greater(tow("do_nothing", RANDOM), tow("do_nothing", HIGH)),
            }
        ),
    ),
    Claim(
        "Most algorithms have a lower ToW on the most memorized examples than on the least memorized ones.",
        SOURCE,
        "figures only",
        at_least(4, {name: greater(tow(name, LOW), tow(name, HIGH)) for name in ALGORITHMS}),
    ),
    Claim(
        "On the most memorized examples doing nothing does not do: it reaches no oracle.",
        SOURCE,
        "figures only",
        verdict("do_nothing", "does not reach", run=HIGH),
    ),
    Claim(
        "Relabelling harms where nothing is memorized: on the least memorized examples random labels and SalUn have a lower "
        "ToW than doing nothing.",
        SOURCE,
        "figures only",
        all_of({name: greater(tow("do_nothing", LOW), tow(name, LOW)) for name in ("random_label", "salun")}),
    ),
)
