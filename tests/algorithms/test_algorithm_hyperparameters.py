"""What every algorithm owes before it runs: its signature, its metadata, and clear errors on wrong hyperparameters."""

import dataclasses
import inspect
import math
import re

import pytest
from algorithm_needs import needs, parameters, tried_on, visible

from unlearnax.algorithms import ALGORITHMS
from unlearnax.training import RULES
from unlearnax.unlearning import needed_rule

NAMES = sorted(ALGORITHMS)
SUBSETS = {"forget", "retain", "validation"}
GOALS = {"untraining", "unlearning", "ambiguous", "control"}

# Refused of every number, and beyond that of each hyperparameter of a name, or of one algorithm (`Needs.bad`).
NO_FLOAT = (math.nan, math.inf, -math.inf, True, None, "0.1")
NO_WHOLE_NUMBER = (-1, 1.5, 2.0, math.nan, math.inf, True, None)
SIGNED = {("sim_npo", "delta")}  # every other float is at least 0
BAD = {"learning_rate": (0.0,), "momentum": (-0.1, 1.0), "epochs": (0,), "batch_size": (0, 2.5)}


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def test_a_factory_takes_a_model_and_keywords_and_returns_one_function(name, tiny):
    model, *rest = inspect.signature(ALGORITHMS[name].make).parameters.values()
    assert model.name == "model"
    assert model.kind is model.POSITIONAL_OR_KEYWORD
    assert all(p.kind is p.KEYWORD_ONLY for p in rest)
    required = {p.name for p in rest if p.default is p.empty}
    assert required == ({"recipe"} if needed_rule(ALGORITHMS[name]) else set())
    unlearn = ALGORITHMS[name].make(tried_on(name, tiny), **visible(name))
    assert len(inspect.signature(unlearn).parameters) == 3  # key, state, request: neither test data nor an oracle


def test_metadata_is_complete(name):
    algorithm = ALGORITHMS[name]
    assert algorithm.goal in GOALS
    assert algorithm.access <= SUBSETS
    assert algorithm.citation
    for need in algorithm.needs - {"one class", "convolutions", "layers"}:
        assert need.removeprefix("rule ") in RULES
    if algorithm.goal != "control":
        assert algorithm.words
        assert re.search(r"\b(19|20)\d\d\b", algorithm.citation)
        assert re.search(r"arXiv \d{4}\.\d{4,5}\b", algorithm.citation)
        assert "Source:" in (algorithm.make.__doc__ or "")


def test_a_search_draws_floats_that_are_allowed(name, tiny):
    model = tried_on(name, tiny)
    for key, (*kind, low, high) in ALGORITHMS[name].ranges.items():
        assert isinstance(parameters(name)[key], float), key
        assert low < high
        assert kind == ["uniform"] or (kind == [] and low > 0)
        for end in (low, high):
            ALGORITHMS[name].make(model, **visible(name) | {key: end})


HYPERPARAMETERS = [(n, key) for n in NAMES for key, default in parameters(n).items() if not isinstance(default, bool)]


def refused(name, key):
    """Values out of range of a hyperparameter: a number's by its kind, a name's in the table of needs."""
    default, listed = parameters(name)[key], (BAD | needs(name).bad).get(key, ())
    if isinstance(default, float):
        return (*NO_FLOAT, *(() if (name, key) in SIGNED else (-1.0,)), *listed)
    if isinstance(default, int):
        return (*NO_WHOLE_NUMBER, *listed)
    assert listed, f"{name} has no wrong values of {key}"
    return listed


@pytest.mark.parametrize(("name", "hyperparameter"), HYPERPARAMETERS)
def test_hyperparameters_out_of_range_are_refused(name, hyperparameter, tiny):
    """By an error with the argument's name and value, when the factory is called."""
    model = tried_on(name, tiny)
    for value in refused(name, hyperparameter):
        with pytest.raises(ValueError, match=rf"\b{hyperparameter}={re.escape(repr(value))} "):
            ALGORITHMS[name].make(model, **visible(name) | {hyperparameter: value})


@pytest.mark.parametrize("name", [n for n in NAMES if "convolutions" in ALGORITHMS[n].needs])
def test_a_model_without_convolutions_is_refused_where_they_are_needed(name, tiny):
    with pytest.raises(ValueError, match="to have convolutions"):
        ALGORITHMS[name].make(tiny.model)


@pytest.mark.parametrize("name", [n for n in NAMES if "layers" in ALGORITHMS[n].needs])
def test_a_model_without_named_layers_is_refused_where_they_are_needed(name, tiny):
    with pytest.raises(ValueError, match="layers"):
        ALGORITHMS[name].make(dataclasses.replace(tiny.model, layers=()))
