"""Constraints of a question over prices: by how much each entry misses each of them.

A gap is 0 where a constraint is met, the relative excess where it is not, and infinite where no
number measures it: an unknown value never passes a limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from advisor.recommend.entries import Entry, Prices
from advisor.recommend.option import latency_ms, memory_gb
from advisor.recommend.qualification import bounds
from advisor.recommend.query import Query
from advisor.recommend.records import Reason, Rejected, Shortfall
from advisor.recommend.warnings import figure
from catalog.evidence import OF_LABELS
from catalog.intervals import Array
from catalog.snapshot import Snapshot

_FAR = 1e6
"""Gap of a constraint that no number measures but that another candidate meets."""


class Verdict(NamedTuple):
    """Why an entry misses a constraint: the reason, a sentence, and what it has."""

    reason: Reason
    detail: str
    missing: Shortfall


class Constraint(NamedTuple):
    """One constraint: a gap for each entry, and why the entry at a place misses it."""

    gaps: Array
    verdict: Callable[[int], Verdict]


class Judged(NamedTuple):
    """Prices under a question.

    Attributes:
        bounds: What the floor is held against, by entry.
        limits: Largest gap of the constraints beside the floor, by entry.
        qualifies: Places that meet everything, least energy first.
    """

    prices: Prices
    constraints: list[Constraint]
    bounds: Array
    limits: Array
    qualifies: list[int]

    def verdicts(self, place: int) -> list[Verdict]:
        """Why an entry fails, in the order of the constraints."""
        return [each.verdict(place) for each in self.constraints if each.gaps[place] > 0]

    def nearest(self) -> int | None:
        """Place of the entry whose largest gap is least; ``None`` without one."""
        if not self.prices.entries:
            return None
        return int(np.argmin(np.max([each.gaps for each in self.constraints], axis=0)))

    def missed(self, place: int) -> tuple[Shortfall, ...]:
        """What an entry misses, by most first."""
        failed = [each for each in self.constraints if each.gaps[place] > 0]
        failed.sort(key=lambda each: -float(each.gaps[place]))
        return tuple(each.verdict(place).missing for each in failed)


def judged(prices: Prices, query: Query, speaks: str | None = None) -> Judged:
    """Holds prices against a question.

    Args:
        prices: Of its workload and machine.
        query: The question.
        speaks: A language that candidates must state.
    """
    entries = prices.entries
    low = bounds([entry.evidence for entry in entries], query.confidence)
    found = [_recommendable(entries), _known(entries, query), _labels(entries, query)]
    found.append(_keeps_up(entries))
    if query.max_latency_ms is not None:
        reasons: tuple[Reason, Reason] = ("latency-unknown", "latency-too-high")
        values = [latency_ms(entry)[0] for entry in entries]
        found.append(_at_most(values, query.max_latency_ms, "max_latency_ms", "ms", reasons))
    if query.max_memory_gb is not None:
        reasons = ("memory-unknown", "memory-too-high")
        values = [memory_gb(entry) for entry in entries]
        found.append(_at_most(values, query.max_memory_gb, "max_memory_gb", "GB", reasons))
    if query.licence is not None:
        found.append(_licence(entries, query.licence))
    if speaks is not None:
        found.append(_language(entries, speaks))
    limits = np.max([each.gaps for each in found], axis=0) if entries else np.zeros(0)
    found.append(_floor(entries, query, low))
    fits = (limits == 0) & (low >= query.min_acc)
    return Judged(prices, found, low, limits, [int(place) for place in np.flatnonzero(fits)])


def _gaps(values: Sequence[float]) -> Array:
    """Gaps as an array."""
    return np.array(values, dtype=float)


def _recommendable(entries: Sequence[Entry]) -> Constraint:
    """What evidence or memory rule out, whatever is asked."""

    def verdict(place: int) -> Verdict:
        reason, detail = entries[place].misfit or ("majority-class", "")
        return Verdict(reason, detail, Shortfall(constraint=reason, asked="none", has=detail))

    return Constraint(_gaps([math.inf if e.misfit else 0.0 for e in entries]), verdict)


def _known(entries: Sequence[Entry], query: Query) -> Constraint:
    """An accuracy that is not known reaches no floor."""

    def verdict(_place: int) -> Verdict:
        missing = Shortfall(constraint="min_acc", asked=query.min_acc, has=None)
        return Verdict("accuracy-unknown", f"no {query.metric} known on this workload", missing)

    return Constraint(_gaps([math.inf if e.evidence is None else 0.0 for e in entries]), verdict)


def _labels(entries: Sequence[Entry], query: Query) -> Constraint:
    """Whether as many labelled texts are there as the accuracy rests on."""
    allowed = OF_LABELS[query.labels]

    def verdict(place: int) -> Verdict:
        known = entries[place].evidence
        regime = known.regime if known else "unknown"
        missing = Shortfall(constraint="labels", asked=query.labels, has=regime)
        return Verdict("labels-too-few", f"known with labels ({regime}) only", missing)

    far = [0.0 if e.evidence is None or e.evidence.regime in allowed else _FAR for e in entries]
    return Constraint(_gaps(far), verdict)


def _keeps_up(entries: Sequence[Entry]) -> Constraint:
    """A machine that needs longer for a text than until the next one comes never gets there."""

    def verdict(place: int) -> Verdict:
        served = entries[place].served
        rate = served.rate_per_s if served else 0.0
        most = 1 / served.seconds.value if served and served.seconds.value else 0.0
        missing = Shortfall(constraint="rate", asked=rate, has=most)
        detail = f"keeps up with {figure(most)} texts per second, not {figure(rate)}"
        return Verdict("cannot-keep-up", detail, missing)

    busy = [0.0 if e.served is None else max(e.served.busy - 1, 0.0) for e in entries]
    return Constraint(_gaps(busy), verdict)


def _floor(entries: Sequence[Entry], query: Query, low: Array) -> Constraint:
    """The accuracy floor, held against the lower bounds."""

    def verdict(place: int) -> Verdict:
        bound, known = float(low[place]), entries[place].evidence
        if math.isnan(bound):
            missing = Shortfall(constraint="confidence", asked=query.confidence, has=None)
            detail = "the source states no test size, so there is no lower bound"
            return Verdict("accuracy-interval-absent", detail, missing)
        missing = Shortfall(constraint="min_acc", asked=query.min_acc, has=round(bound, 4))
        value = known.value if known else bound
        said = f"{query.metric} {value:.3f}"
        if query.confidence:
            said = f"{value:.3f}, at least {bound:.3f} ({query.confidence:.0%} sure)"
        return Verdict("accuracy-too-low", f"{said} < {query.min_acc:g}", missing)

    gaps = np.maximum(query.min_acc - low, 0.0) / max(query.min_acc, 1e-9)
    return Constraint(np.where(np.isnan(low), np.inf, gaps), verdict)


def _at_most(
    found: Sequence[float | None],
    most: float,
    name: str,
    unit: str,
    reasons: tuple[Reason, Reason],
) -> Constraint:
    """An upper limit."""
    values = _gaps([math.nan if value is None else value for value in found])

    def verdict(place: int) -> Verdict:
        value = float(values[place])
        if math.isnan(value):
            missing = Shortfall(constraint=name, asked=most, has=None)
            return Verdict(reasons[0], f"{name.removeprefix('max_')} is not known", missing)
        missing = Shortfall(constraint=name, asked=most, has=value)
        return Verdict(reasons[1], f"{figure(value)} {unit} > {figure(most)} {unit}", missing)

    excess = np.maximum(values / most - 1, 0.0)
    return Constraint(np.where(np.isnan(values), np.inf, excess), verdict)


def _licence(entries: Sequence[Entry], licence: str) -> Constraint:
    """The candidate's licence, in any spelling of case."""
    owned = [entry.candidate.licence for entry in entries]
    wanted = licence.casefold()
    far = [0.0 if has is not None and has.casefold() == wanted else _FAR for has in owned]

    def verdict(place: int) -> Verdict:
        missing = Shortfall(constraint="licence", asked=licence, has=owned[place])
        return Verdict("licence-differs", f"licence {owned[place] or 'unknown'}", missing)

    return Constraint(_gaps(far), verdict)


