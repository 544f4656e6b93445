"""Report of planned deployments: kWh, kg CO2e and cost, each part with its origin.

What a setup costs per text is the catalog's and the estimator's word (`setups`), what a period of
it adds up to is arithmetic (`work`); here they meet. A plan is answered whole or refused whole, so
that no total silently leaves a deployment out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from advisor.energy_arithmetic import embodied_kg
from advisor.estimator.specs import DeviceSpecs
from advisor.recommend.advisor import Advisor
from advisor.recommend.query import BadQuestionError, Query
from advisor.recommend.records import Recommendation
from advisor.report import grid_factors as grid
from advisor.report.plan import PlanError, PlanProblem, parsed
from advisor.report.records import (
    PART_NAMES,
    Amounts,
    Assumed,
    Deployed,
    Method,
    Noted,
    Report,
    Sci,
    Totals,
)
from advisor.report.rivals import alternative, break_even
from advisor.report.schema import Deployment, Plan
from advisor.report.setups import Desk
from advisor.report.terms import (
    DAYS_OF_A_YEAR,
    LIFETIME_YEARS,
    Terms,
    class_embodied,
    terms,
    today,
)
from advisor.report.wording import METHODS, Words
from advisor.report.work import Job, Work, parts, planned_setup, shared, work
from catalog.errors import UnknownNameError
from catalog.quantity import Quantity, total


class _NothingQualifiesError(ValueError):
    """No candidate meets what a deployment asks the advisor for."""


class _Found(msgspec.Struct, frozen=True):
    """A deployment's job, the question an alternative must answer, and what was assumed."""

    name: str
    job: Job
    query: Query
    assumed: tuple[Assumed, ...]
    advice: Recommendation | None


def report(advisor: Advisor, plan: Any) -> Report:
    """Answers a plan.

    Args:
        advisor: Answers its questions.
        plan: A `Plan`, or a plan as tables, lists and plain values.

    Raises:
        PlanError: It breaks the schema or a deployment cannot be computed; lists every fault.
    """
    if isinstance(plan, Plan):
        faults, names = list[PlanProblem](), [entry.name for entry in plan.deployments]
    else:
        plan, faults, names = parsed(plan)
    desk = Desk(advisor, Words(plan.language))
    unqualified, found = 0, []
    for entry in plan.deployments:
        try:
            found.append(_found(desk, plan, entry))
        except _NothingQualifiesError as error:
            unqualified += 1
            faults.append(_fault(entry, "recommend", None, str(error)))
        except (UnknownNameError, BadQuestionError) as error:
            faults.append(_refusal(entry, error))
    done: dict[int, Work] = {}
    for group in _groups(found):
        faults += _unlike(group)
        machine = None
        for place, each in enumerate(group):
            try:
                machine = machine or shared(desk, [other.job for other in group])
                done[id(each)] = work(desk, each.job, machine, machine.shares[place])
            except BadQuestionError as error:
                faults.append(_refusal(each.job.entry, error))
                if machine is None:
                    break
    if faults:
        order = {name: place for place, name in reversed(list(enumerate(names)))}
        faults.sort(key=lambda fault: order.get(fault.deployment, -1))
        raise PlanError(faults, nothing_qualifies=unqualified == len(faults))
    answers = [_deployed(desk, each, done[id(each)]) for each in found]
    versions = (advisor.snapshot.digest, advisor.estimator.version, grid.digest())
    planned = plan.model_dump_json(exclude={"language", "number", "date"})
    made = hashlib.sha256("\n".join((planned, *versions)).encode()).hexdigest()
    named = _named(answers)
    return Report(
        title=desk.words("title.default") if plan.title is None else plan.title,
        number=plan.number or f"JW-{made[:10].upper()}",
        date=today() if plan.date is None else plan.date.isoformat(),
        language=plan.language,
        currency=plan.currency,
        totals=_totals(answers),
        deployments=tuple(answers),
        warnings=_notes(desk.words, answers),
        methods=_methods(desk.words, answers),
        sources=tuple(source for name, source in desk.sources.items() if name in named),
        catalog_digest=versions[0],
        estimator_version=versions[1],
        grid_digest=versions[2],
    )


