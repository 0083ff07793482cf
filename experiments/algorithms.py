"""What does every algorithm do?  One class as the concept, three discovery rates, a small convolutional network.

Commands:
    unlearnax run experiments/algorithms.py --size digits
    unlearnax run experiments/algorithms.py --size fashion
Runtime and expected numbers: docs/algorithms.md, for each algorithm; GPU: not measured

Each size is one experiment with plain training for all algorithms that work with it, and one for each training rule, whose
oracles are trained under that rule.  `scripts/algorithm_table.py` makes docs/algorithms.md of the results, with runtimes.

Hyperparameters were chosen beforehand at rate 0.5 on seed 1000 (another forget set, other members), once towards each
oracle: the label behind the @ says which.  The files in `tuned` hold them with the search's command, cost and result.
"""

import dataclasses
from pathlib import Path

import numpy as np

from unlearnax.algorithms import ALGORITHMS
from unlearnax.certificates import softmax_constants
from unlearnax.experiment import Experiment
from unlearnax.recipes import Recipe, freeze
from unlearnax.tuning import chosen
from unlearnax.types import InputSpec
from unlearnax.unlearning import needed_rule

CNN = Recipe(model="cnn", model_args=(("widths", (8, 16)),), epochs=30, batch_size=64)
# What pixels can be: proven methods need constants that hold for any of them, not only for the images at hand.
PIXELS = {
    "digits": (InputSpec((8, 8, 1), 0.0, 16.0), (0, 16)),
    "fashion_mnist": (InputSpec((28, 28, 1), 255 * 0.286, 255 * 0.353), (0, 255)),
}
# Steps on R of the two methods that go on by gradient descent: what their noise and their step size make worthwhile.
STEPS = {"digits": 1500, "fashion_mnist": 600}
LANGEVIN_STEPS = 100


def rule_recipe(rule: str, experiment: Experiment) -> Recipe:
    """Softmax regression for the methods that are proven for convex losses, the experiment's own network otherwise."""
    spec, extremes = PIXELS[experiment.dataset]
    corners = np.stack([np.full(spec.shape, value) for value in extremes])
    loss = softmax_constants(corners, spec, strong_convexity=0.1 if experiment.dataset == "digits" else 1.0)
    steps = STEPS[experiment.dataset]
    linear = Recipe(model="mlp", model_args=(("widths", ()),), weight_decay=0.0, batch_size=512)
    descent = {**loss._asdict(), "unlearning_steps": steps, "deletions": 200}
    noisy = {"step_size": 1 / loss.smoothness, "strong_convexity": loss.strong_convexity}
    removal = {"strong_convexity": loss.strong_convexity, "solver_iterations": 50}
    args, recipe = {
        "dp_sgd": ({"clip": 1.0, "noise": 0.5}, experiment.recipe),
        "sisa": ({"shards": 4}, experiment.recipe),
        "amnesiac": ({}, experiment.recipe),
        "example_tied_dropout": ({}, experiment.recipe),
        "descent_to_delete": (descent, dataclasses.replace(linear, epochs=2 * steps)),
        "langevin": (noisy, dataclasses.replace(linear, epochs=2 * steps)),
        "objective_perturbation": (removal, dataclasses.replace(linear, epochs=10)),
    }[rule]
    return dataclasses.replace(recipe, rule=rule, rule_args=freeze(args))


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
            settings = (("steps", LANGEVIN_STEPS),) if name == "langevin" else ()
            found.append(
                dataclasses.replace(
                    experiment,
                    name=f"{experiment.name}_{rule}",
                    recipe=rule_recipe(rule, experiment),
                    algorithms=((name, settings),),
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
    members=64,
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
    members=32,
)

SIZES = {
    "digits": with_rules(tuned(DIGITS)),
    # NTK forgetting solves systems of the size of the model: it is for tiny ones.
    "fashion": with_rules(tuned(FASHION, without=("ntk_forgetting",))),
    "smoke": tuned(
        dataclasses.replace(DIGITS, members=4, discovery_rates=(0.5,), recipe=dataclasses.replace(CNN, epochs=3))
    ),
}
