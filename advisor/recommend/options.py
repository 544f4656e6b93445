"""From catalog rows to offers: which energy each setup carries, before anything is asked of it.

First that exists: measured in the asked scope; the estimator applied to the runtime measured on
that device; the estimator with the runtime estimated too. Modelled joules are never ranked.
What an offer looks like in an answer is `advisor.recommend.pareto`' to say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from advisor.estimator.estimator import Estimator, Prediction
from advisor.estimator.setup import Setup, from_measurement, precision_bits
from advisor.estimator.transfer import CARRYING, Carrying, carried, compared, limit_w, shifts
from advisor.recommend.messages import figure
from advisor.recommend.records import EnergyPer1000, Missing, Reason, WarningCode
from catalog.energy import Energy, energy
from catalog.quantity import Quantity
from catalog.records import SCOPES, Device, Measurement, Scope
from catalog.registry.families import SPARSE
from catalog.snapshot import Snapshot

Z90 = 1.645
"""Half of a 90 % interval in standard deviations."""
_ACCURACY = ("accuracy", "accuracy_split", "macro_f1", "n_test", "contamination")
_PARTS = ("gpu", "cpu", "dram", "npu", "board", "wall")
_BLANK: dict[str, Any] = dict.fromkeys(
    [
        *("runtime_s", "latency_p50_ms", "latency_p95_ms", "peak_memory_mb", "host", "cv", "notes"),
        *("total_j", "total_low_j", "total_high_j", "total_label", "total_scope"),
        *(f"{part}_{unit}" for part in _PARTS for unit in ("j", "label")),
    ]
)
"""What was read on one machine and does not move to another."""


class Offer(msgspec.Struct, frozen=True):
    """A setup of a comparability group and the energy it carries.

    Attributes:
        row: The measurement; of a setup brought from another device without what was read there.
        device: Where the setup would run.
        prediction: The estimator's, where the energy is not measured.
        served: What the energy rests on where it was worked out for a request rate.
    """

    row: Measurement
    device: Device
    energy: EnergyPer1000
    prediction: Prediction | None
    served: Served | None = None

    @property
    def joules(self) -> float:
        """What it ranks by: joules per 1,000 texts, a published bound at its high end."""
        found = self.energy.value if self.energy.value is not None else self.energy.high
        return math.inf if found is None else found

    @property
    def ran_there(self) -> bool:
        """Whether the setup was run on the device it is offered for, and not brought to it."""
        return self.row.runtime_s is not None or self.energy.basis == "measured"


class Served(msgspec.Struct, frozen=True):
    """A machine of its own that works when texts have arrived and waits else; see `waiting`.

    Attributes:
        work: The offer whose joules and seconds it works at.
        rate_per_s: Texts that arrive per second.
        seconds: Busy seconds per text.
        watts: While it waits, model loaded, in the scope of the energy.
        codes: What is doubtful about the calculation.
    """

    work: Offer
    rate_per_s: float
    seconds: Quantity
    watts: Quantity
    codes: tuple[WarningCode, ...]

    @property
    def busy(self) -> float:
        """Busy seconds per second; above 1 the machine cannot keep up."""
        return self.rate_per_s * (self.seconds.value or 0.0)


def rank(offer: Offer) -> tuple[float, float, str]:
    """Order of preference: least energy, then most accurate, then by name."""
    return offer.joules, -(offer.row.accuracy or 0.0), offer.row.candidate


_STUDENT = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833)
"""95 % points of Student's t for 1 to 9 degrees of freedom."""


def of_a_repeat(n: int | None) -> float:
    """How many standard deviations, known from n repeats, hold 90 % of further ones."""
    if n is None or n < 2:
        return Z90
    student = _STUDENT[n - 2] if n - 2 < len(_STUDENT) else Z90
    return student * math.sqrt(1 + 1 / n)


def _measured(row: Measurement, joules: Energy, scope: Scope) -> EnergyPer1000:
    """A measured energy per 1,000 texts: 90 % of repeats lie in its interval, where stated.

    A published bound keeps its missing value and reaches from 0 to the bound.
    """
    per_1000 = 1000 / row.n_items
    value, low, high = joules.value_j, joules.low_j or 0.0, joules.high_j
    if value is not None and row.cv is not None:
        half = of_a_repeat(row.repeats) * row.cv
        low, high = value * math.exp(-half), value * math.exp(half)
    return EnergyPer1000(
        value=None if value is None else value * per_1000,
        low=low * per_1000,
        high=None if high is None else high * per_1000,
        basis="measured",
        scope=scope,
        label=joules.label,
    )


def _estimated(prediction: Prediction, scope: Scope, shift: float, cv: float) -> EnergyPer1000:
    """An estimated energy per 1,000 texts.

    Args:
        prediction: The estimator's.
        scope: What it covers.
        shift: Log correction from the same setup measured elsewhere.
        cv: Spread of the runtime over repeats; widens the interval.
    """
    joules = prediction.energy_j
    value, high = joules.value or 0.0, joules.high or 0.0
    half = math.hypot(math.log(high / value), Z90 * cv)
    value *= 1000 * math.exp(shift)
    return EnergyPer1000(
        value=value,
        low=value * math.exp(-half),
        high=value * math.exp(half),
        basis=joules.basis,
        scope=scope,
        label=None,
    )