def _fault(entry: Deployment, field: str, came: object, allowed: str) -> PlanProblem:
    """A fault of one deployment."""
    return PlanProblem(deployment=entry.name, field=field, came=came, allowed=allowed)


def _refusal(entry: Deployment, error: UnknownNameError | BadQuestionError) -> PlanProblem:
    """What the catalog refuses, as a fault of the plan."""
    if isinstance(error, BadQuestionError):
        return _fault(entry, error.field, error.came, error.allowed)
    offer = ", ".join(error.nearest or error.known[:20]) or "none"
    said = f"{'did you mean' if error.nearest else 'known'}: {offer}"
    return _fault(entry, error.kind, error.name, said)


def _found(desk: Desk, plan: Plan, entry: Deployment) -> _Found:
    """The setup a deployment runs.

    Raises:
        UnknownNameError: A name is not in the catalog.
        BadQuestionError: The catalog has nothing that fits.
        _NothingQualifiesError: No candidate meets what is asked.
    """
    own, asked, words = terms(entry, plan, desk.words), entry.recommend, desk.words
    device = entry.device.device() if isinstance(entry.device, DeviceSpecs) else entry.device
    assumed, advice = list(own.assumed), None
    shared_fields: dict[str, Any] = {
        "device": device,
        "workload": entry.workload,
        "accuracy_basis": "published",
        "scenario": own.scenario,
        "scope": own.scope,
        "rate": entry.rate,
    }
    if asked is not None:
        query = Query(
            **shared_fields, batch_size=entry.batch_size, **asked.model_dump(exclude_unset=False)
        )
        picked, advice = desk.picked(query), desk.recommend(query)
        if picked is None:
            raise _NothingQualifiesError(_missed(advice))
        found = picked
    else:
        task = desk.snapshot.workload(entry.workload or "").task
        plain = Query(task=task, min_acc=0.0, confidence=0.0, **shared_fields)
        single = own.scenario == "single"
        found = desk.find(
            msgspec.structs.replace(
                plain,
                batch_size=None if single else entry.batch_size,
                backend=None if entry.precision is None else "any",
                runtime_s_per_1000=entry.runtime_s_per_1000,
            ),
            entry,
        )
        accuracy = found.option.accuracy
        query = msgspec.structs.replace(
            plain, min_acc=accuracy.value if accuracy else 0.0, rate=found.option.rate_per_s
        )
    option = found.option
    desk.source(option, "energy")  # sources are numbered in the order of the deployments
    if asked is None and entry.precision is None:
        batch = words("setup.batch", batch=option.batch_size) if option.batch_size else ""
        choice = f"{option.precision or words('setup.unstated')}{batch}"
        assumed.append(Assumed("serving choice", choice, words("why.choice")))
    if entry.rate is None and option.rate_per_s is not None:
        assumed.append(Assumed("rate", option.rate_per_s, words("why.rate")))
    return _Found(entry.name or "", Job(entry, own, found), query, tuple(assumed), advice)


def _missed(answer: Recommendation) -> str:
    """Why nothing qualifies, with the nearest miss."""
    miss = answer.nearest_miss
    if miss is None or miss.missing is None:
        return "nothing in the catalog qualifies"
    said = "; ".join(
        f"{each.constraint} asked for {each.asked}, "
        f"it has {'no figure' if each.has is None else each.has}"
        for each in (miss.missing, *miss.missing.also)
    )
    return f"nothing in the catalog qualifies; closest is {miss.candidate} on {miss.device}: {said}"


def _groups(found: Sequence[_Found]) -> list[list[_Found]]:
    """Deployments by the machine they name; each without a name by itself."""
    groups: dict[object, list[_Found]] = {}
    for each in found:
        groups.setdefault(each.job.entry.machine or id(each), []).append(each)
    return list(groups.values())


