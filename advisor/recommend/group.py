"""Pools: every offer of one comparability group, cheapest first, with what constraints look at.

A pool does not depend on a floor or a limit, so it is made once for a catalog and then only read.
"""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from advisor.estimator.estimator import Estimator
from advisor.estimator.table import Array
from advisor.recommend.messages import figure
from advisor.recommend.options import (
    Offer,
    Verdict,
    estimated,
    measured_or_estimated,
    moved,
    one_for_each_setup,
    rank,
    unfit,
    with_known_accuracy,
)
from advisor.recommend.pareto import option, size_of
from advisor.recommend.published import (
    evidence_of,
    excluded,
    judged,
    majority_class,
    memory_gb,
    unmeasured,
)
from advisor.recommend.query import AskedScenario
from advisor.recommend.records import Option, Reason, Rejected
from advisor.recommend.request_rate import SORTED, at_rate, timed
from advisor.recommend.variants import DEARER, dearer
from catalog.energy import energy
from catalog.records import Device, Measurement, Scope
from catalog.registry.families import FLOORS
from catalog.snapshot import Snapshot

COUNTS_AS: dict[AskedScenario, tuple[str, ...]] = {
    "offline": ("offline", "unstated"),
    "server": ("server",),
    "single": ("single",),
}
"""Scenarios of rows that answer a question about a scenario."""


def arrivals(rows: Sequence[Measurement]) -> list[tuple[AskedScenario, float | None]]:
    """What must not be ranked together: each scenario, and each request rate, the commonest first.

    Energy per text at different rates holds different shares of idle time.
    """
    rates = Counter(row.rate_per_s for row in rows if row.rate_per_s is not None)
    by_use = sorted(rates, key=lambda rate: (-rates[rate], rate))
    return [*((scenario, None) for scenario in COUNTS_AS), *(("server", rate) for rate in by_use)]


def rate_of(rows: Sequence[Measurement], scenario: str, rate: float | None) -> float | None:
    """The request rate an answer is about: the asked one, else the commonest of the rows."""
    if scenario != "server" or rate is not None:
        return rate
    return next((each for _, each in arrivals(rows) if each is not None), None)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool depends on: the comparability group and which rows may stand in it.

    Attributes:
        device: Where every offer would run; ``None`` leaves each where it was measured.
        rate_per_s: Request rate of scenario ``server``, see `rate_of`.
        worked_out: Whether setups that nobody measured at that rate may stand in it, with what
            they would draw.
        published: Whether candidates that are known by their accuracy alone may stand in it.
    """

    workload: str
    scenario: AskedScenario
    scope: Scope
    basis: Literal["any", "measured"]
    batch_size: float | None
    device: Device | None
    rate_per_s: float | None = None
    worked_out: bool = False
    published: bool = False

    def holds(self, row: Measurement) -> bool:
        """Whether a row's scenario and rate are those of the group."""
        return row.scenario in COUNTS_AS[self.scenario] and row.rate_per_s == self.rate_per_s

    def serves(self, row: Measurement) -> bool:
        """Whether the group's energy could be worked out from a row."""
        batches = row.scenario in COUNTS_AS["offline"] and row.repeat_group != SORTED
        return self.worked_out and (batches or row.scenario == "single")

    def words(self) -> str:
        """The group's scenario in words."""
        return in_words(self.scenario, self.rate_per_s)


def in_words(name: str, rate: float | None) -> str:
    """A scenario in words, with its rate where it states one."""
    return name if rate is None else f"{name} at {figure(rate)} per second"


