"""Compiled programs: how long they are kept.  That plans agree is tested with the populations that they train."""

import numpy as np

from unlearnax import members
from unlearnax.members import Prepared

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
