"""`joulewise evaluate`: from files to the error table and the predictions file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from advisor.estimator.artefact import Reach, half_width
from advisor.estimator.machine_effects import Positions, positions
from advisor.estimator.table import Array, Table
from advisor.estimator.training_rows import Rows
from advisor.evaluation import published_rows as rowtable
from advisor.evaluation.cross_validation import (
    Fold,
    Scored,
    Split,
    draws,
    encoders,
    held_out,
    learned,
    probed,
    scored,
)
from advisor.evaluation.published_rows import BadTableError
from advisor.evaluation.scorecard import BY_PICKED, BY_PROBES, cross_validate, report
from advisor.evaluation.train import filled, known_machine, quantiles
from catalog import reference_data as bundled
from catalog.energy import SCOPE_OF_SOURCE
from catalog.files.atomic_write import atomic_write

FEWEST = 30
"""Rows a table must have to be learned from."""


def _impossible(path: Path) -> list[str]:
    """Which numbers of a file cannot be and count as missing, in words."""
    return [
        f"{path.name}: {count} value(s) of {column} that are not above 0 or infinite count as "
        f"missing, the first in row {row}"
        for column, (count, row) in rowtable.impossible(path).items()
    ]


def _notes(table: pd.DataFrame, devices: pd.DataFrame, path: Path) -> list[str]:
    """What was left out of a table or had to be assumed, in words."""
    name = path.name
    notes = _impossible(path)
    notes += [
        f"{name}: {count} row(s) with energy_scope {word!r} are left out; known words: "
        + ", ".join(SCOPE_OF_SOURCE)
        for word, count in rowtable.unknown_scopes(path).items()
    ]
    without = len(table) - len(rowtable.usable(table))
    if without:
        notes.append(f"{name}: {without} row(s) without a runtime are left out")
    bare = int(rowtable.usable(table)[rowtable.MEASURED].isna().sum())
    if bare:
        notes.append(f"{name}: {bare} row(s) without an energy are not scored, nor are they probes")
    measured = int(rowtable.usable(table)[rowtable.MEASURED].notna().sum())
    setups = len(rowtable.averaged(table))
    if setups < measured:
        notes.append(f"{name}: {measured} row(s) alike in all stated are averaged to {setups}")
    unknown = sorted(set(table["device"].astype(str)) - {*map(str, devices.index)})
    if unknown:
        notes.append(f"{name}: no specs for {', '.join(unknown)}; class medians are used")
    return notes


class Tested(msgspec.Struct, frozen=True):
    """Rows of another table with everything they are predicted from.

    Attributes:
        rows: The test rows.
        fold: What was learned from the training rows.
        reach: The training rows' intervals; see `advisor.estimator.artefact.Artefact.quantiles`.
    """

    rows: Rows
    fold: Fold
    reach: Reach

    def quantiles(self, found: Scored, k: int, given: bool) -> Array:
        """How many spreads each prediction's interval reaches."""
        known, rows = self.fold.known, self.rows
        assumed, half = assumed_half(rows)[found.index], np.empty(len(found.index))
        seen, others = {*known.devices}, {*known.sources}
        asked = [f"{rows.devices[i]}|{rows.sources[i]}" for i in found.index]
        for own in positions(asked).values():
            device, source = rows.devices[found.index[own[0]]], rows.sources[found.index[own[0]]]
            count = known.count(device, source) or (1 if device in seen else 0)
            half[own] = half_width(
                self.reach, k + count, found.spread[own], given=given, source_known=source in others
            )
        return np.hypot(half, assumed) / found.spread


def assumed_half(rows: Rows) -> Array:
    """Half of the interval (natural logs) that a power rating taken from a class adds."""
    return np.where(rows.setups["tdp_imputed"], ASSUMED_HALF, 0.0)


ASSUMED_HALF = 0.8
"""Devices of one kind and host class differ by about a factor of 2.2 in TDP (bundled table)."""


def _tested(train: Rows, reach: Reach, test: Rows) -> Tested:
    """Fits on one table and prepares the prediction of another."""
    return Tested(test, learned(train, test, np.arange(len(test))), reach)


def _reach(rows: Rows) -> Reach:
    """Intervals that come from the training rows alone."""
    if len(set(rows.devices)) < 2:
        raise ValueError("only one device in the rows, so no interval can be checked")
    device = held_out(rows, "device")
    source = held_out(rows, "source") if len(set(rows.sources)) > 2 else device
    reach = quantiles(rows, device, source)
    if len(set(rows.models)) > 1:
        reach["model"] = known_machine(rows, held_out(rows, "model"))
    return filled(reach)


