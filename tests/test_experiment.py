"""A whole run in-process: rows, reuse of the store, errors before training."""

import dataclasses

import numpy as np
import pytest

from unlearnax import experiment, plugins, populations, results
from unlearnax.experiment import Experiment, run
from unlearnax.recipes import Recipe
from unlearnax.results import ProblemRow, Row, VerdictRow
from unlearnax.store import Store
from unlearnax.store.packs import export, import_pack
from unlearnax.types import Algorithm, Info, TrainState

SMALL = Experiment(
    name="small",
    problem_args=(("concepts", "3"),),
    discovery_rates=(0.5, 1.0),
    recipe=Recipe(model_args=(("widths", (16,)),), epochs=2, batch_size=64),
    algorithms=(("fine_tune", (("epochs", 1),)), ("gradient_ascent", (("learning_rate", 0.05),))),
    members=4,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    import os

    folder = tmp_path_factory.mktemp("run")
    os.environ["UNLEARNAX_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    seen = []
    cards = run(SMALL, folder, command="a command", progress=lambda *now: seen.append(now))
    return folder, cards, seen


def test_rows_cover_everything(finished):
    folder, _, _ = finished
    candidates = {"do_nothing", "fine_tune", "gradient_ascent", "held-out retrain", "held-out concept_free"}
    problems = results.read(folder, ProblemRow)
    assert [problem.rate for problem in problems] == [0.5, 1.0]
    assert problems[1].scale == "original to oracle"
    verdicts = results.read(folder, VerdictRow)
    assert {row.candidate for row in verdicts} == candidates
    assert len(verdicts) == 2 * len(candidates)
    rows = results.read(folder, Row)
    for metric in ("distance/margin", "distance/output", "energy/margin", "energy/output"):
        for problem, parts in ((problems[0], 6), (problems[1], 5)):  # concept, S, (F∖S), held-out, retain, other test
            found = [row for row in rows if row.metric == metric and row.problem == problem.problem]
            assert len(found) == len(candidates) * 2 * parts
            assert all(np.isfinite([row.value, row.low, row.high]).all() for row in found)
    costs = [row for row in rows if row.metric == "cost/examples" and row.candidate == "fine_tune"]
    train = 1400
    assert costs[0].value == (train - problems[0].forget) // 64 * 64
    facts = results.read_provenance(folder)
    for name in ("git commit", "versions", "device", "recipe", "problem_digests", "seed", "plan", "wall_seconds"):
        assert name in facts
    assert facts["command"] == "a command"


def test_progress_reaches_the_end(finished):
    _, _, seen = finished
    for label in ("original", "retrain reference", "concept_free held-out", "algorithms"):
        assert any(done == total for name, done, total in seen if name == label), label


def test_a_second_run_trains_no_oracle_again(finished, tmp_path, monkeypatch):
    import os

    folder, _, _ = finished
    monkeypatch.setenv("UNLEARNAX_CACHE", str(folder))  # an empty one trains ...
    trained = []
    real = populations._train
    monkeypatch.setattr(populations, "_train", lambda *args: trained.append(args[7]) or real(*args))
    more = dataclasses.replace(SMALL, discovery_rates=(1.0,), algorithms=(*SMALL.algorithms, ("ssd", ())))
    run(more, tmp_path / "a")
    assert sorted(trained) == sorted(
        ["original", "retrain reference", "retrain held-out", "concept_free reference", "concept_free held-out"]
    )
    run(dataclasses.replace(more, algorithms=()), tmp_path / "b")  # ... a full one does not
    assert len(trained) == 5
    assert os.environ["UNLEARNAX_CACHE"] == str(folder)


def test_oracles_of_a_pack_are_not_trained(tmp_path, monkeypatch):
    """Predictions of every population come from elsewhere: only the originals, whose weights are needed, are trained."""
    spec = dataclasses.replace(SMALL, discovery_rates=(0.5,), metrics=("none",))
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "theirs"))
    (theirs,) = run(spec, tmp_path / "first")
    export(Store(), tmp_path / "oracles.pack")
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "mine"))
    assert all(new for *_, new in import_pack(Store(), tmp_path / "oracles.pack"))
    trained, real = [], populations._train

    def recorded(*given):
        trained.append(given[7])  # its role
        return real(*given)

    monkeypatch.setattr(populations, "_train", recorded)
    (mine,) = run(spec, tmp_path / "second")
    assert trained == ["original"]
    assert [row.verdict for row in mine.verdicts] == [row.verdict for row in theirs.verdicts]


