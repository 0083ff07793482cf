"""REM against its steps written out, and on labels that are wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax import batching
from unlearnax.algorithms import do_nothing, fine_tune, rem
from unlearnax.models import from_functions, mlp
from unlearnax.types import InputSpec, Request, TrainState

KEY = jax.random.key(1)
WIDTH = 8
FULL = {"batch_size": 36}  # a pass of D is one batch of its 36, a pass of S one of its 12, each three times


class Written:
    """The widened network and its two objectives, on rows `s` of S and `r` of R."""

    def __init__(self, tiny, direct, s, r, original, *, p_mem, beta):
        key_new, key_head, key_masks, _ = jax.random.split(KEY, 4)
        self.tiny, self.direct, self.beta = tiny, direct, beta
        self.s, self.d = s, np.append(s, r)
        head = jax.random.normal(key_head, (WIDTH, 3)) / np.sqrt(WIDTH)
        self.start = {"old": original, "new": tiny.model.init(key_new)[0], "head": head}
        numbers = np.where(np.isin(self.d, self.s), 52, self.d)  # there are 52 rows
        masks = [jax.random.bernoulli(jax.random.fold_in(key_masks, int(i)), p_mem, (WIDTH,)) for i in numbers]
        self.masks = np.stack(masks)
        self.before = self.losses(self.start)[1]

    def losses(self, params):
        """Of the old network, and of both together, `[36]` each, S first."""
        x, y = self.tiny.x[self.d], self.tiny.y[self.d]
        layer = params["new"]["dense0"]
        hidden = jnp.maximum((x - 1.0) / 1.5 @ layer["kernel"] + layer["bias"], 0)
        old = self.direct.logits(params["old"], x)
        both = old + (self.masks * hidden) @ params["head"]
        return tuple(-self.direct.log_p(z)[np.arange(36), y] for z in (old, both))

    def rise(self, now):
        return jnp.log(1 / (1 + jnp.exp(-self.beta * (now - self.before))))

    def purge(self, params):
        return -2 / self.beta * self.rise(self.losses(params)[0])[:12].mean()

    def redirect(self, params):
        old, both = self.losses(params)
        pushed = jnp.where(np.arange(36) < 12, self.rise(old), 0.0)
        return 2 / self.beta * (self.rise(both) - pushed).mean()

    def accuracy(self, params, rows):
        right = self.direct.logits(params["old"], self.tiny.x[rows]).argmax(-1) == self.tiny.y[rows]
        return float(right.mean())


def one_class_and_rest(tiny):
    """S of class 2 only, so that its accuracy falls to 0, and R."""
    rows = np.append(tiny.rows["forget"], tiny.rows["retain"])
    s = rows[tiny.y[rows] == 2][:12]
    return s, np.setdiff1d(rows, s)


@pytest.mark.parametrize("threshold", [0.1, 0.9])
def test_purges_and_redirection_written_out(threshold, tiny, direct):
    rate, momentum, decay, p_mem, beta = 0.1, 0.5, 0.01, 0.6, 1.5
    s, r = one_class_and_rest(tiny)
    everything = tiny.request(forget=tiny.rows["none"][:1], retain=np.append(s, r))
    original, _ = fine_tune(tiny.model, **FULL, learning_rate=0.3, epochs=60)(KEY, tiny.state(), everything)
    written = Written(tiny, direct, s, r, original.params, p_mem=p_mem, beta=beta)
    slopes = jax.jit(jax.grad(written.purge)), jax.jit(jax.grad(written.redirect))
    params = written.start
    buffer = jax.tree.map(jnp.zeros_like, params)

    def step(params, buffer, slope):
        buffer = jax.tree.map(lambda b, g, p: momentum * b + g + decay * p, buffer, slope(params), params)
        return jax.tree.map(lambda p, b: p - rate * b, params, buffer), buffer

    counts, reached = [], []
    for _ in range(5):
        count = 0
        while count < 6 and written.accuracy(params, s) > threshold:
            moved, buffer = step(params, buffer, slopes[0])
            params, count = {**params, "old": moved["old"]}, count + 1  # the new channels wait
        params, buffer = step(params, buffer, slopes[1])
        lost = max(written.accuracy(params, s), threshold)
        counts.append(count)
        reached.append((written.accuracy(params, r) * (1 - lost), params["old"]))
    best = max(range(5), key=lambda i: reached[i][0])  # the first of equals
    assert counts[0] == {0.1: 6, 0.9: 5}[threshold]  # ended by their number, by the accuracy
    assert best == 2

    given = {"p_mem": p_mem, "beta": beta, "threshold": threshold, "max_purges": 6, "learning_rate": rate}
    algorithm = rem(tiny.model, **FULL, **given, momentum=momentum, weight_decay=decay, epochs=5)
    out, info = jax.jit(algorithm)(KEY, original, tiny.request(forget=s, retain=r))
    direct.close(out.params, reached[best][1])
    assert info.examples == 36 * (sum(counts) + 5)


def test_wrong_labels_that_s_does_not_name_are_put_right():
    """Labels of two classes swapped, a third of these found: what fine-tuning on R keeps, REM corrects."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    x = (2 * np.eye(4)[y] @ rng.normal(size=(4, 20)) + rng.normal(size=(400, 20))).astype(np.float32)
    concept = rng.permutation(np.flatnonzero(y < 2))[:60]
    labels = y.copy()
    labels[concept] = 1 - y[concept]
    s, rest, r = concept[:20], concept[20:], np.setdiff1d(np.arange(400), concept[:20])
    model = mlp(InputSpec((20,)), 4, widths=(32,))
    state = TrainState(*model.init(KEY), (), np.zeros((), np.int32))
    whole = Request(x, labels, *(batching.subset(rows) for rows in (s, np.arange(400), s)))
    state, _ = jax.jit(fine_tune(model, learning_rate=0.1, epochs=100, weight_decay=0.0))(KEY, state, whole)
    request = whole._replace(retain=batching.subset(r))

    def right(algorithm, rows):
        params = jax.jit(algorithm)(KEY, state, request)[0].params
        return float((model.apply(params, {}, x[rows], train=False, key=None)[0].argmax(-1) == y[rows]).mean())

    original, tuned, redirected = do_nothing(model), fine_tune(model), rem(model)
    assert max(right(original, rest), right(tuned, rest)) < 0.3
    assert right(redirected, rest) > 0.8
    assert right(redirected, s) > 0.8
    assert right(redirected, np.setdiff1d(np.arange(400), concept)) > 0.98


def test_new_channels_and_masks_are_drawn_by_key(tiny, direct):
    algorithm = rem(tiny.model, **FULL, learning_rate=0.1, p_mem=0.5, epochs=2)
    out = [algorithm(jax.random.key(i), tiny.state(), tiny.request())[0].params for i in range(2)]
    assert direct.differ(*out)


def test_the_last_layer_may_be_anything(tiny, direct):
    """The new head is its own: nothing is asked of the old one, not even a kernel."""

    def init(key):
        return {"w": jax.random.normal(key, (4, 3))}, {}

    model = from_functions("bare", init, lambda params, state, x, *, train, key: (x @ params["w"], state),
                           InputSpec((4,)), 3)  # fmt: skip
    out, _ = rem(model, **FULL, learning_rate=0.1, epochs=2)(KEY, tiny.state(model), tiny.request())
    assert direct.differ(out.params, tiny.state(model).params)
