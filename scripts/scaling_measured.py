"""The part of `scaling.py` that is measured: peaks of this machine, seconds and bytes of small runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from scaling_paper import WORK, Section, Work, built, si


def cpu_seconds(run: Callable[[], object]) -> float:
    """Processor seconds of a call over the devices: what it takes where nothing else runs, on a busy machine too."""
    import jax

    start = time.process_time()
    run()
    return (time.process_time() - start) / jax.local_device_count()


def peaks(rounds: int) -> tuple[float, float]:
    """Float32 FLOP/s of one large product, bytes a second read and written by scaling an array; on all devices at once."""
    import jax
    import jax.numpy as jnp

    from unlearnax.members import Prepared

    count, size, long = jax.local_device_count(), 1024, 2**24
    a, b = jnp.ones((count, size, size), jnp.float32), jnp.ones((count, long), jnp.float32)
    product = Prepared(lambda one, _: jax.lax.fori_loop(0, 10, lambda i, x: x @ one * 1e-3, one), a, (), "map")
    scaled = Prepared(lambda one, _: one * 1.5, b, (), "map")
    best = lambda run: min(cpu_seconds(run) for _ in range(rounds + 1))  # noqa: E731
    return (
        count * 10 * 2 * size**3 / best(lambda: product(a, ())),
        count * 2 * 4 * long / best(lambda: scaled(b, ())),
    )


class Case(NamedTuple):
    """A timed training run.  like: the case whose share of the rate its prediction takes."""

    work: Work
    rows: int
    passes: int
    members: int
    like: str
    why: str


def cases() -> dict[str, Case]:
    """What is timed, predictions taking their share of the matmul rate from one case of each network."""
    mlp, cnn, res = (WORK[n] for n in ("digits, MLP 64-128-10", "Fashion-MNIST, CNN 16-32-32", "CIFAR-10, ResNet-9"))
    wide = lambda width: mlp._replace(args=(("widths", (width,)),))  # noqa: E731
    small = res._replace(batch=32)
    m, c, r = "MLP, 64 members", "CNN, 4 members", "ResNet-9, batch 32"
    return {
        m: Case(mlp, 1400, 4, 64, m, "reference"),
        "MLP, 8 members": Case(mlp, 1400, 4, 8, m, "members"),
        "MLP, 512 members": Case(mlp, 1400, 4, 512, m, "members"),
        "MLP, half of the rows": Case(mlp, 700, 4, 64, m, "world"),
        "MLP of width 512": Case(wide(512), 1400, 4, 64, m, "model size"),
        c: Case(cnn, 256, 2, 4, c, "reference"),
        "CNN, 16 members": Case(cnn, 256, 2, 16, c, "members"),
        "CNN 32-64-64": Case(cnn._replace(args=(("widths", (32, 64, 64)),)), 256, 2, 4, c, "model size"),
        r: Case(small, 64, 1, 2, r, "reference"),
        "ResNet-9, batch 64": Case(small._replace(batch=64), 64, 1, 2, r, "batch"),
    }  # fmt: skip


def timed(case: Case) -> Callable[[], float]:
    """Compiles a case; each call trains its members anew and returns the seconds."""
    import numpy as np

    from unlearnax import batching
    from unlearnax.members import Prepared, member_keys, run_members
    from unlearnax.recipes import Recipe
    from unlearnax.training import make_training

    rng = np.random.default_rng(0)
    capacity = max(case.rows, 1400 if case.work.model == "mlp" else case.rows)
    x = rng.normal(size=(capacity, *case.work.shape)).astype(np.float32)
    rows = batching.subset(np.arange(case.rows), capacity)
    recipe = Recipe(
        model=case.work.model,
        model_args=case.work.args,
        epochs=case.passes,
        batch_size=case.work.batch,
        learning_rate=1e-3,
    )
    bound = make_training(recipe, built(case.work)[0])
    keys = member_keys(0, 0, range(case.members))
    init = lambda key, _: bound.init(key)  # noqa: E731
    begin = lambda: run_members(init, keys, (), "map")  # noqa: E731
    shared = (x, rng.integers(0, 10, capacity).astype(np.int32), rows, (np.int32(0), np.int32(case.passes)))
    segment = lambda both, shared: bound.segment(both[1][0], both[0], *shared)[0]  # noqa: E731
    program = Prepared(segment, (keys,), shared, "map", begin())

    def once() -> float:
        state = begin()
        return cpu_seconds(lambda: program((keys,), shared, state))

    return once


def flops_of(case: Case) -> float:
    """Model FLOPs of a case."""
    from unlearnax.costs import member

    return case.members * member(*built(case.work), case.work.batch).run_flops(case.rows, case.passes)


def timings(rounds: int, rate: float) -> tuple[Section, dict[str, float]]:
    """Predicted and measured seconds, and the share of the matmul rate that each reference reaches."""
    everything = cases()
    runs = {name: timed(case) for name, case in everything.items()}
    took = {name: [] for name in everything}
    for _ in range(rounds + 1):  # the first call warms up
        for name, run in runs.items():
            took[name].append(run())
    best = {name: min(times) for name, times in took.items()}
    shares = {name: flops_of(case) / best[name] / rate for name, case in everything.items() if case.like == name}
    rows = []
    for name, case in everything.items():
        flops = flops_of(case)
        predicted = flops / rate / shares[case.like]
        rows.append((
            name, case.why, si(flops / case.members), f"{1e3 * best[name] / case.members:.3g}",
            f"{100 * flops / best[name] / rate:.0f} %", "–" if case.like == name else f"{best[name] / predicted:.2f}",
        ))  # fmt: skip
    columns = ("case", "what differs", "FLOPs a member", "ms a member", "share of matmul rate", "measured ÷ predicted")
    return Section("seconds", columns, rows), shares


PROBE = """
import ctypes, gc, json, re, sys
import unlearnax
unlearnax.set_up(1)
import jax
import numpy as np
from unlearnax import batching, models
from unlearnax.costs import member
from unlearnax.members import Prepared, member_keys
from unlearnax.populations import fit
from unlearnax.recipes import Recipe
from unlearnax.training import make_training
from unlearnax.types import InputSpec, World
plan, members = sys.argv[1], int(sys.argv[2])
inputs = InputSpec((64,))
recipe = Recipe(model_args=(("widths", (512,)),), epochs=2, batch_size=64)
model = models.build(recipe, inputs, 10)
world = World(np.ones((128, 64), np.float32), np.zeros(128, np.int32), np.arange(128))
bound = make_training(recipe, model)
keys = member_keys(0, 0, range(members))
state = jax.tree.map(lambda a: np.zeros((members, *a.shape), a.dtype), jax.eval_shape(bound.init, keys[0]))
shared = (world.x, world.y, batching.subset(world.index), (np.int32(0), np.int32(1)))
segment = lambda both, s: bound.segment(both[1][0], both[0], *s)[0]
compiled = Prepared(segment, (keys,), shared, plan, state).bytes()
del state
def status(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read()).group(1))
fit(model, recipe, world, members, plan=plan)  # compiles
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")  # the peak starts over
before = status("VmRSS")
fit(model, recipe, world, members, plan=plan)
one = member(model, inputs, 64)
width = members if plan == "vmap" else int(plan.partition(":")[2] or 1)
print(json.dumps({"compiled": compiled, "peak": status("VmHWM") - before, "state": one.state,
                  "predicted": one.training_bytes(members, width),
                  "rest": width * (one.working + one.state * (width < members))}))
"""


def memory() -> Section:
    """Bytes as predicted, as the compiler counts them, and as a process grows that trains on one device."""
    rows = []
    for plan, members in (("map", 16), ("map", 512), ("vmap:8", 128), ("vmap", 128)):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("XLA_")}
        done = subprocess.run(
            [sys.executable, "-c", PROBE, plan, str(members)], env=clean, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        found = json.loads(done.stdout)
        states = (found["peak"] - found["rest"]) / (members * found["state"])
        rows.append((plan, str(members), *(f"{found[n] / 2**20:.1f}" for n in ("predicted", "compiled", "peak")),
                     f"{found['rest'] / 2**20:.1f}", f"{states:.1f}"))  # fmt: skip
    columns = (
        "plan", "members", "predicted, MiB", "compiler's count, MiB", "growth of the process, MiB",
        "of it for members at work, MiB", "the rest in states of all members",
    )  # fmt: skip
    return Section("memory", columns, rows)
