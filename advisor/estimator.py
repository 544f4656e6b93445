"""Joules per text of a setup, with an interval that was checked on held-out machines.

Joules = nominal power x runtime x a learned factor; where the runtime is unknown it is the
roofline time x another learned factor, and both errors go into the interval. The interval is
the empirical 90 % quantile of held-out errors: of other candidates where the device is in the
training data, of other devices where only the source is, of other sources where neither is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from advisor.artefact import Artefact, StaleEstimatorError, read
from advisor.features import FEATURES, Array, design, numbers, part_class, tdp_is_assumed
from advisor.ridge import offsets
from advisor.setups import Setup
from catalog.records import SCOPES, Basis, Estimate

__all__ = ["Estimator", "Prediction", "Setup", "StaleEstimatorError", "load"]

_Z90 = 1.645
_OPTIONAL = {"log_batch", "log_tokens", "bits", "log_flops_per_joule"}
"""Features whose range says little about whether the data reach that far."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """Joules and seconds per text, and what the estimate had to assume.

    Attributes:
        outside: Features beyond the range of the training data.
        assumed_power: Whether the device's nominal power is a stand-in.
        known_device: Whether the device is in the training data, in the asked scope.
    """

    energy_j: Estimate
    runtime_s: Estimate
    outside: tuple[str, ...]
    assumed_power: bool
    known_device: bool


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
        scorecard: Its error figures, as written by `advisor.training`.
    """

    def __init__(self, artefact: Artefact, scorecard: dict[str, Any], version: str) -> None:
        self.artefact, self.scorecard, self.version = artefact, scorecard, version
        self._units = {tuple(unit.split("|")) for unit in artefact.power.offsets[0]}
        self._known = {(device, scope) for _, device, scope in self._units}

    def estimate(self, setup: Setup) -> Estimate:
        """Joules per text of one setup with its 90 % interval."""
        return self.predict([setup])[0].energy_j

    def predict(self, setups: Sequence[Setup]) -> list[Prediction]:
        """Joules and seconds per text of each setup."""
        if not setups:
            return []
        part = self.artefact
        raw = numbers(setups, part.stand_in)
        groupings = self._groupings(setups)
        asked = design(raw)
        given = np.array([setup.runtime_s is not None for setup in setups])
        guessed = part.time.predict(asked.X) + asked.log_roofline_s
        guessed = guessed + offsets(part.time, groupings)
        log_time = np.where(given, asked.log_runtime_s, guessed)
        final = design(raw, log_time)
        log_energy = part.power.predict(final.X) + log_time + final.log_nominal_w
        log_energy = log_energy + offsets(part.power, groupings)
        outside = part.power.outside(final.X)
        return [
            self._prediction(setup, float(log_energy[i]), float(log_time[i]), outside[i])
            for i, setup in enumerate(setups)
        ]

    def _unit(self, setup: Setup) -> str:
        """The unit whose intercept applies: in the asked scope, else in the nearest one.

        What a source's machine draws beside the data sheet shows in every scope; taking it from
        one that was measured keeps the wall above the host and the host above the device.
        """
        own = SCOPES.index(setup.scope)
        scopes = sorted(SCOPES, key=lambda scope: abs(SCOPES.index(scope) - own))
        named = [f"{setup.source}|{setup.device.name}|{scope}" for scope in scopes]
        return next((unit for unit in named if unit in self.artefact.power.offsets[0]), named[0])

    def _groupings(self, setups: Sequence[Setup]) -> list[list[str]]:
        """Unit, device and source of setups, as training names them."""
        return [
            [self._unit(setup) for setup in setups],
            [setup.device.name for setup in setups],
            [setup.source or "" for setup in setups],
        ]

    def _regime(self, setup: Setup, beyond: bool) -> str:
        """What the setup is like: a held-out model, device or source."""
        if beyond or setup.source not in self.artefact.sources:
            return "source"
        unit = (setup.source, setup.device.name, setup.scope)
        return "model" if unit in self._units else "device"

    def _prediction(
        self, setup: Setup, log_energy: float, log_time: float, outside: Array
    ) -> Prediction:
        """One estimate with basis and interval."""
        beyond = tuple(
            name
            for name, out in zip(FEATURES, outside, strict=True)
            if out and name not in _OPTIONAL
        )
        assumed = tdp_is_assumed(setup.device)
        runtime_known = setup.runtime_s is not None
        regime = self.artefact.half_widths[self._regime(setup, bool(beyond))]
        half = regime["known_runtime" if runtime_known else "unknown_runtime"]
        if assumed:
            spread = _Z90 * self.artefact.stand_in.spread[part_class(setup.device)]
            half = math.hypot(half, spread)
        basis: Basis = "estimated" if runtime_known else "estimated-runtime"
        if beyond or assumed:
            basis = "extrapolated"
        time_half = 0.0 if runtime_known else half
        return Prediction(
            energy_j=_estimate(log_energy, half, basis),
            runtime_s=_estimate(log_time, time_half, "measured" if runtime_known else basis),
            outside=beyond,
            assumed_power=assumed,
            known_device=(setup.device.name, setup.scope) in self._known,
        )


def load(folder: Path | None = None) -> Estimator:
    """The estimator in a folder, or the bundled one.

    Raises:
        StaleEstimatorError: There is none, or it fits another version.
    """
    return Estimator(*read(folder if folder is not None else files("advisor") / "artefact_files"))
