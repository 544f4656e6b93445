"""Accuracy-energy plot of a calibration: results in, a self-contained SVG document out.

This module computes the geometry, ``templates/front.svg`` draws it. The energy axis is
logarithmic; names stand in a column of their own, so that none covers another.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from advisor.recommend.records import Option
from api.cli.results import WorkloadResult
from api.pages import wording

WIDTH = 900
_LEFT, _RIGHT, _NAME_X = 70, 590, 628
"""Pixels: left and right end of the plotting area, left end of names."""
_HEAD, _FOOT, _NAME_GAP = 58, 46, 16
"""Pixels: above and below a plotting area, least distance between names."""
_ACCURACY_STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


def svg(results: Sequence[WorkloadResult], title: str, source: str) -> str:
    """The SVG document with one panel for each result, one below the other.

    Args:
        results: What to draw; each has at least one option.
        title: The machine.
        source: Source of the figures.
    """
    panels, top = [], 54.0
    for result in results:
        panels.append(_panel(result, top))
        top = panels[-1]["end"]
    return _template().render(
        panels=panels,
        title=title,
        origin=source,
        width=WIDTH,
        height=round(top),
        left=_LEFT,
        right=_RIGHT,
        names=_NAME_X,
    )


@functools.cache
def _template() -> Template:
    """The SVG template; values are escaped."""
    environment = Environment(
        loader=PackageLoader("api.pages"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("front.svg")


def _panel(result: WorkloadResult, top: float) -> dict[str, Any]:
    """Template context of one result: positions in pixels."""
    shown = [option for option in result.options if option.accuracy is not None]
    height = max(220, _NAME_GAP * len(shown) + 10)
    head, foot = top + _HEAD, top + _HEAD + height
    energy_axis = wording.axis(shown)
    low, high, step = _accuracy_range(shown)

    def x(value: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * energy_axis.at(value) / 100, 1)

    def y(accuracy: float) -> float:
        return round(foot - height * (accuracy - low) / (high - low), 1)

    on_front = {id(option) for option in result.front}
    points = [_point(option, x, y, id(option) in on_front) for option in shown]
    for point, place in zip(
        points, _spread_apart([p["y"] for p in points], head, foot), strict=True
    ):
        point["name_y"] = place
    front = [point for point in points if point["front"]]
    return {
        "workload": result.workload,
        "energy": wording.SCOPE[result.scope],
        "points": points,
        "front": _step_line(front),
        "x_ticks": [(x(value), f"{value:g}") for value in _energy_ticks(energy_axis)],
        "y_ticks": [
            (y(n * step), f"{n * step:.3g}")
            for n in range(round(low / step), round(high / step) + 1)
        ],
        "head": head,
        "foot": foot,
        "end": foot + _FOOT,
    }


def _point(option: Option, x: Any, y: Any, front: bool) -> dict[str, Any]:
    """Template context of one option: its point and both intervals, in pixels."""
    energy, accuracy = option.energy_j_per_1000, option.accuracy
    known = wording.bounds(energy)
    value = energy.value or max(known, default=1.0)
    low, high = energy.low or min(known, default=value), energy.high or value
    share = accuracy.value if accuracy else 0.0
    bounds = (accuracy.low, accuracy.high) if accuracy else (None, None)
    return {
        "name": option.candidate,
        "x": x(value),
        "y": y(share),
        "x_low": x(low),
        "x_high": x(high),
        "y_low": y(share if bounds[0] is None else bounds[0]),
        "y_high": y(share if bounds[1] is None else bounds[1]),
        "front": front,
        "measured": energy.basis == "measured",
        "title": f"{option.candidate}: accuracy {wording.accuracy(share)}, "
        f"{wording.joules(energy)} J per 1,000 texts, {energy.basis}",
    }


def _accuracy_range(options: Sequence[Option]) -> tuple[float, float, float]:
    """Low end, high end and tick step of the accuracy axis."""
    found = [a for o in options if (a := o.accuracy) is not None]
    low = min((a.value if a.low is None else a.low for a in found), default=0.0)
    high = max((a.value if a.high is None else a.high for a in found), default=1.0)
    step = next((s for s in _ACCURACY_STEPS if (high - low) / s <= 6), _ACCURACY_STEPS[-1])
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    return low, max(high, low + step), step


def _energy_ticks(axis: wording.Axis) -> list[float]:
    """1, 2 and 5 times powers of ten on a short axis, powers of ten on a long one."""
    factors = (1, 2, 5) if axis.high - axis.low <= 2 else (1,)
    powers = range(math.floor(axis.low), math.ceil(axis.high) + 1)
    values = [factor * 10.0**power for power in powers for factor in factors]
    inside = (10**axis.low * 0.999, 10**axis.high * 1.001)
    return [value for value in values if inside[0] <= value <= inside[1]]


def _spread_apart(wanted: Sequence[float], head: float, foot: float) -> list[float]:
    """Heights near the wanted ones and at least `_NAME_GAP` pixels apart, in the same order."""
    order = sorted(range(len(wanted)), key=lambda n: wanted[n])
    placed, least = [0.0] * len(wanted), head
    for index in order:
        placed[index] = max(wanted[index], least)
        least = placed[index] + _NAME_GAP
    most = foot
    for index in reversed(order):
        placed[index] = min(placed[index], most)
        most = placed[index] - _NAME_GAP
    return [round(place, 1) for place in placed]


def _step_line(front: Sequence[dict[str, Any]]) -> str:
    """The front as a stepped line, cheapest first."""
    corners: list[str] = []
    for before, point in zip([None, *front], front, strict=False):
        if before is not None:
            corners.append(f"{point['x']},{before['y']}")
        corners.append(f"{point['x']},{point['y']}")
    return " ".join(corners)
