"""The decision: which option meets the floor for the least energy, and why the others lost.

Ranking happens inside one comparability group (workload, scenario, scope). Within it, raising
the accuracy floor never lowers the chosen energy: the qualifying set only shrinks. A published
bound ranks at its high end.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Sequence

import msgspec

from advisor.estimator.estimator import Estimator
from advisor.recommend.answer_json import (
    Encoded,
    Place,
    Records,
    Templates,
    Writer,
    filled,
    template,
)
from advisor.recommend.cascades import Pair, cascades, pairs
from advisor.recommend.constraints import Limits
from advisor.recommend.group import COUNTS_AS, Asked, Pool, arrivals, rate_of, rows_of
from advisor.recommend.options import Offer
from advisor.recommend.paired import comparisons
from advisor.recommend.query import AskedScenario, BadQuestionError, Query
from advisor.recommend.ranking import Ranking
from advisor.recommend.records import Comparison, Group, Missing, Option, Recommendation
from advisor.recommend.views import Ranked, View
from advisor.recommend.warnings import cautions, compared_joules
from catalog.records import Device
from catalog.snapshot import Snapshot

KEPT_POOLS = 2000
"""Pools kept; the least recently asked go first."""
KEPT_BYTES = 100_000_000
"""Answers kept with their floor left open."""
KEPT_VIEWS = 4000
"""Questions of one kind, whatever their floor, whose rankings are kept."""
_WORK: tuple[AskedScenario, ...] = ("single", "offline")
"""Scenarios from which energy at a request rate is worked out."""


def recommend(snapshot: Snapshot, estimator: Estimator, query: Query) -> Recommendation:
    """Answers one question; for many, keep an `Advisor`.

    Raises:
        UnknownNameError: Task, workload or device is not in the catalog.
        BadQuestionError: A value is out of its range, or a workload belongs to another task.
    """
    return Advisor(snapshot, estimator).recommend(query)


def _workloads(snapshot: Snapshot, query: Query) -> list[str]:
    """The workloads that may answer, the preferred one first."""
    task = snapshot.task(query.task)
    names = list(snapshot.tasks()[task])
    if query.language is not None and (own := snapshot.reference(task, query.language)):
        names.sort(key=lambda name: name != own.workload)
    if query.workload is not None:
        workload = snapshot.workload(query.workload)
        if workload.task != task:
            raise BadQuestionError("workload", query.workload, f"allowed for {task}: {_few(names)}")
        names = [workload.name, *(name for name in names if name != workload.name)]
    if query.language is not None:
        spoken = [n for n in names if snapshot.workloads[n].language == query.language]
        if not spoken or (query.workload is not None and names[0] not in spoken):
            known = sorted({snapshot.workloads[n].language or "not stated" for n in names})
            raise BadQuestionError(
                "language", query.language, f"allowed for {query.task}: {', '.join(known)}"
            )
        names = spoken
    first, *others = names
    return [first, *(name for name in others if name in snapshot.by_workload)]


def _few(names: Sequence[str]) -> str:
    """The first names of a list and how many there are."""
    more = f" ... ({len(names)} in all)" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more


class Advisor:
    """Answers questions from one snapshot and one estimator; what it works out it keeps.

    Safe to share between threads: two that work out the same at once come to the same.
    """

    def __init__(self, snapshot: Snapshot, estimator: Estimator) -> None:
        self.snapshot, self.estimator = snapshot, estimator
        self._rows = functools.cache(functools.partial(rows_of, snapshot))
        me: Advisor = weakref.proxy(self)  # what it keeps goes with it, before any collection
        self._pool = functools.lru_cache(KEPT_POOLS)(lambda asked: me._make_pool(asked))
        self._view = functools.lru_cache(KEPT_VIEWS)(lambda query: me._make_view(query))
        self._templates = Templates(KEPT_BYTES)
        self._pairs = functools.lru_cache(KEPT_VIEWS)(lambda ranking: me._make_pairs(ranking))

    def recommend(self, query: Query) -> Recommendation:
        """The answer as a record.

        Raises:
            UnknownNameError: Task, workload or device is not in the catalog.
            BadQuestionError: A value is out of its range, or a workload belongs to another task.
        """
        query.check()
        return self._answer(query, self._view_of(query), Records(query.min_acc))

    def contest(self, query: Query) -> tuple[Pool, list[int]]:
        """The pool an answer comes from and the places of all that qualify, cheapest first.

        Raises what `recommend` does.
        """
        query.check()
        here = self._view_of(query).used(query.min_acc, named=query.workload is not None).inside
        return here.pool, here.qualifying(query.min_acc, len(here.pool.offers))

    def encode(self, query: Query) -> bytes:
        """The answer as JSON; raises what `recommend` does.

        Between two accuracies of the catalog all floors have one answer but for the floor itself,
        so that it is put together once for each such span.
        """
        query.check()
        view = self._view_of(query)
        place = view.span(query.min_acc)
        if place is None:
            return filled(template(self._answer(query, view, Encoded())), query)
        span, most = (view, place), view.longest.get(place, sys.maxsize)
        form = self._templates.get((span, min(query.limit, most)))
        if form is None:
            write = Encoded()
            form = template(self._answer(query, view, write))
            if write.longest < query.limit:
                most = view.longest[place] = write.longest
            self._templates.keep((span, min(query.limit, most)), form)
        return filled(form, query)

    def _view_of(self, query: Query) -> View:
        """What a question has in common with those that differ in floor and limit."""
        return self._view(msgspec.structs.replace(query, min_acc=0.0, limit=1))

    def pool(self, asked: Asked) -> Pool:
        """The offers of a group, made once."""
        return self._pool(asked)

    def _make_pool(self, asked: Asked) -> Pool:
        """The offers of a group."""
        work: list[Offer] = []
        if asked.worked_out:
            for scenario in _WORK:
                part = msgspec.structs.replace(
                    asked, scenario=scenario, rate_per_s=None, worked_out=False
                )
                work += self._pool(part).offers
        return Pool(asked, self._rows(asked.workload), self.snapshot, self.estimator, work)

    def _make_view(self, query: Query) -> View:
        """Rankings of a question without floor and limit."""
        names = _workloads(self.snapshot, query)
        named = query.device
        hardware = self.snapshot.machines.find(named) if isinstance(named, str) else None
        device = named if isinstance(named, Device) else None
        if hardware is not None:
            device = hardware.device
        limits = Limits(
            confidence=query.confidence,
            max_latency_ms=query.max_latency_ms,
            max_memory_gb=query.max_memory_gb,
            licence=query.licence,
        )
        default, *others = (
            self._ranked(query, name, device, limits, published=name == names[0]) for name in names
        )
        by_reach = sorted(others, key=lambda ranked: -ranked.inside.pool.reach)
        told = any(workload in names for workload, _ in self.snapshot.predicted)
        return View(default, tuple(others), tuple(by_reach), told, {}, hardware)

    def _ranked(
        self,
        query: Query,
        workload: str,
        device: Device | None,
        limits: Limits,
        *,
        published: bool,
    ) -> Ranked:
        """Rankings of one workload; in the asked scenario with what is `published` about it."""
        rows = self._rows(workload)
        rate = rate_of(rows, query.scenario, query.rate)
        asked = Asked(
            workload=workload,
            scenario=query.scenario,
            scope=query.scope,
            basis=query.basis,
            batch_size=query.batch_size,
            device=device,
            rate_per_s=rate,
            worked_out=query.rate is not None and query.basis == "any",
            published=published,
        )
        others = [group for group in arrivals(rows) if group != (query.scenario, rate)]
        apart = [
            Ranking(
                self._pool(
                    msgspec.structs.replace(
                        asked,
                        scenario=scenario,
                        rate_per_s=each,
                        worked_out=False,
                        published=False,
                    )
                ),
                limits,
            )
            for scenario, each in others
        ]
        return Ranked(workload, Ranking(self._pool(asked), limits), tuple(apart))

    def _make_pairs(self, ranking: Ranking) -> tuple[Pair, ...]:
        """What can be put into cascades under some limits."""
        pool, predicted = ranking.pool, self.snapshot.predicted
        names = [(pool.asked.workload, name) in predicted for name in pool.candidates]
        members = [place for place in ranking.passing if names[pool.candidate[place]]]
        return pairs(self.snapshot, map(pool.option, members))

    def _compared(
        self, here: Ranking, floor: float
    ) -> tuple[Option | None, tuple[Comparison, ...], tuple[str, ...]]:
        """The chosen option, and what answers to the same test items say about the others."""
        first, *others = here.winners(floor).places or (None,)
        if first is None:
            return None, (), ()
        chosen = here.pool.option(first)
        if not self.snapshot.predictions:
            return chosen, (), ()
        pool, predicted = here.pool, self.snapshot.predicted
        answered = [(pool.asked.workload, name) in predicted for name in pool.candidates]
        places = [*others, *here.front, *here.qualifying(floor, len(pool.offers))]
        told = (place for place in dict.fromkeys(places) if answered[pool.candidate[place]])
        return chosen, *comparisons(self.snapshot, chosen, map(pool.option, told))

    def _answer(self, query: Query, view: View, write: Writer) -> Recommendation:
        """Finds what qualifies and writes it down."""
        floor, limit = query.min_acc, query.limit
        used = view.used(floor, named=query.workload is not None)
        here, pool = used.inside, used.inside.pool
        places = here.qualifying(floor, limit + 1)
        least = compared_joules(query, here)
        apart = view.apart(used, floor, limit, least)
        listed = [(pool, at) for at in dict.fromkeys([*places, *here.front[:limit]])]
        entries = here.outbid(floor, limit)
        if len(entries) < limit:
            entries = [*entries, *here.lost(floor)][:limit]
        chosen, compared, unlike = self._compared(here, floor)
        return Recommendation(
            query=write.query(query),
            group=Group(
                workload=used.workload,
                scenario=query.scenario,
                scope=query.scope,
                rate_per_s=pool.asked.rate_per_s,
            ),
            chosen=write.option((pool, places[0])) if places else None,
            alternatives=write.options((pool, at) for at in places[1:]),
            front=write.options((pool, at) for at in here.front[:limit]),
            other_groups=write.options(apart),
            rejected=write.rejected(entries),
            nearest_miss=None if places else _nearest(query, here, apart, write),
            warnings=cautions(self.snapshot, query, view, used, apart, listed, unlike),
            catalog_digest=self.snapshot.digest,
            estimator_version=self.estimator.version,
            comparisons=compared[:limit],
            cascades=cascades(self._pairs(here), query, chosen),
        )


def _nearest(query: Query, here: Ranking, apart: Sequence[Place], write: Writer) -> Option | None:
    """The offer that misses by least, with what it misses; else the best one apart."""
    found = here.nearest(query.min_acc)
    if found is not None:
        return write.option((here.pool, found[0]), found[1])
    if not apart:
        return None
    row = apart[0][0].offers[apart[0][1]].row
    missing = Missing(constraint="scenario", asked=query.scenario, has=row.scenario)
    if row.scenario in COUNTS_AS[query.scenario] and query.rate not in (None, row.rate_per_s):
        missing = Missing(constraint="rate", asked=query.rate, has=row.rate_per_s)
    elif row.scenario in COUNTS_AS[query.scenario]:
        asked = query.workload or query.task
        missing = Missing(constraint="workload", asked=asked, has=row.workload)
    return write.option(apart[0], missing)
