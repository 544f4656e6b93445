"""What a setup does in the period under a deployment's terms: machines, joules, kWh."""

from __future__ import annotations

import msgspec

from advisor.energy_arithmetic import (
    J_PER_KWH,
    S_PER_H,
    Joules,
    Setting,
    joules,
    left_over,
    machines_for,
)
from advisor.recommend.records import AnyLabel, Option, RuntimePer1000, WarningCode
from advisor.report.lookup import Desk, Found, Idle, NoSetupError, amount_of
from advisor.report.plan import Deployment
from advisor.report.records import PartBasis
from advisor.report.sources import Book
from advisor.report.terms import PLAN_SOURCE, Terms
from catalog.quantity import UNKNOWN, ZERO, Quantity, total
from catalog.registry.families import ZERO_SHOT

RATE_TOLERANCE = 0.1
"""Share by which a planned request rate may leave the measured one before a warning."""


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """Joules of one training, and where they are from."""

    joules: Quantity
    basis: PartBasis
    label: AnyLabel | None
    method: str
    source: str
    code: WarningCode | None = None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a setup does in the period under a deployment's terms.

    Attributes:
        runtime: Seconds per 1,000 texts; ``None`` only where no idle hours are charged.
        j_per_text: Gross joules per text.
        machines: Provisioned; ``None`` where neither the plan nor a runtime tells.
        fewest: Machines where the runtime is at its low end, `most` at its high end: the plan's
            word where it states how many there are.
        machine_s: Seconds all machines are provisioned, 0 where nobody counted them.
        once: One training; `None` where the plan asks for none and none is recorded.
    """

    option: Option
    runtime: RuntimePer1000 | None
    runtime_stated: bool
    j_per_text: Quantity
    machines: int | None
    fewest: int | None
    most: int | None
    machine_s: float
    joules: Joules
    idle: Idle
    once: Training | None
    training: Quantity
    it_kwh: Quantity
    kwh: Quantity
    codes: tuple[WarningCode, ...]


def _runtime(entry: Deployment, option: Option, own: bool) -> RuntimePer1000 | None:
    """Seconds per 1,000 texts: the plan's word for its own setup, else the catalog's.

    Raises:
        NoSetupError: Nobody knows it and idle hours are to be charged.
    """
    if own and entry.runtime_s_per_1000 is not None:
        said = entry.runtime_s_per_1000
        return RuntimePer1000(value=said, low=said, high=said, basis="measured")
    if option.runtime_s_per_1000 is None and not entry.off_when_idle:
        raise NoSetupError(
            "runtime_s_per_1000",
            None,
            f"required: {option.provenance.source} states only gross joules and no runtime of "
            f"{option.candidate} on {option.device}, so the busy hours are unknown and idle power "
            "would be counted twice; state the seconds per 1,000 texts, or off_when_idle = true",
        )
    return option.runtime_s_per_1000


def _needed(entry: Deployment, conditions: Terms, seconds: float) -> float:
    """Machines that are busy all the hours they are on."""
    return entry.texts_per_day * seconds / (conditions.hours_per_day * S_PER_H)


def _sized(entry: Deployment, conditions: Terms, seconds: float | None) -> int | None:
    """As many machines as the peak rate and the hours need at `seconds` per text."""
    if seconds is None:
        return None
    needed = _needed(entry, conditions, seconds)
    return max(machines_for(conditions.peak_rate, seconds), machines_for(needed, 1.0))


def _machines(entry: Deployment, conditions: Terms, seconds: float | None) -> int | None:
    """Machines the plan states, else as many as the peak rate needs at `seconds` per text.

    Raises:
        NoSetupError: Those stated cannot do the work at all.
    """
    if seconds is None:
        return entry.machines
    if entry.machines is None:
        return _sized(entry, conditions, seconds)
    needed = _needed(entry, conditions, seconds)
    if needed > entry.machines * (1 + 1e-9):
        raise NoSetupError(
            "machines",
            entry.machines,
            f"{entry.texts_per_day:g} texts a day at {1000 * seconds:.4g} s per 1,000 need at "
            f"least {machines_for(needed, 1.0)} machines for {conditions.hours_per_day:g} hours",
        )
    return entry.machines


def _idle(desk: Desk, found: Found, entry: Deployment, conditions: Terms) -> Idle:
    """Idle watts of one machine: the plan's word, else the best that is known."""
    if entry.idle_w is not None:
        return Idle(Quantity.exact(entry.idle_w), "stated", PLAN_SOURCE.id)
    return desk.idle(found, conditions.scope)


def once_trained(
    desk: Desk, book: Book, option: Option, entry: Deployment, conditions: Terms, own: bool
) -> Training | None:
    """One training of a candidate: the plan's word for its own, else the catalog's."""
    if own and entry.training_kwh is not None:
        amount = Quantity.exact(entry.training_kwh * J_PER_KWH)
        return Training(
            joules=amount, basis="stated", label=None, method="training", source=PLAN_SOURCE.id
        )
    known = desk.trained(option, conditions.scope)
    if known is None:
        return None
    return Training(
        joules=known.joules,
        basis=known.basis,
        label=known.label,
        method="training",
        source=book.option(known.option, "training"),
        code=None if known.basis == "measured" else "training-estimated",
    )


