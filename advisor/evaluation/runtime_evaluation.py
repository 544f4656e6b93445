"""Errors of the runtime model on devices, publishers and models it did not see.

In: tables of published runtimes and of devices. Out: the error table of the model, of the one-line
rule and of LightGBM alone on the same held-out rows, by class of question, and an ablation table
with one row for each part. Measured runtimes of test rows are used for scoring alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from advisor.estimator import intervals, runtime
from advisor.estimator.intervals import Intervals
from advisor.estimator.runtime import RuntimeModel, class_of_question
from advisor.estimator.table import Array, Table, take
from advisor.evaluation import runtime_rows
from advisor.evaluation.metrics import bootstrap, errors
from advisor.evaluation.published_rows import BadTableError
from advisor.evaluation.runtime_rows import RuntimeRows
from catalog.files.atomic_write import atomic_write

RuntimeSplit = Literal["device", "publisher", "both", "model"]
"""What is held out; both: a device and a publisher at once, as for somebody new."""
Mask = NDArray[np.bool_]
Fit = Callable[[pd.DataFrame, Array], Callable[[pd.DataFrame], Array]]
"""Training profiles and log seconds -> log seconds of other profiles."""
FOLDS = {"device": 20, "publisher": 12, "both": 12, "model": 10}
"""Groups are dealt into so many folds; the largest publishers have one of their own."""
INTERVAL_FOLDS = {"device": 10, "publisher": 12, "both": 12}
DEVICE_FOLDS_OF_BOTH = 3
FEWEST = 100
"""Rows a table must have to be learned from."""
_SEED = 0


def rule(profiles: pd.DataFrame, log_seconds: Array) -> Callable[[pd.DataFrame], Array]:
    """One line: t = FLOP / (u x peak), u the median of rows alike in class.

    Classes are kind x format x backend x tokens per call, with coarser ones where a class has
    fewer than two rows.
    """
    share = pd.Series(np.log(profiles["compute_s"]) - log_seconds, profiles.index)

    def predict(asked: pd.DataFrame) -> Array:
        found = pd.Series(np.nan, asked.index)
        keys = ["kind", "format", "backend", "token_class"]
        while keys:
            medians = share.groupby([profiles[key] for key in keys]).agg(["median", "size"])
            medians = medians[medians["size"] > 1]
            own = asked[keys].merge(
                medians[["median"]], left_on=keys, right_index=True, how="left"
            )["median"]
            found = found.fillna(own.set_axis(asked.index))
            keys.pop()
        found = found.fillna(float(share.median()))
        return np.asarray(np.log(asked["compute_s"]) - found, dtype=float)

    return predict


def _model(**parts: Any) -> Fit:
    """The runtime model with some of its parts."""
    return lambda profiles, log_seconds: runtime.fit(profiles, log_seconds, **parts).predict


MODEL: Fit = _model()
BASELINES: dict[str, Fit] = {"one_line_rule": rule, "lightgbm": _model(ridge=False)}
_ALL = tuple(runtime.CELLS)
ABLATIONS: dict[str, Fit] = {
    "without trees": _model(trees=False),
    "without ridge": _model(ridge=False),
    "without levels of device and publisher": _model(
        levels=[name for name in _ALL if name not in ("device", "publisher")]
    ),
    "without backend classes": _model(
        levels=[name for name in _ALL if "backend" not in name],
        tree_classes=[name for name in runtime.TREE_CLASSES if name != "backend"],
    ),
    "without bounds of physics": _model(physics=False),
}
"""The model with one part left out each."""


def dealt(names: pd.Series, most: int) -> NDArray[np.intp]:
    """A fold for each row, whole groups together; the largest groups have folds of their own."""
    sizes = names.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    alone = max(most // 2, 1) if len(sizes) > most else len(sizes)
    rest = np.random.default_rng(_SEED).permutation(sorted(sizes.index[alone:]))
    folds = {name: i for i, name in enumerate(sizes.index[:alone])}
    folds |= {name: alone + i % max(most - alone, 1) for i, name in enumerate(rest)}
    return names.map(folds).to_numpy(dtype=np.intp)


def folds(profiles: pd.DataFrame, split: RuntimeSplit, most: int) -> Iterator[tuple[Mask, Mask]]:
    """Training and test rows of each fold; with ``both``, rows that share either are in neither."""
    if split != "both":
        codes = dealt(profiles[split], most)
        for code in np.unique(codes):
            yield codes != code, codes == code
        return
    one, two = dealt(profiles["publisher"], most), dealt(profiles["device"], DEVICE_FOLDS_OF_BOTH)
    for left in np.unique(one):
        for right in np.unique(two):
            test = (one == left) & (two == right)
            if test.any():
                yield (one != left) & (two != right), test


def held_out(rows: RuntimeRows, split: RuntimeSplit, most: int, fit: Fit) -> Array:
    """Log seconds of every row, predicted without its group."""
    found = np.full(len(rows.log_seconds), np.nan)
    for training, test in folds(rows.profiles, split, most):
        model = fit(rows.profiles[training], rows.log_seconds[training])
        found[test] = model(rows.profiles[test])
    return found


def honest_half(rows: RuntimeRows, error: Array, regime: str, split: RuntimeSplit) -> Array:
    """Half-widths of intervals, each row's learned from the held-out errors of other groups."""
    numeric, groups = runtime.features(rows.profiles), runtime.cells(rows.profiles)
    found, regimes = np.zeros(len(error)), np.full(len(error), regime)
    for others, own in folds(rows.profiles, split if split != "both" else "publisher", 10):
        learned = intervals.fit(
            take(numeric, others), take(groups, others), {regime: error[others]}
        )
        found[own] = learned.half(take(numeric, own), take(groups, own), regimes[own])
    return runtime.bounded_half(found, rows.log_seconds + error, rows.profiles)


