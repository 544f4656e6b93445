"""A machine of its own at a request rate: it works on what has arrived and waits in between.

For setups that nobody measured at the asked rate. One text comes every 1/R seconds on average; the
machine is busy for t of them, at the joules that were measured (or estimated) for its work, and
draws its idle watts for the rest. Arithmetic: `advisor.energy_arithmetic`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from advisor.energy_arithmetic import Setting, joules
from advisor.estimator.power import DRAM_SHARE, SUPPLY_EFFICIENCY
from advisor.estimator.setup import host_class
from advisor.recommend.options import Offer, Served, least_devices
from advisor.recommend.pareto import runtime
from advisor.recommend.records import EnergyPer1000, WarningCode
from catalog.energy import components, energy
from catalog.quantity import Quantity, total
from catalog.records import Basis, Device, Measurement, Scope

SORTED = "length-sorted"
"""Repeat group of batches put together from all texts; those that arrive cannot be sorted."""
RESIDENT = (1.0, 2.0, 4.0)
"""Watts of a card with a model on it over its idle watts without one: A40 110 of 30 W, P40 45 of
10 W, and no more than bare where the driver clocks down (bundled device table)."""
SPREAD = 2.5
"""Declared factor to either side of idle watts that nobody read: of TDP 6 to 38 % for a chip, where
bare cards draw 5 to 15 % and an A40 with a model on it 37 %."""
_OWN: dict[Scope, frozenset[str]] = {
    "device": frozenset({"gpu", "npu", "board"}),
    "host": frozenset({"gpu", "npu", "board", "cpu", "dram"}),
    "wall": frozenset({"gpu", "npu", "board", "cpu", "dram", "wall"}),
}
"""Components within each scope; of a CPU the `cpu` too is within `device`."""


IDLE_SHARE = 0.15
"""Power of an idle device over its TDP (A100: 52-63 W of 400 W; V100: 26-40 W of 300 W, bundled
device table)."""
HOST_W = {"edge": 3.0, "desktop": 60.0, "server": 200.0}
"""Watts around the devices of one machine, by class of host; a machine of its own pays them all."""
RatedPower = Callable[[Device], tuple[float, float]]
"""Rated watts of a device, and half the interval (logs) that taking its class's adds."""


class Idle(NamedTuple):
    """Watts of a machine that waits, and what is doubtful about them; `read` in the run itself."""

    watts: Quantity
    codes: tuple[WarningCode, ...]
    read: bool


class Working(NamedTuple):
    """The least mean watts seen of a machine at work: the figure and its high end."""

    value: float
    high: float


def idle(
    row: Measurement,
    device: Device,
    scope: Scope,
    rated: RatedPower,
    working: Working,
    n_parameters: float | None = None,
) -> Idle:
    """Idle watts with the model loaded: read in the run and its scope, else declared.

    Those declared are never above what the machine draws at work. A reading of part of the scope,
    or from before the model was loaded, is their low end. Where a row does not say how many devices
    worked, as many wait as the weights of `n_parameters` need.
    """
    found, whole = _reading(row, device, scope)
    if found is not None and whole:
        return Idle(Quantity(found, found, found), (), read=True)
    codes: tuple[WarningCode, ...] = ("idle-assumed",)
    if not (device.tdp_w or device.power_max_w or (device.idle_w and scope == "device")):
        codes = ("device-specs-assumed", *codes)
    n_devices = row.n_devices or least_devices(row, device, n_parameters) or 1
    low, value, high = _declared(device, n_devices, scope, rated)
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


def _declared(
    device: Device, n_devices: int, scope: Scope, rated: RatedPower
) -> tuple[float, float, float]:
    """Low, value and high of idle watts that nobody read."""
    tdp, assumed = rated(device)
    half = math.hypot(math.log(SPREAD), assumed)
    ends = (math.exp(-half), 1.0, math.exp(half))
    chips = [n_devices * IDLE_SHARE * tdp * end for end in ends]
    if device.idle_w:
        chips = [n_devices * device.idle_w * factor for factor in RESIDENT]
    around = _around(device, scope, tdp)
    supply = SUPPLY_EFFICIENCY if scope == "wall" else 1.0
    low, value, high = (
        (chip + around * end) / supply for chip, end in zip(chips, ends, strict=True)
    )
    return low, value, high


def _around(device: Device, scope: Scope, tdp: float) -> float:
    """Watts around the devices, as the estimator declares them."""
    if scope == "device":
        return 0.0
    host = HOST_W[host_class(device)]
    if device.kind != "cpu":
        return host
    return DRAM_SHARE * tdp + (host if scope == "wall" else 0.0)


