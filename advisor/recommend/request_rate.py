"""A machine of its own at a request rate: it works on what has arrived and waits in between.

For setups that were not measured at the asked rate. One text comes every 1/R seconds on average;
the machine is busy for t of them, at the joules that were measured (or estimated) for its work, and
draws its idle watts for the rest. Idle watts belong to the machine: every candidate on it waits at
the same, and none works at less.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from advisor.estimator.estimator import Estimator
from advisor.estimator.idle_power import SPREAD
from advisor.estimator.setup import Setup
from advisor.recommend.entries import NOISE, Absent, Entry, Key, Prices, Served
from advisor.recommend.option import least_devices
from advisor.recommend.records import EnergyPer1000, RuntimePer1000, WarningCode
from catalog.energy import components, energy
from catalog.quantity import Quantity
from catalog.records import Basis, Device, Measurement, Scope
from catalog.snapshot import Snapshot

DEFAULT_RATE = 1.0
"""Texts per second where neither the question nor a row states a rate."""
SORTED = "length-sorted"
"""Repeat group of batches put together from all texts; those that arrive cannot be sorted."""
_OWN: dict[Scope, frozenset[str]] = {
    "device": frozenset({"gpu", "npu", "board"}),
    "host": frozenset({"gpu", "npu", "board", "cpu", "dram"}),
    "wall": frozenset({"gpu", "npu", "board", "cpu", "dram", "wall"}),
}
"""Components within each scope; of a CPU the `cpu` too is within `device`."""


class Idle(NamedTuple):
    """Watts of a machine that waits and the most it draws, and what is doubtful about them.

    `read` where they were read on it, in the scope and with a model loaded.
    """

    watts: Quantity
    limit: float
    codes: tuple[WarningCode, ...]
    read: bool


class Waiting:
    """Idle watts of the machine of a key, by the chip that works and how many there are.

    Args:
        key: Machine and scope.
        snapshot: Whose rows may have read them.
        estimator: Whose power model declares them where none did.
    """

    def __init__(self, key: Key, snapshot: Snapshot, estimator: Estimator) -> None:
        self._key, self._snapshot, self._estimator = key, snapshot, estimator
        self._known: dict[tuple[str, int], Idle] = {}

    def of(self, device: Device, n_devices: int) -> Idle:
        """Watts of some devices of one kind with what the scope holds around them."""
        if (device.name, n_devices) not in self._known:
            self._known[device.name, n_devices] = self._found(device, n_devices)
        return self._known[device.name, n_devices]

    def _found(self, device: Device, n_devices: int) -> Idle:
        """Read in runs on the machine, else declared; a reading of a part is the low end."""
        scope, part = self._key.scope, self._key.machine.part(device, n_devices)
        setup = Setup(device=device, scope=scope, n_devices=float(n_devices))
        declared = self._estimator.machine_watts(msgspec.structs.replace(setup, **part))
        parts, whole = self._readings(device, n_devices, part)
        if whole:
            watts = statistics.median(whole)
            ends = Quantity(watts * (1 - NOISE), watts, watts * (1 + NOISE))
            return Idle(ends, max(declared.limit, watts), (), read=True)
        codes: tuple[WarningCode, ...] = ("idle-assumed",)
        if not declared.stated:
            codes = ("device-specs-assumed", *codes)
        least, own = max(parts, default=0.0), declared.idle
        value = max(own.value or 0.0, least * (1 + NOISE))
        ends = Quantity(max(own.least, least), value, max(own.high or 0.0, least * SPREAD))
        return Idle(ends, max(declared.limit, value), codes, read=False)

    def _readings(
        self, device: Device, n_devices: int, part: Mapping[str, float]
    ) -> tuple[list[float], list[float]]:
        """Idle watts read on such a machine: of a part of the scope, and of all of it."""
        found: tuple[list[float], list[float]] = ([], [])
        if "host_w" in part and self._key.scope != "device":
            return found  # of another host
        for row in self._snapshot.current:
            if row.device == device.name and (row.n_devices or 1) == n_devices:
                watts, whole = reading(row, device, self._key.scope)
                if watts is not None:
                    found[whole].append(watts * part.get("share", 1.0))
        return found


def rate_of(rows: Iterable[Measurement], asked: float | None) -> float | None:
    """The request rate an answer is about: the asked one, else the commonest of the rows.

    ``None`` where rows were measured as requests arrived and none states how many.
    """
    if asked is not None:
        return asked
    served = [row for row in rows if row.scenario == "server"]
    rates = Counter(row.rate_per_s for row in served if row.rate_per_s is not None)
    if not rates:
        return None if served else DEFAULT_RATE
    return min(rates, key=lambda rate: (-rates[rate], rate))


def reading(row: Measurement, device: Device, scope: Scope) -> tuple[float | None, bool]:
    """Idle watts read in the run that lie within the scope; whether they are all of it."""
    watts = row.idle_resident_w or row.idle_w
    known = components(row)
    read = {name for name, (_, label) in known.items() if label == "measured"}
    own = _OWN[scope] | ({"cpu"} if device.kind == "cpu" else set())
    there = energy(row, device.kind, scope)
    if watts is None or not read <= own or (not read and there is None):
        return None, False
    parts = set() if there is None else set(there.parts.split("+"))
    taken = there is not None and there.label == "measured" and (not read or read == parts)
    return watts, taken and row.idle_resident_w is not None


def at_rate(key: Key, measured: Prices, work: Sequence[Prices], waiting: Waiting) -> Prices:
    """Prices at a request rate: those measured at it, and others derived from their work.

    For each candidate and serving choice: one text at a time where that keeps up, else the batches
    that do, with the machine busy all the time; what was run on the machine goes first. Where
    nothing keeps up the fastest stands, busy all the time.

    Args:
        key: With its rate.
        measured: Entries measured at this very rate.
        work: Prices of the scenarios ``single`` and ``offline``.
        waiting: Idle watts of the machine.
    """
    known = {_setup(entry) for entry in measured.entries}
    able = [
        entry
        for part in work
        for entry in part.entries
        if entry.runtime is not None and (entry.row is None or entry.row.repeat_group != SORTED)
    ]
    groups: defaultdict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for entry in able:
        if _setup(entry) not in known:
            groups[_setup(entry)].append(entry)
    made = [_preferred(_ways(key, group, waiting)) for group in groups.values()]
    entries = [*measured.entries, *made]
    seen = {entry.candidate.name for entry in entries}
    absent = {each.candidate: each for part in (*work, measured) for each in part.absent}
    for entry in (each for part in work for each in part.entries):
        absent[entry.candidate.name] = Absent(
            entry.candidate.name,
            entry.device.name,
            "runtime-unknown",
            "no runtime, so nothing tells how long it waits at that rate",
        )
    return Prices(key, entries, [each for name, each in absent.items() if name not in seen])


def _setup(entry: Entry) -> tuple[str, ...]:
    """What a measurement at the rate makes needless to derive."""
    return entry.candidate.name, entry.choice.backend, entry.choice.precision


def _ways(key: Key, group: Sequence[Entry], waiting: Waiting) -> list[Entry]:
    """One setup's ways to work at a rate.

    Batches form while the model is busy. Where one text at a time does not keep up it is busy all
    the time, so batches cost what the machine draws at work for as long as texts take to arrive.
    """
    ways = [_served(key, work, waiting) for work in group]
    singles = [way.served.busy for way in ways if way.served and way.batch_size == 1]
    if not singles or min(singles) <= 1:
        return ways
    busy = (way if way.batch_size == 1 else _saturated(way.work, key) for way in ways)
    return [way if way.served else _served(key, way, waiting) for way in busy]


def _saturated(work: Entry, key: Key) -> Entry:
    """Work spread over the whole time between arrivals; as it is where that is not longer."""
    seconds, joules = work.runtime, work.energy
    if seconds is None or key.rate_per_s is None:
        raise ValueError("an entry without a runtime has no energy at a rate")
    times = 1000 / key.rate_per_s / seconds.value * (1 - 1e-9)
    if times <= 1:
        return work
    ends = {end: (v := getattr(joules, end)) and v * times for end in ("low", "value", "high")}
    spread = {end: getattr(seconds, end) * times for end in ("low", "value", "high")}
    return msgspec.structs.replace(
        work,
        energy=msgspec.structs.replace(joules, **ends),
        runtime=msgspec.structs.replace(seconds, **spread),
    )


def _preferred(group: Sequence[Entry]) -> Entry:
    """Of one setup's ways the surest that keeps up, cheapest first; else the fastest."""
    able = [entry for entry in group if entry.served is not None and entry.served.busy <= 1]

    def way(entry: Entry) -> tuple[bool, bool, bool, float]:
        work = entry.work
        converted = "energy-converted" in work.codes
        return not work.there, converted, "batches-assumed" in entry.codes, entry.joules

    if able:
        return min(able, key=way)
    return min(group, key=lambda entry: entry.served.busy if entry.served else math.inf)


