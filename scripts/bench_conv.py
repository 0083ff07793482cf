"""What `bench.py` says of convolutions and pooling: each part inside a compiled loop, one core, beside XLA's own form."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# Batch, side, input and output channels, stride: layers of the small CNN and of ResNet-9.
LAYERS = (
    (128, 14, 16, 32, 2), (128, 7, 32, 32, 2), (64, 32, 3, 64, 1), (64, 32, 64, 128, 1), (64, 16, 128, 128, 1),
    (64, 16, 128, 256, 1), (64, 8, 256, 512, 1), (64, 4, 512, 512, 1),
)  # fmt: skip
# Above this many operations XLA's own gradients take too long to wait for.
PATIENCE = 1e9


def core_seconds(call: Callable[..., Any], args: tuple, loops: int, repeats: int) -> float:
    """Least core seconds of one call inside a loop in which every call depends on the one before."""
    import jax

    def body(_: Any, found: Any) -> Any:
        slight = 1e-20 * jax.tree.leaves(found)[0].ravel()[0]
        return call(*(a + slight for a in args))

    first = jax.eval_shape(call, *args)
    zeros = jax.tree.map(lambda a: jax.numpy.zeros(a.shape, a.dtype), first)
    program = jax.jit(lambda zeros: jax.lax.fori_loop(0, loops, body, zeros)).lower(zeros).compile()
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        jax.block_until_ready(program(zeros))
        times.append((time.process_time() - start) / loops)
    return min(times[1:])


def rows(repeats: int) -> list[dict[str, Any]]:
    """Core milliseconds of forward pass and both gradients, ours and XLA's, and what products of as many FLOPs take."""
    import flax.linen as nn
    import jax
    import jax.numpy as jnp

    from unlearnax.models.conv import LAYOUT, conv_general_dilated
    from unlearnax.models.pooling import max_pool

    large = jnp.ones((1024, 1024))
    rate = 2 * 1024**3 / core_seconds(lambda a: a @ large, (large,), 8, repeats)
    found: list[dict[str, Any]] = []
    for batch, side, channels, width, stride in LAYERS:
        x, w = jnp.ones((batch, side, side, channels)), jnp.ones((3, 3, channels, width))
        out = -(-side // stride)
        g, flops = jnp.ones((batch, out, out, width)), 2 * 9 * channels * width * batch * out**2
        loops = max(1, int(0.02 * rate / flops))
        row = {
            "case": f"{batch} × {side} × {side}, {channels} → {width}, stride {stride}",
            "limit, ms": 1e3 * flops / rate,
        }
        for name, conv in (("ours", conv_general_dilated), ("XLA's", jax.lax.conv_general_dilated)):

            def run(x, w, conv=conv, stride=stride):
                return conv(x, w, (stride, stride), "SAME", dimension_numbers=LAYOUT)

            parts: dict[str, tuple[Callable[..., Any], tuple]] = {"forward": (run, (x, w))}
            if name == "ours" or flops < PATIENCE:
                parts["input gradient"] = (lambda w, g, x=x, run=run: jax.vjp(lambda x: run(x, w), x)[1](g)[0], (w, g))
                parts["weight gradient"] = (lambda x, g, w=w, run=run: jax.vjp(lambda w: run(x, w), w)[1](g)[0], (x, g))
            for part in ("forward", "input gradient", "weight gradient"):
                measured = 1e3 * core_seconds(*parts[part], loops, repeats) if part in parts else None
                row[f"{part}, {name}"] = measured
        found.append(row)
    x = jnp.ones((64, 32, 32, 128))
    for name, pool in (("ours", max_pool), ("XLA's", lambda x: nn.max_pool(x, (2, 2), (2, 2)))):

        def both(x, pool=pool):
            y, pull = jax.vjp(pool, x)
            return pull(y)[0]

        row: dict[str, Any] = dict.fromkeys(found[0]) | {
            "case": f"max-pooling 64 × 32 × 32 × 128 and its gradient, {name}"
        }
        found.append(row | {f"forward, {name}": 1e3 * core_seconds(both, (x,), 2, repeats)})
    return found
