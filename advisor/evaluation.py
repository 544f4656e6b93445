"""The error of the estimator and of every baseline on published rows, split honestly.

Groups (devices, sources, models, model families) are held out whole. With k probe rows of a
held-out unit (a device in one scope as one source measured it), every method is corrected by the
same draws: its mean log residual on them, shrunk. Energies of test rows are used for scoring and
for those probe rows, for nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import lightgbm as lgb
import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor import ridge
from advisor.features import FEATURES, Array, Design, Imputation, numbers
from advisor.rowtable import family_of
from advisor.training import Fits, Rows, designs, fit, predict
from advisor.validation import BASELINES, errors, folds, grouped_quantile, many_folds

Split = Literal["device", "source", "model", "family"]
DRAWS = 20
FEWEST = 30
SEED = 20250819
MODEL_FOLDS = 10
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
Log = dict[str, Array]
"""Log joules of every method by name, for the same rows."""


class Prepared(msgspec.Struct, frozen=True):
    """Rows with everything that is computed once for all folds."""

    rows: Rows
    raw: Array
    known: Design
    unknown: Design

    def take(self, mask: Array) -> Prepared:
        """The rows where `mask` holds."""
        return Prepared(
            self.rows.take(mask), self.raw[:, mask], self.known.take(mask), self.unknown.take(mask)
        )


def prepare(rows: Rows, stand_in: Imputation) -> Prepared:
    """Features of rows."""
    raw = numbers(rows.setups, stand_in)
    return Prepared(rows, raw, *designs(raw))


def groups_of(rows: Rows, split: Split) -> list[str]:
    """What is held out together."""
    if split == "family":
        return [family_of(model) for model in rows.models]
    return {"device": rows.devices, "source": rows.sources, "model": rows.models}[split]


def _trees(train: Prepared) -> Callable[[Prepared], Array]:
    """Gradient boosting on log power: what trees alone can do."""
    target = train.rows.log_joules - train.known.log_runtime_s
    data = lgb.Dataset(train.known.X, target, weight=ridge.unit_weights(train.rows.units))
    booster = lgb.train(_TREES, data, 200)
    return lambda test: np.asarray(booster.predict(test.known.X)) + test.known.log_runtime_s


def _parameters(part: Prepared) -> Array:
    """Natural log of the parameters."""
    return part.known.X[:, FEATURES.index("log_parameters")]


def predict_all(train: Prepared, test: Prepared) -> tuple[Log, Fits]:
    """Log joules of the test rows by every method fitted on the training rows."""
    energy = train.rows.log_joules
    fits = fit(train.known, train.unknown, energy, train.rows.groupings())
    known, unknown = predict(fits, test.raw, test.known, test.unknown, test.rows.groupings())
    found = {"estimator": known, "unknown_runtime": unknown, "lightgbm_power": _trees(train)(test)}
    for name, baseline in BASELINES.items():
        method = baseline(
            train.known.log_runtime_s, _parameters(train), train.known.log_nominal_w, energy
        )
        found[name] = method(test.known.log_runtime_s, _parameters(test), test.known.log_nominal_w)
    return found, fits


def trust(train: Prepared, fits: Fits) -> float:
    """Prior rows that one probe row is weighed against: variance within units over between.

    Computed on training rows alone; 0.2 means a single probe is believed to five sixths.
    """
    target = train.rows.log_joules - train.known.log_runtime_s - train.known.log_nominal_w
    residual = target - fits.power.predict(train.known.X)
    names = np.asarray(train.rows.units, dtype=str)
    means, spreads = [], []
    for name in sorted(set(train.rows.units)):
        own = residual[names == name]
        means.append(float(np.mean(own)))
        spreads.append(float(np.var(own)))
    between = float(np.var(means))
    return float(np.clip(np.mean(spreads) / between if between else 1.0, 0.02, 2.0))


def draws(rows: Rows, k: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """(probe rows, scored rows) for each unit of more than k + 1 models: k probes, `DRAWS` times.

    Probes are rows of k different models; what is scored are the rows of all other models.
    """
    units, models = np.asarray(rows.units, dtype=str), np.asarray(rows.models, dtype=str)
    generator = np.random.default_rng(SEED)
    for unit in sorted(set(rows.units)):
        own = np.flatnonzero(units == unit)
        names = np.unique(models[own])
        if len(names) <= k + 1:
            continue
        for _ in range(DRAWS if k else 1):
            chosen = generator.choice(names, k, replace=False) if k else names[:0]
            probes = [generator.choice(own[models[own] == name]) for name in chosen]
            yield np.array(probes, dtype=np.intp), own[~np.isin(models[own], chosen)]


class Scored(msgspec.Struct, frozen=True):
    """Predictions of one method after probing, with the rows they belong to."""

    index: NDArray[np.intp]
    log_predicted: Array


def probed(rows: Rows, log_predicted: Array, k: int, weight: Array) -> Scored:
    """Predictions corrected by k probe rows of the same unit, over all draws.

    Args:
        rows: Test rows; energies of probe rows are read, no others.
        log_predicted: Uncorrected log joules.
        k: Probe rows.
        weight: `trust` for each row.
    """
    index, corrected = [], []
    for probes, scored in draws(rows, k):
        shift = 0.0
        if k:
            residual = rows.log_joules[probes] - log_predicted[probes]
            shift = float(residual.sum() / (k + weight[probes[0]]))
        index.append(scored)
        corrected.append(log_predicted[scored] + shift)
    if not index:
        return Scored(np.array([], dtype=np.intp), np.array([]))
    return Scored(np.concatenate(index), np.concatenate(corrected))


def _figures(rows: Rows, scored: Scored, half_width: Array | None = None) -> dict[str, Any]:
    """Error figures of scored predictions."""
    devices = [rows.devices[i] for i in scored.index]
    units = [rows.units[i] for i in scored.index]
    found = errors(scored.log_predicted, rows.log_joules[scored.index], devices, half_width, units)
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain


def _half_widths(rows: Rows, scored: Scored) -> Array:
    """Half-widths of the 90 % interval for each scored row, from other devices' residuals."""
    residual = np.abs(scored.log_predicted - rows.log_joules[scored.index])
    devices = np.asarray(rows.devices, dtype=str)[scored.index]
    widths = np.empty(len(residual))
    for device in np.unique(devices):
        others = devices != device
        basis = others if others.any() else ~others
        widths[~others] = grouped_quantile(residual[basis], devices[basis].tolist())
    return widths


