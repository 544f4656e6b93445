"""The report for planned deployments: kWh, kg CO2e and cost, each part with where it came from.

What a setup costs per text is the catalog's and the estimator's word (`report_setups`), what a
period of it adds up to is `deployment`'s arithmetic; here they meet. A plan is answered whole or
refused whole, so that no total silently leaves a deployment out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from advisor.energy_arithmetic import embodied_kg
from advisor.estimator.specs import DeviceSpecs
from advisor.recommend.advisor import Advisor
from advisor.recommend.query import BadQuestionError, Query
from advisor.recommend.records import Recommendation, WarningCode
from advisor.recommend.warnings import CAUTIONS, figure
from advisor.report import grid_factors as grid
from advisor.report.lookup import Desk, Found, NoSetupError, Wanted
from advisor.report.parts import parts, planned_setup
from advisor.report.plan import Deployment, Plan, PlanError, PlanProblem
from advisor.report.records import (
    PART_NAMES,
    Assumed,
    Deployed,
    Method,
    Noted,
    Part,
    PartName,
    Report,
    Sci,
    Source,
    Totals,
)
from advisor.report.rivals import alternative, break_even
from advisor.report.sizing import Work, work
from advisor.report.sources import Book
from advisor.report.terms import Terms, terms
from advisor.report.wording import METHODS
from catalog.errors import UnknownNameError
from catalog.quantity import ZERO, Quantity, total


class _NothingQualifiesError(ValueError):
    """No candidate meets what a deployment asks the advisor for."""


def report(advisor: Advisor, plan: Plan) -> Report:
    """Answers a plan.

    Raises:
        PlanError: A deployment cannot be computed; lists every one that cannot, and why.
    """
    desk, book = Desk(advisor), Book(advisor.estimator.version)
    answers: list[Deployed] = []
    problems: list[PlanProblem] = []
    unqualified = 0
    for name, entry in plan.named():
        try:
            answers.append(_deployed(desk, book, plan, name, entry))
        except _NothingQualifiesError as error:
            unqualified += 1
            problems.append(_problem(name, "recommend", str(error)))
        except UnknownNameError as error:
            problems.append(_problem(name, error.kind, _nearest(error), error.name))
        except (NoSetupError, BadQuestionError) as error:
            problems.append(_problem(name, error.field, error.allowed, error.came))
    if problems:
        raise PlanError(problems, nothing_qualifies=unqualified == len(problems))
    return Report(
        title=plan.title,
        currency=plan.currency,
        totals=_totals(answers),
        deployments=tuple(answers),
        warnings=_notes(answers),
        methods=_methods(answers),
        sources=tuple(_named(book, answers)),
        catalog_digest=advisor.snapshot.digest,
        estimator_version=advisor.estimator.version,
        grid_digest=grid.digest(),
    )


def _problem(name: str, field: str, allowed: str, came: object = None) -> PlanProblem:
    """A fault of one deployment."""
    return PlanProblem(deployment=name, field=field, came=came, allowed=allowed)


def _nearest(error: UnknownNameError) -> str:
    """What an unknown name may have meant."""
    offer = error.nearest or error.known[:20]
    return f"{'did you mean' if error.nearest else 'known'}: {', '.join(offer) or 'none'}"


def _found(
    desk: Desk, entry: Deployment, conditions: Terms, assumed: list[Assumed]
) -> tuple[Found, Recommendation | None]:
    """The setup a deployment runs, and the advisor's answer where it was asked.

    Raises:
        UnknownNameError: A name is not in the catalog.
        NoSetupError: The catalog has nothing that fits.
        _NothingQualifiesError: No candidate meets what is asked.
    """
    if entry.recommend is not None:
        return _picked(desk, entry, conditions)
    if entry.candidate is None or entry.device is None or entry.workload is None:
        raise NoSetupError("candidate", None, "required with device and workload")
    device = entry.device if isinstance(entry.device, str) else entry.device.device()
    wanted = Wanted(
        candidate=entry.candidate,
        device=device,
        workload=entry.workload,
        scenario=conditions.scenario,
        scope=conditions.scope,
        precision=entry.precision,
        batch_size=entry.batch_size,
        rate=entry.rate,
    )
    found = desk.find(wanted)
    if entry.precision is None:
        option = found.option
        said = [option.precision or "precision not stated"]
        said += [f"batch size {option.batch_size:g}"] if option.batch_size else []
        why = "the usual one on this device"
        assumed.append(Assumed("serving choice", ", ".join(said), why))
    _assume_rate(entry, found, assumed)
    return found, None


def _assume_rate(entry: Deployment, found: Found, assumed: list[Assumed]) -> None:
    """Declares the request rate where the plan leaves it open."""
    rate = found.option.rate_per_s
    if entry.rate is None and rate is not None:
        assumed.append(Assumed("rate", rate, "the rate it was measured at most often"))


def _picked(desk: Desk, entry: Deployment, conditions: Terms) -> tuple[Found, Recommendation]:
    """The advisor's pick for a deployment."""
    asked = entry.recommend
    if asked is None:
        raise NoSetupError("recommend", None, "required without candidate")
    device = entry.device.device() if isinstance(entry.device, DeviceSpecs) else entry.device
    found, answer = desk.picked(
        Query(
            task=asked.task,
            min_acc=asked.min_acc,
            device=device,
            workload=entry.workload,
            scenario=conditions.scenario,
            scope=conditions.scope,
            basis=asked.basis,
            batch_size=entry.batch_size,
            rate=entry.rate,
            confidence=asked.confidence,
            max_latency_ms=asked.max_latency_ms,
            max_memory_gb=asked.max_memory_gb,
            language=asked.language,
            licence=asked.licence,
        )
    )
    if found is None:
        raise _NothingQualifiesError(_missed(answer))
    return found, answer


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


