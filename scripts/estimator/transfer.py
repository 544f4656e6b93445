"""Transfer: what a candidate needed on other devices, as a correction of its estimate on a new one.

In: measured rows with the folds of held-out devices. Out: error, rank agreement and regret of the
choice inside a device, by the share of a candidate's deviation elsewhere that counts and by the
number of rows measured on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from advisor.estimator.table import Array, Mask
from advisor.estimator.training_rows import Rows
from advisor.evaluation.cross_validation import Fold, Scored, draws, probed, scored
from advisor.evaluation.metrics import bootstrap
from advisor.evaluation.scorecard import PROBES, figures

SHARES = (0.0, 0.5, 0.85, 1.0)
"""Shares of the deviation elsewhere that are compared; `advisor.recommend` counts .85."""
_FEWEST = 3
"""Rows of a unit from which on a row's deviation from the unit's middle says something."""


def deviations(rows: Rows, fold: Fold, given: bool) -> Array:
    """What the model of each test row needed on other devices beyond the estimates there.

    The median deviation of each unit is left out: it is the machine's, not the candidate's.

    Returns:
        Natural logs, one for each test row; NaN where no other device ran the model.
    """
    train = np.setdiff1d(np.arange(len(rows)), fold.index)
    known = fold.known
    frame = pd.DataFrame(
        {
            "model": [rows.models[i] for i in train],
            "device": known.devices,
            "unit": known.units,
            "log": known.watts if given else known.watts + known.seconds,
        }
    ).dropna()
    unit = frame.groupby("unit")["log"]
    frame["log"] = frame["log"] - unit.transform("median")
    frame = frame[unit.transform("size") >= _FEWEST]
    by_device = frame.groupby(["model", "device"])["log"].median()
    found = by_device.groupby(level="model").mean().to_dict()
    return np.array([found.get(rows.models[i], np.nan) for i in fold.index])


def shifted(rows: Rows, held: Sequence[Fold], found: Scored, given: bool, share: float) -> Scored:
    """Predictions with a share of the deviations elsewhere added."""
    shift = np.zeros(len(rows))
    for fold in held:
        shift[fold.index] = np.nan_to_num(deviations(rows, fold, given))
    return msgspec.structs.replace(
        found, log_predicted=found.log_predicted + share * shift[found.index]
    )


def known_elsewhere(rows: Rows, held: Sequence[Fold]) -> Mask:
    """Rows whose model ran on another device, too."""
    found = np.zeros(len(rows), dtype=bool)
    for fold in held:
        found[fold.index] = np.isfinite(deviations(rows, fold, given=True))
    return found


def table(rows: Rows, held: Sequence[Fold]) -> list[dict[str, Any]]:
    """Figures of candidates known elsewhere on held-out devices.

    Args:
        rows: All rows.
        held: Folds without each device.

    Returns:
        A row for each of `SHARES`, number k of rows of the device and whether the runtime is known:
        ``share k known_runtime n mdape_macro_device choice_kendall_tau choice_regret
        choice_regret_median difference low high``; the difference is that of the mean device's
        median error to share 0 in percentage points with its 90 % bootstrap interval.
    """
    kept, lines = known_elsewhere(rows, held), []
    for given in (True, False):
        for k in PROBES:
            plain = probed(rows, held, draws(rows, k), given=given) if k else scored(held, given)
            plain = plain.take(kept[plain.index])
            if not len(plain.index):
                continue
            before = _medians(rows, plain)
            for share in SHARES:
                found = shifted(rows, held, plain, given, share)
                own, difference = figures(rows, found), _medians(rows, found) - before
                low, high = bootstrap(difference.to_numpy(dtype=float))
                names = ("mdape_macro_device", "choice_kendall_tau", "choice_regret")
                lines.append(
                    {"share": share, "k": k, "known_runtime": given, "n": len(found.index)}
                    | {name: own.get(name) for name in (*names, "choice_regret_median")}
                    | {"difference": round(float(difference.mean()), 2)}
                    | {"low": round(low, 2), "high": round(high, 2)}
                )
    return lines


def _medians(rows: Rows, found: Scored) -> pd.Series:
    """Median absolute percentage error of each device."""
    relative = 100 * np.abs(np.expm1(found.log_predicted - rows.log_joules[found.index]))
    names = [rows.devices[i] for i in found.index]
    return pd.Series(relative).groupby(names).median().clip(upper=200)
