"""Honest error: grouped splits, the figures that describe an error, and the baselines.

Never a shuffled split, never R²: in log space TDP x time scores .97 without any fit. All
energies are joules per text; errors compare predicted with measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from advisor.features import Array


class Errors(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one method on one split; percentages as numbers.

    Attributes:
        mdape_macro_device: Median absolute percentage error of each device, averaged.
        within25: Share of rows within 25 %, in percent; `within2x` within a factor of two.
        coverage90: Share of rows inside the 90 % interval, each device weighing 1, percent.
        width90: Median of the interval's high end over its low end.
        kendall_tau: Rank agreement of predicted and measured energy inside a unit (a device in
            one scope as one source measured it), averaged over units of three rows and more.
        regret: How much more energy than the best the setup picked by prediction needs, inside
            a unit, averaged, percent.
    """

    mdape_macro_device: float
    mdape: float
    mape: float
    within25: float
    within2x: float
    coverage90: float | None = None
    width90: float | None = None
    kendall_tau: float | None = None
    regret: float | None = None


_RANKABLE = 3


def ranking(log_predicted: Array, log_measured: Array, units: Sequence[str]) -> tuple[float, float]:
    """Kendall's tau and the regret of the pick (percent), averaged over units; NaN without any."""
    names = np.asarray(units, dtype=str)
    taus, regrets = [], []
    for name in sorted(set(units)):
        predicted, measured = log_predicted[names == name], log_measured[names == name]
        if len(measured) < _RANKABLE or np.ptp(measured) == 0 or np.ptp(predicted) == 0:
            continue
        taus.append(float(kendalltau(predicted, measured).statistic))
        picked = measured[int(np.argmin(predicted))]
        regrets.append(100 * float(np.expm1(picked - measured.min())))
    return (float(np.mean(taus)), float(np.mean(regrets))) if taus else (math.nan, math.nan)


def macro(values: Array, devices: Sequence[str], reduce: Callable[[Array], float]) -> float:
    """A statistic of each device's rows, averaged over devices."""
    names = np.asarray(devices, dtype=str)
    return float(np.mean([reduce(values[names == name]) for name in sorted(set(devices))]))


def errors(
    log_predicted: Array,
    log_measured: Array,
    devices: Sequence[str],
    half_width: Array | None = None,
    units: Sequence[str] | None = None,
) -> Errors:
    """The error figures of predictions.

    Args:
        log_predicted: Natural log of predicted joules, n.
        log_measured: Natural log of measured joules, n.
        devices: Device of each row.
        half_width: Half the width of the 90 % interval in log space, n.
        units: Unit of each row, for the ranking inside units.
    """
    difference = log_predicted - log_measured
    relative = 100 * np.abs(np.expm1(difference))
    found: dict[str, float] = {
        "mdape_macro_device": macro(relative, devices, lambda v: float(np.median(v))),
        "mdape": float(np.median(relative)),
        "mape": float(np.mean(relative)),
        "within25": 100 * float(np.mean(relative <= 25)),
        "within2x": 100 * float(np.mean(np.abs(difference) <= np.log(2))),
    }
    if half_width is not None:
        inside = (np.abs(difference) <= half_width).astype(float)
        found["coverage90"] = 100 * macro(inside, devices, lambda v: float(np.mean(v)))
        found["width90"] = float(np.exp(2 * np.median(half_width)))
    if units is not None:
        found["kendall_tau"], found["regret"] = ranking(log_predicted, log_measured, units)
    return Errors(**{name: round(value, 3) for name, value in found.items() if value == value})


def folds(groups: Sequence[str]) -> Iterator[tuple[str, Array, Array]]:
    """(group, training mask, test mask) for every group held out in turn."""
    names = np.asarray(groups, dtype=str)
    for name in np.unique(names):
        held_out = names == name
        yield str(name), ~held_out, held_out


def many_folds(groups: Sequence[str], most: int = 20) -> Iterator[tuple[str, Array, Array]]:
    """Like `folds`, with groups dealt into at most `most` folds in sorted order."""
    names, codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    del names
    for fold in np.unique(codes % most):
        held_out = codes % most == fold
        yield str(fold), ~held_out, held_out


def grouped_quantile(absolute: Array, groups: Sequence[str], share: float = 0.9) -> float:
    """The `share` quantile of absolute residuals with every group weighing 1."""
    _, codes, counts = np.unique(
        np.asarray(groups, dtype=str), return_inverse=True, return_counts=True
    )
    weights = 1.0 / counts[codes]
    order: NDArray[np.intp] = np.argsort(absolute)
    cumulative = np.cumsum(weights[order]) / weights.sum()
    position = min(int(np.searchsorted(cumulative, share)), len(order) - 1)
    return float(absolute[order][position])


def held_out_half_widths(absolute: Array, groups: Sequence[str]) -> Array:
    """Half-widths for each row from the residuals of all other groups."""
    widths = np.empty(len(absolute))
    names = np.asarray(groups, dtype=str)
    for _, others, held_out in folds(groups):
        rest = others if others.any() else held_out
        widths[held_out] = grouped_quantile(absolute[rest], list(names[rest]))
    return widths


Baseline = Callable[[Array, Array, Array, Array], Callable[[Array, Array, Array], Array]]


def tdp_time(_t: Array, _p: Array, _w: Array, _e: Array) -> Callable[[Array, Array, Array], Array]:
    """Energy = nominal power x time; nothing is fitted."""
    return lambda log_time, _, log_nominal: log_nominal + log_time


def const_power(t: Array, _p: Array, _w: Array, e: Array) -> Callable[[Array, Array, Array], Array]:
    """Energy = one wattage for every machine x time."""
    watts = float(np.median(e - t))
    return lambda log_time, _, __: log_time + watts


def ols_time(t: Array, _p: Array, _w: Array, e: Array) -> Callable[[Array, Array, Array], Array]:
    """Log energy on log time, ordinary least squares."""
    slope, intercept = np.polyfit(t, e, 1)
    return lambda log_time, _, __: slope * log_time + intercept


def ols_time_tdp_params(
    t: Array, p: Array, w: Array, e: Array
) -> Callable[[Array, Array, Array], Array]:
    """Log energy on log time, log parameters and log nominal power, least squares."""
    design = np.column_stack([np.ones_like(t), t, p, w])
    solution = np.linalg.lstsq(design, e, rcond=None)[0]
    return lambda log_time, log_params, log_nominal: (
        np.column_stack([np.ones_like(log_time), log_time, log_params, log_nominal]) @ solution
    )


BASELINES: dict[str, Baseline] = {
    "tdp_time": tdp_time,
    "const_power": const_power,
    "ols_time": ols_time,
    "ols_time_tdp_params": ols_time_tdp_params,
}
"""Methods every error table shows beside ours, on the same rows; each is given training logs
of time, parameters, nominal power and energy, and returns a predictor of log energy."""
