"""The report as frozen records; `docs/http.md` shows it as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from advisor.recommend.records import Accuracy, AnyLabel, EnergyPer1000, RuntimePer1000, WarningCode
from catalog.quantity import Quantity

Language = Literal["en", "de"]
PartName = Literal["inference", "idle", "training", "pue"]
PART_NAMES: tuple[PartName, ...] = ("inference", "idle", "training", "pue")
PartBasis = Literal[
    "measured",
    "estimated",
    "estimated-runtime",
    "extrapolated",
    "stated",
    "data-sheet",
    "assumed",
    "none-needed",
    "missing",
]


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a figure was taken; parts name it by `id`."""

    id: str
    what: str
    source: str
    reference: str | None = None
    citation: str | None = None
    licence: str | None = None
    measured_at: str | None = None
    meter: str | None = None
    host: str | None = None
    run_id: str | None = None
    notes: str | None = None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with its origin: watts of an idle machine, joules of one training.

    Attributes:
        basis: How it came about: the basis of joules, ``stated`` by the plan, from a
            ``data-sheet``, ``assumed`` and declared, ``none-needed`` (it is nil), ``missing``.
        label: What the measured part of it is.
        method: Id of the formula, one of `Report.methods`.
        sources: Ids in `Report.sources`.
        warnings: Codes of what is doubtful about it.
    """

    amount: Quantity
    basis: PartBasis
    label: AnyLabel | None = None
    method: str = ""
    sources: tuple[str, ...] = ()
    warnings: tuple[WarningCode, ...] = ()


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """Electricity and what follows from it.

    Attributes:
        kg_co2e: Location-based: by the grid factor of the region.
        kg_co2e_market: Market-based: by the factor of the contract, where the plan states it.
        cost: In the plan's currency, where it states a price.
    """

    kwh: Quantity
    kg_co2e: Quantity
    kg_co2e_market: Quantity | None
    cost: Quantity | None


class Part(Amounts, frozen=True, kw_only=True):
    """One part of a deployment's energy in the period; `basis` ... as in `Known`."""

    name: PartName
    basis: PartBasis
    label: AnyLabel | None
    method: str
    sources: tuple[str, ...]


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """The grid factor used, kg CO2e per kWh; `year` and `code` where it is a bundled one."""

    code: str | None
    name: str
    year: int | None
    kg_per_kwh: Quantity
    source: str


class PlannedSetup(msgspec.Struct, frozen=True, kw_only=True):
    """The setup a deployment runs; `rate_per_s` is one machine's, of scenario ``server``."""

    candidate: str
    family: str
    device: str
    n_devices: int | None
    workload: str
    scenario: str
    scope: str
    backend: str | None
    precision: str | None
    batch_size: float | None
    accuracy: Accuracy | None
    energy_j_per_1000: EnergyPer1000
    runtime_s_per_1000: RuntimePer1000 | None
    runtime_from: str
    source: str
    rate_per_s: float | None = None


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """What would need least at the same accuracy or better, and what that saves.

    `kwh` and what is saved are ``None`` where `note` says why nothing can be said; `searched` are
    the machines on which all families were ranked.
    """

    note: str
    searched: tuple[str, ...] = ()
    setup: PlannedSetup | None = None
    machines: int | None = None
    kwh: Quantity | None = None
    saved_kwh: Quantity | None = None
    saved_kg_co2e: Quantity | None = None
    saved_kg_co2e_market: Quantity | None = None
    saved_cost: Quantity | None = None


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """After how many texts one training is paid back against a zero-shot candidate.

    `texts` is ``None`` where it never is, or where `note` says what is not known.
    """

    note: str
    against: str | None = None
    accuracy: Accuracy | None = None
    training_kwh: Quantity | None = None
    saved_j_per_text: Quantity | None = None
    texts: Quantity | None = None
    within_period: bool | None = None


