"""Place 1 of the NeurIPS 2023 competition: the steps written out, what is drawn anew and what is left alone."""

import jax
import jax.numpy as jnp
from neurips2023_steps import DECAY, MOMENTUM, SGD, cosine, on_retain, run

from unlearnax.algorithms import (
    fanchuan,
)


def test_fanchuan_takes_turns_with_three_momenta(tiny, direct):
    """S stands twice in its batches; the logits of R are constant in the contrast."""
    s, r, params = tiny.rows["forget"], tiny.rows["retain"], tiny.state().params
    out = run(
        fanchuan, tiny, temperature=1.5, uniform_learning_rate=0.1, forget_learning_rate=0.04, learning_rate=0.05,
        epochs=3, batch_size=24, **SGD,
    )  # fmt: skip

    def uniform(p):
        logits = direct.logits(p, tiny.x[s])
        return direct.kl(jnp.zeros_like(logits), logits).mean()

    def contrast(p, of_r):
        return -direct.log_p(direct.logits(p, tiny.x[s]) @ of_r.T / 1.5).mean()

    def subtract(p, rate, buffer):
        return jax.tree.map(lambda a, b: a - rate * b, p, buffer)

    params = subtract(params, 0.1, jax.grad(uniform)(params))
    push = hold = jax.tree.map(jnp.zeros_like, params)
    for rate in cosine(0.04, 3):
        slope = jax.grad(contrast)(params, direct.logits(params, tiny.x[r]))
        push = jax.tree.map(lambda b, g: MOMENTUM * b + g, push, slope)
        params = subtract(params, rate, push)
        slope = jax.grad(on_retain(tiny, tiny.model))(params)
        hold = jax.tree.map(lambda b, g, p: MOMENTUM * b + g + DECAY * p, hold, slope, params)
        params = subtract(params, 0.05, hold)
    direct.close(out, params)
