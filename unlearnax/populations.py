"""Populations: many members of one recipe in one world, trained in segments, kept in the store, grown in chunks."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import PyTree

from unlearnax import batching, checks, hosts, plans, training
from unlearnax.digests import digest, stable_hash
from unlearnax.members import Prepared, member_keys, resolve_plan, run_members, runnable, shapes
from unlearnax.models.conv import convolves
from unlearnax.plugins import source_digest
from unlearnax.recipes import Recipe
from unlearnax.store import Store
from unlearnax.store.chunks import Checkpoints, Chunk, begun, load_chunks, missing, save_chunk
from unlearnax.types import Array, Model, Subset, TrainState, World

# Part of every population's digest: raise it when a change to training moves the numbers.
TRAINING_VERSION = 4

# Options of JAX that change the numbers, and so are part of it too.
NUMERICS = (
    "jax_enable_x64", "jax_default_prng_impl", "jax_threefry_partitionable", "jax_default_matmul_precision",
)  # fmt: skip

# Wall seconds aimed at for one segment: what a killed process loses at most, for where there is a store a checkpoint
# follows every segment; and the share of the time that checkpoints may take, beyond which segments become longer.
SEGMENT_SECONDS = 2.0
CHECKPOINT_SHARE = 0.05

# Share of a device's memory for the states of members that train at once: more of them train one group after the other.
GROUP_SHARE = 1 / 8

Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Population:
    """M trained members.

    states: stacked, leading axis `[M]`.  loss: training loss over the last segment, `[M]`.
    seconds: wall seconds of training per member, compilation apart (as measured when it was trained).
    plan: how members ran.  digest: identity of the population, whatever its size.
    """

    states: TrainState
    loss: np.ndarray
    seconds: float
    plan: str
    digest: str


def world_digest(world: World) -> str:
    """Digest of what exists in the world: its rows' contents in order, not the rows it leaves out."""
    index = np.asarray(world.index)
    return digest(np.asarray(world.x)[index], np.asarray(world.y)[index])


def _stream(role: str, contents: str) -> int:
    return stable_hash("member", role, contents)


def _identity(model: Model, recipe: Recipe, contents: str, stream: int, seed: int) -> str:
    """Digest of all that decides how members come out, how many there are and how they run apart."""
    numerics = [str(getattr(jax.config, option)) for option in NUMERICS]
    sources = source_digest(recipe.model), source_digest(recipe.rule)
    return digest(TRAINING_VERSION, recipe.to_json(), *sources, model.name, contents, stream, seed, numerics)


def identity(model: Model, recipe: Recipe, world: World, *, seed: int = 0, role: str = "member") -> str:
    """The digest of the population that `fit` trains or finds for these arguments."""
    contents = world_digest(world)
    return _identity(model, recipe, contents, _stream(role, contents), seed)


def check_world(world: World, recipe: Recipe) -> None:
    """Raises ValueError where a world cannot be trained on."""
    index = np.asarray(world.index)
    if index.ndim != 1 or len(index) == 0:
        raise ValueError(f"Expected world.index of shape {index.shape} to be a non-empty list of rows.")
    if index.min() < 0 or index.max() >= len(world.x):
        raise ValueError(f"Expected world.index in [0, {len(world.x)}), got {index.min()} to {index.max()}.")
    if recipe.batch_size > len(index):
        raise ValueError(f"Expected batch_size={recipe.batch_size} to be at most the world's {len(index)} examples.")


@functools.cache
def _segment_fn(recipe: Recipe, model: Model) -> Callable:
    segment = training.make_training(recipe, model).segment

    def one(member, shared):
        (state, (key, own)), (x, y, rows, passes) = member, shared
        # The length is shared: a bound of its own for each member would run masked work under vmap.
        return segment(key, state, x, y, rows if own is None else rows._replace(index=own), passes)

    return one