def _unlike(group: Sequence[_Found]) -> list[PlanProblem]:
    """Faults of deployments that share a machine and do not agree on it."""

    def machine(each: _Found) -> dict[str, object]:
        own, entry = each.job.terms, each.job.entry
        return {
            "device": each.job.found.key.machine.device.name,
            "hours_per_day": own.hours_per_day,
            "period_days": own.days,
            "scope": own.scope,
            "off_when_idle": entry.off_when_idle,
            "machines": first.entry.machines if entry.machines is None else entry.machines,
        }

    first, faults = group[0].job, []
    for each in group[1:]:
        for name, came in machine(each).items():
            if came != (there := machine(group[0])[name]) and there is not None:
                said = f"{first.entry.name} has {there!r} on the same machine {first.entry.machine}"
                faults.append(_fault(each.job.entry, name, came, said))
    return faults


def _deployed(desk: Desk, found: _Found, done: Work) -> Deployed:
    """One deployment's answer."""
    entry, own, words = done.job.entry, done.job.terms, desk.words
    low, value, high = done.shared.machines or (None, None, None)
    embodied, embodied_note, assumed = _embodied(words, done)
    amounts = own.amounts(done.kwh)
    made = (amounts["kg_co2e"], *(() if embodied is None else (embodied,)))
    busy = done.job.seconds.value
    advised = found.advice.warnings if found.advice else ()
    codes = {*done.warnings, *(each.code for each in advised)}
    runtime = done.job.runtime
    if entry.machines is not None or value is None or runtime is None:
        counted = words("machines.unknown" if entry.machines is None else "basis.stated")
    else:
        counted = words("machines.sized", rate=own.peak_rate, seconds=runtime.value)
    all_parts = parts(desk, done)
    return Deployed(
        **amounts,
        name=found.name,
        setup=planned_setup(desk, done.job),
        chosen_by="plan" if found.advice is None else "advisor",
        texts=own.texts,
        period_days=own.days,
        hours_per_day=own.hours_per_day,
        peak_rate=own.peak_rate,
        machine=entry.machine,
        machines=value,
        machines_low=low,
        machines_high=high,
        machines_from=counted,
        busy_share=own.texts * busy / done.machine_s if busy and done.machine_s else None,
        idle_w=done.shared.idle.amount,
        pue=own.pue,
        grid=own.grid,
        market_kg_per_kwh=own.market,
        price_per_kwh=own.price,
        parts=all_parts,
        it_kwh=done.it_kwh,
        embodied_kg_co2e=embodied,
        water_l=None if own.water is None else done.it_kwh * own.water,
        per_year=_per_year(own, done.kwh),
        lacks=tuple(part.name for part in all_parts if part.basis == "missing"),
        sci=Sci(
            g_co2e_per_text=total(made) * (1000 / own.texts),
            embodied_kg=None if embodied is None else embodied.value,
            note=embodied_note,
        ),
        alternative=alternative(desk, done, found.query),
        break_even=break_even(desk, done, found.query),
        assumed=(*found.assumed, *_idle_assumed(words, done), *assumed),
        warnings=tuple(sorted(codes)),
    )


def _per_year(own: Terms, kwh: Quantity) -> Amounts:
    """The amounts of 365 days."""
    return Amounts(**own.amounts(kwh * (DAYS_OF_A_YEAR / own.days)))


def _idle_assumed(words: Words, done: Work) -> tuple[Assumed, ...]:
    """Idle watts that are charged by class default."""
    idle = done.shared.idle
    if done.spent.idle_method != "idle-remaining" or idle.basis in ("measured", "stated"):
        return ()
    low, value, high = (words.number(end) for end in msgspec.structs.astuple(idle.amount))
    return (Assumed("idle_w", f"{value} ({low} – {high})", words("why.idle_w"), idle.sources[-1]),)


