"""`joulewise evaluate`: from files to the error table and the predictions file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from advisor import evaluation, rowtable
from advisor.evaluation import Split
from advisor.features import imputation
from advisor.rowtable import BadTableError
from advisor.training import Rows
from catalog import bundled
from catalog.records import Device


def _notes(table: pd.DataFrame, devices: dict[str, Device], name: str) -> list[str]:
    """What was left out of a table or had to be assumed, in words."""
    notes = []
    without = len(table) - len(rowtable.usable(table))
    if without:
        notes.append(f"{name}: {without} row(s) without a runtime are left out")
    unknown = sorted(set(table["device"].astype(str)) - devices.keys())
    if unknown:
        notes.append(f"{name}: no specs for {', '.join(unknown)}; medians stand in")
    return notes


def _scored(
    train: Rows, path: Path, devices: dict[str, Device], stand_in: Any, probes: Sequence[int]
) -> tuple[pd.DataFrame, Rows, evaluation.Tested]:
    """The raw test table, its rows and the predictions for them."""
    table = rowtable.usable(rowtable.read(path))
    if not len(table):
        raise BadTableError(f"{path}: no row has a runtime")
    rows = rowtable.rows(table, devices)
    return table, rows, evaluation.test_on(train, rows, stand_in, probes)


def evaluate(
    rows: Path,
    devices: Path,
    test: Path | None,
    split: Split,
    subset: str,
    probes: Sequence[int],
    predictions: Path | None = None,
) -> dict[str, Any]:
    """The error of estimator and baselines; writes `predictions` if asked.

    Args:
        rows: Table to learn from; without `test` also the one whose groups are held out.
        devices: Specs of the devices.
        test: Rows to predict; energies there may be missing, then nothing is scored.
        split: What is held out of `rows`.
        subset: ``all`` or ``encoders``: which rows are scored.
        probes: Numbers k of probe rows.
        predictions: CSV with ``row`` (0 for the first data row of `test`), ``k``, ``energy_j``,
            ``low``, ``high``.

    Raises:
        BadTableError: A table cannot be used.
    """
    table, specs = rowtable.read(rows), rowtable.read_devices(devices)
    train = rowtable.rows(rowtable.averaged(table), specs)
    if len(train.models) < evaluation.FEWEST:
        raise BadTableError(f"{rows}: fewer than {evaluation.FEWEST} rows with runtime and energy")
    stand_in = imputation([*(bundled.devices() | specs).values()])
    notes = _notes(table, specs, rows.name)
    with threadpool_limits(1):
        if test is None:
            try:
                report = evaluation.cross_validate(train, stand_in, split, probes, subset)
            except ValueError as error:
                raise BadTableError(f"{rows}: {error}") from error
            return {**report, "notes": notes}
        whole = rowtable.read(test)
        raw, asked, tested = _scored(train, test, specs, stand_in, probes)
        notes += _notes(whole, specs, test.name)
        if predictions is not None:
            lines = list(evaluation.predictions(asked, tested, probes))
            frame = pd.DataFrame(lines).assign(row=lambda f: raw.index.to_numpy()[f["row"]])
            frame.to_csv(predictions, index=False, float_format="%.10g")
        measured = np.isfinite(asked.log_joules)
        if not measured.any():
            return _unscored(split, train, asked, [*notes, f"{test.name}: nothing is measured"])
        averaged = rowtable.rows(rowtable.averaged(whole), specs)
        kept = evaluation.encoders(averaged) if subset == "encoders" else None
        scored = averaged if kept is None else averaged.take(kept)
        again = evaluation.test_on(train, scored, stand_in, probes)
        return {**evaluation.score(train, scored, again, split, probes), "notes": notes}


def _unscored(split: Split, train: Rows, test: Rows, notes: list[str]) -> dict[str, Any]:
    """The report for a test table without any measured energy."""
    return {
        "split": split,
        "n_train": len(train.models),
        "n_test": len(test.models),
        "known_runtime": {"estimator": {}, "baselines": {}},
        "unknown_runtime": {"estimator": {}},
        "probes": {},
        "notes": notes,
    }
