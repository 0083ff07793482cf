"""Several processes under `jax.distributed`: members are shared out, each process trains its own, results are gathered.

Members never talk to each other, so nothing is communicated but the results.  With one process all of this is free.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree


def join(how: str) -> None:
    """Makes this process one of several, before JAX is used: all of them run the same command.

    Args:
        how: "auto", where a TPU pod, Slurm or Open MPI says who is who; else "ADDRESS:PORT,PROCESSES,RANK", the address being
            that of the process of rank 0.

    Raises:
        ValueError: text of another form, nothing that says who is who, or processes that do not answer.
    """
    address, _, numbers = how.partition(",")
    try:
        if how == "auto":
            jax.distributed.initialize()
            return
        processes, rank = (int(number) for number in numbers.split(","))
        if ":" not in address or not 0 <= rank < processes:
            raise ValueError("an address has a port, and ranks begin at 0")
        jax.distributed.initialize(address, processes, rank)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"Expected distributed={how!r} to be 'auto' where the cluster says who is who, or "
                         f"ADDRESS:PORT,PROCESSES,RANK: {error}.") from error  # fmt: skip


def leads() -> bool:
    """Whether this process is the one that writes results and speaks."""
    return jax.process_index() == 0


def broadcast(numbers: np.ndarray | np.generic) -> np.ndarray:
    """The first process's numbers, in every process; the others give any of the same shape."""
    return np.asarray(multihost_utils.broadcast_one_to_all(numbers))


def broadcast_text(text: str) -> str:
    """The first process's text in every process."""
    if jax.process_count() == 1:
        return text
    encoded = np.frombuffer(text.encode(), np.uint8)
    length = int(broadcast(np.int32(len(encoded))))
    if not length:
        return ""
    return broadcast(encoded if leads() else np.zeros(length, np.uint8)).tobytes().decode()


def broadcast_tree(tree: PyTree, like: PyTree) -> PyTree:
    """The first process's tree of arrays in every process.

    tree: of the others it is not looked at.  like: its shapes and types.
    """
    if jax.process_count() == 1:
        return tree
    if not leads():
        tree = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), like)
    return jax.tree.map(np.asarray, multihost_utils.broadcast_one_to_all(tree))


def exchange(numbers: np.ndarray) -> np.ndarray:
    """Every process's numbers `[n]`, as `[processes, n]`, in every process."""
    if jax.process_count() == 1:
        return numbers[None]
    return np.asarray(multihost_utils.process_allgather(numbers))


def share(members: range) -> range:
    """The members that this process works on: contiguous, as many for each process, the last one repeated at the end."""
    each = -(-len(members) // jax.process_count())
    first = members.start + jax.process_index() * each
    return range(
        min(first, members.stop - 1), min(first + each, members.stop) if first < members.stop else members.stop
    )


def padded(tree: PyTree, members: range) -> PyTree:
    """Arrays `[m, ...]` of this process's share made as long as every other's, by repeating the last."""
    each = -(-len(members) // jax.process_count())

    def pad(a: Any) -> np.ndarray:
        a = np.asarray(a)
        return np.concatenate([a, np.repeat(a[-1:], each - len(a), axis=0)]) if len(a) < each else a

    return jax.tree.map(pad, tree)


def gather(tree: PyTree, members: range) -> PyTree:
    """All processes' shares `[m, ...]` put together, `[len(members), ...]` on every host."""
    if jax.process_count() == 1:
        return tree
    together = multihost_utils.process_allgather(padded(tree, members), tiled=True)
    return jax.tree.map(lambda a: np.asarray(a)[: len(members)], together)


def agree(about: str) -> bool:
    """Whether all processes come with the same text."""
    if jax.process_count() == 1:
        return True
    mine = np.frombuffer(hashlib.sha256(about.encode()).digest(), np.int32)
    return bool((multihost_utils.process_allgather(mine) == mine).all())


def spread(work: Callable[[PyTree], PyTree], members: PyTree) -> PyTree:
    """``work(members)`` for a tree `[M, ...]`, each process doing its share, the results on every host."""
    if jax.process_count() == 1:
        return work(members)
    return gather(work(mine(members)), range(jax.tree.leaves(members)[0].shape[0]))


def mine(members: PyTree) -> PyTree:
    """This process's share of a tree `[M, ...]`."""
    if jax.process_count() == 1:
        return members
    part = share(range(jax.tree.leaves(members)[0].shape[0]))
    return jax.tree.map(lambda a: a[part.start : part.stop], members)
