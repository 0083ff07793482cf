"""Names beside points, where there is room for them: greedy placement that prefers a missing name to a collision."""

from __future__ import annotations

import dataclasses

from matplotlib.axes import Axes

CHARACTER, LINE = 0.58, 1.25  # width and height of a character of DejaVu Sans, in font sizes
# Right, left, above, below, then the corners, near and then farther off.
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
Box = tuple[float, float, float, float]  # left, bottom, right, top, in points of 1/72 inch


@dataclasses.dataclass(frozen=True)
class Label:
    """A name for a point at (x, y) in data coordinates; `required`: drawn even where it collides."""

    text: str
    x: float
    y: float
    colour: str
    size: float = 6.0
    gap: float = 4.5
    required: bool = False


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _distance(box: Box, x: float, y: float) -> float:
    return max(box[0] - x, x - box[2], 0.0) + max(box[1] - y, y - box[3], 0.0)


def _points(ax: Axes, x: float, y: float) -> tuple[float, float]:
    px, py = ax.transData.transform((x, y)) * 72 / ax.figure.dpi
    return float(px), float(py)


def place(ax: Axes, labels: list[Label], marks: list[tuple[float, float]], bars: list[Box]) -> None:
    """Writes names beside points.  Call when the layout is final.

    labels: in order of importance.  marks: all points to keep clear, in data coordinates.
    bars: error bars and lines in data coordinates (left, bottom, right, top), crossed if need be.
    """
    centres = [_points(ax, *mark) for mark in marks]
    hard = [(x - 3, y - 3, x + 3, y + 3) for x, y in centres]
    soft = [(*_points(ax, b[0], b[1]), *_points(ax, b[2], b[3])) for b in bars]
    (left, bottom), (right, top) = (_points(ax, *c) for c in zip(ax.get_xlim(), ax.get_ylim(), strict=True))
    for label in labels:
        x, y = _points(ax, label.x, label.y)
        lines = label.text.split("\n")
        width = CHARACTER * label.size * max(map(len, lines))
        height = LINE * label.size * len(lines)
        best: tuple[float, Box] | None = None
        for step, far in enumerate((0.0, 5.0, 11.0)):
            for i, (dx, dy) in enumerate(DIRECTIONS):
                shift = 0.8 if dx and dy else 1.0
                cx = x + dx * (width / 2 + (label.gap + far) * shift)
                cy = y + dy * (height / 2 + (label.gap - 1 + far) * shift)
                box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
                if box[0] < left or box[1] < bottom or box[2] > right or box[3] > top:
                    continue
                cost = 100.0 * sum(_overlap(box, b) for b in hard)
                # A name nearer to another point than to its own would be read as that one's.
                cost += 100.0 * any(_distance(box, *c) < _distance(box, x, y) for c in centres if c != (x, y))
                cost += 4 * sum(_overlap(box, b) for b in soft) + 2 * step + 0.1 * i
                if best is None or cost < best[0]:
                    best = cost, box
        if best is None or (best[0] >= 100 and not label.required):
            continue
        box = best[1]
        hard.append(box)
        offset = ((box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y)
        ax.annotate(
            label.text, (label.x, label.y), offset, textcoords="offset points", ha="center",
            va="center", fontsize=label.size, color=label.colour, zorder=6, linespacing=1.1,
        )  # fmt: skip
