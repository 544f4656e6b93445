"""Work of a setup in the period: machines, joules and kWh of a deployment, part by part.

Deployments that name the same machine share it: each has the share of the provisioned time that it
has of the busy time, so that what is left over is charged once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
from advisor.recommend.query import BadQuestionError
from advisor.recommend.records import RuntimePer1000, WarningCode
from advisor.report.records import Known, Part, PartName, PlannedSetup
from advisor.report.schema import Deployment
from advisor.report.setups import Desk, Found, stated_training
from advisor.report.terms import Terms
from catalog.quantity import UNKNOWN, ZERO, Quantity, total
from catalog.registry.families import ZERO_SHOT

RATE_TOLERANCE = 0.1
"""Share by which a planned request rate may leave the measured one before a warning."""
_FROM_OPTION = (
    *("candidate", "family", "device", "n_devices", "workload", "scenario", "backend"),
    *("precision", "batch_size", "accuracy", "energy_j_per_1000", "rate_per_s"),
)


class Job(NamedTuple):
    """A deployment with the setup that runs it; `own` unless the setup is another's alternative."""

    entry: Deployment
    terms: Terms
    found: Found
    own: bool = True

    @property
    def runtime(self) -> RuntimePer1000 | None:
        """Seconds per 1,000 texts: the plan's word for its own setup, else the catalog's."""
        stated = self.entry.runtime_s_per_1000
        if self.own and stated is not None:
            return RuntimePer1000(value=stated, low=stated, high=stated, basis="measured")
        return self.found.option.runtime_s_per_1000

    @property
    def seconds(self) -> Quantity:
        """Seconds per text."""
        known = self.runtime
        if known is None:
            return UNKNOWN
        return Quantity(known.low / 1000, known.value / 1000, known.high / 1000)


class Shared(NamedTuple):
    """Machines of deployments that share them.

    Attributes:
        machines: Needed at the low end, value and high end of the runtimes; ``None`` unknown.
        shares: Of the provisioned time, by deployment; sum to 1.
        left: Machines' worth of time left over, where one deployment alone sizes them.
        idle: Watts of one of them that waits: of the setup that draws most.
    """

    machines: tuple[int, int, int] | None
    shares: tuple[float, ...]
    left: Quantity | None
    idle: Known


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a setup does in the period; `machine_s` are its provisioned seconds, 0 if unknown."""

    job: Job
    shared: Shared
    machine_s: float
    spent: Joules
    once: Known | None
    training: Known
    it_kwh: Quantity
    kwh: Quantity
    warnings: frozenset[WarningCode]

    @property
    def lacking(self) -> set[PartName]:
        """Parts without a value."""
        there: dict[PartName, Quantity] = {
            "idle": self.spent.idle,
            "training": self.training.amount,
        }
        return {name for name, amount in there.items() if amount.value is None}


def shared(desk: Desk, jobs: Sequence[Job]) -> Shared:
    """Sizes the machines of deployments that share them; one alone shares with none.

    Raises:
        BadQuestionError: Those stated cannot do the work, or no runtime tells how busy they are.
    """
    for job in jobs:
        if job.runtime is None and not job.entry.off_when_idle:
            option = job.found.option
            raise BadQuestionError(
                "runtime_s_per_1000",
                None,
                f"required: {option.provenance.source} states only gross joules and no runtime of "
                f"{option.candidate} on {option.device}, so the busy hours are unknown and idle "
                "power would be counted twice; state the seconds per 1,000 texts, or "
                "off_when_idle = true",
            )
    busy = [job.terms.mean_rate * (job.seconds.value or 0.0) for job in jobs]
    number = next((job.entry.machines for job in jobs if job.entry.machines is not None), None)
    known = all(job.runtime is not None for job in jobs)
    if number is None and known:
        low, value, high = (_sized(jobs, end) for end in ("low", "value", "high"))
        machines: tuple[int, int, int] | None = (low, value, high)
    else:
        machines = None if number is None else (number, number, number)
    if number is not None and sum(busy) > number * (1 + 1e-9):
        raise BadQuestionError(
            "machines",
            number,
            f"{sum(job.entry.texts_per_day for job in jobs):g} texts a day need at least "
            f"{machines_for(sum(busy), 1.0)} machines for {jobs[0].terms.hours_per_day:g} hours",
        )
    left = None
    if number is None and known and len(jobs) == 1:
        rate = max(jobs[0].terms.peak_rate, jobs[0].terms.mean_rate)
        left = left_over(rate, jobs[0].terms.mean_rate / rate, jobs[0].seconds)
    shares = [each / sum(busy) if sum(busy) else 1 / len(jobs) for each in busy]
    return Shared(machines, tuple(shares), left, _idle(desk, jobs))


def _sized(jobs: Sequence[Job], end: str) -> int:
    """As many machines as the peak rates and the hours need at an end of the runtimes."""
    seconds = [getattr(job.seconds, end) or 0.0 for job in jobs]
    rates = [max(job.terms.peak_rate, job.terms.mean_rate) for job in jobs]
    return machines_for(sum(rate * t for rate, t in zip(rates, seconds, strict=True)), 1.0)


def _idle(desk: Desk, jobs: Sequence[Job]) -> Known:
    """Idle watts of one machine: the plan's word, else the most that one of its setups draws."""
    for job in jobs:
        if job.entry.idle_w is not None:
            amount = Quantity.exact(job.entry.idle_w)
            return Known(amount=amount, basis="stated", sources=("plan",))
    known = [desk.idle(job.found, job.terms.scope) for job in jobs]
    return max(known, key=lambda each: each.amount.value or 0.0)


