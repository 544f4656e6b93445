"""A plan: which classifiers somebody means to run, where, how much and for how long.

Checked whole: every fault names its deployment, the field, what came and what is allowed. What a
plan leaves open is filled in by `advisor.report.report` and declared there.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from advisor.estimator.specs import DeviceSpecs
from advisor.recommend.query import AskedScenario, parameters

MOST_DEPLOYMENTS = 20_000
SHOWN_PROBLEMS = 50
_TAGS = {"by-name", "by-specs", "as-number", "as-interval"}
"""Ours, for the two shapes some fields take; no part of a field's path."""


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


def _is_text(value: Any) -> str:
    """Which kind of device came: a name or specs."""
    return "by-specs" if isinstance(value, dict | DeviceSpecs) else "by-name"


def _is_number(value: Any) -> str:
    """Which kind of figure came: a number or an interval."""
    return "as-interval" if isinstance(value, dict | Interval) else "as-number"


_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


def _field(name: str, description: str | None = None) -> Any:
    """A number of the plan that `/recommend` takes too, with the range it has there."""
    asked = parameters()[name]
    ends = {end: getattr(asked.meta, end) for end in ("gt", "ge", "lt", "le")}
    default = ... if asked.required else asked.default
    return Field(default=default, description=description or asked.meta.description, **ends)


class Interval(BaseModel):
    """A figure with its interval; low <= value <= high."""

    model_config = _STRICT

    low: float = Field(ge=0, le=1e3, description="a number from 0 to value")
    value: float = Field(ge=0, le=1e3, description="a number from low to high")
    high: float = Field(ge=0, le=1e3, description="a number from value to 1000")


class Embodied(BaseModel):
    """What making the hardware emitted: kg CO2e of one machine over its service life."""

    model_config = _STRICT

    kg_per_machine: float = Field(ge=0, le=1e7, description="kg CO2e, 0 or more")
    lifetime_years: float = Field(ge=1e-3, le=100, description="years from 0.001 to 100")


class Recommend(BaseModel):
    """What the advisor is to pick, in the words of ``/recommend``."""

    model_config = _STRICT

    task: str = Field(max_length=200, description="a task such as sentiment")
    min_acc: float = _field("min_acc")
    basis: Literal["any", "measured"] = Field(default="any", description="any or measured")
    confidence: float = _field("confidence")
    max_latency_ms: float | None = _field("max_latency_ms")
    max_memory_gb: float | None = _field("max_memory_gb")
    language: str | None = Field(default=None, max_length=20, description="an ISO 639-1 code")
    licence: str | None = Field(default=None, max_length=80, description="an SPDX name")


class Conditions(BaseModel):
    """What a plan states once for all its deployments, or a deployment for itself."""

    model_config = _STRICT

    scope: Literal["host", "wall"] | None = Field(
        default=None,
        description="host (chip, CPU and memory; default) or wall (the plug). A chip alone is no "
        "machine and knows no PUE; its measurements are converted",
    )
    pue: float | None = Field(
        default=None, ge=1, le=10, description="facility over IT energy, from 1 to 10"
    )
    region: str | None = Field(
        default=None, max_length=100, description="a country by name or ISO code, EU or World"
    )
    grid_kg_per_kwh: (
        Annotated[
            Annotated[float, Field(ge=0, le=10), Tag("as-number")]
            | Annotated[Interval, Tag("as-interval")],
            Discriminator(_is_number),
        ]
        | None
    ) = Field(
        default=None,
        description="kg CO2e per kWh, a number from 0 to 10 or a table of low, value and high",
    )
    period_days: float | None = Field(
        default=None, ge=1e-3, le=36_525, description="days from 0.001 to 36525"
    )
    period_years: float | None = Field(
        default=None, ge=1e-5, le=100, description="years of 365 days, from 0.00001 to 100"
    )
    price_per_kwh: float | None = Field(
        default=None, ge=0, le=1e6, description="price of electricity, 0 or more"
    )
    embodied: Embodied | None = Field(
        default=None, description="a table of kg_per_machine and lifetime_years"
    )


