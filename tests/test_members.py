"""Compiled programs: how long they are kept.  That plans agree is tested with the populations that they train."""

import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax import members
from unlearnax.members import Prepared, run_members

NUMBERS = np.arange(4.0, dtype=np.float32)


def product(member, shared):
    return member * shared


def test_compiled_programs_are_let_go_before_the_process_runs_out_of_mappings():
    first = Prepared(product, NUMBERS, 2.0, "map")
    members.let_programs_go(limit=10**9)
    assert Prepared(product, NUMBERS, 2.0, "map")._program is first._program
    members.let_programs_go(limit=10)
    again = Prepared(product, NUMBERS, 2.0, "map")
    assert again._program is not first._program
    assert np.array_equal(again(NUMBERS, 2.0), first(NUMBERS, 2.0))


@pytest.mark.parametrize("plan", ["map", "vmap", "solo"])
def test_types_are_those_of_jax(plan):
    """A Python number takes the type of what it meets; NumPy's wide numbers become JAX's."""
    narrow = jnp.ones((3, 2), jnp.bfloat16)
    assert run_members(product, narrow, 2.0, plan).dtype == jnp.bfloat16
    assert run_members(product, np.ones((3, 2), np.float64), np.float64(2), plan).dtype == jnp.float32
    assert run_members(product, np.ones((3, 2), np.int64), 2, plan).dtype == jnp.int32
