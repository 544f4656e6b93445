"""Rankings: the offers of a pool under a question's limits, arranged so that a floor is looked up.

The floor cuts a ranking at one place: what qualifies, who wins for each candidate and who comes
closest are found by bisection over accuracies, not by judging every offer again.
"""

from __future__ import annotations

import functools
import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec
import numpy as np

from advisor.estimator.table import Array
from advisor.recommend.constraints import FLOOR, Constraint, Limits, constraints, floored
from advisor.recommend.group import Pool
from advisor.recommend.options import Verdict
from advisor.recommend.records import Missing, Rejected, Shortfall

_TIED = 5
"""Candidates of a tie that are named."""
_CROSSINGS = 10_000
"""Of one ranking at most; where there are more, none is worked out."""
NARROW = 1e-9
"""Floors this close may lie where rounding decides."""
_BLOCK = 512
"""Offers whose best accuracy is looked at before they are."""


class Winners(msgspec.Struct, frozen=True):
    """The cheapest qualifying offer of each candidate, cheapest first, for a span of floors.

    Attributes:
        places: In the pool; the first is the chosen offer.
        tied: Candidates whose energy interval overlaps the chosen one's, the first few.
    """

    places: tuple[int, ...]
    tied: tuple[str, ...]


class Near(msgspec.Struct, frozen=True):
    """An offer that no other of its candidate beats in what it misses.

    Attributes:
        gap: Largest gap of a constraint other than the floor.
        value: What the floor is held against.
    """

    place: int
    code: int
    gap: float
    value: float


