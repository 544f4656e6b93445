"""What the estimator reaches on a table of published rows, beside a ridge prototype and the aims.

python scripts/goals.py ROWS DEVICES

Takes minutes. The columns of ROWS and DEVICES are those of `joulewise evaluate`, which gives the
same figures. The prototype is the one the method started from; its figures and the aims are for
3,667 configurations of 27 devices, so they mean little beside another table.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from advisor.evaluating import evaluate


class Aim(msgspec.Struct, frozen=True):
    """One figure: the way to it in a report of `evaluate`, the prototype's and the aim.

    Attributes:
        more: Whether more is better.
    """

    title: str
    split: str
    subset: str
    path: str
    prototype: float
    aim: float
    more: bool = False


_KNOWN, _UNKNOWN = "known_runtime.estimator", "unknown_runtime.estimator"
AIMS = (
    Aim("held-out model, known device", "model", "all", _KNOWN, 11.0, 8),
    Aim("the same, encoders", "model", "encoders", _KNOWN, 9.4, 6),
    Aim("held-out model family, known device", "family", "all", _KNOWN, 16, 12),
    Aim("the same, encoders", "family", "encoders", _KNOWN, 16, 12),
    Aim("unseen device", "device", "all", _KNOWN, 27.8, 22),
    Aim("the same, encoders", "device", "encoders", _KNOWN, 37.1, 18),
    Aim("unseen source", "source", "all", _KNOWN, 36, 28),
    Aim("unseen device, 1 probe row", "device", "all", "probes.1", 16, 11),
    Aim("the same, encoders", "device", "encoders", "probes.1", 10, 8),
    Aim("unseen device, 3 probe rows", "device", "all", "probes.3", 13.9, 9),
    Aim("the same, encoders", "device", "encoders", "probes.3", 9.0, 7),
    Aim("unseen device, 5 probe rows", "device", "all", "probes.5", 12.2, 8),
    Aim("the same, encoders", "device", "encoders", "probes.5", 6.8, 5),
    Aim("width of the interval, unseen device", "device", "all", f"{_KNOWN}.width90", 4.1, 3),
    Aim("the same, 3 probe rows", "device", "all", "probes.3.width90", 2.3, 1.6),
    Aim("coverage, unseen device", "device", "all", f"{_KNOWN}.coverage90", 89, 88, True),
    Aim("the same, 3 probe rows", "device", "all", "probes.3.coverage90", 89, 90, True),
    Aim(
        "runtime unknown, held-out model", "model", "all", f"{_UNKNOWN}.mdape_median_device", 23, 15
    ),
    Aim(
        "runtime unknown, unseen device, encoders",
        "device",
        "encoders",
        f"{_UNKNOWN}.mdape_median_device",
        28,
        25,
    ),
    Aim("runtime unknown, 3 probe rows", "device", "all", "probes_unknown_runtime.3", 39, 25),
    Aim("runtime unknown, 5 probe rows", "device", "all", "probes_unknown_runtime.5", 36, 20),
    Aim("Kendall tau in a device", "device", "all", f"{_KNOWN}.kendall_tau", 0.91, 0.93, True),
    Aim("regret of the pick, median device", "device", "all", f"{_KNOWN}.regret_median", 0.1, 0.1),
    Aim(
        "Kendall tau, runtime unknown, 3 probe rows",
        "device",
        "all",
        "probes_unknown_runtime.3.kendall_tau",
        0.66,
        0.85,
        True,
    ),
)
"""MdAPE in percent, macro over devices, unless the title says otherwise."""


def reached(report: dict[str, Any], path: str) -> float:
    """The figure at a path; the macro MdAPE where the path ends at a method."""
    found: Any = report
    for name in path.split("."):
        found = found[name]
    return float(found["mdape_macro_device"] if isinstance(found, dict) else found)


def other_counts(report: dict[str, Any], path: str) -> list[str]:
    """The same error with the median device instead of the mean of devices, and of all rows alike.

    Empty where the path ends at a figure of its own.
    """
    found: Any = report
    for name in path.split("."):
        found = found[name]
    if not isinstance(found, dict):
        return ["", ""]
    return [f"{found[name]:.3g}" for name in ("mdape_median_device", "mdape")]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("devices", type=Path)
    asked = parser.parse_args()
    reports: dict[tuple[str, str], dict[str, Any]] = {}
    print("| figure | prototype | aim | reached | median device | all rows | aim met |")
    print("|---|---|---|---|---|---|---|")
    met = 0
    for aim in AIMS:
        key = aim.split, aim.subset
        if key not in reports:
            given = (asked.rows, asked.devices, None, *key, (0, 1, 3, 5))
            reports[key] = evaluate(*given)  # type: ignore[arg-type]
        value = reached(reports[key], aim.path)
        good = value >= aim.aim if aim.more else value <= aim.aim
        met += good
        cells = [aim.title, f"{aim.prototype:g}", f"{aim.aim:g}", f"{value:.3g}"]
        cells += other_counts(reports[key], aim.path)
        print(f"| {' | '.join(cells)} | {'yes' if good else 'no'} |", flush=True)
    print(f"\n{met} of {len(AIMS)} aims met")


if __name__ == "__main__":
    main()
