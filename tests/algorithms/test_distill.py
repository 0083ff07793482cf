"""SCRUB and the bad teacher against the steps written out; the teacher stays the original."""

import dataclasses

import jax
import numpy as np
import pytest

from unlearnax.algorithms import bad_teacher, scrub
from unlearnax.algorithms._common import divergence

KEY = jax.random.key(0)


def test_scrub_holds_to_the_original_and_the_labels(tiny, direct):
    """Without pushing: γ ℓ + α T² KL(p_θ0 ‖ p_θ) on R by Adam, against the frozen θ0 at every step."""
    r, original = tiny.rows["retain"], tiny.state().params
    given = {"alpha": 0.5, "gamma": 0.7, "temperature": 3.0}
    run = scrub(tiny.model, **given, max_epochs=0, learning_rate=0.02, epochs=5, batch_size=24)
    out, info = run(KEY, tiny.state(), tiny.request())

    def objective(params):
        apart = 9.0 * direct.kl(direct.logits(original, tiny.x[r]), direct.logits(params, tiny.x[r]), 3.0)
        return (0.7 * direct.nll(params, tiny.x[r], tiny.y[r]) + 0.5 * apart).mean()

    direct.close(out.params, direct.adam(original, [objective] * 5, learning_rate=0.02))
    before_last = direct.adam(original, [objective] * 4, learning_rate=0.02)
    np.testing.assert_allclose(info.loss, objective(before_last), rtol=1e-3)


def test_scrub_pushes_first_and_only_in_its_first_epochs(tiny, direct):
    """Two of three epochs begin with a pass over S.

    With BatchNorm the student differs from the teacher from the start, so that the first push has a gradient.
    """
    model, state = tiny.normed, tiny.state(tiny.normed)
    s, r = tiny.rows["forget"], tiny.rows["retain"][:12]
    run = scrub(model, alpha=0.5, gamma=1.0, max_epochs=2, learning_rate=0.02, epochs=3, batch_size=12)
    out, _ = run(KEY, state, tiny.request(retain=r))

    def compare(params, rows):
        taught, _ = model.apply(state.params, state.model_state, tiny.x[rows], train=False, key=None)
        logits, _ = model.apply(params, state.model_state, tiny.x[rows], train=True, key=KEY)
        loss = -direct.log_p(logits)[np.arange(len(rows)), tiny.y[rows]].mean()
        return 16.0 * direct.kl(taught, logits, 4.0).mean(), loss

    def push(params):
        return -compare(params, s)[0]

    def hold(params):
        apart, loss = compare(params, r)
        return loss + 0.5 * apart

    expected = direct.adam(state.params, [push, hold, push, hold, hold], learning_rate=0.02)
    del expected["dense0"]["bias"]  # normalisation cancels it: its gradient is rounding only
    direct.close(
        {layer: {part: out.params[layer][part] for part in parts} for layer, parts in expected.items()}, expected
    )


def test_scrub_moves_the_student_away_from_the_teacher_on_the_forget_set(tiny, direct):
    """Students, not the frozen teacher, are optimised: pushing sets them apart from θ0 on S, more than holding does."""
    s, original = tiny.x[tiny.rows["forget"]], tiny.state().params
    given = {"gamma": 0.1, "learning_rate": 0.02, "epochs": 4, "batch_size": 8}
    apart = []
    for pushes in (0, 4):
        out, _ = jax.jit(scrub(tiny.model, **given, max_epochs=pushes))(KEY, tiny.state(), tiny.request())
        apart.append(direct.kl(direct.logits(original, s), direct.logits(out.params, s)).mean())
    assert apart[1] > 2 * apart[0] > 0


def test_a_student_equal_to_its_teacher_has_no_gradient(tiny, direct):
    """Not even by rounding: from θ0, neither the first push nor holding without labels moves a bit."""
    state = tiny.state()
    for m in (0, 1):
        run = scrub(tiny.model, gamma=0.0, max_epochs=m, learning_rate=0.1, epochs=2, batch_size=8)
        out, info = run(KEY, state, tiny.request())
        assert not direct.differ(out.params, state.params, by=0)
        assert abs(info.loss) < 1e-5


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_divergence_and_its_gradient(temperature, direct):
    p, q = np.random.default_rng(0).normal(size=(2, 6, 5)).astype(np.float32) * 3
    got = jax.value_and_grad(lambda q: divergence(p, q, temperature))(q)
    direct.close(got, jax.value_and_grad(lambda q: direct.kl(p, q, temperature).mean())(q), rtol=1e-4, atol=1e-6)


def fixed_bad(tiny):
    """The model with an init that ignores its key, so that the bad teacher is known, and that teacher."""
    bad = tiny.state(seed=9)
    return dataclasses.replace(tiny.model, init=lambda key: (bad.params, bad.model_state)), bad.params


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_bad_teacher_teaches_the_forget_set_and_the_original_the_rest(temperature, tiny, direct):
    model, bad = fixed_bad(tiny)
    s, r, original = tiny.rows["forget"], tiny.rows["retain"], tiny.state().params
    run = bad_teacher(
        model, retain_fraction=1.0, temperature=temperature, learning_rate=0.02, epochs=4, batch_size=36
    )  # fmt: skip
    out, _ = run(KEY, tiny.state(), tiny.request())
    rows = np.concatenate([s, r])
    taught = np.concatenate([direct.logits(bad, tiny.x[s]), direct.logits(original, tiny.x[r])])

    def objective(params):
        return direct.kl(taught, direct.logits(params, tiny.x[rows]), temperature).mean()

    direct.close(out.params, direct.adam(original, [objective] * 4, learning_rate=0.02))


def test_without_retained_rows_the_student_learns_the_bad_teacher(tiny, direct):
    model, bad = fixed_bad(tiny)
    run = jax.jit(bad_teacher(model, retain_fraction=0.0, learning_rate=0.05, epochs=100, batch_size=12))
    out, _ = run(KEY, tiny.state(), tiny.request())
    s = tiny.x[tiny.rows["forget"]]
    apart = [direct.kl(direct.logits(bad, s), direct.logits(p, s)).mean() for p in (tiny.state().params, out.params)]
    assert apart[1] < 0.02 * apart[0]
    x = tiny.x.copy()
    x[tiny.rows["retain"]] = np.nan
    blind, _ = run(KEY, tiny.state(), tiny.request(x))
    assert not direct.differ(blind.params, out.params, by=0)


def test_the_part_of_the_retained_rows_is_drawn_once(tiny):
    """12 of 24 rows matter, over several epochs."""
    run = jax.jit(bad_teacher(tiny.model, retain_fraction=0.5, learning_rate=0.01, epochs=3, batch_size=8))

    def reached(row):
        x = tiny.x.copy()
        x[row] = np.nan
        return bool(np.isnan(run(KEY, tiny.state(), tiny.request(x))[0].params["head"]["bias"]).any())

    assert sum(reached(row) for row in tiny.rows["retain"]) == 12
