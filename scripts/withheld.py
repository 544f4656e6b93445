"""Setups taken out of the catalog and brought back, beside what was measured; see `brought`."""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import msgspec
import numpy as np

from advisor.estimator.artefact import Artefact
from advisor.estimator.estimator import Estimator
from advisor.estimator.model import ask, fit, remember
from advisor.estimator.table import Array, Mask
from advisor.estimator.training_rows import trained_runs
from advisor.estimator.transfer import Carrying, elsewhere, log_joules, unlike
from advisor.evaluation.cross_validation import SHRINK
from advisor.evaluation.train import training_data
from advisor.recommend.options import Offer, moved
from catalog.records import COMPONENTS, SCOPES, Estimate, Measurement, Scope
from catalog.snapshot import Snapshot

SEED, DRAWS = 20250819, 5
PROBES = (0, 1, 3, 5)
ALONE = Carrying(share=0.0, by_time=0.0, reach=1.0, blank=1.0)
THERE = Carrying(share=1.0, by_time=1.0, reach=0.0, blank=0.0)
BASELINES = ("energy elsewhere", "x TDP ratio")


class Case(msgspec.Struct, frozen=True):
    """A setup measured on the device that is taken out, in one scope.

    Attributes:
        row: As it was measured there; `joules` and `seconds` are natural logs per text.
        home: Its candidate's rows on the same workload elsewhere.
    """

    row: Measurement
    scope: Scope
    joules: float
    seconds: float
    home: list[Measurement]

    @property
    def choice(self) -> str:
        """What it competes in."""
        return f"{self.row.device}|{self.row.workload}|{self.row.scenario}|{self.scope}"


Pairs = defaultdict[str, list[tuple[float, float]]]


class Table(msgspec.Struct):
    """What came out for setups that were brought over, one entry each; logs are natural.

    Attributes:
        k: Probe rows; `floor` what a least accuracy is set on.
        truth: Log measured, by quantity: joules or seconds per text.
        alone: Log estimate of the estimator alone with half its interval, by quantity.
        there: Log of what was measured elsewhere, with the part of the interval that no reach
            shrinks, by quantity.
        baselines: By name: log joules per text, NaN where there are none and seconds tell.
    """

    k: list[int] = []
    device: list[str] = []
    choice: list[str] = []
    floor: list[float] = []
    truth: defaultdict[str, list[float]] = msgspec.field(default_factory=lambda: defaultdict(list))
    alone: Pairs = msgspec.field(default_factory=lambda: defaultdict(list))
    there: Pairs = msgspec.field(default_factory=lambda: defaultdict(list))
    baselines: defaultdict[str, list[float]] = msgspec.field(
        default_factory=lambda: defaultdict(list)
    )


def cases_of(snapshot: Snapshot, device: str) -> list[Case]:
    """Setups of one chip measured on a device whose candidate ran the same elsewhere."""
    elsewhere: defaultdict[tuple[str, str, str], list[Measurement]] = defaultdict(list)
    for row in snapshot.current:
        if row.device != device and usable(row):
            elsewhere[row.candidate, row.workload, row.scenario].append(row)
    found = []
    for row in snapshot.current:
        home = elsewhere.get((row.candidate, row.workload, row.scenario), [])
        if row.device != device or row.n_devices not in (None, 1) or not usable(row) or not home:
            continue
        for scope in SCOPES:
            joules = log_joules(snapshot.devices, scope, row)
            if joules is not None and row.runtime_s:
                found.append(Case(row, scope, joules, math.log(row.runtime_s / row.n_items), home))
    return found


def timed(case: Case) -> Case:
    """A case of which only seconds are known elsewhere."""
    no_joules: dict[str, None] = dict.fromkeys(
        [
            *(f"{name}_{cell}" for name in COMPONENTS for cell in ("j", "label")),
            *(f"total_{cell}" for cell in ("j", "low_j", "high_j", "label", "scope")),
        ]
    )
    bare = [msgspec.structs.replace(row, **no_joules) for row in case.home]
    return msgspec.structs.replace(case, home=bare)


def usable(row: Measurement) -> bool:
    """Whether a row tells joules and seconds of work alone."""
    timed = row.runtime_s is not None and row.rate_per_s is None and row.scenario != "server"
    return timed and row.phase == "inference"