def _deployed(desk: Desk, book: Book, plan: Plan, name: str, entry: Deployment) -> Deployed:
    """One deployment's answer."""
    conditions = terms(entry, plan)
    assumed = list(conditions.assumed)
    found, advice = _found(desk, entry, conditions, assumed)
    done = work(desk, book, found, entry, conditions)
    own = parts(done, book, entry, conditions, found.device)
    hours = conditions.days * conditions.hours_per_day
    rival = None
    if advice is None:
        rival = alternative(desk, book, done, found.device, entry, conditions)
    kg = done.kwh * conditions.grid.kg_per_kwh
    codes = set(done.codes) | {caution.code for caution in (advice.warnings if advice else ())}
    return Deployed(
        name=name,
        setup=planned_setup(done, book, conditions.scope),
        chosen_by="plan" if advice is None else "advisor",
        texts=conditions.texts,
        period_days=conditions.days,
        hours_per_day=conditions.hours_per_day,
        machines=done.machines,
        machines_low=done.fewest,
        machines_high=done.most,
        machines_from=_counted(entry, conditions, done),
        busy_share=_busy_share(conditions, done),
        idle_w=done.idle.watts,
        pue=conditions.pue,
        grid=conditions.grid,
        price_per_kwh=conditions.price,
        parts=own,
        it_kwh=done.it_kwh,
        kwh=done.kwh,
        kg_co2e=kg,
        cost=None if conditions.price is None else done.kwh * conditions.price,
        lacks=tuple(part.name for part in own if part.basis == "missing"),
        sci=_sci(conditions, done, kg, hours),
        alternative=rival,
        break_even=break_even(desk, done, found.device, conditions),
        assumed=tuple(assumed),
        warnings=tuple(sorted(codes)),
    )


def _busy_share(conditions: Terms, done: Work) -> float | None:
    """Share of the provisioned time in which texts are classified."""
    if done.runtime is None or not done.machine_s:
        return None
    return conditions.texts * done.runtime.value / 1000 / done.machine_s


