"""Formats of a report: CSV, Markdown, XLSX and HTML from one document."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from advisor.report.records import PART_NAMES, Deployed, Part, Report
from advisor.report.wording import Words
from api.pages import templating
from api.report.document import Cell, Table, document, figures, shown
from catalog.quantity import Quantity

Form = Literal["json", "html", "csv", "md", "xlsx"]
MEDIA: dict[Form, str] = {
    "json": "application/json",
    "html": "text/html",
    "csv": "text/csv",
    "md": "text/markdown",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
DETAILED, LISTED = 50, 500
"""Deployments an HTML report shows part by part, and in its table; the other forms hold all."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula at the start of a cell."""
_STATIC = Path(__file__).parents[1] / "pages" / "static"


def rendered(report: Report, form: Form, *, alone: bool = False) -> bytes:
    """A report in one of its forms; blocks. `alone` means HTML that needs nothing beside it."""
    match form:
        case "json":
            return msgspec.json.encode(report)
        case "csv":
            return as_csv(report).encode()
        case "md":
            return as_markdown(report).encode()
        case "xlsx":
            return as_xlsx(report)
    return as_html(report, alone=alone).encode()


def flat(report: Report) -> Iterator[dict[str, Any]]:
    """One flat row for each deployment and part, with all digits."""
    named = {source.id: source.source for source in report.sources}
    for answer in report.deployments:
        for part in answer.parts:
            yield _flat(report, answer, part, named)


def _flat(report: Report, answer: Deployed, part: Part, named: dict[str, str]) -> dict[str, Any]:
    """One part of one deployment."""
    run, energy = answer.setup, answer.setup.energy_j_per_1000
    options = ("candidate", "device", "n_devices", "workload", "scenario", "scope", "precision")
    terms = ("texts", "period_days", "hours_per_day", "machine", "machines", "machines_low")
    return {
        "deployment": answer.name,
        "part": part.name,
        **_ends("kwh", part.kwh),
        **_ends("kg_co2e", part.kg_co2e),
        **_ends("kg_co2e_market", part.kg_co2e_market),
        **_ends("cost", part.cost),
        "currency": report.currency,
        "basis": part.basis,
        "label": part.label,
        "method": part.method,
        "sources": ";".join(part.sources),
        **{name: getattr(run, name) for name in (*options, "batch_size")},
        "accuracy": run.accuracy.value if run.accuracy else None,
        "energy_j_per_1000": energy.value,
        "energy_basis": energy.basis,
        **{name: getattr(answer, name) for name in (*terms, "machines_high", "peak_rate", "pue")},
        "grid": answer.grid.name,
        "grid_year": answer.grid.year,
        "grid_kg_per_kwh": answer.grid.kg_per_kwh.value,
        "price_per_kwh": answer.price_per_kwh,
        "warnings": ";".join(answer.warnings),
        "source": "; ".join(named[name] for name in part.sources if name in named),
        "report": report.number,
        "date": report.date,
        "catalog_digest": report.catalog_digest,
        "estimator_version": report.estimator_version,
        "grid_digest": report.grid_digest,
    }


def _ends(name: str, amount: Quantity | None) -> dict[str, float | None]:
    """Low, value and high as three columns."""
    ends = (None, None, None) if amount is None else (amount.low, amount.value, amount.high)
    return dict(zip((f"{name}_low", name, f"{name}_high"), ends, strict=True))


def guarded(cell: Any) -> Any:
    """A cell no spreadsheet runs: texts that begin like a formula get an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def as_csv(report: Report) -> str:
    """One row per deployment and part."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for number, row in enumerate(flat(report)):
        if number == 0:
            writer.writerow(row)
        writer.writerow([guarded(cell) for cell in row.values()])
    return text.getvalue()


_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\|`*_[]#"} | {"<": "&lt;", ">": "&gt;"})


def _marked(text: str) -> str:
    """Text without bars, line breaks and markup."""
    return " ".join(text.translate(_MARKS).split())


def as_markdown(report: Report) -> str:
    """The whole report."""
    say, found = Words(report.language), document(report)
    lines = [f"# {_marked(found.title)}", "", found.subtitle, "", found.lead, ""]
    for table in found.tables:
        lines += [f"## {table.title}", "", f"| {' | '.join(table.columns)} |"]
        lines.append(f"|{'---|' * len(table.columns)}")
        rows = [[_marked(shown(say, cell)) for cell in row] for row in table.rows]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines += ["", table.note, ""] if table.note else [""]
    return "\n".join([*lines, found.versions, ""])


def as_xlsx(report: Report) -> bytes:
    """A workbook: a sheet for each table, quantities as three numbers, and one of all digits."""
    import xlsxwriter

    file, found = io.BytesIO(), document(report)
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(file, options) as book:
        bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
        for place, table in enumerate(found.tables):
            sheet = book.add_worksheet(table.title[:31])
            first = 0
            if place == 0:
                for first, line in enumerate((found.title, found.subtitle, found.lead), start=1):
                    sheet.write_string(first - 1, 0, line, bold)
                first += 1
            _written(sheet, Words(report.language), table, bold, first)
        sheet = book.add_worksheet("data")
        for number, row in enumerate(flat(report), start=1):
            sheet.write_row(0, 0, list(row), bold)
            sheet.write_row(number, 0, list(row.values()))
    return file.getvalue()


def _written(sheet: Any, say: Words, table: Table, bold: Any, first: int) -> None:
    """Writes a table to a sheet from a row on."""
    places = range(len(table.columns))
    wide = [any(isinstance(row[at], Quantity) for row in table.rows) for at in places]
    for number, row in enumerate([table.columns, *table.rows], start=first):
        cells: list[Cell] = []
        for cell, many in zip(row, wide, strict=True):
            if isinstance(cell, Quantity):
                cells += [cell.low, cell.value, cell.high]
            elif many and number == first:
                cells += [f"{cell}, low", cell, f"{cell}, high"]
            else:
                plain = cell if isinstance(cell, float | int) else shown(say, cell or "")
                cells += [None, plain, None] if many else [plain]
        sheet.write_row(number, 0, cells, bold if number == first else None)
    sheet.set_column(0, len(places) + 2 * sum(wide) - 1, 18)


@functools.cache
def _style() -> str:
    """The style sheets a report that stands alone holds in itself."""
    names = ("joulewise.css", "report.css")
    return "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in names)


def as_html(report: Report, *, alone: bool) -> str:
    """A report as a page."""
    return (
        templating.environment()
        .get_template("report.html")
        .render(
            layout="report_alone.html" if alone else "base.html",
            style=_style() if alone else None,
            place="/report",
            pinned={"digest": report.catalog_digest, "estimator": report.estimator_version},
            **context(report),
        )
    )


def context(report: Report | None) -> dict[str, Any]:
    """What the report's template takes."""
    if report is None:
        return {"report": None}
    say = Words(report.language)
    return {
        "report": report,
        "document": document(report, LISTED, DETAILED),
        "shown": functools.partial(shown, say),
        "figures": functools.partial(figures, say),
        "kind": lambda cell: type(cell).__name__,
        "language": report.language,
        "parts": {name: say(f"part.{name}") for name in PART_NAMES},
    }