def _idle_doubts(spent: Joules, idle: Idle) -> list[WarningCode]:
    """What is doubtful about the idle part."""
    charged = spent.idle_method in ("idle-remaining", "idle-missing")
    return [idle.code] if charged and idle.code is not None else []


def _training_doubts(
    entry: Deployment, training: Quantity, once: Training | None
) -> list[WarningCode]:
    """What is doubtful about the training part."""
    if entry.retrainings == 0 or training is ZERO:
        return []
    if once is None:
        return ["training-missing"]
    return [once.code] if once.code is not None else []


def _load_doubts(
    option: Option,
    entry: Deployment,
    conditions: Terms,
    machines: int | None,
    seconds: float | None,
) -> list[WarningCode]:
    """What is doubtful about the rate: too much for the machines, or not the measured one."""
    if machines is None or seconds is None:
        return []
    found: list[WarningCode] = []
    if machines_for(conditions.peak_rate, seconds) > machines:
        found.append("peak-above-capacity")
    planned = entry.texts_per_day / (conditions.hours_per_day * S_PER_H * machines)
    if option.scenario == "server" and abs(planned * seconds - 1) > RATE_TOLERANCE:
        found.append("server-rate-differs")
    return found


def work(
    desk: Desk, book: Book, found: Found, entry: Deployment, conditions: Terms, own: bool = True
) -> Work:
    """Energy of a setup over the period.

    Args:
        desk: Knows the catalog.
        book: Takes the sources.
        found: The setup.
        entry: What is planned.
        conditions: The deployment's terms.
        own: Whether it is the setup the plan is about; its own runtime and training apply to no
            other.

    Raises:
        NoSetupError: The energy cannot be computed; names the field that would help.
    """
    option, per_1000 = found.option, found.option.energy_j_per_1000
    runtime = _runtime(entry, option, own)
    seconds = UNKNOWN
    if runtime is not None:
        seconds = Quantity(runtime.low / 1000, runtime.value / 1000, runtime.high / 1000)
    machines = _machines(entry, conditions, seconds.value)
    idle, texts = _idle(desk, found, entry, conditions), conditions.texts
    fewest, most = (
        _sized(entry, conditions, end) if entry.machines is None else machines
        for end in (seconds.low if runtime else None, seconds.high)
    )
    on_s = conditions.hours_per_day * S_PER_H * conditions.days
    left_s = None
    if entry.machines is None and seconds.high is not None:
        mean = entry.texts_per_day / (conditions.hours_per_day * S_PER_H)
        rate = max(conditions.peak_rate, mean)
        left_s = left_over(rate, mean / rate, seconds) * on_s
    machine_s = (machines or 0) * on_s
    j_per_text = amount_of(per_1000.low, per_1000.value, per_1000.high)
    stated = own and entry.runtime_s_per_1000 is not None
    spent = joules(
        Setting(
            texts=texts,
            j_per_text=j_per_text,
            runtime_s=seconds,
            machine_s=Quantity((fewest or 0) * on_s, machine_s, (most or 0) * on_s),
            left_s=left_s,
            idle_w=idle.watts,
            idle_in_run=None if stated else idle.in_run,
            holds_idle=option.scenario == "server",
            off_when_idle=entry.off_when_idle,
        )
    )
    once = once_trained(desk, book, option, entry, conditions, own)
    training = _trainings(option, entry, once, own)
    it_kwh = total(part * (1 / J_PER_KWH) for part in (spent.inference, spent.idle, training))
    kwh = total((it_kwh, it_kwh * (conditions.pue - 1)))
    return Work(
        option=option,
        runtime=runtime,
        runtime_stated=stated,
        j_per_text=j_per_text,
        machines=machines,
        fewest=fewest,
        most=most,
        machine_s=machine_s,
        joules=spent,
        idle=idle,
        once=once,
        training=training,
        it_kwh=it_kwh,
        kwh=kwh,
        codes=tuple(
            sorted(
                {
                    *option.warnings,
                    *_idle_doubts(spent, idle),
                    *_training_doubts(entry, training, once),
                    *_load_doubts(option, entry, conditions, machines, seconds.value),
                }
            )
        ),
    )


def _trainings(option: Option, entry: Deployment, once: Training | None, own: bool) -> Quantity:
    """Joules of all trainings of the period.

    Raises:
        NoSetupError: A zero-shot candidate is to be trained.
    """
    if entry.retrainings == 0:
        return ZERO
    if option.family in ZERO_SHOT:
        if own:
            said = f"{option.candidate} is a zero-shot candidate and not trained; allowed: 0"
            raise NoSetupError("retrainings", entry.retrainings, said)
        return ZERO
    return UNKNOWN if once is None else once.joules * entry.retrainings
