"""Every shared type and function signature. No logic lives here.

Axis letters, used in every docstring of the package: ``M`` members (seeds), ``N`` examples, ``C`` classes,
``T`` steps, ``B`` batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jaxtyping import PyTree

Array = jax.Array | np.ndarray
Key = jax.Array


class Dataset(NamedTuple):
    """Examples in their raw form, before any normalisation.

    x: inputs, `[N, ...]`, floating or uint8.  y: labels, `[N]` int32.
    concept: which concept each example shows, `[N]` int32, -1 for none.
    """

    x: np.ndarray
    y: np.ndarray
    concept: np.ndarray


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """Shape of one raw example and the constants that normalise it: a model computes ``(x - mean) / std`` first.

    The constants belong to the dataset, never to the rows at hand: a statistic computed from the training rows would
    carry excluded rows into every world.
    """

    shape: tuple[int, ...]
    mean: float = 0.0
    std: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
    """A dataset with its fixed splits, as a loader returns it."""

    name: str
    train: Dataset
    validation: Dataset
    test: Dataset
    num_classes: int
    class_names: tuple[str, ...]
    concept_names: tuple[str, ...]
    inputs: InputSpec


class Slice(NamedTuple):
    """A named set of examples to evaluate on, with the label that each is scored on.

    split: "train" or "test".  index: rows of that split, `[n]`.  labels: `[n]` int32.
    about: "concept" (the behaviour to be removed) or "damage" (everything that should stay).
    """

    split: str
    index: np.ndarray
    labels: np.ndarray
    about: str


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """One question: these data, this forget set S, this concept F that S samples.

    forget: rows of `train` handed to the algorithm (S).  concept: rows of `train` showing the behaviour (F, contains S).
    concept_test: rows of `test` showing it.  slices: what is scored, by name.
    repaired: `train` with the corrupted labels or inputs put right, where the problem has any.
    digest: stable content hash of all of the above.
    bystanders: rows of `train` outside F whose privacy is followed, see `bystanders`; None: nobody's.
    """

    name: str
    train: Dataset
    validation: Dataset
    test: Dataset
    forget: np.ndarray
    concept: np.ndarray
    concept_test: np.ndarray
    slices: Mapping[str, Slice]
    num_classes: int
    class_names: tuple[str, ...]
    inputs: InputSpec
    repaired: Dataset | None
    digest: str
    bystanders: np.ndarray | None = None

    @property
    def discovery_rate(self) -> float:
        """|S|/|F|, in (0, 1]."""
        return len(self.forget) / len(self.concept)


class World(NamedTuple):
    """What one training run may see: arrays, and the rows of them that exist in this world.

    x: `[N, ...]`.  y: `[N]`.  index: row numbers, `[n]`; a run draws its batches from these rows only.
    """

    x: Array
    y: Array
    index: Array


class Exclusion(NamedTuple):
    """What an oracle promises never to read: rows of `train.x` and rows of `train.y`."""

    x_rows: np.ndarray
    y_rows: np.ndarray


class Subset(NamedTuple):
    """Row numbers padded to a fixed capacity, so that sets of different sizes share one compiled program.

    index: `[capacity]` int32; only the first `length` entries count.  length: scalar int32.
    """

    index: Array
    length: Array


class Request(NamedTuple):
    """ALL that an unlearning algorithm may see: no test data, no concept annotation, no oracle.

    x: `[N, ...]` raw inputs, training rows first, then validation rows.  y: `[N]`.
    forget, retain, validation: subsets of the rows.
    """

    x: Array
    y: Array
    forget: Subset
    retain: Subset
    validation: Subset


class TrainState(NamedTuple):
    """What training carries and what an algorithm edits: arrays only.

    A finished member holds an empty tuple as `opt_state`.  log: what its training rule leaves to the algorithms that need
    the rule, empty under the plain one.
    """

    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    step: Array
    log: PyTree = ()


class Info(NamedTuple):
    """Observed facts of one run.

    loss: mean training loss over the last epoch or segment (the algorithm's own objective for algorithms), scalar.
    examples: number of examples passed forward and backward, scalar.
    """

    loss: Array
    examples: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """An architecture as pure functions.

    init: ``key -> (params, model_state)``.
    apply: ``(params, model_state, x, *, train, key) -> (logits [B, C] float32, new model_state)`` on raw `x`.
        Without model_state an example's logits may not depend on the others: a batch may be passed in parts.
    features: ``(params, model_state, x) -> [B, H]``, the input of the last layer.
    layers: names of the top-level entries of `params`, first to last.
    inner: the model that a training rule built this one of, if it did.
    hidden: ``(params, model_state, x, layer) -> [B, ...]`` float32, what the layer of that name puts out in evaluation
        mode, where the architecture can be asked.
    """

    name: str
    init: Callable[[Key], tuple[PyTree, PyTree]]
    apply: Callable[..., tuple[jax.Array, PyTree]]
    features: Callable[..., jax.Array]
    layers: tuple[str, ...]
    inner: Model | None = None
    hidden: Callable[..., jax.Array] | None = None


class Training(NamedTuple):
    """A recipe bound to a model by a training rule: init, any number of segments, finish.

    init: ``key -> TrainState``.
    segment: ``(key, state, x, y, rows, passes) -> (TrainState, Info)`` runs the half-open range of `passes` over the
        subset `rows`; the ranges may be cut anywhere without changing the result.
    finish: ``(key, state, rows) -> TrainState``, the member as it is published, without its optimiser's state.
    """

    init: Callable[[Key], TrainState]
    segment: Callable[..., tuple[TrainState, Info]]
    finish: Callable[[Key, TrainState, Subset], TrainState]


@dataclasses.dataclass(frozen=True)
class Rule:
    """A training rule: how a recipe becomes a `Training`, where that is not plain empirical risk minimisation.

    training: ``(recipe, model, **rule_args) -> Training``; raises ValueError on arguments, recipes and models that do not
        suit it.
    citation: authors, venue, year, arXiv id.
    model: ``(model, **rule_args) -> Model``, where the rule trains something else than the recipe's model (an ensemble).
    augments: whether it trains on augmented images where the recipe asks for them.
    """

    training: Callable[..., Training]
    citation: str
    model: Callable[..., Model] | None = None
    augments: bool = False


class TrainFn(Protocol):
    """Trains one member: the data are a world, the randomness is the key."""

    def __call__(self, key: Key, world: World, /) -> tuple[TrainState, Info]: ...


class OracleFn(Protocol):
    """Says what data a counterfactual world holds."""

    def __call__(self, problem: Problem, /) -> World: ...


class UnlearnFn(Protocol):
    """Applies an unlearning algorithm to one trained member."""

    def __call__(self, key: Key, state: TrainState, request: Request, /) -> tuple[TrainState, Info]: ...


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """A factory with its metadata.

    make: ``make(model, **hyperparameters) -> UnlearnFn``; one that needs a rule also takes the originals' `recipe`.
    goal: what its authors say it is for: "untraining", "unlearning", "ambiguous" or "control".
    access: which of "forget", "retain", "validation" it reads.
    citation: authors, venue, year, arXiv id.
    words: the goal in its paper's words, a short quotation or paraphrase.
    ranges: what a search draws float hyperparameters from: (low, high), log-uniform, or ("uniform", low, high).
    needs: what it cannot do without: "one class" (S has a single label), "convolutions", "layers" (a stack of named
        layers), or "rule NAME" (members trained under that rule of `training.RULES`).
    """

    make: Callable[..., UnlearnFn]
    goal: str
    access: frozenset[str]
    citation: str
    words: str = ""
    needs: frozenset[str] = frozenset()
    ranges: Mapping[str, tuple] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Oracle:
    """A counterfactual world with its promise.

    world: ``Problem -> World``.  excludes: ``Problem -> Exclusion``; None where a custom oracle states no promise.
    goal: the word used in verdicts ("untraining" gives "reaches untraining").
    applies: whether a problem has such a world at all.
    """

    world: OracleFn
    excludes: Callable[[Problem], Exclusion] | None
    goal: str
    applies: Callable[[Problem], bool] = lambda problem: True


MetricFn = Callable[..., Any]
"""Arrays to an array or a number; never sees a model."""


class View(NamedTuple):
    """One population as metrics see it: arrays by slice name.

    logits: `[M, n, C]`.  margins: `[M, n]`, of the slice's labels.  correct: `[M, n]` bool, whether the top class is the
        label.  labels: `[n]`.
    features: `[M, n, H]`, inputs of the last layer; empty where only logits are known.
    fresh: logits `[M, n, C]` of freshly initialised members; empty where only logits are known.
    weights: `[M, P]` flattened parameters; None where only logits are known.
    """

    logits: Mapping[str, np.ndarray]
    margins: Mapping[str, np.ndarray]
    correct: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    features: Mapping[str, np.ndarray]
    fresh: Mapping[str, np.ndarray]
    weights: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Metric:
    """A pure function of arrays, how it is applied to a problem, and what a reader must know about it.

    function: the metric itself, as users call it.
    measure: applies it to one slice, by `unit`:
        "member": ``(population: View, slice) -> [M]``, a number for each model, to be compared with the oracle's;
        "pair": ``(candidate: View, oracle: View, slice) -> [M, R]``, a number for each pair of models;
        "population": ``(candidate: View, oracle: View, slice) -> [n]`` (its mean and 95th percentile are reported), a
        number, or a mapping of names to these;
        "scorecard": as "population", but always measured by `scoring` with its own interval.
    slices: measured on each of these, where the problem has them.
    needs: other slices, or fields of a `View`, that must be there.
    answers: "untraining", "unlearning", "either" (by the oracle it is given), "damage" or "similarity".
    question: what it answers, one sentence.  use_when, caution: one line each; caution says what not to conclude.
    better: "lower", "higher", or "oracle": nearer to the oracle's own value.
    at_untraining, at_unlearning: its value for a perfect untrainer, and for a perfect unlearner.
    estimand: the randomness its authors marginalise: "M originals × 1 run", "1 original × R runs" or "either".
    members: fewest members a side for which it says anything.
    citation: authors, year, arXiv id, equation.
    default: part of the default suite; the costly ones are measured on request.
    """

    function: MetricFn
    measure: Callable[..., Any]
    unit: str
    slices: tuple[str, ...]
    answers: str
    question: str
    use_when: str
    caution: str
    better: str
    at_untraining: str
    at_unlearning: str
    estimand: str
    members: int
    citation: str
    needs: tuple[str, ...] = ()
    default: bool = True
