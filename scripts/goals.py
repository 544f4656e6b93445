"""What the estimator reaches on a table of published rows, beside a ridge prototype and the aims.

python scripts/goals.py ROWS DEVICES

Takes minutes. The columns of ROWS and DEVICES are those of `joulewise evaluate`, which gives the
same figures. The prototype is the one the method started from; its figures and the aims are for
3,667 configurations of 27 devices, so they mean little beside another table.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from advisor.evaluation.cross_validation import Split
from advisor.evaluation.evaluate import evaluate

Reports = dict[tuple[Split, str], dict[str, Any]]
"""Reports of `evaluate` by split and subset."""


class Aim(msgspec.Struct, frozen=True):
    """One figure: the way to it in a report of `evaluate`, the prototype's and the aim.

    Attributes:
        ols: What the prototype's author counts for least squares on log time, TDP and parameters.
        figure: Its name; MdAPE has three ways to sum up over devices, see `COUNTS`.
        more: Whether more is better.
    """

    title: str
    split: Split
    subset: str
    path: str
    prototype: float
    aim: float
    ols: float | None = None
    figure: str = "mdape"
    more: bool = False


_KNOWN, _UNKNOWN = "known_runtime.estimator", "unknown_runtime.estimator"
AIMS = (
    Aim("held-out model, known device", "model", "all", _KNOWN, 11.0, 8, 41),
    Aim("the same, encoders", "model", "encoders", _KNOWN, 9.4, 6, 54),
    Aim("held-out model family, known device", "family", "all", _KNOWN, 16, 12, 44),
    Aim("the same, encoders", "family", "encoders", _KNOWN, 16, 12, 58),
    Aim("unseen device", "device", "all", _KNOWN, 27.8, 22, 46),
    Aim("the same, encoders", "device", "encoders", _KNOWN, 37.1, 18, 61),
    Aim("unseen source", "source", "all", _KNOWN, 36, 28, 57),
    Aim("unseen device, 1 probe row", "device", "all", "probes.1", 16, 11, 22),
    Aim("the same, encoders", "device", "encoders", "probes.1", 10, 8),
    Aim("unseen device, 3 probe rows", "device", "all", "probes.3", 13.9, 9, 18),
    Aim("the same, encoders", "device", "encoders", "probes.3", 9.0, 7),
    Aim("unseen device, 5 probe rows", "device", "all", "probes.5", 12.2, 8, 17),
    Aim("the same, encoders", "device", "encoders", "probes.5", 6.8, 5),
    Aim("width of the interval, unseen device", "device", "all", _KNOWN, 4.1, 3, None, "width90"),
    Aim("interval's width, 3 probe rows", "device", "all", "probes.3", 2.3, 1.6, None, "width90"),
    Aim("coverage, unseen device", "device", "all", _KNOWN, 89, 88, None, "coverage90", True),
    Aim("coverage, 3 probe rows", "device", "all", "probes.3", 89, 90, None, "coverage90", True),
    Aim("runtime unknown, held-out model", "model", "all", _UNKNOWN, 23, 15, None, "median"),
    Aim(
        "runtime unknown, unseen device, encoders",
        "device",
        "encoders",
        _UNKNOWN,
        28,
        25,
        None,
        "median",
    ),
    Aim("runtime unknown, 3 probe rows", "device", "all", "probes_unknown_runtime.3", 39, 25),
    Aim("runtime unknown, 5 probe rows", "device", "all", "probes_unknown_runtime.5", 36, 20),
    Aim("Kendall tau in a device", "device", "all", _KNOWN, 0.91, 0.93, 0.9, "kendall_tau", True),
    Aim("regret of the pick", "device", "all", _KNOWN, 0.1, 0.1, 0.1, "regret"),
    Aim(
        "Kendall tau, runtime unknown, 3 probe rows",
        "device",
        "all",
        "probes_unknown_runtime.3",
        0.66,
        0.85,
        None,
        "kendall_tau",
        True,
    ),
)
"""Errors are MdAPE in percent."""


COUNTS = ("mean of devices", "median device", "all rows")
"""Ways to sum up a figure over rows of several devices."""
_NAMES = {
    "mdape": ("mdape_macro_device", "mdape_median_device", "mdape"),
    "median": ("mdape_median_device",) * 3,
    "kendall_tau": ("kendall_tau", "kendall_tau_median", None),
    "regret": ("regret", "regret_median", None),
}
"""Names of a figure in each way of `COUNTS`; a figure without ways has its own name in all.