class Pool:
    """The offers of a comparability group.

    Args:
        asked: The group.
        rows: Inference rows of the workload, each with the accuracy that is known.
        snapshot: Where devices and candidates are declared.
        estimator: For energies nobody measured.
        work: Offers one text at a time and in batches, for what is worked out from them.

    Attributes:
        offers: Least energy first.
        candidates: Names by the codes of `candidate`, one code for each offer.
        accuracy: Shares; like `n_test`, `latency_ms` and `memory_gb` NaN where unknown.
        absent: Candidates with rows in the catalog and without an offer here, with the reason.
    """

    def __init__(
        self,
        asked: Asked,
        rows: Sequence[Measurement],
        snapshot: Snapshot,
        estimator: Estimator,
        work: Sequence[Offer] = (),
    ) -> None:
        self.asked, self._snapshot, self._version = asked, snapshot, estimator.version
        inside = [row for row in rows if asked.holds(row)]
        offers = _offers(asked, inside, snapshot, estimator)
        if asked.rate_per_s is not None:
            sizes = {offer.row.candidate: size_of(offer.row, snapshot) for offer in work}
            offers += at_rate(work, offers, asked.rate_per_s, estimator.rated_power, sizes)
        self.offers = sorted(offers, key=rank)
        names = [offer.row.candidate for offer in self.offers]
        self.candidates = list(dict.fromkeys(names))
        codes = {name: code for code, name in enumerate(self.candidates)}
        self.candidate = [codes[name] for name in names]
        self.setups = [0] * len(codes)
        for code in self.candidate:
            self.setups[code] += 1
        self._shown: dict[int, Option] = {}
        self._encoded: dict[int, bytes] = {}
        self._figures: dict[int, str] = {}
        untimed = {offer.row.candidate for offer in work if not timed(offer)}
        self.absent = [
            *_absent(asked, snapshot, rows, set(codes), untimed),
            *(majority_class(snapshot, asked.workload) if asked.published else ()),
        ]

    def _column(self, values: Sequence[float | None]) -> Array:
        """Numbers of the offers with NaN for missing ones."""
        return np.array([np.nan if value is None else value for value in values], dtype=float)

    @functools.cached_property
    def accuracy(self) -> Array:
        """Shares answered right."""
        return self._column([offer.row.accuracy for offer in self.offers])

    @functools.cached_property
    def n_test(self) -> Array:
        """Texts the accuracy was taken on."""
        return self._column([offer.row.n_test for offer in self.offers])

    @functools.cached_property
    def accuracy_sd(self) -> Array:
        """Standard deviation of the accuracy over draws and sources, 0 where none is known."""
        known = [evidence_of(self._snapshot, offer.row) for offer in self.offers]
        return np.array([0.0 if e is None else math.hypot(e.sd, e.spread) for e in known])

    @functools.cached_property
    def self_reported_low(self) -> Array:
        """Low end of accuracies that the model's author reports alone, NaN for others."""
        known = [evidence_of(self._snapshot, offer.row) for offer in self.offers]
        return self._column([e.low if e and "self-reported" in e.warnings else None for e in known])

    @functools.cached_property
    def latency_ms(self) -> Array:
        """95th percentile of a call."""
        return self._column([offer.row.latency_p95_ms for offer in self.offers])

    @functools.cached_property
    def memory_gb(self) -> Array:
        """Peak on the GPU where one works, else of the process, else by profile; 1e9 bytes."""
        measured = self._column([offer.row.peak_memory_mb for offer in self.offers]) / 1000
        needed = self._column([memory_gb(self._snapshot, offer.row) for offer in self.offers])
        return np.where(np.isnan(measured), needed, measured)

    @functools.cached_property
    def too_slow(self) -> Array:
        """By which share the asked rate is above what a setup keeps up with, else 0."""
        busy = [0.0 if offer.served is None else offer.served.busy for offer in self.offers]
        return np.array([max(share - 1, 0.0) for share in busy], dtype=float)

    @functools.cached_property
    def untested(self) -> Array:
        """Infinite where the size of the test is unknown, else 0."""
        return np.where(np.isnan(self.n_test), np.inf, 0.0)

    @functools.cached_property
    def unknown(self) -> Array:
        """Infinite where the accuracy is unknown, else 0."""
        return np.where(np.isnan(self.accuracy), np.inf, 0.0)

    @functools.cached_property
    def ran_there(self) -> npt.NDArray[np.bool_]:
        """Whether each setup was run on the device it is offered for."""
        return np.array([offer.ran_there for offer in self.offers], dtype=bool)

    @functools.cached_property
    def reach(self) -> float:
        """The best accuracy known in the pool; -1 where none is."""
        known = self.accuracy[~np.isnan(self.accuracy)]
        return float(known.max()) if len(known) else -1.0

    @functools.cached_property
    def dearer(self) -> dict[int, int]:
        """Quantised or batched variants that raise energy, each with the plain setup: places."""
        return dearer(self.offers)

    @functools.cached_property
    def outdone(self) -> dict[int, list[tuple[int, int]]]:
        """Plain setups with the variants that need more than they: pairs (variant, plain)."""
        found: dict[int, list[tuple[int, int]]] = {}
        for pair in sorted(self.dearer.items()):
            found.setdefault(pair[1], []).append(pair)
        return found

    @functools.cached_property
    def unfit(self) -> dict[int, Verdict]:
        """Why offers, by their places, cannot run where they are offered."""
        found = {}
        for place, offer in enumerate(self.offers):
            size = size_of(offer.row, self._snapshot)
            verdict = unfit(offer, self.family(place), size)
            if (verdict := verdict or excluded(self._snapshot, offer.row)) is not None:
                found[place] = verdict
        return found

    @functools.cached_property
    def misfits(self) -> Array:
        """Infinite for those, else 0."""
        gaps = np.zeros(len(self.offers))
        gaps[list(self.unfit)] = np.inf
        return gaps

    @functools.cached_property
    def floors(self) -> Array:
        """Infinite for offers of a family that is never recommended, else 0."""
        shown_only = [self.family(place) in FLOORS for place in range(len(self.offers))]
        return np.where(shown_only, np.inf, 0.0)

    def family(self, place: int) -> str:
        """The family of an offer's candidate."""
        candidate = self._snapshot.candidates.get(self.offers[place].row.candidate)
        return candidate.family if candidate else "other"

    def licence(self, code: int) -> str | None:
        """The licence of the candidate with a code."""
        candidate = self._snapshot.candidates.get(self.candidates[code])
        return candidate.licence if candidate else None

    def figure(self, place: int) -> str:
        """What an offer ranks by, in words."""
        found = self._figures.get(place)
        if found is None:
            found = self._figures[place] = figure(self.offers[place].joules)
        return found

    def option(self, place: int) -> Option:
        """An offer as an option."""
        found = self._shown.get(place)
        if found is None:
            found = option(self.offers[place], self._snapshot, self._version)
            if place in self.dearer:
                codes = tuple(sorted({*found.warnings, DEARER}))
                found = msgspec.structs.replace(found, warnings=codes)
            self._shown[place] = found
        return found

    def encoded(self, place: int) -> bytes:
        """An offer as the JSON of its option."""
        found = self._encoded.get(place)
        if found is None:
            found = self._encoded[place] = msgspec.json.encode(self.option(place))
        return found


