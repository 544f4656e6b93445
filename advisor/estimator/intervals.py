"""90 % intervals by class of question, from the errors of held-out devices and publishers.

The half-width of an interval (natural logs) is a spread times a quantile. The spread says where
errors are large: a ridge on the log of held-out errors. The quantile is the 90 % point of held-out
errors over their spread, one for each class of question and for each of three regimes: a device,
a publisher, or both that the training rows lack. A class of fewer than 5 devices (or from fewer
than 3 publishers, where a publisher is new) takes the quantile of its kind of work and of device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor.estimator.machine_effects import BACKEND
from advisor.estimator.mixed_effects import Ridge, fit_ridge, weighed
from advisor.estimator.table import Array, Column, take

if TYPE_CHECKING:
    import pandas as pd

REGIMES = ("device", "publisher", "both")
"""What was held out: a device, a publisher, or both at once."""
SHARE = 0.9
Z90 = 1.645
"""Half of a 90 % interval in standard deviations."""
FEWEST_DEVICES, FEWEST_PUBLISHERS = 5, 3
BRIDGE = "encoder/cpu/openvino"
BRIDGED = tuple(f"encoder/cpu/{name}" for name in ("eager", "onnxruntime", "openvino", "compiled"))
BRIDGE_SPREAD = math.sqrt(2) * BACKEND
"""Standard deviation (natural log) of the ratio of two backends' seconds on one machine. Libraries
on CPUs are as uncertain as the one whose tables hold most devices and by this much more: the rows
of the others are too few to learn an interval from. The scorecard has its coverage on those rows
beside that of the rule, see `advisor.evaluation.ratios.bridged`."""
_LEAST_ERROR = 0.05
"""Added to absolute log errors, so that a lucky zero does not count as certainty."""
_LEVELS = {"kind": 3.0, "kind_backend": 10.0, "kind_format": 10.0, "work": 10.0, "class": 10.0}
_NUMERIC = ("peak_imputed", "tokens_assumed", "batch_assumed", "pruned", "log_tokens", "log_batch")
_PENALTY = 10.0


class Intervals(msgspec.Struct, frozen=True):
    """Half-widths of 90 % intervals.

    Attributes:
        spread: By regime: ridge of log absolute error.
        quantile: By regime, by class of question: spreads to the end of the interval.
        coarse: By regime, by kind of work and of device: the same for classes with too few devices
            or publishers.
        wide: By regime: the same where even those are too few: the upper quartile of all classes,
            at least the quantile over all rows.
        devices: By class: devices among the training rows; `publishers` likewise.
    """

    spread: dict[str, Ridge]
    quantile: dict[str, dict[str, float]]
    coarse: dict[str, dict[str, float]]
    wide: dict[str, float]
    devices: dict[str, int]
    publishers: dict[str, int]

    def known(self, name: str) -> bool:
        """Whether a class was seen on enough devices and from enough publishers."""
        return (
            self.devices.get(name, 0) >= FEWEST_DEVICES
            and self.publishers.get(name, 0) >= FEWEST_PUBLISHERS
        )

    def of_cpu_libraries(
        self, numeric: Mapping[str, Column], groups: Mapping[str, Column]
    ) -> Array:
        """Half-widths of n intervals of `BRIDGED` classes; NaN for others, and without tables."""
        found = np.full(len(groups["class"]), np.nan)
        own = np.isin(groups["class"].astype(str), BRIDGED)
        if own.any() and BRIDGE in self.quantile["device"]:
            part = take(groups, own)
            renamed = np.full(own.sum(), BRIDGE, dtype=object)
            part |= {"class": renamed, "kind_backend": np.full(own.sum(), "cpu|openvino", object)}
            half = self.half(take(numeric, own), part, np.full(own.sum(), "device"))
            found[own] = np.hypot(half, Z90 * BRIDGE_SPREAD)
        return found

    def half(
        self, numeric: Mapping[str, Column], groups: Mapping[str, Column], regimes: NDArray[np.str_]
    ) -> Array:
        """Half-width of n intervals in natural logs.

        Args:
            numeric: Features of the runtime model, n rows.
            groups: Group columns with ``class``, n rows.
            regimes: Of `REGIMES`, n.
        """
        found = np.zeros(len(regimes))
        for regime in sorted({*regimes.tolist()}):
            own = regimes == regime
            part = take(groups, own)
            spread = np.exp(self.spread[regime].predict(take(numeric, own), part))
            own_class, coarse, wide = self.quantile[regime], self.coarse[regime], self.wide[regime]
            found[own] = spread * [
                own_class.get(name, coarse.get(coarser(name), wide))
                for name in part["class"].tolist()
            ]
        return found


def fit_spread(numeric: Mapping[str, Column], groups: Mapping[str, Column], error: Array) -> Ridge:
    """Fits where errors are large.

    Args:
        numeric: Features, n rows.
        groups: Group columns, n rows.
        error: Held-out log errors, n.
    """
    weights = weighed(groups, ("device",), 0.5)
    target = np.log(np.abs(error) + _LEAST_ERROR)
    return fit_ridge(
        {name: numeric[name] for name in _NUMERIC}, groups, target, weights, _PENALTY, _LEVELS
    )


def fit(
    numeric: Mapping[str, Column], groups: Mapping[str, Column], errors: Mapping[str, Array]
) -> Intervals:
    """Fits spreads and quantiles from held-out errors.

    Args:
        numeric: Features of the runtime model, n rows.
        groups: Group columns with ``class``, ``device`` and ``publisher``, n rows.
        errors: By regime: log of predicted over measured, each row predicted without its group.
    """
    import pandas as pd

    frame = pd.DataFrame({name: groups[name] for name in ("class", "device", "publisher")})
    counts = frame.groupby("class").nunique()
    devices = {str(name): int(n) for name, n in counts["device"].items()}
    publishers = {str(name): int(n) for name, n in counts["publisher"].items()}
    spread: dict[str, Ridge] = {}
    quantile: dict[str, dict[str, float]] = {}
    coarse: dict[str, dict[str, float]] = {}
    wide: dict[str, float] = {}
    weights = weighed(groups, ("class", "device"), 0.5)
    for regime, error in errors.items():
        spread[regime] = fit_spread(numeric, groups, error)
        score = np.abs(error) / np.exp(spread[regime].predict(numeric, groups))
        scored = frame.assign(score=score, weight=weights)
        quantile[regime] = _by_group(scored, frame["class"], regime)
        coarse[regime] = _by_group(scored, frame["class"].map(coarser), regime)
        every = weighted_quantile(score, weights, SHARE)
        own = [*quantile[regime].values()]
        upper = float(np.quantile(own, 0.75)) if own else every
        wide[regime] = round(max(every, upper), 6)
    return Intervals(spread, quantile, coarse, wide, devices, publishers)


def coarser(name: str) -> str:
    """Kind of work and of device of a class of question."""
    return name.rsplit("/", 1)[0]


def _by_group(scored: pd.DataFrame, groups: pd.Series, regime: str) -> dict[str, float]:
    """Quantile of each group of rows with enough devices, and publishers where one is new."""
    found = {}
    for name, own in scored.groupby(groups):
        few = own["publisher"].nunique() < FEWEST_PUBLISHERS and regime != "device"
        if own["device"].nunique() >= FEWEST_DEVICES and not few:
            score, weight = own["score"].to_numpy(), own["weight"].to_numpy()
            found[str(name)] = round(weighted_quantile(score, weight, SHARE), 6)
    return found


def weighted_quantile(values: Array, weights: Array, share: float) -> float:
    """The value below which `share` of the weight lies."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][min(int(np.searchsorted(total, share * total[-1])), len(order) - 1)])
