"""The interactive plots of the page, as plain plotly specifications; the page's script adds the theme's colours."""

from __future__ import annotations

import html
from typing import Any

from unlearnax.report import style
from unlearnax.report.load import (
    UNLEARNING,
    UNTRAINING,
    Run,
    Value,
    close_limits,
    compass_points,
    distance,
    forest_oracle,
    forms,
    has_compass,
    is_control,
    whole_limits,
)
from unlearnax.results import ProblemRow

Spec = dict[str, Any]


def _hover(run: Run, problem: str, candidate: str, lines: list[str]) -> str:
    """Text of a point's tooltip.  plotly reads a subset of HTML in it, so everything from the rows is escaped."""
    verdict = run.verdict(problem, candidate)
    cost = run.row(problem, candidate, "cost/share")
    text = [f"<b>{html.escape(candidate)}</b>", *lines]
    if verdict:
        goal = "control" if is_control(verdict.kind) else f"declared goal: {html.escape(style.goal_name(verdict.goal))}"
        text += [goal, f"verdict: <b>{html.escape(verdict.verdict)}</b>"]
    if cost:
        text.append(f"cost: {style.number(100 * cost.value, 1)} % of a retrain")
    if verdict and verdict.hyperparameters:
        # plotly does not wrap: break where a reader would
        text.append("<br>".join(html.escape(part) for part in _wrapped(verdict.hyperparameters)))
    return "<br>".join(text)


def _wrapped(text: str, width: int = 48) -> list[str]:
    lines = [""]
    for word in text[:400].split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _described(name: str, value: Value) -> str:
    return f"{html.escape(name)}: {style.number(value.value)} {style.interval(value.low, value.high)}"


def _error(value: Value) -> Spec:
    plus, minus = max(value.high - value.value, 0.0), max(value.value - value.low, 0.0)
    return {"type": "data", "symmetric": False, "array": [plus], "arrayminus": [minus], "thickness": 1.3, "width": 3}


def _trace(candidate: str, mark: style.Mark, x: float, y: Any, hover: str, **more: Any) -> Spec:
    control = mark.colour is None
    marker = {"symbol": mark.shape + ("-open" if control else ""), "size": 10, "color": mark.colour or "#777777"}
    marker["line"] = {"width": 1.6 if control else 0.8}
    return {
        "type": "scatter", "mode": "markers", "x": [x], "y": [y], "name": html.escape(candidate), "marker": marker,
        "hovertemplate": hover.replace("%{", "%&#123;") + "<extra></extra>",
        "meta": {"candidate": candidate, "control": control}, **more,
    }  # fmt: skip


def _band(axis: str, margin: float, colour: str) -> Spec:
    other = "y" if axis == "x" else "x"
    return {
        "type": "rect", f"{axis}ref": axis, f"{other}ref": "paper", f"{axis}0": -margin, f"{axis}1": margin,
        f"{other}0": 0, f"{other}1": 1, "fillcolor": colour, "opacity": 0.13, "line": {"width": 0}, "layer": "below",
    }  # fmt: skip


def _landmark(x: float, y: float, colour: str, name: str, above: bool) -> Spec:
    return {
        "type": "scatter", "mode": "markers", "x": [x], "y": [y], "meta": {"landmark": True},
        "marker": {"symbol": "diamond", "size": 17, "color": colour},
        "hovertemplate": f"<b>{name}</b><extra></extra>", "name": name,
    }  # fmt: skip


def _note(text: str, x: float, y: float, colour: str | None, **more: Any) -> Spec:
    font = {"size": 12} | ({"color": colour} if colour else {})
    return {"text": text, "x": x, "y": y, "showarrow": False, "font": font, **more}


def _layout(x_title: str, y_title: str, xlim, ylim) -> Spec:
    return {
        "xaxis": {"title": {"text": x_title, "standoff": 8}, "range": list(xlim), "zeroline": False},
        "yaxis": {"title": {"text": y_title, "standoff": 6}, "range": list(ylim), "zeroline": False},
        "showlegend": False, "hovermode": "closest", "dragmode": "zoom",
        "margin": {"l": 58, "r": 14, "t": 14, "b": 50},
    }  # fmt: skip


