"""The accuracy-energy plot of a calibration as an SVG file that needs nothing to be seen.

Geometry is worked out here, ``templates/front.svg`` draws it. Energy runs on a logarithmic axis,
names stand beside the points so that they never cover one another.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from advisor.recommend.records import Option
from api.cli.results import Result
from api.pages import wording as view

WIDTH = 900
_LEFT, _RIGHT, _NAMES = 70, 590, 628
"""Pixels where the plotting area begins and ends, and where names begin."""
_HEAD, _FOOT, _BETWEEN = 58, 46, 16
"""Pixels above and below a plotting area, least pixels from name to name."""
_STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


def svg(results: Sequence[Result], title: str, origin: str) -> str:
    """One panel for each result, one below the other.

    Args:
        results: What to draw; each has at least one option.
        title: The machine.
        origin: Where the figures come from.
    """
    panels, top = [], 54.0
    for result in results:
        panels.append(_panel(result, top))
        top = panels[-1]["end"]
    return _template().render(
        panels=panels,
        title=title,
        origin=origin,
        width=WIDTH,
        height=round(top),
        left=_LEFT,
        right=_RIGHT,
        names=_NAMES,
    )


@functools.cache
def _template() -> Template:
    """The drawing; everything put into it is escaped."""
    environment = Environment(
        loader=PackageLoader("api.pages"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("front.svg")


def _panel(result: Result, top: float) -> dict[str, Any]:
    """Where everything of one result stands, in pixels."""
    shown = [option for option in result.options if option.accuracy is not None]
    height = max(220, _BETWEEN * len(shown) + 10)
    head, foot = top + _HEAD, top + _HEAD + height
    across = view.axis(shown)
    low, high, step = _shares(shown)

    def x(value: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * across.at(value) / 100, 1)

    def y(share: float) -> float:
        return round(foot - height * (share - low) / (high - low), 1)

    fronted = {id(option) for option in result.front}
    points = [_point(option, x, y, id(option) in fronted) for option in shown]
    for point, place in zip(points, _spread([p["y"] for p in points], head, foot), strict=True):
        point["name_y"] = place
    ladder = [point for point in points if point["front"]]
    return {
        "workload": result.workload,
        "energy": view.SCOPE[result.scope],
        "points": points,
        "front": _stairs(ladder),
        "x_ticks": [(x(value), f"{value:g}") for value in _ticks(across)],
        "y_ticks": [(y(n * step), f"{n * step:.3g}") for n in _between(low, high, step)],
        "head": head,
        "foot": foot,
        "end": foot + _FOOT,
    }


def _point(option: Option, x: Any, y: Any, front: bool) -> dict[str, Any]:
    """One option as a point with its two intervals."""
    energy, accuracy = option.energy_j_per_1000, option.accuracy
    there = view.ends(energy)
    value = energy.value or max(there, default=1.0)
    low, high = energy.low or min(there, default=value), energy.high or value
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
        "said": f"{option.candidate}: accuracy {view.accuracy(share)}, {view.joules(energy)} J "
        f"per 1,000 texts, {energy.basis}",
    }


def _shares(options: Sequence[Option]) -> tuple[float, float, float]:
    """Both ends of the accuracy axis and the step of its ticks."""
    found = [a for o in options if (a := o.accuracy) is not None]
    low = min((a.value if a.low is None else a.low for a in found), default=0.0)
    high = max((a.value if a.high is None else a.high for a in found), default=1.0)
    step = next((s for s in _STEPS if (high - low) / s <= 6), _STEPS[-1])
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    return low, max(high, low + step), step


def _between(low: float, high: float, step: float) -> range:
    """Multiples of a step from one end to the other."""
    return range(round(low / step), round(high / step) + 1)


def _ticks(axis: view.Axis) -> list[float]:
    """1, 2 and 5 times powers of ten on a short axis, powers of ten on a long one."""
    factors = (1, 2, 5) if axis.high - axis.low <= 2 else (1,)
    powers = range(math.floor(axis.low), math.ceil(axis.high) + 1)
    values = [factor * 10.0**power for power in powers for factor in factors]
    inside = (10**axis.low * 0.999, 10**axis.high * 1.001)
    return [value for value in values if inside[0] <= value <= inside[1]]


def _spread(wanted: Sequence[float], head: float, foot: float) -> list[float]:
    """Heights near the wanted ones, `_BETWEEN` apart, in the same order."""
    order = sorted(range(len(wanted)), key=lambda n: wanted[n])
    placed, least = [0.0] * len(wanted), head
    for index in order:
        placed[index] = max(wanted[index], least)
        least = placed[index] + _BETWEEN
    most = foot
    for index in reversed(order):
        placed[index] = min(placed[index], most)
        most = placed[index] - _BETWEEN
    return [round(place, 1) for place in placed]


def _stairs(front: Sequence[dict[str, Any]]) -> str:
    """The front as a stepped line, cheapest first."""
    corners: list[str] = []
    for before, point in zip([None, *front], front, strict=False):
        if before is not None:
            corners.append(f"{point['x']},{before['y']}")
        corners.append(f"{point['x']},{point['y']}")
    return " ".join(corners)
