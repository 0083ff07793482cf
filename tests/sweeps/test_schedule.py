"""Dealing out: whatever workers do, each result is done once or failed once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_sweep import BASE

from unlearnax.sweeps.plan import FIRST, Task
from unlearnax.sweeps.schedule import MOST_IN_A_BATCH, Schedule


def make_tasks(grounds, cells):
    """A shared population, one of each ground's own, cells and controls."""
    tasks = [Task("shared", "population", BASE, "g0", "shared", "original")]
    for g in range(grounds):
        own = Task(f"own{g}", "population", BASE, f"g{g}", f"own{g}", "retrain reference")
        needs = ("shared", own.id)
        results = [Task(f"g{g}c{i}", "cell", BASE, f"g{g}", f"c{i}", needs=needs) for i in range(cells)]
        tasks += [own, *results, Task(f"g{g}controls", "controls", BASE, f"g{g}", "controls", needs=needs)]
    return {task.id: task for task in tasks}


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 4), st.integers(1, 3), st.integers(0, 40))
def test_every_result_once(data, workers, grounds, cells):
    tasks = make_tasks(grounds, cells)
    results = {name for name, task in tasks.items() if task.kind not in FIRST}
    settled = data.draw(st.sets(st.sampled_from(sorted(results)), max_size=3))
    schedule = Schedule(tasks, settled, workers)
    hands, done, failed, numbers, deaths = {}, [], [], iter(range(10**6)), 0
    alive = [f"w{next(numbers)}" for _ in range(workers)]
    for _ in range(10_000):
        if schedule.finished:
            break
        worker = (
            data.draw(st.sampled_from(alive)) if data.draw(st.integers(0, 9)) == 0 else alive[len(done) % len(alive)]
        )
        if not hands.get(worker):
            hands[worker] = schedule.next(worker)
            assert len(hands[worker]) <= MOST_IN_A_BATCH
            assert len({task.ground for task in hands[worker]}) <= 1
            assert all(need in done for task in hands[worker] for need in task.needs) or workers == 1
            assert not {t.id for t in hands[worker]} & {t.id for w in alive if w != worker for t in hands.get(w, [])}
            if not hands[worker]:
                alive.append(alive.pop(0))
                worker = next((w for w in alive if hands.get(w)), worker)
                if not hands.get(worker):
                    continue
        task = hands[worker][0]
        schedule.begun(worker, task.id)
        what = data.draw(st.sampled_from(["done"] * 8 + ["failed", "died", "ground"]))
        if what == "died":
            deaths += 1
            failed += [f.task.id for f in schedule.died(worker, "SIGKILL")]
            hands.pop(worker)
            alive.remove(worker)
            alive.append(f"w{next(numbers)}")
        elif what == "ground" and task.kind not in FIRST:
            failed += [f.task.id for f in schedule.failed(worker, task.ground, "no ground")]
            hands[worker] = []
        elif what == "failed":
            failed += [f.task.id for f in schedule.failed(worker, task.id, "an error")]
            hands[worker] = [t for t in hands[worker][1:] if t.id not in failed]
        else:
            assert schedule.done(worker, task.id) is task
            done.append(task.id)
            hands[worker].pop(0)
    assert schedule.finished
    assert schedule.running == 0
    assert len(done) == len(set(done))
    assert len(failed) == len(set(failed))
    assert (set(done) & results) | set(failed) == results - settled
    assert not set(done) & set(failed)
    if workers == 1:
        assert not {"shared", "own0"} & set(done)  # the one worker trains as it lays its ground


def test_populations_come_first_and_only_those_needed():
    tasks = make_tasks(2, 3)
    settled = [name for name, task in tasks.items() if task.ground == "g1" and task.kind not in FIRST]
    schedule = Schedule(tasks, settled, 2)
    assert [task.id for task in schedule.next("a")] == ["shared"]
    assert [task.id for task in schedule.next("b")] == ["own0"]
    assert "own1" not in schedule.waiting
    schedule.done("b", "own0")
    assert schedule.next("b") == []  # its cells wait for the other worker
    schedule.done("a", "shared")
    assert [task.id for task in schedule.next("b")] == ["g0c0"]


def test_a_worker_stays_on_its_ground_and_others_go_elsewhere():
    tasks = make_tasks(2, 20)
    schedule = Schedule(tasks, [], 2)
    for name in ("shared", "own0", "own1"):
        schedule.next("a")
        schedule.done("a", name)
    first, second = schedule.next("a"), schedule.next("b")
    assert first[0].ground != second[0].ground
    for task in first:
        schedule.done("a", task.id)
    assert schedule.next("a")[0].ground == first[0].ground


def test_what_ends_its_worker_twice_is_given_up():
    schedule = Schedule(make_tasks(1, 3), [], 1)
    batch = schedule.next("a")
    schedule.begun("a", batch[0].id)
    assert schedule.died("a", "SIGKILL") == []
    again = schedule.next("b")
    assert again[0].id == batch[0].id
    schedule.begun("b", again[0].id)
    (failure,) = schedule.died("b", "SIGKILL")
    assert failure.task.id == batch[0].id
    assert failure.attempts == 2
    assert "SIGKILL" in failure.error
    assert schedule.next("c")[0].id != batch[0].id


def test_a_worker_that_begins_anew_gets_what_it_had():
    schedule = Schedule(make_tasks(1, 8), [], 1)
    batch = schedule.next("a")
    schedule.begun("a", batch[0].id)
    schedule.done("a", batch[0].id)
    schedule.begun("a", batch[1].id)
    again = schedule.next("a")  # its cluster started it again
    assert [task.id for task in again[: len(batch) - 1]] == [task.id for task in batch[1:]]
    assert len({task.id for task in again}) == len(again)
    assert schedule.running == len(again)


def test_what_needs_a_population_fails_with_it():
    schedule = Schedule(make_tasks(2, 2), [], 2)
    schedule.next("a")
    schedule.done("a", "shared")
    (task,) = schedule.next("a")
    assert task.id == "own0"
    lost = schedule.failed("a", "own0", "diverged")
    assert {failure.task.id for failure in lost} == {"g0c0", "g0c1", "g0controls"}
    assert {failure.error for failure in lost} == {"diverged"}
    assert {task.ground for task in schedule.waiting.values()} == {"g1"}


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_to_do(workers):
    tasks = make_tasks(1, 2)
    results = [name for name, task in tasks.items() if task.kind not in FIRST]
    assert Schedule(tasks, results, workers).finished
