"""The report as frozen records; `docs/http.md` shows it as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from advisor.recommend.records import Accuracy, AnyLabel, EnergyPer1000, RuntimePer1000, WarningCode
from catalog.quantity import Quantity

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


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a deployment's energy.

    Attributes:
        kwh: Of the period; kg CO2e and cost follow from it.
        basis: How the figure came about: the basis of its joules, ``stated`` by the plan, from
            a ``data-sheet``, ``assumed`` and declared, ``none-needed`` (it is nil), ``missing``.
        label: What the measured part of it is.
        method: One of `Report.methods`.
        sources: Ids in `Report.sources`.
    """

    name: PartName
    kwh: Quantity
    kg_co2e: Quantity
    cost: Quantity | None
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
    precision: str | None
    batch_size: float | None
    accuracy: Accuracy | None
    energy_j_per_1000: EnergyPer1000
    runtime_s_per_1000: RuntimePer1000 | None
    runtime_from: str
    source: str
    rate_per_s: float | None = None


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """What the advisor would pick at the same accuracy or better, and what that saves.

    `kwh` and what is saved are ``None`` where `note` says why nothing can be said.
    """

    note: str
    setup: PlannedSetup | None = None
    machines: int | None = None
    kwh: Quantity | None = None
    saved_kwh: Quantity | None = None
    saved_kg_co2e: Quantity | None = None
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
    """A value the plan leaves open, what was taken and why."""

    field: str
    value: float | str
    why: str


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment's answer.

    Attributes:
        texts: In the period.
        machines: Provisioned, each one `setup`; `machines_from` says who counted them. ``None``
            where they are off when idle and no runtime tells how many there are. At the ends of
            the runtime's interval `machines_low` and `machines_high` are needed.
        busy_share: Share of the provisioned hours in which texts are classified.
        it_kwh: Inference, idle and training; `kwh` adds what the facility needs (PUE).
        lacks: Parts that are missing: the totals hold the others, and are lower bounds.
        assumed: What the plan left open, declared.
    """

    name: str
    setup: PlannedSetup
    chosen_by: Literal["plan", "advisor"]
    texts: float
    period_days: float
    hours_per_day: float
    machines: int | None
    machines_low: int | None
    machines_high: int | None
    machines_from: str
    busy_share: float | None
    idle_w: Quantity | None
    pue: float
    grid: Grid
    price_per_kwh: float | None
    parts: tuple[Part, ...]
    it_kwh: Quantity
    kwh: Quantity
    kg_co2e: Quantity
    cost: Quantity | None
    lacks: tuple[PartName, ...]
    sci: Sci
    alternative: Alternative | None
    break_even: BreakEven | None
    assumed: tuple[Assumed, ...]
    warnings: tuple[WarningCode, ...]


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over all deployments.

    Attributes:
        parts_kwh: kWh by part.
        saved_kwh: With every alternative that saves; ``None`` where there is none.
        lacking: How many deployments lack a part, by part: the sums hold the others.
        cost: ``None`` where a deployment has no price.
    """

    deployments: int
    machines: int
    texts: float
    parts_kwh: dict[PartName, Quantity]
    it_kwh: Quantity
    kwh: Quantity
    kg_co2e: Quantity
    cost: Quantity | None
    saved_kwh: Quantity | None
    saved_kg_co2e: Quantity | None
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
    """kWh, kg CO2e and cost of planned deployments, with where every number came from."""

    title: str
    currency: str
    totals: Totals
    deployments: tuple[Deployed, ...]
    warnings: tuple[Noted, ...]
    methods: tuple[Method, ...]
    sources: tuple[Source, ...]
    catalog_digest: str
    estimator_version: str
    grid_digest: str
