"""Accuracy-energy plot of a calibration: results in, a self-contained SVG document out.

This module computes positions on the scales of the pages' plots, ``templates/front.svg`` draws
them. Names stand in a column of their own, so that none covers another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from advisor.recommend.records import Option
from api.cli.results import WorkloadResult
from api.pages import wording
from api.pages.plots import Scale, log_scale

_LEFT, _RIGHT, _NAME_X, _WIDTH = 70, 590, 628, 900
"""Pixels: left and right end of the plotting area, left end of names, width."""
_HEAD, _FOOT, _NAME_GAP = 58, 46, 16
"""Pixels: above and below a plotting area, least distance between names."""


def svg(results: Sequence[WorkloadResult], source: str) -> str:
    """The SVG document with one panel for each result, one below the other.

    Args:
        results: What to draw; each has at least one option.
        source: Source of the figures.
    """
    panels, top = [], 54.0
    for result in results:
        panels.append(_panel(result, top))
        top = panels[-1]["end"]
    environment = Environment(
        loader=PackageLoader("api.pages"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    devices = sorted({option.device for result in results for option in result.options})
    return environment.get_template("front.svg").render(
        panels=panels,
        title=", ".join(devices),
        origin=source,
        width=_WIDTH,
        height=round(top),
        left=_LEFT,
        right=_RIGHT,
        names=_NAME_X,
    )


def _panel(result: WorkloadResult, top: float) -> dict[str, Any]:
    """Template context of one result: positions in pixels."""
    options = [option for option in result.options if option.accuracy is not None]
    head = top + _HEAD
    foot = head + max(220, _NAME_GAP * len(options) + 10)
    energies = [end for each in options for end in wording.bounds(each.energy_j_per_1000)]
    x_axis = log_scale(energies, _LEFT, _RIGHT)
    ends = [end for option in options for end in _accuracies(option)]
    margin = max(0.005, 0.05 * (max(ends) - min(ends)))
    y_axis = Scale(low=min(ends) - margin, high=max(ends) + margin, start=foot, end=head)
    front = {id(option) for option in result.front}
    points = [_point(option, x_axis, y_axis, front=id(option) in front) for option in options]
    _spread_names(points, head, foot)
    return {
        "workload": result.workload,
        "energy": wording.SCOPE[result.scope],
        "points": points,
        "front": _step_line([point for point in points if point["front"]]),
        "x_ticks": x_axis.ticks(),
        "y_ticks": y_axis.ticks(),
        "head": head,
        "foot": foot,
        "end": foot + _FOOT,
    }


def _accuracies(option: Option) -> list[float]:
    """Accuracy of an option with the ends of its interval: value, low, high."""
    found = option.accuracy
    if found is None:
        return []
    return [found.value if end is None else end for end in (found.value, found.low, found.high)]


def _point(option: Option, x_axis: Scale, y_axis: Scale, *, front: bool) -> dict[str, Any]:
    """Template context of one option: its point and both intervals, in pixels."""
    energy, known = option.energy_j_per_1000, wording.bounds(option.energy_j_per_1000)
    value, low, high = _accuracies(option)
    return {
        "name": option.candidate,
        "x": x_axis.at(energy.value or max(known, default=1.0)),
        "y": y_axis.at(value),
        "x_low": x_axis.at(min(known, default=1.0)),
        "x_high": x_axis.at(max(known, default=1.0)),
        "y_low": y_axis.at(low),
        "y_high": y_axis.at(high),
        "front": front,
        "measured": energy.basis == "measured",
        "title": f"{option.candidate}: accuracy {wording.accuracy(value)}, "
        f"{wording.joules(energy)} J per 1,000 texts, {energy.basis}",
    }


def _spread_names(points: list[dict[str, Any]], head: float, foot: float) -> None:
    """Gives each point a height for its name, near it and `_NAME_GAP` pixels from the others."""
    ordered, least = sorted(points, key=lambda point: point["y"]), head
    for point in ordered:
        point["name_y"] = max(point["y"], least)
        least = point["name_y"] + _NAME_GAP
    most = foot
    for point in reversed(ordered):
        point["name_y"] = round(min(point["name_y"], most), 1)
        most = point["name_y"] - _NAME_GAP


def _step_line(front: Sequence[dict[str, Any]]) -> str:
    """The front as a stepped line, cheapest first."""
    corners: list[str] = []
    for before, point in zip([None, *front], front, strict=False):
        if before is not None:
            corners.append(f"{point['x']},{before['y']}")
        corners.append(f"{point['x']},{point['y']}")
    return " ".join(corners)
