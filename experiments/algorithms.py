"""What does every algorithm do?  One class as the concept, three discovery rates, a small convolutional network.

Commands:
    unlearnax run experiments/algorithms.py --size digits
    unlearnax run experiments/algorithms.py --size fashion

Each size is one experiment with plain training for all algorithms that work with it, and one for each training rule, whose
oracles are trained under that rule.  `scripts/algorithm_table.py` makes docs/algorithms.md of the results, with runtimes.

Hyperparameters were chosen beforehand at rate 0.5 on seed 1000 (another forget set, other members), once towards each
oracle: the label behind the @ says which.  The files in `tuned` hold them with the search's command, cost and result.
"""

import dataclasses
from pathlib import Path

from unlearnax.algorithms import ALGORITHMS
from unlearnax.experiment import Experiment
from unlearnax.recipes import Recipe
from unlearnax.tuning import chosen
from unlearnax.unlearning import needed_rule

LINEAR = Recipe(model="mlp", model_args=(("widths", ()),), epochs=200, weight_decay=0.0)
CNN = Recipe(model="cnn", model_args=(("widths", (8, 16)),), epochs=30, batch_size=64)
# Recipes of the rules: convex ones for the methods that are proven for convex losses.
RULES = {
    "dp_sgd": dataclasses.replace(CNN, rule_args=(("clip", 1.0), ("noise", 0.5))),
    "sisa": dataclasses.replace(CNN, rule_args=(("shards", 4),)),
    "amnesiac": CNN,
    "example_tied_dropout": CNN,
    "descent_to_delete": LINEAR,
    "langevin": LINEAR,
    "objective_perturbation": LINEAR,
}


def tuned(experiment: Experiment, without: tuple[str, ...] = ()) -> Experiment:
    """With the settings of its file in `tuned`, or the defaults before there is one."""
    names = [name for name, a in ALGORITHMS.items() if needed_rule(a) is None and name not in without]
    path = Path(__file__).parent / "tuned" / f"{experiment.name}.json"
    settings = chosen(path) if path.exists() else ()
    searched = {name.partition("@")[0] for name, _ in settings}
    rest = tuple((name, ()) for name in names if name not in searched and name != "do_nothing")
    return dataclasses.replace(experiment, algorithms=(*settings, *rest))


def with_rules(experiment: Experiment) -> tuple[Experiment, ...]:
    """The experiment, and one for every rule that an algorithm needs."""
    found = [experiment]
    for name, algorithm in ALGORITHMS.items():
        if (rule := needed_rule(algorithm)) is not None:
            recipe = dataclasses.replace(RULES[rule], rule=rule)
            found.append(
                dataclasses.replace(
                    experiment, name=f"{experiment.name}_{rule}", recipe=recipe, algorithms=((name, ()),)
                )
            )
    return tuple(found)


DIGITS = Experiment(
    name="algorithms_digits",
    dataset="digits",
    problem="concept",
    problem_args=(("concepts", 3),),
    discovery_rates=(0.1, 0.5, 1.0),
    recipe=CNN,
    metrics=("none",),
    oracle_matching=True,
    members=32,
    tuning=(
        "Hyperparameters were chosen beforehand on other seeds: random search at discovery rate 0.5, seed 1000, towards the "
        "oracle behind the @; experiments/tuned holds the settings and what the search cost. Algorithms with a training "
        "rule of their own have fixed settings."
    ),
)
FASHION = dataclasses.replace(
    DIGITS,
    name="algorithms_fashion",
    dataset="fashion_mnist",
    dataset_args=(("train_size", 2000),),
    problem_args=(("concepts", 2),),
    recipe=dataclasses.replace(CNN, model_args=(("widths", (8, 16, 16)),), epochs=15),
    members=16,
)

SIZES = {
    "digits": with_rules(tuned(DIGITS)),
    # NTK forgetting solves systems of the size of the model: it is for tiny ones.
    "fashion": with_rules(tuned(FASHION, without=("ntk_forgetting",))),
    "smoke": tuned(
        dataclasses.replace(DIGITS, members=4, discovery_rates=(0.5,), recipe=dataclasses.replace(CNN, epochs=3))
    ),
}