def _embodied(words: Words, done: Work) -> tuple[Quantity | None, str, tuple[Assumed, ...]]:
    """The making of the machines by their share of the time, kg CO2e; in words; if assumed."""
    own, found, machines = done.job.terms, done.job.found, done.shared.machines
    whole = class_embodied(found.entry.device, found.n_devices)
    years, assumed = LIFETIME_YEARS, tuple[Assumed, ...]()
    if own.embodied is not None:
        whole, years = Quantity.exact(own.embodied[0]), own.embodied[1]
    elif whole is not None:
        said = words("embodied.value", kg=whole.value, years=years)
        assumed = (Assumed("embodied", said, words("why.embodied"), "embodied"),)
    if whole is None or machines is None:
        return None, words("embodied.absent"), ()
    share = done.machine_s / (machines[1] * own.hours_per_day * 3600 * own.days)
    hours = own.hours_per_day * own.days * share
    low, value, high = machines
    made = whole * embodied_kg(1.0, years, 1, hours) * Quantity(low, value, high)
    return made, words("embodied.note", kg=whole.value, years=years), assumed


def _sum(found: Sequence[Quantity | None]) -> Quantity | None:
    """The sum where every one is known, else ``None``."""
    known = [each for each in found if each is not None]
    return total(known) if known and len(known) == len(found) else None


def _amounts(found: Sequence[Amounts]) -> dict[str, Any]:
    """The fields of `Amounts` summed."""
    names = Amounts.__struct_fields__
    return {name: _sum([getattr(each, name) for each in found]) for name in names}


def _totals(answers: Sequence[Deployed]) -> Totals:
    """Sums over all deployments."""
    machines = {answer.machine or f"#{n}": answer.machines or 0 for n, answer in enumerate(answers)}
    lacking = Counter(name for answer in answers for name in answer.lacks)
    saved: dict[str, Any] = {}
    for name in ("kwh", "kg_co2e", "kg_co2e_market", "cost"):
        own = [getattr(each.alternative, f"saved_{name}") for each in answers if each.alternative]
        known = [each for each in own if each is not None]
        saved[f"saved_{name}"] = sum(known[1:], known[0]) if known else None
    made = [each.embodied_kg_co2e for each in answers if each.embodied_kg_co2e is not None]
    return Totals(
        **_amounts(answers),
        **saved,
        deployments=len(answers),
        machines=sum(machines.values()),
        texts=sum(answer.texts for answer in answers),
        parts_kwh={
            name: total(answer.parts[place].kwh for answer in answers)
            for place, name in enumerate(PART_NAMES)
        },
        it_kwh=total(answer.it_kwh for answer in answers),
        embodied_kg_co2e=total(made) if made else None,
        water_l=_sum([answer.water_l for answer in answers]),
        per_year=Amounts(**_amounts([answer.per_year for answer in answers])),
        lacking={name: lacking[name] for name in PART_NAMES if lacking[name]},
    )


def _notes(words: Words, answers: Sequence[Deployed]) -> tuple[Noted, ...]:
    """Every warning once, with how many deployments it is about."""
    counted = Counter(code for answer in answers for code in answer.warnings)
    return tuple(
        Noted(code=code, message=words.caution(code), deployments=n)
        for code, n in sorted(counted.items())
    )


def _methods(words: Words, answers: Sequence[Deployed]) -> tuple[Method, ...]:
    """The formulas used, in the order of the parts."""
    used = {part.method for answer in answers for part in answer.parts} | {"co2e", "sci"}
    return tuple(Method(name, words(f"method.{name}")) for name in METHODS if name in used)


def _named(answers: Sequence[Deployed]) -> set[str | None]:
    """Ids of the sources that some figure names."""
    used: set[str | None] = {
        name for answer in answers for part in answer.parts for name in part.sources
    }
    for answer in answers:
        used |= {answer.grid.source, answer.setup.source, *(each.source for each in answer.assumed)}
        if answer.alternative and answer.alternative.setup:
            used.add(answer.alternative.setup.source)
    return used
