"""The estimator's scorecard as a page shows it: sentences and the geometry of its plots."""

from __future__ import annotations

from typing import Any

import msgspec

from api.pages import wording as view
from api.pages.plots import Scale, Tick, log_scale

SPLITS = {
    "model": "a candidate it never saw",
    "family": "a model family it never saw",
    "device": "a device it never saw",
    "source": "a laboratory it never saw",
}
RUNTIMES = {"known_runtime": "runtime measured", "unknown_runtime": "runtime estimated too"}
METHODS = {
    "estimator": "Joulewise",
    "tdp_time": "TDP × time",
    "const_power": "constant watts × time",
    "ols_time": "regression on time",
    "ols_time_tdp_params": "regression on time, TDP, size",
    "lightgbm_power": "LightGBM on power",
}
_ROW, _HEAD = 23, 34


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One method's error, or one interval's coverage, in a plot of lines."""

    words: str
    value: float
    x: float
    y: float
    ours: bool
    beside: str = ""


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """A heading at height `y` and the lines below it."""

    words: str
    y: float
    bars: list[Bar]


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """A plot of lines from `left`, one below the other; `mark` is where the promise stands."""

    width: int
    height: float
    left: float
    right: float
    ticks: list[Tick]
    panels: list[Panel]
    mark: float | None = None


def figures(scorecard: dict[str, Any]) -> list[tuple[str, str, str, dict[str, Any]]]:
    """(split, runtime, method, figures) of everything a scorecard holds, ours first."""
    found = []
    splits = scorecard["splits"]
    for split in [*(s for s in SPLITS if s in splits), *(s for s in splits if s not in SPLITS)]:
        for runtime in RUNTIMES:
            part = splits[split].get(runtime)
            if not part:
                continue
            found.append((split, runtime, "estimator", part["estimator"]))
            baselines = part.get("baselines", {}).items()
            ordered = sorted(baselines, key=lambda own: own[1]["mdape_macro_device"])
            found += [(split, runtime, name, own) for name, own in ordered]
    return found


def errors(scorecard: dict[str, Any], width: int) -> Lines:
    """Median error of every method on what it had not seen, on one logarithmic axis."""
    found = [row for row in figures(scorecard) if row[3].get("mdape_macro_device")]
    left, right = (220, width - 60) if width > 500 else (8, width - 46)
    axis = log_scale([row[3]["mdape_macro_device"] for row in found], left, right)
    axis = msgspec.structs.replace(axis, low=min(5.0, axis.low))
    panels, y = [], 30.0
    for split, runtime in dict.fromkeys((row[0], row[1]) for row in found):
        own = [row for row in found if row[:2] == (split, runtime)]
        panel, y = _panel(_title(split, runtime), own, axis, y, wide=width > 500)
        panels.append(panel)
    ticks = [Tick(t.at, f"{t.text} %") for t in axis.ticks(6 if width > 500 else 4)]
    return Lines(width=width, height=y, left=left, right=right, ticks=ticks, panels=panels)


def _title(split: str, runtime: str) -> str:
    """A panel's heading."""
    return f"{SPLITS.get(split, split)}, {RUNTIMES[runtime]}"


def _panel(
    words: str,
    rows: list[tuple[str, str, str, dict[str, Any]]],
    axis: Scale,
    y: float,
    *,
    wide: bool,
) -> tuple[Panel, float]:
    """The lines of one split, and where the next panel begins."""
    step = _ROW if wide else _ROW + 16
    bars = [
        Bar(
            words=METHODS.get(method, method.replace("_", " ")),
            value=own["mdape_macro_device"],
            x=axis.at(own["mdape_macro_device"]),
            y=y + _HEAD + step * index + (0 if wide else 16),
            ours=method == "estimator",
        )
        for index, (_, _, method, own) in enumerate(rows)
    ]
    return Panel(words=words, y=y + 12, bars=bars), y + _HEAD + step * len(rows) + (
        0 if wide else 10
    )


def coverage(scorecard: dict[str, Any], width: int) -> Lines:
    """Share of measured values inside the 90 % interval, against the promise."""
    found = [
        row
        for row in figures(scorecard)
        if row[2] == "estimator" and row[3].get("coverage90") is not None
    ]
    wide = width > 500
    left, right = (400, width - 130) if wide else (8, width - 112)
    lowest = min((row[3]["coverage90"] for row in found), default=80)
    axis = Scale(low=min(70, 10 * (lowest // 10)), high=100, start=left, end=right)
    step = _ROW + 6 if wide else _ROW + 20
    bars = [
        Bar(
            words=_title(split, runtime),
            value=own["coverage90"],
            x=axis.at(own["coverage90"]),
            y=40 + step * index + (0 if wide else 14),
            ours=True,
            beside=f"{view.percent(own['coverage90'])}, × {view.number(own['width90'])}",
        )
        for index, (split, runtime, _, own) in enumerate(found)
    ]
    return Lines(
        width=width,
        height=40 + step * len(bars) + 4,
        left=left,
        right=right,
        ticks=[Tick(t.at, f"{t.text} %") for t in axis.ticks(4)],
        panels=[Panel(words="", y=0, bars=bars)],
        mark=axis.at(90),
    )


def sentences(scorecard: dict[str, Any]) -> list[str]:
    """What the figures say, in words."""
    told = []
    for split, runtime, method, own in figures(scorecard):
        if method != "estimator" or runtime != "known_runtime":
            continue
        told.append(
            f"For {SPLITS.get(split, split)}, with the runtime measured, half of a device’s "
            f"estimates are within {own['mdape_macro_device']:.0f}\u202f% (mean over devices); "
            f"{own['within2x']:.0f}\u202f% of all are within a factor of two; its 90\u202f% "
            f"interval holds {own['coverage90']:.0f}\u202f% of what was measured."
        )
    return told
