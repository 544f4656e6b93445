"""A plan: which classifiers somebody means to run, where, how much and for how long.

Checked whole: every fault names its deployment, the field, what came and what is allowed. What a
plan leaves open is filled in by `advisor.report.terms` and declared in the report.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from advisor.report.schema import (
    MOST_DEPLOYMENTS,
    TAGS,
    Common,
    Conditions,
    Deployment,
    Interval,
    Plan,
)

SHOWN_PROBLEMS = 50


class PlanProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of a plan; `deployment` is its name or number, ``None`` means the plan itself."""

    deployment: str | None
    field: str
    came: Any
    allowed: str

    def __str__(self) -> str:
        where = f"deployment {self.deployment}, " if self.deployment else ""
        came = "is missing" if self.came is None else f"{self.came!r} is not allowed"
        return f"{where}{self.field}: {came}; {self.allowed}"


class PlanError(ValueError):
    """A plan nothing was computed for.

    Attributes:
        problems: Every fault found, in the plan's order.
        nothing_qualifies: Whether all that is wrong is that no candidate meets what was asked.
    """

    def __init__(self, problems: Iterable[PlanProblem], *, nothing_qualifies: bool = False) -> None:
        self.problems, self.nothing_qualifies = list(problems), nothing_qualifies
        shown = "\n".join(f"  {problem}" for problem in self.problems[:SHOWN_PROBLEMS])
        more = len(self.problems) - SHOWN_PROBLEMS
        tail = f"\n  ... and {more} more" if more > 0 else ""
        super().__init__(f"{len(self.problems)} problem(s), no report made\n{shown}{tail}")


def document(content: bytes | str, form: Literal["toml", "json"]) -> Any:
    """The tables, lists and plain values of a document.

    Raises:
        PlanError: It is no TOML or JSON.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        return tomllib.loads(text) if form == "toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        said = f"a {form.upper()} document; {error}"
        raise PlanError([_fault(None, "plan", None, said)]) from error


def read(content: bytes | str, form: Literal["toml", "json"]) -> Plan:
    """Parses and checks a plan.

    Raises:
        PlanError: It is no TOML or JSON, or breaks the schema; lists every fault.
    """
    return checked(document(content, form))


def checked(found: Any) -> Plan:
    """A plan from tables, lists and plain values.

    Raises:
        PlanError: It breaks the schema; lists every fault.
    """
    plan, faults, _ = parsed(found)
    if faults:
        raise PlanError(faults)
    return plan


def parsed(found: Any) -> tuple[Plan, list[PlanProblem], list[str | None]]:
    """What can be read of a plan, every fault of the schema, and the names of its deployments.

    A faulty field is left out, a deployment that does not hold together too, so that the rest can
    be held against the catalog and all faults be listed at once.
    """
    if not isinstance(found, dict):
        found, faults = {}, [_fault(None, "plan", type(found).__name__, "allowed: a table")]
    else:
        faults = []
    stated = {name: value for name, value in found.items() if name != "deployments"}
    common, _ = _valid(Common, stated, None, faults)
    planned = found.get("deployments")
    if not isinstance(planned, list | tuple) or not 1 <= len(planned) <= MOST_DEPLOYMENTS:
        came = f"{len(planned)} tables" if isinstance(planned, list | tuple) else _short(planned)
        said = f"allowed: a list of 1 to {MOST_DEPLOYMENTS} tables"
        if found or not faults:
            faults.append(_fault(None, "deployments", came, said))
        planned = []
    if common is not None:
        faults += _contradictions(None, common)
    kept, names = [], list[str | None]()
    for number, entry in enumerate(planned, start=1):
        name = entry.get("name") if isinstance(entry, dict) else None
        name = name if isinstance(name, str) and name else str(number)
        names.append(name)
        made, dropped = _valid(Deployment, entry, name, faults)
        if made is None or dropped & _IDENTITY:
            continue
        odd = list(_inconsistent(name, made))
        faults += odd
        if not odd:
            kept.append(made.model_copy(update={"name": name}))
    given = {} if common is None else common.model_dump(exclude_unset=True)
    given |= {name: getattr(common, name) for name in given}
    return Plan.model_construct(**given, deployments=tuple(kept)), faults, names


_IDENTITY = {"candidate", "recommend", "device", "workload", "scenario", "rate"}
"""Fields without which nothing else of a deployment can be judged."""
Model = TypeVar("Model", bound=BaseModel)


def _valid(
    model: type[Model], given: Any, name: str | None, faults: list[PlanProblem]
) -> tuple[Model | None, set[str]]:
    """A record of the fields that fit, and the names of those that do not; notes their faults."""
    try:
        return model.model_validate(given), set()
    except ValidationError as error:
        found = error.errors(include_url=False)
    faults += [_translated(fault, model, name) for fault in found]
    dropped = {str(fault["loc"][0]) for fault in found if fault["loc"]}
    if not isinstance(given, dict):
        return None, dropped
    try:
        kept = {field: value for field, value in given.items() if field not in dropped}
        return model.model_validate(kept), dropped
    except ValidationError:
        return None, dropped


def _fault(deployment: str | None, field: str, came: Any, allowed: str) -> PlanProblem:
    """A fault of a deployment, or of the plan as a whole."""
    return PlanProblem(deployment=deployment, field=field, came=came, allowed=allowed)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as ``Model | None``, ``tuple[Model, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_of(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model is not None), None)


def _translated(fault: Mapping[str, Any], model: type[BaseModel], name: str | None) -> PlanProblem:
    """One of the schema's faults in our words, by the declaration of its field."""
    path = [str(part) for part in fault["loc"] if part not in TAGS]
    said, owner = "a table", model
    for step in path:
        field = model.model_fields.get(step)
        said, owner = (field.description or "" if field else ""), model
        model = (_model_of(field.annotation) if field else None) or model
    came = None if fault["type"] == "missing" else _short(fault["input"])
    if fault["type"] == "extra_forbidden":
        own = Plan if owner is Common else owner
        said = f"no such field; allowed are {', '.join(sorted(own.model_fields))}"
    elif fault["type"] == "missing":
        said = f"required: {said}"
    else:
        said = f"allowed: {said or fault['msg']}"
    return _fault(name, ".".join(path) or "deployment", came, said)


