"""Rows to learn from: every measured energy with a runtime, once per scope it is known in.

Only energies with a measured part train (``measured`` and ``mixed``); all-modelled ones would
teach the estimator its own assumptions.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from advisor.estimator.features import Array, Mask
from advisor.estimator.setup import CALIBRATION, Setup, from_measurement
from catalog.energy import energy
from catalog.records import SCOPES, Device, Measurement, Scope
from catalog.registry.families import FAMILIES
from catalog.snapshot import Snapshot
from catalog.staleness import newest_of

MIN_ROWS, MIN_DEVICES, MOST_PROBES = 30, 3, 300


class TooFewRowsError(ValueError):
    """The catalog holds too few measured energies to learn from."""


class Rows(msgspec.Struct, frozen=True):
    """n training rows.

    Attributes:
        log_joules: Natural log of measured joules per text.
        models: Candidate of each row; `devices`, `sources` and `units` likewise.
        works: Rows that answer one question: a unit at one work. Among them a user chooses.
    """

    setups: list[Setup]
    log_joules: Array
    models: list[str]
    devices: list[str]
    sources: list[str]
    units: list[str]
    works: list[str]

    def take(self, mask: Mask) -> Rows:
        """The rows where `mask` holds."""
        chosen = np.flatnonzero(mask)
        lists = (self.models, self.devices, self.sources, self.units, self.works)
        return Rows(
            [self.setups[i] for i in chosen],
            self.log_joules[chosen],
            *([values[i] for i in chosen] for values in lists),
        )

    @property
    def pairs(self) -> list[str | None]:
        """Candidate and workload of each row."""
        return [setup.pair for setup in self.setups]

    def groupings(self, mask: Mask | None = None) -> list[list[str]]:
        """Unit, device and source of the rows where `mask` holds (all without one)."""
        wanted = np.ones(len(self.models), dtype=bool) if mask is None else mask
        return [
            np.asarray(values, dtype=str)[wanted].tolist()
            for values in (self.units, self.devices, self.sources)
        ]


def _measured(row: Measurement, device: Device) -> list[tuple[Scope, float]]:
    """Log joules per text in each scope that was measured, at least in part."""
    found = []
    for scope in SCOPES:
        joules = energy(row, device.kind, scope)
        if joules is not None and joules.value_j is not None and joules.label != "modelled":
            found.append((scope, float(np.log(joules.value_j / row.n_items))))
    return found


def _gathered(
    measurements: Iterable[Measurement], snapshot: Snapshot, *, runtime_will_do: bool
) -> Rows:
    """Inference rows with a runtime, once per measured scope.

    Args:
        measurements: Rows of the snapshot.
        snapshot: Knows devices and candidates.
        runtime_will_do: Whether rows without a measured energy count, once, joules NaN.
    """
    setups, logs, models, works = [], [], [], []
    for row in measurements:
        if not _tells(row):
            continue
        device, candidate = snapshot.devices[row.device], snapshot.candidates.get(row.candidate)
        scopes = _measured(row, device)
        if not scopes and runtime_will_do:
            scopes = [("device", math.nan)]
        for scope, log_joules in scopes:
            setups.append(from_measurement(row, device, candidate, scope))
            logs.append(log_joules)
            models.append(row.candidate)
            works.append(f"{row.workload}|{row.scenario}")
    devices, sources = [s.device.name for s in setups], [s.source or "" for s in setups]
    units = [f"{s.source}|{s.device.name}|{s.scope}" for s in setups]
    works = [f"{unit}|{work}" for unit, work in zip(units, works, strict=True)]
    return Rows(setups, np.array(logs), models, devices, sources, units, works)


def training_rows(snapshot: Snapshot) -> Rows:
    """Every current inference row with a runtime and a measured energy, once per scope.

    Raises:
        TooFewRowsError: Under `MIN_ROWS` rows or `MIN_DEVICES` devices.
    """
    found = _gathered(snapshot.current, snapshot, runtime_will_do=False)
    if len(found.models) < MIN_ROWS or len(set(found.devices)) < MIN_DEVICES:
        raise TooFewRowsError(
            f"{len(found.models)} rows with a measured energy and a runtime; at least {MIN_ROWS} "
            f"rows on {MIN_DEVICES} devices are needed"
        )
    return found


def trained_runs(snapshot: Snapshot) -> list[str]:
    """Runs with a row among `training_rows`, sorted."""
    telling = filter(_tells, snapshot.current)
    trained = {row.run_id for row in telling if _measured(row, snapshot.devices[row.device])}
    return sorted(run for run in trained if run)


def _tells(row: Measurement) -> bool:
    """Whether a row tells about power or time: at a rate its runtime holds idle time."""
    if row.phase != "inference" or row.runtime_s is None:
        return False
    return row.scenario != "server" and row.rate_per_s is None


def _tells_of_others(row: Measurement, snapshot: Snapshot) -> bool:
    """Whether a row's time tells about other candidates: a constant's or a lexicon's does not."""
    candidate = snapshot.candidates.get(row.candidate)
    return candidate is None or FAMILIES[candidate.family].probe


def probes(snapshot: Snapshot, trained: frozenset[str]) -> list[Measurement]:
    """Current inference rows with a runtime that nobody trained on.

    Of the `trained` runs these are the rows without a measured energy: they tell the time alone.
    Of a source's rows on one device at most `MOST_PROBES` count, spread evenly over the catalog,
    the last one among them: a machine is known long before its hundredth row. Of these, stale ones
    are left out: they were measured on a machine that is no longer.
    """
    newest = newest_of(snapshot)
    found: defaultdict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for row in filter(_tells, snapshot.current):
        if not _tells_of_others(row, snapshot):
            continue
        if row.run_id not in trained or not _measured(row, snapshot.devices[row.device]):
            found[row.device, row.source].append(row)
    return [
        rows[i]
        for rows in found.values()
        for i in sorted({round(x) for x in np.linspace(0, len(rows) - 1, MOST_PROBES)})
        if not newest.changes(rows[i])
    ]


def calibrated(snapshot: Snapshot) -> Iterator[Measurement]:
    """Rows of calibrations that tell about their machine as it is, in the catalog's order."""
    newest = newest_of(snapshot)
    for row in snapshot.current:
        telling = _tells(row) and _tells_of_others(row, snapshot)
        if row.source == CALIBRATION and telling and not newest.changes(row):
            yield row


def probe_rows(rows: Iterable[Measurement], snapshot: Snapshot) -> Rows:
    """What `probes` tell; joules are NaN where none were measured."""
    return _gathered(rows, snapshot, runtime_will_do=True)
