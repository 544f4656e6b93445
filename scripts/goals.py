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


COUNTS = {
    "mean of devices": "mdape_macro_device",
    "median device": "mdape_median_device",
    "all rows": "mdape",
}
"""Ways to sum up an error over rows of several devices."""


def counted(report: dict[str, Any], path: str) -> list[float]:
    """A figure in every way of `COUNTS`; the same in all where it is no MdAPE over devices."""
    found: Any = report
    for name in path.split("."):
        found = found[name]
    return [float(found[name] if isinstance(found, dict) else found) for name in COUNTS.values()]


def good(aim: Aim, value: float, bar: float) -> bool:
    """Whether a value is as good as a bar."""
    return value >= bar if aim.more else value <= bar


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("devices", type=Path)
    asked = parser.parse_args()
    reports: dict[tuple[str, str], dict[str, Any]] = {}
    print(f"| figure | prototype | aim | {' | '.join(COUNTS)} |")
    print("|---|---|---|---|---|---|")
    met: dict[str, list[int]] = {name: [0, 0] for name in COUNTS}
    for aim in AIMS:
        key = aim.split, aim.subset
        if key not in reports:
            given = (asked.rows, asked.devices, None, *key, (0, 1, 3, 5))
            reports[key] = evaluate(*given)  # type: ignore[arg-type]
        values = counted(reports[key], aim.path)
        cells = [aim.title, f"{aim.prototype:g}", f"{aim.aim:g}"]
        for value, sums in zip(values, met.values(), strict=True):
            sums[0] += good(aim, value, aim.aim)
            sums[1] += good(aim, value, aim.prototype)
            cells.append(f"**{value:.3g}**" if good(aim, value, aim.aim) else f"{value:.3g}")
        if len(set(values)) == 1:
            cells[-2:] = ["", ""]
        print(f"| {' | '.join(cells)} |", flush=True)
    for name, (aims, prototype) in met.items():
        print(
            f"\n{name}: {aims} of {len(AIMS)} aims met, "
            f"{prototype} figures no worse than the prototype's"
        )


if __name__ == "__main__":
    main()
