"""What `bench.py` trains: the same nets, batches and steps in both frameworks."""

from __future__ import annotations

from typing import Any

# target: times PyTorch's best.  plans: how our members run.  stacked: how many models PyTorch trains in one program.
CASES: dict[str, dict[str, Any]] = {
    "digits MLP 64-128-10": {
        "model": "mlp", "args": {"widths": (128,)}, "shape": (8, 8, 1), "rows": 1400, "batch": 64, "steps": 630,
        "members": 64, "plans": ("map", "vmap:16"), "target": 8.0,
    },
    "mixer, 28 × 28, width 64, 2 blocks": {
        "model": "mixer", "args": {"patch": 4, "width": 64, "depth": 2}, "shape": (28, 28, 1), "rows": 2560, "batch": 128,
        "steps": 20, "members": 4, "plans": ("map",), "target": 2.0,
    },
    "ViT, 28 × 28, width 64, 4 blocks, 4 heads": {
        "model": "vit", "args": {"patch": 4, "width": 64, "depth": 4, "heads": 4}, "shape": (28, 28, 1), "rows": 2560,
        "batch": 128, "steps": 10, "members": 2, "plans": ("map",), "target": 2.0,
    },
    "CNN, 28 × 28, 16-32-32 channels": {
        "model": "cnn", "args": {"widths": (16, 32, 32)}, "shape": (28, 28, 1), "rows": 2560, "batch": 128, "steps": 60,
        "members": 8, "plans": ("map",), "target": 1.0, "stacked": (4,),
    },
    "ResNet-9, 32 × 32 × 3": {
        "model": "resnet9", "args": {}, "shape": (32, 32, 3), "rows": 512, "batch": 64, "steps": 3, "members": 2,
        "plans": ("map",), "target": 1.0, "stacked": (2,),
    },
}  # fmt: skip


def ready(case: dict[str, Any]) -> tuple:
    """Model, recipe, world and inputs of a case, on random images."""
    import numpy as np

    from unlearnax import models
    from unlearnax.recipes import Recipe
    from unlearnax.types import InputSpec, World

    rng, rows = np.random.default_rng(0), case["rows"]
    x = rng.integers(0, 256, (rows, *case["shape"])).astype(np.uint8)
    world = World(x, rng.integers(0, 10, rows).astype(np.int32), np.arange(rows))
    inputs = InputSpec(case["shape"], 128.0, 64.0)
    recipe = Recipe(
        model=case["model"], model_args=tuple(case["args"].items()), batch_size=case["batch"], epochs=None,
        steps=case["steps"],
    )  # fmt: skip
    return models.build(recipe, inputs, 10), recipe, world, inputs
