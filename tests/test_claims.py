"""Checks read intervals, not points; claims are judged on every forget set; folders find their claims by themselves."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from unlearnax import claims, cli, results
from unlearnax.claims import INCONCLUSIVE, NO_NUMBER, NOT_REPRODUCED, REPRODUCED, At, Claim, Finding, Number
from unlearnax.report.claims import claims_table
from unlearnax.report.load import Run
from unlearnax.results import ExampleRow, ProblemRow, Row, VerdictRow


def problem(name="p", rate=0.1):
    return ProblemRow(name, rate, 0, "d", 1, 10, 20, 30, "oracle to oracle", False)


def row(value, low=None, high=None, *, candidate="do_nothing", metric="accuracy", slice="forget", name="p"):
    return Row(name, candidate, "algorithm", "", metric, "", slice, value, low, high)


def judged_by(check, *rows, problems=None):
    return check({"run": Run.of([*(problems or [problem()]), *rows])})


numbers = st.floats(-5, 5)


@given(numbers, st.floats(0, 2), st.floats(0, 2), numbers)
def test_a_bound_is_judged_by_the_whole_interval(value, down, up, bound):
    found = judged_by(claims.above(At("accuracy", slice="forget"), bound), row(value, value - down, value + up))
    if value - down > bound:
        assert found.outcome == REPRODUCED
    elif value + up <= bound:
        assert found.outcome == NOT_REPRODUCED
    else:
        assert found.outcome == INCONCLUSIVE
    assert found.number == Number(value, value - down, value + up)


@given(numbers, numbers, st.floats(0, 1), st.floats(0, 1))
def test_differences_and_means_add_in_quadrature(a, b, da, db):
    runs = {"run": Run.of([problem(), row(a, a - da, a + da), row(b, b - db, b + db, candidate="other")])}
    first, second = At("accuracy", slice="forget"), At("accuracy", "other", slice="forget")
    got = claims.difference(first, second)(runs)
    assert got.value == pytest.approx(a - b)
    assert (got.high - got.low) / 2 == pytest.approx(math.hypot(da, db))
    got = claims.mean([first, second])(runs)
    assert got.value == pytest.approx((a + b) / 2)
    assert (got.high - got.low) / 2 == pytest.approx(math.hypot(da, db) / 2)


def test_the_ends_of_a_difference_are_not_swapped():
    """First may be up to 2 lower and the second up to 3 higher: the difference up to √13 lower."""
    runs = {"run": Run.of([problem(), row(5, 3, 5), row(1, 1, 4, candidate="other")])}
    got = claims.difference(At("accuracy", slice="forget"), At("accuracy", "other", slice="forget"))(runs)
    assert got == pytest.approx((4, 4 - math.sqrt(13), 4))


def test_rates_find_their_problem():
    records = [problem("a", 0.1), problem("b", 0.5), row(0.2, name="a"), row(0.7, name="b")]
    runs = {"run": Run.of(records)}
    assert At("accuracy", slice="forget", rate=0.5)(runs).value == 0.7
    assert At("accuracy", slice="forget", rate=0.11)(runs).value == 0.2
    with pytest.raises(claims.Missing, match="no rate given"):
        At("accuracy", slice="forget")(runs)
    with pytest.raises(claims.Missing, match=r"rate 0\.3"):
        At("accuracy", slice="forget", rate=0.3)(runs)


def test_several_runs_need_a_name():
    runs = {"a": Run.of([problem(), row(0.2)]), "b": Run.of([problem(), row(0.7)])}
    assert At("accuracy", slice="forget", run="b")(runs).value == 0.7
    with pytest.raises(claims.Missing, match="no run"):
        At("accuracy", slice="forget")(runs)
    with pytest.raises(claims.Missing, match="no run 'c'"):
        At("accuracy", slice="forget", run="c")({"a": runs["a"]})


def test_counts_of_checks():
    rows = [row(0.9, 0.8, 1.0, candidate="x"), row(0.5, 0.4, 0.6, candidate="y"), row(0.1, 0.0, 0.2, candidate="z")]
    each = {name: claims.above(At("accuracy", name, slice="forget"), 0.5) for name in "xyz"}
    assert judged_by(claims.at_least(1, each), *rows) == Finding(REPRODUCED, Number(1, 1, 2), "of 3: x")
    assert judged_by(claims.at_least(2, each), *rows).outcome == INCONCLUSIVE
    assert judged_by(claims.all_of(each), *rows).outcome == NOT_REPRODUCED


def test_floors():
    at = At("energy/margin", slice="forget")
    measured = lambda value, low, floor: Row(  # noqa: E731
        "p", "do_nothing", "original", "", "energy/margin", "", "forget", value, low, value + 1, floor
    )
    assert judged_by(claims.at_floor(at), measured(0.1, -0.1, 0.1)).outcome == REPRODUCED
    assert judged_by(claims.at_floor(at), measured(0.2, 0.0, 0.1)).outcome == INCONCLUSIVE
    assert judged_by(claims.at_floor(at), measured(0.2, 0.15, 0.1)).outcome == NOT_REPRODUCED
    with pytest.raises(claims.Missing, match="no floor"):
        judged_by(claims.at_floor(at), measured(0.2, 0.1, None))


def test_a_ranking_by_what_is_known():
    rows = [row(value, candidate=name) for name, value in zip("abc", (0.9, 0.5, 0.1), strict=True)]
    known = {name: claims.constant(i) for i, name in enumerate("abc")}
    found = {name: At("accuracy", name, slice="forget") for name in "abc"}
    assert judged_by(claims.below(claims.rank_correlation(known, found)), *rows).number == Number(-1, -1, -1)


def test_verdicts():
    said = lambda words: VerdictRow("p", "x", "algorithm", "", words, "", 0.1, 8, None, 0, "")  # noqa: E731
    check = claims.verdict("x", "reaches untraining")
    assert judged_by(check, said("reaches untraining")).outcome == REPRODUCED
    assert judged_by(check, said("closer to untraining")).outcome == NOT_REPRODUCED
    assert judged_by(check, said("inconclusive")).outcome == INCONCLUSIVE


def test_rank_correlation():
    values = {"a": (1, 5), "b": (2, 3), "c": (3, 4), "d": (4, 1)}
    rows = [
        row(pair[i], pair[i] - 1e-6, pair[i] + 1e-6, candidate=name, metric=metric)
        for name, pair in values.items()
        for i, metric in enumerate(("m", "n"))
    ]
    sides = [{name: At(metric, name, slice="forget") for name in values} for metric in ("m", "n")]
    runs = {"run": Run.of([problem(), *rows])}
    got = claims.rank_correlation(*sides)(runs)
    expected = kendalltau([1, 2, 3, 4], [5, 3, 4, 1]).statistic
    assert got == pytest.approx((expected, expected, expected))
    wide = [row(pair[0], pair[0] - 9, pair[0] + 9, candidate=name, metric="m") for name, pair in values.items()]
    got = claims.rank_correlation(sides[0], sides[0])({"run": Run.of([problem(), *wide])})
    assert got.value == 1
    assert got.low < 0  # nothing is known of the ranking


@pytest.mark.parametrize("turned", [False, True], ids=["first", "second"])
@pytest.mark.parametrize(("other", "low", "high"), [((1, 2, 3, 4), 4 / 6, 1), ((4, 3, 2, 1), -1, -4 / 6)])
def test_a_pair_that_is_open_in_one_ranking(turned, other, low, high):
    """As in the page's test: the interval is that of all orders of the open pairs."""
    rows = [
        row(v, v - (v < 3) * 0.8, v + (v < 3) * 0.8, candidate=n, metric="m")
        for n, v in zip("abcd", (1, 2, 3, 4), strict=True)
    ]
    rows += [row(v, v, v, candidate=n, metric="n") for n, v in zip("abcd", other, strict=True)]
    sides = [{name: At(metric, name, slice="forget") for name in "abcd"} for metric in "mn"]
    found = claims.rank_correlation(*(sides[::-1] if turned else sides))({"run": Run.of([problem(), *rows])})
    assert (found.low, found.high) == pytest.approx((low, high))


