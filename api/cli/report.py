"""The command `joulewise report`: a deployment plan in, energy, carbon and cost out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from api.cli import terminal
from api.cli.context import load_estimator, load_snapshot, settings
from api.cli.question import resolve_device
from catalog.files.atomic_write import atomic_write

if TYPE_CHECKING:
    from advisor.report.plan import Plan
    from advisor.report.records import Report
    from api.report.routes import Form
    from catalog.quantity import Quantity

SUFFIXES: dict[str, Form] = {
    ".json": "json",
    ".html": "html",
    ".htm": "html",
    ".csv": "csv",
    ".md": "md",
}
"""Suffix of an output file -> format without ``--format``."""


def report(
    plan: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, metavar="PLAN.toml", help="TOML or JSON."),
    ],
    form: Annotated[
        Literal["json", "html", "csv", "md"] | None,
        typer.Option("--format", help="Default: by the suffix of --output, else a table."),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """What planned deployments will need: kWh, kg CO2e and cost, part by part, with sources."""
    from advisor.recommend.advisor import Advisor
    from advisor.report.report import report as make_report
    from api.report.routes import rendered

    output_form = _output_form("json" if as_json else form, output)
    snapshot = load_snapshot()
    machine = resolve_device(settings().device, snapshot)
    answer = make_report(Advisor(snapshot, load_estimator(snapshot), machine), _read(plan))
    if output_form is None:
        return print_report(answer)
    content = rendered(answer, output_form, alone=True)
    if output is None:
        sys.stdout.buffer.write(content if content.endswith(b"\n") else content + b"\n")
        return None
    _write(output, content)
    typer.echo(f"wrote {output}")
    return None


def _output_form(form: Form | None, output: Path | None) -> Form | None:
    """The requested format; ``None`` is a printed table.

    Raises:
        BadQuestionError: The output file has another suffix than `SUFFIXES`.
    """
    if form is not None or output is None:
        return form
    from advisor.recommend.query import BadQuestionError

    found = SUFFIXES.get(output.suffix.lower())
    if found is None:
        allowed = f"allowed suffixes: {', '.join(SUFFIXES)}; or give --format"
        raise BadQuestionError("output", output.name, allowed)
    return found


def _read(path: Path) -> Plan:
    """The plan in a file.

    Raises:
        PlanError: The file cannot be read or violates the schema.
    """
    from advisor.report.plan import PlanError, PlanProblem, read

    try:
        content = path.read_bytes()
    except OSError as error:
        allowed = f"a file that can be read; {error.strerror}"
        fault = PlanProblem(deployment=None, field="plan", came=path.name, allowed=allowed)
        raise PlanError([fault]) from error
    return read(content, "json" if path.suffix.lower() == ".json" else "toml")


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    try:
        with atomic_write(path) as part:
            part.write_bytes(content)
    except OSError as error:
        terminal.fail(f"{path}: cannot be written, {error.strerror}", terminal.USAGE)


_MAX_ROWS = 15
"""Deployments of a printed table; files have all of them."""


def print_report(answer: Report) -> None:
    """Prints a report: warnings, a table of deployments, and what the alternatives would save."""
    from rich.console import Console

    from advisor.report.records import PART_NAMES
    from api.cli.answer import print_warnings
    from api.report import wording as words

    console, sums = Console(), answer.totals
    print_warnings(answer.warnings)
    if sums.lacking:
        console.print(f"[yellow]{words.lacking(answer)} The totals are lower bounds.[/]")
    columns = ["deployment", "inference", "idle", "training", "PUE", "kWh", "kg CO2e"]
    rows = []
    for entry in answer.deployments[:_MAX_ROWS]:
        setup = f"{entry.name}\n{entry.setup.candidate}\n{entry.setup.device}"
        parts = [words.value(part.kwh) for part in entry.parts]
        rows.append([setup, *parts, _with_interval(entry.kwh), words.least(entry.kg_co2e)])
    parts = [words.value(sums.parts_kwh[name]) for name in PART_NAMES]
    rows.append(["all", *parts, _with_interval(sums.kwh), words.least(sums.kg_co2e)])
    terminal.print_table(f"{answer.title}, kWh by part", columns, rows, right=columns[1:])
    if (left := len(answer.deployments) - _MAX_ROWS) > 0:
        console.print(f"[dim]... and {left} more; --format csv or --json has all[/]")
    if sums.saved_kwh is not None:
        console.print(
            f"The advisor's alternatives would save {words.saved(sums.saved_kwh, 'kWh')}."
        )


def _with_interval(amount: Quantity) -> str:
    """Value and, on a second line, interval of an amount."""
    from api.report import wording as words

    span = "" if amount.high is None else words.span(amount)
    return f"{words.least(amount)}\n{span}".strip()