class Held(msgspec.Struct, frozen=True):
    """Held-out predictions of all rows by every method, and the trust of each row's fold."""

    log: Log
    weight: Array


def held_out(prepared: Prepared, split: Split) -> Held:
    """Predicts every row from fits that did not see its group."""
    groups = groups_of(prepared.rows, split)
    parts = folds(groups) if split in ("device", "source") else many_folds(groups, MODEL_FOLDS)
    log: Log = {}
    weight = np.full(len(groups), 0.2)
    for _, training, test in parts:
        train = prepared.take(training)
        found, fits = predict_all(train, prepared.take(test))
        weight[test] = trust(train, fits)
        for name, values in found.items():
            log.setdefault(name, np.empty(len(groups)))[test] = values
    return Held(log, weight)


def _report(
    rows: Rows, held: Held, probes: Sequence[int], widths: Callable[[Scored, str, int], Array]
) -> dict[str, Any]:
    """The error table of held-out predictions in the shape `evaluate --json` prints."""
    everything = np.arange(len(rows.models))

    def figures(name: str, k: int = 0) -> dict[str, Any]:
        scored = Scored(everything, held.log[name])
        if k:
            scored = probed(rows, held.log[name], k, held.weight)
        if not len(scored.index):
            return {}
        ours = name in ("estimator", "unknown_runtime")
        return _figures(rows, scored, widths(scored, name, k) if ours else None)

    methods = ("tdp_time", "const_power", "ols_time", "ols_time_tdp_params", "lightgbm_power")
    return {
        "known_runtime": {
            "estimator": figures("estimator"),
            "baselines": {name: figures(name) for name in methods},
        },
        "unknown_runtime": {"estimator": figures("unknown_runtime")},
        "probes": {str(k): figures("estimator", k) for k in probes},
        "probes_baselines": {
            str(k): {name: figures(name, k) for name in ("ols_time_tdp_params", "tdp_time")}
            for k in probes
        },
    }