class Ranking:
    """The offers of a pool under limits.

    Attributes:
        best: The highest floor that something reaches; -1 where nothing qualifies at any.
    """

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self.pool, self._limits = pool, limits
        self._constraints = list(constraints(pool, limits))
        self._gaps = functools.reduce(np.maximum, [part.gaps for part in self._constraints])
        self._all_values = floored(pool, limits)
        self._passing = np.flatnonzero(self._gaps == 0.0)
        self._values = self._all_values[self._passing]
        self.best = float(self._values.max(initial=-1.0))
        self._winners: dict[int, Winners] = {}
        self._entries: dict[tuple[int, bool], Rejected] = {}

    def qualifying(self, floor: float, most: int) -> list[int]:
        """Places of the cheapest `most` offers that qualify, cheapest first."""
        found: list[int] = []
        if self.best < floor:
            return found
        for block in np.flatnonzero(self._tops >= floor).tolist():
            part = slice(block * _BLOCK, (block + 1) * _BLOCK)
            hits = self._passing[part][self._values[part] >= floor]
            found += hits.tolist()
            if len(found) >= most:
                return found[:most]
        return found

    @property
    def passing(self) -> list[int]:
        """Places of all offers that some floor admits, cheapest first."""
        return [int(place) for place in self._passing]

    @functools.cached_property
    def best_there(self) -> float:
        """`best` among setups that were run on their device."""
        return float(self._values[self.pool.ran_there[self._passing]].max(initial=-1.0))

    @functools.cached_property
    def _tops(self) -> Array:
        """The best value of each block of offers."""
        starts = range(0, len(self._values), _BLOCK)
        return np.array([self._values[at : at + _BLOCK].max() for at in starts])

    @functools.cached_property
    def splits(self) -> dict[str, float]:
        """Split of an accuracy -> the highest floor at which an offer of it qualifies."""
        found: dict[str, float] = {}
        for place, value in zip(self._passing.tolist(), self._values.tolist(), strict=True):
            split = self.pool.offers[place].row.accuracy_split
            if split:
                found[split] = max(value, found.get(split, -1.0))
        return found

    def turns(self) -> Array:
        """Floors beyond which something of an answer may change, beside the floor itself.

        These are the values of what qualifies, and the lower ends of the intervals of what may be
        chosen: it is on the front.
        """
        lows = [self.pool.option(place).accuracy for place in self.front]
        ends = [found.low for found in lows if found and found.low is not None]
        return np.concatenate([self._values, np.array(ends, dtype=float)])

    @functools.cached_property
    def front(self) -> tuple[int, ...]:
        """Places that no other meeting the limits beats in accuracy and energy, cheapest first."""
        best, kept = -1.0, []
        accuracies = self.pool.accuracy[self._passing].tolist()
        for place, accuracy in zip(self._passing.tolist(), accuracies, strict=True):
            if accuracy > best:
                kept.append(place)
                best = accuracy
        return tuple(kept)

    @functools.cached_property
    def _steps(self) -> list[tuple[list[float], list[int]]]:
        """For each candidate the values and places at which dearer offers become better ones."""
        found: list[tuple[list[float], list[int]]] = [([], []) for _ in self.pool.candidates]
        codes = self.pool.candidate
        for place, value in zip(self._passing.tolist(), self._values.tolist(), strict=True):
            values, places = found[codes[place]]
            if not values or value > values[-1]:
                values.append(value)
                places.append(place)
        return found

    @functools.cached_property
    def _breaks(self) -> list[float]:
        """Floors at which a winner changes, ascending."""
        return sorted({value for values, _ in self._steps for value in values})

    def winners(self, floor: float) -> Winners:
        """The winners at a floor."""
        span = bisect_left(self._breaks, floor)
        found = self._winners.get(span)
        if found is None:
            found = self._winners[span] = self._won(self._breaks[span:])
        return found

    def _won(self, floors: Sequence[float]) -> Winners:
        """The winners at the first of `floors`."""
        if not floors:
            return Winners((), ())
        cheapest = []
        for values, places in self._steps:
            step = bisect_left(values, floors[0])
            if step < len(values):
                cheapest.append(places[step])
        chosen, *others = cheapest = sorted(cheapest)
        most = self.pool.offers[chosen].energy.high
        tied = (
            self.pool.offers[place].row.candidate
            for place in others
            if most is None or (self.pool.offers[place].energy.low or 0.0) <= most
        )
        return Winners(places=tuple(cheapest), tied=tuple(itertools.islice(tied, _TIED)))

    def outbid(self, floor: float, most: int) -> list[Rejected]:
        """Why the first `most` of the winners that were not chosen lost."""
        chosen, *others = self.winners(floor).places[: most + 1] or (0,)
        return [self._dearer(place, chosen) for place in others]

    def _dearer(self, place: int, chosen: int) -> Rejected:
        """The entry of a candidate that qualifies and was not chosen."""
        offers = self.pool.offers
        own, least = offers[place].joules, offers[chosen].joules
        more = own > least
        return Rejected(
            candidate=offers[place].row.candidate,
            device=offers[place].device.name,
            reason="more-energy" if more else "not-more-accurate",
            detail=f"{self.pool.figure(place)} J per 1,000 texts against {self.pool.figure(chosen)}"
            if more
            else f"the same {self.pool.figure(place)} J per 1,000 texts, and not more accurate",
            setups=self.pool.setups[self.pool.candidate[place]],
        )

    @functools.cached_property
    def near(self) -> list[Near]:
        """Offers that can come closest: most accurate first where only the floor can bind."""
        kept: list[Near] = []
        best: dict[int, float] = {}
        finite = np.flatnonzero(np.isfinite(self._gaps))
        order = finite[np.lexsort((finite, -self._all_values[finite], self._gaps[finite]))]
        for place in order.tolist():
            code, value = self.pool.candidate[place], float(self._all_values[place])
            if value > best.get(code, -1.0):
                best[code] = value
                kept.append(Near(place, code, float(self._gaps[place]), value))
        return sorted(kept, key=lambda near: (-near.value, near.place))

    @functools.cached_property
    def _only_floor(self) -> list[float] | None:
        """Where nothing but the floor can bind: negated values of `near`, ascending."""
        if any(near.gap for near in self.near):
            return None
        return [-near.value for near in self.near]

    def closest(self, floor: float) -> list[Near]:
        """For each candidate that some floor admits and this one does not, its closest offer."""
        if self._only_floor is not None:
            return self.near[bisect_right(self._only_floor, -floor) :]
        return self._by_gap(floor)

    def _by_gap(self, floor: float) -> list[Near]:
        """`closest` where limits bind too."""
        found: dict[int, tuple[float, Near]] = {}
        for near in self.near:
            missed = self.missed(near, floor)
            if near.code not in found or missed < found[near.code][0]:
                found[near.code] = missed, near
        lost = [pair for pair in found.values() if pair[0] > 0.0]

        def order(pair: tuple[float, Near]) -> tuple[float, float, int]:
            missed, near = pair  # of those that miss a licence first what reaches the floor
            return missed, -min(near.value, floor), near.place

        return [near for _, near in sorted(lost, key=order)]

    @staticmethod
    def missed(near: Near, floor: float) -> float:
        """By how much an offer misses the question, the floor included."""
        return max(near.gap, 0.0 if near.value >= floor else 1 - near.value / floor)

    @functools.cached_property
    def hopeless(self) -> tuple[Rejected, ...]:
        """Candidates that no floor admits, by name."""
        near = {near.code for near in self.near}
        first: dict[int, int] = {}
        for place, code in enumerate(self.pool.candidate):
            if code not in near:
                first.setdefault(code, place)
        entries = [self._entry(place, self.verdict(place)) for place in first.values()]
        return tuple(sorted([*entries, *self.pool.absent], key=lambda entry: entry.candidate))

    def lost(self, floor: float) -> list[Rejected]:
        """One entry for each candidate that does not qualify; `FLOOR` stands for the floor."""
        return [*(self._why(near, floor) for near in self.closest(floor)), *self.hopeless]

    def _why(self, near: Near, floor: float) -> Rejected:
        """The entry of a candidate by its closest offer."""
        by_floor = self._floor_binds(near, floor)
        key = near.place, by_floor
        if key not in self._entries:
            verdict = self._too_low(near) if by_floor else self.verdict(near.place)
            self._entries[key] = self._entry(near.place, verdict)
        return self._entries[key]

    def _entry(self, place: int, verdict: Verdict) -> Rejected:
        """An entry of a candidate."""
        offer = self.pool.offers[place]
        return Rejected(
            candidate=offer.row.candidate,
            device=offer.device.name,
            reason=verdict.reason,
            detail=verdict.detail,
            setups=self.pool.setups[self.pool.candidate[place]],
        )

    def _floor_binds(self, near: Near, floor: float) -> bool:
        """Whether of all an offer misses the floor is missed by most."""
        return near.value < floor and 1 - near.value / floor >= near.gap

    def _too_low(self, near: Near) -> Verdict:
        """An accuracy under the floor."""
        name, confidence = "accuracy", self._limits.confidence
        if confidence is not None:
            name = f"lower {confidence:.0%} bound of the accuracy"
        said = f"{name} {near.value:.3f} < {FLOOR}"
        return Verdict("accuracy-too-low", said, self._under(near.value))

    @staticmethod
    def _under(value: float) -> Missing:
        """What is missing of the floor."""
        return Missing(constraint="min_acc", asked=FLOOR, has=round(value, 6))

    def verdict(self, place: int) -> Verdict:
        """The constraint other than the floor that an offer misses by most."""
        binding: Constraint = max(self._constraints, key=lambda part: float(part.gaps[place]))
        return binding.verdict(place)

    def nearest(self, floor: float) -> tuple[int, Missing] | None:
        """The offer that misses by least and all it misses; ``None`` of an empty pool.

        `FLOOR` stands for the floor.
        """
        finite = self.closest(floor)
        if finite:
            near = finite[0]
            place, binds = near.place, self._floor_binds(near, floor)
        elif self._hidden is None:
            return None
        else:
            place, binds = self._hidden, False
        found = [part for part in self._constraints if part.gaps[place] > 0]
        found.sort(key=lambda part: -part.gaps[place])
        missing = [part.verdict(place).missing for part in found]
        value = float(self._all_values[place])
        if value < floor:
            missing.insert(0 if binds else 1, self._under(value))
        first, *others = missing
        also = tuple(
            Shortfall(constraint=each.constraint, asked=each.asked, has=each.has) for each in others
        )
        return place, msgspec.structs.replace(first, also=also)

    @functools.cached_property
    def _hidden(self) -> int | None:
        """Of the offers that no number measures the one with the fewest such constraints.

        Of several the most accurate, then the cheapest; ``None`` where there is none.
        """
        found = np.flatnonzero(self._gaps == math.inf)
        unknown = np.sum([np.isinf(part.gaps[found]) for part in self._constraints], axis=0)
        values = np.nan_to_num(self._all_values[found], nan=-1.0)
        order = np.lexsort((found, -values, unknown))
        return int(found[order[0]]) if len(found) else None

    def miss(self, floor: float, *, ran_there: bool = False) -> tuple[float, float]:
        """By how much the closest offer misses, and its value up to the floor, negated.

        With `ran_there` only one that was run on its device counts. Infinite where no number
        measures what is missed.
        """
        near = next(iter(self.closest(floor)), None)
        place = self._hidden if near is None else near.place
        if place is None or (ran_there and not self.pool.ran_there[place]):
            return math.inf, 1.0
        value = float(np.nan_to_num(self._all_values[place], nan=-1.0))
        return (math.inf if near is None else self.missed(near, floor)), -min(value, floor)

    def edges(self) -> Array:
        """Floors beyond which what misses something else misses the floor too."""
        values = [near.value for near in self.near if near.gap]
        if self._hidden is not None and not math.isnan(self._all_values[self._hidden]):
            values.append(float(self._all_values[self._hidden]))
        return np.array(values, dtype=float)


def crossings(rankings: Sequence[Ranking]) -> Array | None:
    """Floors around which what an offer misses by most changes, or which offer is closer.

    An offer misses by its gap or by what the floor asks too much, so that two offers change
    places where the value of one misses a floor by the gap of the other. Rounding may move
    that a little: each comes as two floors with the place between them. ``None`` where there
    are too many, or where values are so close that rounding orders them.
    """
    near = [each for ranking in rankings for each in ranking.near]
    gaps = np.unique([each.gap for each in near if 0 < each.gap < 1])
    values = np.unique([each.value for each in near])
    if not len(gaps):
        return gaps
    if len(gaps) * len(values) > _CROSSINGS or np.diff(values).min(initial=1.0) < NARROW:
        return None
    found = (values / (1 - gaps[:, None])).ravel()
    return np.concatenate([found - NARROW / 4, found + NARROW / 4])