@functools.cache
def _finish_fn(recipe: Recipe, model: Model) -> Callable:
    finish = training.make_training(recipe, model).finish

    def one(member, rows):
        state, (key, own) = member
        return finish(key, state, rows if own is None else rows._replace(index=own))

    return one


@functools.cache
def _published_fn(recipe: Recipe, model: Model) -> Callable:
    """A member as `finish` leaves it, untrained: its shapes are those of a trained one."""
    bound = training.make_training(recipe, model)
    return lambda key, rows: bound.finish(key, bound.init(key), rows)


@functools.cache
def _init_fn(recipe: Recipe, model: Model) -> Callable:
    return lambda key, _: training.make_training(recipe, model).init(key)


def fit(
    model: Model,
    recipe: Recipe,
    world: World,
    members: int,
    *,
    seed: int = 0,
    role: str = "member",
    stream: int | None = None,
    plan: str = "auto",
    capacity: int | None = None,
    store: Store | None = None,
    progress: Progress | None = None,
    check_finite: bool = True,
    rows_of: Callable[[int], np.ndarray] | None = None,
) -> Population:
    """Trains `members` models of one recipe in one world, or takes from the store what is there and trains the rest.

    Args:
        model: from `models.build`.  recipe: how one member trains.  world: the data that exist.
        seed, role: member i's key is ``fold_in(fold_in(key(seed), hash(role, world)), i)``, so that growing keeps the
            first members and no two roles or worlds share a seed.
        stream: replaces that hash; for tests that need the same key in two worlds.
        plan: see `members`; "auto" measures where training is long enough to repay it, see `plans`.
        capacity: row slots compiled for (default the world's size); worlds padded to one capacity share a program.
        store: where populations are kept; None trains afresh.
        progress: called as ``progress(label, passes done, passes in all)`` between segments.
        check_finite: raise when a member diverges.
        rows_of: member number -> the rows of the world that this member sees, all members' of one number `[n]`; default
            all of the world's.  `role` must tell such rules apart.

    Raises:
        ValueError: an empty world, rows out of range, a batch larger than the world.
        FloatingPointError: a member's loss is not finite.
    """
    checks.at_least_one("members", members)
    check_world(world if rows_of is None else world._replace(index=np.asarray(world.index)[rows_of(0)]), recipe)
    resolve_plan(plan)
    contents = world_digest(world)
    if stream is None:
        stream = _stream(role, contents)
    name = _identity(model, recipe, contents, stream, seed)
    rows = batching.subset(np.asarray(world.index), capacity)
    template = jax.eval_shape(_published_fn(recipe, model), jax.random.key(seed), rows)
    chunks = _held(store, name, template, members)
    if missing((chunk.members for chunk in chunks), members):
        about = {
            "recipe": recipe.to_json(), "role": role, "seed": seed, "stream": stream, "world": contents,
            "backend": jax.default_backend(),
        }  # fmt: skip

        def train(part: range, plan: str, progress: Progress | None) -> Chunk:
            mine = hosts.share(part)
            keys = member_keys(seed, stream, mine)
            kept = Checkpoints(store, name, part) if store and hosts.leads() else None  # as `predictions.keep`
            own = None if rows_of is None else np.asarray(world.index)[np.stack([rows_of(i) for i in mine])]
            states, loss, seconds, used = _train(
                model, recipe, world, part, keys, plan, capacity, role, kept, progress, own
            )
            states, loss = jax.tree.map(np.asarray, hosts.gather((states, loss), part))
            bad = np.flatnonzero(~np.isfinite(loss))
            if check_finite and len(bad):
                raise FloatingPointError(
                    f"Expected finite losses; members {(bad[:5] + part.start).tolist()} of {role} diverged at "
                    f"learning_rate={recipe.learning_rate}."
                )
            made = Chunk(part, states, loss, seconds, used)
            saved = store is None or jax.process_index() > 0 or save_chunk(store, name, made, about)
            if kept and saved:
                kept.clear()
            return made

        with _alone(store, name, role, progress):
            if store and jax.process_count() == 1:
                chunks = load_chunks(store, name, template, members, chunks)  # what another process has trained
            for number, part, first, parts in _parts(store, name, chunks, members, _most_at_once(recipe, model, rows)):
                # Groups of members that could have trained at once run alike.
                used = plan if first or plan != "auto" else chunks[-1].plan
                chunks.append(train(part, used, progress and _one_of(progress, number, parts)))
        chunks.sort(key=lambda chunk: chunk.members.start)
    seconds, plan = chunks[-1].seconds, chunks[-1].plan
    return Population(*_joined(chunks), seconds, plan, name)