def test_pairs_that_swap_are_named_only_where_intervals_are_apart():
    values = {"a": (1, 5), "b": (2, 3), "c": (2.05, 1)}
    rows = [
        row(v, v - 0.1, v + 0.1, candidate=n, metric=m)
        for n, pair in values.items()
        for m, v in zip("mn", pair, strict=True)
    ]
    sides = [{name: At(metric, name, slice="forget") for name in values} for metric in "mn"]
    found = judged_by(claims.swaps(*sides), *rows)
    assert found.outcome == REPRODUCED
    assert found.note == "2 of 3 pairs: a < b, a < c"  # b and c swap within the width of their intervals
    turned = [{name: claims.opposite(source) for name, source in side.items()} for side in sides]
    assert judged_by(claims.swaps(turned[0], sides[0]), *rows).note == "2 of 3 pairs: b < a, c < a"


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ({"a": (0, 1), "b": (2, 3)}, {"a": (0, 1), "b": (2, 3)}, NOT_REPRODUCED),
        ({"a": (0, 1), "b": (2, 3)}, {"a": (2, 3), "b": (0, 1)}, REPRODUCED),
        ({"a": (0, 2), "b": (1, 3)}, {"a": (2, 3), "b": (0, 1)}, INCONCLUSIVE),
        ({"a": (0, 1), "b": (2, 3)}, {"a": (1, 3), "b": (0, 2)}, INCONCLUSIVE),
        ({"a": (0, 1), "b": (1, 3)}, {"a": (2, 3), "b": (0, 1)}, INCONCLUSIVE),  # they touch
        ({"a": (0, 1), "b": (2, 3), "c": (5, 7)}, {"a": (0, 1), "b": (2, 3), "c": (2, 4)}, INCONCLUSIVE),
        ({"a": (0, 1), "b": (2, 3), "c": (5, 7)}, {"a": (2, 3), "b": (0, 1), "c": (0, 4)}, REPRODUCED),
        ({"a": (0, 1), "b": (2, 3), "c": (5, 7)}, {"a": (0, 1), "b": (2, 3), "c": (5, 7)}, NOT_REPRODUCED),
    ],
)
def test_whether_pairs_swap_is_open_where_intervals_overlap(first, second, outcome):
    rows = [
        row((low + high) / 2, low, high, candidate=name, metric=metric)
        for metric, side in (("m", first), ("n", second))
        for name, (low, high) in side.items()
    ]
    sides = [{name: At(metric, name, slice="forget") for name in first} for metric in "mn"]
    found = judged_by(claims.swaps(*sides), *rows)
    assert found.outcome == outcome
    assert ("1 overlap" in found.note) == (outcome == INCONCLUSIVE)


