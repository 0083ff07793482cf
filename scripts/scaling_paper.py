"""The part of `scaling.py` that is computed: FLOPs, device time, and where published devices fill up."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, NamedTuple

MEMBERS, RATES = 64, (0.1, 0.5, 1.0)


class Work(NamedTuple):
    """A training set-up.  concept: |F|.  model, args, shape: of a model of the library, none where it is on paper only."""

    rows: int
    concept: int
    epochs: int
    batch: int
    model: str = ""
    args: tuple[tuple[str, Any], ...] = ()
    shape: tuple[int, ...] = ()


WORK = {
    "digits, MLP 64-128-10": Work(1400, 140, 30, 64, "mlp", (("widths", (128,)),), (8, 8, 1)),
    "Fashion-MNIST, CNN 16-32-32": Work(60_000, 6_000, 15, 128, "cnn", (("widths", (16, 32, 32)),), (28, 28, 1)),
    "CIFAR-10, ResNet-9": Work(50_000, 5_000, 24, 512, "resnet9", (), (32, 32, 3)),
    "CIFAR-10, airbench": Work(50_000, 5_000, 10, 1000, "airbench", (), (32, 32, 3)),
    "CIFAR-10, ResNet-18": Work(50_000, 5_000, 200, 128, "resnet18", (), (32, 32, 3)),
    "CIFAR-10, ViT-Tiny": Work(50_000, 5_000, 200, 128, "vit", (), (32, 32, 3)),
    "ImageNet, ResNet-50": Work(1_281_167, 1_300, 90, 256),
    "TOFU, 1B language model fine-tuned": Work(4_000, 400, 5, 32),
    "20 G tokens, 1B language model": Work(9_765_625, 97_656, 1, 512),
}  # fmt: skip
# What the analytic ones are made of: tokens a sequence (100 a question with its answer is an assumption).
TOKENS = {"TOFU, 1B language model fine-tuned": 100, "20 G tokens, 1B language model": 2048}
LM_PARAMETERS, LM_LAYERS, LM_WIDTH = 10**9, 16, 2048

# Published peaks; not measured here.  Dense bfloat16 products, bytes a second, bytes, product engines.  What starting an
# operation costs (last column) is an assumption.
PUBLISHED = {
    "H100 SXM": (989e12, 3.35e12, 80e9, 132, 3e-6),
    "A100 SXM 80 GB": (312e12, 2.039e12, 80e9, 108, 3e-6),
    "TPU v4": (275e12, 1.2e12, 32e9, 8, 1e-6),
    "TPU v5e": (197e12, 0.819e12, 16e9, 4, 1e-6),
}
# airbench94 takes 3.6e14 FLOPs in 3.29 s of an A100 (Jordan 2024, arXiv 2404.00498, and its repository).
AIRBENCH_FLOPS, AIRBENCH_SECONDS, AIRBENCH_EPOCHS = 3.6e14, 3.29, 9.9
TILE = 128


class Section(NamedTuple):
    """A table of the page: rows of texts."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def si(value: float, digits: int = 3) -> str:
    """A number with its SI prefix."""
    if value == 0 or not math.isfinite(value):
        return str(value)
    power = min(max(math.floor(math.log10(abs(value)) / 3), 0), 8)
    return f"{value / 1000**power:.{digits}g} {' kMGTPEZY'[power]}".rstrip() if value < 1e27 else f"{value:.2g}"


def hours(value: float) -> str:
    """Device time in the unit that reads best."""
    for unit, size in (("years", 8766), ("days", 24), ("h", 1), ("min", 1 / 60)):
        if value >= size:
            return f"{value / size:,.3g} {unit}"
    return f"{3600 * value:.2g} s"