def work(desk: Desk, job: Job, machine: Shared, share: float = 1.0) -> Work:
    """Energy of a setup over the period on its share of a machine.

    Raises:
        BadQuestionError: A zero-shot candidate is to be trained.
    """
    entry, terms, option = job.entry, job.terms, job.found.option
    on_s = terms.hours_per_day * S_PER_H * terms.days * share
    low, value, high = (number * on_s for number in machine.machines or (0, 0, 0))
    own_read = machine.idle.label == "measured" and share == 1.0
    stated = job.own and entry.runtime_s_per_1000 is not None
    spent = joules(
        Setting(
            texts=terms.texts,
            j_per_text=job.found.j_per_text,
            runtime_s=job.seconds,
            machine_s=Quantity(low, value, high),
            left_s=None if machine.left is None else machine.left * on_s,
            idle_w=machine.idle.amount,
            idle_in_run=machine.idle.amount.value if own_read and not stated else None,
            holds_idle=option.scenario == "server",
            off_when_idle=entry.off_when_idle,
        )
    )
    once = desk.trained(job.found, terms.scope) if job.own or entry.retrainings else None
    if job.own and entry.training_kwh is not None:
        once = stated_training(entry.training_kwh)
    training = _training(job, once)
    per_kwh = 1 / J_PER_KWH
    it_kwh = total(part * per_kwh for part in (spent.inference, spent.idle, training.amount))
    warnings = {*option.warnings, *training.warnings, *_load_doubts(job, machine, share)}
    if spent.idle_method in ("idle-remaining", "idle-all-hours"):
        warnings |= {*machine.idle.warnings}
    return Work(
        job=job,
        shared=machine,
        machine_s=value,
        spent=spent,
        once=once,
        training=training,
        it_kwh=it_kwh,
        kwh=total((it_kwh, it_kwh * (terms.pue - 1))),
        warnings=frozenset(warnings),
    )


def _training(job: Job, once: Known | None) -> Known:
    """Joules of all trainings of the period.

    Raises:
        BadQuestionError: A zero-shot candidate is to be trained.
    """
    number, option = job.entry.retrainings, job.found.option
    if number and option.family in ZERO_SHOT and job.own:
        said = f"{option.candidate} is a zero-shot candidate and not trained; allowed: 0"
        raise BadQuestionError("retrainings", number, said)
    if not number or option.family in ZERO_SHOT:
        return Known(amount=ZERO, basis="none-needed", method="training-none", sources=("plan",))
    if once is None:
        return Known(
            amount=UNKNOWN,
            basis="missing",
            method="training-missing",
            warnings=("training-missing",),
        )
    return msgspec.structs.replace(once, amount=once.amount * number)


def _load_doubts(job: Job, machine: Shared, share: float) -> list[WarningCode]:
    """What is doubtful about the rate: too much for the machines, or not the measured one."""
    seconds, found = job.seconds.value, list[WarningCode]()
    if machine.machines is None or seconds is None:
        return found
    number = machine.machines[1]
    if machines_for(job.terms.peak_rate, seconds) > number:
        found.append("peak-above-capacity")
    planned = job.terms.mean_rate / (number * share)
    if job.found.option.scenario == "server" and abs(planned * seconds - 1) > RATE_TOLERANCE:
        found.append("server-rate-differs")
    return found


def planned_setup(desk: Desk, job: Job) -> PlannedSetup:
    """The setup of a deployment, for the answer."""
    option, stated = job.found.option, job.own and job.entry.runtime_s_per_1000 is not None
    return PlannedSetup(
        **{name: getattr(option, name) for name in _FROM_OPTION},
        scope=job.terms.scope,
        runtime_s_per_1000=job.runtime,
        runtime_from=desk.words("runtime.stated" if stated else "runtime.source"),
        source=desk.source(option, "energy"),
    )


def parts(desk: Desk, done: Work) -> tuple[Part, ...]:
    """The four parts of a deployment's energy; they sum to its total in low, value and high."""
    terms, option = done.job.terms, done.job.found.option
    energy, own = option.energy_j_per_1000, (desk.source(option, "energy"),)
    inference = Known(
        amount=done.spent.inference,
        basis=energy.basis,
        label=energy.label,
        method=done.spent.inference_method,
        sources=own,
    )
    pue = Known(
        amount=done.it_kwh * (terms.pue - 1) * J_PER_KWH,
        basis="stated" if terms.pue_source == "plan" else "assumed",
        method="pue",
        sources=(terms.pue_source,),
    )
    idle = msgspec.structs.replace(
        done.shared.idle, amount=done.spent.idle, method=done.spent.idle_method
    )
    if done.spent.idle_method in ("idle-off", "idle-in-inference"):
        idle = Known(
            amount=ZERO,
            basis="none-needed",
            method=done.spent.idle_method,
            sources=("plan",) if done.job.entry.off_when_idle else own,
        )
    named: Sequence[tuple[PartName, Known]] = (
        ("inference", inference),
        ("idle", idle),
        ("training", done.training),
        ("pue", pue),
    )
    return tuple(
        Part(
            **terms.amounts(known.amount * (1 / J_PER_KWH)),
            name=name,
            basis=known.basis,
            label=known.label,
            method=known.method,
            sources=known.sources,
        )
        for name, known in named
    )
