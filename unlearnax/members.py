"""Running one function for many members: loop, `lax.map` or `vmap`, spread over all local devices.

A plan changes speed and the last bits, never the distribution:

* "map": each device loops over its members, whose memory does not add up; bit-equal to "solo", but for a ViT, where XLA may
  order sums by the number of devices.  Default on CPU.
* "vmap": each device runs its members as one batched program; differs from "solo" by a few ulp a step.  Default on
  GPU and TPU.
* "vmap:W": each device loops over batches of W members; memory is that of W.
* "solo": one member at a time on one device.

Suffixes fix what is otherwise chosen here: "map@2" uses two of the devices (default: all of them), and
"vmap+products" or "map+native" a form of convolutions other than the backend's (`models.conv`).  "auto" is the backend's
default here; `populations.fit` measures instead, see `plans`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from unlearnax import checks
from unlearnax.models.conv import FORMS, convolution_form
from unlearnax.types import Array, Key

PLANS = ("auto", "map", "vmap", "solo")  # and with suffixes, see above
_PLAN = re.compile(rf"(solo|map|vmap(?::([1-9]\d*))?)(?:@([1-9]\d*))?(?:\+({'|'.join(FORMS)}))?")

MemberFn = Callable[[Any, Any], Any]


class _Way(NamedTuple):
    """A plan in parts.  width: members at once on a device, None for all.  devices: 0 for all of them.
    form: of convolutions, "" for the backend's.
    """

    solo: bool
    width: int | None
    devices: int
    form: str


def _way(plan: str) -> _Way:
    found = _PLAN.fullmatch(plan)
    assert found is not None
    base, width, devices, form = found.groups()
    return _Way(base == "solo", int(width) if width else None if base == "vmap" else 1, int(devices or 0), form or "")


def check_plan(plan: str) -> None:
    """Raises ValueError where a plan is none of `PLANS`, with suffixes or without."""
    found = _PLAN.fullmatch(plan)
    if found is None or (found[1] == "solo" and found[3]):
        checks.one_of("plan", plan, (*PLANS, "vmap:8", "map@1", "vmap+products"))


def resolve_plan(plan: str) -> str:
    """The plan that "auto" stands for on this backend.

    Raises:
        ValueError: an unknown plan, or one for more devices than there are.
    """
    check_plan(plan)
    if plan == "auto":
        return "map" if jax.default_backend() == "cpu" else "vmap"
    if _way(plan).devices > jax.local_device_count():
        raise ValueError(
            f"Expected plan={plan!r} to use at most the {jax.local_device_count()} devices that there are."
        )
    return plan


def runnable(plan: str) -> str:
    """A plan as it runs here: one for more devices than there are, from a larger machine, uses all of them."""
    found = _PLAN.fullmatch(plan)
    if found and int(found[3] or 0) > jax.local_device_count():
        return plan.replace(f"@{found[3]}", "")
    return plan


def member_keys(seed: int, stream: int, members: range) -> Key:
    """Keys `[M]` of members: ``fold_in(fold_in(key(seed), stream), i)``, so that a member depends on its number only."""
    root = jax.random.fold_in(jax.random.key(seed), np.uint32(stream))
    return _fold_in_each(root, np.asarray(members, np.uint32))


@jax.jit
def _fold_in_each(root: Key, members: Array) -> Key:
    return jax.vmap(lambda i: jax.random.fold_in(root, i))(members)


def _shape(a: Any) -> jax.ShapeDtypeStruct:
    if isinstance(a, jax.ShapeDtypeStruct):
        return a
    aval = jax.typeof(a)
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


def shapes(tree: PyTree) -> PyTree:
    """Shapes and dtypes of a tree's arrays as JAX would take them."""
    return jax.tree.map(_shape, tree)


@functools.cache
def _mesh(count: int) -> jax.sharding.Mesh:
    devices = jax.local_devices()[:count]  # each process runs members of its own, see `hosts`
    return jax.make_mesh((len(devices),), ("members",), axis_types=(AxisType.Auto,), devices=devices)


@functools.cache
def _jitted(fn: MemberFn, way: _Way, spends: bool) -> Callable[..., Any]:
    def one(spent: PyTree, member: PyTree, shared: PyTree) -> PyTree:
        return fn((spent, member) if spends else member, shared)

    if way.solo:
        return jax.jit(one)  # it is called on one member of many: there is no buffer of its own to reuse

    def many(spent: PyTree, members: PyTree, shared: PyTree) -> PyTree:
        if way.width is None:
            return jax.vmap(one, in_axes=(0, 0, None))(spent, members, shared)
        each = lambda both: one(both[0], both[1], shared)  # noqa: E731
        return jax.lax.map(each, (spent, members), batch_size=way.width if way.width > 1 else None)

    along, everywhere = PartitionSpec("members"), PartitionSpec()
    return jax.jit(
        jax.shard_map(
            many, mesh=_mesh(way.devices), in_specs=(along, along, everywhere), out_specs=along, check_vma=False
        ),
        donate_argnums=0,
    )


_compiled: dict[Any, Any] = {}


