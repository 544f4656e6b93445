"""The decision: the candidate that meets the floor for the least energy, and why others lost.

One answer ranks everything that qualifies on one workload, one machine, one scenario and one scope.
Raising the floor never lowers the chosen energy: the qualifying set only shrinks. A published bound
ranks at its high end.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from advisor.estimator.estimator import Estimator
from advisor.recommend.cascades import cascades, pairs
from advisor.recommend.constraints import Judged, front_of, judged
from advisor.recommend.entries import Entry, Key, Prices
from advisor.recommend.machine import Machine, resolve
from advisor.recommend.option import memory_gb, option
from advisor.recommend.paired import comparisons
from advisor.recommend.pricing import prices, rows_of, stated, works_of
from advisor.recommend.qualification import About, about, accuracy_basis, bundled_predictor
from advisor.recommend.query import ANY_BACKEND, BadQuestionError, Query
from advisor.recommend.records import (
    BestDevice,
    Cascade,
    Caution,
    Comparison,
    Group,
    Option,
    Recommendation,
    Shortfall,
    Variant,
)
from advisor.recommend.request_rate import Waiting, at_rate, rate_of
from advisor.recommend.suggestions import (
    Pending,
    best_devices,
    pending,
    suggestions,
    unjudged,
    usual_tools,
)
from advisor.recommend.variants import (
    DEARER,
    Writer,
    dearer,
    lists,
    sentence,
    ties,
    variants,
)
from advisor.recommend.warnings import (
    CAUTIONS,
    about_accuracy,
    about_machine,
    about_stated,
    about_task,
    about_tie,
    figure,
)
from catalog.evidence import OF_LABELS, Metric
from catalog.records import Device
from catalog.snapshot import Snapshot

if TYPE_CHECKING:
    from advisor.accuracy.predictor import AccuracyPredictor

KEPT_PRICES = 500
"""Priced keys kept; the least recently asked go first."""
KEPT_DEVICES = 2000
TIED_LOOK = 40
"""Cheapest qualifying entries that are looked at for ties."""


def recommend(
    snapshot: Snapshot,
    estimator: Estimator,
    query: Query,
    setting: str | Device | None = None,
) -> Recommendation:
    """Answers one question; for many, keep an `Advisor`.

    Raises:
        UnknownNameError: Task, workload or device is not in the catalog.
        BadQuestionError: A value is out of its range, or a workload belongs to another task.
    """
    return Advisor(snapshot, estimator, setting).recommend(query)


class Asked(NamedTuple):
    """A question with its prices under it, and which workload they are about."""

    query: Query
    about: About
    judged: Judged

    @property
    def entries(self) -> list[Entry]:
        """All entries, least energy first."""
        return self.judged.prices.entries

    @property
    def qualified(self) -> list[Entry]:
        """Those that qualify, least energy first."""
        return [self.entries[place] for place in self.judged.qualifies]


class Advisor:
    """Answers questions from one snapshot and one estimator; prices are kept.

    Safe to share between threads: two that price the same at once come to the same.

    Args:
        snapshot: The catalog.
        estimator: Informed of it.
        setting: The machine where a question names none, as of ``JOULEWISE_DEVICE``.
        predictor: Gives the accuracy model, where accuracies are to be estimated.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        estimator: Estimator,
        setting: str | Device | None = None,
        predictor: Callable[[], AccuracyPredictor] = bundled_predictor,
    ) -> None:
        self.snapshot, self.estimator, self.setting = snapshot, estimator, setting
        self.predictor = predictor
        me: Advisor = weakref.proxy(self)  # what it keeps goes with it, before any collection
        self.machine = functools.lru_cache(KEPT_DEVICES)(lambda asked: me._machine(asked))
        self.prices = functools.lru_cache(KEPT_PRICES)(lambda key: me._prices(key))
        self._devices = functools.lru_cache(KEPT_DEVICES)(
            lambda candidate, need, choice, key: best_devices(
                candidate, need, choice, key, me.snapshot, me.estimator
            )
        )
        self._usual = functools.lru_cache(KEPT_PRICES)(
            lambda key: usual_tools(key, me.snapshot, me.estimator)
        )
        self._unjudged = functools.lru_cache(KEPT_PRICES)(
            lambda key: unjudged(key, me.snapshot, me.estimator)
        )

    def _machine(self, asked: str | Device | None) -> Machine:
        """The machine a question is about."""
        return resolve(self.snapshot, asked, self.setting)

    def _prices(self, key: Key) -> Prices:
        """Prices of a key; at a request rate also those derived from work."""
        found = prices(key, self.snapshot, self.estimator, self.predictor)
        if key.rate_per_s is None or key.basis == "measured":
            return found
        work = [self.prices(each) for each in works_of(key)]
        return at_rate(key, found, work, Waiting(key, self.snapshot, self.estimator))

    def key(self, query: Query, workload: str) -> Key:
        """What the prices of a question depend on."""
        rate, basis = None, accuracy_basis(query, workload)
        if query.scenario == "server":
            rows = (row for own in rows_of(self.snapshot, workload).values() for row in own)
            rate = rate_of(rows, query.rate)
        return Key(
            workload=workload,
            machine=self.machine(query.device),
            scenario=query.scenario,
            scope=query.scope,
            rate_per_s=rate,
            backend=query.backend,
            precision=query.precision,
            batch_size=query.batch_size,
            basis=query.basis,
            labels=query.labels,
            metric=query.metric,
            measured_accuracy=basis == "measured",
            estimated_accuracy=basis == "any",
            stated=stated(query, self.snapshot),
        )

    def asked(self, query: Query) -> Asked:
        """A question with its prices, judged; raises what `recommend` does."""
        query.check()
        found = about(self.snapshot, query)
        basis = accuracy_basis(query, found.workload)
        query = msgspec.structs.replace(query, accuracy_basis=basis)
        priced = self.prices(self.key(query, found.workload))
        return Asked(query, found, judged(priced, query, found.speaks))

    def setups(self, query: Query, candidate: str) -> tuple[list[Entry], Key]:
        """Every price of one candidate, whatever it qualifies for, least energy first.

        Raises what `recommend` does.
        """
        query.check()
        key = self.key(query, about(self.snapshot, query).workload)
        return self.prices(msgspec.structs.replace(key, candidate=candidate)).entries, key

    def option(self, entry: Entry, key: Key) -> Option:
        """An entry as an option, with all digits."""
        return option(entry, key, self.snapshot, exact=True)

    def pending(self, query: Query, k: int) -> Pending:
        """Which candidates to measure on the asked machine; see `suggestions.pending`.

        Raises:
            BadQuestionError: No device is asked about, or what `recommend` raises.
        """
        if query.device is None:
            raise BadQuestionError("device", None, "name the machine that is to be measured")
        return pending(self.asked(query).judged, self.estimator, k)

    def encode(self, query: Query) -> bytes:
        """The answer as JSON; raises what `recommend` does."""
        return msgspec.json.encode(self.recommend(query))

    def recommend(self, query: Query) -> Recommendation:
        """The answer.

        Raises:
            UnknownNameError: Task, workload or device is not in the catalog.
            BadQuestionError: A value is out of its range, or a workload belongs to another task.
        """
        asked = self.asked(query)
        query, key, qualified = asked.query, asked.judged.prices.key, asked.qualified
        better = asked.about.better_known
        chosen = qualified[0] if qualified else None
        found = lists(asked.judged, query, self.snapshot)
        tied = ties(asked.judged.prices, qualified[:TIED_LOOK], self.estimator)
        write = Writer(asked.judged.prices, chosen, self.snapshot, self.estimator)
        first = write.options([chosen])[0] if chosen is not None else None
        compared, unlike = self._compared(first, asked, write)
        return Recommendation(
            query=query,
            group=Group(
                workload=key.workload,
                scenario=key.scenario,
                scope=key.scope,
                rate_per_s=key.rate_per_s,
            ),
            machine=key.machine.priced(),
            chosen=first,
            chosen_by_point=self._by_point(asked, write),
            best_devices=self._best_devices(chosen, key),
            alternatives=write.options(found.alternatives, listed=True),
            front=write.options(found.front, beside=False, listed=True),
            variants=self._variants(asked),
            rejected=found.rejected,
            rejected_more=found.rejected_more,
            next=found.next,
            nearest_miss=None if qualified else self._nearest(asked, write),
            suggestions=suggestions(
                asked.judged, query, self.snapshot, tied, self._usual, self._unjudged, better
            ),
            warnings=self._cautions(asked, first, tied, unlike),
            catalog_digest=self.snapshot.digest,
            estimator_version=self.estimator.version,
            comparisons=compared[: query.limit],
            cascades=self._cascades(asked, write, first),
        )

    def _best_devices(self, chosen: Entry | None, key: Key) -> tuple[BestDevice, ...]:
        """Where the chosen entry needs least; not at a rate, at which machines idle too."""
        if chosen is None or key.rate_per_s is not None:
            return ()
        need = round(memory_gb(chosen) or 0.0, 3)
        return self._devices(chosen.candidate, need, chosen.choice, key)

    def _nearest(self, asked: Asked, write: Writer) -> Option | None:
        """The nearest miss; where nothing has the asked metric, by the other one.

        Without any accuracy on the workload it is what the suite would measure first.
        """
        if (found := write.nearest(asked.judged)) is not None:
            return found
        query = asked.query
        metric: Metric = "macro_f1" if query.metric == "accuracy" else "accuracy"
        by_metric = self.asked(msgspec.structs.replace(query, metric=metric)).judged
        missing = Shortfall(constraint="metric", asked=query.metric, has=metric)
        write = Writer(by_metric.prices, None, self.snapshot, self.estimator)
        if (found := write.nearest(by_metric, missing)) is not None:
            return found
        key = asked.judged.prices.key
        for each in self._unjudged(key):
            own = self.prices(msgspec.structs.replace(key, candidate=each.candidate))
            write = Writer(own, None, self.snapshot, self.estimator)
            if own.entries:
                return write.nearest(judged(own, query, asked.about.speaks))
        return None

    def _by_point(self, asked: Asked, write: Writer) -> Option | None:
        """What the accuracies as they are would choose, where that differs."""
        query = msgspec.structs.replace(asked.query, confidence=0.0)
        other = judged(asked.judged.prices, query, asked.about.speaks).qualifies
        if not other or other[:1] == asked.judged.qualifies[:1]:
            return None
        return write.options([asked.entries[other[0]]], listed=True)[0]

    def _variants(self, asked: Asked) -> tuple[Variant, ...]:
        """The chosen candidate with other backends and numeric formats."""
        if not asked.judged.qualifies:
            return ()
        chosen, key = asked.qualified[0], asked.judged.prices.key
        wide = msgspec.structs.replace(
            key, candidate=chosen.candidate.name, backend=ANY_BACKEND, precision=None
        )
        found = judged(self.prices(wide), asked.query, asked.about.speaks)
        return variants(found, chosen, self.estimator)

    def _compared(
        self, chosen: Option | None, asked: Asked, write: Writer
    ) -> tuple[tuple[Comparison, ...], tuple[str, ...]]:
        """What answers to the same test items say about the chosen option and the others."""
        if chosen is None or not self.snapshot.predictions:
            return (), ()
        predicted, workload = self.snapshot.predicted, chosen.workload
        others = [*asked.qualified[1:], *front_of(asked.judged)]
        told = [each for each in others if (workload, each.candidate.name) in predicted]
        return comparisons(self.snapshot, chosen, write.options(told))

    def _cascades(self, asked: Asked, write: Writer, chosen: Option | None) -> tuple[Cascade, ...]:
        """Pairs that would meet the floor with less energy than the chosen option."""
        if not self.snapshot.predictions:  # the usual case of a bundled catalog
            return ()
        key, predicted = asked.judged.prices.key, self.snapshot.predicted
        passing = [
            asked.entries[place]
            for place in np.flatnonzero(asked.judged.limits == 0)
            if (key.workload, asked.entries[place].candidate.name) in predicted
        ]
        return cascades(pairs(self.snapshot, write.options(passing)), asked.query, chosen)

    def _cautions(
        self,
        asked: Asked,
        chosen: Option | None,
        tied: Sequence[Entry],
        unlike: Sequence[str],
    ) -> tuple[Caution, ...]:
        """What a reader must know before trusting the answer, by code."""
        key, query = asked.judged.prices.key, asked.query
        n_known = len(
            {
                each.candidate.name
                for each in asked.entries
                if each.evidence
                and each.evidence.chance is None
                and each.evidence.regime in OF_LABELS[query.labels]
            }
        )
        codes = about_task(
            self.snapshot, key.workload, query.min_acc, n_known, asked.about.better_known
        )
        codes |= about_machine(key.machine)
        if asked.about.speaks is not None:
            codes["accuracy-other-language"] = CAUTIONS["accuracy-other-language"]
        if query.metric == "macro_f1":
            codes["accuracy-interval-absent"] = CAUTIONS["accuracy-interval-absent"]
        if key.stated is not None:
            codes["runtime-stated"] = about_stated(key, asked.entries)
        if query.rate is None and key.rate_per_s is not None:
            codes["rate-assumed"] = (
                f"{figure(key.rate_per_s or 0)} texts per second; " + (CAUTIONS["rate-assumed"])
            )
        if unlike:
            codes["test-sets-differ"] = f"{CAUTIONS['test-sets-differ']}: {', '.join(unlike[:5])}"
        if raised := self._raised(asked):
            codes[DEARER] = raised
        if chosen is not None:
            codes |= {code: CAUTIONS[code] for code in chosen.warnings if code != DEARER}
            codes |= about_accuracy(self.snapshot, chosen, query.min_acc)
            known = [each.evidence for each in asked.qualified if each.evidence]
            splits = {each.split for each in known if each.chance is None}
            if len(splits) > 1:
                codes["splits-differ"] = CAUTIONS["splits-differ"]
            if (fewest := chosen.n_devices_at_least or 1) > 1:
                codes["devices-unstated"] += (
                    f"; its weights need at least {fewest} {chosen.device}, so one does not do"
                )
        if len(tied) > 1:
            codes["tie"] = about_tie([(e.candidate.name, e.measured) for e in tied])
        return tuple(Caution(code=code, message=text) for code, text in sorted(codes.items()))

    def _raised(self, asked: Asked) -> str:
        """Variants on this machine that were measured to raise energy, in words; else empty."""
        key = asked.judged.prices.key
        rows = rows_of(self.snapshot, key.workload)
        names = {each.candidate.name for each in asked.qualified[:TIED_LOOK]}
        here = [
            row
            for name in sorted(names)
            for row in rows.get(name, ())
            if row.device in (key.machine.device.name, key.machine.host.name)
        ]
        found = dearer(here, self.snapshot, key.scope)
        return sentence(found) if found else ""