def test_an_own_algorithm_and_oracle(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "cache"))

    def zero_head(model, *, scale: float = 0.0):
        def unlearn(key, state: TrainState, request):
            params = dict(state.params)
            params["head"] = {name: value * scale for name, value in params["head"].items()}
            return state._replace(params=params), Info(state.step * 0.0, state.step * 0.0)

        return unlearn

    spec = dataclasses.replace(
        SMALL, discovery_rates=(0.5,), algorithms=(), oracles=("retrain", "oracles/template.py:half_concept")
    )
    own = {"zero_head": Algorithm(zero_head, "ambiguous", frozenset(), "mine")}
    (card,) = run(spec, tmp_path / "run", more_algorithms=own)
    verdicts = {row.candidate: row.verdict for row in card.verdicts}
    assert verdicts["zero_head"] == "damages the model"
    assert "held-out half_concept" in verdicts


def test_corrupted_data_with_all_three_oracles(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "cache"))
    arguments = (("target", 0), ("fraction", 0.2))
    spec = dataclasses.replace(
        SMALL, problem="triggered", problem_args=arguments, discovery_rates=(0.5,), algorithms=(),
        oracles=("retrain", "concept_free", "corrected"), recipe=Recipe(epochs=15, batch_size=64), members=6,
    )  # fmt: skip
    (card,) = run(spec, tmp_path / "run")
    assert card.scale == "oracle to oracle"
    values = {(r.candidate, r.slice): r.value for r in card.rows if r.metric == "accuracy"}
    for oracle in ("concept_free", "corrected"):  # neither has seen the trigger, on unseen images either
        assert values[f"oracle {oracle}", "concept_test"] < 0.2
        assert values[f"oracle {oracle}", "concept_test_true"] > 0.7
    assert values["do_nothing", "concept_test"] > 0.9  # retraining without S leaves the backdoor in
    assert values["oracle retrain", "concept_test"] > 0.9


def test_a_random_subset_has_coinciding_oracles(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "cache"))
    spec = dataclasses.replace(
        SMALL, problem="random_subset", problem_args=(("size", 60),), discovery_rates=(), algorithms=()
    )
    (card,) = run(spec, tmp_path / "run")
    assert card.scale in ("original to oracle", "uninformed to oracle")
    neighbours = {"confused_class", "near_concept"}
    assert {row.slice for row in card.rows} - neighbours == {"concept", "forget", "retain", "other_test"}


def test_only_the_two_goals_can_coincide():
    from unlearnax.oracles import ORACLES
    from unlearnax.types import World

    x = np.zeros((4, 2), np.float32)
    worlds = {name: World(x + i, np.zeros(4, int), np.arange(3)) for i, name in enumerate(("retrain", "concept_free"))}
    both = {name: ORACLES[name] for name in worlds}
    assert not experiment._coincide(worlds, both)
    assert experiment._coincide({"retrain": worlds["retrain"], "concept_free": worlds["retrain"]}, both)
    third = dataclasses.replace(ORACLES["retrain"], goal="mine")
    assert not experiment._coincide(worlds | {"mine": worlds["retrain"]}, both | {"mine": third})


