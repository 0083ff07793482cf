"""Where a sweep's worker is while it neither compiles nor runs programs, by looking at its threads every few milliseconds.

    python scripts/idle_time.py experiments/sweep_digits.py

The sweep runs in this process, with a cache folder of its own that is empty.  Each look sorts the moment: compiling (the
main thread is inside JAX's tracing, lowering or compiling), executing (a thread of XLA runs, or the main thread sleeps until
a program ends, or for anything else that our code waits for), else idle; the places in our code that idle moments fall on
follow.  The ledger's writes, which are a driver's in a sweep from the command line, count as idle here; a worker's start is
not in it.  Linux only.
"""

import collections
import os
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import tyro

from unlearnax import devices

EVERY = 0.003  # seconds
PACKAGE = str(Path(__file__).parent.parent / "unlearnax")
COMPILING = {
    "trace_to_jaxpr", "lower_jaxpr_to_module", "compile_or_get_cached", "backend_compile_and_load", "trace", "lower",
    "compile",
}  # fmt: skip


class Looks:
    """Seconds by kind, and idle ones by place, as a thread sees them while the context lasts.

    A look counts for the time since the last one: where the main thread runs Python, looks come seldom.
    """

    def __init__(self) -> None:
        self.kinds: collections.defaultdict[str, float] = collections.defaultdict(float)
        self.places: collections.defaultdict[str, float] = collections.defaultdict(float)
        self._main, self._over = threading.main_thread(), threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Looks":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        me, last = threading.get_native_id(), time.perf_counter()
        while not self._over.wait(EVERY):
            runs = any(state == "R" for name, state in map(_thread, _others(me, self._main.native_id)) if "XLA" in name)
            main = _thread(self._main.native_id)[1]
            frames = traceback.walk_stack(sys._current_frames()[self._main.ident or 0])
            stack = [(frame.f_code.co_filename, frame.f_code.co_name, line) for frame, line in frames]
            now = time.perf_counter()
            passed, last = now - last, now
            if any(name in COMPILING and f"{os.sep}jax{os.sep}" in file for file, name, _ in stack):
                self.kinds["compiling"] += passed
            elif runs or (main == "S" and (PACKAGE in stack[0][0] or f"{os.sep}jax{os.sep}" in stack[0][0])):
                self.kinds["executing"] += passed
            else:
                self.kinds["idle"] += passed
                ours = [f"{Path(file).stem}.{name}:{line}" for file, name, line in stack if PACKAGE in file]
                self.places[" < ".join(ours[:3])] += passed


def _others(*but: int | None) -> list[int]:
    return [int(each) for each in os.listdir("/proc/self/task") if int(each) not in but]


def _thread(number: int | None) -> tuple[str, str]:
    """A thread's name and state, as Linux has them."""
    try:
        found = Path(f"/proc/self/task/{number}/stat").read_text()
    except OSError:  # it has ended
        return "", ""
    return found[found.index("(") + 1 : found.rindex(")")], found[found.rindex(")") + 2]


def main(spec: tyro.conf.Positional[Path], places: int = 12) -> None:
    """Runs a sweep and tells.

    Args:
        spec: a file that defines SWEEP.
        places: how many to show.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UNLEARNAX_CACHE"] = f"{folder}/cache"
        os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
        devices.set_up()

        from rich.console import Console

        from unlearnax.sweeps.command import load_sweep
        from unlearnax.sweeps.driver import run_sweep
        from unlearnax.sweeps.lockstep import LockstepExecutor
        from unlearnax.sweeps.plan import make_plan
        from unlearnax.sweeps.show import Show

        plan = make_plan(load_sweep(spec))
        start = time.perf_counter()
        sys.setswitchinterval(EVERY / 10)  # the thread that looks waits less for the one that runs Python
        with Looks() as looks:
            tally = run_sweep(plan, LockstepExecutor(plan), Path(folder) / "out", show=Show(Console(quiet=True)))
        wall = time.perf_counter() - start
    print(f"{tally.done} results, {len(tally.trained)} populations trained in {wall:.1f} s")
    for kind in ("compiling", "executing", "idle"):
        print(f"{kind:10} {looks.kinds[kind]:6.1f} s  {looks.kinds[kind] / sum(looks.kinds.values()):5.1%}")
    for place, seconds in sorted(looks.places.items(), key=lambda each: -each[1])[:places]:
        print(f"  {seconds:5.2f} s  {place}")


if __name__ == "__main__":
    tyro.cli(main)
