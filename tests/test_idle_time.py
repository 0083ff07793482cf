"""scripts/idle_time.py tells compiling, executing and idle moments apart."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from unlearnax import members, plugins

SCRIPT = Path(__file__).parent.parent / "scripts" / "idle_time.py"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


def test_moments_are_told_apart(monkeypatch):
    script = plugins.load_file(SCRIPT)
    monkeypatch.setattr(script, "PACKAGE", str(Path(__file__).parent))  # this file stands for the package
    found = {}

    def look(kind, what):
        with script.Looks() as looks:
            what()
        found[kind] = looks

    def compiles():
        for n in range(5):
            jax.jit(lambda x, n=n: sum(jnp.sin(x + i) for i in range(60 + n)))(jnp.ones(3 + n))

    product = jax.jit(lambda a: jax.lax.fori_loop(0, 200, lambda i, b: b @ a / 500, a))
    a = jax.block_until_ready(product(jnp.ones((500, 500))))
    members.let_programs_go(0)
    look("idle", lambda: sum(i * i for i in range(5_000_000)))
    look("compiling", compiles)
    look("executing", lambda: [jax.block_until_ready(product(a)) for _ in range(3)])
    for kind, looks in found.items():
        assert looks.kinds[kind] > sum(looks.kinds.values()) / 2, (kind, looks.kinds)
    assert any("test_idle_time" in place for place in found["idle"].places)
