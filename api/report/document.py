"""Document of a report: its tables in the order of reading, which every format renders alike.

A `Report` goes in; HTML, Markdown, XLSX and the terminal take the tables, CSV and XLSX the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from advisor.report.records import Amounts, Assumed, Deployed, PartName, Report, Source
from advisor.report.wording import Words
from catalog.quantity import Quantity

NAMED = 6
"""Deployments whose names stand in a cell."""
SHARE_LEAST = 0.004
"""Share of a bar below which a part is not drawn."""


class Links(tuple[str, ...]):
    """Ids that stand in another table."""


Cell = str | float | Quantity | Links | None


class Table(NamedTuple):
    """One table.

    Attributes:
        name: Key of its heading.
        title: The heading.
        rows: Cells by column.
        anchor: What rows are linked to by: this and their last or first cell; empty for none.
        sums: Whether the last row sums the others.
        note: A sentence below it.
        bars: Shares of parts by row, for a drawing: part, start and width in percent.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    anchor: str = ""
    sums: bool = False
    note: str = ""
    bars: tuple[list[tuple[PartName, float, float]], ...] = ()


class Document(NamedTuple):
    """A whole report: heading, summary in a sentence, tables, versions."""

    title: str
    subtitle: str
    lead: str
    tables: list[Table]
    versions: str

    def table(self, name: str) -> Table:
        """A table by its name."""
        return next(each for each in self.tables if each.name == name)


def document(report: Report, listed: int | None = None, detailed: int | None = None) -> Document:
    """The report as tables.

    Args:
        report: In the language it is written in.
        listed: Deployments in the tables at most; all if ``None``.
        detailed: The same for their parts.
    """
    say, answers, costly = Words(report.language), report.deployments, _costly(report)
    many, money = len(answers), (report.currency,) if costly else ()

    def table(name: str, columns: str, rows: Iterable[tuple[Cell, ...]], **more: Any) -> Table:
        heads: list[str] = []
        for each in columns.split():
            if each == "money":
                heads += money
            elif each != "saves_cost" or costly:
                heads.append(say(f"column.{each}", currency=report.currency))
        return Table(name, say(f"heading.{name}"), tuple(heads), list(rows), **more)

    def cut(most: int | None) -> str:
        return "" if most is None or many <= most else say("say.listed", listed=most, all=many)

    found = [
        table("summary", "all period year", _summary(say, report), note=_note(say, report)),
        table(
            "deployments",
            "deployment setup texts machines kwh kg money sci",
            [*(_deployment(say, each, costly) for each in answers[:listed]), _all(say, report)],
            sums=True,
            note=cut(listed),
            bars=tuple(_bar(each) for each in answers[:listed]),
        ),
        table(
            "parts",
            "deployment part kwh kg money basis method sources",
            (row for each in answers[:detailed] for row in _parts(say, each, costly)),
            note=cut(detailed),
        ),
        table(
            "alternatives",
            "deployment instead saves_kwh saves_kg saves_cost note even",
            (_alternative(say, each, costly) for each in answers[:detailed]),
        ),
        table("assumptions", "what value why who sources", _assumptions(say, answers)),
        table(
            "methods",
            "id formula",
            ((each.id, each.formula) for each in report.methods),
            anchor="method-",
        ),
        table(
            "warnings",
            "code warning who",
            ((each.code, each.message, _who(say, report, each.code)) for each in report.warnings),
            anchor="note-",
        ),
        table(
            "sources",
            "id what source",
            ((each.id, each.what, _source(each)) for each in report.sources),
            anchor="source-",
        ),
    ]
    versions = say(
        "say.versions",
        catalog=report.catalog_digest[:12],
        estimator=report.estimator_version,
        grid=report.grid_digest[:12],
    )
    subtitle = say("heading.report", number=report.number, date=report.date)
    tables = [each for each in found if each.rows]
    return Document(report.title, subtitle, _lead(say, report), tables, versions)


def _costly(report: Report) -> bool:
    """Whether some deployment has a price."""
    return any(each.cost is not None for each in report.deployments)


def _lead(say: Words, report: Report) -> str:
    """The summary in a few sentences."""
    sums = report.totals
    said = say(
        "say.lead",
        deployments=sums.deployments,
        machines=sums.machines,
        texts=sums.texts,
        kwh=shown(say, sums.kwh),
        kg=shown(say, sums.kg_co2e),
    )
    if sums.cost is not None:
        said += say("say.cost", cost=shown(say, sums.cost), currency=report.currency)
    if sums.kwh.value:
        share = 100 * (sums.parts_kwh["idle"].value or 0.0) / sums.kwh.value
        said += say("say.idle", share=share)
    if sums.saved_kwh is not None:
        said += say("say.saved", kwh=shown(say, sums.saved_kwh))
    return said


