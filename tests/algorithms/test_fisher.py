"""Selective synaptic dampening against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.algorithms import ssd

KEY = jax.random.key(0)


@pytest.mark.parametrize("per_example", [False, True])
def test_ssd_dampens_what_matters_more_to_the_forget_set(per_example, tiny, direct):
    """Batches of all of D: S, a third of it, fills one three times over."""
    alpha, dampening, state = 1.2, 0.8, tiny.state()
    s, every = tiny.rows["forget"], np.concatenate([tiny.rows["forget"], tiny.rows["retain"]])

    def importance(rows):
        groups = rows[:, None] if per_example else [rows]
        gradient = jax.jit(jax.grad(lambda p, x, y: direct.nll(p, x, y).mean()))
        grads = [gradient(state.params, tiny.x[g], tiny.y[g]) for g in groups]
        return jax.tree.map(lambda *g: np.mean(np.square(g), axis=0), *grads)

    def edited(theta, i_d, i_s):
        out, i_d, i_s = np.array(theta), np.asarray(i_d), np.asarray(i_s)
        for at in np.ndindex(out.shape):
            if i_s[at] > alpha * i_d[at]:
                out[at] *= min(dampening * i_d[at] / i_s[at], 1.0)
        return out

    expected = jax.tree.map(edited, state.params, importance(every), importance(s))
    make = ssd(tiny.model, alpha=alpha, dampening=dampening, batch_size=36, per_example=per_example)
    out, _ = make(KEY, state, tiny.request())
    direct.close(out.params, expected)
    flat, new, want = (np.concatenate([np.ravel(a) for a in jax.tree.leaves(t)]) for t in (
        state.params, out.params, expected
    ))  # fmt: skip
    assert np.array_equal(flat == new, flat == want)
    assert 0 < (flat != new).sum() < (flat != 0).sum()
    assert out.step == state.step


def test_importance_of_batches_of_one_is_that_of_single_examples(tiny, direct):
    runs = [ssd(tiny.model, alpha=1.0, batch_size=1), ssd(tiny.model, alpha=1.0, batch_size=12, per_example=True)]
    one, each = (jax.jit(make)(KEY, tiny.state(), tiny.request())[0].params for make in runs)
    direct.close(one, each)
    larger, _ = ssd(tiny.model, alpha=1.0, batch_size=12)(KEY, tiny.state(), tiny.request())
    assert direct.differ(one, larger.params)


def test_nothing_selected_leaves_every_bit(tiny):
    out, _ = ssd(tiny.model, alpha=1e6, batch_size=12)(KEY, tiny.state(), tiny.request())
    assert all(jnp.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (out, tiny.state())), strict=True))


def test_weights_without_importance_are_kept(tiny):
    """A dead hidden unit has I_S = I_D = 0: no 0/0 reaches its weights."""
    state = tiny.state()
    params = jax.tree.map(jnp.array, state.params)
    params["dense0"]["bias"] = params["dense0"]["bias"].at[0].set(-100.0)
    out, _ = ssd(tiny.model, alpha=1.0, batch_size=12)(KEY, state._replace(params=params), tiny.request())
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(out.params))
    np.testing.assert_array_equal(out.params["dense0"]["kernel"][:, 0], params["dense0"]["kernel"][:, 0])
