"""A made-up run: numbers with the shape of real ones, for three discovery rates."""

import io

import matplotlib.image
import numpy as np
import pytest

from unlearnax import results
from unlearnax.examples import packed
from unlearnax.report import page
from unlearnax.results import ExampleRow, ImageRow, MetricRow, ProblemRow, Row, VerdictRow

ALGORITHMS = {
    "fine_tune": "U",
    "gradient_ascent": "A",
    "neg_grad_plus": "A",
    "random_label": "A",
    "salun": "A",
    "scrub": "A",
    "bad_teacher": "A",
    "npo": "L",
    "ssd": "U",
    "l1_sparse": "U",
}
CONTROLS = ("do_nothing", "held-out retrain", "held-out concept_free")
SLICES = ("forget", "concept_rest", "concept_test")
DAMAGE = ("retain", "other_test")
# Where each algorithm stands at rate .5: margin form (x, y), then output form.
PLACES = {
    "do_nothing": (0.19, 1.03, 0.17, 1.02),
    "fine_tune": (0.16, 1.02, 0.15, 1.02),
    "gradient_ascent": (0.86, 0.63, 0.85, 0.61),
    "neg_grad_plus": (0.11, 1.00, 0.13, 1.01),
    "random_label": (0.35, 0.80, 0.42, 0.77),
    "salun": (0.28, 0.86, 0.31, 0.84),
    "scrub": (0.07, 0.99, 0.06, 1.00),
    "bad_teacher": (1.42, 0.95, 1.10, 0.70),
    "npo": (0.98, 0.06, 1.00, 0.05),
    "ssd": (3.60, 3.10, 1.30, 1.10),
    "l1_sparse": (0.14, 0.99, 0.12, 0.98),
    "held-out retrain": (-0.01, 1.00, 0.00, 1.00),
    "held-out concept_free": (1.00, -0.01, 1.00, -0.03),
}
VERDICTS = {
    "scrub": "inconclusive",
    "npo": "reaches unlearning",
    "ssd": "damages the model",
    "bad_teacher": "damages the model",
    "gradient_ascent": "closer to unlearning",
    "held-out retrain": "reaches untraining",
    "held-out concept_free": "reaches unlearning",
}
PROVENANCE = {
    "experiment": "discovery_rate",
    "command": "unlearnax run discovery_rate --members 64",
    "tuning": "Hyperparameters were chosen on 8 other originals (seeds 1000 to 1007) by distance to the declared goal.",
    "unlearnax": "0.1.0",
    "git_commit": "0123456789abcdef0123456789abcdef01234567",
    "versions": {"jax": "0.10.0", "flax": "0.12.7", "numpy": "2.4.0", "python": "3.12.3"},
    "device": "cpu (2 cores)",
    "plan": {"kind": "vmap", "width": 8},
    "seeds": {"root": 0, "members": 64, "draws": [0]},
    "started": "2026-01-01T00:00:00Z",
    "wall_seconds": 1834.2,
}


def _metric(name, unit, better, members=2):
    texts = [f"What does {name} ask?", f"{name} suits", f"too much from {name}"]
    return MetricRow(
        name, unit, "untraining", *texts, better, "the floor", "above it", "either", members, "A. Author", True
    )


METRICS = [
    _metric("energy/margin", "scorecard", "lower"),
    _metric("klom", "population", "lower"),
    _metric("klom/corrected", "population", "lower"),
    _metric("quality", "population", "higher"),
    _metric("u_mia", "member", "oracle"),
    _metric("bound", "population", "lower", 100),
]


def _metric_rows(problem, candidate, kind, goal, oracles):
    shift = 0.0 if candidate.startswith("held-out") else 1.0
    rows = [Row(problem, candidate, kind, goal, "u_mia", "", "forget", 0.5 + shift / 4, 0.4, 0.8)]
    for oracle in oracles:
        for name in ("klom", "klom/p95", "klom/corrected"):
            for part in ("forget", "retain"):
                rows.append(Row(problem, candidate, kind, goal, name, oracle, part, 0.3 + shift, 0.2, 2.0, 0.4))
        rows.append(Row(problem, candidate, kind, goal, "quality", oracle, "forget", 0.4 - shift / 4, 0.1, 0.5, 0.3))
        rows.append(Row(problem, candidate, kind, goal, "u_mia/gap", oracle, "forget", -shift / 4, -0.3, 0.1, 0.05))
        note = "needs at least 100 members, has 64 and 64"
        rows.append(Row(problem, candidate, kind, goal, "bound", oracle, "forget", float("nan"), note=note))
    return rows


