"""Views: the rankings that questions which differ in floor and limit alone have in common."""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Sequence

import msgspec
import numpy as np

from advisor.recommend.answer_json import Place
from advisor.recommend.ranking import NARROW, Ranking, crossings
from catalog.hardware.machines import ResolvedDevice

NOTABLE = 1.5
"""Times less energy from which an option of another group is pointed out."""


class Ranked(msgspec.Struct, frozen=True):
    """The rankings of one workload: of the asked scenario, and of the others apart."""

    workload: str
    inside: Ranking
    apart: tuple[Ranking, ...]

    def lists(self) -> tuple[Ranking, ...]:
        """All of them, as another workload lists them."""
        return (self.inside, *self.apart)


class View(msgspec.Struct, frozen=True, eq=False, dict=True):
    """What questions that differ in floor and limit alone have in common.

    Attributes:
        default: The preferred workload.
        others: The other workloads of the task, in their own order.
        by_reach: The same, the one with the best accuracy first: an order no floor changes.
        told: Whether answers to test items are known, so that cascades may win at any floor.
        hardware: What the named device or cloud instance is; ``None`` where none was named.
        longest: Place among `turns` -> entries of the longest list there, once known.
    """

    default: Ranked
    others: tuple[Ranked, ...]
    by_reach: tuple[Ranked, ...]
    told: bool
    longest: dict[int, int]
    hardware: ResolvedDevice | None = None

    @functools.cached_property
    def turns(self) -> list[float] | None:
        """Floors, ascending, between which an answer is the same but for the floor.

        Not where two of them are narrowly apart; ``None`` where they cannot be told.
        """
        every = (self.default, *self.others)
        crossed = crossings([each.inside for each in every])
        if crossed is None or self.told:
            return None
        found = [crossed, *(each.inside.edges() for each in every)]
        found += [ranking.turns() for each in every for ranking in each.lists()]
        turns: list[float] = np.unique(np.concatenate(found)).tolist()
        return turns

    def used(self, floor: float, *, named: bool) -> Ranked:
        """The first workload where something qualifies, else the one that misses by least.

        A device that ran the default workload answers for itself: setups that never ran on it
        are no reason to leave that workload for another one.
        """
        own = self.default.inside
        if named or own.best >= floor:
            return self.default
        calibrated = bool(own.pool.ran_there.any())
        for ranked in self.by_reach:
            best = ranked.inside.best_there if calibrated else ranked.inside.best
            if best >= floor:
                return ranked
        ours = own.pool.reach >= 0
        known = [r for r in (self.default, *self.by_reach) if r.inside.pool.reach >= 0]

        def miss(ranked: Ranked) -> tuple[float, float]:
            there = calibrated and ours and ranked is not self.default
            return ranked.inside.miss(floor, ran_there=there)

        return min(known, key=miss, default=self.default)

    def span(self, floor: float) -> int | None:
        """Between which turns a floor lies; ``None`` where that tells nothing."""
        if self.turns is None:
            return None
        at = bisect_left(self.turns, floor)
        if 0 < at < len(self.turns) and self.turns[at] - self.turns[at - 1] < NARROW:
            return None
        return at

    def apart(self, used: Ranked, floor: float, most: int, chosen: float | None) -> list[Place]:
        """The first `most` qualifying offers that cannot be compared with those of `used`.

        First of all comes one that needs notably less than the chosen one's joules, where there
        is: the least of the same workload, else of another.
        """
        others = [ranked for ranked in (self.default, *self.others) if ranked is not used]
        elsewhere = [ranking for ranked in others for ranking in ranked.lists()]
        found = _less(used.apart, floor, chosen) or _less(elsewhere, floor, chosen)
        for ranking in (*used.apart, *elsewhere):
            if len(found) >= most:
                break
            pool = ranking.pool
            places = ((pool, at) for at in ranking.qualifying(floor, most))
            found += [place for place in places if place not in found[:1]]
        return found[:most]


def _less(rankings: Sequence[Ranking], floor: float, chosen: float | None) -> list[Place]:
    """The offer of least energy where it needs notably less than the chosen one."""
    if chosen is None:
        return []
    heads = [(r.pool, at) for r in rankings for at in r.qualifying(floor, 1)]
    least = min(heads, key=lambda place: place[0].offers[place[1]].joules, default=None)
    if least is None or least[0].offers[least[1]].joules * NOTABLE > chosen:
        return []
    return [least]
