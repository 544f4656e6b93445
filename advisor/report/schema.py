"""Schema of a plan: every field declared once, with its range and description."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from advisor.estimator.specs import DeviceSpecs
from advisor.recommend.query import AskedScenario, parameters

MOST_DEPLOYMENTS = 20_000
TAGS = {"by-name", "by-specs", "as-number", "as-interval"}
"""Ours, for the two shapes some fields take; no part of a field's path."""


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


def _number(low: float, high: float, description: str) -> Any:
    """A number that may be left out."""
    return Field(default=None, ge=low, le=high, description=description)


def _text(most: int, description: str, least: int = 0) -> Any:
    """A text that may be left out, by the number of its characters."""
    return Field(default=None, min_length=least, max_length=most, description=description)


class Interval(BaseModel):
    """A figure with its interval; low <= value <= high."""

    model_config = _STRICT

    low: float = Field(ge=0, le=1e3, description="a number from 0 to value")
    value: float = Field(ge=0, le=1e3, description="a number from low to high")
    high: float = Field(ge=0, le=1e3, description="a number from value to 1000")


Factor = Annotated[
    Annotated[float, Field(ge=0, le=10), Tag("as-number")]
    | Annotated[Interval, Tag("as-interval")],
    Discriminator(_is_number),
]


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
    language: str | None = _text(20, "an ISO 639-1 code")
    licence: str | None = _text(80, "an SPDX name")


class Conditions(BaseModel):
    """What a plan states once for all its deployments, or a deployment for itself."""

    model_config = _STRICT

    scope: Literal["host", "wall"] | None = Field(
        default=None,
        description="host (chip, CPU and memory; default) or wall (the plug). A chip alone is no "
        "machine and knows no PUE; its measurements are converted",
    )
    pue: float | None = _number(1, 10, "facility over IT energy, from 1 to 10")
    region: str | None = _text(100, "a country by name or ISO code, EU or World")
    grid_kg_per_kwh: Factor | None = Field(
        default=None,
        description="kg CO2e per kWh, a number from 0 to 10 or a table of low, value and high",
    )
    market_kg_per_kwh: Factor | None = Field(
        default=None,
        description="kg CO2e per kWh of the contract (market-based), a number from 0 to 10 or a "
        "table of low, value and high",
    )
    water_l_per_kwh: float | None = _number(0, 1000, "litres of water per IT kWh (WUE), 0 to 1000")
    period_days: float | None = _number(1e-3, 36_525, "days from 0.001 to 36525")
    period_years: float | None = _number(1e-5, 100, "years of 365 days, from 0.00001 to 100")
    price_per_kwh: float | None = _number(0, 1e6, "price of electricity, 0 or more")
    embodied: Embodied | None = Field(
        default=None, description="a table of kg_per_machine and lifetime_years"
    )


class Deployment(Conditions):
    """One classifier at work."""

    name: str | None = _text(200, "a text of 1 to 200 characters", 1)
    candidate: str | None = _text(200, "a candidate's name; or give recommend instead")
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
    workload: str | None = _text(200, "a data set's name")
    scenario: AskedScenario | None = Field(
        default=None, description="offline (default), single or server"
    )
    rate: float | None = _field(
        "rate", "texts per second at one machine, from 1e-6 to 1e9; scenario server only"
    )
    precision: str | None = _text(40, "such as fp16")
    batch_size: float | None = _field("batch_size")
    runtime_s_per_1000: float | None = _number(
        1e-9, 1e9, "seconds per 1,000 texts, from 1e-9 to 1e9"
    )
    machine: str | None = _text(
        100, "a name; deployments of the same machine share its idle hours", 1
    )
    texts_per_day: float = Field(ge=1e-6, le=1e15, description="a number from 1e-6 to 1e15")
    peak_rate: float | None = _number(1e-9, 1e12, "texts per second from 1e-9 to 1e12")
    hours_per_day: float | None = _number(1e-3, 24, "hours provisioned, from 0.001 to 24")
    off_when_idle: bool = Field(
        default=False, description="true where machines are switched off or shared when idle"
    )
    machines: int | None = _number(1, 10_000_000, "a whole number from 1")
    idle_w: float | None = _number(0, 1e6, "watts of one idle machine with the model loaded")
    retrainings: int = Field(
        default=0, ge=0, le=1_000_000, description="trainings in the period, a whole number from 0"
    )
    training_kwh: float | None = _number(0, 1e9, "IT kWh of one training, 0 or more")


class Common(Conditions):
    """What a plan states once."""

    title: str | None = _text(200, "a text up to 200 characters", 1)
    number: str | None = _text(60, "the report's number, a text", 1)
    date: datetime.date | None = Field(default=None, description="the report's date, YYYY-MM-DD")
    language: Literal["en", "de"] = Field(default="en", description="en or de")
    currency: str = Field(
        default="EUR", min_length=1, max_length=10, description="a code such as EUR"
    )


class Plan(Common):
    """Deployments, named (by number where unnamed), with what holds for all of them."""

    deployments: tuple[Deployment, ...] = Field(
        description=f"a list of 1 to {MOST_DEPLOYMENTS} tables",
        json_schema_extra={"minItems": 1, "maxItems": MOST_DEPLOYMENTS},
    )