def figures(rows: RuntimeRows, predicted: Array, half: Array | None = None) -> dict[str, Any]:
    """Error figures of predictions; ranks are inside a device as one publisher measured it."""
    profile = rows.profiles
    units = (profile["publisher"] + "|" + profile["device"]).tolist()
    plain: dict[str, Any] = msgspec.to_builtins(
        errors(predicted, rows.log_seconds, profile["device"].tolist(), half, units)
    )
    return plain


def by_class(rows: RuntimeRows, predicted: Array, half: Array) -> list[dict[str, Any]]:
    """Errors, width and coverage of each class of question, the largest first."""
    names = pd.Series(class_of_question(rows.profiles))
    table = []
    for name, own in sorted(names.groupby(names).indices.items(), key=lambda p: -len(p[1])):
        profile = rows.profiles.iloc[own]
        error = predicted[own] - rows.log_seconds[own]
        relative = pd.Series(100 * np.abs(np.expm1(error)))
        medians = relative.groupby(profile["device"].to_numpy()).median()
        devices, publishers = profile["device"].nunique(), profile["publisher"].nunique()
        table.append(
            {
                "class": str(name),
                "n": len(own),
                "devices": devices,
                "publishers": publishers,
                "extrapolated": devices < intervals.FEWEST_DEVICES
                or publishers < intervals.FEWEST_PUBLISHERS,
                "mdape": round(
                    float(
                        np.median(100 * np.abs(np.expm1(predicted[own] - rows.log_seconds[own])))
                    ),
                    1,
                ),
                "mdape_median_device": round(float(medians.median()), 1),
                "width90": round(float(np.exp(2 * np.median(half[own]))), 2),
                "coverage90": round(100 * float(np.mean(np.abs(error) <= half[own])), 1),
            }
        )
    return table


