"""What a setup needed elsewhere, carried to a device where it was never run.

Two things say what it will need there: the estimator, from data sheets and the rows of that device;
and what it was measured with on other devices, times how this device compares with those on the
candidates that ran on both. The answer lies between them in natural logs. Runtime moves along with
the energy, so that their quotient stays the power that the estimator expects of the device. How
much either counts was chosen by `scripts/brought.py`.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from weakref import WeakKeyDictionary

import msgspec

from advisor.estimator.estimator import Prediction
from advisor.estimator.power import DEFAULT_BATCH
from advisor.estimator.setup import batch_of
from catalog.energy import energy
from catalog.records import Device, Estimate, Measurement, Scope
from catalog.snapshot import Snapshot
from catalog.staleness import newest_of

HEADROOM = 1.1
"""Mean power over the stated limit that an estimate may imply in scope ``device``: declared; a data
sheet's limit holds on average, and counters of boards err by about 5 %."""
DOUBT = 0.2
"""Rows' worth of doubt about how a device compares with others, as for the baselines of
`advisor.evaluation.cross_validation`."""

MOST_DEVICES, MOST_ROWS = 30, 300
"""Other devices that tell about a candidate, and rows that tell about a device; a mean is known
long before."""


class Carrying(msgspec.Struct, frozen=True):
    """How much of what was measured elsewhere counts.

    Attributes:
        share: Of the way (in logs) from the estimator's value to what was measured elsewhere.
        by_time: The same where only seconds tell.
        reach: Half of the interval over the estimator's own, which knows of no measurement
            elsewhere; on a device with rows of its own.
        blank: The same on a device nobody measured anything on.
    """

    share: float
    by_time: float
    reach: float
    blank: float


CARRYING = Carrying(share=0.85, by_time=0.7, reach=0.85, blank=1.0)
"""Chosen by `scripts/brought.py`: both shares on one half of the devices, `reach` and `blank` so
that the intervals cover 90 % on either half."""


def carried(
    found: Prediction,
    way: float | None,
    carrying: Carrying,
    most_w: float | None,
    *,
    blank: bool,
) -> Prediction:
    """A prediction for a device with what the setup needed elsewhere.

    Args:
        found: The estimator's alone.
        way: What `shifts` gives; ``None`` where nothing was measured.
        carrying: How much it narrows the interval.
        most_w: Watts the estimate may imply; beyond, the joules are those of that power over the
            runtime, and the interval still reaches as high as it did.
        blank: Whether nothing was measured on the device.
    """
    further, reach = 0.0, 1.0
    if way is not None:
        further, reach = way, carrying.blank if blank else carrying.reach
    joules, seconds = found.energy_j, found.runtime_s
    excess = 0.0
    if most_w and joules.value and seconds.value:
        excess = max(0.0, math.log(joules.value / seconds.value / most_w))
    return msgspec.structs.replace(
        found,
        energy_j=_shifted(joules, further - excess, reach, excess),
        runtime_s=_shifted(seconds, further, reach),
        carried=way is not None,
    )


def _shifted(found: Estimate, shift: float, reach: float, further: float = 0.0) -> Estimate:
    """An estimate moved by `shift` (log), half its interval times `reach` plus `further`."""
    if not found.value or not found.high:
        return found
    value = found.value * math.exp(shift)
    half = reach * math.log(found.high / found.value) + further
    return msgspec.structs.replace(
        found, value=value, low=value * math.exp(-half), high=value * math.exp(half)
    )


def limit_w(device: Device, scope: Scope) -> float | None:
    """Watts that one device can draw on average in a scope; ``None`` where nobody can tell."""
    stated = device.power_max_w or device.tdp_w
    return HEADROOM * stated if stated and scope == "device" else None


Log = Callable[[Measurement], float | None]


def log_joules(devices: Mapping[str, Device], scope: Scope, row: Measurement) -> float | None:
    """Log joules per text of a row that were measured in a scope, at least in part.

    ``None`` where idle devices are in the sum: what the working ones drew of it nobody read.
    """
    if row.n_active_devices and row.n_devices and row.n_active_devices < row.n_devices:
        return None
    found = energy(row, devices[row.device].kind, scope)
    if found is None or not found.value_j or found.label == "modelled":
        return None
    return math.log(found.value_j / row.n_items)


def log_seconds(row: Measurement) -> float | None:
    """Log seconds of work per text, times the devices that work on it."""
    if not row.runtime_s or row.scenario == "server":
        return None  # it holds waiting
    return math.log(row.runtime_s / row.n_items * (row.n_active_devices or row.n_devices or 1))


def unlike(one: Measurement, two: Measurement) -> tuple[bool, float]:
    """How far two setups of a candidate are from each other: precision first, then batch size."""
    batches = (math.log(batch_of(row) or DEFAULT_BATCH) for row in (one, two))
    return one.precision != two.precision, abs(next(batches) - next(batches))


def of_few_devices(rows: Iterable[Measurement]) -> Iterator[Measurement]:
    """Rows of the first `MOST_DEVICES` devices."""
    devices: set[str] = set()
    for row in rows:
        if len(devices) < MOST_DEVICES or row.device in devices:
            devices.add(row.device)
            yield row