def resnet50(batch: int):
    """ResNet-50 at 224 × 224 by table 1 of He et al. 2016 (arXiv 1512.03385): backward costs twice the forward pass."""
    from unlearnax.costs import Member

    layers = [(112, 7 * 7 * 3, 64)]  # (side of the output, inputs of each, channels)
    channels = 64
    for side, width, blocks in ((56, 64, 3), (28, 128, 4), (14, 256, 6), (7, 512, 3)):
        for block in range(blocks):
            layers += [(side, channels, width), (side, 9 * width, width), (side, width, 4 * width)]
            layers += [(side, channels, 4 * width)] if block == 0 else []
            channels = 4 * width
    products = sum(side**2 * inputs * width for side, inputs, width in layers) + channels * 1000
    parameters = sum(inputs * width + 2 * width for _, inputs, width in layers) + (channels + 1) * 1000
    outputs = sum(side**2 * width for side, _, width in layers)
    return Member(6 * products, 2 * 2 * outputs, parameters, batch)  # convolution and norm, 2 bytes each


def language_model(tokens: int, batch: int):
    """6 N FLOPs a token (Kaplan et al. 2020, arXiv 2001.08361); 34 s h L bytes (Korthikanti et al. 2022, 2205.05198)."""
    from unlearnax.costs import Member

    return Member(6 * LM_PARAMETERS * tokens, 34 * tokens * LM_WIDTH * LM_LAYERS, LM_PARAMETERS, batch, slots=2)


def built(work: Work, dtype: str = "float32"):
    """A model of the library with the shape of its inputs."""
    from unlearnax import models
    from unlearnax.types import InputSpec

    inputs = InputSpec(work.shape)
    return models.MODELS[work.model](inputs, 10, **dict(work.args), dtype=dtype), inputs


@functools.cache
def cost_of(name: str):
    """The `Member` of a set-up, computing in bfloat16."""
    from unlearnax.costs import example_bytes, member

    work = WORK[name]
    if not work.model:
        return language_model(TOKENS[name], work.batch) if name in TOKENS else resnet50(work.batch)
    return dataclasses.replace(member(*built(work), work.batch), activations=example_bytes(*built(work, "bfloat16")))


def products(work: Work) -> list[tuple[float, int]]:
    """(FLOPs, tiles of the output) of every product in one step of a model of the library."""
    import jax
    import numpy as np

    from unlearnax.models.conv import convolution_form
    from unlearnax.training.tiles import mean_loss, step_shapes

    model, _ = built(work)
    found = []

    def walk(jaxpr) -> None:
        for eqn in jaxpr.eqns:
            if eqn.primitive.name in ("dot_general", "conv_general_dilated"):
                left, right = (v.aval.shape for v in eqn.invars)
                out = eqn.outvars[0].aval.shape
                if eqn.primitive.name == "dot_general":
                    (summed, _), (stacked, _) = eqn.params["dimension_numbers"]
                    inner, copies = (math.prod(left[i] for i in axes) for axes in (summed, stacked))
                    rows = math.prod(left) // (inner * copies)
                else:
                    inner = math.prod(right[:3]) // math.prod(eqn.params["lhs_dilation"])
                    copies, rows = 1, math.prod(out[:3])
                columns = math.prod(out) // (rows * copies)
                tiles = copies * math.ceil(rows / TILE) * math.ceil(columns / TILE)
                found.append((2.0 * math.prod(out) * inner, tiles))
            for value in eqn.params.values():
                for each in value if isinstance(value, list | tuple) else (value,):
                    inside = getattr(each, "jaxpr", each)
                    if hasattr(inside, "eqns"):
                        walk(inside)

    with convolution_form("native"):
        gradient = jax.grad(functools.partial(mean_loss, model))
        traced = jax.make_jaxpr(gradient)(*step_shapes(model, work.shape, np.dtype(np.float32), work.batch))
    walk(traced.jaxpr)
    return found


def filling_width(device, one, found: list[tuple[float, int]]) -> int:
    """The least power of two of members at once that keeps 90 % of the engines busy and outlasts the starts of operations."""
    for width in (2**i for i in range(21)):
        took = sum(flops * max(1.0, device.units / (width * tiles)) for flops, tiles in found)
        share = sum(flops for flops, _ in found) / took
        work = width * max(one.flops * one.batch / (device.rate * share), one.traffic / device.bandwidth)
        if share >= 0.9 and work >= 2 * len(found) * device.launch:  # one merged operation beside every product
            return width
    raise ValueError(f"Expected {device} to be filled by a million members.")


def published_devices() -> dict:
    """The devices of `PUBLISHED`."""
    from unlearnax.costs import Device

    return {name: Device(*numbers) for name, numbers in PUBLISHED.items()}


