"""Error tables: what held-out predictions come to, for the estimator and every baseline.

The same table is printed by `joulewise evaluate` and stands in the scorecard of an artefact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from advisor.estimator.table import Array, Mask
from advisor.estimator.training_rows import Rows
from advisor.evaluation.baselines import BASELINES
from advisor.evaluation.cross_validation import (
    Draw,
    Fold,
    Scored,
    Split,
    draws,
    encoders,
    groups_of,
    held_out,
    known_devices,
    picks,
    probed,
    probed_baseline,
    scored,
    scored_baseline,
)
from advisor.evaluation.metrics import errors, held_out_quantiles

METHODS = (*BASELINES, "lightgbm_power")
PROBED = ("ols_time_tdp_params", "tdp_time")
"""Baselines that are shown with probe rows too."""
PROBES = (0, 1, 3, 5)
BY_PROBES = ("probes", "probes_unknown_runtime", "probes_baselines")
"""Figures by number of probe rows, drawn at random."""
BY_PICKED = ("picked", "picked_unknown_runtime", "picked_baselines")
"""The same with probe rows picked by the rule of `joulewise probes`."""
POINTS_PER_DEVICE = 20
"""Rows of each device that a scorecard keeps for a plot."""

Quantiles = Callable[[Scored, int, bool], Array]
"""Predictions, number of probes and whether the runtime was known -> how many spreads reach to
the end of the 90 % interval, for each prediction."""


def from_others(rows: Rows, groups: Sequence[str]) -> Quantiles:
    """Intervals of each group of rows from the errors of all other groups."""

    def quantiles(found: Scored, _k: int, _given: bool) -> Array:
        error = np.abs(found.log_predicted - rows.log_joules[found.index])
        return held_out_quantiles(error / found.spread, [groups[i] for i in found.index])

    return quantiles


def figures(
    rows: Rows, found: Scored, quantiles: Quantiles | None = None, k: int = 0, given: bool = True
) -> dict[str, Any]:
    """Error figures of predictions; intervals where `quantiles` are given."""
    if not len(found.index):
        return {}
    half = None if quantiles is None else quantiles(found, k, given) * found.spread
    devices = [rows.devices[i] for i in found.index]
    units, works = (
        [f"{names[i]}|{draw}" for i, draw in zip(found.index, found.draw, strict=True)]
        for names in (rows.units, rows.works)
    )
    measured = rows.log_joules[found.index]
    plain: dict[str, Any] = msgspec.to_builtins(
        errors(found.log_predicted, measured, devices, half, units, works)
    )
    return plain


def report(
    rows: Rows, held: Sequence[Fold], kept: Mask, probes: Sequence[int], quantiles: Quantiles
) -> dict[str, Any]:
    """The error table of held-out predictions in the shape `evaluate --json` prints.

    Args:
        rows: All rows.
        held: Their folds.
        kept: Rows that are scored.
        probes: Numbers of probe rows.
        quantiles: Gives the intervals.
    """

    def wanted(found: Scored) -> Scored:
        return found.take(kept[found.index])

    def ours(k: int, drawn: Sequence[Draw], given: bool) -> dict[str, Any]:
        found = probed(rows, held, drawn, given=given) if k else scored(held, given)
        return figures(rows, wanted(found), quantiles, k, given)

    def baseline(name: str, k: int, drawn: Sequence[Draw]) -> dict[str, Any]:
        found = probed_baseline(rows, held, name, drawn) if k else scored_baseline(held, name)
        return figures(rows, wanted(found))

    def baselines(names: Sequence[str], k: int, drawn: Sequence[Draw]) -> dict[str, Any]:
        return {name: baseline(name, k, drawn) for name in names}

    known, unknown, without = ours(0, [], True), ours(0, [], False), baselines(METHODS, 0, [])
    table: dict[str, dict[str, Any]] = {name: {} for name in (*BY_PROBES, *BY_PICKED)}
    for k in probes:
        if not k:
            of_none = known, unknown, {name: without[name] for name in PROBED}
            for name, values in zip(BY_PROBES, of_none, strict=True):
                table[name]["0"] = values
            continue
        drawn = list(draws(rows, k))
        named = {given: list(picks(rows, held, k, given)) for given in (True, False)}
        for names, chosen in ((BY_PROBES, {True: drawn, False: drawn}), (BY_PICKED, named)):
            table[names[0]][str(k)] = ours(k, chosen[True], True)
            table[names[1]][str(k)] = ours(k, chosen[False], False)
            table[names[2]][str(k)] = baselines(PROBED, k, chosen[True])
    return {
        "known_runtime": {"estimator": known, "baselines": without},
        "unknown_runtime": {"estimator": unknown},
        **table,
    }


def by_device(rows: Rows, found: Scored, quantiles: Array) -> list[dict[str, Any]]:
    """Errors of each held-out device, for a plot.

    Returns:
        For each device ``device n mdape bias coverage90``: rows, median absolute percentage
        error, median predicted over measured, rows inside the 90 % interval in percent.
    """
    names = np.asarray(rows.devices, dtype=str)[found.index]
    difference = found.log_predicted - rows.log_joules[found.index]
    inside = np.abs(difference) <= quantiles * found.spread
    table = []
    for name in sorted(set(names)):
        own = names == name
        table.append(
            {
                "device": str(name),
                "n": int(own.sum()),
                "mdape": round(100 * float(np.median(np.abs(np.expm1(difference[own])))), 1),
                "bias": round(float(np.exp(np.median(difference[own]))), 3),
                "coverage90": round(100 * float(inside[own].mean()), 1),
            }
        )
    return table


def points(rows: Rows, found: Scored, quantiles: Array) -> list[list[Any]]:
    """Some held-out predictions of each device, evenly over its range.

    Returns:
        [device, measured, predicted, low, high] in joules per text.
    """
    names = np.asarray(rows.devices, dtype=str)[found.index]
    table: list[list[Any]] = []
    for name in sorted(set(names)):
        own = np.flatnonzero(names == name)
        order = own[np.argsort(rows.log_joules[found.index[own]], kind="stable")]
        few = min(len(order), POINTS_PER_DEVICE)
        for i in order[np.linspace(0, len(order) - 1, few).round().astype(int)]:
            half = quantiles[i] * found.spread[i]
            log = found.log_predicted[i]
            values = np.exp([rows.log_joules[found.index[i]], log, log - half, log + half])
            table.append([str(name), *(float(f"{value:.4g}") for value in values)])
    return table


def cross_validate(
    rows: Rows, split: Split, probes: Sequence[int], subset: str = "all"
) -> tuple[dict[str, Any], list[Fold]]:
    """Errors on held-out groups of one table, and the folds behind them.

    With held-out models or families only rows count whose device other rows know.

    Raises:
        ValueError: Fewer than two groups, so nothing can be held out.
    """
    groups = groups_of(rows, split)
    if len(set(groups)) < 2:
        raise ValueError(f"only one {split} in the rows, so none can be held out")
    held = held_out(rows, split)
    kept = encoders(rows) if subset == "encoders" else np.ones(len(groups), dtype=bool)
    if split in ("model", "family"):
        kept &= known_devices(rows, held)
        probes = ()
    interval_groups = groups if split == "source" else rows.devices
    table = report(rows, held, kept, probes, from_others(rows, interval_groups))
    counts = {"split": split, "n_train": len(rows.models), "n_test": int(kept.sum())}
    return counts | table, held