def _counted(entry: Deployment, conditions: Terms, done: Work) -> str:
    """Who counted the machines."""
    if entry.machines is not None:
        return "stated by the plan"
    if done.runtime is None:
        return "not counted: no runtime is known, and machines are off when idle"
    rate, seconds = figure(conditions.peak_rate), figure(done.runtime.value)
    return f"sized for {rate} texts per second at {seconds} s per 1,000 texts"


def _sci(conditions: Terms, done: Work, kg: Quantity, hours: float) -> Sci:
    """Software Carbon Intensity per text, grams."""
    if conditions.embodied is None or done.machines is None:
        made = ZERO
        note = "M, the making of the hardware, is not included: the plan does not state it"
    else:
        each, years = conditions.embodied
        one = Quantity.exact(embodied_kg(each, years, 1, hours))
        made = one * Quantity(done.fewest or 0, done.machines, done.most)
        note = f"M: {each:g} kg CO2e per machine over {years:g} years, by its share of the time"
    return Sci(
        g_co2e_per_text=total((kg, made)) * (1000 / conditions.texts),
        embodied_kg=None if made is ZERO else made.value,
        note=note,
    )


def _saved(
    answers: Sequence[Deployed], of: Callable[[Deployed], Quantity | None]
) -> Quantity | None:
    """The sum of what alternatives save; an end that is open anywhere stays open."""
    found = [saving for answer in answers if (saving := of(answer)) is not None]
    if not found:
        return None
    return sum(found[1:], found[0])


def _totals(answers: Sequence[Deployed]) -> Totals:
    """Sums over all deployments."""
    costs = [answer.cost for answer in answers if answer.cost is not None]
    return Totals(
        deployments=len(answers),
        machines=sum(answer.machines or 0 for answer in answers),
        texts=sum(answer.texts for answer in answers),
        parts_kwh={
            name: total(_part(answer, place).kwh for answer in answers)
            for place, name in enumerate(PART_NAMES)
        },
        it_kwh=total(answer.it_kwh for answer in answers),
        kwh=total(answer.kwh for answer in answers),
        kg_co2e=total(answer.kg_co2e for answer in answers),
        cost=total(costs) if len(costs) == len(answers) else None,
        saved_kwh=_saved(answers, lambda a: a.alternative.saved_kwh if a.alternative else None),
        saved_kg_co2e=_saved(
            answers, lambda a: a.alternative.saved_kg_co2e if a.alternative else None
        ),
        saved_cost=_saved(answers, lambda a: a.alternative.saved_cost if a.alternative else None),
        lacking=_lacking(answers),
    )


def _lacking(answers: Sequence[Deployed]) -> dict[PartName, int]:
    """How many deployments lack a part, by part."""
    counted = Counter(name for answer in answers for name in answer.lacks)
    return {name: counted[name] for name in PART_NAMES if counted[name]}


def _part(answer: Deployed, place: int) -> Part:
    """A deployment's part by its place in `PART_NAMES`."""
    return answer.parts[place]


def _notes(answers: Sequence[Deployed]) -> tuple[Noted, ...]:
    """Every warning once, with how many deployments it is about."""
    counted: Counter[WarningCode] = Counter()
    for answer in answers:
        counted.update(answer.warnings)
    return tuple(
        Noted(code=code, message=CAUTIONS[code], deployments=n)
        for code, n in sorted(counted.items())
    )


def _methods(answers: Sequence[Deployed]) -> tuple[Method, ...]:
    """The methods used, in the order of the parts."""
    used = {part.method for answer in answers for part in answer.parts}
    return tuple(Method(name, formula) for name, formula in METHODS.items() if name in used)


def _named(book: Book, answers: Sequence[Deployed]) -> list[Source]:
    """The sources that some figure names."""
    used = {source for answer in answers for part in answer.parts for source in part.sources}
    used |= {answer.grid.source for answer in answers}
    used |= {answer.setup.source for answer in answers}
    used |= {
        answer.alternative.setup.source
        for answer in answers
        if answer.alternative and answer.alternative.setup
    }
    return [source for name, source in book.sources.items() if name in used]
