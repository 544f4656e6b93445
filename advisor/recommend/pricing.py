"""Pricing: what every candidate needs on one workload and machine, in one scenario and scope.

In order: energy measured there; energy measured with another batch, format, scope or machine,
converted by the ratio of two estimates; the estimator on the runtime measured there; the estimator
alone. Modelled joules are a second opinion and never ranked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from advisor.estimator.estimator import Estimator
from advisor.estimator.setup import batch_of
from advisor.recommend.conversion import Case, Plan, planned
from advisor.recommend.entries import (
    Absent,
    Entry,
    Key,
    Prices,
    measured_energy,
    ranked,
    read_runtime,
)
from advisor.recommend.estimation import estimated
from advisor.recommend.estimation import of_row as of_estimate
from advisor.recommend.machine import Machine
from advisor.recommend.qualification import bundled_predictor, estimates, evidence, excluded
from advisor.recommend.query import ANY_BACKEND, Query
from advisor.recommend.serving import Choice, Stated, has_profile, others, same_format, usual
from catalog.accuracy import NumericFormat
from catalog.energy import Energy
from catalog.errors import UnknownNameError
from catalog.evidence import OF_LABELS, Evidence
from catalog.records import Candidate, Measurement, Scope, moment
from catalog.registry.families import CLASSICAL
from catalog.snapshot import Snapshot

if TYPE_CHECKING:
    from advisor.accuracy.predictor import AccuracyPredictor

_FORMATS: tuple[NumericFormat, ...] = ("float", "int8", "int4")


def prices(
    key: Key,
    snapshot: Snapshot,
    estimator: Estimator,
    predictor: Callable[[], AccuracyPredictor] = bundled_predictor,
) -> Prices:
    """Prices every candidate that has an accuracy or a row on the workload of a key.

    Args:
        key: What is priced.
        snapshot: The catalog.
        estimator: Of energies and runtimes.
        predictor: Of accuracies, where estimates of them count.
    """
    rows = rows_of(snapshot, key.workload)
    formats = {numeric: _evidence(key, snapshot, numeric) for numeric in _FORMATS}
    if key.estimated_accuracy:
        formats["float"] = _with_estimates(key, snapshot, formats["float"], predictor)
    entries: list[Entry] = []
    plans: list[Plan] = []
    absent: list[Absent] = []
    names = sorted({*formats["float"], *formats["int4"], *rows})
    for name in names if key.candidate is None else [key.candidate]:
        candidate = snapshot.candidates.get(name) or Candidate(name=name, family="other")
        own, priced = rows.get(name, ()), False
        quantised = name not in formats["float"] and name in formats["int4"]
        stated = _stated_choice(key, candidate, own, quantised=quantised)
        for choice in _choices(key, candidate, own, quantised=quantised):
            known = formats[choice.numeric_format].get(name)
            seconds = key.stated.seconds if key.stated and choice == stated else None
            case = Case(key, candidate, choice, own, snapshot, known, seconds)
            if (exact := _measured(case)) is not None:
                entries.append(exact)
            elif plan := planned(case):
                plans.append(plan)
            else:
                continue
            priced = True
        if not priced:
            absent.append(_absent(key, candidate, own))
    return Prices(key, entries + estimated(plans, estimator), absent)


def stated(query: Query, snapshot: Snapshot) -> Stated | None:
    """The runtime that a question states and what it is of; ``None`` where it states none.

    Raises:
        UnknownNameError: The candidate is not in the catalog.
    """
    if query.candidate is not None and query.candidate not in snapshot.candidates:
        raise UnknownNameError("candidate", query.candidate, snapshot.candidates)
    if query.runtime_s_per_1000 is None:
        return None
    backend = None if query.backend == ANY_BACKEND else query.backend
    return Stated(query.runtime_s_per_1000 / 1000, query.candidate, backend, query.precision)


def works_of(key: Key) -> list[Key]:
    """What energy at a request rate is derived from: one text at a time, and batches.

    A stated runtime is of texts that are answered one by one, unless larger batches are asked for.
    """
    batched = (key.batch_size or 1.0) > 1
    return [
        msgspec.structs.replace(
            key, scenario=scenario, rate_per_s=None, stated=key.stated if own else None
        )
        for scenario, own in (("single", not batched), ("offline", batched))
    ]


def _evidence(key: Key, snapshot: Snapshot, numeric: NumericFormat) -> Mapping[str, Evidence]:
    """What is known of each candidate within the label budget, else with more labels."""
    about = (key.workload, key.metric)
    allowed = evidence(snapshot, *about, key.labels, key.measured_accuracy, numeric)
    if key.labels == "full":
        return allowed
    return {**evidence(snapshot, *about, "full", key.measured_accuracy, numeric), **allowed}


def _with_estimates(
    key: Key,
    snapshot: Snapshot,
    known: Mapping[str, Evidence],
    predictor: Callable[[], AccuracyPredictor],
) -> Mapping[str, Evidence]:
    """What is known within the label budget, else an estimate, else what needs more labels."""
    found = estimates(snapshot, key.workload, key.metric, key.labels, predictor)
    allowed = OF_LABELS[key.labels]
    within = {name: each for name, each in known.items() if each.regime in allowed}
    return {**known, **found, **within}


def rows_of(snapshot: Snapshot, workload: str) -> Mapping[str, list[Measurement]]:
    """The current inference rows of a workload by candidate."""
    found: defaultdict[str, list[Measurement]] = defaultdict(list)
    for row in snapshot.by_workload.get(workload, ()):
        if row.phase == "inference":
            found[row.candidate].append(row)
    return found


def _stated_choice(
    key: Key, candidate: Candidate, rows: Sequence[Measurement], *, quantised: bool
) -> Choice | None:
    """The serving choice of a candidate that a stated runtime is of: the first the question left.

    ``None`` where nothing was stated, or of another candidate.
    """
    said = key.stated
    if said is None or said.candidate not in (None, candidate.name):
        return None
    asked = msgspec.structs.replace(key, backend=said.backend, precision=said.precision)
    return next(iter(_choices(asked, candidate, rows, quantised=quantised)), None)


def _choices(
    key: Key, candidate: Candidate, rows: Sequence[Measurement], *, quantised: bool
) -> list[Choice]:
    """Serving choices that are priced: the usual one, the asked one, or all."""
    device = key.machine.runs(candidate.family)
    first = usual(candidate, device, quantised)
    if key.backend is None and key.precision is None:
        return [first]
    here = key.machine.names(candidate.family)
    known = [first, *others(candidate, device)]
    known += [
        Choice(row.backend or first.backend, row.precision or first.precision)
        for row in rows
        if row.device in here and candidate.family not in CLASSICAL
    ]
    found: dict[tuple[str, object], Choice] = {}
    for each in known:
        backend = key.backend in (None, ANY_BACKEND, each.backend)
        if key.backend is None and each.backend != first.backend:
            backend = False
        if backend and (key.precision is None or same_format(each.precision, key.precision)):
            eager = "torch" if each.backend in ("sklearn", "torch") else each.backend
            found.setdefault((eager, each.precision), each)
    return list(found.values())


def choices_there(key: Key, candidate: Candidate, choice: Choice) -> list[Choice]:
    """Serving choices on another machine in the numeric format of one, the usual one first."""
    device = key.machine.runs(candidate.family)
    found = [usual(candidate, device), *others(candidate, device)]
    return [
        each
        for each in found
        if each.numeric_format == choice.numeric_format
        and key.backend in (None, ANY_BACKEND, each.backend)
        and (key.precision is None or same_format(each.precision, key.precision))
    ]


def priced(
    candidate: Candidate,
    served: Sequence[tuple[Key, Choice]],
    snapshot: Snapshot,
    estimator: Estimator,
) -> list[Entry]:
    """A candidate on several machines, each with a serving choice, where it can be priced.

    Args:
        candidate: What is served.
        served: Keys of one workload, which differ in their machine, each with a choice.
        snapshot: The catalog.
        estimator: Informed of it.
    """
    rows = rows_of(snapshot, served[0][0].workload).get(candidate.name, ())
    entries: list[Entry] = []
    plans: list[Plan] = []
    for key, choice in served:
        own = key.stated and _stated_choice(key, candidate, rows, quantised=False) == choice
        seconds = key.stated.seconds if key.stated and own else None
        case = Case(key, candidate, choice, rows, snapshot, None, seconds)
        if (exact := _measured(case)) is not None:
            entries.append(exact)
        elif plan := planned(case):
            plans.append(plan)
    return [*entries, *(each for each in estimated(plans, estimator) if each.misfit is None)]


def _rank_of_row(row: Measurement) -> tuple[bool, float, float]:
    """Which of several rows of a setup answers: own calibrations, the newest, the fewest chips."""
    return row.source == "calibration", moment(row.measured_at), -(row.n_devices or 1)


def _measured(case: Case) -> Entry | None:
    """The entry of energy that was measured as it is asked for; ``None`` where none was."""
    found = [
        (row, joules)
        for row in case.here()
        if case.key.holds(row) and case.fits(row)
        if case.key.machine.whole(case.device, case.key.scope)
        if (joules := ranked(row, case.snapshot, case.key.scope)) is not None
    ]
    if not found:
        return None
    first = case.key.machine.names(case.candidate.family)[0]
    row, joules = max(found, key=lambda pair: (pair[0].device == first, *_rank_of_row(pair[0])))
    return _as_measured(case, row, joules)


def _as_measured(case: Case, row: Measurement, joules: Energy) -> Entry:
    """A measured row as an entry."""
    return Entry(
        candidate=case.candidate,
        device=case.snapshot.devices[row.device],
        choice=case.choice,
        batch_size=row.batch_size,
        n_devices=row.n_devices,
        energy=measured_energy(row, joules, case.key.scope),
        runtime=read_runtime(row),
        evidence=case.known,
        row=row,
        there=True,
        misfit=None if case.known is None else excluded(case.snapshot, case.known),
    )


def _absent(key: Key, candidate: Candidate, rows: Sequence[Measurement]) -> Absent:
    """Why a candidate has no price."""
    device = key.machine.runs(candidate.family)
    if key.basis == "measured":
        detail = f"not measured on {device.name} in scenario {key.scenario}, scope {key.scope}"
        return Absent(candidate.name, device.name, "not-measured-there", detail)
    if key.backend is not None or key.precision is not None:
        asked = " ".join(filter(None, (key.backend, key.precision)))
        detail = f"cannot be served with {asked} on {device.name}"
        if has_profile(candidate) or rows:
            return Absent(candidate.name, device.name, "backend-differs", detail)
    detail = "its size is not known and no row measured it, so nothing tells what it needs"
    return Absent(candidate.name, device.name, "energy-absent", detail)


def of_row(
    row: Measurement,
    scope: Scope,
    snapshot: Snapshot,
    estimator: Estimator,
    known: Evidence | None = None,
) -> tuple[Entry, Key] | None:
    """A row where it was taken: measured in a scope, else estimated from what was read there."""
    device = snapshot.devices[row.device]
    candidate = snapshot.candidates.get(row.candidate) or Candidate(
        name=row.candidate, family="other"
    )
    first = usual(candidate, device)
    choice = Choice(row.backend or first.backend, row.precision or first.precision)
    key = Key(
        workload=row.workload,
        machine=Machine(device=device, host=device),
        scenario="offline" if row.scenario == "unstated" else row.scenario,
        scope=scope,
        rate_per_s=row.rate_per_s,
        batch_size=batch_of(row),
    )
    case = Case(key, candidate, choice, [row], snapshot, known)
    joules = ranked(row, snapshot, scope)
    entry = of_estimate(case, row, estimator) if joules is None else _as_measured(case, row, joules)
    return None if entry is None else (entry, key)
