"""Comparison: candidates or families and machines in, their figures side by side out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar.datastructures import MultiDict

from advisor.recommend.advisor import Advisor, Asked
from advisor.recommend.qualification import rounded
from advisor.recommend.query import BadQuestionError, Query, query_of
from advisor.recommend.records import Option, PricedMachine
from advisor.recommend.variants import Writer
from advisor.report import grid_factors
from api.pages import suggest, summary
from api.pages.summary import VOLUME, Picked, Volume, volume_of
from api.service.query import refuse_undeclared
from catalog.errors import UnknownNameError
from catalog.quantity import Quantity

EXAMPLE = ("tf-idf", "frozen-encoder", "zero-shot-llm")
"""Compared where a question names nothing."""
FLOOR = "0.85"
"""The accuracy by which members of families are picked where none is stated."""
MOST, MOST_MACHINES = 5, 4
ASKED = (
    "task",
    "workload",
    "language",
    "min_acc",
    "scenario",
    "rate",
    "scope",
    "labels",
    "batch_size",
)
"""Parameters of `/recommend` that a comparison takes."""
FIELDS = (*ASKED, *VOLUME, "region")
SEVERAL = ("candidate", "device")
"""Parameters that are given several times."""


class Compared(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One candidate on one machine.

    Attributes:
        asked: The candidate or family as it was asked for.
        option: Its usual setup there; of a family the member of least energy that meets the floor,
            else the most accurate one. ``None`` where it cannot be priced.
        reason: Why it does not qualify, or has no figures; empty where it qualifies.
        kwh_per_year: Of inference at the stated volume; `kg_co2e_per_year` with the grid factor.
    """

    asked: str
    option: Option | None
    reason: str
    kwh_per_year: Quantity | None = None
    kg_co2e_per_year: Quantity | None = None
    cost_per_year: float | None = None


class OnMachine(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is compared, on one machine."""

    machine: PricedMachine
    rows: list[Compared]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Candidates side by side.

    Attributes:
        workload: What accuracy and length of texts are of.
        texts_per_day: As stated; `price_per_kwh` in EUR likewise.
        region: Whose grid factor is used, `kg_per_kwh` of `grid_year`.
    """

    workload: str
    scenario: str
    scope: str
    min_acc: float
    texts_per_day: float
    price_per_kwh: float
    region: str
    kg_per_kwh: float
    grid_year: int
    grid_source: str
    machines: list[OnMachine]
    catalog_digest: str
    estimator_version: str


def compare(advisor: Advisor, given: MultiDict[Any]) -> Comparison:
    """Two to five candidates or families on one to four machines.

    Args:
        advisor: With the catalog.
        given: `FIELDS`, and ``candidate`` and ``device`` several times.

    Raises:
        BadQuestionError: A parameter is unknown or does not fit.
        UnknownNameError: A name is not in the catalog.
    """
    plain = [(name, text) for name, text in given.multi_items() if name not in SEVERAL]
    refuse_undeclared(plain, (*FIELDS, *SEVERAL, "format"))
    fields = {name: text.strip() for name, text in plain if text.strip()}
    asked = list(dict.fromkeys(filter(None, (t.strip() for t in given.getall("candidate", [])))))
    asked = asked or list(EXAMPLE)
    if not 2 <= len(asked) <= MOST:
        raise BadQuestionError("candidate", ", ".join(asked), f"name 2 to {MOST}, each once")
    devices = dict.fromkeys(filter(None, (t.strip() for t in given.getall("device", []))))
    if len(devices) > MOST_MACHINES:
        raise BadQuestionError("device", ", ".join(devices), f"name {MOST_MACHINES} at most")
    own = {name: text for name, text in fields.items() if name in ASKED}
    base = query_of({"task": _task(advisor, own), "min_acc": FLOOR} | own)
    key = advisor.asked(base).judged.prices.key
    volume = summary.at_rate(volume_of(fields), key.rate_per_s)
    grid = grid_factors.factor(fields.get("region", "World"))
    there = []
    for name in devices or (None,):
        query = msgspec.structs.replace(base, device=suggest.meant(advisor, name))
        there.append(_on_machine(advisor, query, asked, volume, grid.kg_per_kwh))
    return Comparison(
        workload=key.workload,
        scenario=key.scenario,
        scope=key.scope,
        min_acc=base.min_acc,
        **msgspec.structs.asdict(volume),
        region=grid.name,
        kg_per_kwh=grid.kg_per_kwh,
        grid_year=grid.year,
        grid_source=grid_factors.CITATION,
        machines=there,
        catalog_digest=advisor.snapshot.digest,
        estimator_version=advisor.estimator.version,
    )


def _task(advisor: Advisor, fields: dict[str, str]) -> str:
    """The task: of the workload where only that is stated."""
    if "workload" in fields:
        return advisor.snapshot.workload(fields["workload"]).task
    return fields.get("task", "sentiment")


def _on_machine(
    advisor: Advisor, query: Query, names: Sequence[str], volume: Volume, kg_per_kwh: float
) -> OnMachine:
    """The figures of some candidates or families on the machine of a question."""
    asked = advisor.asked(query)
    found = [_found(advisor, asked, name) for name in names]
    priced = [each.entry for each in found if each is not None]
    first = priced[0] if priced else None
    write = Writer(asked.judged.prices, first, advisor.snapshot, advisor.estimator)
    options = iter(write.options(priced))
    rows = []
    for name, each in zip(names, found, strict=True):
        row = Compared(asked=name, option=next(options), reason=each.detail) if each else None
        rows.append(_with_year(row or _unknown(advisor, query, name), volume, kg_per_kwh))
    return OnMachine(machine=asked.judged.prices.key.machine.priced(), rows=rows)


def _found(advisor: Advisor, asked: Asked, name: str) -> Picked | None:
    """The entry of a candidate or family; ``None`` where no accuracy of it is known."""
    candidates = advisor.snapshot.candidates
    families = {candidate.family for candidate in candidates.values()}
    if name not in candidates and name not in families:
        raise UnknownNameError("candidate", name, {*candidates, *families})
    own = [
        (place, entry)
        for place, entry in enumerate(asked.entries)
        if entry.candidate.name == name or (name in families and entry.candidate.family == name)
    ]
    return summary.pick(own, asked) if own else None


def _unknown(advisor: Advisor, query: Query, name: str) -> Compared:
    """A candidate whose accuracy is not known: its price all the same."""
    entries, key = (
        advisor.setups(query, name) if name in advisor.snapshot.candidates else ([], None)
    )
    if not entries or key is None:
        return Compared(asked=name, option=None, reason="neither measured nor estimated there")
    reason = f"no accuracy known on {key.workload}"
    return Compared(asked=name, option=advisor.option(entries[0], key), reason=reason)


def _with_year(row: Compared, volume: Volume, kg_per_kwh: float) -> Compared:
    """A row with kWh, kg CO2e and cost of a year, where it has joules."""
    if row.option is None:
        return row
    year = summary.year(row.option.energy_j_per_1000, volume)
    kwh = Quantity(year.low, year.kwh, year.high)
    return msgspec.structs.replace(
        row,
        kwh_per_year=_rounded(kwh),
        kg_co2e_per_year=_rounded(kwh * kg_per_kwh),
        cost_per_year=None if year.cost is None else rounded(year.cost),
    )


def _rounded(found: Quantity) -> Quantity:
    """A quantity at the digits that answers write."""
    ends = (None if v is None else rounded(v) for v in (found.low, found.value, found.high))
    return Quantity(*ends)