def ablation(rows: RuntimeRows, split: RuntimeSplit, whole: Array) -> list[dict[str, Any]]:
    """The model without each of its parts, with the paired difference over devices.

    Returns:
        For each part ``part mdape mdape_median_device difference low high earns``: difference of
        the mean device's median error in percentage points (above 0: the part helps), its 90 %
        bootstrap interval over devices, and whether that lies above 0.
    """
    table = []
    full = _device_medians(rows, whole)
    for name, fit in ABLATIONS.items():
        predicted = held_out(rows, split, FOLDS[split], fit)
        medians = _device_medians(rows, predicted)
        difference = medians.clip(upper=200).to_numpy() - full.clip(upper=200).to_numpy()
        low, high = bootstrap(difference)
        found = figures(rows, predicted)
        table.append(
            {
                "part": name,
                "mdape": found["mdape"],
                "mdape_median_device": found["mdape_median_device"],
                "difference": round(float(difference.mean()), 2),
                "low": round(low, 2),
                "high": round(high, 2),
                "earns": low > 0,
            }
        )
    return table


def _device_medians(rows: RuntimeRows, predicted: Array) -> pd.Series:
    """Median absolute percentage error of each device."""
    relative = pd.Series(100 * np.abs(np.expm1(predicted - rows.log_seconds)))
    return relative.groupby(rows.profiles["device"].to_numpy()).median()


def learn(rows: RuntimeRows) -> tuple[RuntimeModel, Intervals, dict[str, Array]]:
    """The model of all rows, intervals from rows held out in each regime, and their errors."""
    numeric, groups = runtime.features(rows.profiles), runtime.cells(rows.profiles)
    out: dict[str, Array] = {}
    for regime, most in INTERVAL_FOLDS.items():
        split: RuntimeSplit = regime  # type: ignore[assignment]
        out[regime] = held_out(rows, split, most, MODEL) - rows.log_seconds
    model = runtime.fit(rows.profiles, rows.log_seconds)
    return model, intervals.fit(numeric, groups, out), out


def scorecard(rows: RuntimeRows, errors_of: dict[str, Array]) -> dict[str, Any]:
    """The error table of each regime, from held-out errors."""
    found: dict[str, Any] = {}
    for regime, error in errors_of.items():
        split: RuntimeSplit = regime  # type: ignore[assignment]
        predicted, half = rows.log_seconds + error, honest_half(rows, error, regime, split)
        simple = held_out(rows, split, INTERVAL_FOLDS[regime], rule)
        found[regime] = {
            "n_test": len(error),
            "estimator": figures(rows, predicted, half),
            "baselines": {"one_line_rule": figures(rows, simple)},
            "classes": by_class(rows, predicted, half),
        }
    return found


def regimes(asked: pd.DataFrame, known: pd.DataFrame) -> NDArray[np.str_]:
    """What of each row the training rows lack; a known device and publisher count as a device."""
    device = asked["device"].isin(set(known["device"])).to_numpy()
    publisher = asked["publisher"].isin(set(known["publisher"])).to_numpy()
    return np.where(publisher, "device", np.where(device, "publisher", "both"))


def evaluate(
    rows: Path,
    devices: Path,
    more_devices: Sequence[Path] = (),
    test: Path | None = None,
    split: RuntimeSplit = "device",
    predictions: Path | None = None,
    *,
    with_ablation: bool = False,
) -> dict[str, Any]:
    """The error of runtime model and baselines; writes `predictions` if asked.

    Args:
        rows: Table to learn from; without `test` also the one whose groups are held out.
        devices: Specs of devices.
        more_devices: Tables that add devices and figures `devices` lacks.
        test: Rows to predict; their runtimes may be blank, then nothing is scored.
        split: What is held out of `rows`.
        predictions: CSV with ``row`` (0 for the first data row of `test`), ``runtime_s`` per item,
            ``low``, ``high``.
        with_ablation: Whether to fit the model without each of its parts, too; takes minutes.

    Raises:
        BadTableError: A table cannot be used.
    """
    machines = runtime_rows.read_hardware(devices, more_devices)
    table = runtime_rows.read(rows, machines)
    train = runtime_rows.measured(table)
    if len(train.log_seconds) < FEWEST or train.profiles["device"].nunique() < 2:
        raise BadTableError(
            f"{rows}: {len(train.log_seconds)} row(s) have a runtime and a known device; at least "
            f"{FEWEST} on two devices are needed"
        )
    notes = _notes(rows, table)
    counts: dict[str, Any] = {"target": "runtime", "split": split}
    with threadpool_limits(1):
        if test is not None:
            found = _on_another(train, test, machines, predictions, notes)
        else:
            for name in ("device", "publisher") if split == "both" else (split,):
                if train.profiles[name].nunique() < 2:
                    raise BadTableError(
                        f"{rows}: only one {name} in the rows; none can be held out"
                    )
            found = cross_validated(train, split, with_ablation=with_ablation)
    return counts | {"n_train": len(train.log_seconds)} | found | {"notes": notes}


