"""Processes that are killed at any moment, and two at once: nothing finished is lost, nothing is trained twice."""

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from processes import environment

from unlearnax import data, models
from unlearnax.populations import fit
from unlearnax.recipes import Recipe
from unlearnax.store import Store
from unlearnax.store.upkeep import contents, verify
from unlearnax.types import World

RECIPE = Recipe(model_args=(("widths", (8,)),), epochs=40, batch_size=32)
# A pass at a time, a checkpoint after each, and a short sleep: so that it can be hit anywhere.
SCRIPT = """
import sys, time
from unlearnax import devices
devices.set_up(2)
if len(sys.argv) > 3:
    import jax
    jax.distributed.initialize(sys.argv[3], 2, int(sys.argv[4]))
from unlearnax import populations
populations.SEGMENT_SECONDS, populations.CHECKPOINT_SHARE = 0.0, float("inf")
if len(sys.argv) > 5:  # groups of so many members; the hosts need not agree on what fits
    populations._most_at_once = lambda *given: int(sys.argv[5]) + int(sys.argv[4])
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
from test_faults import train
def progress(label, done, total):
    print(label, done, flush=True)
    time.sleep(0.02)
train(sys.argv[2], progress)
print("finished", flush=True)
"""


def train(folder, progress=None, recipe=RECIPE):
    """The population of the tests, 4 members, in a store or (None) without one."""
    splits = data.load("digits")
    model = models.build(recipe, splits.inputs, splits.num_classes)
    world = World(splits.train.x, splits.train.y, np.arange(200))
    return fit(model, recipe, world, 4, store=folder and Store(folder), progress=progress)


def start(folder, *more):
    arguments = [sys.executable, "-c", SCRIPT, os.path.dirname(__file__), str(folder), *map(str, more)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment())


def passes(process):
    """Passes that a process trained, by what it printed."""
    return [int(line.split()[-1]) for line in process.stdout if line.startswith("member ")]


def check(folder):
    """What is in the store is sound, and to the bit what an undisturbed run gives."""
    kept = train(folder, lambda *now: pytest.fail("trained again"))
    jax.tree.map(np.testing.assert_array_equal, train(None).states, kept.states)
    assert all(sound for _, sound in verify(Store(folder)))
    assert {held.kind for held in contents(Store(folder))} <= {"members", "draft"}


def kill_until_finished(folder, seed):
    """Kills the process at random times after its first pass until one gets through; passes that were trained."""
    chance, trained = random.Random(seed), []
    for attempt in range(30):
        lines = []
        with start(folder) as process:
            for line in process.stdout:
                lines.append(line)
                if line.startswith("member ") and attempt < 3:
                    time.sleep(chance.uniform(0.0, 0.5))
                    os.kill(process.pid, signal.SIGKILL)
                    break
            lines += process.stdout.readlines()
        trained.append([int(line.split()[-1]) for line in lines if line.startswith("member ")])
        if "finished\n" in lines:
            return trained
    pytest.fail("no process got through")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))])
def test_kills_lose_at_most_one_segment(seed, tmp_path):
    trained = kill_until_finished(tmp_path, seed)
    check(tmp_path)
    for before, after in itertools.pairwise(trained):
        if before and after:  # goes on where it was, but for the pass whose checkpoint was not finished
            assert after[0] >= before[-1]


def test_two_at_once_train_one_population(tmp_path):
    with start(tmp_path) as one, start(tmp_path) as other:
        trained = sorted(passes(process) for process in (one, other))
        assert [process.wait(120) for process in (one, other)] == [0, 0]
    assert trained == [[], [*range(1, 41)]]
    check(tmp_path)


@contextlib.contextmanager
def two_hosts(folder, *more):
    """Two processes under jax.distributed, each with a store of its own, as on machines that share no disk."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    both = [start(folder / f"store{rank}", address, rank, *more) for rank in range(2)]
    try:
        yield both
    finally:
        for process in both:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("groups", [pytest.param((), marks=pytest.mark.slow), (2,)])  # the second does the first's too
def test_hosts_that_are_killed_go_on_together(groups, tmp_path):
    """The first host keeps what all have trained: killed together, in the first or second group, they lose one segment."""
    count = 40 * (2 if groups else 1)
    with two_hosts(tmp_path, *groups) as (first, second):
        told = (int(line.split()[-1]) for line in first.stdout if line.startswith("member "))
        before = [next(told) for _ in range(count - 40 + random.randint(3, 8))]
    with two_hosts(tmp_path, *groups) as (first, second):
        after = [passes(process) for process in (first, second)]
        assert [process.wait(120) for process in (first, second)] == [0, 0]
    assert after[0] == after[1]
    if groups:  # the first group is finished; of the second one what was left is told
        assert 1 <= before[-1] - 40 <= after[0][0] <= 40
    else:
        assert after[0][0] >= before[-1] > 1
    assert after[0][-1] == 40
    check(tmp_path / "store0")
