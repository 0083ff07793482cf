"""SCRUB with rewinding against its steps written out."""

import functools

import jax
import numpy as np

from unlearnax.algorithms import scrub, scrub_rewind

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
    validation, picked, given = tiny.rows["validation"], [], {"max_epochs": 3, "batch_size": 12, "gamma": 0.5}

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def run(make, epochs, rate):
        made = make(tiny.model, epochs=epochs, learning_rate=rate, **given)
        return made(KEY, tiny.state(), tiny.request())[0]

    for rate in (0.02, 0.05, 0.1):
        students = [run(scrub, epochs, rate).params for epochs in (1, 2, 3, 4)]
        best = chosen(tiny, direct, students, validation)
        out = run(scrub_rewind, 4, rate)
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
