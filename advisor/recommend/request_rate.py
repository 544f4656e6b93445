"""A machine of its own at a request rate: it works on what has arrived and waits in between.

For setups that were not measured at the asked rate. One text comes every 1/R seconds on average;
the machine is busy for t of them, at the joules that were measured (or estimated) for its work, and
draws its idle watts for the rest. Arithmetic: `advisor.energy_arithmetic`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from advisor.energy_arithmetic import Setting, joules
from advisor.recommend.entries import Absent, Entry, Key, Prices, Served
from advisor.recommend.option import least_devices
from advisor.recommend.records import EnergyPer1000, WarningCode
from catalog.energy import components, energy
from catalog.hardware.device_defaults import CompletedDevice, completed
from catalog.quantity import Quantity, total
from catalog.records import Basis, Device, Measurement, Scope

DEFAULT_RATE = 1.0
"""Texts per second where neither the question nor a row states a rate."""
SORTED = "length-sorted"
"""Repeat group of batches put together from all texts; those that arrive cannot be sorted."""
RESIDENT = (1.0, 2.0, 4.0)
"""Watts of a card with a model on it over its idle watts without one: A40 110 of 30 W, P40 45 of
10 W, and no more than bare where the driver clocks down (bundled device table)."""
SPREAD = 2.5
"""Declared factor to either side of idle watts that were not read: of TDP 6 to 38 % for a chip,
where bare cards draw 5 to 15 % and an A40 with a model on it 37 %."""
IDLE_SHARE = 0.15
"""Idle power of a chip with a model loaded over its TDP, declared."""
MEMORY_SHARE = 0.2
"""Power of memory over the TDP of the CPU it belongs to, declared."""
SUPPLY_EFFICIENCY = 0.9
HOST_W = {"edge": 3.0, "desktop": 60.0, "server": 200.0}
"""Idle watts around the devices of a machine, by its class, declared."""
_OWN: dict[Scope, frozenset[str]] = {
    "device": frozenset({"gpu", "npu", "board"}),
    "host": frozenset({"gpu", "npu", "board", "cpu", "dram"}),
    "wall": frozenset({"gpu", "npu", "board", "cpu", "dram", "wall"}),
}
"""Components within each scope; of a CPU the `cpu` too is within `device`."""


class Idle(NamedTuple):
    """Watts of a machine that waits, and what is doubtful about them; `read` in the run itself."""

    watts: Quantity
    codes: tuple[WarningCode, ...]
    read: bool


class Working(NamedTuple):
    """The least mean watts seen of a machine at work: the figure and its high end."""

    value: float
    high: float


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


def idle(
    row: Measurement | None, device: Device, n_devices: int, scope: Scope, working: Working
) -> Idle:
    """Idle watts with the model loaded: read in the run and its scope, else declared.

    Those declared are never above what the machine draws at work. A reading of part of the scope,
    or from before the model was loaded, is their low end.
    """
    found, whole = (None, False) if row is None else _reading(row, device, scope)
    if found is not None and whole:
        return Idle(Quantity(found, found, found), (), read=True)
    codes: tuple[WarningCode, ...] = ("idle-assumed",)
    if not (device.tdp_w or device.power_max_w or (device.idle_w and scope == "device")):
        codes = ("device-specs-assumed", *codes)
    low, value, high = _declared(device, n_devices, scope)
    value, high = min(value, working.value), min(high, working.high)
    low = min(low, value)
    if found is not None:
        low, value, high = found, max(found, value), max(found, high)
    return Idle(Quantity(low, value, high), codes, read=False)


def _reading(row: Measurement, device: Device, scope: Scope) -> tuple[float | None, bool]:
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


def _declared(device: Device, n_devices: int, scope: Scope) -> tuple[float, float, float]:
    """Low, value and high of idle watts that were not read."""
    own = completed(device)
    nominal = own.device.tdp_w or own.device.power_max_w or 0.0
    chips = [n_devices * IDLE_SHARE * nominal * end for end in (1 / SPREAD, 1.0, SPREAD)]
    if device.idle_w:
        chips = [n_devices * device.idle_w * factor for factor in RESIDENT]
    around = _around(own, scope, nominal)
    supply = SUPPLY_EFFICIENCY if scope == "wall" else 1.0
    ends = zip(chips, (1 / SPREAD, 1.0, SPREAD), strict=True)
    low, value, high = ((chip + around * end) / supply for chip, end in ends)
    return low, value, high


def _around(own: CompletedDevice, scope: Scope, nominal: float) -> float:
    """Watts around the devices."""
    if scope == "device":
        return 0.0
    host = HOST_W[own.device_class.host_class]
    if own.device.kind != "cpu":
        return host
    return MEMORY_SHARE * nominal + (host if scope == "wall" else 0.0)


def at_rate(key: Key, measured: Prices, work: Sequence[Prices]) -> Prices:
    """Prices at a request rate: those measured at it, and others derived from their work.

    For each candidate and serving choice: one text at a time where that keeps up, else the batches
    that do, as if as many texts waited; what was run on the machine goes first. Where nothing keeps
    up the fastest stands, busy all the time.

    Args:
        key: With its rate.
        measured: Entries measured at this very rate.
        work: Prices of the scenarios ``single`` and ``offline``.
    """
    known = {_setup(entry) for entry in measured.entries}
    able = [
        entry
        for part in work
        for entry in part.entries
        if entry.runtime is not None and (entry.row is None or entry.row.repeat_group != SORTED)
    ]
    least = _at_work(able)
    groups: defaultdict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for entry in able:
        if _setup(entry) not in known:
            groups[_setup(entry)].append(_served(key, entry, least[entry.device.name]))
    made = [_preferred(group) for group in groups.values()]
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


def _at_work(entries: Iterable[Entry]) -> dict[str, Working]:
    """The least watts of each chip over what it was measured or estimated to draw at work."""
    least: dict[str, Working] = {}
    for entry in entries:
        seconds = entry.runtime
        if seconds is not None:
            most = math.inf if entry.energy.high is None else entry.energy.high
            before = least.get(entry.device.name, Working(math.inf, math.inf))
            watts = Working(entry.joules / seconds.value, most / seconds.low)
            least[entry.device.name] = Working(*map(min, before, watts))
    return least


def _preferred(group: Sequence[Entry]) -> Entry:
    """Of one setup's ways the surest that keeps up, cheapest first; else the fastest."""
    able = [entry for entry in group if entry.served is not None and entry.served.busy <= 1]

    def way(entry: Entry) -> tuple[bool, bool, bool, float]:
        work = entry.served.work if entry.served is not None else entry
        converted = "energy-converted" in work.codes
        return not work.there, converted, "batches-assumed" in entry.codes, entry.joules

    if able:
        return min(able, key=way)
    return min(group, key=lambda entry: entry.served.busy if entry.served else math.inf)


