"""Predictions for devices the estimator never saw, and what a few probe runs change, as plots."""

from __future__ import annotations

from typing import Any

import msgspec

from api.pages import wording as view
from api.pages.plots import Scale, Tick, log_scale

_SIDE = 188
"""Width and height of one device's plot, pixels."""
_LINE = 16
"""Height of a line of a label, pixels; a narrow plot's labels have two."""
_SERIES = (
    ("probes", None, "runtime measured"),
    ("probes_unknown_runtime", None, "runtime estimated too"),
    ("probes_baselines", "ols_time_tdp_params", "regression"),
    ("probes_baselines", "tdp_time", "TDP × time"),
)
_TABLE = (
    ("probes", "runtime measured"),
    ("picked", "runtime measured, runs picked"),
    ("probes_unknown_runtime", "runtime estimated too"),
    ("picked_unknown_runtime", "runtime estimated too, runs picked"),
)


class Dot(msgspec.Struct, frozen=True):
    """One row: measured at `x`, predicted at `y`, its interval from `low` to `high`."""

    x: float
    y: float
    low: float
    high: float


class HeldOut(msgspec.Struct, frozen=True, kw_only=True):
    """Measured (across) against predicted (up) on one device, both axes alike.

    Attributes:
        n: Rows of the device; `dots` are some of them, evenly over its range.
        mdape: Median absolute percentage error.
        coverage90: Percent of rows inside their 90 % interval.
        start: Where both axes begin, `end` where they end; the diagonal joins the two.
    """

    device: str
    n: int
    mdape: float
    coverage90: float
    side: int
    start: float
    end: float
    ticks: list[Tick]
    dots: list[Dot]


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One method's figures by number of probe runs, as a path with its marks.

    Attributes:
        label_y: Height of its name and last value, beside the last mark.
    """

    words: str
    ours: bool
    known: bool
    path: str
    marks: list[tuple[float, float, str]]
    label_y: float
    last: str


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """Figures by number of probe runs; `mark` is where the promise stands."""

    width: int
    height: int
    left: float
    right: float
    bottom: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    curves: list[Curve]
    mark: float | None = None


def devices(scorecard: dict[str, Any]) -> list[HeldOut]:
    """A plot for each device that was held out, the smallest error first."""
    part = scorecard["splits"].get("device", {})
    found = []
    for own in sorted(part.get("by_device", ()), key=lambda own: float(own["mdape"])):
        rows = [row[1:] for row in part.get("points", ()) if row[0] == own["device"]]
        if not rows:
            continue
        axis = log_scale([end for row in rows for end in row[:2]], 6, _SIDE - 6)
        up = msgspec.structs.replace(axis, start=_SIDE - 6, end=6)
        found.append(
            HeldOut(
                device=own["device"],
                n=own["n"],
                mdape=own["mdape"],
                coverage90=own["coverage90"],
                side=_SIDE,
                start=6,
                end=_SIDE - 6,
                ticks=axis.ticks(3, "J"),
                dots=[
                    Dot(axis.at(measured), up.at(value), up.at(low), up.at(high))
                    for measured, value, low, high in rows
                ],
            )
        )
    return found


def by_probes(scorecard: dict[str, Any]) -> list[tuple[str, str, int, dict[str, Any]]]:
    """(split, words, k, figures) wherever a scorecard tells of probe runs, ours only."""
    return [
        (split, words, int(k), own)
        for split, part in scorecard["splits"].items()
        for name, words in _TABLE
        for k, own in part.get(name, {}).items()
    ]


def errors(scorecard: dict[str, Any], width: int) -> Curves | None:
    """Median error on a device never seen, by how many probe runs it had; ``None`` untold."""
    series = _series(scorecard, "mdape_macro_device")
    ends = [value for *_, values in series for value in values.values()]
    if not ends:
        return None
    height = 300
    axis = log_scale(ends, height - 34, 14)
    return _curves(series, axis, width, height)


def coverage(scorecard: dict[str, Any], width: int) -> Curves | None:
    """Share inside the 90 % interval on a device never seen; ``None`` where nothing is told."""
    series = _series(scorecard, "coverage90")
    ends = [value for *_, values in series for value in values.values()]
    if not ends:
        return None
    height = 300
    low = min(70.0, 10 * (min(ends) // 10))
    axis = Scale(low=low, high=100, start=height - 34, end=14)
    return _curves(series, axis, width, height, promise=90)


def _series(
    scorecard: dict[str, Any], figure: str
) -> list[tuple[str, bool, bool, dict[int, float]]]:
    """(words, ours, runtime known, value by k) of every method that has the figure."""
    part, found = scorecard["splits"].get("device", {}), []
    for name, method, words in _SERIES:
        told = {int(k): own if method is None else own.get(method) for k, own in _of(part, name)}
        values = {k: float(own[figure]) for k, own in told.items() if own and own.get(figure)}
        if values:
            found.append((words, method is None, name != "probes_unknown_runtime", values))
    return found


def _of(part: dict[str, Any], name: str) -> list[tuple[str, dict[str, Any]]]:
    """The entries of one table by k, in order."""
    return sorted(part.get(name, {}).items(), key=lambda entry: int(entry[0]))


def _curves(
    series: list[tuple[str, bool, bool, dict[int, float]]],
    axis: Scale,
    width: int,
    height: int,
    promise: float | None = None,
) -> Curves:
    """Paths of the series on axes that hold them all; labels stand clear of one another."""
    ks = sorted({k for *_, values in series for k in values})
    left, right, apart = (52.0, width - 200.0, _LINE) if width > 500 else (52.0, 204.0, 2 * _LINE)
    across = Scale(low=min(ks), high=max(max(ks), 1), start=left, end=right)
    curves, taken = [], -1e9
    for words, ours, known, values in sorted(series, key=lambda s: axis.at(s[3][max(s[3])])):
        marks = [(across.at(k), axis.at(v), view.percent(v)) for k, v in values.items()]
        taken = max(marks[-1][1], taken + apart)
        curves.append(
            Curve(
                words=words,
                ours=ours,
                known=known,
                path="M" + "L".join(f"{x} {y}" for x, y, _ in marks),
                marks=marks,
                label_y=taken,
                last=marks[-1][2],
            )
        )
    return Curves(
        width=width,
        height=height,
        left=left,
        right=right,
        bottom=height - 34,
        x_ticks=[Tick(across.at(k), str(k)) for k in ks],
        y_ticks=[Tick(t.at, f"{t.text} %") for t in axis.ticks(5)],
        curves=curves,
        mark=None if promise is None else axis.at(promise),
    )
