"""Joules and seconds of setups: both models together, and what rows measured on a machine add.

log joules = log seconds + log watts. Seconds are the stated runtime or the runtime model's; watts
are the power model's at those seconds, so that the errors of both are tied by the utilisation. Rows
measured on the asked device, or by the same source elsewhere, correct both by a Gaussian process
over their log residuals. Logarithms are natural.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from advisor.estimator import classical, power, runtime
from advisor.estimator.classical import ClassicalModel
from advisor.estimator.power import PowerModel
from advisor.estimator.runtime import RuntimeModel
from advisor.estimator.table import Array, Column, Mask, Table, table, take
from advisor.estimator.training_rows import Rows

Positions = NDArray[np.intp]
MOST_ROWS, MOST_ELSEWHERE = 150, 60
"""Rows that count of one source on a device, and of a source on all other devices; more hardly
change a prediction."""
MANY_ROWS = 10
"""Rows of a source on a device from which on what it measured elsewhere is not asked."""
FEWEST = 30
"""Rows that a runtime model of its own needs."""
STEP = 0.4
"""Log seconds over which the change of watts with the runtime is measured."""


class Process(msgspec.Struct, frozen=True):
    """Standard deviations (natural logs) of a machine's deviation from a model.

    Attributes:
        offset: Of its common offset; `device` and `source` are the shares of its variance that
            rows of the same device by others, and of the same source on others, have in common.
        local: Of what resembles rows near by, at distance `length`.
        noise: Between repeats.
        columns: Coordinates of a row's place that count.
    """

    offset: float
    local: float
    noise: float
    columns: tuple[int, ...]
    length: float = 1.8
    device: float = 0.3
    source: float = 0.4

    @property
    def total(self) -> float:
        """Without any row of the machine."""
        return float(np.sqrt(self.offset**2 + self.local**2 + self.noise**2))


NEAR = {
    "log_runtime": 2.2,
    "log_peak_share": 2.2,
    "log_parameters": 1.7,
    "log_batch": 1.7,
    "log_tokens": 1.7,
    "log_devices": 0.8,
}
"""Coordinates of a row's place: features, with the distance that counts 1. The first two read the
runtime, so they do not count where it is estimated."""
POWER = Process(offset=0.4, local=0.35, noise=0.08, columns=(0, 1, 2, 3, 4, 5))
TIME = Process(offset=0.6, local=0.45, noise=0.2, columns=(2, 3, 4, 5))


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
    watts = rows.log_joules - rows.log_seconds
    return Model(power.fit(rows.setups, watts), *models, pipelines or classical.bundled())


class Known(msgspec.Struct, frozen=True, dict=True):
    """Measured rows, as far as they correct others.

    Attributes:
        units: Source, device and scope of each row, m.
        devices: Device of each; `sources` its source.
        places: Where each lies, m x len(NEAR), see `places`.
        watts: Log of measured over predicted watts; NaN where no energy was measured.
        seconds: Log of measured over predicted seconds.
    """

    units: list[str]
    devices: list[str]
    sources: list[str]
    places: Array
    watts: Array
    seconds: Array

    def joined(self, other: Known) -> Known:
        """These rows and others."""
        return Known(
            [*self.units, *other.units],
            [*self.devices, *other.devices],
            [*self.sources, *other.sources],
            np.vstack([self.places, other.places]),
            np.concatenate([self.watts, other.watts]),
            np.concatenate([self.seconds, other.seconds]),
        )

    def take(self, chosen: Positions) -> Known:
        """Some of the rows, by position."""
        lists = (self.units, self.devices, self.sources)
        units, devices, sources = ([names[i] for i in chosen] for names in lists)
        return Known(
            units, devices, sources, self.places[chosen], self.watts[chosen], self.seconds[chosen]
        )

    @functools.cached_property
    def _by_device(self) -> dict[str, Positions]:
        return _positions(self.devices)

    @functools.cached_property
    def _by_source(self) -> dict[str, Positions]:
        return _positions(self.sources)

    @functools.cached_property
    def _about(self) -> dict[tuple[str, str], Known]:
        """Answers of `about`."""
        return {}

    def about(self, device: str, source: str) -> Known:
        """Rows that say something about one source's rows on a device."""
        if (device, source) not in self._about:
            here = self._by_device.get(device, _NONE)
            by = _positions([self.sources[i] for i in here])
            found = [_spread_out(here[own], MOST_ROWS) for own in by.values()]
            if self.count(device, source) < MANY_ROWS:
                elsewhere = self._by_source.get(source, _NONE)
                away = [i for i in elsewhere if self.devices[i] != device]
                found.append(_spread_out(np.array(away, dtype=np.intp), MOST_ELSEWHERE))
            self._about[device, source] = self.take(np.concatenate([_NONE, *found]))
        return self._about[device, source]

    def count(self, device: str, source: str) -> int:
        """Rows of one source on a device."""
        here = self._by_device.get(device, _NONE)
        return sum(self.sources[i] == source for i in here)