def _short(came: Any) -> Any:
    """What came, cut where it is long; a record is named by its type."""
    if came is None or isinstance(came, bool | int | float):
        return came if came is None or abs(came) < 1e308 else str(came)
    text = came if isinstance(came, str) else f"a {type(came).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _contradictions(name: str | None, given: Conditions) -> Iterator[PlanProblem]:
    """Fields that say two things at once."""
    for first, second in (("period_days", "period_years"), ("region", "grid_kg_per_kwh")):
        if getattr(given, first) is not None and getattr(given, second) is not None:
            said = f"give {first} or {second}, not both"
            yield _fault(name, first, getattr(given, first), said)
    for field in ("grid_kg_per_kwh", "market_kg_per_kwh"):
        span = getattr(given, field)
        if isinstance(span, Interval) and not span.low <= span.value <= span.high:
            came = f"low {span.low:g}, value {span.value:g}, high {span.high:g}"
            yield _fault(name, field, came, "allowed: low <= value <= high")


def _inconsistent(name: str, entry: Deployment) -> Iterator[PlanProblem]:
    """Fields of a deployment that do not go together."""
    yield from _contradictions(name, entry)
    if entry.candidate is None and entry.recommend is None:
        yield _fault(name, "candidate", None, "required: a candidate's name, or a table recommend")
    if entry.candidate is not None and entry.recommend is not None:
        yield _fault(name, "candidate", entry.candidate, "give candidate or recommend, not both")
    for field in ("device", "workload"):
        if entry.candidate is not None and getattr(entry, field) is None:
            yield _fault(name, field, None, "required with candidate")
    if entry.rate is not None and entry.scenario != "server":
        yield _fault(name, "rate", entry.rate, 'allowed with scenario = "server" only')
    if entry.recommend is not None and entry.precision is not None:
        yield _fault(name, "precision", entry.precision, "allowed with candidate only")
