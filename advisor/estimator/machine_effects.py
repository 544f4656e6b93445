"""Effects of machines: what rows measured on a device add to the models there.

A Gaussian process over log residuals: rows of one source on one device in one scope share all of
their deviation, rows of the same device or source elsewhere a part, rows near in size, batch and
length more. Natural logarithms.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor.estimator.table import Array, Column, Mask

Positions = NDArray[np.intp]
MOST_ROWS, MOST_ELSEWHERE = 150, 60
"""Rows that count of one source on a device, and of a source on all other devices; more hardly
change a prediction."""
MANY_ROWS = 10
"""Rows of a source on a device from which on what it measured elsewhere is not asked."""


class Process(msgspec.Struct, frozen=True):
    """Standard deviations (natural logs) of a machine's deviation from a model.

    Attributes:
        offset: Of its common offset; `device` and `source` are the shares of its variance that
            rows of the same device by others, and of the same source on others, have in common.
        local: Of what resembles rows near by, at distance `length`.
        backend: Of what rows of one backend class have in common; `format` of a numeric format.
        noise: Between repeats.
        columns: Coordinates of a row's place that count.
    """

    offset: float
    local: float
    noise: float
    columns: tuple[int, ...]
    backend: float = 0.0
    format: float = 0.0
    length: float = 1.8
    device: float = 0.3
    source: float = 0.4

    @property
    def total(self) -> float:
        """Without any row of the machine."""
        return float(np.sqrt(self.prior + self.noise**2))

    @property
    def prior(self) -> float:
        """Variance without any row of the machine, noise left out."""
        return self.offset**2 + self.local**2 + self.backend**2 + self.format**2


NEAR = {
    "log_runtime": 2.2,
    "log_peak_share": 2.2,
    "log_parameters": 1.7,
    "log_batch": 1.7,
    "log_tokens": 1.7,
    "log_devices": 0.8,
    "log_estimated_runtime": 2.2,
}
"""Coordinates of a row's place: features, with the distance that counts 1; the last are the runtime
model's seconds. Where a runtime is estimated, work counts by its seconds alone: a correction that
changes slowly with them never makes more work cheaper."""
BACKEND, FORMAT = 0.45, 0.23
"""Standard deviation (natural log) of seconds that is a backend class's own on a machine, and a
numeric format's: the errors of two estimates that differ in it are apart by 2^0.5 times as much.
From pairs of published rows alike in all else, of devices that were held out; see
`advisor.evaluation.ratios`, which a test recomputes."""
POWER = Process(offset=0.4, local=0.35, noise=0.08, columns=(0, 1, 2, 3, 4, 5))
POWER_UNTIMED = msgspec.structs.replace(POWER, columns=(0, 3, 5))
"""Of watts at an estimated runtime."""
TIME = Process(offset=0.6, local=0.45, noise=0.2, columns=(6, 3, 5), backend=BACKEND, format=FORMAT)


class Known(msgspec.Struct, frozen=True, dict=True):
    """Measured rows, as far as they correct others.

    Attributes:
        units: Source, device and scope of each row, m.
        devices: Device of each; `sources` its source, `backends` its backend class, `formats` its
            numeric format.
        places: Where each lies, m x len(NEAR), see `places`.
        watts: Log of measured over predicted watts; NaN where no energy was measured.
        seconds: Log of measured over predicted seconds.
    """

    units: list[str]
    devices: list[str]
    sources: list[str]
    backends: list[str]
    formats: list[str]
    places: Array
    watts: Array
    seconds: Array

    def joined(self, other: Known) -> Known:
        """These rows and others."""
        return Known(
            [*self.units, *other.units],
            [*self.devices, *other.devices],
            [*self.sources, *other.sources],
            [*self.backends, *other.backends],
            [*self.formats, *other.formats],
            np.vstack([self.places, other.places]),
            np.concatenate([self.watts, other.watts]),
            np.concatenate([self.seconds, other.seconds]),
        )

    def take(self, chosen: Positions) -> Known:
        """Some of the rows, by position."""
        lists = (self.units, self.devices, self.sources, self.backends, self.formats)
        units, devices, sources, backends, formats = ([own[i] for i in chosen] for own in lists)
        numbers = self.places[chosen], self.watts[chosen], self.seconds[chosen]
        return Known(units, devices, sources, backends, formats, *numbers)

    @functools.cached_property
    def _by_device(self) -> dict[str, Positions]:
        return positions(self.devices)

    @functools.cached_property
    def _by_source(self) -> dict[str, Positions]:
        return positions(self.sources)

    @functools.cached_property
    def _about(self) -> dict[tuple[str, str], Known]:
        """Answers of `about`."""
        return {}

    @functools.cached_property
    def solved(self) -> dict[Process, tuple[Known, Array]]:
        """By process: the rows it reads and the inverse of their covariance."""
        return {}

    def about(self, device: str, source: str) -> Known:
        """Rows that say something about one source's rows on a device."""
        if (device, source) not in self._about:
            here = self._by_device.get(device, _NONE)
            by = positions([self.sources[i] for i in here])
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
NOTHING = Known([], [], [], [], [], np.zeros((0, len(NEAR))), np.zeros(0), np.zeros(0))


