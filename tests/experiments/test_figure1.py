"""One star and two circles; the claims find their numbers; the picture is drawn."""

import dataclasses
from pathlib import Path

import pytest

from unlearnax import plugins
from unlearnax.claims import NO_NUMBER, judge
from unlearnax.experiment import build_problems, check_problems, resolve, run
from unlearnax.report import write_figures
from unlearnax.report.load import load

FILE = plugins.load_file(Path(__file__).parents[2] / "experiments" / "figure1.py")


@pytest.mark.parametrize("size", ["small", "medium"])
def test_the_forget_set_is_one_star_and_two_circles(size):
    given = FILE.SIZES[size]
    seen = set()
    for experiment in given if isinstance(given, tuple) else (given,):
        content = resolve(experiment)
        (problem,) = build_problems(experiment, content.splits)
        check_problems(content, [problem])
        names = [problem.class_names[label] for label in problem.train.y[problem.forget]]
        assert sorted(names) == ["circle", "circle", "star"]
        assert len(problem.concept) == FILE.CIRCLES + FILE.STARS
        seen.add(problem.forget.tobytes())
    assert len(seen) == (3 if size == "medium" else 1)


def test_claims_and_picture_of_a_short_run(tmp_path):
    experiment = dataclasses.replace(
        FILE.SIZES["small"], members=3, store=False, algorithms=FILE.SIZES["small"].algorithms[:1],
        dataset_args=(("per_class", (FILE.CIRCLES, 50, 50, FILE.STARS)), ("test_per_class", 10)),
        recipe=dataclasses.replace(FILE.MEDIUM.recipe, epochs=2),
    )  # fmt: skip
    run(experiment, tmp_path)
    runs = {experiment.name: load(tmp_path)}
    for claim in FILE.CLAIMS:
        (found,) = judge(claim, {0: runs}).values()
        assert found.outcome != NO_NUMBER, found.note
    for label in ("circle", "star"):  # no label of the concept is there to be learned
        assert FILE.Examples(FILE.UNLEARNED, "forget", label)(runs).value == 0
    assert any(path.name.startswith("examples-shapes") for path in write_figures(tmp_path))
