"""Single examples: shares and margins as counted by hand, what is drawn, pictures that open again."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import binomtest

from unlearnax import data, problems, results
from unlearnax.evaluation import problem_layout
from unlearnax.examples import Shown, at_random, example_records, packed, wilson, worst
from unlearnax.report.load import load
from unlearnax.results import ExampleRow, ImageRow

COUNT = 5


@pytest.fixture(scope="module")
def problem():
    splits = data.load("shapes", per_class=(20, 20, 20, 8), test_per_class=6)
    return problems.concept(splits, (("circle", 0.1), ("star", 0.25)))


@pytest.fixture(scope="module")
def made(problem):
    layout, x = problem_layout(problem)
    rng = np.random.default_rng(0)
    shape = (7, len(x), 4)
    populations = {
        "do_nothing": Shown(rng.normal(size=shape).astype(np.float32), "original"),
        "npo": Shown(rng.normal(size=shape).astype(np.float32), "algorithm"),
        "oracle retrain": Shown(rng.normal(size=shape).astype(np.float32), "oracle"),
    }
    return layout, x, populations, example_records(problem, layout, x, populations, COUNT)


def test_shares_and_margins_of_every_row(problem, made):
    x, populations, records = made[1:]
    rows = [r for r in records if isinstance(r, ExampleRow)]
    assert {r.candidate for r in rows} == set(populations)
    assert {r.slice for r in rows} == set(problem.slices)
    for row in rows:
        part = problem.slices[row.slice]
        raw = (problem.train if part.split == "train" else problem.test).x[row.example]
        column = next(i for i in range(len(x)) if np.array_equal(x[i], raw))
        label = part.labels[list(part.index).index(row.example)]
        assert row.label == problem.class_names[label]
        logits = populations[row.candidate].logits[:, column]
        assert row.right == pytest.approx((logits.argmax(-1) == label).mean())
        others = np.log(np.exp(np.delete(logits, label, axis=1)).sum(1))
        assert row.margin == pytest.approx((logits[:, label] - others).mean(), abs=1e-4)
        assert row.low <= row.right <= row.high
        own = np.sort(logits[:, label] - others)  # 7 members: every quantile is one of them
        expected = own[[int(np.ceil((i + 0.5) * 7 / results.LEVELS)) - 1 for i in range(results.LEVELS)]]
        np.testing.assert_allclose(row.spread, expected, atol=0.01)
    assert len(rows) == 3 * len({(r.slice, r.example) for r in rows})


def test_the_example_that_an_algorithm_is_worst_on_is_told(problem, made):
    layout, x, populations, _ = made
    far = np.array(populations["oracle retrain"].logits)
    positions = layout.slices["retain"]
    position = positions[17]
    far[:, layout.rows[position], layout.labels[position]] += 50
    rows = example_records(problem, layout, x, populations | {"npo": Shown(far, "algorithm")}, 1)
    told = {r.example: r.at_random for r in rows if isinstance(r, ExampleRow) and r.slice == "retain"}
    assert problem.slices["retain"].index[17] in told
    assert sum(told.values()) == 1


def test_what_is_not_finite_is_wrong_and_out_of_the_margin(problem, made):
    layout, x, populations, _ = made
    logits = np.array(populations["npo"].logits)
    logits[2] = np.nan
    alive = example_records(problem, layout, x, populations | {"npo": Shown(np.delete(logits, 2, 0), "algorithm")}, 3)
    broken = example_records(problem, layout, x, populations | {"npo": Shown(logits, "algorithm")}, 3)
    for a, b in zip(alive, broken, strict=True):
        if isinstance(a, ExampleRow) and isinstance(b, ExampleRow) and a.candidate == "npo":
            assert b.margin == a.margin
            assert b.margins == a.margins
            assert b.right == pytest.approx(a.right * 6 / 7)


def test_of_members_that_are_all_broken_no_margins_are_kept(problem, made):
    layout, x, populations, _ = made
    broken = populations | {"npo": Shown(np.full_like(populations["npo"].logits, np.nan), "algorithm")}
    rows = [r for r in example_records(problem, layout, x, broken, 3) if isinstance(r, ExampleRow)]
    assert {r.spread for r in rows if r.candidate == "npo"} == {()}
    assert all(r.spread for r in rows if r.candidate != "npo")


def test_margins_beyond_half_precision_stay_finite():
    (kept,) = packed(np.array([[-1e9], [1e9]]))
    row = ExampleRow("p", "a", "algorithm", "forget", 0, "b", True, 1, 1, 1, 0, kept)
    assert row.spread[0] == -65504
    assert row.spread[-1] == 65504


def test_pictures_are_the_inputs(problem, made):
    records = made[3]
    pictures = [r for r in records if isinstance(r, ImageRow)]
    assert {(r.slice, r.example) for r in pictures} == {
        (r.slice, r.example) for r in records if isinstance(r, ExampleRow)
    }
    for row in pictures:
        part = problem.slices[row.slice]
        raw = (problem.train if part.split == "train" else problem.test).x[row.example, ..., 0]
        seen = np.asarray(Image.open(io.BytesIO(row.png)))
        assert seen.shape == raw.shape
        assert abs(seen / 255 - raw).max() < 0.003  # shapes reach from 0 to 1


def test_inputs_that_are_no_images_have_no_pictures(problem, made):
    layout, x, populations, _ = made
    records = example_records(problem, layout, x.reshape(len(x), -1), populations, 2)
    assert records
    assert not any(isinstance(r, ImageRow) for r in records)


def test_rows_come_back_from_the_folder(tmp_path, made):
    results.write(tmp_path, made[3], {})
    run = load(tmp_path)
    assert run.examples == [r for r in made[3] if isinstance(r, ExampleRow)]
    assert run.images == [r for r in made[3] if isinstance(r, ImageRow)]


def test_a_folder_older_than_the_tables_has_none(tmp_path):
    results.write(tmp_path, [], {})
    with results._open(tmp_path) as db:
        db.execute("DROP TABLE examples")
    assert results.read(tmp_path, ExampleRow) == []


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 12))
def test_labels_take_turns(labels, count):
    labels = np.array(labels)
    drawn = at_random(labels, count)
    assert len(drawn) == len(set(drawn)) == min(count, len(labels))
    taken = {label: int((labels[drawn] == label).sum()) for label in set(labels)}
    for label, n in taken.items():  # none is behind another unless it has no more
        assert n == (labels == label).sum() or n >= max(taken.values()) - 1
    assert set(drawn) <= set(at_random(labels, count + 1))


def test_no_row_crowds_the_others_out():
    differences = np.array([[9.0, 8.0, 7.0, 0.0, 0.0], [0.0, 0.0, 0.1, 0.3, 0.2]])
    assert list(worst(differences, 2)) == [0, 3]
    assert list(worst(differences, 4)) == [0, 1, 3, 4]


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 60))
def test_wilson_is_scipys(count, right):
    right = min(right, count)
    low, high = wilson(np.array(right / count), count)
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert low == pytest.approx(expected.low, abs=1e-6)
    assert high == pytest.approx(expected.high, abs=1e-6)