def _summary(say: Words, report: Report) -> Iterator[tuple[Cell, ...]]:
    """The totals of the period and of a year, as far as they are known."""
    sums, year, currency = report.totals, report.totals.per_year, report.currency
    parts = (("of_it", kwh, None, say(f"part.{name}")) for name, kwh in sums.parts_kwh.items())
    for name, period, a_year, part in (
        ("electricity", sums.kwh, year.kwh, ""),
        *parts,
        ("location", sums.kg_co2e, year.kg_co2e, ""),
        ("market", sums.kg_co2e_market, year.kg_co2e_market, ""),
        ("embodied", sums.embodied_kg_co2e, None, ""),
        ("cost", sums.cost, year.cost, ""),
        ("water", sums.water_l, None, ""),
        ("saved_kwh", sums.saved_kwh, None, ""),
        ("saved_kg", sums.saved_kg_co2e, None, ""),
        ("saved_cost", sums.saved_cost, None, ""),
    ):
        if period is not None:
            yield say(f"row.{name}", currency=currency, part=part), period, a_year


def _note(say: Words, report: Report) -> str:
    """How to read the intervals, and what the totals leave out."""
    lacking = ", ".join(
        say("say.of", part=say(f"part.{name}"), n=n, all=report.totals.deployments)
        for name, n in report.totals.lacking.items()
    )
    return say("say.intervals") + (f" {say('say.lacking', what=lacking)}" if lacking else "")


def _amounts(found: Amounts, costly: bool) -> tuple[Cell, ...]:
    """kWh, kg CO2e and, where some deployment has a price, the cost."""
    return (found.kwh, found.kg_co2e, *((found.cost,) if costly else ()))


def _setup(say: Words, answer: Deployed) -> str:
    """The setup of a deployment in one line."""
    run = answer.setup
    many = f" × {run.n_devices}" if run.n_devices and run.n_devices > 1 else ""
    batch = say("setup.batch", batch=run.batch_size) if run.batch_size else ""
    said = [
        say("setup.on", candidate=run.candidate, device=f"{run.device}{many}"),
        f"{run.precision or say('setup.unstated')}{batch}",
        run.workload,
        say(f"scenario.{run.scenario}"),
    ]
    if run.accuracy is not None:
        said.append(say("setup.accuracy", value=run.accuracy.value))
    if answer.machine:
        said.append(say("setup.machine", machine=answer.machine))
    if answer.chosen_by == "advisor":
        said.append(say("setup.advisor"))
    return ", ".join(said)


def _machines(say: Words, answer: Deployed) -> str:
    """How many machines, with the ends of the interval where they differ, and how busy."""
    low, value, high = answer.machines_low, answer.machines, answer.machines_high
    number = say.number(value)
    if value is not None and low != high:
        number += f" ({say.number(low)} – {say.number(high)})"
    said = say("say.on", machines=number, hours=answer.hours_per_day)
    if answer.busy_share is not None:
        said += say("say.busy", share=100 * answer.busy_share)
    return said


def _deployment(say: Words, answer: Deployed, costly: bool) -> tuple[Cell, ...]:
    """A deployment in a row."""
    texts = say("say.days", texts=answer.texts, days=answer.period_days)
    said = (answer.name, _setup(say, answer), texts, _machines(say, answer))
    return (*said, *_amounts(answer, costly), answer.sci.g_co2e_per_text)


def _all(say: Words, report: Report) -> tuple[Cell, ...]:
    """All deployments in a row."""
    sums = report.totals
    first = (say("row.all"), "", say.number(sums.texts), say.number(sums.machines))
    return (*first, *_amounts(sums, _costly(report)), "")


def _bar(answer: Deployed) -> list[tuple[PartName, float, float]]:
    """The bar of a deployment: part, start and width in percent of its known kWh."""
    known, at, bars = answer.kwh.value or 0.0, 0.0, list[tuple[PartName, float, float]]()
    for part in answer.parts:
        share = (part.kwh.value or 0.0) / known if known else 0.0
        if share >= SHARE_LEAST:
            bars.append((part.name, round(100 * at, 2), round(100 * share, 2)))
        at += share
    return bars


def _parts(say: Words, answer: Deployed, costly: bool) -> Iterator[tuple[Cell, ...]]:
    """The parts of a deployment and their sum, a row each."""
    for place, part in enumerate(answer.parts):
        plain = part.label in (None, "estimated", part.basis)
        label = "" if plain else f" ({say(f'label.{part.label}')})"
        yield (
            "" if place else answer.name,
            say(f"part.{part.name}"),
            *_amounts(part, costly),
            f"{say(f'basis.{part.basis}')}{label}",
            Links(("method-" + part.method,)),
            Links("source-" + name for name in part.sources),
        )
    yield ("", say("row.total"), *_amounts(answer, costly), "", "", "")


