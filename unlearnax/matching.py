"""Control: originals taught an oracle's outputs, an upper bound on what fine-tuning can reach; no algorithm may see them."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from unlearnax import batching, checks
from unlearnax.algorithms import _common
from unlearnax.digests import stable_hash
from unlearnax.members import Prepared, member_keys
from unlearnax.populations import predict
from unlearnax.types import Array, Info, Key, Model, Problem, Request, TrainState
from unlearnax.unlearning import Unlearned, make_request


def oracle_matching(
    model: Model,
    *,
    retain_fraction: float = 0.25,
    learning_rate: float = 1e-3,
    epochs: int = 10,
    batch_size: int = 64,
) -> Callable[[Key, TrainState, Request, Array], tuple[TrainState, Info]]:
    """Oracle matching: minimises KL(p_oracle ‖ p_θ) on S and a fixed random share of R by Adam, from θ0.

    Returns ``(key, state, request, taught) -> (state, info)`` with `taught` the oracle's logits on the request's rows
    `[N, C]`: outside the contract of algorithms, which have no oracle.

    Args:
        retain_fraction: in [0, 1], of R that is shown (the paper's; the rates and lengths are ours).

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Georgiev et al., "Attribute-to-delete: machine unlearning via datamodel matching", ICLR 2025, arXiv 2410.23232,
    section 4: oracle matching.
    """
    checks.in_range("retain_fraction", retain_fraction, 0, 1)
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size)
    optimizer = optax.adam(learning_rate)

    def match(key: Key, state: TrainState, request: Request, taught: Array) -> tuple[TrainState, Info]:
        key_share, key_passes = jax.random.split(key)
        kept = jnp.floor(retain_fraction * request.retain.length).astype(jnp.int32)
        shown = request.retain._replace(index=batching.shuffle(key_share, request.retain), length=kept)
        taught = jnp.asarray(taught)

        def objective(params, model_state, key, step, rows):
            x, _ = _common.batch(request, rows)
            logits, model_state = model.apply(params, model_state, x, train=True, key=key)
            return _common.divergence(taught[rows], logits, 1.0), model_state

        rows = batching.union(request.forget, shown)
        return _common.minimise(key_passes, state, optimizer, objective, rows, batch_size=batch_size, epochs=epochs)

    return match


@functools.cache
def _match_fn(model: Model, hyperparameters: tuple) -> Callable:
    match = oracle_matching(model, **dict(hyperparameters))

    def one(member, request):
        key, state, taught = member
        return match(key, state, jax.tree.map(jnp.asarray, request), taught)

    return one


def match_oracle(
    model: Model,
    originals: TrainState,
    teachers: TrainState,
    problem: Problem,
    *,
    oracle: str,
    seed: int = 0,
    plan: str = "auto",
    **hyperparameters: float | int,
) -> Unlearned:
    """Teaches each of M originals `[M, ...]` the outputs of one member of an oracle `[M, ...]`, member i that of member i.

    Args:
        teachers: members that the result will not be compared with (the held-out ones), or its distance to them means
            nothing.
        oracle: goes into the keys.  hyperparameters: of `oracle_matching`.

    Raises:
        ValueError: other numbers of teachers than of originals; what `oracle_matching` raises.
    """
    members, others = (jax.tree.leaves(each.params)[0].shape[0] for each in (originals, teachers))
    if members != others:
        raise ValueError(f"Expected as many teachers as the {members} originals, got {others}.")
    request = make_request(problem)
    taught = predict(model, teachers, request.x, plan=plan)
    keys = member_keys(seed, stable_hash("matching", oracle, problem.digest), range(members))
    start = time.perf_counter()
    prepared = Prepared(
        _match_fn(model, tuple(sorted(hyperparameters.items()))), (keys, originals, taught), request, plan
    )
    compiled = time.perf_counter()
    states, info = prepared((keys, originals, taught), prepared.place_shared(request))
    took = time.perf_counter() - compiled
    return Unlearned(states, jax.device_get(info.loss), jax.device_get(info.examples), took / members, compiled - start)