def _served(key: Key, work: Entry, working: Working) -> Entry:
    """An entry at a rate."""
    seconds, per_1000, rate = work.runtime, work.energy, key.rate_per_s
    if seconds is None or rate is None:
        raise ValueError("an entry without a runtime has no energy at a rate")
    busy = Quantity(seconds.low / 1000, seconds.value / 1000, seconds.high / 1000)
    row = work.row if work.there else None
    devices = work.n_devices or least_devices(work) or 1
    found = idle(row, work.device, devices, per_1000.scope, working)
    window = max(1000 / rate, seconds.value)
    spent = joules(
        Setting(
            texts=1000.0,
            j_per_text=Quantity(
                (per_1000.low or 0.0) / 1000,
                None if per_1000.value is None else per_1000.value / 1000,
                None if per_1000.high is None else per_1000.high / 1000,
            ),
            runtime_s=busy,
            machine_s=Quantity.exact(window),
            idle_w=found.watts,
            idle_in_run=found.watts.value if found.read else None,
        )
    )
    sums = total((spent.inference, spent.idle))
    least = min(found.watts.least * window, sums.value or 0.0)  # it never draws less than idle
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
            value=sums.value,
            low=max(sums.least, least),
            high=sums.high,
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
        served=Served(work, rate, busy, found.watts, found.read),
        codes=tuple(codes),
    )