def with_known_accuracy(rows: Sequence[Measurement]) -> list[Measurement]:
    """Rows of one workload; those without an accuracy take the candidate's from another device.

    What a model answers does not depend on the chip but for rounding, so the accuracy of the
    same candidate (in the same precision, where both state one) carries over, flagged.
    """
    known: dict[str, list[Measurement]] = {}
    for row in rows:
        if row.accuracy is not None:
            known.setdefault(row.candidate, []).append(row)
    found: dict[tuple[str, str | None], Measurement | None] = {}

    def best(candidate: str, precision: str | None) -> Measurement | None:
        key = candidate, precision
        if key not in found:
            same = (
                row
                for row in known.get(candidate, ())
                if not precision or not row.precision or row.precision == precision
            )
            found[key] = max(
                same, key=lambda row: (row.n_test or 0, row.measured_at or ""), default=None
            )
        return found[key]

    def completed(row: Measurement) -> Measurement:
        other = None if row.accuracy is not None else best(row.candidate, row.precision)
        if other is None:
            return row
        elsewhere = ("accuracy-other-device",) if other.device != row.device else ()
        taken = {name: getattr(other, name) for name in _ACCURACY}
        return msgspec.structs.replace(row, flags=(*row.flags, *elsewhere), **taken)

    return [completed(row) for row in rows]


def _ranked(row: Measurement, device: Device, scope: Scope) -> Energy | None:
    """Joules of a row in a scope that may rank: not a model's."""
    joules = energy(row, device.kind, scope)
    return None if joules is None or joules.label == "modelled" else joules


def measured_or_estimated(
    rows: Iterable[Measurement],
    snapshot: Snapshot,
    estimator: Estimator,
    scope: Scope,
    basis: Literal["any", "measured"] = "any",
) -> list[Offer]:
    """Offers of rows where they were taken."""
    offers: list[Offer] = []
    pending: list[tuple[Measurement, Device]] = []
    for row in rows:
        device = snapshot.devices[row.device]
        joules = _ranked(row, device, scope)
        if joules is not None:
            offers.append(Offer(row, device, _measured(row, joules, scope), None))
        elif row.rate_per_s is not None:
            continue  # its runtime holds idle time, which the estimator would charge as work
        elif basis == "any" and (row.runtime_s is not None or _known_scope(row, device)):
            pending.append((row, device))
    shifts = _conversions(pending, snapshot, estimator)
    asked = [_setup(row, device, snapshot, scope) for row, device in pending]
    return offers + _predicted(pending, asked, estimator, scope, shifts)


def _known_scope(row: Measurement, device: Device) -> Scope | None:
    """The widest scope a row has a measured energy in."""
    for scope in reversed(SCOPES):
        joules = _ranked(row, device, scope)
        if joules is not None and joules.value_j is not None:
            return scope
    return None


def _setup(row: Measurement, device: Device, snapshot: Snapshot, scope: Scope) -> Setup:
    """What the estimator is asked about a row."""
    return from_measurement(row, device, snapshot.candidates.get(row.candidate), scope)


def _conversions(
    pending: Sequence[tuple[Measurement, Device]], snapshot: Snapshot, estimator: Estimator
) -> list[float]:
    """Log of measured over estimated joules in the scope each row was measured in; 0 without one.

    An estimate in another scope is corrected by it, so that conversion keeps what was measured.
    """
    scopes = [_known_scope(row, device) for row, device in pending]
    taken = [
        (place, row, device, scope)
        for place, ((row, device), scope) in enumerate(zip(pending, scopes, strict=True))
        if scope is not None
    ]
    asked = [_setup(row, device, snapshot, scope) for _, row, device, scope in taken]
    shifts = [0.0] * len(pending)
    for (place, row, device, scope), found in zip(taken, estimator.predict(asked), strict=True):
        joules = energy(row, device.kind, scope)
        if joules is not None and joules.value_j is not None:
            expected = (found.energy_j.value or 1.0) * row.n_items
            shifts[place] = math.log(joules.value_j / expected)
    return shifts