def cross_validated(
    rows: RuntimeRows, split: RuntimeSplit, *, with_ablation: bool = False
) -> dict[str, Any]:
    """The error table of held-out groups."""
    regime = split if split in intervals.REGIMES else "device"
    predicted = held_out(rows, split, FOLDS[split], MODEL)
    half = honest_half(rows, predicted - rows.log_seconds, regime, split)
    without = {
        name: figures(rows, held_out(rows, split, FOLDS[split], fit))
        for name, fit in BASELINES.items()
    }
    return {
        "n_test": len(predicted),
        "estimator": figures(rows, predicted, half),
        "baselines": without,
        "classes": by_class(rows, predicted, half),
        "ablation": ablation(rows, split, predicted) if with_ablation else [],
        "refused": [],
    }


def _on_another(
    train: RuntimeRows,
    test: Path,
    machines: Table,
    predictions: Path | None,
    notes: list[str],
) -> dict[str, Any]:
    """The error on another table; writes its predictions if asked."""
    asked = runtime_rows.read(test, machines)
    notes += _notes(test, asked)
    model, reach, _ = learn(train)
    predicted = model.predict(asked.profiles)
    numeric, groups = runtime.features(asked.profiles), runtime.cells(asked.profiles)
    half = reach.half(numeric, groups, regimes(asked.profiles, train.profiles))
    half = runtime.bounded_half(half, predicted, asked.profiles)
    if predictions is not None:
        low, high = runtime.bounded_interval(predicted, half, asked.profiles)
        frame = pd.DataFrame(
            {
                "row": asked.profiles.index,
                "runtime_s": np.exp(predicted),
                "low": np.exp(low),
                "high": np.exp(high),
            }
        )
        with atomic_write(predictions) as part:
            frame.to_csv(part, index=False, float_format="%.10g")
    scored = np.isfinite(asked.log_seconds)
    found: dict[str, Any] = {"estimator": {}, "baselines": {}, "classes": [], "ablation": []}
    if scored.any():
        part_rows = runtime_rows.measured(asked)
        found["estimator"] = figures(part_rows, predicted[scored], half[scored])
        found["baselines"] = {
            name: figures(part_rows, fit(train.profiles, train.log_seconds)(part_rows.profiles))
            for name, fit in BASELINES.items()
        }
        found["classes"] = by_class(part_rows, predicted[scored], half[scored])
    else:
        notes.append(f"{test.name}: no runtime is measured, so nothing is scored")
    refused = [msgspec.to_builtins(row) for row in asked.refused]
    return {"n_test": int(scored.sum()), **found, "refused": refused}


def _notes(path: Path, rows: RuntimeRows) -> list[str]:
    """What was left out of a table or assumed, in words."""
    notes = [
        f"{path.name}: row {row.row} is left out: {row.device or 'no name'!r}: {row.reason}"
        for row in rows.refused[:20]
    ]
    if len(rows.refused) > 20:
        notes.append(f"{path.name}: {len(rows.refused) - 20} further row(s) are left out likewise")
    assumed = rows.profiles[rows.profiles["peak_imputed"]]["device"].nunique()
    if assumed:
        notes.append(f"{path.name}: {assumed} device(s) state no peak rate; class medians are used")
    return notes