def test_a_check_for_the_algorithms_there_are():
    seen = []

    def make(names):
        seen.extend(names)
        return claims.above(At("accuracy", names[0], slice="forget"), 0.5)

    records = [row(0.2), dataclasses.replace(row(0.9, candidate="nothing"), kind="original")]
    assert judged_by(claims.of_algorithms(make), *records).outcome == NOT_REPRODUCED
    with pytest.raises(claims.Missing, match="no algorithms"):  # rather than nothing against the claim
        judged_by(claims.of_algorithms(lambda names: claims.all_of({})), *records[1:])
    assert seen == ["do_nothing"]  # which the rows here call an algorithm


def test_single_examples_by_class():
    rows = [
        ExampleRow("p", "npo", "algorithm", "forget", i, label, drawn, right, right - 0.1, right + 0.2, 0.0)
        for i, (label, drawn, right) in enumerate([("star", True, 0.2), ("circle", True, 0.6), ("circle", True, 0.4),
                                                   ("circle", False, 0.0)])
    ]  # fmt: skip
    runs = {"run": Run.of([problem(), *rows])}
    assert claims.Examples("npo", "forget", "circle")(runs) == pytest.approx((0.5, 0.4, 0.7))
    assert claims.Examples("npo", "forget")(runs) == pytest.approx((0.4, 0.3, 0.6))
    with pytest.raises(claims.Missing, match="square"):
        claims.Examples("npo", "forget", "square")(runs)


def claim(check):
    return Claim("text", "somebody 2026", "none", check)


def test_forget_sets_are_judged_apart_and_together():
    run = lambda value: {"run": Run.of([problem(), row(value)])}  # noqa: E731
    check = claim(claims.above(At("accuracy", slice="forget"), 0.5))
    found = claims.judge(check, {0: run(0.9), 1: run(0.8)})
    assert claims.together(found.values()) == REPRODUCED
    assert claims.together(claims.judge(check, {0: run(0.9), 1: run(0.1)}).values()) == INCONCLUSIVE
    found = claims.judge(claim(claims.above(At("accuracy", "nobody", slice="forget"))), {0: run(0.9)})
    assert found[0].outcome == NO_NUMBER
    assert "nobody" in found[0].note