def with_rows(snapshot: Snapshot, rows: Iterable[Measurement]) -> Snapshot:
    """The same devices, workloads and candidates with other rows."""
    return Snapshot(
        measurements=tuple(rows),
        devices=snapshot.devices,
        workloads=snapshot.workloads,
        candidates=snapshot.candidates,
        digest="",
    )


def fitted(snapshot: Snapshot, like: Artefact, device: str) -> Estimator:
    """An estimator fitted without any row of a device, with the intervals of another."""
    rows, published = training_data(snapshot)
    kept = rows.take(np.array([name != device for name in rows.devices]))
    timed = (published.profiles["device"] != device).to_numpy()
    model = fit(kept, (published.profiles[timed], published.log_seconds[timed]))
    known = remember(ask(model, kept, np.ones(len(kept), dtype=bool)), kept.log_joules)
    runs = trained_runs(snapshot)
    return Estimator(msgspec.structs.replace(like, model=model, known=known, runs=runs), {}, "")


def draws(cases: Sequence[Case], device: str) -> Iterator[tuple[int, list[Case], list[Case]]]:
    """(k, probes, the cases of all other candidates), `DRAWS` times for each k above 0."""
    generator = np.random.default_rng([SEED, zlib.crc32(device.encode())])
    names = sorted({case.row.candidate for case in cases})
    for k in PROBES:
        if k and len(names) < k + 2:
            continue
        for _ in range(DRAWS if k else 1):
            chosen = set(generator.choice(names, k, replace=False)) if k else set()
            probes = []
            for name in sorted(chosen):
                own = [case for case in cases if case.row.candidate == name]
                probes.append(own[int(generator.integers(len(own)))])
            yield k, probes, [case for case in cases if case.row.candidate not in chosen]


def unchanged(case: Case, snapshot: Snapshot) -> dict[str, float]:
    """Log joules per text as elsewhere, and by the ratio of thermal design powers."""

    def tdp(row: Measurement) -> float:
        return math.log(snapshot.devices[row.device].tdp_w or math.nan)

    def per_watt(row: Measurement) -> float | None:
        joules = log_joules(snapshot.devices, case.scope, row)
        return None if joules is None else joules - tdp(row)

    same = elsewhere(case.row, case.home, partial(log_joules, snapshot.devices, case.scope))
    scaled = elsewhere(case.row, case.home, per_watt)
    if same is None or scaled is None:
        return dict.fromkeys(BASELINES, math.nan)
    return dict(zip(BASELINES, (same, scaled + tdp(case.row)), strict=True))


def floors(cases: Sequence[Case], snapshot: Snapshot) -> list[float]:
    """What a least accuracy is set on: accuracies where all are known, else parameters."""
    known: dict[tuple[str, str], float] = {}
    for row in snapshot.current:
        if row.accuracy is not None:
            key = row.candidate, row.workload
            known[key] = max(row.accuracy, known.get(key, 0.0))
    accuracies = [known.get((case.row.candidate, case.row.workload)) for case in cases]
    if all(value is not None for value in accuracies):
        return [value or 0.0 for value in accuracies]
    sizes = (
        case.row.n_parameters or snapshot.candidates[case.row.candidate].n_parameters
        for case in cases
    )
    return [size or 0.0 for size in sizes]