def timed(offer: Offer) -> bool:
    """Whether anybody knows, or can estimate, how long a setup is busy."""
    return runtime(offer.row, offer.prediction) is not None


def at_rate(
    work: Iterable[Offer],
    measured: Sequence[Offer],
    rate: float,
    rated: RatedPower,
    sizes: Mapping[str, float | None],
) -> list[Offer]:
    """Offers at a request rate, worked out from what setups need one text at a time or in batches.

    For each candidate, device and precision: one text at a time where that keeps up, else the
    batches that do, as if as many texts waited; what was run on the device goes first. Where
    nothing keeps up the fastest stands, busy all the time.

    Args:
        work: Offers of the scenarios ``single`` and ``offline``.
        measured: Those measured at this very rate; what they tell is not worked out again.
        rate: Texts per second.
        rated: Rated watts of devices.
        sizes: Parameters of candidates by name, as far as they are known.
    """
    known = {_setup(offer) for offer in measured}
    able = [offer for offer in work if timed(offer)]
    least = _at_work(able)
    made = [
        _served(offer, rate, rated, least[_machine(offer)], sizes.get(offer.row.candidate))
        for offer in able
        if _setup(offer) not in known and offer.row.repeat_group != SORTED
    ]
    made.sort(key=lambda pair: str(_setup(pair[0])))
    groups = itertools.groupby(made, key=lambda pair: _setup(pair[0]))
    return [offer for _, group in groups for offer in _preferred(list(group))]


def _machine(offer: Offer) -> tuple[str, str | None, int | None]:
    """What draws the idle watts."""
    return offer.device.name, offer.row.host, offer.row.n_devices


def _at_work(offers: Iterable[Offer]) -> dict[tuple[str, str | None, int | None], Working]:
    """The least watts of each machine over what it was measured or estimated to draw at work."""
    least: dict[tuple[str, str | None, int | None], Working] = {}
    for offer in offers:
        seconds, machine = runtime(offer.row, offer.prediction), _machine(offer)
        if seconds is not None:
            most = math.inf if offer.energy.high is None else offer.energy.high
            before = least.get(machine, Working(math.inf, math.inf))
            watts = Working(offer.joules / seconds.value, most / seconds.low)
            least[machine] = Working(*map(min, before, watts))
    return least


def _setup(offer: Offer) -> tuple[str, str, str | None]:
    """What a measurement at the rate makes needless to work out."""
    return offer.row.candidate, offer.device.name, offer.row.precision


def _preferred(group: Sequence[tuple[Offer, Served]]) -> list[Offer]:
    """Those of one setup that keep up, of the surest way to serve; else the fastest."""
    by_way: dict[tuple[bool, bool], list[Offer]] = {}
    for offer, served in group:
        if served.busy <= 1:
            work = served.work
            way = (not work.ran_there, work.row.scenario != "single")
            by_way.setdefault(way, []).append(offer)
    if by_way:
        return by_way[min(by_way)]
    return [min(group, key=lambda pair: pair[1].busy)[0]]


def _served(
    work: Offer, rate: float, rated: RatedPower, working: Working, n_parameters: float | None
) -> tuple[Offer, Served]:
    """An offer at a rate."""
    row, per_1000 = work.row, work.energy
    seconds = runtime(row, work.prediction)
    if seconds is None:
        raise ValueError("an offer without a runtime cannot be worked out for a rate")
    busy = Quantity(seconds.low / 1000, seconds.value / 1000, seconds.high / 1000)
    found = idle(row, work.device, per_1000.scope, rated, working, n_parameters)
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
    codes: list[WarningCode] = ["rate-worked-out", *found.codes]
    codes += [] if row.scenario == "single" else ["batches-assumed"]
    codes += ["rate-near-capacity"] if rate * (busy.high or 0.0) > 1 else []
    served = Served(work, rate, busy, found.watts, tuple(codes))
    offer = Offer(
        row=msgspec.structs.replace(
            row, scenario="server", rate_per_s=rate, latency_p50_ms=None, latency_p95_ms=None
        ),
        device=work.device,
        energy=EnergyPer1000(
            value=sums.value,
            low=max(sums.least, least),
            high=sums.high,
            basis=basis,
            scope=per_1000.scope,
            label=None,
        ),
        prediction=work.prediction,
        served=served,
    )
    return offer, served
