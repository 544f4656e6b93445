"""Joules and seconds per text of a setup, with 90 % intervals checked on held-out machines.

Seconds are the stated runtime or the runtime model's, one for every scope; watts are the power
model's at those seconds. Rows measured on the machine correct both. Intervals are empirical: of
power by how much is known of the machine, of an estimated runtime by the class of question. An
estimate stays within physics, and joules never fall from device to host to wall.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor.estimator import hardware, power, runtime
from advisor.estimator.artefact import (
    Artefact,
    StaleEstimatorError,
    half_width,
    read,
    widest,
)
from advisor.estimator.idle_power import LIGHT, MachineWatts, machine_watts
from advisor.estimator.intervals import Z90
from advisor.estimator.machine_effects import POWER, Known, positions
from advisor.estimator.model import ask, covariance, is_pass, predict, remember
from advisor.estimator.power import setup_columns
from advisor.estimator.profiles import profile_columns
from advisor.estimator.setup import Setup, columns, team
from advisor.estimator.table import (
    Array,
    Column,
    Table,
    by_value,
    filled,
    numbers,
    size,
    take,
)
from advisor.estimator.training_rows import (
    Rows,
    calibrated,
    probe_rows,
    probes,
    rows_of,
    runtime_columns,
    specs_of,
)
from catalog.doubt import REFERENCE_RUN
from catalog.records import SCOPES, Basis, Device, Estimate
from catalog.snapshot import Snapshot

__all__ = ["Estimator", "Prediction", "Setup", "StaleEstimatorError", "load"]

_TELLING = (
    "log_parameters",
    "log_runtime",
    "log_peak_share",
    "log_bandwidth_share",
    "log_tdp",
    "log_devices",
)
"""Features beyond whose range in training an estimate is an extrapolation."""
SLACK = 0.1
"""Share of a feature's range beyond which it counts as outside."""
ASSUMED_HALF = 0.8
"""What a power rating taken from a class adds to half an interval (natural logs): devices of one
kind and host class differ by about a factor of 2.2 (bundled table)."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """Joules and seconds per text, and what the estimate had to assume.

    Attributes:
        watts: Least and most mean power in the scope: 0.7 x idle, and the limit with the host.
        fastest_s: Seconds per text at the device's peak rate; 0 where no network bounds them.
        outside: Features beyond the range of the training data.
        assumed_power: Whether the device's power rating is its class's.
        known_device: Whether rows of the device are known.
    """

    energy_j: Estimate
    runtime_s: Estimate
    watts: tuple[float, float]
    fastest_s: float
    outside: tuple[str, ...]
    assumed_power: bool
    known_device: bool


class Columns(msgspec.Struct, frozen=True):
    """Predictions of n setups as columns, natural logs.

    Attributes:
        joules: Per text, with the ends of the 90 % interval; `seconds` likewise (n x 3 each).
        watts: See `Prediction`, n x 2; `fastest` likewise.
        outside: For each telling feature whether it lies beyond the training data, n x features.
        extrapolated: Whether a class of question was seen too rarely, or a feature lies outside.
        assumed_power: See `Prediction`; `known_device` likewise.
    """

    joules: Array
    seconds: Array
    watts: Array
    fastest: Array
    outside: NDArray[np.bool_]
    extrapolated: NDArray[np.bool_]
    assumed_power: NDArray[np.bool_]
    known_device: NDArray[np.bool_]


class Estimator:
    """A trained estimator; immutable and safe to share between threads.

    Attributes:
        version: Package version and content hash of the artefact.
        scorecard: Its error figures, as written by `advisor.evaluation.train`.
        home: By device: who calibrated it or took the catalog's further runs on it; whose rows a
            setup without a source is like.
    """

    def __init__(
        self,
        artefact: Artefact,
        scorecard: dict[str, Any],
        version: str,
        known: Known | None = None,
        home: Mapping[str, str] | None = None,
    ) -> None:
        self.artefact, self.scorecard, self.version = artefact, scorecard, version
        self.known, self.home = known or artefact.known, home or {}
        seen = np.isfinite(self.known.watts)
        measured = [unit for unit, own in zip(self.known.units, seen, strict=True) if own]
        self._units, self._machines = Counter(measured), {*_machine(measured)}

    def informed(self, snapshot: Snapshot) -> Estimator:
        """This estimator with what the catalog's further runs tell about the machines they ran on.

        Nothing is fitted again: rows that were not in the training data correct the estimates for
        their device, and in part what the same source takes on others.
        """
        trained = frozenset(self.artefact.runs)
        further = probes(snapshot, trained)
        others = [
            row for row in further if row.run_id not in trained and row.source != REFERENCE_RUN
        ]
        home = {row.device: team(row) for row in (*others, *calibrated(snapshot))}
        if not further:
            return Estimator(self.artefact, self.scorecard, self.version, home=home)
        named = {row.device for row in further}
        specs = hardware.machines([snapshot.devices[name] for name in sorted(named)])
        rows = probe_rows(further, snapshot, specs)
        asked = ask(self.artefact.model, rows, np.ones(len(rows), dtype=bool))
        known = self.artefact.known.joined(remember(asked, rows.log_joules))
        return Estimator(self.artefact, self.scorecard, self.version, known, home)

    def rated_power(self, device: Device) -> tuple[float, float]:
        """A device's rated watts, and half the interval (logs) that taking its class's adds."""
        own = hardware.of_device(device)
        return float(own["tdp_w"][0]), ASSUMED_HALF if own["tdp_imputed"][0] else 0.0

    def machine_watts(self, setup: Setup) -> MachineWatts:
        """Watts between which a setup's machine draws in its scope, whatever it works on."""
        scopes = SCOPES[: SCOPES.index(setup.scope) + 1]
        light = [msgspec.structs.replace(setup, scope=scope, **LIGHT) for scope in scopes]
        found = self.vectorised(light)
        rows = _rows(columns(light), hardware.machines([setup.device]))
        watts = np.exp(found.joules[:, 0] - found.seconds[:, 0])
        return machine_watts(rows.setups, watts.tolist())

    def estimate(self, setup: Setup) -> Estimate:
        """Joules per text of one setup with its 90 % interval."""
        return self.predict([setup])[0].energy_j

    def predict(self, setups: Sequence[Setup]) -> list[Prediction]:
        """Joules and seconds per text of each setup."""
        if not setups:
            return []
        found = self.vectorised(setups)
        return [
            Prediction(
                energy_j=_estimate(found.joules[i], _basis(setup, found.extrapolated[i])),
                runtime_s=_estimate(
                    found.seconds[i],
                    "measured" if setup.runtime_s else _basis(setup, found.extrapolated[i]),
                ),
                watts=(math.exp(found.watts[i, 0]), math.exp(found.watts[i, 1])),
                fastest_s=math.exp(found.fastest[i]),
                outside=tuple(np.array(_TELLING)[found.outside[i]].tolist()),
                assumed_power=bool(found.assumed_power[i]),
                known_device=bool(found.known_device[i]),
            )
            for i, setup in enumerate(setups)
        ]

    def vectorised(self, setups: Sequence[Setup]) -> Columns:
        """Predictions of n setups as columns."""
        given, n = columns(self._at_home(setups)), len(setups)
        part = specs_of(given, hardware.machines([setup.device for setup in setups]))
        profiles = profile_columns(runtime_columns(given, n), part, n)
        estimated = np.log(numbers(given, "runtime_s_per_inference", n))
        if (free := np.isnan(estimated)).any():
            estimated[free] = self.artefact.model.log_seconds(take(profiles, free))
        wanted = np.array([SCOPES.index(setup.scope) for setup in setups])
        owner = np.concatenate([np.flatnonzero(wanted >= place) for place in range(len(SCOPES))])
        sizes = [int(np.sum(wanted >= place)) for place in range(len(SCOPES))]
        wider = take(given, owner) | {"scope": np.repeat(np.array(SCOPES, dtype=object), sizes)}
        found = self.of_rows(
            Rows(
                setup_columns(wider, take(part, owner), len(owner)),
                take(profiles, owner),
                np.full(len(owner), math.nan),
                [""] * len(owner),
                [""] * len(owner),
            ),
            estimated[owner],
        )
        last = {name: getattr(found, name)[: sizes[0]].copy() for name in found.__struct_fields__}
        for place in range(1, len(SCOPES)):
            own = slice(sum(sizes[:place]), sum(sizes[: place + 1]))
            narrow, at = last["joules"][owner[own]], owner[own]
            for name, values in last.items():
                values[at] = getattr(found, name)[own]
            last["joules"][at] = np.maximum(last["joules"][at], narrow)  # wider never needs less
        return Columns(**last)

    def of_rows(self, rows: Rows, estimated: Array | None = None) -> Columns:
        """Predictions of rows, each in its scope alone.

        Args:
            rows: A runtime that is NaN is estimated.
            estimated: Stated or estimated log seconds, where they are known already.
        """
        given = np.isfinite(rows.log_seconds)
        asked = ask(self.artefact.model, rows, given, estimated)
        found = predict(asked, self.known)
        setups = rows.setups | {"runtime_s": np.exp(found.log_seconds)}
        outside = self._outside(setups) & ~rows.setups["one_core"].astype(bool)[:, None]
        beyond = np.asarray(outside.any(axis=1), dtype=bool)
        assumed = rows.setups["tdp_imputed"].astype(bool)
        time_half, rare = self._time_half(rows, given)
        low, high = found.log_seconds.copy(), found.log_seconds.copy()
        if (free := ~given).any():
            profiles = take(rows.profiles, free)
            stretched = Z90 * np.abs(profiles["stretch_spread"])
            half = np.hypot((time_half * found.time_spread)[free], stretched)
            low[free], high[free] = runtime.bounded_interval(low[free], half, profiles)
        half = np.hypot(
            self._power_half(asked.units, asked.sources, found.spread, beyond),
            np.where(assumed, ASSUMED_HALF, 0.0),
        )
        down = np.hypot(half, (1 + found.slope) * (found.log_seconds - low))
        up = np.hypot(half, (1 + found.slope) * (high - found.log_seconds))
        least, most = low + asked.floor, high + asked.limit
        joules = found.log_joules
        ends = (
            np.minimum(np.maximum(joules - down, least), joules),
            np.maximum(np.minimum(joules + up, most), joules),
        )
        here = by_value(asked.units, lambda unit: _machine([unit])[0] in self._machines)
        return Columns(
            np.column_stack([joules, *ends]),
            np.column_stack([found.log_seconds, low, high]),
            np.column_stack([asked.floor, asked.limit]),
            runtime.at_peak(rows.profiles),
            outside,
            beyond | assumed | (rare & ~given),
            assumed,
            here,
        )

    def _outside(self, setups: Table) -> NDArray[np.bool_]:
        """For each telling feature whether it lies beyond the training data."""
        places = [self.artefact.features.index(name) for name in _TELLING]
        low, high = (np.array(v)[places] for v in (self.artefact.low, self.artefact.high))
        margin = SLACK * (high - low) + 1e-9
        numeric = power.features(setups)
        values = np.column_stack([numeric[name] for name in _TELLING])
        return np.asarray((values < low - margin) | (values > high + margin))

    def _time_half(self, rows: Rows, given: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
        """Half-widths of estimated runtimes, and where their class was seen too rarely.

        Somebody who asks is a new publisher on a new device, unless the class of question is well
        covered; then a new device alone.
        """
        half, rare = np.zeros(len(given)), np.zeros(len(given), dtype=bool)
        if given.all():
            return half, rare
        passes = is_pass(rows.profiles)
        for own, intervals in (
            (passes & ~given, self.artefact.intervals),
            (~passes & ~given, self.artefact.other_intervals),
        ):
            if own.any():
                profiles = take(rows.profiles, own)
                groups = runtime.cells(profiles)
                covered = np.array([intervals.known(name) for name in groups["class"].tolist()])
                regimes = np.where(covered, "device", "both")
                numeric = runtime.features(profiles)
                bridged = intervals.of_cpu_libraries(numeric, groups)
                half[own] = filled(bridged, intervals.half(numeric, groups, regimes))
                rare[own] = ~covered
        if (own := (rows.profiles["pipeline"] != "") & ~given).any():
            half[own] = Z90 * self.artefact.model.classical.predict(take(rows.profiles, own))[1]
            rare[own] = True  # seen on one machine
        return half, rare

    def _power_half(
        self,
        units: Column,
        sources: Column,
        spread: Array,
        beyond: NDArray[np.bool_],
    ) -> Array:
        """Half-widths that the power model's error adds."""
        reach, others = self.artefact.quantiles, {*self.known.sources}
        found = np.empty(len(spread))
        for unit, own in positions(units.tolist()).items():
            k = self._units.get(unit) or int(_machine([unit])[0] in self._machines)
            # rows in another scope make it no surer
            of = spread[own] if k else np.full(len(own), POWER.total)
            known = sources[own[0]] in others
            found[own] = half_width(reach, k, of, given=True, source_known=known)
        return np.where(beyond, widest(reach, given=True), found)

    def covariance(self, setups: Sequence[Setup]) -> Array:
        """Covariance (n x n) of the log joules of setups on one device, repeats' noise left out."""
        specs = hardware.machines([setup.device for setup in setups])
        rows = _rows(columns(self._at_home(setups)), specs)
        given = np.isfinite(rows.log_seconds)
        return covariance(ask(self.artefact.model, rows, given), self.known)

    def _at_home(self, setups: Sequence[Setup]) -> list[Setup]:
        """Setups without a source as those of whoever calibrated their device."""
        return [
            setup
            if setup.source is not None or setup.device.name not in self.home
            else msgspec.structs.replace(setup, source=self.home[setup.device.name])
            for setup in setups
        ]


def _machine(units: Sequence[str] | Column) -> list[str]:
    """Device and scope of units."""
    return ["|".join(unit.rsplit("|", 2)[-2:]) for unit in units]


def _rows(given: Table, specs: Table) -> Rows:
    """Rows whose joules are asked for."""
    n = size(given)
    return rows_of(given, specs, np.full(n, math.nan), [""] * n, [""] * n)


def _estimate(logs: Array, basis: Basis) -> Estimate:
    """A value with the ends of its interval from natural logs."""
    value, low, high = (math.exp(v) for v in logs)
    return Estimate(value=value, low=low, high=high, basis=basis)


def _basis(setup: Setup, extrapolated: bool) -> Basis:
    """What an estimate rests on."""
    if extrapolated:
        return "extrapolated"
    return "estimated" if setup.runtime_s else "estimated-runtime"


def load(folder: Path | None = None) -> Estimator:
    """The estimator in a folder, or the bundled one.

    Raises:
        StaleEstimatorError: There is none, or it fits another version.
    """
    default = files("advisor.estimator") / "artefact_files"
    return Estimator(*read(folder if folder is not None else default))
