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
from advisor.estimator.features import Array, Positions
from advisor.estimator.imputation import Imputation, assumed_half, imputation
from advisor.estimator.model import Deviations
from advisor.estimator.training_rows import Rows
from advisor.evaluation import published_rows as rowtable
from advisor.evaluation.cross_validation import (
    Fold,
    Prepared,
    Scored,
    Split,
    draws,
    encoders,
    held_out,
    learned,
    prepare,
    probed,
    scored,
)
from advisor.evaluation.published_rows import BadTableError
from advisor.evaluation.scorecard import BY_PICKED, BY_PROBES, cross_validate, report
from advisor.evaluation.train import filled, known_machine, quantiles
from catalog import reference_data as bundled
from catalog.files.atomic_write import atomic_write
from catalog.records import Device

FEWEST = 30
"""Rows a table must have to be learned from."""


def _impossible(path: Path) -> list[str]:
    """Which numbers of a file cannot be and count as missing, in words."""
    return [
        f"{path.name}: {count} value(s) of {column} that are not above 0 or infinite count as "
        f"missing, the first in row {row}"
        for column, (count, row) in rowtable.impossible(path).items()
    ]


def _notes(table: pd.DataFrame, devices: dict[str, Device], path: Path) -> list[str]:
    """What was left out of a table or had to be assumed, in words."""
    name = path.name
    notes = _impossible(path)
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
    unknown = sorted(set(table["device"].astype(str)) - devices.keys())
    if unknown:
        notes.append(f"{name}: no specs for {', '.join(unknown)}; medians stand in")
    return notes


class Tested(msgspec.Struct, frozen=True):
    """Rows of another table with everything they are predicted from.

    Attributes:
        rows: The test rows.
        fold: What was learned from the training rows.
        reach: The training rows' intervals; see `advisor.estimator.artefact.Artefact.quantiles`.
        stand_in: Specs for devices that state none; they widen the intervals.
    """

    rows: Rows
    fold: Fold
    reach: Reach
    stand_in: Imputation

    def quantiles(self, found: Scored, k: int, given: bool) -> Array:
        """How many spreads each prediction's interval reaches."""
        machines = self.fold.asked.machines if given else self.fold.asked.devices
        deviations = Deviations(self.fold.memory)
        asked = [*zip(machines, self.rows.sources, strict=True)]
        knowledge = {pair: deviations.known(*pair) for pair in sorted({*asked})}
        assumed = [assumed_half(setup.device, self.stand_in) for setup in self.rows.setups]

        def reach(i: int, spread: float) -> float:
            rows, elsewhere = knowledge[asked[i]]
            half = half_width(self.reach, k + rows, spread, given=given, source_known=elsewhere)
            return math.hypot(half, assumed[i]) / spread

        return np.array([reach(i, s) for i, s in zip(found.index, found.spread, strict=True)])


def _tested(train: Prepared, reach: Reach, test: Rows, stand_in: Imputation) -> Tested:
    """Fits on one table and prepares the prediction of another."""
    asked = prepare(test, stand_in)
    return Tested(test, learned(train, asked, np.arange(len(test.models))), reach, stand_in)


def _reach(train: Prepared) -> Reach:
    """Intervals that come from the training rows alone."""
    rows = train.rows
    if len(set(rows.devices)) < 2:
        raise ValueError("only one device in the rows, so no interval can be checked")
    device = held_out(train, "device")
    source = held_out(train, "source") if len(set(rows.sources)) > 2 else device
    reach = quantiles(rows, device, source)
    if len(set(rows.models)) > 1:
        reach["model"] = known_machine(rows, held_out(train, "model"))
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
    inside = Fold(
        np.arange(len(measured)),
        fold.fits,
        fold.asked.take(measured),
        fold.memory,
        fold.sources,
        {},
        fold.energy[measured],
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
    table, specs = rowtable.read(rows), rowtable.read_devices(devices)
    train = rowtable.rows(rowtable.averaged(table), specs)
    if len(train.models) < FEWEST:
        raise BadTableError(
            f"{rows}: of {len(table)} row(s) {len(train.models)} are left that have a runtime and "
            f"an energy, repeats averaged; at least {FEWEST} are needed"
        )
    stand_in = _stand_in(specs)
    notes = _notes(table, specs, rows) + _impossible(devices)
    whole = None if test is None else rowtable.read(test)
    if whole is not None and not len(rowtable.usable(whole)):
        raise BadTableError(f"{test}: of {len(whole)} row(s) none has a runtime")
    with threadpool_limits(1):
        prepared = prepare(train, stand_in)
        try:
            if test is None or whole is None:
                return {**cross_validate(prepared, split, probes, subset)[0], "notes": notes}
            reach = _reach(prepared)
        except ValueError as error:
            raise BadTableError(f"{rows}: {error}") from error
        notes += _notes(whole, specs, test)
        another = test, whole
        return _on_another(
            prepared, reach, another, specs, split, subset, probes, predictions, notes
        )


def _on_another(
    train: Prepared,
    reach: Reach,
    another: tuple[Path, pd.DataFrame],
    specs: dict[str, Device],
    split: Split,
    subset: str,
    probes: Sequence[int],
    predictions: Path | None,
    notes: list[str],
) -> dict[str, Any]:
    """The error on another table; writes its predictions if asked."""
    stand_in = _stand_in(specs)
    path, whole = another
    raw = rowtable.usable(whole)
    if predictions is not None:
        lines = list(
            _predictions(_tested(train, reach, rowtable.rows(raw, specs), stand_in), probes)
        )
        frame = pd.DataFrame(lines).assign(row=lambda f: raw.index.to_numpy()[f["row"]])
        with atomic_write(predictions) as part:
            frame.to_csv(part, index=False, float_format="%.10g")
    averaged = rowtable.averaged(whole)
    if not len(averaged):
        notes.append(f"{path.name}: nothing is measured")
        return _unscored(split, len(train.rows.models), notes)
    asked = rowtable.rows(averaged, specs)
    if subset == "encoders":
        asked = asked.take(encoders(asked))
    if not asked.models:
        notes.append(f"{path.name}: no encoders")
        return _unscored(split, len(train.rows.models), notes)
    tested = _tested(train, reach, asked, stand_in)
    everything = np.ones(len(asked.models), dtype=bool)
    table = report(asked, [tested.fold], everything, probes, tested.quantiles)
    counts = {"split": split, "n_train": len(train.rows.models), "n_test": len(asked.models)}
    return counts | table | {"notes": notes}


def _stand_in(specs: dict[str, Device]) -> Imputation:
    """Medians of the bundled devices and the given ones; what those lack is the bundled ones'."""
    known = bundled.devices()
    own = {}
    for name, device in specs.items():
        given = msgspec.structs.asdict(device)
        stated = {field: value for field, value in given.items() if value is not None}
        own[name] = msgspec.structs.replace(known.get(name, device), **stated)
    return imputation([*(known | own).values()])


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