def costs_table(rate: float, shares: dict[str, float]) -> tuple[Section, Section]:
    """What one problem costs: FLOPs, then device time."""
    from unlearnax.costs import populations, problem_flops

    fraction = AIRBENCH_FLOPS / AIRBENCH_SECONDS / PUBLISHED["A100 SXM 80 GB"][0]
    here: dict[str, float] = dict(zip(("mlp", "cnn", "resnet9"), shares.values(), strict=True))
    flops_rows, time_rows = [], []
    for name, work in WORK.items():
        one = cost_of(name)
        single = populations(work.rows, (work.concept // 2,), work.concept)
        several = populations(work.rows, tuple(round(rate * work.concept) for rate in RATES), work.concept)
        first, all_rates = (problem_flops(one, work.epochs, MEMBERS, each) for each in (single, several))
        flops_rows.append((
            name, si(one.parameters), f"{work.rows:,} × {work.epochs}", str(work.batch), si(one.flops),
            si(one.run_flops(work.rows, work.epochs)), si(first), si(all_rates),
        ))  # fmt: skip
        share = here.get(work.model, here["resnet9"]) if work.model else None
        cells = ["–" if share is None else hours(first / (share * rate) / 3600)]
        for device in published_devices().values():
            fits = one.training_bytes(1, 1) < 0.9 * device.memory
            text = hours(first / device.attainable(one.intensity, fraction) / 3600)
            cells.append(text if fits else f"{text} (one member: {one.training_bytes(1, 1) / 1e9:.0f} GB)")
        time_rows.append((name, *cells))
    columns = (
        "data, model", "parameters", "rows × epochs", "batch", "FLOPs an example", "FLOPs a member",
        f"FLOPs, one rate ({5 * MEMBERS} members)", f"FLOPs, {len(RATES)} rates ({9 * MEMBERS} members)",
    )  # fmt: skip
    times = ("data, model", "this machine", *(f"{name}, at {100 * fraction:.0f} %" for name in PUBLISHED))
    return Section("flops", columns, flops_rows), Section("time", times, time_rows)


def saturation(rate: float, moved: float) -> tuple[Section, Section]:
    """Peaks of devices; what share of them each model can reach, and at how many members a device is full."""
    import jax

    from unlearnax.costs import Device
    from unlearnax.plans import memory_limit

    count = jax.local_device_count()
    everything = published_devices() | {
        "this machine (measured)": Device(rate, moved, memory_limit() * count, count, 1e-6)
    }
    published = [
        (name, si(d.rate), si(d.bandwidth), f"{d.memory / 1e9:.0f}", f"{d.rate / d.bandwidth:.0f}", str(d.units),
         f"{1e6 * d.launch:.0f}") for name, d in everything.items()
    ]  # fmt: skip
    rows = []
    for name, work in WORK.items():
        if not work.model:
            continue
        one, found = cost_of(name), products(work)
        cells = []
        for device in everything.values():
            fits = int((0.9 * device.memory) // (one.state + one.working))
            share = device.attainable(one.intensity) / device.rate
            cells.append(f"{filling_width(device, one, found):,}, {fits:,}, {100 * share:.0f} %")
        rows.append((name, f"{one.intensity:.0f}", *cells))
    columns = ("device", "FLOP/s", "bytes/s", "memory, GB", "FLOPs a byte at the ridge", "engines", "µs an operation")
    return Section("devices", columns, published), Section("width", ("data, model", "FLOPs a byte", *everything), rows)


def checks() -> Section:
    """The counts beside published ones."""
    airbench = cost_of("CIFAR-10, airbench").flops * 50_000 * AIRBENCH_EPOCHS
    res = resnet50(1)
    return Section("checks", ("count", "here", "published", "source"), [
        ("airbench94, FLOPs of a run", si(airbench), si(AIRBENCH_FLOPS), "repository of Jordan 2024"),
        ("ResNet-50, multiply-adds forward", si(res.flops / 6), "3.8 G", "He et al. 2016, table 1"),
        ("ResNet-50, parameters", si(res.parameters), "25.6 M", "Zagoruyko and Komodakis 2016, table 5 (arXiv 1605.07146)"),
    ])  # fmt: skip
