"""One population whatever the plan and however many devices: 1, 2 and 8, which divide no number of members here."""

import subprocess
import sys

import numpy as np
import pytest
from processes import environment

PLANS = ("solo", "map", "vmap", "vmap:2")
DEVICES = (1, 2, 8)
MEMBERS, KEPT = 5, 3
# What rounding grows to in 15 steps, far below what the steps move.
RTOL, ATOL = 1e-4, 1e-5

WORKER = """
import sys
import unlearnax
unlearnax.set_up(int(sys.argv[1]))
import jax
import numpy as np
from unlearnax import models
from unlearnax.populations import fit, predict, untrained
from unlearnax.recipes import Recipe
from unlearnax.store import Store
from unlearnax.types import InputSpec, World
devices, kept, members, folder = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
assert jax.local_device_count() == devices
rng = np.random.default_rng(0)
y = np.arange(60, dtype=np.int32) % 3
world = World((rng.normal(size=(60, 5)) + y[:, None]).astype(np.float32), y, np.arange(50))
recipe = Recipe(model_args=(("widths", (6,)),), epochs=None, steps=15, batch_size=8, learning_rate=0.1)
model = models.build(recipe, InputSpec((5,)), 3)
found = {}
def keep(name, tree):
    for i, leaf in enumerate(jax.tree.leaves(tree)):
        found[f"{name}/{i}"] = np.asarray(leaf)
for plan in sys.argv[5].split(","):
    states = fit(model, recipe, world, members, plan=plan).states
    keep(f"{plan}/trained", states)
    keep(f"{plan}/logits", predict(model, states, world.x[50:], plan=plan, chunk=4))
if devices == 1:  # one process trains a few, another goes on from them
    keep("grown", fit(model, recipe, world, kept, plan="map", store=Store(f"{folder}/store")).states)
    keep("start", untrained(model, recipe, members))
if devices == 8:
    keep("grown", fit(model, recipe, world, members, plan="map", store=Store(f"{folder}/store")).states)
np.savez(f"{folder}/{devices}.npz", **found)
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """device count -> name -> the leaves of that tree, each `[M, ...]`."""
    folder = tmp_path_factory.mktemp("devices")

    def start(devices):
        arguments = map(str, (devices, KEPT, MEMBERS, folder, ",".join(PLANS)))
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments], stderr=subprocess.PIPE, text=True,
            env=environment(UNLEARNAX_CACHE=str(folder / "cache")),
        )  # fmt: skip

    for together in ((1, 2), (8,)):
        started = [start(devices) for devices in together]
        try:
            errors = [process.communicate(timeout=300)[1] for process in started]
        finally:
            for process in started:
                process.kill()
                process.communicate()
        assert [process.returncode for process in started] == [0] * len(started), errors

    def leaves(arrays):
        grouped = {}
        for name, array in arrays.items():
            grouped.setdefault(name.rpartition("/")[0], []).append(array)
        return grouped

    return {devices: leaves(np.load(folder / f"{devices}.npz")) for devices in DEVICES}


def distance(a, b):
    return max(float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True))


def test_every_member_is_there_once_and_moved(found):
    trained, start = found[1]["solo/trained"], found[1]["start"]
    assert {len(leaf) for leaf in trained} == {MEMBERS}
    moved = [np.abs(a - b).reshape(MEMBERS, -1).max(1) for a, b in zip(trained, start, strict=True) if a.ndim > 1]
    assert np.min(moved) > 100 * ATOL
    kernel = max(trained, key=np.size)
    apart = [np.abs(kernel[i] - kernel[j]).max() for i in range(MEMBERS) for j in range(i)]
    assert min(apart) > 1000 * ATOL  # so that exchanged members would not pass below


@pytest.mark.parametrize("devices", DEVICES)
@pytest.mark.parametrize("part", ["trained", "logits"])
def test_map_is_solo_to_the_bit(found, devices, part):
    assert distance(found[devices][f"map/{part}"], found[devices][f"solo/{part}"]) == 0.0


@pytest.mark.parametrize("devices", DEVICES)
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("part", ["trained", "logits"])
def test_every_plan_on_any_devices_is_the_same_population(found, devices, plan, part):
    for a, b in zip(found[devices][f"{plan}/{part}"], found[1][f"solo/{part}"], strict=True):
        np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL)


def test_a_population_begun_on_one_device_grows_on_eight(found):
    begun, grown = found[1]["grown"], found[8]["grown"]
    assert distance([leaf[:KEPT] for leaf in grown], begun) == 0.0
    for a, b in zip(grown, found[1]["map/trained"], strict=True):
        np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL)