def encoders(rows: Rows) -> Array:
    """Rows of encoders: neither text generators nor classical models nor beyond 1e9 parameters."""
    return np.array(
        [
            not setup.llm and setup.n_parameters is not None and 1e5 < setup.n_parameters < 1e9
            for setup in rows.setups
        ]
    )


def cross_validate(
    rows: Rows, stand_in: Imputation, split: Split, probes: Sequence[int], subset: str = "all"
) -> dict[str, Any]:
    """Errors on held-out groups of one table.

    Raises:
        ValueError: Fewer than two groups, so nothing can be held out.
    """
    groups = groups_of(rows, split)
    if len(set(groups)) < 2:
        raise ValueError(f"only one {split} in the rows, so none can be held out")
    prepared = prepare(rows, stand_in)
    held = held_out(prepared, split)
    kept = encoders(rows) if subset == "encoders" else np.ones(len(groups), dtype=bool)
    part = prepared.take(kept).rows
    inner = Held({name: values[kept] for name, values in held.log.items()}, held.weight[kept])
    probes = probes if split in ("device", "source") else [0]
    report = _report(part, inner, probes, lambda scored, _, __: _half_widths(part, scored))
    return {"split": split, "n_train": len(rows.models), "n_test": len(part.models), **report}


class Tested(msgspec.Struct, frozen=True):
    """Predictions for rows of another table.

    Attributes:
        half_width: Half of the 90 % interval in log space by method and k.
    """

    held: Held
    half_width: Mapping[tuple[str, int], float]


def test_on(train: Rows, test: Rows, stand_in: Imputation, probes: Sequence[int]) -> Tested:
    """Fits on one table and predicts another; intervals come from the training table alone."""
    prepared, asked = prepare(train, stand_in), prepare(test, stand_in)
    log, fits = predict_all(prepared, asked)
    weight = np.full(len(test.models), trust(prepared, fits))
    inside = held_out(prepared, "source" if len(set(train.sources)) > 2 else "device")
    widths: dict[tuple[str, int], float] = {}
    for name in ("estimator", "unknown_runtime"):
        for k in sorted({0, *probes}):
            scored = probed(train, inside.log[name], k, inside.weight)
            residual = np.abs(scored.log_predicted - train.log_joules[scored.index])
            devices = [train.devices[i] for i in scored.index]
            widths[name, k] = grouped_quantile(residual, devices) if len(residual) else math.nan
    return Tested(Held(log, weight), widths)


def score(train: Rows, test: Rows, tested: Tested, split: Split, probes: Sequence[int]) -> Any:
    """Errors on another table, in the shape of `cross_validate`."""

    def widths(scored: Scored, name: str, k: int) -> Array:
        return np.full(len(scored.index), tested.half_width[name, k])

    report = _report(test, tested.held, probes, widths)
    return {"split": split, "n_train": len(train.models), "n_test": len(test.models), **report}


def predictions(test: Rows, tested: Tested, probes: Sequence[int]) -> Iterator[dict[str, float]]:
    """One line for each test row and k: joules per inference with its interval.

    For k > 0 the median over the draws in which the row was not a probe; a row whose unit has too
    few models keeps k = 0 alone.
    """
    measured = np.isfinite(test.log_joules)
    for k in probes:
        half = tested.half_width["estimator", k]
        values = tested.held.log["estimator"]
        if k:
            part = test.take(measured)
            scored = probed(part, values[measured], k, tested.held.weight[measured])
            positions = np.flatnonzero(measured)[scored.index]
            rows = {int(i): scored.log_predicted[positions == i] for i in np.unique(positions)}
        else:
            rows = {i: values[i : i + 1] for i in range(len(values))}
        for row, logs in rows.items():
            value = float(np.median(logs))
            yield {
                "row": row,
                "k": k,
                "energy_j": math.exp(value),
                "low": math.exp(value - half),
                "high": math.exp(value + half),
            }
