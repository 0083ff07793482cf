"""RMU against its steps written out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.algorithms import rmu
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
