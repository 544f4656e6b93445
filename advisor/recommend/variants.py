"""Ratios of two energies with their interval, ties, variants of the chosen one, and its lists.

Estimates for one machine err together, so the interval of a ratio is narrower than its parts tell:
the estimator's covariance of log joules says by how much.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from advisor.estimator.estimator import Estimator
from advisor.estimator.setup import precision_bits
from advisor.recommend.constraints import Judged, Limits, front_of, listed_of, rejections
from advisor.recommend.entries import (
    NOISE,
    Z90,
    Entry,
    Prices,
    Served,
    measured_energy,
    ranked,
)
from advisor.recommend.option import option
from advisor.recommend.qualification import rounded
from advisor.recommend.query import BadQuestionError, Query
from advisor.recommend.records import (
    Factor,
    Missing,
    Option,
    Rejected,
    Shortfall,
    Variant,
    WarningCode,
)
from advisor.recommend.warnings import figure
from catalog.records import Measurement, Scope
from catalog.registry.families import CLASSICAL
from catalog.snapshot import Snapshot

DEARER: WarningCode = "variant-raises-energy"
_NAMED = 5
"""Variants that a sentence names."""
_DIGITS = 8
"""Digits of the catalog's digest that a cursor holds."""


def ratios(
    prices: Prices, first: Entry, others: Sequence[Entry], estimator: Estimator
) -> list[tuple[float, float]]:
    """Ends of the 90 % interval of each of `others`' energies over the first one's.

    Where both are estimates for one chip, what they share cancels; else their errors add. At a
    request rate the idle watts that both pay are the same ones: what differs is their work.

    Args:
        prices: That hold all of them.
        first: The chosen entry.
        others: Entries beside it.
        estimator: For the covariance of estimates.
    """
    shared = prices.variances_of_ratios(first, others, estimator) + 2 * NOISE**2
    found = []
    for other, variance in zip(others, shared.tolist(), strict=True):
        alone = _variance(first) + _variance(other)
        work, common = (variance, _variance(first)) if variance < alone else (alone, 0.0)
        one, two = first.served, other.served
        if one is not None and two is not None and one.watts == two.watts:
            found.append(_of_totals(one, two, Z90 * math.sqrt(work), Z90 * math.sqrt(common)))
            continue
        if one is not None or two is not None:  # each machine waits at its own watts
            work = sum(
                each.worked**2 * _variance(each) + (1 - each.worked) ** 2 * _waiting(each) ** 2
                for each in (first, other)
            )
        value, half = other.joules / first.joules, Z90 * math.sqrt(work)
        found.append((value * math.exp(-half), value * math.exp(half)))
    return found


def _of_totals(first: Served, other: Served, half: float, common: float) -> tuple[float, float]:
    """Ends of the ratio of two totals on one machine, over the ends of what they hold.

    Args:
        first: The chosen entry, which the ratio is over.
        other: The one beside it.
        half: Of the interval of the ratio of their work, natural logs.
        common: Likewise of what both works have in common.
    """
    likely, high = first.watts.value or 0.0, first.watts.high or 0.0
    most = max(likely, min(high, first.working_w, other.working_w))  # idle is less than work
    found = [
        other.joules(idle_w, math.exp(both + own)) / first.joules(idle_w, math.exp(both))
        for idle_w in (first.watts.least, likely, most)
        for both in (-common, 0.0, common)
        for own in (-half, half)
    ]
    return min(found), max(found)


def _waiting(entry: Entry) -> float:
    """Standard deviation of the log of the idle watts of an entry at a rate."""
    return 0.0 if entry.served is None else entry.served.doubt


def ties(prices: Prices, qualified: Sequence[Entry], estimator: Estimator) -> list[Entry]:
    """The first of qualifying entries, and those whose energy may be as little, measured first."""
    chosen, others = qualified[:1], qualified[1:]
    others = [each for each in others if each.candidate.name != chosen[0].candidate.name]
    if not chosen or not others or not chosen[0].joules:
        return list(chosen)
    ends = ratios(prices, chosen[0], others, estimator)
    tied = [each for each, (low, _) in zip(others, ends, strict=True) if low <= 1]
    return [*chosen, *sorted(tied, key=lambda each: not each.measured)]


def _variance(entry: Entry) -> float:
    """Variance of the log of the energy of an entry's work by its own interval."""
    work = entry.work
    joules = work.energy
    if not joules.value or not joules.high:
        return 0.0
    noise = NOISE if work.measured else 0.0
    return max(math.log(joules.high / joules.value) / Z90, noise) ** 2


