"""Plans of estimates: what the estimator is asked for a setup that was not measured as it is asked.

A row of another batch, numeric format, scope or machine is converted by the ratio of two estimates:
the asked setup's over the row's own. A plan names both setups; `estimation` carries it out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from advisor.estimator.setup import Setup, batch_of, from_measurement, precision_bits
from advisor.recommend.entries import Key, ranked
from advisor.recommend.machine import worker
from advisor.recommend.qualification import excluded
from advisor.recommend.records import Reason
from advisor.recommend.serving import Choice, fits, has_profile, same_format, served_as, setup_of
from catalog import profiles
from catalog.evidence import Evidence
from catalog.records import SCOPES, Candidate, Device, Measurement, Scope, moment
from catalog.registry.families import CLASSICAL
from catalog.snapshot import Snapshot

DEVICES = 30
"""Other machines that tell about a candidate: a mean is known long before."""
FEWEST_NETWORKS = 3
"""Networks on a machine from which on one of them tells of others: assumed."""


class Case(NamedTuple):
    """A candidate with one serving choice that is to be priced.

    Attributes:
        rows: Its inference rows on the workload of `key`, of every machine.
        known: What is known of its accuracy in this numeric format.
        stated_s: Seconds per text that whoever asks has measured with this choice.
    """

    key: Key
    candidate: Candidate
    choice: Choice
    rows: Sequence[Measurement]
    snapshot: Snapshot
    known: Evidence | None
    stated_s: float | None = None

    @property
    def device(self) -> Device:
        """The chip of the machine that does the work."""
        return self.key.machine.runs(self.candidate.family)

    def fits(self, row: Measurement) -> bool:
        """Whether a row was measured with this serving choice."""
        return fits(row, self.choice, self.candidate, self.device)

    def here(self) -> list[Measurement]:
        """The rows of this machine."""
        names = self.key.machine.names(self.candidate.family)
        return [row for row in self.rows if row.device in names]

    def distance(self, row: Measurement) -> tuple[bool, bool, float, float]:
        """How far a row is from what is asked: its format, its backend, its batch, its age."""
        batch = math.log((batch_of(row) or self.key.batch) / self.key.batch)
        alike = row.precision is None or same_format(row.precision, self.choice.precision)
        return not alike, not self.fits(row), round(abs(batch), 9), -moment(row.measured_at)


class Told(NamedTuple):
    """A row that tells what a candidate needs, and the setup it was measured in.

    `joules` and `seconds` are measured ones per text; one of them may be missing.
    """

    row: Measurement
    setup: Setup
    joules: float | None
    seconds: float | None


class Plan(NamedTuple):
    """How an entry comes to its price: the estimate of `asked`, scaled by what rows needed.

    Attributes:
        n_devices: Devices whose energy counts; ``None`` where the row does not say.
        told: Rows that scale the estimate.
        there: Whether they were measured on this machine.
        row: The row behind the entry.
    """

    case: Case
    device: Device
    n_devices: int | None
    asked: Setup
    told: tuple[Told, ...] = ()
    there: bool = False
    row: Measurement | None = None
    misfit: tuple[Reason, str] | None = None

    @property
    def stated(self) -> bool:
        """Whether its seconds are those that whoever asks has measured."""
        return self.asked.runtime_s is not None and self.asked.runtime_s == self.case.stated_s


def planned(case: Case) -> Plan | None:
    """How a case is estimated; ``None`` where nothing tells what it needs."""
    if case.key.basis == "measured" or case.key.scenario == "server":
        return None
    local = _nearest_here(case)
    if local is not None:
        plan = from_here(case, local)
    elif told := tuple(_elsewhere(case)):
        plan = _from_elsewhere(case, told)
    elif has_profile(case.candidate):
        plan = _from_profile(case)
    else:
        return None
    if plan.misfit is None and case.known is not None:
        plan = plan._replace(misfit=excluded(case.snapshot, case.known))
    return plan


def _works(row: Measurement) -> bool:
    """Whether a row holds work alone: at a request rate it holds waiting, too."""
    return row.scenario != "server" and row.rate_per_s is None


def _nearest_here(case: Case) -> Measurement | None:
    """The row of this machine that is closest to what is asked: with joules, else with seconds."""
    here = list(filter(_works, case.here()))
    with_joules = [row for row in here if scope_of(case, row) is not None]
    timed = [row for row in here if row.runtime_s is not None]
    exact = [row for row in timed if case.key.holds(row) and case.fits(row)]
    return min(with_joules or exact or timed, key=case.distance, default=None)


def scope_of(case: Case, row: Measurement) -> Scope | None:
    """The scope a row has a measured value in: the asked one, else the widest."""
    for scope in (case.key.scope, *reversed(SCOPES)):
        joules = ranked(row, case.snapshot, scope)
        if joules is not None and joules.value_j:
            return scope
    return None


def _told(case: Case, row: Measurement) -> Told:
    """What a row tells, in the scope it was measured in."""
    scope, chip = scope_of(case, row), worker(case.snapshot, row, case.candidate)
    workload = case.snapshot.workloads.get(row.workload)
    setup = from_measurement(row, chip, case.candidate, scope or case.key.scope, workload)
    joules = None if scope is None else ranked(row, case.snapshot, scope)
    return Told(
        row=row,
        setup=msgspec.structs.replace(setup, runtime_s=None),
        joules=joules.value_j / row.n_items if joules is not None and joules.value_j else None,
        seconds=setup.runtime_s,
    )


def from_here(case: Case, row: Measurement) -> Plan:
    """From a row of this machine that was measured otherwise than asked."""
    key, told, same = case.key, _told(case, row), case.fits(row)
    device = case.device if key.machine.instance is not None else told.setup.device
    part = key.machine.part(device, row.n_devices)
    alike = same and batch_of(row) in (None, key.batch) and part.get("share", 1.0) == 1.0
    choice = case.choice if not same else None
    asked = served_as(
        told.setup,
        choice,
        device=device,
        scope=key.scope,
        batch_size=told.setup.batch_size if alike else key.batch,
        runtime_s=(told.seconds if alike else None) or case.stated_s,
        **part,
    )
    if alike and told.joules is not None:  # only the scope differs: the runtime holds for both
        told = told._replace(setup=msgspec.structs.replace(told.setup, runtime_s=told.seconds))
    _, misfit = (None, None) if not part else _fitting(case, case.candidate, told.setup.tokens)
    return Plan(
        case,
        device if part else case.snapshot.devices[row.device],
        row.n_devices,
        asked,
        told=() if alike and told.joules is None else (told,),
        there=True,
        row=row,
        misfit=misfit,
    )


def _from_profile(case: Case) -> Plan:
    """From the compute profile alone."""
    key, workload = case.key, case.snapshot.workloads[case.key.workload]
    need = profiles.work(case.candidate, workload)
    number, misfit = _fitting(case, case.candidate, need.tokens * need.passes)
    asked = setup_of(
        case.candidate,
        case.device,
        workload,
        case.choice,
        key.batch,
        key.scope,
        case.stated_s,
        number,
    )
    asked = msgspec.structs.replace(asked, **key.machine.part(case.device, number))
    return Plan(case, case.device, number, asked, misfit=misfit)


def _from_elsewhere(case: Case, told: tuple[Told, ...]) -> Plan:
    """From the rows of other machines, the setup of the one most alike moved here."""
    nearest = min(told, key=lambda each: case.distance(each.row))
    size = case.candidate.n_parameters or nearest.row.n_parameters
    sized = msgspec.structs.replace(case.candidate, n_parameters=size)
    number, misfit = _fitting(case, sized, nearest.setup.tokens)
    asked = served_as(
        nearest.setup,
        None if case.candidate.family in CLASSICAL else case.choice,
        device=case.device,
        scope=case.key.scope,
        batch_size=case.key.batch,
        runtime_s=case.stated_s,
        n_devices=float(number),
        n_active=float(number),
        startup=False,
        source=None,
        **({"share": 1.0, "host_w": None} | case.key.machine.part(case.device, number)),
    )
    return Plan(case, case.device, number, asked, told, row=nearest.row, misfit=misfit)


def _fitting(
    case: Case, candidate: Candidate, tokens: float | None
) -> tuple[int, tuple[Reason, str] | None]:
    """How many devices hold a candidate with its activations, and why none do."""
    needed: float | None = profiles.CLASSICAL_GB
    if candidate.n_parameters is not None:
        bits = precision_bits(case.choice.precision)
        needed = profiles.memory_gb(candidate, bits, case.key.batch, tokens or 0.0)
    return case.key.machine.fitting(case.device, needed)


def _elsewhere(case: Case) -> Iterator[Told]:
    """The row of each other machine that is closest to what is asked.

    Where fewer than `FEWEST_NETWORKS` networks ran, what one needed beyond its estimate is the
    machine's as likely as its own, and tells nothing of another machine.
    """
    own, ran = case.key.machine.names(case.candidate.family), case.snapshot.networks
    alone = case.candidate.family in CLASSICAL or not has_profile(case.candidate)
    by_device: defaultdict[str, list[Measurement]] = defaultdict(list)
    for row in filter(_works, case.rows):
        idle = row.n_active_devices and row.n_devices and row.n_active_devices < row.n_devices
        tells = alone or ran.get(row.device, 0) >= FEWEST_NETWORKS
        if row.device not in own and tells and not idle:  # what working ones drew was not read
            by_device[row.device].append(row)
    for _, rows in sorted(by_device.items())[:DEVICES]:
        told = _told(case, min(rows, key=case.distance))
        if told.joules is not None or told.seconds is not None:
            yield told
