"""RMU, DUCK, JiT and task-vector negation against the steps written out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax import batching
from unlearnax.algorithms import duck, fine_tune, lipschitz, rmu, task_vector
from unlearnax.models import cnn, mlp
from unlearnax.types import InputSpec

KEY = jax.random.key(0)
FULL = {"batch_size": 24}  # each of the 24 of R once, each of the 12 of S twice


def run(algorithm, tiny, request=None, **given):
    return algorithm(tiny.model, **FULL | given)(KEY, tiny.state(), request or tiny.request())


def features(params, x):
    return jnp.maximum((x - 1.0) / 1.5 @ params["dense0"]["kernel"] + params["dense0"]["bias"], 0)


def test_rmu_steers_s_to_one_vector_and_holds_r(tiny, direct):
    c, alpha, original = 3.0, 0.5, tiny.state().params
    x_s, x_r = tiny.x[tiny.rows["forget"]], tiny.x[tiny.rows["retain"]]
    u = np.array(jax.random.uniform(jax.random.split(KEY)[0], (8,)))
    u /= np.sqrt((u**2).sum())

    def objective(params):
        steered = ((features(params, x_s) - c * u) ** 2).sum(-1).mean()
        return steered + alpha * ((features(params, x_r) - features(original, x_r)) ** 2).sum(-1).mean()

    out = run(rmu, tiny, steering=c, alpha=alpha, learning_rate=0.05, epochs=6)[0].params
    direct.close(out, direct.adam(original, [objective] * 6, learning_rate=0.05))
    direct.close(out["head"], original["head"], rtol=0, atol=0)  # its input is what is steered


def test_rmu_draws_its_direction_by_key(tiny, direct):
    algorithm = rmu(tiny.model, **FULL, learning_rate=0.05, epochs=2)
    out = [algorithm(jax.random.key(i), tiny.state(), tiny.request())[0].params for i in range(2)]
    assert direct.differ(*out)


def test_rmu_in_a_hidden_layer_steers_what_it_puts_out(tiny, direct):
    """Before the ReLU, of a network with three hidden layers; trained are that layer and the one before."""
    model = mlp(InputSpec((4,), 1.0, 1.5), 3, widths=(8, 6, 5))
    original, c, alpha = tiny.state(model).params, 2.0, 0.5
    x_s, x_r = tiny.x[tiny.rows["forget"]], tiny.x[tiny.rows["retain"]]
    u = np.array(jax.random.uniform(jax.random.split(KEY)[0], (6,)))
    u /= np.sqrt((u**2).sum())

    def second(params, x):
        return features(params, x) @ params["dense1"]["kernel"] + params["dense1"]["bias"]

    def objective(params):
        steered = ((second(params, x_s) - c * u) ** 2).sum(-1).mean()
        return steered + alpha * ((second(params, x_r) - second(original, x_r)) ** 2).sum(-1).mean()

    given = {"layer": "dense1", "steering": c, "alpha": alpha, "learning_rate": 0.05, "epochs": 6}
    out = rmu(model, **FULL, **given)(KEY, tiny.state(model), tiny.request())[0].params
    direct.close(out, direct.adam(original, [objective] * 6, learning_rate=0.05))
    assert direct.differ(out["dense0"], original["dense0"])


def test_rmu_trains_the_layer_and_two_before_it(tiny, direct):
    model = mlp(InputSpec((4,), 1.0, 1.5), 3, widths=(8,) * 5, batch_norm=True)
    state = tiny.state(model)
    out, _ = rmu(model, **FULL, layer="dense2", learning_rate=0.05)(KEY, state, tiny.request())
    moved = {name for name in model.layers if direct.differ(out.params[name], state.params[name], by=0)}
    assert moved == {"dense1", "norm1", "dense2"}
    direct.close(out.model_state, state.model_state, rtol=0, atol=0)


def test_rmu_in_a_convolution_steers_every_position(tiny, direct):
    """One direction over channels, the mean over images and positions."""
    model = cnn(InputSpec((4, 4, 1)), 3, widths=(6, 5))
    x = np.random.default_rng(1).normal(size=(52, 4, 4, 1)).astype(np.float32)
    state, request = tiny.state(model), tiny.request(x=x)
    u = np.array(jax.random.uniform(jax.random.split(KEY)[0], (6,)))
    u /= np.sqrt((u**2).sum())
    x_s, x_r = x[tiny.rows["forget"]], x[tiny.rows["retain"]]

    def outputs(params, x):
        kernel, bias = params["conv0"]["kernel"], params["conv0"]["bias"]
        seen = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))  # "SAME" with stride 2 on an even size
        patches = jnp.stack([seen[:, i : i + 3, j : j + 3, :] for i in (0, 2) for j in (0, 2)], axis=1)
        return jnp.einsum("npijc,ijco->npo", patches, kernel) + bias

    def objective(params):
        steered = ((outputs(params, x_s) - 2.0 * u) ** 2).sum(-1).mean()
        return steered + 0.5 * ((outputs(params, x_r) - outputs(state.params, x_r)) ** 2).sum(-1).mean()

    given = {"layer": "conv0", "steering": 2.0, "alpha": 0.5, "learning_rate": 0.05, "epochs": 4}
    out = rmu(model, **FULL, **given)(KEY, state, request)[0].params
    direct.close(out, direct.adam(state.params, [objective] * 4, learning_rate=0.05))


def test_rmu_refuses_layers_that_cannot_be_asked_for(tiny):
    with pytest.raises(ValueError, match="Expected layer='dense1' to be one of dense0, head"):
        rmu(tiny.model, layer="dense1")
    with pytest.raises(ValueError, match="Expected layer='dense0' to be empty: model 'mlp' shows its features only"):
        rmu(dataclasses.replace(tiny.model, hidden=None), layer="dense0")


def cosine(a, b):
    return (a * b).sum() / jnp.sqrt((a**2).sum() * (b**2).sum())


@pytest.mark.parametrize("absent", [None, 2])
def test_duck_pulls_to_the_nearest_centroid_of_another_class(absent, tiny, direct):
    """A class that R does not have has no centroid."""
    original = tiny.state().params
    r = np.array([row for row in tiny.rows["retain"] if tiny.y[row] != absent])
    s = tiny.rows["forget"][: {24: 12, 15: 5}[len(r)]]  # a batch holds all of R, and each of S equally often
    present = sorted({int(tiny.y[row]) for row in r})
    centroids = {k: features(original, tiny.x[r[tiny.y[r] == k]]).mean(0) for k in present}
    nearest = [
        max((k for k in present if k != tiny.y[row]), key=lambda k: float(cosine(h, centroids[k])))
        for row in s
        for h in [features(original, tiny.x[row])]
    ]

    def distances(params):
        h = features(params, tiny.x[s])
        return jnp.stack([1 - cosine(h[i], centroids[k]) for i, k in enumerate(nearest)])

    def objective(params):
        log_p = direct.log_p(direct.logits(params, tiny.x[r]), 2.0)
        return 0.7 * distances(params).mean() - 1.2 * log_p[np.arange(len(r)), tiny.y[r]].mean()

    given = {"forget_weight": 0.7, "retain_weight": 1.2, "temperature": 2.0, "learning_rate": 0.02}
    given |= {"target_accuracy": 0.0, "retain_batches": 3, "epochs": 2, "batch_size": len(r)}
    out, info = run(duck, tiny, tiny.request(forget=s, retain=r), **given)
    direct.close(out.params, direct.adam(original, [objective] * 6, learning_rate=0.02))
    assert distances(out.params).mean() < distances(original).mean()
    assert info.examples == 6 * 2 * len(r)


def test_duck_ends_once_the_forget_set_is_no_longer_predicted(tiny, direct):
    """In one program: a member that never ends early, one that ends after its first epoch, one in between."""
    request, s = tiny.request(), tiny.rows["forget"]
    state, _ = fine_tune(tiny.model, **FULL, learning_rate=0.1, epochs=100)(KEY, tiny.state(), request)

    def passed(target, epochs=20):
        given = {"learning_rate": 0.1, "retain_batches": 1, "retain_weight": 0.0}
        return duck(tiny.model, **FULL, **given, epochs=epochs, target_accuracy=target)(KEY, state, request)

    states, info = jax.jit(jax.vmap(passed))(jnp.array([0.0, 0.5, 1.0]))
    epochs = (info.examples / 48).astype(int)
    assert epochs[0] == 20 > epochs[1] > epochs[2] == 1
    for lane, target in enumerate((0.0, 0.5, 1.0)):
        alone, _ = jax.jit(passed)(target)
        direct.close(jax.tree.map(lambda leaf, lane=lane: leaf[lane], states.params), alone.params)

    def accuracy(params):
        return (direct.logits(params, tiny.x[s]).argmax(-1) == tiny.y[s]).mean()

    assert accuracy(passed(0.0, int(epochs[1]) - 1)[0].params) >= 0.5
    assert accuracy(passed(0.0, int(epochs[1]))[0].params) < 0.5


def test_duck_leaves_alone_what_has_no_other_class(tiny, direct):
    one = np.flatnonzero(tiny.y == 1)
    request = tiny.request(forget=one[:3], retain=one[3:])
    with_pull, without = (
        run(duck, tiny, request, forget_weight=weight, target_accuracy=0.0, learning_rate=0.02, epochs=2)[0].params
        for weight in (1.0, 0.0)
    )
    direct.close(with_pull, without, rtol=0, atol=0)


def test_lipschitz_descends_the_mean_ratio_over_perturbations(tiny, direct):
    """Two passes of one batch; noise and order of its rows are drawn as the passes draw them."""
    params, s = tiny.state().params, batching.subset(tiny.rows["forget"])
    for number in range(2):
        key_orders, key_steps = jax.random.split(jax.random.fold_in(KEY, number))
        x = tiny.x[batching.shuffle(jax.random.split(key_orders, 1)[0], s)]
        unit = x.std()

        def objective(params, at, x=x, unit=unit, key=jax.random.fold_in(key_steps, 0)):
            total = 0.0
            for each in jax.random.split(key, 4):
                noisy = jnp.clip(x + 0.2 * unit * jax.random.normal(each, x.shape), x.min(), x.max())
                for a, b in zip(x, noisy, strict=True):
                    apart = direct.logits(params, a) - direct.logits(at, b)
                    total += jnp.sqrt((apart**2).sum()) / jnp.sqrt((((a - b) / unit) ** 2).sum())
            return total / 4

        params = direct.sgd(params, [lambda p, at=params, f=objective: f(p, at)], learning_rate=0.01)
    out = run(lipschitz, tiny, sigma=0.2, samples=4, learning_rate=0.01, epochs=2, batch_size=12)[0].params
    direct.close(out, params)


def test_lipschitz_means_the_same_in_any_unit_of_the_inputs(tiny, direct):
    given = {"learning_rate": 0.01, "epochs": 3, "batch_size": 6}
    raw = mlp(InputSpec((4,), mean=100.0, std=150.0), 3, widths=(8,))
    request = tiny.request(x=100 * tiny.x)
    scaled, _ = lipschitz(raw, **given)(KEY, tiny.state(raw), request)
    plain, _ = lipschitz(tiny.model, **given)(KEY, tiny.state(), tiny.request())
    direct.close(scaled.params, plain.params)


def test_lipschitz_reads_no_label(tiny, direct):
    given = {"learning_rate": 0.01, "epochs": 2, "batch_size": 12}
    requests = tiny.request(), tiny.request(y=(tiny.y + 1) % 3)
    direct.close(*(run(lipschitz, tiny, request, **given) for request in requests), rtol=0, atol=0)


def test_lipschitz_has_no_slope_where_nothing_can_be_perturbed(tiny, direct):
    """Inputs that are all alike are clipped back to themselves."""
    request = tiny.request(x=np.full_like(tiny.x, 0.5))
    direct.close(run(lipschitz, tiny, request, learning_rate=1.0)[0].params, tiny.state().params, rtol=0, atol=0)


def test_task_vector_goes_as_far_the_other_way(tiny, direct):
    original, s = tiny.state().params, tiny.rows["forget"]
    rate, decay, scale = 0.02, 0.3, 0.6
    slope = jax.jit(jax.grad(lambda params: direct.nll(params, tiny.x[s], tiny.y[s]).mean()))
    params = original
    first = second = jax.tree.map(jnp.zeros_like, params)
    for t in range(1, 6):  # AdamW: the decay apart from the moments
        grads = slope(params)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, grads)
        params = jax.tree.map(
            lambda p, m, v, t=t: p - rate * (m / (1 - 0.9**t) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8) + decay * p),
            params, first, second,
        )  # fmt: skip
    expected = jax.tree.map(lambda before, after: before - scale * (after - before), original, params)
    out = run(task_vector, tiny, scale=scale, learning_rate=rate, weight_decay=decay, epochs=5)[0].params
    direct.close(out, expected)
    assert direct.nll(out, tiny.x[s], tiny.y[s]).mean() > direct.nll(original, tiny.x[s], tiny.y[s]).mean() + 0.05


def test_task_vector_of_length_zero_and_batch_statistics_are_the_originals(tiny, direct):
    state = tiny.state(tiny.normed)
    out, _ = task_vector(tiny.normed, scale=0.0, learning_rate=0.05)(KEY, state, tiny.request())
    direct.close((out.params, out.model_state), (state.params, state.model_state), rtol=0, atol=0)
    moved, _ = task_vector(tiny.normed, learning_rate=0.05)(KEY, state, tiny.request())
    assert direct.differ(moved.params, state.params)
    direct.close(moved.model_state, state.model_state, rtol=0, atol=0)