def _held(store: Store | None, name: str, template: TrainState, members: int) -> list[Chunk]:
    """What is held of the first members; where the stores of several hosts hold other members, what the first host's does.

    template: shapes of one member's state.
    """
    chunks = load_chunks(store, name, template, members) if store else []
    about = [[chunk.members.start, chunk.members.stop, chunk.seconds, chunk.plan] for chunk in chunks]
    if hosts.agree(digest([each[:2] for each in about])):
        return chunks
    found = []
    for at, (start, stop, seconds, plan) in enumerate(json.loads(hosts.broadcast_text(json.dumps(about)))):
        given = (chunks[at].states, chunks[at].loss) if hosts.leads() else None
        like = _stacked((template, jax.ShapeDtypeStruct((), np.float32)), stop - start)
        states, loss = hosts.broadcast_tree(given, like)
        found.append(Chunk(range(start, stop), states, loss, seconds, plan))
    return found


def _stacked(one: PyTree, members: int) -> PyTree:
    """Shapes of several members from those of one."""
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct((members, *a.shape), a.dtype), one)


def _parts(
    store: Store | None, name: str, chunks: list[Chunk], members: int, most: int
) -> Iterator[tuple[int, range, bool, int]]:
    """What is left to train, as the first host sees it: number, members, whether a gap begins with them, how many parts."""
    gaps = missing((chunk.members for chunk in chunks), members)
    gaps = begun(store, name, gaps) if store else gaps
    found = [(part.start, part.stop, not at) for gap in gaps for at, part in enumerate(_groups(gap, most))]
    found = json.loads(hosts.broadcast_text(json.dumps(found)))
    for number, (start, stop, first) in enumerate(found):
        yield number, range(start, stop), first, len(found)


def _most_at_once(recipe: Recipe, model: Model, rows: Subset) -> int:
    """Members whose training states, the optimiser's included, take `GROUP_SHARE` of the memory of all devices."""
    state = jax.eval_shape(_init_fn(recipe, model), jax.random.key(0), rows)
    each = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return max(int(GROUP_SHARE * plans.memory_limit() / each), 1) * jax.device_count()


