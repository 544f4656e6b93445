"""Errors of predicted accuracies, intervals calibrated on other data, and quality of picks.

All figures are in points (hundredths of accuracy) and means over workloads, so that a workload with
many models counts as much as one with few.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from advisor.accuracy.scale import NORMAL_90, ONE_SIDED_90, Array, to_accuracy, to_logit
from advisor.evaluation.accuracy_tables import AccuracyRows

BOOTSTRAPS = 1000
SEED = 20260801
FLOORS = tuple(round(0.4 + 0.05 * n, 2) for n in range(12))
"""Accuracy floors of the questions by which picks are judged, as far as some candidates reach them
and others do not."""
SLACK = 0.01
"""A pick this far below the floor still counts as reaching it."""


def described(data: AccuracyRows, found: pd.DataFrame) -> pd.DataFrame:
    """Predictions with the facts of their rows: workload, group, truth, cost and alike."""
    seen, rows = data.observations, found["row"].to_numpy()
    table, candidate = data.table.iloc[rows], seen.candidate[rows]
    active = seen.candidates["n_active_parameters"].to_numpy(dtype=float)[candidate]
    return found.reset_index(drop=True).assign(
        true=seen.accuracy[rows],
        chance=seen.chance()[seen.workload[rows]],
        contaminated=seen.contaminated[rows],
        cost=active,
        **{
            name: table[name].to_numpy()
            for name in ("workload", "group", "task", "language", "writing", "model")
        },
    )


def _ratio(found: pd.DataFrame) -> Array:
    """Errors on the logit scale in half-widths of the uncalibrated interval."""
    chance = found["chance"].to_numpy()
    gap = to_logit(found["true"].to_numpy(), chance) - found["logit"].to_numpy()
    ratio: Array = np.abs(gap) / (NORMAL_90 * found["spread"].to_numpy())
    return ratio


def _quantile(values: Array, weights: Array, share: float) -> float:
    """Weighted quantile."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) >= share * weights.sum()
    return float(values[order][np.argmax(reached)])


def reach(found: pd.DataFrame) -> dict[int, float]:
    """Factor by number of probes that makes 90 % intervals cover 90 %, workloads weighted alike."""
    ratio = _ratio(found)
    rows = found.groupby(["workload", "k"])["row"].transform("size").to_numpy(dtype=float)
    table = {}
    for k in sorted(set(found["k"])):
        own = (found["k"] == k).to_numpy()
        table[int(k)] = _quantile(ratio[own], 1 / rows[own], 0.9)
    return table


def with_intervals(found: pd.DataFrame, factor: Array) -> pd.DataFrame:
    """Predictions with ``low``, ``high`` and the one-sided ``bound``, widened by `factor`."""
    chance, logit = found["chance"].to_numpy(), found["logit"].to_numpy()
    half = factor * found["spread"].to_numpy()
    return found.assign(
        low=to_accuracy(logit - NORMAL_90 * half, chance),
        high=to_accuracy(logit + NORMAL_90 * half, chance),
        bound=to_accuracy(logit - ONE_SIDED_90 * half, chance),
    )


def calibrated(found: pd.DataFrame) -> pd.DataFrame:
    """Intervals of held-out predictions, each by the factor that all other groups give.

    English workloads, others in Latin script and those in other scripts have factors of their own.
    """
    factor = np.ones(len(found))
    writing = found["writing"].to_numpy(dtype=str)
    groups = found["group"].to_numpy(dtype=str)
    for part in (writing == name for name in np.unique(writing)):
        for group in np.unique(groups[part]):
            own, others = part & (groups == group), part & (groups != group)
            if others.any():
                table = reach(found[others])
                factor[own] = found["k"][own].map(table).fillna(1.0).to_numpy()
    return with_intervals(found, factor)


def workload_errors(found: pd.DataFrame, value: str = "accuracy") -> pd.DataFrame:
    """Figures of each workload by one method's column: one line each."""
    error = 100 * (found[value] - found["true"])
    clean = ~found["contaminated"]
    table = found.assign(
        bias=error,
        mae=error.abs(),
        within2=100.0 * (error.abs() <= 2),
        within5=100.0 * (error.abs() <= 5),
    )
    names = ["mae", "bias", "within2", "within5"]
    if value == "accuracy" and "low" in found:
        inside = (found["true"] >= found["low"]) & (found["true"] <= found["high"])
        table = table.assign(
            coverage90=100.0 * inside, width90=100 * (found["high"] - found["low"])
        )
        names += ["coverage90", "width90"]
    by = table.groupby("workload")
    lines = by[names].mean()
    lines["mae_clean"] = table[clean.to_numpy()].groupby("workload")["mae"].mean()
    lines["kendall_tau"] = [_tau(part, value) for _, part in by]
    lines["group"] = by["group"].first()
    lines["rows"] = by.size()
    return lines


