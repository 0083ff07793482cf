"""What the tests of experiment files share: every size builds, and claims name what runs hold."""

import dataclasses
from pathlib import Path

from unlearnax import plugins
from unlearnax.claims import NO_NUMBER, At, judge
from unlearnax.experiment import build_problems, check_problems, resolve, run
from unlearnax.report.load import Run, load

ROOT = Path(__file__).parent.parent.parent
HERE = ("digits", "modular")  # data that are there on every machine


def load_experiment(name):
    """The module of an experiment file."""
    return plugins.load_file(str(ROOT / "experiments" / f"{name}.py"))


def check_sizes(module):
    """All sizes are there; specs of one seed have distinct names, resolve and have problems; claims name runs of theirs."""
    assert list(module.SIZES) == ["small", "medium", "full"]
    for size, experiments in module.SIZES.items():
        first = [each for each in experiments if each.seed == 0]
        assert len({(each.name, each.seed) for each in experiments}) == len(experiments)
        assert {each.seed for each in experiments} == ({0} if size == "small" else {0, 1, 2})
        for experiment in first:
            if experiment.dataset in HERE:
                content = resolve(experiment)
                check_problems(content, build_problems(experiment, content.splits, dry=True))
        empty = {each.name: Run.of([]) for each in first}
        for claim in module.CLAIMS:
            (found,) = judge(claim, {0: empty}).values()
            assert found.outcome == NO_NUMBER
            assert not found.note.startswith("no run"), (size, claim.text, found.note)


def check_numbers(module, runs):
    """Every claim of a file finds its numbers in the runs of one seed, by name."""
    for claim in module.CLAIMS:
        (found,) = judge(claim, {0: runs}).values()
        assert found.outcome != NO_NUMBER, (claim.text, found.note)


def number(runs, metric, candidate, slice="", *, oracle="", **where):
    """One number of the runs."""
    return At(metric, candidate, oracle, slice, **where)(runs).value


def smoke(module, experiment, folder, **changes):
    """Runs one variant, changed; the findings of those claims that read no other one, and the run by its name."""
    changed = dataclasses.replace(experiment, **{"members": 3, "store": False} | changes)
    run(changed, folder)
    runs = {changed.name: load(folder)}
    found = [judge(claim, {0: runs})[0] for claim in module.CLAIMS]
    missing = [each.note for each in found if each.outcome == NO_NUMBER and not each.note.startswith("no run")]
    assert not missing
    return [each for each in found if each.outcome != NO_NUMBER], runs