def _served(key: Key, work: Entry, waiting: Waiting) -> Entry:
    """An entry at a rate."""
    seconds, per_1000, rate = work.runtime, work.energy, key.rate_per_s
    if seconds is None or rate is None:
        raise ValueError("an entry without a runtime has no energy at a rate")
    busy = Quantity(seconds.low / 1000, seconds.value / 1000, seconds.high / 1000)
    row = work.row if work.there else None
    found = waiting.of(work.device, work.n_devices or least_devices(work) or 1)
    served = Served(work, rate, busy, found.watts, found.read)
    window = max(1000 / rate, seconds.value)
    spent = _spent(served, seconds, found, window)
    basis: Basis = "estimated" if per_1000.basis == "measured" else per_1000.basis
    single = work.batch_size == 1 or (
        row is not None and work.measured and row.scenario == "single"
    )
    codes: list[WarningCode] = ["rate-worked-out", *found.codes]
    codes += [] if single else ["batches-assumed"]
    codes += ["rate-near-capacity"] if rate * (busy.high or 0.0) > 1 else []
    return msgspec.structs.replace(
        work,
        energy=EnergyPer1000(
            value=spent.value,
            low=spent.least,
            high=spent.high,
            basis=basis,
            scope=per_1000.scope,
            label="estimated",
        ),
        runtime=msgspec.structs.replace(
            seconds,
            value=window,
            low=window,
            high=window,
            basis="estimated" if seconds.basis in ("measured", "stated") else seconds.basis,
        ),
        served=served,
        codes=tuple(codes),
    )


def _spent(served: Served, seconds: RuntimePer1000, idle: Idle, window: float) -> Quantity:
    """Joules of 1,000 texts that come within a window of seconds.

    Ends are added to ends. Work never draws less than waiting, and at the high end the machine
    never more than its limit.
    """
    low, high, work = idle.watts.least, idle.watts.high or 0.0, served.work
    found = served.joules(idle.watts.value or 0.0)
    least = max((work.energy.low or 0.0) + low * max(window - seconds.high, 0.0), low * window)
    most = work.joules if work.energy.high is None else max(work.energy.high, work.joules)
    worst = max(most, high * seconds.value) + high * (window - min(seconds.low, window))
    limit = idle.limit * max(window, seconds.high)
    return Quantity(min(least, found), found, max(found, min(worst, max(limit, work.joules))))