FILE = """
from unlearnax.claims import At, Claim, above
CLAIMS = (Claim('forgets', 'me 2026', '0.5', above(At('accuracy', slice='forget'), 0.5)),)
"""


def written(folder, file, value, *, command="c", seed=0, size="small", **facts):
    """A run's folder, of an experiment that the file defines."""
    facts = {
        "origin": {"file": str(file), "size": size},
        "seed": seed,
        "experiment": "mine",
        "command": command,
    } | facts
    results.write(folder, [problem(), row(value)], facts)
    return folder


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def test_folders_find_the_claims_of_their_file(tmp_path, file):
    folders = [written(tmp_path / str(seed), file, value, seed=seed) for seed, value in ((0, 0.9), (1, 0.2))]
    results.write(tmp_path / "other", [problem(), row(0.1)], {"experiment": "no file"})
    (found,), notes = claims.judge_folders([*folders, tmp_path / "other"])
    assert (found.experiment, found.size, found.flags, found.commands) == ("mine", "small", "", ("c",))
    assert [each.outcome for each in found.findings.values()] == [REPRODUCED, NOT_REPRODUCED]
    assert found.outcome == INCONCLUSIVE
    assert notes == []


def test_runs_with_other_fields_are_judged_apart(tmp_path, file):
    commands = [
        "run mine.py",
        "run mine.py --members 8",
        "run mine.py --seed 1 --members=8 --out x",
        "run mine.py --seed 1",
    ]
    folders = [
        written(tmp_path / str(i), file, 0.9 - 0.6 * ("members" in command), command=command, seed=i // 2)
        for i, command in enumerate(commands)
    ]
    found, _ = claims.judge_folders(folders)
    assert [(each.flags, each.outcome) for each in found] == [("", REPRODUCED), ("--members 8", NOT_REPRODUCED)]
    assert [each.commands for each in found] == [(commands[0], commands[3]), (commands[1], commands[2])]
    assert [list(each.findings) for each in found] == [[0, 1], [0, 1]]
    assert [str(cell) for cell in claims_table(found).columns[0].cells] == ["mine\nsmall", "mine\nsmall --members 8"]


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("unlearnax run a.py --size small --seed=3 --out d --plan member --no-store", ""),
        ("unlearnax run a.py --recipe.epochs 3 --members 8", "--members 8 --recipe.epochs 3"),
        ("unlearnax run a.py --members 8 --size x --recipe.epochs=3", "--members 8 --recipe.epochs 3"),
        ("unlearnax run a.py --discovery_rates 0.1 0.5 --seed 1", "--discovery-rates 0.1 0.5"),
        ("unlearnax --distributed auto run a.py --metrics 'my file.py:f'", "--metrics 'my file.py:f'"),
        ("", ""),
    ],
)
def test_flags_that_change_what_is_measured(command, flags):
    assert claims.overridden(command) == flags


def test_sizes_are_judged_apart(tmp_path, file):
    folders = [written(tmp_path / size, file, 0.9, size=size) for size in ("small", "full")]
    assert [each.size for each in claims.judge_folders(folders).judged] == ["small", "full"]


def test_a_file_is_the_same_however_it_is_called(tmp_path, file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("mine.py", "./mine.py", str(file))
    folders = [written(tmp_path / str(seed), name, 0.9, seed=seed) for seed, name in enumerate(names)]
    (found,), _ = claims.judge_folders(folders)
    assert list(found.findings) == [0, 1, 2]


def test_of_two_runs_the_later_date_counts(tmp_path, file):
    late = written(tmp_path / "a", file, 0.9, date="2026-02-01T00:00:00+00:00")
    early = written(tmp_path / "b", file, 0.1, date="2026-01-01T00:00:00+00:00", command="of the early one")
    for folders in ([late, early], [early, late]):
        (found,), _ = claims.judge_folders(folders)
        assert found.outcome == REPRODUCED
        assert found.commands == ("c",)


def test_a_file_that_is_gone_is_one_line_and_the_others_are_judged(tmp_path, file, capsys):
    gone = written(tmp_path / "gone", tmp_path / "moved.py", 0.9)
    here = written(tmp_path / "here", file, 0.9)
    (found,), (note,) = claims.judge_folders([gone, here])
    assert found.outcome == REPRODUCED
    assert str(gone) in note
    assert "moved.py" in note
    cli.Claims((gone, here))()
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == note
    assert "forgets" in said
