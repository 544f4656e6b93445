"""Joules and seconds of setups: both models together, and what rows measured on a machine add.

log joules = log seconds + log watts. Seconds are the stated runtime or the runtime model's; watts
are the power model's at those seconds, so that the errors of both are tied by the utilisation. Rows
measured on the asked device, or by the same source elsewhere, correct both by a Gaussian process
over their log residuals. Logarithms are natural.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from advisor.estimator import classical, power, runtime
from advisor.estimator.classical import ClassicalModel
from advisor.estimator.machine_effects import (
    NEAR,
    POWER,
    POWER_UNTIMED,
    TIME,
    Known,
    Positions,
    corrected,
    left_covariance,
    positions,
)
from advisor.estimator.power import PowerModel
from advisor.estimator.runtime import RuntimeModel
from advisor.estimator.table import Array, Column, Mask, Table, table, take
from advisor.estimator.training_rows import Rows

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 30
"""Rows that a runtime model of its own needs."""
ONE_CORE = " (one core)"
"""Suffix of units and devices of pipelines without a network: rows of the one kind of work on a
machine correct the other no more than rows of the same source elsewhere do."""


class Model(msgspec.Struct, frozen=True):
    """Both fitted models.

    Attributes:
        power: Of every setup.
        passes: Runtime of passes through a network, as published tables hold them.
        others: Runtime of whole answers, classical models and process starts, from the rows of
            measured energies; what these know of encoders (lengths and libraries unstated) would
            blur the first.
        classical: Runtime of pipelines of a known kind on one core.
    """

    power: PowerModel
    passes: RuntimeModel
    others: RuntimeModel
    classical: ClassicalModel

    def log_seconds(self, profiles: Table) -> Array:
        """Natural log of seconds per text of n profiles."""
        found, ours = np.empty(len(profiles["work"])), is_pass(profiles)
        for own, model in ((ours, self.passes), (~ours, self.others)):
            if own.any():
                found[own] = model.predict(take(profiles, own))
        if (own := profiles["pipeline"] != "").any():
            found[own] = self.classical.predict(take(profiles, own))[0]
        return found


def is_pass(profiles: Mapping[str, Column]) -> Mask:
    """Where an item is a pass through a network, or one token of it."""
    return ~np.isin(profiles["work"], ["generate", "classical", "startup"])


def fit(
    rows: Rows,
    timed: tuple[pd.DataFrame, Array] | None = None,
    pipelines: ClassicalModel | None = None,
) -> Model:
    """Fits both models.

    Args:
        rows: Measured energies with runtimes.
        pipelines: Of models without a network; the bundled reference run's unless given.
        timed: Published profiles with their log seconds; else passes are learned from `rows`.
    """
    profiles, log_seconds = take(rows.profiles, rows.once), rows.log_seconds[rows.once]
    ours = is_pass(profiles)
    models = []
    for own, published in ((ours, timed), (~ours, None)):
        kept = own if own.sum() >= FEWEST else np.ones(len(own), dtype=bool)
        columns, logs = published or (take(profiles, kept), log_seconds[kept])
        models.append(runtime.fit(columns, logs))
    passes, others = models
    watts = power.fit(rows.setups, rows.log_joules - rows.log_seconds)
    return Model(watts, passes, others, pipelines or classical.bundled())


class Asked(msgspec.Struct, frozen=True):
    """Setups with everything that measured rows do not change.

    Attributes:
        units: Source, device and scope of each; `devices`, `sources`, `backends` and `formats`
            likewise.
        places: Where each lies, n x len(NEAR).
        log_seconds: Stated or estimated seconds per text.
        estimated_seconds: The runtime model's; equal where none is stated.
        log_watts: Mean watts at `log_seconds`.
        slope: Change of log watts with log seconds where these are estimated, else 0.
        given: Where the runtime is stated.
        stretch: What one standard deviation of the scaling over a chip's cores adds to log seconds;
            0 where the runtime is stated or the setup has a whole chip.
        fastest: Least log seconds that physics allows, where they are estimated.
        floor: Least log watts; `limit` the most.
    """

    units: Column
    devices: Column
    sources: Column
    backends: Column
    formats: Column
    places: Array
    log_seconds: Array
    estimated_seconds: Array
    log_watts: Array
    slope: Array
    given: Mask
    stretch: Array
    fastest: Array
    floor: Array
    limit: Array

    def take(self, chosen: Positions) -> Asked:
        """Some of the setups, by position."""
        return Asked(*(getattr(self, name)[chosen] for name in self.__struct_fields__))


def ask(model: Model, rows: Rows, given: Mask, estimated: Array | None = None) -> Asked:
    """Evaluates both models.

    Args:
        model: Fitted.
        rows: What is asked.
        given: Where the stated runtime counts.
        estimated: The runtime model's log seconds, where they are known already.
    """
    if estimated is None:
        estimated = model.log_seconds(rows.profiles)
    log_seconds = np.where(given, rows.log_seconds, estimated)
    fastest = np.full(len(rows), -np.inf)
    if not given.all():
        fastest[~given] = runtime.limits(take(rows.profiles, ~given))[0]
    s = table(rows.setups) | {"runtime_s": np.exp(log_seconds)}
    numeric = power.features(s)
    core = np.where(s["one_core"], ONE_CORE, "").astype(object)  # says little of the whole chip
    return Asked(
        units=s["unit"] + core,
        devices=s["device"] + core,
        sources=s["source"],
        backends=rows.profiles["backend"],
        formats=rows.profiles["format"],
        places=_places(numeric, estimated),
        log_seconds=log_seconds,
        estimated_seconds=estimated,
        log_watts=model.power.predict(s, numeric),
        slope=np.where(given | s["one_core"], 0.0, model.power.slope),
        given=given,
        stretch=np.where(given, 0.0, rows.profiles["stretch_spread"]),
        fastest=fastest,
        floor=np.log(s["floor_w"]),
        limit=np.log(s["limit_w"]),
    )


def _places(numeric: Table, estimated: Array) -> Array:
    """Coordinates in which rows of one machine are near each other, n x len(NEAR)."""
    values = numeric | {"log_estimated_runtime": estimated}
    return np.column_stack([values[name] / scale for name, scale in NEAR.items()])


def remember(asked: Asked, log_joules: Array) -> Known:
    """Measured rows as corrections of others.

    Args:
        asked: With stated runtimes.
        log_joules: Natural log of measured joules; NaN where there are none.
    """
    return Known(
        asked.units.tolist(),
        asked.devices.tolist(),
        asked.sources.tolist(),
        asked.backends.tolist(),
        asked.formats.tolist(),
        asked.places,
        log_joules - asked.log_seconds - asked.log_watts,
        asked.log_seconds - asked.estimated_seconds,
    )


class Predicted(msgspec.Struct, frozen=True):
    """Predictions of n setups.

    Attributes:
        log_joules: Per text; `log_seconds` likewise.
        spread: Standard deviation of log watts.
        time_spread: That of log seconds over what it is without any row of the machine; 0 where
            the runtime is stated.
        slope: See `Asked`.
    """

    log_joules: Array
    log_seconds: Array
    spread: Array
    time_spread: Array
    slope: Array


def predict(asked: Asked, known: Known) -> Predicted:
    """Predictions, corrected by measured rows."""
    n = len(asked.log_watts)
    watts, spread = np.zeros(n), np.full(n, POWER.total)
    seconds, time_spread = np.zeros(n), np.where(asked.given, 0.0, 1.0)
    for own, rows in _machines(asked, known):
        given, free = own[asked.given[own]], own[~asked.given[own]]
        for places, process in ((given, POWER), (free, POWER_UNTIMED)):
            if len(places):
                part = asked.take(places)
                watts[places], spread[places] = corrected(part, rows, rows.watts, process)
        if len(free):
            seconds[free], left = corrected(asked.take(free), rows, rows.seconds, TIME)
            time_spread[free] = left / TIME.total
    log_seconds = np.maximum(asked.log_seconds + seconds, asked.fastest)
    log_watts = asked.log_watts + asked.slope * seconds + watts
    log_watts = np.clip(log_watts, asked.floor, asked.limit)
    return Predicted(log_seconds + log_watts, log_seconds, spread, time_spread, asked.slope)


def _machines(asked: Asked, known: Known) -> list[tuple[Positions, Known]]:
    """Setups of each unit with the rows that correct them; units without any are left out."""
    found = []
    for _, own in positions(asked.units.tolist()).items():
        rows = known.about(str(asked.devices[own[0]]), str(asked.sources[own[0]]))
        if rows.units:
            found.append((own, rows))
    return found


def covariance(asked: Asked, known: Known) -> Array:
    """Covariance (n x n) of the log joules of setups on one device, repeats' noise left out."""
    found = np.zeros((len(asked.devices), len(asked.devices)))
    for name, own in positions(asked.devices.tolist()).items():
        part = asked.take(own)
        rows = known.about(name, str(part.sources[0]))
        watts = left_covariance(part, rows, rows.watts, POWER)
        seconds = left_covariance(part, rows, rows.seconds, TIME)
        share = np.where(part.given, 0.0, 1 + part.slope)
        stretch = share * part.stretch  # one exponent for all
        timed = seconds * share[:, None] * share + np.outer(stretch, stretch)
        found[np.ix_(own, own)] = watts + timed
    return found