def _predictions(tested: Tested, probes: Sequence[int]) -> Iterator[dict[str, float]]:
    """One line for each test row and k: joules per inference with its interval.

    For k > 0 the median over the draws in which the row was not a probe; a row whose unit has too
    few models keeps k = 0 alone.
    """
    rows = tested.rows
    measured = np.flatnonzero(np.isfinite(rows.log_joules))
    for k in probes:
        found = scored([tested.fold], True)
        if k:
            found = _after_probes(tested, measured, k)
        half = tested.quantiles(found, k, True) * found.spread
        for row in np.unique(found.index):
            own = found.index == row
            value, reach = np.median(found.log_predicted[own]), np.median(half[own])
            low, high = math.exp(value - reach), math.exp(value + reach)
            yield {"row": row, "k": k, "energy_j": math.exp(value), "low": low, "high": high}


def _after_probes(tested: Tested, measured: Positions, k: int) -> Scored:
    """Predictions with k probe rows, drawn among the rows that were measured."""
    part = tested.rows.take(np.isin(np.arange(len(tested.rows.models)), measured))
    fold = tested.fold
    inside = msgspec.structs.replace(
        fold,
        index=np.arange(len(measured)),
        timed=fold.timed.take(measured),
        untimed=fold.untimed.take(measured),
        baselines={},
        energy=fold.energy[measured],
    )
    found = probed(part, [inside], draws(part, k))
    return msgspec.structs.replace(found, index=measured[found.index])


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
    table, given = rowtable.read(rows), rowtable.read_devices(devices)
    whole = None if test is None else rowtable.read(test)
    tables = [table] if whole is None else [table, whole]
    specs = rowtable.machines(given, tables, bundled.devices().values())
    averaged = rowtable.averaged(table)
    if len(averaged) < FEWEST:
        raise BadTableError(
            f"{rows}: of {len(table)} row(s) {len(averaged)} are left that have a runtime and "
            f"an energy, repeats averaged; at least {FEWEST} are needed"
        )
    train = rowtable.rows(averaged, specs)
    notes = _notes(table, given, rows) + _impossible(devices)
    if whole is not None and not len(rowtable.usable(whole)):
        raise BadTableError(f"{test}: of {len(whole)} row(s) none has a runtime")
    with threadpool_limits(1):
        try:
            if test is None or whole is None:
                return {**cross_validate(train, split, probes, subset)[0], "notes": notes}
            reach = _reach(train)
        except ValueError as error:
            raise BadTableError(f"{rows}: {error}") from error
        notes += _notes(whole, given, test)
        another = test, whole
        return _on_another(train, reach, another, specs, split, subset, probes, predictions, notes)


def _on_another(
    train: Rows,
    reach: Reach,
    another: tuple[Path, pd.DataFrame],
    specs: Table,
    split: Split,
    subset: str,
    probes: Sequence[int],
    predictions: Path | None,
    notes: list[str],
) -> dict[str, Any]:
    """The error on another table; writes its predictions if asked."""
    path, whole = another
    raw = rowtable.usable(whole)
    if predictions is not None:
        lines = list(_predictions(_tested(train, reach, rowtable.rows(raw, specs)), probes))
        frame = pd.DataFrame(lines).assign(row=lambda f: raw.index.to_numpy()[f["row"]])
        with atomic_write(predictions) as part:
            frame.to_csv(part, index=False, float_format="%.10g")
    averaged = rowtable.averaged(whole)
    if not len(averaged):
        notes.append(f"{path.name}: nothing is measured")
        return _unscored(split, len(train), notes)
    asked = rowtable.rows(averaged, specs)
    if subset == "encoders":
        asked = asked.take(encoders(asked))
    if not asked.models:
        notes.append(f"{path.name}: no encoders")
        return _unscored(split, len(train), notes)
    tested = _tested(train, reach, asked)
    everything = np.ones(len(asked), dtype=bool)
    table = report(asked, [tested.fold], everything, probes, tested.quantiles)
    counts = {"split": split, "n_train": len(train), "n_test": len(asked)}
    return counts | table | {"notes": notes}


def _unscored(split: Split, n_train: int, notes: list[str]) -> dict[str, Any]:
    """The report for a test table without anything to score."""
    return {
        "split": split,
        "n_train": n_train,
        "n_test": 0,
        "known_runtime": {"estimator": {}, "baselines": {}},
        "unknown_runtime": {"estimator": {}},
        **{name: {} for name in (*BY_PROBES, *BY_PICKED)},
        "notes": notes,
    }