def _compass(run: Run, problem: ProblemRow, form: str, marks: dict[str, style.Mark]) -> Spec | None:
    points, margin = compass_points(run, problem.problem, form), run.margin(problem.problem)
    if not points:
        return None
    xlim, ylim = whole_limits([p.x for p in points]), whole_limits([p.y for p in points])
    ylim = ylim[0], max(ylim[1], 1.3)  # room for the untraining oracle's name
    data = [
        _landmark(0, 1, style.BLUE, style.oracle_name(UNTRAINING), True),
        _landmark(1, 0, style.ORANGE, style.oracle_name(UNLEARNING), False),
    ]
    notes = [
        _note("untraining oracle", 0, ylim[1], style.BLUE, xanchor="left", xshift=-8, yanchor="top"),
        _note("unlearning oracle", 1, 0, style.ORANGE, xanchor="right", xshift=-14),
    ]
    for p in points:
        lines = [_described("to untraining oracle", p.x), _described("to unlearning oracle", p.y)]
        hover = _hover(run, problem.problem, p.candidate, lines)
        errors = {"error_x": _error(p.x), "error_y": _error(p.y)}
        data.append(_trace(p.candidate, marks[p.candidate], p.x.value, p.y.value, hover, **errors))
        if p.x.value > xlim[1] or p.y.value > ylim[1]:
            # out of the picture: an arrow at the border says who and where; zooming out shows the point
            text = f"{html.escape(p.candidate)} ({style.number(p.x.value)}, {style.number(p.y.value)})"
            place = {"x": min(p.x.value, xlim[1]), "y": min(p.y.value, ylim[1])}
            arrow = {"showarrow": True, "arrowhead": 2, "ax": -26 if p.x.value > xlim[1] else 0, "ay": 22}
            notes.append(
                {"text": text, "name": p.candidate, "font": {"size": 11}, "xanchor": "right", **place, **arrow}
            )
    layout = _layout("distance to untraining oracle", "distance to unlearning oracle", xlim, ylim)
    line = {"type": "line", "x0": 0, "y0": 1, "x1": 1, "y1": 0, "layer": "below", "line": {"width": 1, "dash": "dot"}}
    layout |= {"shapes": [_band("x", margin, style.BLUE), _band("y", margin, style.ORANGE), line], "annotations": notes}
    close_x, close_y = close_limits(points, margin)
    views = {"whole": [list(xlim), list(ylim)], "close": [list(close_x), list(close_y)]}
    return {"form": style.FORM_NAMES[form], "data": data, "layout": layout, "views": views, "height": 440}


def _forest(run: Run, problem: ProblemRow, form: str, oracle: str, marks: dict[str, style.Mark]) -> Spec | None:
    found = {n: v for n in marks if (v := distance(run, problem.problem, n, form, oracle))}
    if not found:
        return None
    limits = whole_limits(list(found.values()))
    if problem.scale == "absolute":
        ends = [0.0, *(e for v in found.values() for e in (v.low, v.high))]
        pad = 0.08 * (max(ends) - min(ends)) or 1.0
        limits = min(ends) - pad, max(ends) + pad
    data, notes, title = [], [], f"to {style.oracle_name(oracle)}"
    for name, value in found.items():
        hover = _hover(run, problem.problem, name, [_described(title, value)])
        data.append(_trace(name, marks[name], value.value, html.escape(name), hover, error_x=_error(value)))
        if value.value > limits[1]:
            text = f"{style.number(value.value)} →"
            notes.append(_note(text, limits[1], html.escape(name), None, name=name, xanchor="right"))  # type: ignore[arg-type]
    short = html.escape(title.split(" A(")[0])  # a phone has no room for the symbol
    layout = _layout(f"distance {short}", "", limits, (len(found) - 0.5, -0.5))
    layout["yaxis"] |= {"type": "category", "automargin": True, "title": {"text": ""}}
    shapes = [] if problem.scale == "absolute" else [_band("x", run.margin(problem.problem), style.BLUE)]
    zero = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": 0, "x1": 0, "layer": "below", "line": {"width": 1}}
    layout |= {"shapes": [*shapes, zero], "annotations": notes}
    return {"form": style.FORM_NAMES[form], "data": data, "layout": layout, "views": {}, "height": 90 + 26 * len(found)}


def plots(run: Run, problem: ProblemRow, marks: dict[str, style.Mark] | None = None) -> list[Spec]:
    """Plots of one problem, one for each form of the distance: a compass, or a forest where there is one axis only.

    marks: of the run's candidates, where a page shows other runs too.
    """
    marks, name = marks or style.run_marks(run), problem.problem
    oracle = forest_oracle(run, name)
    if oracle is None:
        return []
    if has_compass(run, problem):
        found = [_compass(run, problem, form, marks) for form in forms(run, name)]
    else:
        found = [_forest(run, problem, form, oracle, marks) for form in forms(run, name)]
    return [spec for spec in found if spec]