def let_programs_go(limit: int | None = None) -> None:
    """Forgets all compiled programs once this process uses half of the memory mappings that Linux allows it.

    XLA keeps several mappings for every program on the CPU and ends the process with a segmentation fault where it gets no
    more, some thousands of programs on.  Programs in use stay until they are done with.

    limit: mappings that a process may have (default: what the system says, 65,530 as a rule).
    """
    try:
        limit = limit if limit is not None else int(Path("/proc/sys/vm/max_map_count").read_text())
        used = Path("/proc/self/maps").read_bytes().count(b"\n")
    except (OSError, ValueError):
        return  # another system, with no such limit
    if used > limit // 2:
        _compiled.clear()
        jax.clear_caches()
        gc.collect()


class Prepared:
    """A member function compiled for given arguments: call it as often as needed; compiling is over when it exists."""

    def __init__(self, fn: MemberFn, members: PyTree, shared: PyTree, plan: str, spent: PyTree = ()) -> None:
        """Compiles `fn(member, shared)` for the shapes at hand, or finds it compiled.

        fn: a stable object (a cached factory's product): programs are cached by it.
        members: a tree of arrays with leading axis `[M]`.  shared: a tree passed to every member unchanged.
        spent: another such tree, whose memory becomes the result's: a call uses its arrays up.  Where there is one, `fn` is
            called as ``fn((spent, member), shared)``.
        """
        way = _way(resolve_plan(plan))
        self._count = jax.tree.leaves((spent, members))[0].shape[0]
        # All of them, however few the members: what a member comes out as must not depend on how many there are.
        self._way = way._replace(devices=way.devices or jax.local_device_count())
        given = jax.tree.map(self._shape, shapes((spent, members)))
        common = jax.tree.map(self._shared_shape, shapes(shared))
        leaves, structure = jax.tree.flatten((given, common))
        cache_key = (fn, self._way, structure, tuple(leaves))
        if cache_key not in _compiled:
            let_programs_go()
            jitted: Any = _jitted(fn, self._way, bool(jax.tree.leaves(spent)))
            with convolution_form(self._way.form) if self._way.form else contextlib.nullcontext():
                _compiled[cache_key] = jitted.lower(*given, common).compile()
        self._program = _compiled[cache_key]

    def bytes(self) -> int:
        """Memory that the program needs on one device: arguments, results and temporaries, as the compiler counts them."""
        found = self._program.memory_analysis()
        if found is None:
            return 0
        own = found.output_size_in_bytes - found.alias_size_in_bytes  # results that reuse an argument need none
        return found.argument_size_in_bytes + own + found.temp_size_in_bytes

    def seconds(self, members: PyTree, shared: PyTree, spent: PyTree = ()) -> float:
        """Wall time of one call, the result thrown away; shared arguments are placed before."""
        shared = self.place_shared(shared)
        start = time.perf_counter()
        self(members, shared, spent)
        return time.perf_counter() - start

    def _shape(self, aval: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        """Of one argument of the program: a member's, or all members' on their devices."""
        if self._way.solo:
            return jax.ShapeDtypeStruct(aval.shape[1:], aval.dtype)
        sharding = NamedSharding(_mesh(self._way.devices), PartitionSpec("members"))
        rows = math.ceil(self._count / self._way.devices) * self._way.devices
        return jax.ShapeDtypeStruct((rows, *aval.shape[1:]), aval.dtype, sharding=sharding)

    def _shared_shape(self, aval: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        """Of an argument that all members share, on every device."""
        if self._way.solo:
            return aval
        everywhere = NamedSharding(_mesh(self._way.devices), PartitionSpec())
        return jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=everywhere, weak_type=aval.weak_type)

    def _place(self, members: PyTree) -> PyTree:
        """Pads the member axis to a multiple of the devices (repeating the last) and spreads it over them."""
        devices = self._way.devices
        padding = math.ceil(self._count / devices) * devices - self._count

        def padded(a: Any) -> jax.Array:
            a = jnp.asarray(a)
            return jnp.concatenate([a, jnp.repeat(a[-1:], padding, axis=0)])

        if padding:
            members = jax.tree.map(padded, members)
        return jax.device_put(members, NamedSharding(_mesh(devices), PartitionSpec("members")))

    def place_shared(self, shared: PyTree) -> PyTree:
        """Puts shared arguments where the program wants them; free for arrays that are already there."""
        if self._way.solo:
            return jax.tree.map(jnp.asarray, shared)
        return jax.device_put(
            jax.tree.map(jnp.asarray, shared), NamedSharding(_mesh(self._way.devices), PartitionSpec())
        )

    def __call__(self, members: PyTree, shared: PyTree, spent: PyTree = ()) -> PyTree:
        """Runs every member and waits for the result, a tree with leading axis `[M]`."""
        shared = self.place_shared(shared)
        if self._way.solo:
            one = lambda i: jax.tree.map(lambda a: a[i], (spent, members))  # noqa: E731
            each = [self._program(*one(i), shared) for i in range(self._count)]
            return jax.block_until_ready(jax.tree.map(lambda *leaves: jnp.stack(leaves), *each))
        out = self._program(self._place(spent), self._place(members), shared)
        if self._count % self._way.devices:
            out = jax.tree.map(lambda a: a[: self._count], out)
        return jax.block_until_ready(out)


def run_members(fn: MemberFn, members: PyTree, shared: PyTree, plan: str = "auto") -> PyTree:
    """Compiles if need be and runs ``fn(member, shared)`` for every member of a `[M, ...]` tree."""
    return Prepared(fn, members, shared, plan)(members, shared)
