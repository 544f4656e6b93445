"""Simple methods every error table shows beside ours, on the same rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from advisor.estimator import power
from advisor.estimator.mixed_effects import DECIMALS, weighed
from advisor.estimator.table import Array
from advisor.estimator.training_rows import Rows

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


def lightgbm_power(train: Rows, test: Rows) -> Array:
    """Log watts by gradient boosting on all features: what trees alone can do."""
    import lightgbm

    watts = train.log_joules - train.log_seconds
    weights = weighed(train.setups, ("unit",), 0.7)
    parts = (np.column_stack([*power.features(train.setups).values()]), watts, weights)
    X, log_watts, weights = (values.round(DECIMALS) for values in parts)
    booster = lightgbm.train(_TREES, lightgbm.Dataset(X, log_watts, weight=weights), 200)
    asked = np.column_stack([*power.features(test.setups).values()]).round(DECIMALS)
    return np.asarray(booster.predict(asked), dtype=float)