def _tau(part: pd.DataFrame, value: str) -> float:
    """Kendall's tau-b of predictions and truth inside one workload; NaN where all are equal."""
    if part[value].nunique() < 2 or part["true"].nunique() < 2:
        return float("nan")
    return float(kendalltau(part[value], part["true"]).statistic)


def _bootstrap(lines: pd.DataFrame) -> tuple[float, float]:
    """90 % interval of the mean error over workloads, groups of data sets drawn anew."""
    groups = [part["mae"].to_numpy() for _, part in lines.groupby("group")]
    generator = np.random.default_rng(SEED)
    sums = np.array([part.sum() for part in groups])
    sizes = np.array([len(part) for part in groups], dtype=float)
    drawn = generator.integers(0, len(groups), (BOOTSTRAPS, len(groups)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, [0.05, 0.95])
    return float(low), float(high)


def metrics(found: pd.DataFrame, value: str = "accuracy") -> dict[str, Any]:
    """Figures of one method on some predictions of one k; empty where there are none."""
    found = found[found[value].notna()]
    if not len(found):
        return {}
    lines = workload_errors(found, value)
    means = lines.drop(columns=["group", "rows"]).mean()
    low, high = _bootstrap(lines)
    figures = {str(name): round(float(mean), 2) for name, mean in means.items() if mean == mean}
    counts = {"n_workloads": len(lines), "n_groups": lines["group"].nunique(), "n_rows": len(found)}
    return figures | {"mae_low": round(low, 2), "mae_high": round(high, 2)} | counts


def by_probes(found: pd.DataFrame, value: str = "accuracy") -> dict[str, dict[str, Any]]:
    """`metrics` for each number of probes."""
    table = {str(k): metrics(found[found["k"] == k], value) for k in sorted(set(found["k"]))}
    return {k: figures for k, figures in table.items() if figures}


def picks(found: pd.DataFrame) -> dict[str, Mapping[str, Any]]:
    """Quality of the cheapest candidate whose lower bound, or point value, reaches a floor.

    A question is a workload and a floor that 5-95 % of its candidates truly reach; candidates that
    were trained on the data set are left out; the cheapest has the fewest active parameters.
    """
    clean = found[~found["contaminated"] & found["cost"].notna()].sort_values("cost")
    decided: dict[str, list[dict[str, float]]] = {"bound": [], "accuracy": []}
    questions = 0
    for _, part in clean.groupby("workload"):
        true = part["true"].to_numpy()
        for floor in FLOORS:
            if not 0.05 <= float((true >= floor).mean()) <= 0.95:
                continue
            questions += 1
            for rule, lines in decided.items():
                able = np.flatnonzero(part[rule].to_numpy() >= floor)
                if len(able):
                    lines.append(_picked(part.iloc[able[0]], floor, part))
    return {
        name: _decision(decided[rule], questions)
        for name, rule in (("by_bound", "bound"), ("by_point", "accuracy"))
    }


def _picked(row: pd.Series, floor: float, part: pd.DataFrame) -> dict[str, float]:
    """What became of one pick."""
    true = float(row["true"])
    best = part.loc[part["true"] >= floor, "cost"].min()
    return {
        "reached": 100.0 * (true >= floor - SLACK),
        "optimism": 100 * (float(row["accuracy"]) - true),
        "coverage90": 100.0 * (row["low"] <= true <= row["high"]),
        "cost_ratio": (float(row["cost"]) + 1e6) / (float(best) + 1e6),
    }


def _decision(lines: list[dict[str, float]], questions: int) -> dict[str, Any]:
    """Means over the questions that had a pick; the median of the cost ratio."""
    if not lines:
        return {"questions": questions, "answered": 0.0}
    table = pd.DataFrame(lines)
    means = {
        str(name): round(float(table[name].mean()), 1) for name in table if name != "cost_ratio"
    }
    ratio = round(float(table["cost_ratio"].median()), 2)
    answered = round(100 * len(table) / questions, 1)
    return {"questions": questions, "answered": answered} | means | {"cost_ratio": ratio}
