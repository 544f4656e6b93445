"""What a machine does beside the rule: a Gaussian process over the rows measured on it.

A prediction for a machine is corrected by the log residuals of the rows known there, be they one
probe or a thousand published rows: their common offset, and a part that resembles the rows near
by in runtime, size, batch, length and use. Rows that another team took on the same device count
in part, and so do rows that the same source took on other machines: they share its software and
its way of measuring. The posterior's spread scales the interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor.estimator.features import FEATURES, Array, Design
from advisor.estimator.setup import source_of_team

MOST_ROWS = 150
"""Rows kept of one team on a machine; more hardly change a prediction."""
MOST_ELSEWHERE = 150
"""Rows kept of all other machines that a source measured, as many of each."""
OF_DEVICE, OF_SOURCE = 0.3, 0.4
"""Shares of a deviation's variance: the device's, whoever measures, and the source's, wherever it
measures. The rest is a team's on one machine (host, cooling, settings)."""
MANY_ROWS = 10
"""Rows of a machine by one team from which on it counts as well known: what that source sees on
others is not asked then."""
_NEAR = {
    "log_runtime": 4.0,
    "log_parameters": 3.0,
    "log_batch": 3.0,
    "log_tokens": 3.0,
    "compute_share": 4.0,
    "log_devices": 1.4,
}
"""Distance in natural logs at which a row tells half as much as next door: a factor of 20 to 50
(3 devices to 4 times as many)."""
NEAR = [FEATURES.index(name) for name in _NEAR]
"""Columns by which rows of one machine resemble each other."""
_SCALES = np.array(list(_NEAR.values()))


class Spread(msgspec.Struct, frozen=True):
    """Standard deviations in natural logs.

    Attributes:
        offset: Of a machine's common offset.
        local: Of what resembles rows near by.
        noise: Between repeats and of what no feature sees.
    """

    offset: float
    local: float
    noise: float

    @property
    def total(self) -> float:
        """Without any row of the machine."""
        return float(np.sqrt(self.offset**2 + self.local**2 + self.noise**2))


POWER = Spread(offset=0.4, local=0.5, noise=0.1)
TIME = Spread(offset=1.5, local=0.8, noise=0.5)
"""Chosen on the development rows from a handful of values: errors with probes move by less than
a percentage point between them."""


class Known(msgspec.Struct, frozen=True):
    """Rows measured on one device in one scope.

    Attributes:
        sources: Who took each row, n.
        places: Where it lies, n x 6, from `place`.
        residual: Log of measured over predicted, n.
    """

    sources: list[str]
    places: Array
    residual: Array

    def joined(self, other: Known) -> Known:
        """These rows and others."""
        return Known(
            [*self.sources, *other.sources],
            np.vstack([self.places, other.places]),
            np.concatenate([self.residual, other.residual]),
        )

    def taken_by(self, source: str) -> Known:
        """The rows of every team of a source."""
        own = [i for i, team in enumerate(self.sources) if source_of_team(team) == source]
        return Known([self.sources[i] for i in own], self.places[own], self.residual[own])

    def count(self, source: str) -> int:
        """Rows of one source."""
        return sum(own == source for own in self.sources)


def place(design: Design) -> Array:
    """Coordinates in which nearness is measured, n x 6."""
    return np.asarray(design.X[:, NEAR] / _SCALES)


def _kernel(one: Array, two: Array, spread: Spread) -> Array:
    """Covariance of rows of one team on one machine, without noise."""
    lengths = (one**2).sum(axis=1)[:, None] + (two**2).sum(axis=1)
    return np.asarray(spread.offset**2 + spread.local**2 * np.exp(one @ two.T - 0.5 * lengths))


class _Labels(NamedTuple):
    """Where rows were taken: n machines, teams and sources."""

    machines: NDArray[np.str_]
    teams: NDArray[np.str_]
    sources: NDArray[np.str_]


def _labels(machines: Sequence[str], teams: Sequence[str]) -> _Labels:
    """Labels of rows."""
    sources = [source_of_team(team) for team in teams]
    return _Labels(*(np.asarray(names, dtype=str) for names in (machines, teams, sources)))