def never(*args, **kwargs):
    raise AssertionError("training started")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "digitz"}, "Expected dataset='digitz' to be one of .*Did you mean 'digits'"),
        ({"problem": "concpt"}, "Did you mean 'concept'"),
        ({"problem_args": (("concepts", "33"),)}, "Expected concept='33'"),
        ({"problem_args": (("concpts", "3"),)}, "concpts"),
        ({"problem": "random_subset", "problem_args": (("size", 50),)}, "discovery_rates=.* to be empty"),
        ({"oracles": ("retrian",)}, "Did you mean 'retrain'"),
        ({"algorithms": (("scrubb", ()),)}, "Did you mean 'scrub'"),
        ({"algorithms": (("npo", (("bta", 1.0),)),)}, r"'bta'.*\(it takes .*beta.*\)"),
        ({"algorithms": (("scrub", (("temperature", 0.0),)),)}, r"scrub.*temperature=0.0 in \(0, inf\)"),
        ({"algorithms": (("scrub", (("warmth", 1.0),)),)}, "scrub.*warmth"),
        ({"recipe": Recipe(model="mpl")}, "Did you mean 'mlp'"),
        ({"recipe": Recipe(model_args=(("widhts", (3,)),))}, "widhts"),
        ({"recipe": Recipe(batch_size=1300)}, "Expected batch_size=1300 to be at most the world's 1258 examples"),
    ],
)
def test_bad_specs_stop_before_training(changes, message, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "fit", never)
    with pytest.raises(ValueError, match=message):
        run(dataclasses.replace(SMALL, **changes), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": 0}, "Expected members=0"),
        ({"members": 2}, "Expected members=2 to be at least 3"),
        ({"plan": "fast"}, "Expected plan='fast'"),
        ({"margin": 0.0}, r"Expected margin=0.0 in \(0, 1\)"),
        ({"discovery_rates": (0.1, 1.4)}, r"Expected discovery_rate=1.4 in \(0, 1\]"),
    ],
)
def test_bad_fields(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **changes)


def test_the_quickstart_is_a_spec():
    sizes = plugins.load_file("experiments/quickstart.py").SIZES
    assert set(sizes) == {"full", "smoke"}
    full = sizes["full"]
    assert full.discovery_rates == (0.1, 0.5, 1.0)
    assert full.members == 64
    assert len(full.algorithms) == 10


def test_one_original_and_many_runs(tmp_path, monkeypatch):
    """All candidates come from the first original: doing nothing has no spread, nothing is paired, the page says so."""
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "cache"))
    spec = dataclasses.replace(SMALL, estimand="runs", discovery_rates=(0.5,), metrics=("agreement", "u_lira"))
    (card,) = run(spec, tmp_path / "run")
    rows = {(r.candidate, r.metric, r.oracle, r.slice): r for r in card.rows}
    nothing = rows["do_nothing", "accuracy", "", "retain"]
    assert nothing.low == nothing.high == nothing.value
    tuned = rows["fine_tune", "accuracy", "", "retain"]
    assert tuned.low < tuned.high
    assert not any(metric.startswith("gain/") for _, metric, _, _ in rows)
    assert results.read_provenance(tmp_path / "run")["estimand"] == "1 original × M runs"
    assert rows["fine_tune", "u_lira", "retrain", "forget"].note == "needs at least 8 members, has 4 and 4"
    described = {row.name: row for row in results.read(tmp_path / "run", results.MetricRow)}
    assert set(described) == {"agreement", "u_lira"}
    assert described["u_lira"].members == 8


def test_unknown_metrics_and_estimands_are_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match="'klom'"):
        run(dataclasses.replace(SMALL, metrics=("kloms",)), tmp_path)
    with pytest.raises(ValueError, match="estimand='both'"):
        dataclasses.replace(SMALL, estimand="both")


