"""SCRUB with rewinding, and distillation into a noised copy, against their steps written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.algorithms import scrub, scrub_rewind, undo

KEY = jax.random.key(0)


def errors(tiny, direct, params, rows):
    return np.asarray(direct.logits(params, tiny.x[rows]).argmax(-1)) != tiny.y[rows]


def chosen(tiny, direct, students, validation):
    """Number of the student whose error on S is nearest to the last one's on validation rows like S; the last of equals."""
    forget = tiny.rows["forget"]
    share = [(tiny.y[forget] == c).mean() for c in range(3)]
    wrong = errors(tiny, direct, students[-1], validation)
    of_class = [wrong[tiny.y[validation] == c] for c in range(3)]
    there = [c for c in range(3) if share[c] > 0 and len(of_class[c])]
    wanted = sum(share[c] * of_class[c].mean() for c in there) / sum(share[c] for c in there)
    apart = [abs(errors(tiny, direct, each, forget).mean() - wanted) for each in students]
    return max(range(len(students)), key=lambda i: (-round(apart[i], 6), i))


def test_rewinding_returns_the_epoch_whose_error_is_that_of_data_like_the_forget_set(tiny, direct):
    """The epochs' students are what SCRUB of so many epochs returns; which one is taken differs between rates."""
    validation, picked = tiny.rows["validation"], []
    for rate in (0.02, 0.05, 0.1):
        given = {"learning_rate": rate, "max_epochs": 3, "batch_size": 12, "gamma": 0.5}
        students = [
            scrub(tiny.model, epochs=e, **given)(KEY, tiny.state(), tiny.request())[0].params for e in (1, 2, 3, 4)
        ]
        best = chosen(tiny, direct, students, validation)
        out, _ = scrub_rewind(tiny.model, epochs=4, **given)(KEY, tiny.state(), tiny.request())
        direct.close(out.params, students[best], rtol=1e-5, atol=1e-6)
        assert all(direct.differ(out.params, each) for i, each in enumerate(students) if i != best)
        picked.append(best)
    assert any(best < 3 for best in picked)


def test_without_validation_rows_the_last_student_is_returned(tiny, direct):
    given = {"learning_rate": 0.05, "epochs": 3, "batch_size": 12}
    request = tiny.request(validation=np.zeros(0, int))
    out, _ = scrub_rewind(tiny.model, **given)(KEY, tiny.state(), request)
    last, _ = scrub(tiny.model, **given)(KEY, tiny.state(), request)
    direct.close(out.params, last.params, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.3, 0.8])
def test_undo_suppresses_shrinks_and_distils(alpha, tiny, direct):
    """Without noise; S stands twice in its batches."""
    s, r, start = tiny.rows["forget"], tiny.rows["retain"], tiny.state().params
    run = undo(
        tiny.model,
        alpha=alpha,
        beta=0.0,
        suppress_rate=0.02,
        suppress_epochs=2,
        learning_rate=0.01,
        epochs=3,
        batch_size=24,
    )
    out, _ = run(KEY, tiny.state(), tiny.request())

    def suppress(p):
        logits = direct.logits(p, tiny.x[s])
        return direct.kl(jnp.zeros_like(logits), logits).mean() + direct.nll(p, tiny.x[r], tiny.y[r]).mean()

    teacher = direct.adam(start, [suppress] * 2, learning_rate=0.02)
    taught = {name: direct.logits(teacher, tiny.x[rows]) for name, rows in (("s", s), ("r", r))}

    def imitate(p):
        return (
            direct.kl(taught["s"], direct.logits(p, tiny.x[s])).mean()
            + direct.kl(taught["r"], direct.logits(p, tiny.x[r])).mean()
        )

    student = jax.tree.map(lambda leaf: (1 - alpha) * leaf, teacher)
    expected = direct.adam(student, [imitate] * 3, learning_rate=0.01)
    direct.close(out.params, expected)
    assert direct.differ(expected, student, by=0.01)


def test_the_noise_of_undo_is_xavier_uniform_on_kernels_alone(tiny):
    """α = 0 leaves the suppressed model: its student equals its teacher and has no gradient."""
    given = {"suppress_rate": 0.02, "learning_rate": 1e-9, "epochs": 1, "batch_size": 24}
    suppressed, noisy = (
        undo(tiny.model, alpha=alpha, beta=beta, **given)(KEY, tiny.state(), tiny.request())[0].params
        for alpha, beta in ((0.0, 0.5), (0.4, 0.5))
    )
    for layer in ("dense0", "head"):
        np.testing.assert_allclose(noisy[layer]["bias"], 0.6 * suppressed[layer]["bias"], rtol=1e-4, atol=1e-7)
        noise = (noisy[layer]["kernel"] - 0.6 * suppressed[layer]["kernel"]) / 0.2
        bound = np.sqrt(6 / sum(noise.shape))
        assert np.abs(noise).max() <= bound * 1.001
        assert 0.75 * bound / np.sqrt(3) < noise.std() < 1.25 * bound / np.sqrt(3)