def positions(names: Sequence[str]) -> dict[str, Positions]:
    """Where each name stands."""
    places = {name: place for place, name in enumerate(sorted({*names}))}
    codes = np.fromiter(map(places.__getitem__, names), np.intp, len(names))
    order, sizes = np.argsort(codes, kind="stable"), np.bincount(codes, minlength=len(places))
    return dict(zip(places, np.split(order, np.cumsum(sizes)[:-1]), strict=bool(places)))


def _spread_out(positions: Positions, most: int) -> Positions:
    """At most so many positions, evenly spread."""
    if len(positions) <= most:
        return positions
    return positions[np.linspace(0, len(positions) - 1, most).round().astype(np.intp)]


class Placed(Protocol):
    """Rows with a place: setups that are asked about, or measured rows."""

    @property
    def units(self) -> Sequence[str] | Column:
        """Source, device and scope of each row."""

    @property
    def devices(self) -> Sequence[str] | Column:
        """Device of each row."""

    @property
    def sources(self) -> Sequence[str] | Column:
        """Source of each row."""

    @property
    def backends(self) -> Sequence[str] | Column:
        """Backend class of each row."""

    @property
    def formats(self) -> Sequence[str] | Column:
        """Numeric format of each row."""

    @property
    def places(self) -> Array:
        """Coordinates, n x len(NEAR)."""


def _shared(one: Placed, two: Placed, process: Process) -> Array:
    """Covariance of the deviations of two sets of setups, noise left out, n x m."""
    a, b = one.places[:, process.columns], two.places[:, process.columns]
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T

    def same(name: str) -> Array:
        left, right = (np.asarray(getattr(part, name), dtype=object) for part in (one, two))
        rows = {value: np.asarray(right == value, dtype=float) for value in set(left.tolist())}
        every = [*rows] if len(rows) == 1 else left.tolist()
        found = np.array([rows[value] for value in every], dtype=float)
        return found.reshape(len(every), len(right))

    device, source = same("devices"), same("sources")
    unit = device * source if process is TIME else same("units")
    common = np.maximum(unit, np.maximum(process.device * device, process.source * source))
    near = np.exp(-np.maximum(squares, 0) / (2 * process.length**2))
    alike = process.offset**2 + process.local**2 * near
    for name, own in (("backends", process.backend), ("formats", process.format)):
        if own:
            alike = alike + own**2 * same(name)
    return np.asarray(np.broadcast_to(common * alike, squares.shape), dtype=float)


def _weights(known: Known, residual: Array, process: Process) -> tuple[Known, Array]:
    """Rows with a residual, and the inverse of their covariance; worked out once."""
    if process not in known.solved:
        rows = known.take(np.flatnonzero(np.isfinite(residual)))
        inner = _shared(rows, rows, process) + process.noise**2 * np.eye(len(rows.units))
        known.solved[process] = rows, np.asarray(np.linalg.inv(inner), dtype=float)
    return known.solved[process]


def corrected(
    asked: Placed, known: Known, residual: Array, process: Process
) -> tuple[Array, Array]:
    """Mean and standard deviation (n each, noise included) of log deviations."""
    rows, inverse = _weights(known, residual, process)
    across = _shared(asked, rows, process) @ inverse
    mean = np.asarray(across @ residual[np.isfinite(residual)], dtype=float)
    left = process.prior - np.sum(across * _shared(asked, rows, process), axis=1)
    spread = np.sqrt(np.maximum(left, 0) + process.noise**2)
    return mean, np.asarray(spread, dtype=float)


def left_covariance(asked: Placed, known: Known, residual: Array, process: Process) -> Array:
    """Covariance (n x n, noise left out) of log deviations that measured rows leave."""
    rows, inverse = _weights(known, residual, process)
    across = _shared(asked, rows, process)
    return np.asarray(_shared(asked, asked, process) - across @ inverse @ across.T)


def noise(given: Mask) -> Array:
    """Variance of log joules that no other row explains, for rows whose runtime is given or not."""
    return np.where(given, POWER.noise**2, POWER.noise**2 + TIME.noise**2)
