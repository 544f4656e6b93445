"""Estimates of setups that were not measured as they are asked for, and conversions of rows.

A row of another batch, numeric format, scope or machine is converted by the ratio of two estimates:
the asked setup's over the row's own. On the same machine the ratio counts whole, and its interval
is that of the ratio; from other machines a share of what the candidate needed beyond its estimates.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

import msgspec
import numpy as np

from advisor.estimator.estimator import Estimator, Prediction
from advisor.estimator.setup import Setup, batch_of, from_measurement, precision_bits
from advisor.recommend.entries import Z90, Entry, Key, of_a_repeat, ranked
from advisor.recommend.machine import worker
from advisor.recommend.qualification import excluded
from advisor.recommend.records import EnergyPer1000, Reason, RuntimePer1000
from advisor.recommend.serving import Choice, fits, has_profile, same_format, setup_of
from catalog import profiles
from catalog.evidence import Evidence
from catalog.records import SCOPES, Basis, Candidate, Device, Measurement, Scope, moment
from catalog.registry.families import CLASSICAL
from catalog.snapshot import Snapshot

ELSEWHERE = 0.85
"""Share (in logs) of what a candidate needed beyond its estimates on other machines that counts."""
LEAST_SD = 0.2
"""Least standard deviation of log joules that a conversion on one machine adds."""
DEVICES = 30
"""Other machines that tell about a candidate: a mean is known long before."""


class Told(NamedTuple):
    """A row that tells what a candidate needs, with the setup it was measured in, and its joules.

    `joules` and `seconds` are measured ones per text; either may be missing.
    """

    row: Measurement
    setup: Setup
    joules: float | None
    seconds: float | None


class Plan(NamedTuple):
    """How one entry comes to its price: the estimate of `asked`, scaled by what rows needed.

    Attributes:
        n_devices: Devices whose energy counts; ``None`` where the row does not say.
        told: Rows that scale the estimate.
        there: Whether they were measured on this machine.
        row: The row behind the entry.
    """

    candidate: Candidate
    choice: Choice
    device: Device
    n_devices: int | None
    evidence: Evidence | None
    asked: Setup
    told: tuple[Told, ...] = ()
    there: bool = False
    row: Measurement | None = None
    misfit: tuple[Reason, str] | None = None


def planned(
    key: Key,
    candidate: Candidate,
    choice: Choice,
    rows: Sequence[Measurement],
    snapshot: Snapshot,
    known: Evidence | None,
) -> Plan | None:
    """How a candidate is estimated; ``None`` where nothing tells what it needs."""
    if key.basis == "measured" or key.scenario == "server":
        return None
    device = key.machine.runs(candidate.family)
    works = [row for row in rows if row.scenario != "server" and row.rate_per_s is None]
    local = _nearest_here(key, candidate, choice, works, snapshot)
    others = [row for row in works if row.device not in key.machine.names(candidate.family)]
    told = tuple(_elsewhere(key, candidate, choice, others, snapshot))
    if local is not None:
        plan = _from_here(key, candidate, choice, local, snapshot, known)
    elif told:
        plan = _from_elsewhere(key, candidate, choice, device, told, known)
    elif has_profile(candidate):
        plan = _from_profile(key, candidate, choice, device, snapshot, known)
    else:
        return None
    if plan.misfit is None and known is not None:
        plan = plan._replace(misfit=excluded(snapshot, known))
    return plan


def _distance(
    key: Key, candidate: Candidate, choice: Choice, row: Measurement
) -> tuple[bool, bool, float, float]:
    """How far a row is from what is asked: its format and backend, its batch, its age."""
    batch = math.log((batch_of(row) or key.batch) / key.batch)
    form = row.precision is None or same_format(row.precision, choice.precision)
    same = fits(row, choice, candidate, key.machine.runs(candidate.family))
    return (
        not form,
        not same,
        round(abs(batch), 9),
        -moment(row.measured_at),
    )


def _nearest_here(
    key: Key,
    candidate: Candidate,
    choice: Choice,
    rows: Sequence[Measurement],
    snapshot: Snapshot,
) -> Measurement | None:
    """The row of this machine that is closest to what is asked: with joules, else with seconds."""
    here = [row for row in rows if row.device in key.machine.names(candidate.family)]
    with_joules = [row for row in here if _scope_of(row, snapshot, key.scope) is not None]
    timed = [row for row in here if row.runtime_s is not None]
    chip = key.machine.runs(candidate.family)
    exact = [row for row in timed if key.holds(row) and fits(row, choice, candidate, chip)]
    for pool in (with_joules, exact, timed):
        if pool:
            return min(pool, key=lambda row: _distance(key, candidate, choice, row))
    return None


def _scope_of(row: Measurement, snapshot: Snapshot, asked: Scope) -> Scope | None:
    """The scope a row has a measured value in: the asked one, else the widest."""
    for scope in (asked, *reversed(SCOPES)):
        joules = ranked(row, snapshot, scope)
        if joules is not None and joules.value_j:
            return scope
    return None


def _basis(row: Measurement, candidate: Candidate, snapshot: Snapshot, asked: Scope) -> Told:
    """What a row tells, in the scope it was measured in."""
    scope = _scope_of(row, snapshot, asked)
    setup = from_measurement(row, worker(snapshot, row, candidate), candidate, scope or asked)
    joules = None if scope is None else ranked(row, snapshot, scope)
    return Told(
        row=row,
        setup=msgspec.structs.replace(setup, runtime_s=None),
        joules=joules.value_j / row.n_items if joules is not None and joules.value_j else None,
        seconds=setup.runtime_s,
    )


def _from_here(
    key: Key,
    candidate: Candidate,
    choice: Choice,
    row: Measurement,
    snapshot: Snapshot,
    known: Evidence | None,
) -> Plan:
    """From a row of this machine that was measured otherwise than asked."""
    told = _basis(row, candidate, snapshot, key.scope)
    same = fits(row, choice, candidate, key.machine.runs(candidate.family))
    alike = same and batch_of(row) in (None, key.batch)
    asked = msgspec.structs.replace(
        told.setup,
        scope=key.scope,
        batch_size=told.setup.batch_size if alike else key.batch,
        precision=row.precision if same else choice.precision,
        runtime_s=told.seconds if alike else key.runtime_s,
    )
    if alike and told.joules is not None:  # only the scope differs: the runtime holds for both
        told = told._replace(setup=msgspec.structs.replace(told.setup, runtime_s=told.seconds))
    return Plan(
        candidate=candidate,
        choice=choice,
        device=snapshot.devices[row.device],
        n_devices=row.n_devices,
        evidence=known,
        asked=asked,
        told=() if alike and told.joules is None else (told,),
        there=True,
        row=row,
    )


def _from_profile(
    key: Key,
    candidate: Candidate,
    choice: Choice,
    device: Device,
    snapshot: Snapshot,
    known: Evidence | None,
) -> Plan:
    """From the compute profile alone."""
    workload = snapshot.workloads[key.workload]
    need = profiles.work(candidate, workload)
    n_devices, misfit = key.machine.fitting(
        device, memory_of(candidate, choice, key.batch, need.tokens * need.passes)
    )
    asked = setup_of(
        candidate, device, workload, choice, key.batch, key.scope, key.runtime_s, n_devices
    )
    return Plan(candidate, choice, device, n_devices, known, asked, misfit=misfit)


def _from_elsewhere(
    key: Key,
    candidate: Candidate,
    choice: Choice,
    device: Device,
    told: tuple[Told, ...],
    known: Evidence | None,
) -> Plan:
    """From the rows of other machines, the setup of the one most alike moved here."""
    nearest = min(told, key=lambda each: _distance(key, candidate, choice, each.row))
    size = candidate.n_parameters or nearest.row.n_parameters
    sized = msgspec.structs.replace(candidate, n_parameters=size)
    needed = memory_of(sized, choice, key.batch, nearest.setup.tokens or 0.0)
    n_devices, misfit = key.machine.fitting(device, needed)
    asked = msgspec.structs.replace(
        nearest.setup,
        device=device,
        scope=key.scope,
        batch_size=key.batch,
        precision=nearest.setup.precision if candidate.family in CLASSICAL else choice.precision,
        runtime_s=key.runtime_s,
        n_devices=float(n_devices),
        n_active=float(n_devices),
        startup=False,
        source=None,
    )
    return Plan(
        candidate, choice, device, n_devices, known, asked, told, row=nearest.row, misfit=misfit
    )


def memory_of(candidate: Candidate, choice: Choice, batch: float, tokens: float) -> float | None:
    """Memory that a candidate needs by its profile, 1e9 bytes; ``None`` where it has none."""
    if candidate.n_parameters is None:
        return profiles.CLASSICAL_GB
    return profiles.memory_gb(candidate, precision_bits(choice.precision), batch, tokens)


def _elsewhere(
    key: Key,
    candidate: Candidate,
    choice: Choice,
    rows: Iterable[Measurement],
    snapshot: Snapshot,
) -> Iterator[Told]:
    """The row of each other machine that is closest to what is asked."""
    by_device: defaultdict[str, list[Measurement]] = defaultdict(list)
    for row in rows:
        idle = row.n_active_devices and row.n_devices and row.n_active_devices < row.n_devices
        if not idle:  # what the working ones drew of the sum was not read
            by_device[row.device].append(row)
    for _, own in sorted(by_device.items())[:DEVICES]:
        nearest = min(own, key=lambda row: _distance(key, candidate, choice, row))
        told = _basis(nearest, candidate, snapshot, key.scope)
        if told.joules is not None or told.seconds is not None:
            yield told


def estimated(
    key: Key, plans: Sequence[Plan], snapshot: Snapshot, estimator: Estimator
) -> list[Entry]:
    """Entries of plans."""
    told = [each for plan in plans for each in plan.told]
    found = estimator.predict([*(plan.asked for plan in plans), *(each.setup for each in told)])
    of_told = iter(zip(told, found[len(plans) :], strict=True))
    spreads = iter(_ratio_sds([plan for plan in plans if plan.there and plan.told], estimator))
    entries = []
    for plan, prediction in zip(plans, found, strict=False):
        against = [next(of_told) for _ in plan.told]
        sd = next(spreads) if plan.there and plan.told else None
        entries.append(_entry(key, plan, prediction, against, sd, snapshot))
    return entries


def _ratio_sds(plans: Sequence[Plan], estimator: Estimator) -> list[float]:
    """Standard deviation of the log ratio of each plan's asked setup and its row's."""
    sds = [0.0] * len(plans)
    by_device: defaultdict[str, list[int]] = defaultdict(list)
    for place, plan in enumerate(plans):
        by_device[plan.device.name].append(place)
    for places in by_device.values():
        pairs = [plans[p].asked for p in places] + [plans[p].told[0].setup for p in places]
        n, covariance = len(places), estimator.covariance(pairs)
        diagonal = np.diag(covariance)
        both = np.array([covariance[k, n + k] for k in range(n)])
        variance = np.maximum(diagonal[:n] + diagonal[n:] - 2 * both, 0.0)
        for place, value in zip(places, np.sqrt(variance + LEAST_SD**2), strict=True):
            sds[place] = float(value)
    return sds


def _entry(
    key: Key,
    plan: Plan,
    prediction: Prediction,
    against: Sequence[tuple[Told, Prediction]],
    sd: float | None,
    snapshot: Snapshot,
) -> Entry:
    """One entry: its estimate, scaled by what rows needed beyond theirs."""
    share = 1.0 if plan.there else ELSEWHERE
    joules = [
        math.log(each.joules / found.energy_j.value)
        for each, found in against
        if each.joules and found.energy_j.value
    ]
    seconds = [
        math.log(each.seconds / found.runtime_s.value)
        for each, found in against
        if each.seconds and found.runtime_s.value
    ]
    shift_s = share * fmean(seconds or joules or [0.0])
    shift_j = share * fmean(joules or seconds or [0.0])
    row = plan.row
    half = math.log((prediction.energy_j.high or 1.0) / (prediction.energy_j.value or 1.0))
    cv = (row.cv or 0.0) if row is not None and plan.there else 0.0
    if sd is not None and joules:
        half = math.hypot(of_a_repeat(row.repeats if row else None) * cv, Z90 * sd)
    else:
        half = math.hypot(half, Z90 * cv)
    value = 1000 * (prediction.energy_j.value or 0.0) * math.exp(shift_j)
    basis: Basis = prediction.energy_j.basis
    if joules and plan.there and basis != "extrapolated":
        basis = "estimated"
    given = plan.asked.runtime_s is not None
    return Entry(
        candidate=plan.candidate,
        device=plan.device,
        choice=plan.choice,
        batch_size=plan.asked.batch_size,
        n_devices=plan.n_devices,
        energy=EnergyPer1000(
            value=value,
            low=value * math.exp(-half),
            high=value * math.exp(half),
            basis=basis,
            scope=key.scope,
            label="estimated",
        ),
        runtime=_runtime(prediction, 0.0 if given else shift_s, row if plan.there else None),
        evidence=plan.evidence,
        row=row,
        there=plan.there,
        setup=plan.asked,
        prediction=prediction,
        converted=_words(key, plan, snapshot) if against else "",
        misfit=plan.misfit,
        codes=("energy-converted",) if joules and plan.there else (),
    )


def _runtime(
    prediction: Prediction, shift: float, row: Measurement | None
) -> RuntimePer1000 | None:
    """Seconds per 1,000 texts of an estimate."""
    found = prediction.runtime_s
    if not found.value:
        return None
    times, half = 1000 * math.exp(shift), Z90 * (row.cv or 0.0) if row else 0.0
    return RuntimePer1000(
        value=times * found.value,
        low=times * (found.low or 0.0) * math.exp(-half),
        high=times * (found.high or 0.0) * math.exp(half),
        basis=found.basis,
    )


def _words(key: Key, plan: Plan, snapshot: Snapshot) -> str:
    """From what rows an energy was converted."""
    if plan.there and plan.row is not None:
        row = plan.row
        said = [f"scope {scope}"] if (scope := _scope_of(row, snapshot, key.scope)) else []
        size = batch_of(row)
        said += [] if size is None else [f"batch {size:g}"]
        said += [row.precision] if row.precision else []
        return f"measured on {row.device} ({', '.join(said)})"
    devices = sorted({each.row.device for each in plan.told})
    more = f" and {len(devices) - 2} more" if len(devices) > 2 else ""
    return f"measured on {', '.join(devices[:2])}{more}"


def of_row(
    key: Key,
    candidate: Candidate,
    choice: Choice,
    row: Measurement,
    snapshot: Snapshot,
    estimator: Estimator,
    known: Evidence | None,
) -> Entry | None:
    """The estimate of a row where it was taken; ``None`` where it has neither joules nor time."""
    if row.rate_per_s is not None:
        return None  # its runtime holds waiting, which the estimator would charge as work
    if row.runtime_s is None and _scope_of(row, snapshot, key.scope) is None:
        return None
    plan = _from_here(key, candidate, choice, row, snapshot, known)
    return estimated(key, [plan], snapshot, estimator)[0]