def elsewhere(like: Measurement, rows: Iterable[Measurement], log: Log) -> float | None:
    """What a candidate needed on other devices: the mean of each one's rows most like a setup."""
    by_device: defaultdict[str, list[tuple[tuple[bool, float], float]]] = defaultdict(list)
    for row in rows:
        if (value := log(row)) is not None:
            by_device[row.device].append((unlike(like, row), value))
    if not by_device:
        return None
    least = {device: min(apart for apart, _ in own) for device, own in by_device.items()}
    return fmean(
        fmean(value for apart, value in own if apart == least[device])
        for device, own in by_device.items()
    )


class Compared:
    """How one device compares with others on the candidates that ran on both.

    Rows of a stated request rate hold idle time, stale ones tell of another machine: they do not
    count.

    Attributes:
        blank: Whether nothing was measured on the device.
    """

    def __init__(self, snapshot: Snapshot, device: str) -> None:
        own = [row for row in snapshot.current if row.device == device and _works(row)]
        self.blank = not own
        newest = newest_of(snapshot)
        own = [row for row in own[:: 1 + len(own) // MOST_ROWS] if not newest.changes(row)]
        wanted = {_question(row) for row in own}
        others: defaultdict[tuple[str, str, str], list[Measurement]] = defaultdict(list)
        for name in {row.workload for row in own}:
            for row in snapshot.by_workload[name]:
                if row.device != device and _works(row) and _question(row) in wanted:
                    others[_question(row)].append(row)
        few = {question: list(of_few_devices(rows)) for question, rows in others.items()}
        self._devices = snapshot.devices  # not the snapshot, which must not outlive its users
        self._pairs = [(row, few.get(_question(row), [])) for row in own]
        self._found: dict[Scope | None, float] = {}

    def ratio(self, scope: Scope | None) -> float:
        """Log of joules in a scope (of seconds without one) here over elsewhere, shrunk to 0."""
        if scope not in self._found:
            log = _once(log_seconds if scope is None else self._log_joules(scope))
            logs: defaultdict[str, list[float]] = defaultdict(list)
            for row, others in self._pairs:
                here, there = log(row), elsewhere(row, others, log)
                if here is not None and there is not None:
                    logs[row.candidate].append(here - there)
            means = [fmean(own) for own in logs.values()]
            self._found[scope] = sum(means) / (len(means) + DOUBT)
        return self._found[scope]

    def _log_joules(self, scope: Scope) -> Log:
        return functools.partial(log_joules, self._devices, scope)


def _once(log: Log) -> Log:
    """The same, worked out once for each row."""
    known: dict[int, float | None] = {}

    def found(row: Measurement) -> float | None:
        if id(row) not in known:
            known[id(row)] = log(row)
        return known[id(row)]

    return found


def _works(row: Measurement) -> bool:
    """Whether a row is of inference without waiting."""
    return row.phase == "inference" and row.rate_per_s is None


def _question(row: Measurement) -> tuple[str, str, str]:
    """What the same candidate was asked to do."""
    return row.candidate, row.workload, row.scenario


_COMPARED: WeakKeyDictionary[Snapshot, dict[str, Compared]] = WeakKeyDictionary()


def compared(snapshot: Snapshot, device: str) -> Compared:
    """The comparison of a device, made once for as long as the snapshot lives."""
    known = _COMPARED.setdefault(snapshot, {})
    if device not in known:
        known[device] = Compared(snapshot, device)
    return known[device]


def shifts(
    setups: Sequence[Measurement],
    rows: Sequence[Measurement],
    found: Sequence[Prediction],
    device: Compared,
    snapshot: Snapshot,
    scope: Scope,
    carrying: Carrying,
) -> list[float | None]:
    """How far (log) each prediction moves to what was measured; ``None`` where nobody knows.

    Args:
        setups: As they were measured elsewhere.
        rows: All rows of their candidates on the same work, on other devices.
        found: The estimator's for the asked device.
        device: How it compares with others.
        snapshot: Where the rows stand.
        scope: Of the predictions; where no energy was measured in it, runtimes tell.
        carrying: How much either tells.
    """
    by_candidate: defaultdict[str, list[Measurement]] = defaultdict(list)
    for row in filter(_works, rows):
        by_candidate[row.candidate].append(row)
    few = {name: list(of_few_devices(own)) for name, own in by_candidate.items()}
    log = _once(functools.partial(log_joules, snapshot.devices, scope))
    result: list[float | None] = []
    for setup, prediction in zip(setups, found, strict=True):
        own = few.get(setup.candidate, [])
        joules, seconds = elsewhere(setup, own, log), None
        if joules is not None:
            expected = prediction.energy_j.value or 1.0
            away = joules + device.ratio(scope) - math.log(expected)
            result.append(carrying.share * away)
        elif (seconds := elsewhere(setup, own, log_seconds)) is not None:
            expected = prediction.runtime_s.value or 1.0
            away = seconds + device.ratio(None) - math.log(expected)
            result.append(carrying.by_time * away)
        else:
            result.append(None)
    return result
