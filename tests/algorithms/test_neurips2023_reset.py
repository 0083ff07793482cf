"""Place 6 of the NeurIPS 2023 competition: the steps written out, what is drawn anew and what is left alone."""

import numpy as np
import pytest
from neurips2023_steps import SGD, always, cosine, descend, run

from unlearnax.algorithms import (
    decoupled_reset,
)
from unlearnax.models import mlp
from unlearnax.types import InputSpec


@pytest.fixture(scope="module")
def deep():
    """Layers dense0, dense1, head."""
    return mlp(InputSpec((4,), mean=1.0, std=1.5), 3, widths=(8, 7))


def test_decoupled_reset_distils_on_validation_then_holds_on_retain(tiny, deep, direct):
    """First layer and head are fresh, the one between is kept; the second stage begins with a fresh momentum."""
    original, fresh, v, r = (
        tiny.state(deep).params,
        tiny.state(deep, seed=9),
        tiny.rows["validation"],
        tiny.rows["retain"],
    )
    assert len(v) == 8
    given = {"temperature": 2.0, "warmup_learning_rate": 0.1, "warmup_epochs": 2, "learning_rate": 0.05, "epochs": 3}
    out = run(
        decoupled_reset,
        tiny,
        always(deep, fresh),
        tiny.state(deep),
        tiny.request(retain=r[:8]),
        batch_size=8,
        **given,
        **SGD,
    )
    logits = lambda p, rows: deep.apply(p, {}, tiny.x[rows], train=False, key=None)[0]  # noqa: E731

    def distil(p, rows=v):
        return direct.kl(logits(original, rows), logits(p, rows), 2.0).mean()

    def hold(p):
        rows = r[:8]
        loss = -direct.log_p(logits(p, rows))[np.arange(8), tiny.y[rows]].mean()
        return loss + 2 * distil(p, rows)

    start = {"dense0": fresh.params["dense0"], "dense1": original["dense1"], "head": fresh.params["head"]}
    warm = descend(start, [(distil, 0.1)] * 2)
    direct.close(out, descend(warm, [(hold, rate) for rate in cosine(0.05, 3)]))