def _groups(members: range, most: int) -> list[range]:
    """Members in as few parts as hold at most so many, about equal ones."""
    each = -(-len(members) // -(-len(members) // most))
    return [members[first : first + each] for first in range(0, len(members), each)]


def _one_of(progress: Progress, number: int, parts: int) -> Progress:
    """Progress through one of several parts, as that through all of them."""
    return lambda label, done, total: progress(label, number * total + done, parts * total)


def _joined(chunks: list[Chunk]) -> tuple[TrainState, np.ndarray]:
    """States and losses of chunks in order, on the host, array by array: nothing but one array is held twice.

    chunks: is emptied.
    """
    trees = [(chunk.states, chunk.loss) for chunk in chunks]
    parts, structure = [jax.tree.leaves(tree) for tree in trees], jax.tree.structure(trees[0])
    chunks.clear()
    trees.clear()
    if len(parts) == 1:
        return jax.tree.unflatten(structure, map(np.asarray, parts[0]))
    joined = []
    while parts[0]:
        joined.append(np.concatenate([np.asarray(part.pop()) for part in parts]))
    return jax.tree.unflatten(structure, reversed(joined))


@contextlib.contextmanager
def _alone(store: Store | None, name: str, role: str, progress: Progress | None) -> Iterator[None]:
    """Holds the population's lock: of two processes that want it, one trains and the other finds it trained."""
    if store is None:
        yield
        return
    label, waited = f"{role}: another process is at it", []

    def waiting() -> None:
        waited.append(label)
        if progress:
            progress(label, 0, 1)

    with store.lock(name, waiting=waiting):
        if waited and progress:
            progress(label, 1, 1)
        yield


def _needed(prepare: Callable[[str], Prepared], held: TrainState, plan: str) -> int:
    """Bytes on one device while a plan is measured beside states that are held."""
    return prepare(plan).bytes() + sum(leaf.nbytes for leaf in jax.tree.leaves(held)) // jax.local_device_count()


def _resume(kept: Checkpoints | None, like: TrainState, part: range) -> tuple[TrainState, int, str] | None:
    """What the first process has a checkpoint of: this one's share of the states, passes done, and the plan.

    like: this process's share, freshly begun.
    """
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), like)
    whole = _stacked(one, len(part))
    found = kept.load(whole) if kept else None
    about = hosts.broadcast_text(json.dumps(found[1:]) if found else "")
    if not about:
        return None
    states = hosts.broadcast_tree(found and found[0], whole)
    return hosts.mine(states), *json.loads(about)


def _agreed(length: int, due: bool, diverged: bool) -> tuple[int, bool, bool]:
    """By the first process's clock the next segment's passes, and whether a checkpoint is due; whether any diverged."""
    said = hosts.exchange(np.array([length, due, diverged], np.int32))
    return int(said[0, 0]), bool(said[0, 1]), bool(said[:, 2].any())


def _convolves(model: Model, x: Array) -> bool:
    """Whether a model has convolutions.  x: raw inputs `[N, ...]`."""
    init, one = jax.eval_shape(model.init, jax.random.key(0)), jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)
    return convolves(lambda params, state, x: model.apply(params, state, x, train=False, key=None), *init, one)


def _train(
    model: Model,
    recipe: Recipe,
    world: World,
    part: range,
    keys: jax.Array,
    plan: str,
    capacity: int | None,
    role: str,
    kept: Checkpoints | None,
    progress: Progress | None,
    own: np.ndarray | None = None,
) -> tuple[TrainState, np.ndarray, float, str]:
    """Trains one chunk in segments; returns states, losses `[M]`, wall seconds per member without compilation, the plan.

    part: the chunk's members, of which `keys` are this process's share.  kept: the chunk's checkpoints, of the first process.
    own: rows for each member `[M, n]` in the place of the world's.
    """
    rows = batching.subset(np.asarray(world.index) if own is None else own[0], capacity)
    if own is not None:
        own = np.stack([batching.subset(each, capacity).index for each in own])
    total = recipe.num_passes(int(rows.length))
    start_plan = "auto" if resolve_plan(plan) != "solo" else "solo"
    begin = lambda: run_members(_init_fn(recipe, model), keys, (), start_plan)  # noqa: E731
    state = begin()
    like = shapes(state)
    bound = lambda first, last: (np.int32(first), np.int32(last))  # noqa: E731
    shared, members = (world.x, world.y, rows, bound(0, 0)), (keys, own)
    prepare = lambda plan: Prepared(_segment_fn(recipe, model), members, shared, plan, like)  # noqa: E731
    done, length, seconds, passes_run = 0, 1, 0.0, 0
    if resumed := _resume(kept, state, part):
        state, done, plan = resumed[0], resumed[1], runnable(resumed[2])
    known = plans.identity(recipe.to_json(), model.name, world.x.shape[1:], len(rows.index), len(keys))
    tried = [plan]
    if plan == "auto":
        tried = plans.candidates(len(keys), jax.default_backend() != "cpu" and _convolves(model, world.x))
    plan, settled = plans.begin(plan, known, tried, lambda plan: prepare(plan).bytes())
    prepared = prepare(plan)
    data = prepared.place_shared(shared[:3])
    loss = np.zeros(len(keys), np.float32)
    while done < total:
        stop = min(done + length, total)
        start = time.perf_counter()
        state, info = prepared(members, (*data, bound(done, stop)), state)
        took = time.perf_counter() - start
        # Decided by the first pass alone: later segments are longer, and a population has one plan from its start.
        measure, settled = not settled and took * (total - stop) > plans.MEASURE_ABOVE, True
        if measure:
            again = lambda plan, first=(*data, bound(0, 1)): prepare(plan).seconds(members, first, begin())  # noqa: E731
            needed = functools.partial(_needed, prepare, state)
            best = plans.fastest(plan, took, known, tried, needed, again)
            if best != plan:
                plan, prepared, state = best, prepare(best), begin()
                data = prepared.place_shared(data)
                continue
        seconds, passes_run, loss = seconds + took, passes_run + stop - done, np.asarray(info.loss)
        # Longer ones where a checkpoint takes long, so that checkpoints stay a small share of the time.
        aim = max(SEGMENT_SECONDS, kept.seconds / CHECKPOINT_SHARE if kept else 0.0)
        length = max(1, int((stop - done) * aim / max(took, 1e-4)))
        done = stop
        if progress:
            progress(role, done, total)
        due = kept is not None and done < total and kept.due(aim / 10)  # the first segment is only there to measure
        length, due, diverged = _agreed(length, due, not np.isfinite(loss).all())
        if diverged:
            break  # the caller reports which members; training on would only waste time
        if due:
            whole = hosts.gather(state, part)
            if kept:
                kept.save(whole, done, plan)
    state = run_members(_finish_fn(recipe, model), (state, members), shared[2], plan)
    return state, loss, seconds * total / max(passes_run, 1) / len(keys), plan


