"""What `bench.py` compares with: the same nets, batches, schedule and decay in PyTorch, at its best setting.

Ways to train many models: a loop in one process with all threads; a loop in as many processes of one thread as there are
cores, together; for convolutional nets also each of the two with channels last in memory, and one program that stacks the
models as groups of its convolutions.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

CONVOLUTIONAL = ("cnn", "resnet9")
Pair = tuple[float, float]


def _mlp(shape: tuple[int, ...], classes: int, *, widths: tuple[int, ...]) -> Any:
    from torch import nn  # pyright: ignore[reportMissingImports]

    sizes = (int(np.prod(shape)), *widths)
    hidden = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(sizes[-1], classes))


def _tokens(x: Any, patch: int) -> Any:
    """`[B, C, H, W]` to patches `[B, tokens, patch² C]`."""
    n, channels, height, width = x.shape
    x = x.reshape(n, channels, height // patch, patch, width // patch, patch).permute(0, 2, 4, 3, 5, 1)
    return x.reshape(n, -1, patch * patch * channels)


def _mixer(shape: tuple[int, ...], classes: int, *, patch: int, width: int, depth: int) -> Any:
    from torch import nn  # pyright: ignore[reportMissingImports]

    tokens = (shape[0] // patch) * (shape[1] // patch)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
            self.tokens = nn.Sequential(nn.Linear(tokens, 2 * width), nn.GELU("tanh"), nn.Linear(2 * width, tokens))
            self.channels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU("tanh"), nn.Linear(2 * width, width))

        def forward(self, x: Any) -> Any:
            x = x + self.tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
            return x + self.channels(self.norms[1](x))

    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(patch * patch * shape[2], width)
            self.blocks = nn.Sequential(*(Block() for _ in range(depth)))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

        def forward(self, x: Any) -> Any:
            return self.head(self.norm(self.blocks(self.embed(_tokens(x, patch)))).mean(1))

    return Mixer()


def _vit(shape: tuple[int, ...], classes: int, *, patch: int, width: int, depth: int, heads: int) -> Any:
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    class ViT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            tokens = (shape[0] // patch) * (shape[1] // patch)
            self.embed = nn.Linear(patch * patch * shape[2], width)
            self.first = nn.Parameter(torch.zeros(1, 1, width))
            self.place = nn.Parameter(0.02 * torch.randn(1, tokens + 1, width))
            block = nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout=0.0, batch_first=True, norm_first=True,
                activation=lambda x: nn.functional.gelu(x, approximate="tanh"),
            )  # fmt: skip
            self.blocks = nn.TransformerEncoder(block, depth, nn.LayerNorm(width), enable_nested_tensor=False)
            self.head = nn.Linear(width, classes)

        def forward(self, x: Any) -> Any:
            x = self.embed(_tokens(x, patch))
            x = torch.cat([self.first.expand(len(x), 1, -1), x], 1) + self.place
            return self.head(self.blocks(x)[:, 0])

    return ViT()


def _convolutional(name: str, shape: tuple[int, ...], classes: int, count: int, args: dict[str, Any]) -> Any:
    """`count` nets as groups of one: `[B, count · C, H, W]` to logits `[count, B, classes]`; a single one has no groups."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    def convolution(a: int, b: int, **options: Any) -> Any:
        return nn.Conv2d(count * a, count * b, 3, padding=1, groups=count, **options)

    def unit(a: int, b: int) -> Any:
        return nn.Sequential(convolution(a, b, bias=False), nn.BatchNorm2d(count * b), nn.ReLU(inplace=True))

    class Residual(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.inner = nn.Sequential(unit(width, width), unit(width, width))

        def forward(self, x: Any) -> Any:
            return x + self.inner(x)

    if name == "cnn":
        sizes = (shape[2], *args["widths"])
        layers = [layer for a, b in itertools.pairwise(sizes) for layer in (convolution(a, b, stride=2), nn.ReLU())]
        depth = len(args["widths"])
        size = sizes[-1] * -(-shape[0] // 2**depth) * -(-shape[1] // 2**depth)
    else:
        w = args.get("width", 64)
        layers = [
            unit(shape[2], w), unit(w, 2 * w), nn.MaxPool2d(2), Residual(2 * w), unit(2 * w, 4 * w), nn.MaxPool2d(2),
            unit(4 * w, 8 * w), nn.MaxPool2d(2), Residual(8 * w), nn.AdaptiveMaxPool2d(1),
        ]  # fmt: skip
        size = 8 * w

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(*layers)
            self.head = nn.Parameter(torch.randn(count, size, classes) / size**0.5)
            self.bias = nn.Parameter(torch.zeros(count, 1, classes))

        def forward(self, x: Any) -> Any:
            features = self.body(x).reshape(len(x), count, size).transpose(0, 1)
            return features @ self.head + self.bias

    return Net()


def _net(case: dict[str, Any], classes: int, count: int) -> Any:
    name, shape, args = case["model"], case["shape"], case["args"]
    if name in CONVOLUTIONAL:
        return _convolutional(name, shape, classes, count, args)
    return {"mlp": _mlp, "mixer": _mixer, "vit": _vit}[name](shape, classes, **args)


def _train(net: Any, draw: Callable[[], tuple[Any, Any]], steps: int) -> None:
    """SGD with momentum, decay and a cosine schedule."""
    import torch  # pyright: ignore[reportMissingImports]

    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        x, y = draw()
        optimizer.zero_grad()
        logits = net(x)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="sum") / y.shape[-1]
        loss.backward()
        optimizer.step()
        schedule.step()


def _seconds(case: dict[str, Any], threads: int, runs: int, count: int = 1, *, channels_last: bool = False) -> Pair:
    """Median wall and core seconds of `runs` trainings, each of `count` models in one program, after one not counted."""
    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(threads)
    shape, rows, batch = case["shape"], case["rows"], case["batch"]
    rng = np.random.default_rng(0)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.tensor(rng.random((rows, shape[2], *shape[:2]), np.float32))
    y = torch.tensor(rng.integers(0, 10, rows))

    def draw() -> tuple[Any, Any]:
        taken = torch.randint(rows, (batch, count))  # every model has batches of its own
        return x[taken].flatten(1, 2).contiguous(memory_format=memory), y[taken].T

    times = []
    for _ in range(runs + 1):
        start, cores = time.perf_counter(), time.process_time()
        _train(_net(case, 10, count).to(memory_format=memory), draw, case["steps"])
        times.append((time.perf_counter() - start, time.process_time() - cores))
    wall, cores = zip(*times[1:], strict=True)
    return statistics.median(wall), statistics.median(cores)


def _worker(case: dict[str, Any], runs: int, channels_last: bool, start: Any, found: Any) -> None:
    start.wait()
    found.put(_seconds(case, 1, runs, channels_last=channels_last))


def _together(case: dict[str, Any], runs: int, cores: int, *, channels_last: bool) -> Pair:
    """Wall and core seconds a model when every core trains one in a process of its own."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(cores), context.Queue()
    workers = [context.Process(target=_worker, args=(case, runs, channels_last, barrier, queue)) for _ in range(cores)]
    for worker in workers:
        worker.start()
    times = [queue.get() for _ in workers]
    for worker in workers:
        worker.join()
    wall, core = (statistics.mean(each) for each in zip(*times, strict=True))
    return wall / cores, core


def ways(case: dict[str, Any], runs: int) -> dict[str, Pair]:
    """Wall and core seconds a model by way.

    case: model, args, shape `(H, W, C)`, rows, batch, steps; stacked: numbers of models to stack.  runs: timed, each way.
    """
    cores = os.cpu_count() or 1
    found: dict[str, Pair] = {}
    for last in (False, True) if case["model"] in CONVOLUTIONAL else (False,):
        form = ", channels last" if last else ""
        found[f"one process of {cores} threads{form}"] = _seconds(case, cores, runs, channels_last=last)
        found[f"{cores} processes of one thread{form}"] = _together(case, runs, cores, channels_last=last)
    for count in case.get("stacked", ()):
        wall, core = _seconds(case, cores, runs, count)
        found[f"{count} models stacked as groups"] = wall / count, core / count
    return found