def equal(one: NDArray[np.str_], two: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which names are equal (n x m); numbers are compared, as names take ten times as long."""
    _, codes = np.unique(np.concatenate([one, two]), return_inverse=True)
    return np.asarray(codes[: len(one), None] == codes[None, len(one) :])


def _shared(one: _Labels, two: _Labels) -> Array:
    """Correlation of deviations by where rows were taken, from 0 to 1."""
    machine, team, source = (equal(a, b) for a, b in zip(one, two, strict=True))
    both = (1 - OF_DEVICE - OF_SOURCE) * (machine & team)
    return np.asarray(OF_DEVICE * machine + OF_SOURCE * source + both)


def prior(places: Array, spread: Spread) -> Array:
    """Covariance (n x n) on a machine nobody knows, noise left out."""
    return _kernel(places, places, spread)


_CHUNK = 4096


class Deviation:
    """The process of one machine, conditioned on its rows and on others; immutable."""

    def __init__(self, machine: str, rows: Mapping[str, Known], spread: Spread) -> None:
        """Conditions on rows by the machine they were taken on."""
        self.machine, self.spread = machine, spread
        machines = [name for name, known in rows.items() for _ in known.sources]
        self._labels = _labels(machines, [team for own in rows.values() for team in own.sources])
        self._places = np.vstack([known.places for known in rows.values()])
        covariance = _kernel(self._places, self._places, spread)
        covariance *= _shared(self._labels, self._labels)
        covariance += spread.noise**2 * np.eye(len(machines))
        self._precision = np.linalg.inv(covariance)  # noise keeps it far from singular
        residual = np.concatenate([known.residual for known in rows.values()])
        self._weights = self._precision @ residual

    def covariance(self, source: str, places: Array) -> Array:
        """Covariance (n x n) of log residuals where a source measures, noise left out."""
        shared = self._to(source, places)
        return prior(places, self.spread) - shared @ self._precision @ shared.T

    def at(self, source: str, places: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, noise included, of log residuals where a source measures."""
        parts = [places[i : i + _CHUNK] for i in range(0, len(places), _CHUNK)]
        found = [self._at(source, part) for part in parts]
        return np.concatenate([m for m, _ in found]), np.concatenate([s for _, s in found])

    def _to(self, source: str, places: Array) -> Array:
        """Covariance of a source's rows on the machine with the known ones."""
        shared = _kernel(places, self._places, self.spread)
        return np.asarray(shared * _shared(_labels([self.machine], [source]), self._labels))

    def _at(self, source: str, places: Array) -> tuple[Array, Array]:
        """The same for as many places as fit into a cache."""
        shared = self._to(source, places)
        explained = ((shared @ self._precision) * shared).sum(axis=1)
        variance = np.maximum(self.spread.total**2 - explained, self.spread.noise**2)
        return shared @ self._weights, np.sqrt(variance)


def thinned(known: Known, most: int = MOST_ROWS, group: Callable[[str], str] = str) -> Known:
    """At most `most` different rows of each team, or of each group of teams, evenly over places."""
    names, kept = np.asarray([group(team) for team in known.sources], dtype=str), []
    content = np.column_stack([known.places, known.residual]).round(9)
    for name in np.unique(names):
        own = np.flatnonzero(names == name)
        own = own[np.unique(content[own], axis=0, return_index=True)[1]]
        order = own[np.lexsort((known.residual[own], *known.places[own].T[::-1]))]
        wanted = np.linspace(0, len(order) - 1, min(len(order), most)).round().astype(int)
        kept.append(np.sort(order[wanted]))
    chosen = np.concatenate(kept) if kept else np.array([], dtype=int)
    sources = [known.sources[int(i)] for i in chosen]
    return Known(sources, known.places[chosen], known.residual[chosen])


def by_machine(
    machines: Sequence[str], sources: Sequence[str], places: Array, residual: Array
) -> dict[str, Known]:
    """Rows sorted by machine, thinned."""
    names = np.asarray(machines, dtype=str)
    found = {}
    for name in sorted(set(machines)):
        own = np.flatnonzero(names == name)
        found[name] = thinned(Known([sources[int(i)] for i in own], places[own], residual[own]))
    return found


def seen_by(source: str, memory: Mapping[str, Known], machines: Iterable[str]) -> dict[str, Known]:
    """What a source took on some machines: `MOST_ELSEWHERE` rows in all, as many of each."""
    rows = {name: memory[name].taken_by(source) for name in machines}
    names = [name for name in sorted(rows) if rows[name].sources]
    few = min(len(names), MOST_ELSEWHERE)
    names = [names[int(i)] for i in np.linspace(0, len(names) - 1, few).round()]
    most = MOST_ELSEWHERE // max(1, few)
    return {name: thinned(rows[name], most, source_of_team) for name in names}
