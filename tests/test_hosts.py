"""Sharing members out over processes: the arithmetic, and two real processes under jax.distributed."""

import socket
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import environment

from unlearnax import hosts

WORKER = """
import sys
import unlearnax
unlearnax.set_up(int(sys.argv[3]))
import jax
processes, rank = int(sys.argv[1]), int(sys.argv[2])
if processes > 1:
    jax.distributed.initialize(f"127.0.0.1:{sys.argv[4]}", processes, rank)
import numpy as np
from unlearnax import algorithms, data, models, problems
from unlearnax.populations import fit, predict
from unlearnax.recipes import Recipe
from unlearnax.store import Store
from unlearnax.types import World
from unlearnax.unlearning import unlearn
assert jax.process_count() == processes
splits = data.load("digits")
recipe = Recipe(model_args=(("widths", (8,)),), epochs=2, batch_size=64)
model = models.build(recipe, splits.inputs, splits.num_classes)
world = World(splits.train.x, splits.train.y, np.arange(len(splits.train.x)))
# A store of its own for each process, as on machines that share no disk.
population = fit(model, recipe, world, 5, store=Store(f"{sys.argv[5]}-store{rank}"))
again = fit(model, recipe, world, 7, store=Store(f"{sys.argv[5]}-store{rank}"))
done = unlearn(algorithms.ALGORITHMS["fine_tune"], model, population.states, problems.concept(splits, 3, 0.5), {"epochs": 1})
found = [predict(model, each, splits.test.x[:20]) for each in (population.states, again.states, done.states)]
np.savez(f"{sys.argv[5]}-{rank}.npz", *found)
"""


@given(st.integers(0, 30), st.integers(1, 40), st.integers(1, 9))
def test_shares_cover_every_member_once_in_order(start, count, processes):
    members = range(start, start + count)
    each = -(-count // processes)
    together: list[int] = []
    for rank in range(processes):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("jax.process_count", lambda: processes)
            patch.setattr("jax.process_index", lambda rank=rank: rank)
            mine = hosts.share(members)
            assert 1 <= len(mine) <= each
            together += list(hosts.padded(np.asarray(mine), members))
    assert len(together) == each * processes
    assert together[:count] == list(members)


def run(folder, name, processes, devices):
    """Predictions by each process of one run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, *map(str, (processes, rank, devices, port, folder / name))],
            env=environment(UNLEARNAX_CACHE=str(folder / "cache")), stderr=subprocess.PIPE, text=True,
        )
        for rank in range(processes)
    ]  # fmt: skip
    try:
        errors = [process.communicate(timeout=120)[1] for process in started]
    finally:  # where one fails, the other waits for it
        for process in started:
            process.kill()
            process.communicate()
    assert [process.returncode for process in started] == [0] * processes, errors
    return [list(np.load(folder / f"{name}-{rank}.npz").values()) for rank in range(processes)]


@pytest.mark.parametrize(
    ("processes", "devices"), [(2, 2), *(pytest.param(1, n, marks=pytest.mark.slow) for n in (2, 8))]
)
def test_populations_are_those_of_one_device(processes, devices, alone, tmp_path):
    """Trained, grown and unlearned; plans on 2 and 8 devices of one process are in test_device_counts.py too."""
    for each in run(tmp_path, "shared", processes, devices):
        assert [a.shape[0] for a in each] == [5, 7, 5]
        for a, b in zip(each, alone, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    (found,) = run(tmp_path_factory.mktemp("alone"), "alone", 1, 1)
    return found