class Deployment(Conditions):
    """One classifier at work."""

    name: str | None = Field(
        default=None, min_length=1, max_length=200, description="a text of 1 to 200 characters"
    )
    candidate: str | None = Field(
        default=None, max_length=200, description="a candidate's name; or give recommend instead"
    )
    recommend: Recommend | None = Field(
        default=None, description="a table of task, min_acc ...; or give candidate instead"
    )
    device: (
        Annotated[
            Annotated[str, Field(max_length=200), Tag("by-name")]
            | Annotated[DeviceSpecs, Tag("by-specs")],
            Discriminator(_is_text),
        ]
        | None
    ) = Field(
        default=None, description="a device's name, or a table of its specs (kind, tdp_w ...)"
    )
    workload: str | None = Field(default=None, max_length=200, description="a data set's name")
    scenario: AskedScenario | None = Field(
        default=None, description="offline (default), single or server"
    )
    rate: float | None = _field(
        "rate", "texts per second at one machine, from 1e-6 to 1e9; scenario server only"
    )
    precision: str | None = Field(default=None, max_length=40, description="such as fp16")
    batch_size: float | None = _field("batch_size")
    runtime_s_per_1000: float | None = Field(
        default=None, ge=1e-9, le=1e9, description="seconds per 1,000 texts, from 1e-9 to 1e9"
    )
    texts_per_day: float = Field(ge=1e-6, le=1e15, description="a number from 1e-6 to 1e15")
    peak_rate: float | None = Field(
        default=None, ge=1e-9, le=1e12, description="texts per second from 1e-9 to 1e12"
    )
    hours_per_day: float | None = Field(
        default=None, ge=1e-3, le=24, description="hours provisioned, from 0.001 to 24"
    )
    off_when_idle: bool = Field(
        default=False, description="true where machines are switched off or shared when idle"
    )
    machines: int | None = Field(
        default=None, ge=1, le=10_000_000, description="a whole number from 1"
    )
    idle_w: float | None = Field(
        default=None, ge=0, le=1e6, description="watts of one idle machine with the model loaded"
    )
    retrainings: int = Field(
        default=0, ge=0, le=1_000_000, description="trainings in the period, a whole number from 0"
    )
    training_kwh: float | None = Field(
        default=None, ge=0, le=1e9, description="IT kWh of one training, 0 or more"
    )


class Plan(Conditions):
    """Deployments with what holds for all of them."""

    title: str = Field(
        default="Planned deployments", max_length=200, description="a text up to 200 characters"
    )
    currency: str = Field(
        default="EUR", min_length=1, max_length=10, description="a code such as EUR"
    )
    deployments: tuple[Deployment, ...] = Field(
        description=f"a list of 1 to {MOST_DEPLOYMENTS} tables",
        json_schema_extra={"minItems": 1, "maxItems": MOST_DEPLOYMENTS},
    )

    def named(self) -> Iterator[tuple[str, Deployment]]:
        """Each deployment with its name, or its number where it has none."""
        for number, deployment in enumerate(self.deployments, start=1):
            yield deployment.name or str(number), deployment


def read(content: bytes | str, form: Literal["toml", "json"]) -> Plan:
    """Parses and checks a plan.

    Raises:
        PlanError: It is no TOML or JSON, or breaks the schema; lists every fault.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        found = tomllib.loads(text) if form == "toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        said = f"a {form.upper()} document; {error}"
        raise PlanError([_plan_problem("plan", None, said)]) from error
    return checked(found)


def checked(found: Any) -> Plan:
    """A plan from tables, lists and plain values.

    Raises:
        PlanError: It breaks the schema; lists every fault.
    """
    if not isinstance(found, dict):
        raise PlanError([_plan_problem("plan", type(found).__name__, "allowed: a table")])
    planned = found.get("deployments")
    if isinstance(planned, list) and not 1 <= len(planned) <= MOST_DEPLOYMENTS:
        allowed = f"allowed: a list of 1 to {MOST_DEPLOYMENTS} tables"
        raise PlanError([_plan_problem("deployments", f"{len(planned)} tables", allowed)])
    try:
        plan = Plan.model_validate(found)
    except ValidationError as error:
        problems = [_translated(fault, found) for fault in error.errors(include_url=False)]
        raise PlanError(problems) from error
    problems = [
        *_contradictions(None, plan),
        *(problem for name, entry in plan.named() for problem in _inconsistent(name, entry)),
    ]
    if problems:
        raise PlanError(problems)
    return plan


def _plan_problem(field: str, came: Any, allowed: str) -> PlanProblem:
    """A fault of the plan as a whole."""
    return PlanProblem(deployment=None, field=field, came=came, allowed=allowed)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as ``Model | None``, ``tuple[Model, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_of(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model is not None), None)


def _described(path: Iterable[str]) -> tuple[str, type[BaseModel]]:
    """What a field's declaration allows, and the model it stands in."""
    model: type[BaseModel] = Plan
    said = ""
    for name in path:
        field = model.model_fields.get(name)
        if field is None:
            return "", model
        said = field.description or ""
        owner, model = model, _model_of(field.annotation) or model
        if model is owner:
            return said, model
    return said, model