def _problem_rows(rng, problem, oracles, with_distances):
    name, rows, verdicts = problem.problem, [], []
    for candidate in (*CONTROLS[:1], *ALGORITHMS, *CONTROLS[1:]):
        if candidate.startswith("held-out ") and candidate.removeprefix("held-out ") not in oracles:
            continue
        goal = ALGORITHMS.get(candidate, "")
        kind = "algorithm" if goal else "control"
        place = PLACES[candidate]

        def add(metric, value, oracle="", slice="", width=0.03, candidate=candidate, kind=kind, goal=goal, **rest):
            row = Row(name, candidate, kind, goal, metric, oracle, slice, value, value - width, value + width, **rest)
            rows.append(row)

        for slice in (*SLICES, *DAMAGE):
            add("accuracy", float(rng.uniform(0.2, 0.99)), slice=slice, width=0.01)
        add("cost/share", 0.0 if candidate in CONTROLS else float(rng.uniform(0.02, 0.4)), width=0.0)
        add("cost/seconds", 1.3, width=0.1)
        add("cost/examples", 12000.0, width=0.0)
        for i, oracle in enumerate(o for o in oracles if with_distances):
            for j, form in enumerate(("margin", "output")):
                centre = place[min(2 * j + i, 3)]
                if problem.rate == 1.0:
                    centre = place[2 * j] if candidate not in CONTROLS[1:] else 0.01
                elif problem.rate < 0.5 and centre < 0.3:
                    centre /= 4
                for slice in ("concept", *SLICES, *DAMAGE):
                    shift = 0.0 if slice == "concept" else float(rng.normal(0, 0.02))
                    add(f"distance/{form}", centre + shift, oracle, slice, width=float(rng.uniform(0.005, 0.05)))
                    p = float(rng.uniform(0, 0.01))
                    add(f"energy/{form}", centre**2 * 29, oracle, slice, floor=0.04, p=p, p_adjusted=min(1.0, 9 * p))
        rows.extend(_metric_rows(name, candidate, kind, goal, oracles))
        verdict = VERDICTS.get(candidate, "closer to untraining")
        needed = 210 if verdict == "inconclusive" else None
        detail = f"Upper end {place[0] + 0.03:.2f} on the concept, margin form, against a margin of 0.10."
        hyperparameters = "learning_rate=0.01, num_steps=200" if goal else ""
        verdicts.append(
            VerdictRow(name, candidate, kind, goal, verdict, detail, 0.1, 64, needed, 0, hyperparameters)
        )  # fmt: skip
    return [problem, *rows, *verdicts]


def make_examples(problem):
    """Examples 0, 1, ... of S: SCRUB gets example i right in i of 4 cases, the oracles always and never.

    Margins of SCRUB's members spread by 1 + i around their mean, those of the oracles not at all.
    """
    records, members = [], np.linspace(-1, 1, results.LEVELS)
    for i in range(5):
        file = io.BytesIO()
        matplotlib.image.imsave(file, np.full((8, 8), i / 4), vmin=0, vmax=1, format="png")
        records.append(ImageRow(problem, "forget", i, file.getvalue()))
        shares = {
            "scrub": (i / 4, "algorithm"),
            "oracle retrain": (1.0, "oracle"),
            "oracle concept_free": (0.0, "oracle"),
        }
        for name, (share, kind) in shares.items():
            low, high = max(share - 0.1, 0.0), min(share + 0.1, 1.0)
            margin = float("nan") if i == 3 and kind == "oracle" else 10 * share - 5
            spread = packed(margin + members[:, None] * (kind == "algorithm") * (1 + i))[0]
            kept = b"" if np.isnan(margin) else spread
            row = ExampleRow(problem, name, kind, "forget", i, "three", i != 2, share, low, high, margin, kept)
            records.append(row)
    return records


def make_records(rates=(0.1, 0.5, 1.0), oracles=("retrain", "concept_free"), with_distances=True, seed=0):
    rng = np.random.default_rng(0)
    records = list(METRICS)
    for rate in rates:
        scale = "oracle to oracle" if rate < 1 and len(oracles) > 1 else "original to oracle"
        problem = ProblemRow(
            f"digits-concept3-rate{rate}", rate, seed, "ab12" * 8, int(150 * rate), 150, 1287, 360, scale, rate == 0.1
        )
        records += _problem_rows(rng, problem, oracles, with_distances)
    return records


@pytest.fixture(scope="session")
def records():
    return make_records()


@pytest.fixture(scope="session")
def make():
    return make_records


@pytest.fixture
def no_figures(monkeypatch):
    """They take seconds, and have tests of their own."""
    monkeypatch.setattr(page, "write_figures", lambda *_: [])


@pytest.fixture
def run_folder(tmp_path, records):
    results.write(tmp_path, records, PROVENANCE)
    return tmp_path


@pytest.fixture(scope="session")
def provenance():
    return PROVENANCE


@pytest.fixture(scope="session")
def make_pictures():
    return make_examples