def factors(
    prices: Prices, first: Entry, others: Sequence[Entry], estimator: Estimator
) -> list[Factor | None]:
    """Energy of each of `others` over the first one's; ``None`` where one has no value."""
    if not others or not first.energy.value:
        return [None] * len(others)
    found: list[Factor | None] = []
    ends = ratios(prices, first, others, estimator)
    for each, (low, high) in zip(others, ends, strict=True):
        if not each.energy.value:
            found.append(None)
            continue
        value = each.energy.value / first.energy.value
        found.append(Factor(value=rounded(value), low=rounded(low), high=rounded(high)))
    return found


class Pair(NamedTuple):
    """A measured variant that needs more than its plain setup."""

    variant: Measurement
    plain: Measurement
    joules: tuple[float, float]


def dearer(rows: Iterable[Measurement], snapshot: Snapshot, scope: Scope) -> list[Pair]:
    """Quantised or batched setups that were measured to need more energy than without it.

    Compared are setups of one candidate on one machine that differ in nothing else; the interval of
    the variant lies above the other's.
    """
    known = [(row, ends) for row in rows if (ends := _ends(row, snapshot, scope)) is not None]
    found: dict[int, Pair] = {}
    for level, fixed in ((_coarseness, "batch_size"), (_batch, "precision")):
        groups: dict[tuple[Any, ...], list[tuple[float, Measurement, _Ends]]] = {}
        for row, ends in known:
            size = level(row)
            if size is not None:
                key = (*_machine(row), getattr(row, fixed))
                groups.setdefault(key, []).append((size, row, ends))
        for group in groups.values():
            for pair in _raised(group):
                found.setdefault(id(pair.variant), pair)
    return list(found.values())


class _Ends(NamedTuple):
    """Joules per 1,000 texts with ends as wide as noise at least."""

    low: float
    value: float
    high: float


def _ends(row: Measurement, snapshot: Snapshot, scope: Scope) -> _Ends | None:
    """Measured joules of a row; ``None`` without a value."""
    joules = ranked(row, snapshot, scope)
    if joules is None or joules.value_j is None:
        return None
    found = measured_energy(row, joules, scope)
    value, noise = found.value or 0.0, NOISE if row.cv is None else 0.0
    low, high = found.low or 0.0, math.inf if found.high is None else found.high
    return _Ends(min(low, value * math.exp(-noise)), value, max(high, value * math.exp(noise)))


def _machine(row: Measurement) -> tuple[Any, ...]:
    """What must be equal beside precision and batch size."""
    return (
        row.candidate,
        row.device,
        row.host,
        row.n_devices,
        row.source,
        row.backend,
        row.repeat_group,
        row.scenario,
        row.rate_per_s,
    )


def _coarseness(row: Measurement) -> float | None:
    """Rises as bits of a weight fall; ``None`` where the precision is not stated."""
    return None if row.precision is None else -precision_bits(row.precision)


def _batch(row: Measurement) -> float | None:
    """Texts per call."""
    return row.batch_size


def _raised(group: Sequence[tuple[float, Measurement, _Ends]]) -> Iterator[Pair]:
    """Pairs of a group, whose members are given with how far each is from plain."""
    least: tuple[Measurement, _Ends] | None = None
    ordered = sorted(group, key=lambda each: each[0])
    for _, level in itertools.groupby(ordered, key=lambda each: each[0]):
        members = [(row, ends) for _, row, ends in level]
        if least is not None:
            plain, own = least
            for row, ends in members:
                if ends.low > own.high:
                    yield Pair(row, plain, (ends.value, own.value))
        least = min([*members, *([least] if least else [])], key=lambda each: each[1].value)


def sentence(pairs: Sequence[Pair]) -> str:
    """Dearer variants and their plain setups in words, each with its figure."""
    words = "; ".join(map(_said, pairs[:_NAMED]))
    more = f"; and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
    return f"measured to need more energy than without it: {words}{more}"


def _said(pair: Pair) -> str:
    """One pair in words."""
    row, other = pair.variant, pair.plain
    if row.precision != other.precision:
        one, two = row.precision or "", other.precision or ""
        same = f" in batches of {figure(row.batch_size)}" if row.batch_size else ""
    else:
        one, two = (
            f"batches of {figure(each.batch_size)}" if each.batch_size else "an unstated batch"
            for each in (row, other)
        )
        same = f" in {row.precision}" if row.precision else ""
    dear, cheap = (figure(value) for value in pair.joules)
    return f"{row.candidate} on {row.device}{same}: {one} {dear} J per 1,000 texts, {two} {cheap} J"


