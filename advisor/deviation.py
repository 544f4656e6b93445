"""What a machine does beside the rule: a Gaussian process over the rows measured on it.

A prediction for a machine is corrected by the log residuals of the rows known there, be they one
probe or a thousand published rows: their common offset, and a part that resembles the rows near
by in runtime, size, batch, length and use. Rows that another team took on the same device count
in part. The posterior's spread scales the interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from advisor.features import FEATURES, Array, Design

MOST_ROWS = 150
"""Rows kept of one source; more hardly change a prediction."""
OTHER_TEAM = 0.5
"""Correlation between what two sources see of one device in one scope: half of a deviation is taken
to be the device's, half the host's and the software's."""
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
_COLUMNS = [FEATURES.index(name) for name in _NEAR]
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


POWER = Spread(offset=0.5, local=0.3, noise=0.1)
TIME = Spread(offset=1.5, local=0.8, noise=0.5)
"""Chosen on the development rows from a handful of values: errors with probes move by less than
half a percentage point between them."""


_CHUNK = 4096


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

    def count(self, source: str) -> int:
        """Rows of one source."""
        return sum(own == source for own in self.sources)


def place(design: Design) -> Array:
    """Coordinates in which nearness is measured, n x 6."""
    return np.asarray(design.X[:, _COLUMNS] / _SCALES)


def _kernel(one: Array, two: Array, spread: Spread) -> Array:
    """Covariance of rows of one source, without noise."""
    lengths = (one**2).sum(axis=1)[:, None] + (two**2).sum(axis=1)
    return np.asarray(spread.offset**2 + spread.local**2 * np.exp(one @ two.T - 0.5 * lengths))


def _shared(one: Sequence[str], two: Sequence[str]) -> Array:
    """1 for two rows of one source, `OTHER_TEAM` otherwise."""
    same = np.asarray(one, dtype=str)[:, None] == np.asarray(two, dtype=str)[None, :]
    return np.where(same, 1.0, OTHER_TEAM)


def prior(places: Array, spread: Spread) -> Array:
    """Covariance (n x n) on a machine nobody knows, noise left out."""
    return _kernel(places, places, spread)


class Deviation:
    """The process conditioned on the rows of one device in one scope; immutable."""

    def __init__(self, known: Known, spread: Spread) -> None:
        self.known, self.spread = known, spread
        covariance = _kernel(known.places, known.places, spread)
        covariance *= _shared(known.sources, known.sources)
        covariance += spread.noise**2 * np.eye(len(known.sources))
        self._precision = np.linalg.inv(covariance)  # noise keeps it far from singular
        self._weights = self._precision @ known.residual

    def covariance(self, source: str, places: Array) -> Array:
        """Covariance (n x n) of log residuals where a source measures, noise left out."""
        shared = _kernel(places, self.known.places, self.spread)
        shared *= _shared([source], self.known.sources)
        return prior(places, self.spread) - shared @ self._precision @ shared.T

    def at(self, source: str, places: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, noise included, of log residuals where a source measures."""
        parts = [places[i : i + _CHUNK] for i in range(0, len(places), _CHUNK)]
        found = [self._at(source, part) for part in parts]
        return np.concatenate([m for m, _ in found]), np.concatenate([s for _, s in found])

    def _at(self, source: str, places: Array) -> tuple[Array, Array]:
        """The same for as many places as fit into a cache."""
        shared = _kernel(places, self.known.places, self.spread)
        shared *= _shared([source], self.known.sources)
        explained = ((shared @ self._precision) * shared).sum(axis=1)
        variance = np.maximum(self.spread.total**2 - explained, self.spread.noise**2)
        return shared @ self._weights, np.sqrt(variance)


def thinned(known: Known) -> Known:
    """At most `MOST_ROWS` different rows of each source, spread evenly over their places."""
    names, kept = np.asarray(known.sources, dtype=str), []
    content = np.column_stack([known.places, known.residual]).round(9)
    for name in sorted(set(known.sources)):
        own = np.flatnonzero(names == name)
        own = own[np.unique(content[own], axis=0, return_index=True)[1]]
        order = own[np.lexsort((known.residual[own], *known.places[own].T[::-1]))]
        wanted = np.linspace(0, len(order) - 1, min(len(order), MOST_ROWS)).round().astype(int)
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
