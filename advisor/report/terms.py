"""What holds for one deployment: its own word, else the plan's, else a declared default."""

from __future__ import annotations

from typing import Any

import msgspec

from advisor.recommend.query import AskedScenario
from advisor.report import grid_factors as grid
from advisor.report.plan import Conditions, Deployment, Interval, Plan
from advisor.report.records import Assumed, Grid, Source
from catalog.quantity import Quantity
from catalog.records import Scope

DEFAULT_PUE = 1.58
"""Industry average of 2023 (`PUE_SOURCE`)."""
DEFAULT_REGION = "World"
DEFAULT_DAYS = 365.0
DEFAULT_HOURS = 24.0
DAYS_OF_A_YEAR = 365.0
"""A period of years counts years of 365 days."""

PLAN_SOURCE = Source(id="plan", what="stated by the plan", source="the plan itself")
PUE_SOURCE = Source(
    id="pue",
    what="facility over IT energy where the plan states none",
    source="Uptime Institute, Global Data Center Survey 2023: industry average PUE 1.58",
    reference="https://intelligence.uptimeinstitute.com/resource/"
    "large-data-centers-are-mostly-more-efficient-analysis-confirms",
    measured_at="2023",
)
GRID_SOURCE = Source(
    id="grid",
    what="kg CO2e per kWh by country",
    source=grid.CITATION,
    licence="CC BY 4.0",
    notes=grid.ACCOUNTING,
)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment's terms, nothing left open but the price and what nobody knows."""

    scope: Scope
    scenario: AskedScenario
    pue: float
    pue_source: str
    grid: Grid
    days: float
    hours_per_day: float
    price: float | None
    embodied: tuple[float, float] | None
    texts: float
    peak_rate: float
    assumed: tuple[Assumed, ...]


def _stated(name: str, *levels: Conditions) -> Any:
    """The first level's word on a field."""
    return next((said for level in levels if (said := getattr(level, name)) is not None), None)


def _days(entry: Deployment, plan: Plan, assumed: list[Assumed]) -> float:
    """Length of the period, days."""
    for level in (entry, plan):
        if level.period_days is not None:
            return level.period_days
        if level.period_years is not None:
            return level.period_years * DAYS_OF_A_YEAR
    assumed.append(Assumed("period_days", DEFAULT_DAYS, "no period stated; one year"))
    return DEFAULT_DAYS


def _grid(entry: Deployment, plan: Plan, assumed: list[Assumed]) -> Grid:
    """The grid factor: of the deployment, of the plan, of the world.

    Raises:
        UnknownNameError: The region is not in the table.
    """
    for level in (entry, plan):
        if level.grid_kg_per_kwh is not None:
            return _own(level.grid_kg_per_kwh)
        if level.region is not None:
            return _bundled(level.region)
    assumed.append(Assumed("region", DEFAULT_REGION, "no region or grid factor stated"))
    return _bundled(DEFAULT_REGION)


def _own(given: float | Interval) -> Grid:
    """A factor the plan states."""
    amount = (
        Quantity(given.low, given.value, given.high)
        if isinstance(given, Interval)
        else Quantity.exact(given)
    )
    name = "stated by the plan"
    return Grid(code=None, name=name, year=None, kg_per_kwh=amount, source=PLAN_SOURCE.id)


def _bundled(region: str) -> Grid:
    """A factor of the bundled table."""
    found = grid.factor(region)
    return Grid(
        code=found.code,
        name=found.name,
        year=found.year,
        kg_per_kwh=Quantity.exact(found.kg_per_kwh),
        source=GRID_SOURCE.id,
    )


def terms(entry: Deployment, plan: Plan) -> Terms:
    """Fills in what a deployment leaves open and declares it.

    Raises:
        UnknownNameError: The region is not in the table of grid factors.
    """
    assumed: list[Assumed] = []

    def filled(name: str, default: Any, why: str) -> Any:
        said = _stated(name, entry, plan) if name in Plan.model_fields else getattr(entry, name)
        if said is not None:
            return said
        assumed.append(Assumed(name, default, why))
        return default

    days, factor = _days(entry, plan, assumed), _grid(entry, plan, assumed)
    pue_given = _stated("pue", entry, plan)
    hours = filled("hours_per_day", DEFAULT_HOURS, "a dedicated machine, always on")
    mean_rate = entry.texts_per_day / (hours * 3600)
    price, embodied = _stated("price_per_kwh", entry, plan), _stated("embodied", entry, plan)
    return Terms(
        scope=filled("scope", "host", "chip, CPU and memory"),
        scenario=filled("scenario", "offline", "texts arrive in batches"),
        pue=filled("pue", DEFAULT_PUE, "industry average of 2023"),
        pue_source=PUE_SOURCE.id if pue_given is None else PLAN_SOURCE.id,
        grid=factor,
        days=days,
        hours_per_day=hours,
        price=price,
        embodied=None if embodied is None else (embodied.kg_per_machine, embodied.lifetime_years),
        texts=entry.texts_per_day * days,
        peak_rate=filled("peak_rate", mean_rate, "texts per second, even over the hours on"),
        assumed=tuple(assumed),
    )