def rows_of(snapshot: Snapshot, workload: str) -> list[Measurement]:
    """The current inference rows of a workload, each with the accuracy that is known."""
    rows = snapshot.by_workload.get(workload, ())
    return judged(with_known_accuracy([row for row in rows if row.phase == "inference"]), snapshot)


def _offers(
    asked: Asked, rows: Sequence[Measurement], snapshot: Snapshot, estimator: Estimator
) -> list[Offer]:
    """Offers of `rows`, and of the candidates that are known by published accuracy alone."""
    offers = _of_rows(asked, rows, snapshot, estimator)
    if not asked.published or asked.scenario == "server" or asked.basis == "measured":
        return offers
    setups = unmeasured(
        snapshot,
        asked.workload,
        asked.scenario,
        asked.device,
        {offer.row.candidate for offer in offers},
        asked.batch_size,
    )
    return offers + estimated(setups, snapshot, estimator, asked.scope)


def _of_rows(
    asked: Asked, rows: Sequence[Measurement], snapshot: Snapshot, estimator: Estimator
) -> list[Offer]:
    """Offers of `rows`: where they were taken, or all brought to the asked device."""
    if asked.batch_size is not None:
        rows = [row for row in rows if row.batch_size == asked.batch_size]
    device, scope, basis = asked.device, asked.scope, asked.basis
    there = rows if device is None else [row for row in rows if row.device == device.name]
    offers = one_for_each_setup(measured_or_estimated(there, snapshot, estimator, scope, basis))
    if device is None or basis == "measured":
        return offers
    has = {offer.row.candidate for offer in offers}
    elsewhere = [
        row
        for row in rows
        if row.candidate not in has and row.device != device.name and row.rate_per_s is None
    ]  # how much of a window is idle depends on the device, so a rate cannot be brought over
    return offers + moved(elsewhere, device, snapshot, estimator, scope)


def _absent(
    asked: Asked,
    snapshot: Snapshot,
    rows: Sequence[Measurement],
    seen: set[str],
    untimed: set[str],
) -> list[Rejected]:
    """Candidates with rows but no offer in the group, with the reason."""
    missing: defaultdict[str, list[Measurement]] = defaultdict(list)
    for row in rows:
        if row.candidate not in seen:
            missing[row.candidate].append(row)
    entries = []
    for name, own in sorted(missing.items()):
        reason, detail = _why_absent(asked, snapshot, own, untimed=name in untimed)
        entries.append(
            Rejected(
                candidate=name,
                device=own[0].device,
                reason=reason,
                detail=detail,
                setups=len(own),
            )
        )
    return entries


def _why_absent(
    asked: Asked, snapshot: Snapshot, rows: Sequence[Measurement], *, untimed: bool
) -> tuple[Reason, str]:
    """Why none of a candidate's rows became an offer of the group, and a sentence."""
    if untimed:
        return "runtime-unknown", "no runtime, so nobody can say how long it waits at that rate"
    inside = [row for row in rows if asked.holds(row) or asked.serves(row)]
    if not inside:
        scenarios = ", ".join(sorted({in_words(row.scenario, row.rate_per_s) for row in rows}))
        return "other-scenario", f"measured as {scenarios}, not as {asked.words()}"
    if asked.batch_size is not None:
        inside = [row for row in inside if row.batch_size == asked.batch_size]
        if not inside:
            return "other-batch-size", f"not measured at batch size {figure(asked.batch_size)}"
    if asked.basis == "measured" and asked.device is not None:
        inside = [row for row in inside if row.device == asked.device.name]
        if not inside:
            return "not-measured-there", "not measured on the asked device"
    has_other_scope = any(
        (found := energy(row, snapshot.devices[row.device].kind, scope)) is not None
        and found.label != "modelled"
        for row in inside
        for scope in ("device", "host", "wall")
    )
    if has_other_scope:
        return "scope-absent", f"measured, but not in the scope {asked.scope}"
    if asked.basis == "measured":
        return "energy-absent", "no measured energy"
    return "energy-absent", "no measured energy and no runtime to estimate it from"