_NONE = np.array([], dtype=np.intp)
NOTHING = Known([], [], [], np.zeros((0, len(NEAR))), np.zeros(0), np.zeros(0))


def _positions(names: Sequence[str]) -> dict[str, Positions]:
    """Where each name stands."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        found.setdefault(name, []).append(place)
    return {name: np.array(own, dtype=np.intp) for name, own in sorted(found.items())}


def _spread_out(positions: Positions, most: int) -> Positions:
    """At most so many positions, evenly spread."""
    if len(positions) <= most:
        return positions
    return positions[np.linspace(0, len(positions) - 1, most).round().astype(np.intp)]


class Asked(msgspec.Struct, frozen=True):
    """Setups with everything that measured rows do not change.

    Attributes:
        units: Source, device and scope of each; `devices`, `sources` likewise.
        places: Where each lies, n x len(NEAR).
        log_seconds: Stated or estimated seconds per text.
        estimated_seconds: The runtime model's; equal where none is stated.
        log_watts: Mean watts at `log_seconds`.
        slope: Change of log watts with log seconds where these are estimated, else 0.
        given: Where the runtime is stated.
        floor: Least log watts; `limit` the most.
    """

    units: Column
    devices: Column
    sources: Column
    places: Array
    log_seconds: Array
    estimated_seconds: Array
    log_watts: Array
    slope: Array
    given: Mask
    floor: Array
    limit: Array

    def take(self, chosen: Positions) -> Asked:
        """Some of the setups, by position."""
        return Asked(*(getattr(self, name)[chosen] for name in self.__struct_fields__))


def ask(model: Model, rows: Rows, given: Mask) -> Asked:
    """Evaluates both models.

    Args:
        model: Fitted.
        rows: What is asked.
        given: Where the stated runtime counts.
    """
    estimated = model.log_seconds(rows.profiles)
    log_seconds = np.where(given, rows.log_seconds, estimated)

    s = table(rows.setups)
    slope = np.zeros(len(rows))
    if not given.all():
        free, at = take(s, ~given), log_seconds[~given]
        ends = [model.power.predict(free | {"runtime_s": np.exp(at + d)}) for d in (-STEP, STEP)]
        slope[~given] = np.clip((ends[1] - ends[0]) / (2 * STEP), -0.95, 0.0)
    s = s | {"runtime_s": np.exp(log_seconds)}
    numeric = power.features(s)
    return Asked(
        units=s["unit"],
        devices=s["device"],
        sources=s["source"],
        places=_places(numeric),
        log_seconds=log_seconds,
        estimated_seconds=estimated,
        log_watts=model.power.predict(s, numeric),
        slope=slope,
        given=given,
        floor=np.log(s["floor_w"]),
        limit=np.log(s["limit_w"]),
    )


def _places(numeric: Table) -> Array:
    """Coordinates in which rows of one machine are near each other, n x len(NEAR)."""
    return np.column_stack([numeric[name] / scale for name, scale in NEAR.items()])


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
        part = asked.take(own)
        watts[own], spread[own] = corrected(part, rows, rows.watts, POWER)
        free = own[~asked.given[own]]
        if len(free):
            seconds[free], left = corrected(asked.take(free), rows, rows.seconds, TIME)
            time_spread[free] = left / TIME.total
    log_seconds = asked.log_seconds + seconds
    log_watts = asked.log_watts + asked.slope * seconds + watts
    log_watts = np.clip(log_watts, asked.floor, asked.limit)
    return Predicted(log_seconds + log_watts, log_seconds, spread, time_spread, asked.slope)


def _machines(asked: Asked, known: Known) -> list[tuple[Positions, Known]]:
    """Setups of each unit with the rows that correct them; units without any are left out."""
    found = []
    for _, own in _positions(asked.units.tolist()).items():
        rows = known.about(str(asked.devices[own[0]]), str(asked.sources[own[0]]))
        if rows.units:
            found.append((own, rows))
    return found


def _shared(one: Asked | Known, two: Asked | Known, process: Process) -> Array:
    """Covariance of the deviations of two sets of setups, noise left out, n x m."""
    a, b = one.places[:, process.columns], two.places[:, process.columns]
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T

    def same(name: str) -> Array:
        left, right = (np.asarray(getattr(part, name), dtype=str) for part in (one, two))
        return np.asarray(left[:, None] == right, dtype=float)

    device, source = same("devices"), same("sources")
    unit = same("units") if process is POWER else device * source
    common = np.maximum(unit, np.maximum(process.device * device, process.source * source))
    near = np.exp(-np.maximum(squares, 0) / (2 * process.length**2))
    return np.asarray(common * (process.offset**2 + process.local**2 * near), dtype=float)


def _weights(known: Known, residual: Array, process: Process) -> tuple[Known, Array]:
    """Rows with a residual, and the inverse of their covariance."""
    rows = known.take(np.flatnonzero(np.isfinite(residual)))
    inner = _shared(rows, rows, process) + process.noise**2 * np.eye(len(rows.units))
    return rows, np.asarray(np.linalg.inv(inner), dtype=float)


def corrected(asked: Asked, known: Known, residual: Array, process: Process) -> tuple[Array, Array]:
    """Mean and standard deviation (n each, noise included) of log deviations, given residuals."""
    prior = process.offset**2 + process.local**2
    rows, inverse = _weights(known, residual, process)
    across = _shared(asked, rows, process) @ inverse
    mean = np.asarray(across @ residual[np.isfinite(residual)], dtype=float)
    left = prior - np.sum(across * _shared(asked, rows, process), axis=1)
    spread = np.sqrt(np.maximum(left, 0) + process.noise**2)
    return mean, np.asarray(spread, dtype=float)


def _left(asked: Asked, known: Known, residual: Array, process: Process) -> Array:
    """Covariance (n x n, noise left out) of log deviations that measured rows leave."""
    rows, inverse = _weights(known, residual, process)
    across = _shared(asked, rows, process)
    return np.asarray(_shared(asked, asked, process) - across @ inverse @ across.T)


def covariance(asked: Asked, known: Known) -> Array:
    """Covariance (n x n) of the log joules of setups on one device, repeats' noise left out."""
    rows = known.about(str(asked.devices[0]), str(asked.sources[0]))
    watts = _left(asked, rows, rows.watts, POWER)
    seconds = _left(asked, rows, rows.seconds, TIME)
    share = np.where(asked.given, 0.0, 1 + asked.slope)
    return np.asarray(watts + seconds * share[:, None] * share)


def noise(given: Mask) -> Array:
    """Variance of log joules that no other row explains, for rows whose runtime is given or not."""
    return np.where(given, POWER.noise**2, POWER.noise**2 + TIME.noise**2)