def _alternative(say: Words, answer: Deployed, costly: bool) -> tuple[Cell, ...]:
    """What else would do, and the break-even of training."""
    other, even, instead = answer.alternative, answer.break_even, ""
    if other is not None and other.setup is not None:
        run = other.setup
        instead = say("setup.on", candidate=run.candidate, device=run.device)
        if run.accuracy is not None:
            instead += f", {say('setup.accuracy', value=run.accuracy.value)}"
    saved: tuple[Quantity | None, ...] = (None, None, None)
    if other is not None:
        saved = (other.saved_kwh, other.saved_kg_co2e, other.saved_cost)
    against = "" if even is None or even.against is None else f"{even.against}: "
    return (
        answer.name,
        instead,
        *saved[: 3 if costly else 2],
        "" if other is None else other.note,
        "" if even is None else f"{against}{even.note}",
    )


def _assumptions(say: Words, answers: Sequence[Deployed]) -> list[tuple[Cell, ...]]:
    """What the plan leaves open and what it states about its surroundings, each value once."""
    names: dict[tuple[str, str, str, str | None], list[str]] = {}
    for answer in answers:
        for what, value, why, source in (*_stated(say, answer), *_assumed(say, answer.assumed)):
            names.setdefault((what, value, why, source), []).append(answer.name)
    return [
        (
            what,
            value,
            why,
            _names(say, who, len(answers)),
            Links(() if source is None else ("source-" + source,)),
        )
        for (what, value, why, source), who in names.items()
    ]


def _assumed(say: Words, found: Sequence[Assumed]) -> Iterator[tuple[str, str, str, str | None]]:
    """What was assumed: field, value, why and source; the peak rate stands with the machines."""
    for each in (each for each in found if each.field != "peak_rate"):
        value = shown(say, each.value)
        for group in ("scenario", "scope"):
            value = say(f"{group}.{value}") if each.field == group else value
        yield say(f"field.{each.field}"), value, each.why, each.source


def _stated(say: Words, answer: Deployed) -> Iterator[tuple[str, str, str, str | None]]:
    """The factors that turn kWh into kg CO2e and cost."""
    grid, stated = answer.grid, say("basis.stated")
    name = grid.name + (f" {grid.year}" if grid.year else "")
    yield say("say.grid"), shown(say, grid.kg_per_kwh), name, grid.source
    if answer.market_kg_per_kwh is not None:
        yield say("say.contract"), shown(say, answer.market_kg_per_kwh), stated, "plan"
    if answer.price_per_kwh is not None:
        yield say("say.price"), say.number(answer.price_per_kwh), stated, "plan"
    if "pue" not in {each.field for each in answer.assumed}:
        yield say("say.pue"), say.number(answer.pue), stated, "plan"
    yield say("column.machines"), say.number(answer.machines), answer.machines_from, None
    if answer.sci.embodied_kg is None or "embodied" not in {e.field for e in answer.assumed}:
        yield say("field.embodied"), say.number(answer.sci.embodied_kg), answer.sci.note, None


def _who(say: Words, report: Report, code: str) -> str:
    """The deployments a warning is about."""
    names = [each.name for each in report.deployments if code in each.warnings]
    return _names(say, names, len(report.deployments))


def _names(say: Words, names: Sequence[str], number: int) -> str:
    """Names of deployments: all of them, or the first ones and how many more."""
    if len(names) == number:
        return say("row.all")
    more = f" + {len(names) - NAMED}" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _source(source: Source) -> str:
    """Where a figure was taken, in a line."""
    fields = ("source", "citation", "reference", "licence", "measured_at", "meter", "host", "notes")
    found = [getattr(source, name) for name in fields]
    return "; ".join(dict.fromkeys(str(each) for each in found if each))


def shown(say: Words, cell: Cell) -> str:
    """A cell as people read it: a quantity with its interval, a dash where it is missing."""
    if cell is None:
        return "–"
    if isinstance(cell, Links):
        return ", ".join(each.partition("-")[2] for each in cell)
    if isinstance(cell, str):
        return cell
    if not isinstance(cell, Quantity):
        return say.number(cell)
    value, span = figures(say, cell)
    return f"{value} ({span})" if span else value


def figures(say: Words, cell: Quantity) -> tuple[str, str]:
    """A quantity's value and its interval, empty where both ends are the value."""
    low, value, high = cell.low, cell.value, cell.high
    if value is None:
        said = say("basis.missing") if not low else say("say.at_least", low=say.number(low))
        return said, ""
    if high is None:
        return say.number(value), say("say.at_least", low=low) if low else say("say.open")
    if low == high or say.number(low) == say.number(high) == say.number(value):
        return say.number(value), ""
    return say.number(value), f"{say.number(low)} – {say.number(high)}"
