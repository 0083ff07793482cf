"""Shuffles, batches and passes."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.batching import run_passes, shuffle, steps_per_pass, subset, take_batch, union

LIMIT = hypothesis.settings(max_examples=10, deadline=None)  # every length is a program


@LIMIT
@hypothesis.given(st.integers(1, 30), st.integers(0, 10), st.integers(0, 1000))
def test_shuffle_is_a_permutation_with_padding_last(length, padding, seed):
    rows = subset(np.arange(100, 100 + length), length + padding)
    order = np.asarray(shuffle(jax.random.key(seed), rows))
    assert sorted(order[:length]) == list(range(100, 100 + length))
    tight = np.asarray(shuffle(jax.random.key(seed), subset(np.arange(100, 100 + length))))
    np.testing.assert_array_equal(order[:length], tight)  # padding changes nothing


def test_shuffle_is_uniform():
    rows = subset(np.arange(4), 6)
    orders = jax.vmap(lambda key: shuffle(key, rows))(jax.random.split(jax.random.key(0), 6000))
    counts = np.unique(np.asarray(orders)[:, :4], axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 250) ** 2 / 250).sum() < 49.7  # chi-square, 23 degrees of freedom, p = .001


@LIMIT
@hypothesis.given(st.integers(1, 20), st.integers(1, 12), st.integers(1, 5))
def test_batches_wrap_and_cover_evenly(length, batch, rounds):
    rows = subset(np.arange(length), length + 3)
    order = shuffle(jax.random.key(0), rows)
    taken = np.concatenate([take_batch(order, rows, i, batch) for i in range(rounds)])
    counts = np.bincount(taken, minlength=length)
    assert len(counts) == length  # padding is never drawn
    assert counts.max() - counts.min() <= 1


def visited(rows, passes, batch=4, max_steps=None, beside=(), key=0):
    """Rows in the order drawn, as run_passes shows them to its body."""
    log = jnp.full((200, 1 + len(beside), batch), -1)

    def body(carry, key, step, *batches):
        log, at = carry
        return log.at[at].set(jnp.stack(batches)), at + 1

    log, count = run_passes(
        jax.random.key(key), (log, jnp.int32(0)), rows, body, batch_size=batch, passes=passes, max_steps=max_steps,
        beside=beside,
    )  # fmt: skip
    return np.asarray(log)[: int(count)]


def test_segments_equal_one_go():
    rows = subset(np.arange(14), 20)
    whole = visited(rows, 5)
    parts = [visited(rows, bounds) for bounds in ((0, 1), (1, 4), (4, 5))]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert whole.shape == (15, 1, 4)
    for number in range(5):
        assert len(np.unique(whole[3 * number : 3 * number + 3])) == 12  # without replacement within a pass


def test_max_steps_cuts():
    rows = subset(np.arange(14))
    np.testing.assert_array_equal(visited(rows, 5, max_steps=7), visited(rows, 5)[:7])
    parts = [visited(rows, bounds, max_steps=7) for bounds in ((0, 2), (2, 3), (3, 5))]  # the cut falls inside pass 2
    assert [len(part) for part in parts] == [6, 1, 0]
    np.testing.assert_array_equal(np.concatenate(parts), visited(rows, 5)[:7])


def test_padding_changes_nothing_in_a_run():
    """Neither the rows nor the keys and numbers of the steps, also with other subsets beside and for many members."""

    def run(key, rows, few):
        def body(carry, key, step, *batches):
            total, at = carry
            value = jax.random.bits(key) ^ step.astype(jnp.uint32)
            for batch in batches:
                value = value * jnp.uint32(31) + (batch.astype(jnp.uint32) * jnp.arange(1, 4, dtype=jnp.uint32)).sum()
            return total * jnp.uint32(1_000_003) + value, at + 1

        return run_passes(key, (jnp.uint32(0), 0), rows, body, batch_size=3, passes=3, beside=(few,))

    keys = jax.random.split(jax.random.key(0), 4)
    rows, few = np.arange(11), np.array([20, 21])
    tight = [run(key, subset(rows), subset(few)) for key in keys]
    total, count = jax.vmap(run, (0, None, None))(keys, subset(rows, 64), subset(few, 17))
    assert count.tolist() == [9] * 4
    assert total.tolist() == [int(each[0]) for each in tight]
    assert len(set(total.tolist())) == 4


def test_subsets_beside_are_cycled():
    rows, few = subset(np.arange(20)), subset(np.array([30, 31, 32]), 8)
    seen = visited(rows, 1, beside=(few,))
    counts = np.bincount(seen[:, 1].ravel())[30:]
    assert counts.sum() == 5 * 4
    assert counts.max() - counts.min() <= 1


def test_a_subset_smaller_than_a_batch_gives_one_step():
    rows = subset(np.array([7, 8]), 5)
    assert int(steps_per_pass(rows, 4)) == 1
    seen = visited(rows, 1)
    assert sorted(seen.ravel()) == [7, 7, 8, 8]


def test_one_trace_for_all_lengths():
    traces = []

    @jax.jit
    def total(rows):
        traces.append(1)
        return run_passes(
            jax.random.key(0), 0, rows, lambda carry, key, step, rows: carry + rows.sum(), batch_size=2, passes=1
        )

    assert [int(total(subset(np.arange(n), 9))) for n in (2, 4, 8)] == [1, 6, 28]
    assert len(traces) == 1


def test_union():
    both = union(subset(np.array([5, 6]), 4), subset(np.array([1, 2, 3]), 6))
    assert int(both.length) == 5
    np.testing.assert_array_equal(np.asarray(both.index)[:5], [5, 6, 1, 2, 3])
    full = jax.jit(union)(subset(np.array([5, 6])), subset(np.array([1])))
    assert (np.asarray(full.index).tolist(), int(full.length)) == ([5, 6, 1], 3)


def test_too_little_capacity_is_said():
    with pytest.raises(ValueError, match="Expected capacity=2 to be at least the number of rows, 3"):
        subset(np.arange(3), 2)