def _translated(fault: Mapping[str, Any], found: dict[str, Any]) -> PlanProblem:
    """One of the schema's faults in our words."""
    path = [part for part in fault["loc"] if part not in _TAGS]
    deployment = None
    if len(path) > 1 and path[0] == "deployments":
        entry = found["deployments"][path[1]]
        named = entry.get("name") if isinstance(entry, dict) else None
        deployment = named if isinstance(named, str) and named else str(path[1] + 1)
    names = [str(part) for part in path if isinstance(part, str)]
    allowed, _ = _described(names)
    if fault["type"] == "extra_forbidden":
        _, owner = _described(names[:-1])
        allowed = f"no such field; allowed are {', '.join(sorted(owner.model_fields))}"
    elif fault["type"] == "missing":
        allowed = f"required: {allowed}"
    else:
        allowed = f"allowed: {allowed or fault['msg']}"
    came = None if fault["type"] == "missing" else _short(fault["input"])
    shown = names[1:] if deployment is not None else names
    return PlanProblem(
        deployment=deployment, field=".".join(shown) or "deployment", came=came, allowed=allowed
    )


def _short(came: Any) -> Any:
    """What came, cut where it is long; a record is named by its type."""
    if came is None or isinstance(came, bool | int | float):
        return came if came is None or abs(came) < 1e308 else str(came)
    text = came if isinstance(came, str) else f"a {type(came).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _contradictions(name: str | None, given: Conditions) -> Iterator[PlanProblem]:
    """Fields that say two things at once."""
    pairs = (("period_days", "period_years"), ("region", "grid_kg_per_kwh"))
    for first, second in pairs:
        if getattr(given, first) is not None and getattr(given, second) is not None:
            came, allowed = getattr(given, first), f"give {first} or {second}, not both"
            yield PlanProblem(deployment=name, field=first, came=came, allowed=allowed)
    span = given.grid_kg_per_kwh
    if isinstance(span, Interval) and not span.low <= span.value <= span.high:
        came = f"low {span.low:g}, value {span.value:g}, high {span.high:g}"
        yield PlanProblem(
            deployment=name,
            field="grid_kg_per_kwh",
            came=came,
            allowed="allowed: low <= value <= high",
        )


def _inconsistent(name: str, entry: Deployment) -> Iterator[PlanProblem]:
    """Fields of a deployment that do not go together."""

    def problem(field: str, came: Any, allowed: str) -> PlanProblem:
        return PlanProblem(deployment=name, field=field, came=came, allowed=allowed)

    yield from _contradictions(name, entry)
    if entry.candidate is None and entry.recommend is None:
        yield problem("candidate", None, "required: a candidate's name, or a table recommend")
    if entry.candidate is not None and entry.recommend is not None:
        yield problem("candidate", entry.candidate, "give candidate or recommend, not both")
    if entry.candidate is not None:
        for field in ("device", "workload"):
            if getattr(entry, field) is None:
                yield problem(field, None, "required with candidate")
    if entry.rate is not None and entry.scenario != "server":
        yield problem("rate", entry.rate, 'allowed with scenario = "server" only')
    if entry.recommend is not None and entry.precision is not None:
        yield problem("precision", entry.precision, "allowed with candidate only")