def moved(
    rows: Sequence[Measurement],
    device: Device,
    snapshot: Snapshot,
    estimator: Estimator,
    scope: Scope,
    carrying: Carrying = CARRYING,
) -> list[Offer]:
    """Offers of setups measured elsewhere, estimated (runtime too) for `device`.

    What a setup is moves over: candidate, precision, batch, tokens, accuracy; and of what it needed
    elsewhere as much as `carrying` says. What else was read on the other machine (latency, memory,
    idle watts) stays behind.
    """
    own_accuracy = sorted(rows, key=lambda row: "accuracy-other-device" not in row.flags)
    there = {(row.candidate, row.precision, row.batch_size): row for row in own_accuracy}
    pending = [
        msgspec.structs.replace(
            row, n_devices=1, n_active_devices=1, device=device.name, flags=_kept(row), **_BLANK
        )
        for row in there.values()
    ]
    asked = [
        msgspec.structs.replace(_setup(row, device, snapshot, scope), source=None)
        for row in pending
    ]  # whoever runs it here, it is not the team that ran it there
    alone = estimator.predict(asked)
    known = compared(snapshot, device.name)
    ways = shifts(list(there.values()), rows, alone, known, snapshot, scope, carrying)
    most_w = limit_w(device, scope)
    found = [
        carried(prediction, own, carrying, most_w, blank=known.blank)
        for prediction, own in zip(alone, ways, strict=True)
    ]
    return [
        Offer(row, device, _estimated(prediction, scope, 0.0, 0.0), prediction)
        for row, prediction in zip(pending, found, strict=True)
    ]


def _kept(row: Measurement) -> tuple[str, ...]:
    """Flags that belong to the setup and not to the window it was measured in."""
    kept = tuple(flag for flag in row.flags if flag in ("llm", "accuracy-suspect"))
    return kept if row.accuracy is None else (*kept, "accuracy-other-device")


def _predicted(
    pending: Sequence[tuple[Measurement, Device]],
    asked: Sequence[Setup],
    estimator: Estimator,
    scope: Scope,
    shifts: Sequence[float],
) -> list[Offer]:
    """Offers whose energy the estimator gives for `asked` setups, corrected by `shifts` (logs)."""
    return [
        Offer(row, device, _estimated(found, scope, shift, row.cv or 0.0), found)
        for (row, device), found, shift in zip(
            pending, estimator.predict(asked), shifts, strict=True
        )
    ]


def estimated(
    setups: Sequence[tuple[Measurement, Device]],
    snapshot: Snapshot,
    estimator: Estimator,
    scope: Scope,
) -> list[Offer]:
    """Offers of setups that nobody ran: the estimator alone, by their compute profiles."""
    asked = [
        msgspec.structs.replace(_setup(row, device, snapshot, scope), source=None)
        for row, device in setups
    ]
    return _predicted(setups, asked, estimator, scope, [0.0] * len(setups))


def one_for_each_setup(offers: Sequence[Offer]) -> list[Offer]:
    """Measured offers, and of the estimates the newest one for each setup nobody measured."""

    def setup(offer: Offer) -> tuple[Any, ...]:
        row = offer.row
        arrival = (row.scenario, row.rate_per_s)
        choice = (row.backend, row.precision, row.batch_size, row.repeat_group)
        return (row.candidate, offer.device.name, *arrival, *choice)

    measured = [offer for offer in offers if offer.energy.basis == "measured"]
    known = {setup(offer) for offer in measured}
    newest: dict[tuple[Any, ...], Offer] = {}
    for offer in sorted(offers, key=lambda offer: offer.row.measured_at or ""):
        if setup(offer) not in known:
            newest[setup(offer)] = offer
    return [*measured, *newest.values()]


class Verdict(msgspec.Struct, frozen=True):
    """Why an offer does not qualify: the reason, a sentence, and what it misses."""

    reason: Reason
    detail: str
    missing: Missing


def weights_gb(row: Measurement, n_parameters: float) -> float:
    """What the weights take, 1e9 bytes; 2 bytes each where nobody stated the precision."""
    return n_parameters * precision_bits(row.precision) / 8 / 1e9


def least_devices(row: Measurement, device: Device, n_parameters: float | None) -> int | None:
    """The fewest GPUs a row can have run on, where it does not state how many.

    One for each node, and as many as hold the weights; activations are left out. ``None`` where
    the row states a number, or ran on something else than a GPU.
    """
    if row.n_devices is not None or device.kind != "gpu":
        return None
    known = n_parameters is not None and device.memory_gb
    hold = math.ceil(weights_gb(row, n_parameters or 0.0) / (device.memory_gb or 1)) if known else 1
    return max(1, hold, row.n_nodes or 1)


def unfit(offer: Offer, family: str, n_parameters: float | None) -> Verdict | None:
    """Why the device of an offer cannot run it, or ``None``."""
    if offer.ran_there:
        return None
    device, row = offer.device, offer.row
    if family in SPARSE and device.kind != "cpu":
        missing = Missing(constraint="device", asked=device.kind, has="cpu")
        return Verdict("needs-cpu", f"runs on a CPU, not on a {device.kind}", missing)
    if n_parameters is None or device.memory_gb is None:
        return None
    needed = weights_gb(row, n_parameters)
    if needed <= device.memory_gb * (row.n_devices or 1):
        return None
    missing = Missing(constraint="device", asked=figure(device.memory_gb), has=figure(needed))
    detail = f"weights of {figure(needed)} GB do not fit into {figure(device.memory_gb)} GB"
    return Verdict("does-not-fit", detail, missing)
