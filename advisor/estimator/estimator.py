"""Joules per text of a setup, with an interval that was checked on held-out machines.

Joules = nominal power x runtime x a learned factor; where the runtime is unknown it is the
roofline time x another learned factor, and both errors go into the interval. Rows measured on the
machine correct both factors there. The interval is the empirical 90 % quantile of held-out errors
for machines of which as much was known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from advisor.estimator.artefact import (
    Artefact,
    StaleEstimatorError,
    half_width,
    read,
    unknown_spread,
    widest,
)
from advisor.estimator.features import FEATURES, Array, design, numbers
from advisor.estimator.imputation import assumed_half, tdp_is_assumed
from advisor.estimator.machine_effects import TIME
from advisor.estimator.model import (
    Deviations,
    Predicted,
    asked,
    covariance,
    machine,
    predict,
    remembered,
)
from advisor.estimator.setup import Setup, team
from advisor.estimator.training_rows import calibrated, probe_rows, probes
from catalog.records import Basis, Estimate
from catalog.snapshot import Snapshot

__all__ = ["Estimator", "Prediction", "Setup", "StaleEstimatorError", "load"]

_OPTIONAL = {"log_batch", "log_tokens", "bits", "log_peak_per_tdp", "log_ideal_s"}
"""Features whose range says little about whether the data reach that far."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """Joules and seconds per text, and what the estimate had to assume.

    Attributes:
        outside: Features beyond the range of the training data.
        assumed_power: Whether the device's nominal power is a stand-in.
        known_device: Whether the device is in the training data, in the asked scope.
        carried: Whether what the setup needed on other devices counts; see
        `advisor.estimator.transfer`.
    """

    energy_j: Estimate
    runtime_s: Estimate
    outside: tuple[str, ...]
    assumed_power: bool
    known_device: bool
    carried: bool = False


def _estimate(log_value: float, half: float, basis: Basis) -> Estimate:
    """A log-symmetric interval as an `Estimate`."""
    return Estimate(
        value=math.exp(log_value),
        low=math.exp(log_value - half),
        high=math.exp(log_value + half),
        basis=basis,
    )


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
        deviations: Deviations | None = None,
        home: Mapping[str, str] | None = None,
    ) -> None:
        self.artefact, self.scorecard, self.version = artefact, scorecard, version
        self._deviations, self.home = deviations or Deviations(artefact.memory), home or {}

    def informed(self, snapshot: Snapshot) -> Estimator:
        """This estimator with what the catalog's further runs tell about the machines they ran on.

        Nothing is fitted again: rows that were not in the training data correct the estimates for
        their device, and in part what the same source takes on others. Published rows of runs that
        were in it in part make nobody at home there.
        """
        trained = frozenset(self.artefact.runs)
        further = probes(snapshot, trained)
        rows = probe_rows(further, snapshot)
        others = [row for row in further if row.run_id not in trained]
        home = {row.device: team(row) for row in (*others, *calibrated(snapshot))}
        if not rows.setups:
            return Estimator(self.artefact, self.scorecard, self.version, home=home)
        fits = self.artefact.fits
        told = asked(fits, rows.setups, numbers(rows.setups, self.artefact.stand_in))
        memory = self.artefact.memory.joined(remembered(fits, told, rows.log_joules))
        return Estimator(self.artefact, self.scorecard, self.version, Deviations(memory), home)

    def _at_home(self, setups: Sequence[Setup]) -> list[Setup]:
        """Setups of nobody's as those of whoever calibrated their device."""
        return [
            setup
            if setup.source is not None or setup.device.name not in self.home
            else msgspec.structs.replace(setup, source=self.home[setup.device.name])
            for setup in setups
        ]

    def estimate(self, setup: Setup) -> Estimate:
        """Joules per text of one setup with its 90 % interval."""
        return self.predict([setup])[0].energy_j

    def predict(self, setups: Sequence[Setup]) -> list[Prediction]:
        """Joules and seconds per text of each setup."""
        if not setups:
            return []
        setups = self._at_home(setups)
        found, outside = self.vectorised(setups)
        return [
            self._prediction(
                setup,
                float(found.log_joules[i]),
                float(found.spread[i]),
                float(found.log_seconds[i]),
                float(found.time_spread[i]),
                outside[i],
            )
            for i, setup in enumerate(setups)
        ]

    def vectorised(self, setups: Sequence[Setup]) -> tuple[Predicted, Array]:
        """Predictions of n setups as columns; the features that lie outside the data (n x p)."""
        part = self.artefact
        given = np.array([setup.runtime_s is not None for setup in setups])
        rows = asked(part.fits, setups, numbers(setups, part.stand_in), given)
        found = predict(part.fits, rows, self._deviations, given)
        final = design(rows.raw, found.log_seconds)
        return found, part.fits.power.outside(final.X)

    def covariance(self, setups: Sequence[Setup]) -> Array:
        """Covariance (n x n) of the log joules of setups on one device, repeats' noise left out."""
        setups, part = self._at_home(setups), self.artefact
        given = np.array([setup.runtime_s is not None for setup in setups])
        rows = asked(part.fits, setups, numbers(setups, part.stand_in), given)
        return covariance(rows, self._deviations, given)

    def _half(self, setup: Setup, spread: float) -> float:
        """Half of the setup's interval in natural logs."""
        given = setup.runtime_s is not None
        name = machine(setup) if given else setup.device.name
        k, known = self._deviations.known(name, setup.source or "")
        return half_width(self.artefact.quantiles, k, spread, given=given, source_known=known)

    def _prediction(
        self,
        setup: Setup,
        log_energy: float,
        spread: float,
        log_time: float,
        time_spread: float,
        outside: Array,
    ) -> Prediction:
        """One estimate with basis and interval."""
        beyond = tuple(
            name
            for name, out in zip(FEATURES, outside, strict=True)
            if out and name not in _OPTIONAL
        )
        assumed = tdp_is_assumed(setup.device)
        runtime_known = setup.runtime_s is not None
        if beyond:  # rows of the machine or source say nothing about what lies beyond all rows
            spread = unknown_spread(given=runtime_known)
            time_spread = 0.0 if runtime_known else TIME.total
            half = widest(self.artefact.quantiles, given=runtime_known)
        else:
            half = self._half(setup, spread)
        time_half = half * time_spread / spread
        half = math.hypot(half, assumed_half(setup.device, self.artefact.stand_in))
        basis: Basis = "estimated" if runtime_known else "estimated-runtime"
        if beyond or assumed:
            basis = "extrapolated"
        return Prediction(
            energy_j=_estimate(log_energy, half, basis),
            runtime_s=_estimate(log_time, time_half, "measured" if runtime_known else basis),
            outside=beyond,
            assumed_power=assumed,
            known_device=machine(setup) in self._deviations.memory.power,
        )


def load(folder: Path | None = None) -> Estimator:
    """The estimator in a folder, or the bundled one.

    Raises:
        StaleEstimatorError: There is none, or it fits another version.
    """
    return Estimator(
        *read(folder if folder is not None else files("advisor.estimator") / "artefact_files")
    )