def _language(entries: Sequence[Entry], language: str) -> Constraint:
    """Whether a candidate states a language, or is trained on texts of the asker's."""
    known = [entry.candidate.languages for entry in entries]
    far = [0.0 if language in each or "mul" in each else _FAR for each in known]

    def verdict(place: int) -> Verdict:
        has = ", ".join(known[place][:5]) or "no language stated"
        missing = Shortfall(constraint="language", asked=language, has=has)
        return Verdict("language-differs", f"made for {has}", missing)

    return Constraint(_gaps(far), verdict)


class Limits(NamedTuple):
    """Entries of the lists of an answer, which share the limit of a question."""

    alternatives: int
    front: int
    rejected: int

    @classmethod
    def of(cls, limit: int) -> Limits:
        """A fifth alternatives, three in twenty on the front, half rejections."""
        alternatives, front = max(1, limit // 5), max(1, limit * 3 // 20)
        return cls(alternatives, front, max(1, limit // 2))


def listed_of(others: Sequence[Entry], most: int) -> list[Entry]:
    """Alternatives: the cheapest, and the cheapest one of each further family, cheapest first."""
    found: dict[int, Entry] = {place: others[place] for place in range(min(most // 2, len(others)))}
    families = {each.candidate.family for each in found.values()}
    for place, each in enumerate(others):
        if len(found) < most and each.candidate.family not in families:
            found[place] = each
            families.add(each.candidate.family)
    for place, each in enumerate(others[:most]):
        if len(found) < most:
            found.setdefault(place, each)
    return [found[place] for place in sorted(found)]


def front_of(found: Judged) -> list[Entry]:
    """Entries that meet all but the floor and that no other beats, cheapest first."""
    best, kept = -1.0, []
    for place in np.flatnonzero(found.limits == 0):
        each = found.prices.entries[place]
        if each.evidence is not None and each.evidence.value > best:
            kept.append(each)
            best = each.evidence.value
    return kept


def rejections(
    found: Judged, listed: set[str], limit: int, snapshot: Snapshot, named: str | None = None
) -> tuple[tuple[Rejected, ...], int]:
    """Why every other candidate lost, and how many more did.

    The majority class first, then the `named` one, what the suite can run or somebody measured, the
    first of each family, the others by energy.
    """
    prices = found.prices
    qualifies = set(found.qualifies)
    entries = _majority(snapshot, prices.key.workload)
    seen = {*listed, *(each.candidate for each in entries)}
    places: dict[str, list[int]] = {}
    for place, entry in enumerate(prices.entries):
        if entry.candidate.name not in seen:
            places.setdefault(entry.candidate.name, []).append(place)
    families: set[str] = set()
    order: list[tuple[bool, bool, bool, bool, str]] = []
    for name, own in places.items():
        entry = prices.entries[own[0]]
        known = entry.candidate.runnable or entry.row is not None
        order.append(
            (
                *(name != named, not known, entry.misfit is not None),
                *(entry.candidate.family in families, name),
            )
        )
        families.add(entry.candidate.family)
    names = [name for *_, name in sorted(order, key=lambda each: each[:-1])]
    total = len(names) + len(prices.absent)
    if named is not None and named not in {*names, *listed, *(e.candidate for e in prices.absent)}:
        detail = f"no accuracy known on {prices.key.workload}"
        unknown: Reason = "accuracy-unknown"
        entries.append(
            Rejected(candidate=named, device=None, reason=unknown, detail=detail, setups=0)
        )
    most = limit - len(entries)
    for name in names[:most]:
        own = places[name]
        place = next((p for p in own if p in qualifies), own[0])
        entries.append(_lost(found, place, len(own)))
    absent = sorted(prices.absent, key=lambda each: each.candidate != named)
    for each in absent[: max(0, most - len(names))]:
        entries.append(
            Rejected(
                candidate=each.candidate,
                device=each.device,
                reason=each.reason,
                detail=each.detail,
                setups=0,
            )
        )
    return tuple(entries), max(0, total - most)


def _lost(found: Judged, place: int, setups: int) -> Rejected:
    """Why one candidate lost."""
    entry = found.prices.entries[place]
    reason: Reason = "more-energy"
    if place in found.qualifies:
        detail = _dearer_than(entry, found.prices.entries[found.qualifies[0]].joules)
    else:
        reason, detail, _ = found.verdicts(place)[0]
    return Rejected(
        candidate=entry.candidate.name,
        device=entry.device.name,
        reason=reason,
        detail=detail,
        setups=setups,
    )


def _dearer_than(entry: Entry, chosen: float) -> str:
    """How much more a qualifying entry needs than the chosen one, in words."""
    times = f", {figure(entry.joules / chosen)} times the chosen one" if chosen else ""
    return f"{figure(entry.joules)} J{times}"


def _majority(snapshot: Snapshot, workload: str) -> list[Rejected]:
    """The floor that everything must beat: always answering the most frequent class."""
    facts = snapshot.workloads.get(workload)
    if facts is None or facts.majority_share is None:
        return []
    detail = f"always the most frequent class: accuracy {facts.majority_share:.3f}"
    return [
        Rejected(
            candidate="majority-class",
            device=None,
            reason="below-majority-share",
            detail=f"{detail} ({facts.majority_basis})",
            setups=0,
        )
    ]