def bring(
    table: Table, snapshot: Snapshot, device: str, reach: Artefact, by_source: bool, by_time: bool
) -> None:
    """Adds every case of a device to the table."""
    cases = cases_of(snapshot, device)
    cases = [timed(case) for case in cases] if by_time else cases
    rest = [row for row in snapshot.current if row.device != device]
    sources = {case.row.source for case in cases} if by_source else set()
    trained = with_rows(snapshot, (row for row in rest if row.source not in sources))
    estimator = fitted(trained, reach, device)
    naive = {id(case): unchanged(case, snapshot) for case in cases}
    for draw, (k, probes, others) in enumerate(draws(cases, device)):
        further = [msgspec.structs.replace(case.row, run_id="probe") for case in probes]
        view = with_rows(snapshot, [*rest, *further])
        informed = estimator.informed(view)
        shift = {
            name: _shift([(c.joules, naive[id(c)][name]) for c in probes]) for name in BASELINES
        }
        grouped: defaultdict[str, list[Case]] = defaultdict(list)
        for case in others:
            grouped[case.choice].append(case)
        for choice, own in grouped.items():
            table.floor += floors(own, snapshot)
            table.k += [k] * len(own)
            table.device += [device] * len(own)
            table.choice += [f"{choice}|{draw}"] * len(own)
            table.truth["energy"] += [case.joules for case in own]
            table.truth["runtime"] += [case.seconds for case in own]
            for name in BASELINES:
                table.baselines[name] += [naive[id(case)][name] + shift[name] for case in own]
            for part, carrying in ((table.alone, ALONE), (table.there, THERE)):
                for energies, runtimes in brought_back(own, view, informed, carrying):
                    part["energy"].append(energies)
                    part["runtime"].append(runtimes)


def _shift(probes: Sequence[tuple[float, float]]) -> float:
    """Shrunken mean log of measured joules over a baseline's; 0 where it says nothing."""
    logs = [joules - base for joules, base in probes if math.isfinite(base)]
    return sum(logs) / (len(logs) + SHRINK)


Logs = tuple[tuple[float, float], tuple[float, float]]


def brought_back(
    cases: Sequence[Case], view: Snapshot, estimator: Estimator, carrying: Carrying
) -> list[Logs]:
    """Log joules and log seconds of cases of one choice, each with half its interval."""
    homes = list({id(row): row for case in cases for row in case.home}.values())
    device = view.devices[cases[0].row.device]
    by_candidate: defaultdict[str, list[Offer]] = defaultdict(list)
    for offer in moved(homes, device, view, estimator, cases[0].scope, carrying):
        by_candidate[offer.row.candidate].append(offer)
    found = []
    for case in cases:
        like = [(unlike(case.row, offer.row), offer) for offer in by_candidate[case.row.candidate]]
        prediction = min(like, key=lambda pair: pair[0])[1].prediction
        assert prediction is not None
        found.append((_logs(prediction.energy_j), _logs(prediction.runtime_s)))
    return found


def _logs(found: Estimate) -> tuple[float, float]:
    """Log of an estimate and half its interval."""
    value = found.value or math.nan
    return math.log(value), math.log((found.high or math.nan) / value)


class Columns:
    """The table as arrays, with the figures of any share and reach."""

    def __init__(self, table: Table) -> None:
        self.k, self.floor = np.array(table.k), np.array(table.floor)
        self.device, self.choice = np.array(table.device), np.array(table.choice)
        self.truth = {name: np.array(values) for name, values in table.truth.items()}
        self._alone = {name: np.array(values).T for name, values in table.alone.items()}
        self._there = {name: np.array(values).T for name, values in table.there.items()}
        self.baselines = {name: np.array(values) for name, values in table.baselines.items()}

    def served(self, quantity: str, carrying: Carrying) -> tuple[Array, Array]:
        """Log estimates and half their intervals: both are linear in share and in reach."""
        (log, half), (far, fixed) = self._alone[quantity], self._there[quantity]
        reach = np.where(self.k == 0, carrying.blank, carrying.reach)
        known = np.isfinite(self.baselines[BASELINES[0]])
        share = np.where(known, carrying.share, carrying.by_time)
        return log + share * (far - log), fixed + reach * (half - fixed)

    def of(self, devices: Sequence[str], k: int) -> Mask:
        """Entries of some devices after k probe rows."""
        return np.asarray(np.isin(self.device, devices) & (self.k == k))


def gathered(
    snapshot: Snapshot,
    devices: Sequence[str],
    reach: Artefact,
    *,
    by_source: bool = False,
    by_time: bool = False,
) -> Columns:
    """Every case of some devices.

    Args:
        snapshot: Where they stand.
        devices: To be taken out, one at a time.
        reach: Whose intervals' reach counts.
        by_source: Whether their publications are taken out of the fit too.
        by_time: Whether of what was measured elsewhere the seconds alone are told.
    """
    table = Table()
    for device in devices:
        bring(table, snapshot, device, reach, by_source, by_time)
    return Columns(table)