class Sci(msgspec.Struct, frozen=True, kw_only=True):
    """Software Carbon Intensity (ISO/IEC 21031:2024): g CO2e per text, ((E x I) + M) / R."""

    g_co2e_per_text: Quantity
    embodied_kg: float | None
    note: str


class Assumed(msgspec.Struct, frozen=True):
    """A value the plan leaves open, what was taken and why; `source` is an id or ``None``."""

    field: str
    value: float | str
    why: str
    source: str | None = None


class Deployed(Amounts, frozen=True, kw_only=True):
    """One deployment's answer.

    Attributes:
        texts: In the period.
        machine: The name of the machine that it shares, if any; then `machines` are those shared
            and its parts and embodied share are its own: by its share of the busy time.
        machines: Provisioned, each one `setup`; `machines_from` says who counted them. ``None``
            where they are off when idle and no runtime tells how many there are. At the ends of
            the runtime's interval `machines_low` and `machines_high` are needed.
        busy_share: Share of its provisioned hours in which texts are classified.
        it_kwh: Inference, idle and training; `kwh` adds what the facility needs (PUE).
        embodied_kg_co2e: Of making the machines, by the share of their life; ``None`` where
            neither the plan nor a class default tells.
        water_l: Litres, where the plan states the site's water per kWh.
        per_year: The period's amounts scaled to 365 days.
        lacks: Parts that are missing: the totals hold the others, and are lower bounds.
        assumed: What the plan left open, declared.
    """

    name: str
    setup: PlannedSetup
    chosen_by: Literal["plan", "advisor"]
    texts: float
    period_days: float
    hours_per_day: float
    peak_rate: float
    machine: str | None
    machines: int | None
    machines_low: int | None
    machines_high: int | None
    machines_from: str
    busy_share: float | None
    idle_w: Quantity | None
    pue: float
    grid: Grid
    market_kg_per_kwh: Quantity | None
    price_per_kwh: float | None
    parts: tuple[Part, ...]
    it_kwh: Quantity
    embodied_kg_co2e: Quantity | None
    water_l: Quantity | None
    per_year: Amounts
    lacks: tuple[PartName, ...]
    sci: Sci
    alternative: Alternative | None
    break_even: BreakEven | None
    assumed: tuple[Assumed, ...]
    warnings: tuple[WarningCode, ...]


class Totals(Amounts, frozen=True, kw_only=True):
    """Sums over all deployments; a machine that several share counts once.

    Attributes:
        parts_kwh: kWh by part.
        embodied_kg_co2e: Of the deployments where it is known.
        saved_kwh: With every alternative that saves; ``None`` where there is none.
        lacking: How many deployments lack a part, by part: the sums hold the others.
        cost: ``None`` where a deployment has no price; likewise the other optional sums.
    """

    deployments: int
    machines: int
    texts: float
    parts_kwh: dict[PartName, Quantity]
    it_kwh: Quantity
    embodied_kg_co2e: Quantity | None
    water_l: Quantity | None
    per_year: Amounts
    saved_kwh: Quantity | None
    saved_kg_co2e: Quantity | None
    saved_kg_co2e_market: Quantity | None
    saved_cost: Quantity | None
    lacking: dict[PartName, int]


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """A warning's sentence, and how many deployments it is about."""

    code: WarningCode
    message: str
    deployments: int


class Method(msgspec.Struct, frozen=True):
    """How a part is computed."""

    id: str
    formula: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """kWh, kg CO2e and cost of planned deployments, with where every number came from.

    Attributes:
        number: The plan's, else made of the plan and the versions that answered it: the same plan
            answered by the same figures has the same number.
        date: The plan's, else the day it was made (UTC), ``YYYY-MM-DD``.
    """

    title: str
    number: str
    date: str
    language: Language
    currency: str
    totals: Totals
    deployments: tuple[Deployed, ...]
    warnings: tuple[Noted, ...]
    methods: tuple[Method, ...]
    sources: tuple[Source, ...]
    catalog_digest: str
    estimator_version: str
    grid_digest: str
