"""Rivals of a deployment: what needs least at the same accuracy, and no training at all."""

from __future__ import annotations

import msgspec

from advisor.energy_arithmetic import J_PER_KWH, break_even_texts
from advisor.recommend.query import BadQuestionError, Query
from advisor.report.records import Alternative, BreakEven
from advisor.report.setups import Desk
from advisor.report.work import Job, Work, planned_setup, shared, work
from catalog.errors import UnknownNameError
from catalog.quantity import Quantity
from catalog.records import Device
from catalog.registry.families import ZERO_SHOT


def alternative(desk: Desk, done: Work, query: Query) -> Alternative:
    """The setup whose kWh of the period are least among all that qualify.

    All families are ranked on the deployment's own machine, on the one that answers where none is
    named, and on those where the advisor's pick is estimated to need least per text; a deployment
    that shares its machine stays on it. Each is sized, charged idle power and trained under the
    same terms.

    Args:
        desk: Asks the catalog.
        done: The deployment as planned.
        query: What an alternative must meet, on the deployment's own machine.
    """
    words, option = desk.words, done.job.found.option
    if option.accuracy is None:
        said = words("alternative.unknown", candidate=option.candidate, workload=option.workload)
        return Alternative(note=said)
    rivals = {}
    for device in _machines(desk, done, query):
        try:
            rival = _on(desk, done, msgspec.structs.replace(query, device=device))
        except (BadQuestionError, UnknownNameError):
            continue
        name = device if isinstance(device, str) else done.job.found.key.machine.device.name
        if rival is not None:
            rivals[name] = rival
    same = {name: each for name, each in rivals.items() if each.lacking == done.lacking}
    least = min(same.values(), key=lambda each: each.kwh.value or 0.0, default=None)
    own = done.kwh.value
    if least is None or own is None or (least.kwh.value or 0.0) >= own * (1 - 1e-9):
        return Alternative(note=words("alternative.none"), searched=tuple(rivals))
    saved = done.job.terms.amounts(done.kwh - least.kwh)
    note = words("alternative.least", machines=len(rivals))
    if done.lacking:
        note += words("alternative.without", parts=", ".join(sorted(done.lacking)))
    return Alternative(
        note=note,
        searched=tuple(rivals),
        setup=planned_setup(desk, least.job),
        machines=None if least.shared.machines is None else least.shared.machines[1],
        kwh=least.kwh,
        **{f"saved_{name}": amount for name, amount in saved.items()},
    )


def _machines(desk: Desk, done: Work, query: Query) -> list[str | Device | None]:
    """Machines on which an alternative is looked for, the deployment's own first."""
    if done.job.entry.machine is not None:
        return [query.device]
    plain = msgspec.structs.replace(query, scenario="offline", rate=None)
    answers = [desk.recommend(plain), desk.recommend(msgspec.structs.replace(plain, device=None))]
    reference = desk.advisor.machine(None).device.name
    best = [each.device for answer in answers for each in answer.best_devices]
    return list(dict.fromkeys([query.device, reference, *best]))


def _on(desk: Desk, done: Work, query: Query) -> Work | None:
    """The advisor's pick on a machine at the deployment's work."""
    found = desk.picked(query)
    if found is None:
        return None
    entry = done.job.entry
    if found.key.machine.device.name != done.job.found.key.machine.device.name:
        entry = entry.model_copy(update={"idle_w": None, "machines": None})  # of its own machine
    job = Job(entry, done.job.terms, found, own=False)
    if job.entry.machine is not None:  # the others stay, and what they leave it
        place = done.machine_s / (done.job.terms.days * done.job.terms.hours_per_day * 3600)
        number = (done.shared.machines or (1, 1, 1))[1]
        return work(desk, job, done.shared, place / number)
    return work(desk, job, shared(desk, [job]))


def break_even(desk: Desk, done: Work, query: Query) -> BreakEven | None:
    """When one training is paid back against the cheapest zero-shot candidate there.

    ``None`` for a zero-shot candidate: there is no training to pay back.
    """
    option, words, terms = done.job.found.option, desk.words, done.job.terms
    if option.family in ZERO_SHOT:
        return None
    rival = desk.zero_shot(msgspec.structs.replace(query, min_acc=0.0))
    if rival is None:
        return BreakEven(note=words("break-even.none", workload=option.workload))
    other = rival.option
    if done.once is None:
        note = words("break-even.untrained")
        return BreakEven(note=note, against=other.candidate, accuracy=other.accuracy)
    own_j = done.job.found.bounded
    texts = break_even_texts(done.once.amount, own_j, rival.j_per_text)
    if texts is None or texts.value is None:
        note = words("break-even.never", candidate=other.candidate)
    else:
        note = words("break-even.after", texts=texts.value)
        note += "" if texts.high is not None else words("break-even.perhaps")
    saved: Quantity = rival.j_per_text - own_j
    known = None if texts is None else texts.value
    return BreakEven(
        note=note,
        against=other.candidate,
        accuracy=other.accuracy,
        training_kwh=done.once.amount * (1 / J_PER_KWH),
        saved_j_per_text=None if saved.value is None else saved,
        texts=texts,
        within_period=None if known is None else known <= terms.texts,
    )
