"""Terms of one deployment: its own word, else the plan's, else a declared default."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

from advisor.energy_arithmetic import S_PER_H
from advisor.recommend.query import AskedScenario
from advisor.report import grid_factors as grid
from advisor.report.records import Assumed, Grid, Source
from advisor.report.schema import Deployment, Interval, Plan
from advisor.report.wording import Words
from catalog.hardware.device_defaults import completed
from catalog.quantity import Quantity
from catalog.records import Device, Scope

DEFAULT_PUE = 1.58
"""Industry average of 2023 (`PUE_SOURCE`)."""
DEFAULT_REGION = "World"
DEFAULT_DAYS = DAYS_OF_A_YEAR = 365.0
"""A period of years counts years of 365 days."""
DEFAULT_HOURS = 24.0
SERVER_KG, GPU_KG, LIFETIME_YEARS = 3000.0, 143.0, 5.0
"""kg CO2e of making a server without GPUs and one GPU, and years of service (`EMBODIED_SOURCE`)."""

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
EMBODIED_SOURCE = Source(
    id="embodied",
    what="kg CO2e of making a server where the plan states none",
    source="EcoLogits, methodology of LLM inference v1.0, embodied impacts by BoaviztAPI: server "
    "of AWS p4de.24xlarge without GPUs 3,000 kg CO2e, NVIDIA A100 80GB 143 kg, 5 years of service",
    reference="https://github.com/genai-impact/ecologits/blob/"
    "004ec9133b5e973029ffc039b3ac9731496a2fc0/docs/methodology/llm_inference.md",
    licence="MIT",
    notes="one high-end server stands for every server; the source states no interval",
)
SOURCES = (PLAN_SOURCE, PUE_SOURCE, GRID_SOURCE, EMBODIED_SOURCE)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment's terms, nothing left open but what the plan alone can state.

    `embodied` are kg CO2e of a machine and its years of service.
    """

    scope: Scope
    scenario: AskedScenario
    pue: float
    pue_source: str
    grid: Grid
    market: Quantity | None
    water: float | None
    days: float
    hours_per_day: float
    price: float | None
    embodied: tuple[float, float] | None
    texts: float
    mean_rate: float
    peak_rate: float
    assumed: tuple[Assumed, ...]

    def amounts(self, kwh: Quantity) -> dict[str, Any]:
        """The fields of `Amounts` for electricity under these terms; may be a difference."""
        return {
            "kwh": kwh,
            "kg_co2e": kwh * self.grid.kg_per_kwh,
            "kg_co2e_market": None if self.market is None else kwh * self.market,
            "cost": None if self.price is None else kwh * self.price,
        }


def quantity(given: float | Interval) -> Quantity:
    """A factor the plan states."""
    if isinstance(given, Interval):
        return Quantity(given.low, given.value, given.high)
    return Quantity.exact(given)


def terms(entry: Deployment, plan: Plan, words: Words) -> Terms:
    """Fills in what a deployment leaves open and declares it.

    Raises:
        UnknownNameError: The region is not in the table of grid factors.
    """
    assumed: list[Assumed] = []

    def stated(name: str) -> Any:
        own = getattr(entry, name)
        return getattr(plan, name, None) if own is None else own

    def filled(name: str, default: Any, source: str | None = None) -> Any:
        if (said := stated(name)) is not None:
            return said
        assumed.append(Assumed(name, default, words(f"why.{name}"), source))
        return default

    market, embodied = stated("market_kg_per_kwh"), stated("embodied")
    days = _days(entry, plan) or filled("period_days", DEFAULT_DAYS)
    factor = _grid(entry, plan, words) or _bundled(filled("region", DEFAULT_REGION, "grid"))
    hours = filled("hours_per_day", DEFAULT_HOURS)
    mean_rate = entry.texts_per_day / (hours * S_PER_H)
    return Terms(
        scope=filled("scope", "host"),
        scenario=filled("scenario", "offline"),
        pue_source="pue" if stated("pue") is None else "plan",
        pue=filled("pue", DEFAULT_PUE, "pue"),
        grid=factor,
        market=None if market is None else quantity(market),
        water=stated("water_l_per_kwh"),
        days=days,
        hours_per_day=hours,
        price=stated("price_per_kwh"),
        embodied=None if embodied is None else (embodied.kg_per_machine, embodied.lifetime_years),
        texts=entry.texts_per_day * days,
        mean_rate=mean_rate,
        peak_rate=filled("peak_rate", mean_rate),
        assumed=tuple(assumed),
    )


def _days(entry: Deployment, plan: Plan) -> float | None:
    """Length of the period where it is stated, days."""
    for level in (entry, plan):
        if level.period_days is not None or level.period_years is not None:
            return level.period_days or (level.period_years or 0.0) * DAYS_OF_A_YEAR
    return None


def _grid(entry: Deployment, plan: Plan, words: Words) -> Grid | None:
    """The grid factor of the deployment, else of the plan, where one is stated."""
    for level in (entry, plan):
        if level.grid_kg_per_kwh is not None:
            own = quantity(level.grid_kg_per_kwh)
            return Grid(
                code=None, name=words("basis.stated"), year=None, kg_per_kwh=own, source="plan"
            )
        if level.region is not None:
            return _bundled(level.region)
    return None


def _bundled(region: str) -> Grid:
    """A factor of the bundled table."""
    found = grid.factor(region)
    return Grid(
        code=found.code,
        name=found.name,
        year=found.year,
        kg_per_kwh=Quantity.exact(found.kg_per_kwh),
        source="grid",
    )


def class_embodied(device: Device, n_devices: int) -> Quantity | None:
    """The making of a machine by its class, kg CO2e; ``None`` where no source tells it.

    The low end counts the share of the server that belongs to the slots of its GPUs.
    """
    own = completed(device).device_class
    if own.host_class != "server":
        return None
    if device.kind == "cpu":
        return Quantity.exact(SERVER_KG)
    chips = GPU_KG * n_devices
    share = min(1.0, n_devices / own.devices_per_host)
    return Quantity(SERVER_KG * share + chips, SERVER_KG + chips, SERVER_KG + chips)


def today() -> str:
    """The day in UTC, ``YYYY-MM-DD``."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()