The prototype's median errors with the runtime unknown are those of the median device; order and
regret are those of machines, not of rows."""


def found(report: dict[str, Any], path: str) -> dict[str, Any]:
    """A part of a report; empty where it has none."""
    part: Any = report
    for name in path.split("."):
        part = part.get(name, {})
    return dict(part)


def counted(figures: dict[str, Any], figure: str) -> list[float | None]:
    """A figure in every way of `COUNTS`; ``None`` where it knows no such way."""
    names = _NAMES.get(figure, (figure,) * len(COUNTS))
    return [None if name is None else float(figures[name]) for name in names]


def baseline(report: dict[str, Any], aim: Aim, path: str) -> str:
    """Least squares on the same rows, by the mean of devices; empty where the report has none."""
    part, _, k = path.partition(".")
    where = f"{part}_baselines.{k}" if part in ("probes", "picked") else f"{part}.baselines"
    figures = found(report, f"{where}.ols_time_tdp_params")
    names = _NAMES.get(aim.figure, (aim.figure,))
    value = figures.get(names[0])
    return "" if value is None else f"{value:.3g}"


def good(aim: Aim, value: float, bar: float) -> bool:
    """Whether a value is as good as a bar."""
    return value >= bar if aim.more else value <= bar


def show(aims: Sequence[Aim], reports: Reports, part: str | None = None) -> None:
    """Prints a table and what it comes to.

    Args:
        aims: Its lines.
        reports: By split and subset.
        part: The part of a report that takes the place of ``probes``.
    """
    print(f"| figure | OLS, theirs | OLS here | prototype | aim | {' | '.join(COUNTS)} |")
    print("|---" * (5 + len(COUNTS)) + "|")
    met: dict[str, list[int]] = {name: [0, 0, 0] for name in COUNTS}
    for aim in aims:
        report = reports[aim.split, aim.subset]
        path = aim.path if part is None else aim.path.replace("probes", part)
        values = counted(found(report, path), aim.figure)
        theirs = "" if aim.ols is None else f"{aim.ols:g}"
        least = theirs, baseline(report, aim, path)
        cells = [aim.title, *least, f"{aim.prototype:g}", f"{aim.aim:g}"]
        for value, sums in zip(values, met.values(), strict=True):
            if value is None:
                cells.append("")
                continue
            sums[2] += 1
            sums[0] += good(aim, value, aim.aim)
            sums[1] += good(aim, value, aim.prototype)
            cells.append(f"**{value:.3g}**" if good(aim, value, aim.aim) else f"{value:.3g}")
        if len(set(values)) == 1:
            cells[-2:] = ["", ""]
        print(f"| {' | '.join(cells)} |", flush=True)
    for name, (n_met, prototype, n) in met.items():
        print(
            f"\n{name}: {n_met} of {n} aims met, {prototype} figures no worse than the prototype's"
        )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("devices", type=Path)
    asked = parser.parse_args()
    reports: Reports = {}
    for aim in AIMS:
        key = aim.split, aim.subset
        if key not in reports:
            reports[key] = evaluate(asked.rows, asked.devices, None, *key, (0, 1, 3, 5))
    show(AIMS, reports)
    print("\nWith probe rows picked by the rule of `joulewise probes`:\n")
    show([aim for aim in AIMS if aim.path.startswith("probes")], reports, "picked")


if __name__ == "__main__":
    main()
