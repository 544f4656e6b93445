"""A report as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from advisor.report.records import Deployed, Part, Report, Source
from api.pages import wording as view
from api.report import wording as words
from catalog.quantity import Quantity

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula at the start of a cell."""


def guarded(cell: Any) -> Any:
    """A cell no spreadsheet runs: texts that begin like a formula get an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _ends(name: str, amount: Quantity | None) -> dict[str, float | None]:
    """Low, value and high as three columns."""
    ends = (None, None, None) if amount is None else (amount.low, amount.value, amount.high)
    return dict(zip((f"{name}_low", name, f"{name}_high"), ends, strict=True))


def _row(report: Report, answer: Deployed, part: Part, cited: str) -> dict[str, Any]:
    """One part of one deployment."""
    run, energy = answer.setup, answer.setup.energy_j_per_1000
    return {
        "deployment": answer.name,
        "part": part.name,
        **_ends("kwh", part.kwh),
        **_ends("kg_co2e", part.kg_co2e),
        **_ends("cost", part.cost),
        "currency": report.currency,
        "basis": part.basis,
        "label": part.label,
        "method": part.method,
        "sources": ";".join(part.sources),
        "candidate": run.candidate,
        "device": run.device,
        "n_devices": run.n_devices,
        "workload": run.workload,
        "scenario": run.scenario,
        "scope": run.scope,
        "precision": run.precision,
        "batch_size": run.batch_size,
        "accuracy": run.accuracy.value if run.accuracy else None,
        "energy_j_per_1000": energy.value,
        "energy_basis": energy.basis,
        "texts": answer.texts,
        "period_days": answer.period_days,
        "hours_per_day": answer.hours_per_day,
        "machines": answer.machines,
        "machines_low": answer.machines_low,
        "machines_high": answer.machines_high,
        "pue": answer.pue,
        "grid": answer.grid.name,
        "grid_year": answer.grid.year,
        "grid_kg_per_kwh": answer.grid.kg_per_kwh.value,
        "price_per_kwh": answer.price_per_kwh,
        "warnings": ";".join(answer.warnings),
        "source": cited,
        "catalog_digest": report.catalog_digest,
        "estimator_version": report.estimator_version,
        "grid_digest": report.grid_digest,
    }


def _rows(report: Report) -> Iterator[dict[str, Any]]:
    """Every row, in order."""
    named = {source.id: source.source for source in report.sources}
    for answer in report.deployments:
        for part in answer.parts:
            cited = "; ".join(named[name] for name in part.sources if name in named)
            yield _row(report, answer, part, cited)


def as_csv(report: Report) -> str:
    """One row per deployment and part."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for number, row in enumerate(_rows(report)):
        if number == 0:
            writer.writerow(row)
        writer.writerow([guarded(cell) for cell in row.values()])
    return text.getvalue()


_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\|`*_[]#"} | {"<": "&lt;", ">": "&gt;"})


def _cell(text: object) -> str:
    """A cell of a Markdown table: no bars, no line breaks, no markup."""
    return "" if text is None else " ".join(str(text).translate(_MARKS).split())


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A Markdown table."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(_cell(cell) for cell in row)} |"
    yield ""


def _headline(report: Report) -> Iterator[str]:
    """The totals."""
    sums = report.totals
    yield f"# {_cell(report.title)}"
    yield ""
    lines = [
        ("Electricity, kWh", sums.kwh),
        ("kg CO2e", sums.kg_co2e),
        (f"Cost, {report.currency}", sums.cost),
    ]
    rows = [(name, words.value(amount), words.span(amount)) for name, amount in lines]
    rows[1:1] = [
        (f"of it {words.PART[name]}", words.part_total(report, name), words.span(amount))
        for name, amount in sums.parts_kwh.items()
    ]
    yield from _table(("All deployments", "value", "interval"), rows)
    if sums.saved_kwh is not None:
        yield f"The advisor's alternatives would save {view.number(sums.saved_kwh.value)} kWh."
        yield ""
    if sums.lacking:
        yield words.lacking(report)
        yield ""


def _of(report: Report, answer: Deployed) -> Iterator[str]:
    """One deployment."""
    yield f"## {_cell(answer.name)}"
    yield ""
    yield (
        f"{_cell(words.setup(answer))}, {_cell(answer.setup.workload)}: "
        f"{words.texts(answer.texts)} texts in {answer.period_days:g} days, machines: "
        f"{words.machines(answer)} ({_cell(answer.machines_from)}), PUE {answer.pue:g}, "
        f"grid: {_cell(answer.grid.name)}{f' {answer.grid.year}' if answer.grid.year else ''}, "
        f"{words.value(answer.grid.kg_per_kwh)} kg CO2e per kWh."
    )
    yield ""
    rows = [
        (
            words.PART[part.name],
            words.value(part.kwh),
            words.span(part.kwh),
            words.value(part.kg_co2e),
            words.value(part.cost),
            f"{words.BASIS[part.basis]}{f' ({part.label})' if part.label else ''}",
            words.formula(report, part),
            ", ".join(part.sources),
        )
        for part in answer.parts
    ]
    sums = ("Total", words.value(answer.kwh), words.span(answer.kwh), words.value(answer.kg_co2e))
    rows.append((*sums, words.value(answer.cost), "", "", ""))
    columns = ("part", "kWh", "interval", "kg CO2e", report.currency, "basis", "how", "sources")
    yield from _table(columns, rows)
    for line in remarks(answer):
        yield f"- {_cell(line)}"
    yield ""


def remarks(answer: Deployed) -> Iterator[str]:
    """What else is to say about a deployment, a sentence each."""
    grams = answer.sci.g_co2e_per_text
    yield f"SCI: {words.figure(grams, 'g CO2e per text')}; {answer.sci.note}"
    other = answer.alternative
    if other is not None and other.setup is not None:
        less = words.saved(other.saved_kwh, "kWh saved")
        yield f"Alternative: {other.setup.candidate}; {less or 'saving not known'}; {other.note}"
    elif other is not None:
        yield f"Alternative: {other.note}"
    if answer.break_even is not None:
        yield f"Break-even of training: {answer.break_even.note}"
    for entry in answer.assumed:
        yield f"Assumed: {entry.field} {entry.value}, {entry.why}"


def _source(source: Source) -> tuple[object, ...]:
    """A source as a row."""
    more = (source.citation, source.reference, source.licence, source.measured_at, source.meter)
    return (source.id, source.what, source.source, "; ".join(part for part in more if part))


def as_markdown(report: Report) -> str:
    """The whole report."""
    lines = list(_headline(report))
    for answer in report.deployments:
        lines += _of(report, answer)
    if report.warnings:
        lines += ["## Worth knowing", ""]
        lines += [
            f"- {_cell(note.message)} (`{note.code}`, {note.deployments} deployments)"
            for note in report.warnings
        ]
        lines.append("")
    lines += ["## Sources", ""]
    lines += _table(("id", "what", "source", "more"), map(_source, report.sources))
    lines.append(
        f"Catalog {report.catalog_digest}, estimator {report.estimator_version}, "
        f"grid factors {report.grid_digest}."
    )
    return "\n".join(lines) + "\n"