@functools.cache
def _output_fn(model: Model, output: str, chunk: int) -> Callable:
    def one(state: TrainState, x: Array) -> jax.Array:
        def outputs(part: jax.Array) -> jax.Array:
            if output == "features":
                return model.features(state.params, state.model_state, part)
            return model.apply(state.params, state.model_state, part, train=False, key=None)[0]

        parts = jax.lax.map(outputs, x.reshape(-1, chunk, *x.shape[1:]))
        return parts.reshape(-1, parts.shape[-1])

    return one


def _outputs(model: Model, states: TrainState, x: Array, output: str, plan: str, chunk: int) -> np.ndarray:
    x = np.asarray(x)
    chunk = min(chunk, len(x))
    padding = -len(x) % chunk
    padded = np.concatenate([x, np.repeat(x[-1:], padding, axis=0)]) if padding else x
    found = hosts.spread(lambda mine: run_members(_output_fn(model, output, chunk), mine, padded, plan), states)
    return np.asarray(found)[:, : len(x)].astype(np.float32)


def predict(model: Model, states: TrainState, x: Array, *, plan: str = "auto", chunk: int = 512) -> np.ndarray:
    """Logits of every member on raw inputs `x` `[N, ...]`.

    Returns:
        `[M, N, C]` float32 on the host.
    """
    return _outputs(model, states, x, "logits", plan, chunk)


def features(model: Model, states: TrainState, x: Array, *, plan: str = "auto", chunk: int = 512) -> np.ndarray:
    """What every member's last layer is given on raw inputs `x` `[N, ...]`.

    Returns:
        `[M, N, H]` float32 on the host.
    """
    return _outputs(model, states, x, "features", plan, chunk)


def untrained(model: Model, recipe: Recipe, members: int, *, seed: int = 0, plan: str = "auto") -> TrainState:
    """Freshly initialised members, stacked `[M, ...]`, with seeds that no trained member has."""
    keys = member_keys(seed, stable_hash("untrained"), range(members))
    return run_members(_init_fn(recipe, model), keys, (), plan)._replace(opt_state=())
