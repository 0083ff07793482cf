"""What each algorithm needs to be tried by the contract suite, one entry each."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from unlearnax.algorithms import ALGORITHMS
from unlearnax.recipes import Recipe
from unlearnax.training import under_rule
from unlearnax.unlearning import needed_rule

BATCH, EPOCHS = 8, 2
# What all who have such a hyperparameter share.
VISIBLE = {"learning_rate": 0.05, "epochs": EPOCHS, "batch_size": BATCH}


def steps(rows: int) -> int:
    return max(rows // BATCH, 1)


@dataclasses.dataclass(frozen=True)
class Needs:
    """visible: hyperparameters that move the weights of a tiny model.  changes: whether it moves them at all.

    still: (before, after) -> whether exactly those weights stayed that must, where some must.
    statistics: whether it carries batch statistics along.
    examples: how many it passes for |S| and |R|.  bad: values out of range, beyond those that no number may have.
    model: what it is tried on, "mlp" or "conv".  normed: whether also on one with batch statistics.
    rule, rule_args: the training rule that its members need.
    """

    visible: dict[str, Any] = dataclasses.field(default_factory=dict)
    changes: bool = True
    still: Callable[[Any, Any], bool] | None = None
    statistics: bool = True
    examples: Callable[[int, int], int] | None = None
    bad: dict[str, tuple] = dataclasses.field(default_factory=dict)
    model: str = "mlp"
    normed: bool = True
    rule: str = "plain"
    rule_args: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        args = tuple(self.rule_args.items())
        return Recipe(batch_size=BATCH, epochs=EPOCHS, learning_rate=0.05, rule=self.rule, rule_args=args)


def moved(before: Any, after: Any) -> Any:
    """Which weights differ, in any bit."""
    return jax.tree.map(lambda a, b: np.asarray(a) != np.asarray(b), before, after)


def only(*layers: str) -> Callable[[Any, Any], bool]:
    """Whether all of these layers moved, and none of the others."""

    def found(before: Any, after: Any) -> bool:
        reached = {name for name, leaf in moved(before, after).items() if any(a.any() for a in jax.tree.leaves(leaf))}
        return reached == set(layers)

    return found


def half(before: Any, after: Any) -> bool:
    """Whether half of the weights moved: what is left out by a mask has neither momentum nor decay."""
    flags = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(moved(before, after))])
    return flags.sum() == flags.size // 2


NEEDS = {
    "do_nothing": Needs(statistics=False, changes=False, examples=lambda s, r: 0),
    "fine_tune": Needs(examples=lambda s, r: EPOCHS * steps(r) * BATCH),
    "l1_sparse": Needs({"gamma": 0.01}, examples=lambda s, r: EPOCHS * steps(r) * BATCH, bad={"gamma": (-1.0,)}),
    "gradient_ascent": Needs(examples=lambda s, r: EPOCHS * steps(s) * BATCH),
    "neg_grad_plus": Needs(
        {"alpha": 0.6}, examples=lambda s, r: 2 * EPOCHS * steps(r) * BATCH, bad={"alpha": (-0.1, 1.1)}
    ),
    "npo": Needs(
        {"beta": 0.5}, examples=lambda s, r: 2 * EPOCHS * steps(r) * BATCH, bad={"alpha": (-1.0,), "beta": (0.0, -1.0)}
    ),
    "random_label": Needs(examples=lambda s, r: EPOCHS * steps(s + r) * BATCH),
    "salun": Needs(
        still=half,
        examples=lambda s, r: (steps(s) + EPOCHS * (steps(s) + steps(r))) * BATCH,
        bad={"fraction": (-0.1, 1.1)},
    ),
    "scrub": Needs(
        {"max_epochs": EPOCHS},
        examples=lambda s, r: EPOCHS * (steps(s) + steps(r)) * BATCH,
        bad={"alpha": (-1.0,), "gamma": (-1.0,), "temperature": (0.0,), "max_epochs": (-1,)},
    ),
    "bad_teacher": Needs(
        {"retain_fraction": 1.0},
        examples=lambda s, r: EPOCHS * steps(s + r) * BATCH,
        bad={"retain_fraction": (-0.1, 1.1), "temperature": (0.0,)},
    ),
    "ssd": Needs(
        {"alpha": 1.0, "dampening": 0.5},
        statistics=False,
        examples=lambda s, r: (steps(s + r) + steps(s)) * BATCH,
        bad={"alpha": (0.0,), "dampening": (0.0,)},
    ),
    "lfssd": Needs(
        {"alpha": 0.2, "dampening": 0.2},
        statistics=False,
        examples=lambda s, r: (steps(s + r) + steps(s)) * BATCH,
        bad={"alpha": (0.0, -1.0), "dampening": (0.0,)},
    ),
    "assd": Needs(
        {"dampening": 0.5},
        statistics=False,
        examples=lambda s, r: (steps(s + r) + steps(s)) * BATCH,
        bad={"dampening": (0.0,)},
    ),
    "potion": Needs(
        {"dampening": 0.5, "max_trials": 60},
        statistics=False,
        examples=lambda s, r: (steps(s + r) + steps(s)) * BATCH,
        bad={
            "rho": (-0.1, 1.1),
            "dampening": (0.0,),
            "start": (0.0,),
            "growth": (0.9, math.inf),
            "max_trials": (0, 1.5),
        },
    ),
    "fisher_forgetting": Needs(
        {"alpha": 1e-4}, statistics=False, examples=lambda s, r: 3 * steps(r) * BATCH, bad={"alpha": (0.0, -1.0)}
    ),
    "ntk_forgetting": Needs(
        statistics=False,
        examples=lambda s, r: s + r,
        bad={"scale": (0.0,), "weight_decay": (0.0, -1.0), "max_weights": (0, 10)},
    ),
    "influence": Needs(
        {"damping": 0.2, "iterations": 10},
        statistics=False,
        bad={
            "scale": (0.0,),
            "damping": (-1.0,),
            "curvature": ("forget",),
            "iterations": (0, 1.5),
            "tolerance": (-0.1, 1.0),
        },
    ),
    "newton": Needs(
        {"damping": 1.0, "iterations": 10, "steps": EPOCHS},
        statistics=False,
        bad={"damping": (-1.0,), "steps": (0, 1.5), "iterations": (0, 1.5), "tolerance": (-0.1, 1.0)},
    ),
    "ascent_descent": Needs(
        {"ascent_epochs": 1},
        examples=lambda s, r: (steps(s) + EPOCHS * steps(r)) * BATCH,
        bad={"ascent_epochs": (-1,)},
    ),
    "grad_diff": Needs(examples=lambda s, r: 2 * EPOCHS * steps(s) * BATCH, bad={"alpha": (-1.0,)}),
    "ascent_kl": Needs(examples=lambda s, r: 2 * EPOCHS * steps(s) * BATCH, bad={"alpha": (-1.0,)}),
    "sim_npo": Needs(
        {"delta": 0.2},
        examples=lambda s, r: 2 * EPOCHS * steps(r) * BATCH,
        bad={"alpha": (-1.0,), "beta": (0.0, -1.0), "delta": (math.inf, -math.inf)},
    ),
    "dpo": Needs(
        {"beta": 0.5},
        examples=lambda s, r: 2 * EPOCHS * steps(r) * BATCH,
        bad={"alpha": (-1.0,), "beta": (0.0, -1.0), "refusal": ("idk", None)},
    ),
    "undial": Needs(examples=lambda s, r: EPOCHS * steps(s) * BATCH, bad={"beta": (-1.0, math.inf)}),
    "rmu": Needs(
        statistics=False,
        still=only("dense0"),
        examples=lambda s, r: 2 * EPOCHS * steps(s) * BATCH,
        bad={"steering": (0.0,), "alpha": (-1.0,), "layer": ("dense9", "bias", None)},
    ),
    "rem": Needs(
        {"p_mem": 0.5, "max_purges": 2},
        bad={"p_mem": (-0.1, 1.1), "beta": (0.0, -1.0), "threshold": (-0.1, 1.0), "max_purges": (0, 1.5)},
    ),
    "lipschitz": Needs(
        {"samples": 3},
        statistics=False,
        examples=lambda s, r: EPOCHS * steps(s) * BATCH,
        bad={"sigma": (0.0, -1.0), "samples": (0, 1.5)},
    ),
    "task_vector": Needs(
        statistics=False, examples=lambda s, r: EPOCHS * steps(s) * BATCH, bad={"scale": (-1.0, math.inf)}
    ),
    "duck": Needs(
        {"retain_batches": 2, "target_accuracy": 0.0},
        examples=lambda s, r: 2 * EPOCHS * 2 * steps(s) * BATCH,
        bad={
            "forget_weight": (-1.0,),
            "retain_weight": (-1.0,),
            "temperature": (0.0,),
            "target_accuracy": (-0.1, 1.1),
            "retain_batches": (0, 1.5),
        },
    ),
    "gaussian_noise": Needs(
        examples=lambda s, r: EPOCHS * steps(r) * BATCH, bad={"sigma": (-1.0,), "epochs": (-1, 1.5)}
    ),
    "cf_k": Needs(
        still=only("head"), examples=lambda s, r: EPOCHS * steps(r) * BATCH, bad={"k": (0, 1.5, 5, "dense9")}
    ),
    "eu_k": Needs(
        still=only("head"), examples=lambda s, r: EPOCHS * steps(r) * BATCH, bad={"k": (0, 1.5, 5, "dense9")}
    ),
    "boundary_shrink": Needs(
        {"bound": 0.3},
        examples=lambda s, r: (math.ceil(s / BATCH) + EPOCHS * steps(s)) * BATCH,
        bad={"bound": (-1.0,)},
    ),
    "unsir": Needs(
        {"noise_steps": 5, "noises": 4, "retain_fraction": 1.0},
        examples=lambda s, r: 5 * 4 + EPOCHS * steps(r) * (2 * BATCH + 4),
        bad={
            "noise_rate": (0.0,),
            "noise_penalty": (-1.0,),
            "noise_steps": (0, 1.5),
            "noises": (0, 1.5),
            "retain_fraction": (0.0, 1.1),
            "impair_rate": (0.0,),
            "repair_rate": (0.0,),
        },
    ),
    "scrub_rewind": Needs(
        {"epochs": 6},
        examples=lambda s, r: (3 * steps(s) + 6 * steps(r)) * BATCH,
        bad={"alpha": (-1.0,), "gamma": (-1.0,), "temperature": (0.0,), "max_epochs": (-1,)},
    ),
    "undo": Needs(
        {"suppress_rate": 0.02},
        examples=lambda s, r: (1 + EPOCHS) * 2 * steps(r) * BATCH,
        bad={"alpha": (-0.1, 1.1), "beta": (-1.0,), "suppress_rate": (0.0,), "suppress_epochs": (0, 1.5)},
    ),
    "fanchuan": Needs(
        examples=lambda s, r: (steps(s) + EPOCHS * (2 * steps(s) + steps(r))) * BATCH,
        bad={
            "temperature": (0.0, -1.0),
            "uniform_learning_rate": (0.0, -1.0, math.inf),
            "forget_learning_rate": (0.0, -1.0, math.inf),
        },
    ),
    "magnitude_gradient": Needs(
        examples=lambda s, r: (steps(s) + steps(min(s, r)) + EPOCHS * steps(r)) * BATCH,
        bad={"fraction": (-0.1, 1.1), "slowdown": (-0.1, 1.1)},
        model="conv",
    ),
    "class_weighted_noise": Needs(
        examples=lambda s, r: EPOCHS * steps(r) * BATCH,
        bad={"sigma": (-1.0, math.inf), "final_sigma": (-1.0, math.inf)},
        model="conv",
    ),
    "prune_match": Needs(examples=lambda s, r: EPOCHS * steps(r) * BATCH, bad={"fraction": (-0.1, 1.1)}),
    "transpose_kernels": Needs(examples=lambda s, r: EPOCHS * steps(r) * BATCH, model="conv"),
    "decoupled_reset": Needs(
        {"warmup_epochs": EPOCHS, "warmup_learning_rate": 0.05},
        examples=lambda s, r: EPOCHS * (1 + steps(r)) * BATCH,
        bad={"temperature": (0.0,), "warmup_learning_rate": (0.0, math.inf), "warmup_epochs": (0, 1.5)},
        model="conv",
    ),
    "random_noise_injection": Needs(
        {"kernels": 1, "warmup_epochs": 0, "fine_epochs": 1},
        examples=lambda s, r: EPOCHS * steps(r) * BATCH,
        bad={
            "sigma": (-1.0, math.inf),
            "noise_fraction": (-0.1, 1.1),
            "kernels": (0, 1.5),
            "warmup_epochs": (-1, math.inf),
            "fine_epochs": (-1, math.inf),
        },
    ),
    "etd": Needs(
        still=only("head"),
        examples=lambda s, r: 0,
        bad={"drop": ("some", None)},
        normed=False,
        rule="example_tied_dropout",
        rule_args={"p_gen": 0.5, "p_mem": 0.5},
    ),
    "amnesiac": Needs(
        {"epochs": 0},
        statistics=False,
        examples=lambda s, r: EPOCHS * steps(36) * BATCH,  # the training that is replayed, whatever is forgotten
        bad={"epochs": (-1, 1.5)},
        rule="amnesiac",
    ),
    "sisa": Needs(rule="sisa", rule_args={"shards": 2, "slices": 2}),
    "descent_to_delete": Needs(
        examples=lambda s, r: 3 * r,
        normed=False,
        rule="descent_to_delete",
        rule_args={"lipschitz": 3.0, "smoothness": 5.0, "strong_convexity": 0.1, "unlearning_steps": 3},
    ),
    "langevin": Needs(
        {"steps": 3},
        examples=lambda s, r: 3 * r,
        bad={"steps": (0, 1.5)},
        normed=False,
        rule="langevin",
        rule_args={"step_size": 0.1, "noise": 0.1},
    ),
    "certified_removal": Needs(
        {"iterations": 20},
        bad={"iterations": (0, 1.5), "tolerance": (-0.1, 1.0)},
        normed=False,
        rule="objective_perturbation",
        rule_args={"strong_convexity": 0.1},
    ),
    "dp_sgd": Needs(changes=False, examples=lambda s, r: 0, normed=False, rule="dp_sgd"),
}


def needs(name: str) -> Needs:
    return NEEDS.get(name, Needs())


def parameters(name: str) -> dict[str, Any]:
    """Name and default of each hyperparameter."""
    given = inspect.signature(ALGORITHMS[name].make).parameters
    return {key: p.default for key, p in given.items() if key not in ("model", "recipe")}


def visible(name: str) -> dict[str, Any]:
    """Keywords of the factory that move the weights of a tiny model."""
    mine = parameters(name)
    ruled_by = {"recipe": needs(name).recipe} if needed_rule(ALGORITHMS[name]) else {}
    return mine | {key: value for key, value in VISIBLE.items() if key in mine} | needs(name).visible | ruled_by


@functools.cache
def ruled(recipe: Recipe, model: Any) -> Any:
    return under_rule(recipe, model)


def tried_on(name: str, tiny: Any) -> Any:
    """The model without batch statistics that an algorithm is tried on."""
    return ruled(needs(name).recipe, {"mlp": tiny.model, "conv": tiny.conv}[needs(name).model])