def variants(found: Judged, chosen: Entry, estimator: Estimator) -> tuple[Variant, ...]:
    """The chosen candidate served in other ways.

    Args:
        found: Its prices with every backend and format.
        chosen: As it was chosen.
        estimator: For factors.
    """
    entries = found.prices.entries
    own = [each for each in entries if each.choice == chosen.choice]
    if not own or chosen.candidate.family in CLASSICAL:
        return ()
    others = [(place, each) for place, each in enumerate(entries) if each is not own[0]]
    ratios = factors(found.prices, own[0], [each for _, each in others], estimator)
    return tuple(
        Variant(
            backend=each.choice.backend,
            precision=each.choice.precision,
            accuracy=rounded(each.evidence.value) if each.evidence else None,
            energy_j_per_1000=rounded(each.joules),
            basis=each.energy.basis,
            factor=ratio,
            qualifies=place in found.qualifies,
        )
        for (place, each), ratio in zip(others, ratios, strict=True)
        if ratio is not None
    )


class Lists(NamedTuple):
    """What the lists of an answer hold, or where a cursor was given, how they go on.

    Attributes:
        rejected_more: Rejections that neither this answer nor those before it list.
        next: Cursor of what follows; ``None`` at the end.
    """

    alternatives: list[Entry]
    front: list[Entry]
    rejected: tuple[Rejected, ...]
    rejected_more: int
    next: str | None


def lists(found: Judged, query: Query, snapshot: Snapshot) -> Lists:
    """Entries of the lists; what follows them is the other qualifying entries, cheapest first.

    Raises:
        BadQuestionError: The cursor is none of this catalog's.
    """
    most, page = Limits.of(query.limit), _page(query.cursor, snapshot)
    others = [found.prices.entries[place] for place in found.qualifies]
    first = listed_of(others[1:], most.alternatives)
    names = {each.candidate.name for each in (*others[:1], *first)}
    shown = {id(each) for each in first}
    rest = [each for each in others[1:] if id(each) not in shown]
    rejected, more = rejections(found, names, (page + 1) * most.rejected, snapshot, query.candidate)
    at = (page - 1) * most.alternatives
    left = more > 0 or len(rest) > at + most.alternatives
    return Lists(
        alternatives=first if page == 0 else rest[at : at + most.alternatives],
        front=front_of(found)[: most.front],
        rejected=rejected[page * most.rejected :],
        rejected_more=more,
        next=f"{page + 1}-{snapshot.digest[:_DIGITS]}" if left else None,
    )


def _page(cursor: str | None, snapshot: Snapshot) -> int:
    """Number of the page that a cursor names, 0 without one."""
    if cursor is None:
        return 0
    page, _, digest = cursor.partition("-")
    if not (page.isascii() and page.isdigit() and len(page) < _DIGITS):
        raise BadQuestionError("cursor", cursor, "the value of `next` in the answer before")
    if digest != snapshot.digest[:_DIGITS]:
        allowed = "the catalog has changed since; ask the question again without a cursor"
        raise BadQuestionError("cursor", cursor, allowed)
    return int(page)


class Writer:
    """Writes entries of some prices as options, each with its factor over the chosen one."""

    def __init__(
        self, prices: Prices, chosen: Entry | None, snapshot: Snapshot, estimator: Estimator
    ) -> None:
        self._prices, self._chosen = prices, chosen
        self._snapshot, self._estimator = snapshot, estimator

    def options(
        self, entries: Sequence[Entry], *, beside: bool = True, listed: bool = False
    ) -> tuple[Option, ...]:
        """Entries as options, `beside` the chosen one with their factors; briefly in a list."""
        key, snapshot = self._prices.key, self._snapshot
        ratios: Sequence[Factor | None] = [None] * len(entries)
        if self._chosen is not None and beside:
            ratios = factors(self._prices, self._chosen, entries, self._estimator)
        return tuple(
            option(entry, key, snapshot, None if entry is self._chosen else ratio, whole=not listed)
            for entry, ratio in zip(entries, ratios, strict=True)
        )

    def nearest(self, found: Judged, *first: Shortfall) -> Option | None:
        """The nearest miss with `first` and what else it misses."""
        place = found.nearest()
        if place is None or not (missed := (*first, *found.missed(place))):
            return None
        gravest = msgspec.structs.asdict(missed[0])
        entry = found.prices.entries[place]
        missing = Missing(**gravest, also=missed[1:])
        return option(entry, self._prices.key, self._snapshot, missing=missing)
