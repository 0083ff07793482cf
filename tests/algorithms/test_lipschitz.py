"""JiT against its steps written out."""

import jax
import jax.numpy as jnp
import numpy as np

from unlearnax import batching
from unlearnax.algorithms import lipschitz
from unlearnax.models import mlp
from unlearnax.types import InputSpec

KEY = jax.random.key(0)

FULL = {"batch_size": 24}  # each of the 24 of R once, each of the 12 of S twice


def run(algorithm, tiny, request=None, **given):
    return algorithm(tiny.model, **FULL | given)(KEY, tiny.state(), request or tiny.request())


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
