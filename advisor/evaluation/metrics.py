"""Honest error: grouped splits, the figures that describe an error, and the baselines.

Never a shuffled split, never R²: in log space TDP x time scores .97 without any fit. All
energies are joules per text; errors compare predicted with measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor.estimator.table import Array, Mask


class Errors(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one method on one split; percentages as numbers.

    Attributes:
        mdape_macro_device: Median absolute percentage error of each device, averaged.
        mdape_median_device: The same of the median device.
        mdape_macro_low: Low end of its 90 % bootstrap interval over devices; `mdape_macro_high`
            the high one.
        within25: Share of rows within 25 %, in percent; `within2x` within a factor of two.
        coverage90: Share of rows inside the 90 % interval, each device weighing 1, percent.
        width90: Median of the interval's high end over its low end.
        kendall_tau: Rank agreement (tau-b) of predicted and measured energy inside a unit: all
            setups of one device, in one scope as one source measured it. Mean over units of three
            setups and more; 0 where all predictions are alike. `kendall_tau_median` the median.
        regret: How much more energy than the best the setup picked by prediction needs, in a
            unit, mean, percent; `regret_median` the median. Equal predictions are picked alike.
        choice_kendall_tau: The same inside a choice, the setups of a unit that do one work;
            `choice_kendall_tau_median`, `choice_regret` and `choice_regret_median` likewise.
    """

    mdape_macro_device: float
    mdape_median_device: float
    mdape_macro_low: float
    mdape_macro_high: float
    mdape: float
    mape: float
    within25: float
    within2x: float
    coverage90: float | None = None
    width90: float | None = None
    kendall_tau: float | None = None
    kendall_tau_median: float | None = None
    regret: float | None = None
    regret_median: float | None = None
    choice_kendall_tau: float | None = None
    choice_kendall_tau_median: float | None = None
    choice_regret: float | None = None
    choice_regret_median: float | None = None


_RANKABLE = 3


class Order(NamedTuple):
    """Tau-b and regret of the pick (percent) over groups, mean and median; NaN without any."""

    kendall_tau: float
    kendall_tau_median: float
    regret: float
    regret_median: float


def ranking(log_predicted: Array, log_measured: Array, groups: Sequence[str]) -> Order:
    """How well predictions order the rows of each group of three and more."""
    names, codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    taus, regrets = [], []
    for own in np.split(order, np.cumsum(np.bincount(codes, minlength=len(names)))[:-1]):
        predicted, measured = log_predicted[own], log_measured[own]
        if len(measured) < _RANKABLE or np.ptp(measured) == 0:
            continue
        taus.append(_tau(predicted, measured))
        picked = measured[predicted == predicted.min()]
        regrets.append(100 * float(np.mean(np.expm1(picked - measured.min()))))
    if not taus:
        return Order(math.nan, math.nan, math.nan, math.nan)
    return Order(*(float(reduce(v)) for v in (taus, regrets) for reduce in (np.mean, np.median)))


def _tau(one: Array, two: Array) -> float:
    """Kendall's tau-b, 0 where nothing is told apart; scipy's takes ten times as long."""
    a, b = (np.sign(np.subtract.outer(values, values)) for values in (one, two))
    pairs = math.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / pairs) if pairs else 0.0


def by_group(values: Array, groups: Sequence[str], reduce: Callable[[Array], float]) -> Array:
    """A statistic of each group's values, groups in sorted order."""
    names = np.asarray(groups, dtype=str)
    return np.array([reduce(values[names == name]) for name in sorted(set(groups))])


_RESAMPLES, _SEED = 2000, 20250819


def bootstrap(values: Array) -> tuple[float, float]:
    """90 % percentile interval of a mean, resampling its terms (Efron 1979)."""
    generator = np.random.default_rng(_SEED)
    means = values[generator.integers(0, len(values), (_RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.05, 0.95))
    return float(low), float(high)


def errors(
    log_predicted: Array,
    log_measured: Array,
    devices: Sequence[str],
    half_width: Array | None = None,
    units: Sequence[str] | None = None,
    choices: Sequence[str] | None = None,
) -> Errors:
    """The error figures of predictions.

    Args:
        log_predicted: Natural log of predicted joules, n.
        log_measured: Natural log of measured joules, n.
        devices: Device of each row.
        half_width: Half the width of the 90 % interval in log space, n.
        units: The machine and team each row is ranked in.
        choices: The work on it that each row competes for.
    """
    log_predicted = log_predicted.round(9)  # equal setups tie, whatever the last bits say
    difference = log_predicted - log_measured
    relative = 100 * np.abs(np.expm1(difference))
    medians = by_group(relative, devices, lambda v: float(np.median(v)))
    low, high = bootstrap(medians)
    found: dict[str, float] = {
        "mdape_macro_device": float(np.mean(medians)),
        "mdape_median_device": float(np.median(medians)),
        "mdape_macro_low": low,
        "mdape_macro_high": high,
        "mdape": float(np.median(relative)),
        "mape": float(np.mean(relative)),
        "within25": 100 * float(np.mean(relative <= 25)),
        "within2x": 100 * float(np.mean(np.abs(difference) <= np.log(2))),
    }
    if half_width is not None:
        inside = (np.abs(difference) <= half_width).astype(float)
        found["coverage90"] = 100 * float(np.mean(by_group(inside, devices, np.mean)))
        found["width90"] = float(np.exp(2 * np.median(half_width)))
    for prefix, groups in (("", units), ("choice_", choices)):
        if groups is not None:
            order = ranking(log_predicted, log_measured, groups)
            found |= {prefix + name: value for name, value in order._asdict().items()}
    return Errors(**{name: round(value, 3) for name, value in found.items() if value == value})


def folds(groups: Sequence[str]) -> Iterator[tuple[str, Mask, Mask]]:
    """(group, training mask, test mask) for every group held out in turn."""
    names = np.asarray(groups, dtype=str)
    for name in np.unique(names):
        held_out = names == name
        yield str(name), ~held_out, held_out


def many_folds(groups: Sequence[str], most: int = 20) -> Iterator[tuple[str, Mask, Mask]]:
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


def held_out_quantiles(scores: Array, groups: Sequence[str], share: float = 0.9) -> Array:
    """For each row the `share` quantile of the scores of all other groups.

    Args:
        scores: Absolute log errors over the spread that was claimed, n.
        groups: Group of each row; each group weighs 1.
        share: Of 0 to 1.
    """
    found, names = np.empty(len(scores)), np.asarray(groups, dtype=str)
    for _, others, held_out in folds(groups):
        rest = others if others.any() else held_out
        found[held_out] = grouped_quantile(scores[rest], list(names[rest]), share)
    return found
