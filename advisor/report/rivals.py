"""What else could be run: the advisor's pick at the same accuracy, and no training at all."""

from __future__ import annotations

from advisor.energy_arithmetic import J_PER_KWH, break_even_texts
from advisor.recommend.option import rank
from advisor.recommend.query import Query
from advisor.recommend.records import Option
from advisor.recommend.warnings import figure
from advisor.report.lookup import Desk, NoSetupError, amount_of
from advisor.report.parts import planned_setup
from advisor.report.plan import Deployment
from advisor.report.records import Alternative, BreakEven
from advisor.report.sizing import Work, work
from advisor.report.sources import Book
from advisor.report.terms import Terms
from catalog.quantity import Quantity
from catalog.records import Device
from catalog.registry.families import ZERO_SHOT


def alternative(
    desk: Desk, book: Book, done: Work, device: Device, entry: Deployment, conditions: Terms
) -> Alternative:
    """What the advisor would pick on the same device at the planned setup's accuracy or better."""
    own = done.option
    if own.accuracy is None:
        return Alternative(note=f"the accuracy of {own.candidate} on {own.workload} is not known")
    query = Query(
        task=desk.snapshot.workloads[own.workload].task,
        min_acc=own.accuracy.value,
        device=_as_asked(entry, device),
        workload=own.workload,
        scenario=conditions.scenario,
        scope=conditions.scope,
        rate=own.rate_per_s,
        confidence=0.0,
    )
    found, _ = desk.picked(query)
    if found is None or rank(found.option) >= rank(own):
        return Alternative(note="nothing in the catalog needs less at this accuracy there")
    pick = found.option
    try:
        other = work(desk, book, found, entry, conditions, own=False)
    except NoSetupError as error:
        return Alternative(note=f"{pick.candidate} would need less per text, but {error.allowed}")
    return _compared(done, other, book, conditions)


def _as_asked(entry: Deployment, device: Device) -> str | Device:
    """The device as a question names it: by name where it has one."""
    return device.name if entry.device is None or isinstance(entry.device, str) else device


def _compared(done: Work, other: Work, book: Book, conditions: Terms) -> Alternative:
    """The alternative beside the planned setup."""
    setup = planned_setup(other, book, conditions.scope)
    if _lacking(done) != _lacking(other):
        lacking = ", ".join(sorted(_lacking(done) ^ _lacking(other)))
        note = f"needs less per text; what it saves is not known: {lacking} is missing for one"
        return Alternative(note=note, setup=setup, machines=other.machines, kwh=other.kwh)
    saved = _difference(done.kwh, other.kwh)
    price, grid = conditions.price, conditions.grid.kg_per_kwh
    note = "the least energy at this accuracy or better on this device"
    if _lacking(done):
        note += f"; {' and '.join(sorted(_lacking(done)))} left out on both sides"
    return Alternative(
        note=note,
        setup=setup,
        machines=other.machines,
        kwh=other.kwh,
        saved_kwh=saved,
        saved_kg_co2e=None if saved is None else saved * grid,
        saved_cost=None if saved is None or price is None else saved * price,
    )


def _lacking(done: Work) -> set[str]:
    """Parts a piece of work has no value for."""
    there = {"idle": done.joules.idle, "training": done.training}
    return {name for name, amount in there.items() if amount.value is None}


def _difference(first: Quantity, second: Quantity) -> Quantity | None:
    """`first` less `second`; ``None`` where a value is missing."""
    found = first - second
    return None if found.value is None else found


def break_even(desk: Desk, done: Work, device: Device, conditions: Terms) -> BreakEven | None:
    """When one training is paid back against the cheapest zero-shot candidate there.

    ``None`` for a zero-shot candidate: there is no training to pay back.
    """
    own = done.option
    if own.family in ZERO_SHOT:
        return None
    rival = desk.zero_shot(own, device, conditions.scenario, conditions.scope)
    if rival is None:
        return BreakEven(note=f"no zero-shot candidate of known energy on {own.workload}")
    if done.once is None:
        note = "no training of it is in the catalog; state training_kwh"
        return BreakEven(note=note, against=rival.candidate, accuracy=rival.accuracy)
    energy = rival.energy_j_per_1000
    other_j = amount_of(energy.low, energy.value, energy.high)
    own_j = done.j_per_text
    if own_j.value is None:
        own_j = Quantity(own_j.low, own_j.high, own_j.high)
    texts = break_even_texts(done.once.joules, own_j, other_j)
    saved = _difference(other_j, own_j)
    within = None
    if texts is not None and texts.value is not None:
        within = texts.value <= conditions.texts
    return BreakEven(
        note=_said(rival, texts),
        against=rival.candidate,
        accuracy=rival.accuracy,
        training_kwh=done.once.joules * (1 / J_PER_KWH),
        saved_j_per_text=saved,
        texts=texts,
        within_period=within,
    )


def _said(rival: Option, texts: Quantity | None) -> str:
    """The break-even in words."""
    if texts is None or texts.value is None:
        return f"never: {rival.candidate} needs no more joules per text"
    most = "" if texts.high is not None else "; within the intervals it might never be"
    return f"one training is paid back after about {figure(texts.value)} texts{most}"
