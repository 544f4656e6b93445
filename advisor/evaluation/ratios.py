"""Held-out differences between backends, and between numeric formats, of one model.

In: published runtimes and the errors of their estimates, each made without the row's device. Pairs
are alike in publisher, model, device, batch and all else that is stated but the one thing. Out: the
spread of the error of their ratio, and how often the 90 % interval that the estimator states for
such a ratio holds the measured one; and the same of intervals that rest on another backend's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from advisor.estimator import intervals
from advisor.estimator.intervals import BRIDGE, BRIDGED, SHARE, Z90, weighted_quantile
from advisor.estimator.machine_effects import TIME
from advisor.estimator.table import Array, Table, take

Varied = Literal["backend", "format"]
"""What differs between the two rows of a pair."""
_ALIKE = (
    "publisher",
    "model",
    "device",
    "devices",
    "batch",
    "tokens",
    "work",
    "scenario",
    "length_basis",
    "density",
    "core_share",
)


class Pairs(NamedTuple):
    """Pairs of rows of one publisher on one device.

    Attributes:
        error: Log of estimated over measured ratio, n.
        weight: Every device of a publisher weighs the square root of its pairs, n.
        devices: Device of each; `publishers` likewise.
    """

    error: Array
    weight: Array
    devices: list[str]
    publishers: list[str]


def pairs(profiles: pd.DataFrame, error: Array, varied: Varied) -> Pairs:
    """Pairs of rows that differ in one thing alone; rows alike in it, too, are averaged.

    Args:
        profiles: From `advisor.estimator.profiles`, n rows.
        error: Log of estimated over measured seconds, n.
        varied: What differs.
    """
    (other,) = (name for name in get_args(Varied) if name != varied)
    alike = [*_ALIKE, other]
    stated = profiles["format"] != "unknown"
    mean = profiles.assign(error=error)[stated].groupby([*alike, varied])["error"].mean()
    found: list[tuple[str, str, float]] = []
    for key, own in mean.groupby(level=alike):
        publisher, _, device, *_ = map(str, tuple(key))  # type: ignore[arg-type]
        values = own.to_numpy(dtype=float)
        found += [(publisher, device, a - b) for a, b in itertools.combinations(values, 2)]
    frame = pd.DataFrame(found, columns=["publisher", "device", "error"])
    sizes = frame.groupby(["publisher", "device"])["error"].transform("size")
    return Pairs(
        frame["error"].to_numpy(dtype=float),
        1 / np.sqrt(sizes.to_numpy(dtype=float)),
        frame["device"].tolist(),
        frame["publisher"].tolist(),
    )


def ratio_sd(varied: Varied) -> float:
    """Standard deviation (natural log) that the estimator states for such a ratio."""
    own: float = getattr(TIME, varied)
    return math.sqrt(2) * own


def table(profiles: pd.DataFrame, error: Array) -> list[dict[str, Any]]:
    """Spread and coverage of held-out ratios.

    Returns:
        For each of `Varied`: ``varied n devices publishers sd stated_sd coverage90``: pairs, the
        standard deviation whose 90 % interval holds 90 % of them, the stated one, and the share of
        pairs in the stated interval, percent.
    """
    rows = []
    for varied in get_args(Varied):
        found = pairs(profiles, error, varied)
        if not len(found.error):
            continue
        size, sd = np.abs(found.error), ratio_sd(varied)
        inside = np.average(size <= Z90 * sd, weights=found.weight)
        rows.append(
            {
                "varied": varied,
                "n": len(size),
                "devices": len({*found.devices}),
                "publishers": len({*found.publishers}),
                "sd": round(weighted_quantile(size, found.weight, SHARE) / Z90, 3),
                "stated_sd": round(sd, 3),
                "coverage90": round(100 * float(inside), 1),
            }
        )
    return rows


def bridged(numeric: Table, groups: Table, errors: Mapping[str, Array]) -> list[dict[str, Any]]:
    """Coverage of the intervals of libraries on CPUs that rest on another library's rows.

    Args:
        numeric: Features of the runtime model, n rows.
        groups: Its group columns, n rows.
        errors: Held-out log errors without a row's device (``device``) and without its device and
            publisher (``both``), n each.

    Returns:
        Two rows ``interval n devices publishers coverage90 width90``, one for the intervals as the
        estimator states them and one for the rule of classes with few rows; each learned without
        the rows it is checked on.
    """
    own = np.isin(groups["class"].astype(str), [name for name in BRIDGED if name != BRIDGE])
    if not own.any():
        return []
    others, asked = (
        (take(numeric, ~own), take(groups, ~own)),
        (take(numeric, own), take(groups, own)),
    )
    learned = intervals.fit(*others, {name: values[~own] for name, values in errors.items()})
    halves = {
        "bridged": learned.of_cpu_libraries(*asked),
        "by the rule": learned.half(*asked, np.full(int(own.sum()), "both")),
    }
    return [
        {
            "interval": name,
            "n": int(own.sum()),
            "devices": len({*asked[1]["device"].tolist()}),
            "publishers": len({*asked[1]["publisher"].tolist()}),
            "coverage90": round(100 * float(np.mean(np.abs(errors["both"][own]) <= half)), 1),
            "width90": round(float(np.exp(2 * np.median(half))), 2),
        }
        for name, half in halves.items()
    ]
