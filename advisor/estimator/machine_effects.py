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
NOTHING = Known([], [], [], np.zeros((0, len(NEAR))), np.zeros(0), np.zeros(0))


def positions(names: Sequence[str]) -> dict[str, Positions]:
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
    def places(self) -> Array:
        """Coordinates, n x len(NEAR)."""


def _shared(one: Placed, two: Placed, process: Process) -> Array:
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
    prior = process.offset**2 + process.local**2
    rows, inverse = _weights(known, residual, process)
    across = _shared(asked, rows, process) @ inverse
    mean = np.asarray(across @ residual[np.isfinite(residual)], dtype=float)
    left = prior - np.sum(across * _shared(asked, rows, process), axis=1)
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