def test_probes_meet_every_population_alike(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "cache"))
    probes = ("relearning", "linear_probe", "gaussian_unlearning")
    args = (("relearning", (("steps", 4), ("learning_rate", 0.1))),)
    spec = dataclasses.replace(SMALL, probes=probes, probe_args=args, metrics=("none",), discovery_rates=(0.5,))
    (card,) = run(spec, tmp_path / "run")
    rows = {(r.candidate, r.metric, r.oracle): r for r in card.rows}
    for name in ("do_nothing", "fine_tune", "oracle retrain", "oracle concept_free", "held-out retrain", "untrained"):
        assert 0 <= rows[name, "relearning/area", ""].value <= 1, name
        assert 0 <= rows[name, "linear_probe/auc", ""].value <= 1, name
    assert rows["do_nothing", "relearning/start", ""].value > rows["oracle concept_free", "relearning/start", ""].value
    assert rows["fine_tune", "relearning/area/gap", "concept_free"].floor is not None
    assert rows["do_nothing", "relearning/anchored", "concept_free"].value == pytest.approx(1)
    anamnesis = rows["do_nothing", "relearning/anamnesis", "concept_free"]
    assert np.isfinite(anamnesis.value) or anamnesis.note
    assert "to carry Gaussian poison" in rows["fine_tune", "gaussian_unlearning", ""].note
    assert {row.name for row in results.read(tmp_path / "run", results.MetricRow)} == set(probes)


def test_probe_hyperparameters_are_checked_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(populations, "_train", lambda *args: pytest.fail("trained"))
    for probes, args, text in (
        (("relearnin",), (), "relearning"),
        (("relearning",), (("relearning", (("steps", 0),)),), "steps=0"),
        (("relearning",), (("linear_probe", ()),), "probe_args="),
    ):
        with pytest.raises(ValueError, match=text):
            run(dataclasses.replace(SMALL, probes=probes, probe_args=args, store=False), tmp_path)


def test_typos_show_before_scores_are_estimated(tmp_path, monkeypatch):
    monkeypatch.setattr("unlearnax.memorization.fit", lambda *args, **kwargs: pytest.fail("trained"))
    spec = dataclasses.replace(
        SMALL, problem="most_memorized", problem_args=(("size", 20),), discovery_rates=(), store=False
    )
    for change in (
        {"metrics": ("kloms",)}, {"probes": ("relearnin",)}, {"algorithms": (("fine_tune", (("epochs", 0),)),)}
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"kloms|relearnin|epochs=0"):
            run(dataclasses.replace(spec, **change), tmp_path)


def test_matched_controls_and_a_training_rule_in_one_run(tmp_path, monkeypatch):
    """Oracles are trained under the originals' rule; algorithms of that rule run, those of another are refused."""
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "cache"))
    recipe = dataclasses.replace(SMALL.recipe, rule="dp_sgd", rule_args=(("noise", 0.1),))
    spec = dataclasses.replace(
        SMALL, recipe=recipe, discovery_rates=(0.5,), algorithms=(("dp_sgd", ()), ("fine_tune", (("epochs", 1),))),
        metrics=("none",), oracle_matching=True,
    )  # fmt: skip
    run(spec, tmp_path / "run")
    verdicts = {row.candidate: row for row in results.read(tmp_path / "run", VerdictRow)}
    assert {"dp_sgd", "fine_tune", "matched retrain", "matched concept_free"} < set(verdicts)
    assert verdicts["matched retrain"].kind == "control"
    rows = {
        (r.candidate, r.metric, r.slice): r.value for r in results.read(tmp_path / "run", Row) if r.oracle == "retrain"
    }
    same = ("distance/margin", "concept")
    assert rows["dp_sgd", *same] == rows["do_nothing", *same]
    with pytest.raises(ValueError, match="'dp_sgd' to be trained under rule 'dp_sgd', got 'plain'"):
        run(dataclasses.replace(spec, recipe=SMALL.recipe), tmp_path / "other")
    wrong = dataclasses.replace(recipe, rule_args=(("noise", -1.0),))
    with pytest.raises(ValueError, match=r"noise=-1\.0"):
        run(dataclasses.replace(spec, recipe=wrong), tmp_path / "other")
    with pytest.raises(ValueError, match="rule"):
        run(dataclasses.replace(spec, recipe=dataclasses.replace(recipe, rule="dp_sdg")), tmp_path / "other")
