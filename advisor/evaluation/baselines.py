"""Simple methods every error table shows beside ours, on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from advisor.estimator import ridge
from advisor.estimator.features import Array
from advisor.estimator.trees import DECIMALS

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

_TREES = {
    "objective": "l2",
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 5,
    "feature_fraction": 0.7,
    "verbose": -1,
    "num_threads": 1,
    "seed": 0,
    "deterministic": True,
}


def lightgbm_power(X: Array, log_power: Array, units: Sequence[str]) -> Callable[[Array], Array]:
    """Gradient boosting on log power from all features: what trees alone can do."""
    import lightgbm

    rounded = (values.round(DECIMALS) for values in (X, log_power, ridge.unit_weights(units)))
    X, log_power, weights = rounded
    data = lightgbm.Dataset(X, log_power, weight=weights)
    booster = lightgbm.train(_TREES, data, 200)
    return lambda test: np.asarray(booster.predict(test))
