"""The command `joulewise report`: a deployment plan in, energy, carbon and cost out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from api.cli import terminal
from api.cli.context import load_estimator, load_snapshot, output_form, settings, write
from api.cli.question import resolve_device

if TYPE_CHECKING:
    from advisor.report.records import Report
    from api.report.formats import Form

SUFFIXES: dict[str, Form] = {
    ".json": "json",
    ".html": "html",
    ".htm": "html",
    ".csv": "csv",
    ".md": "md",
    ".xlsx": "xlsx",
}
"""Suffix of an output file -> format without ``--format``."""


def report(
    plan: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, metavar="PLAN.toml", help="TOML or JSON."),
    ],
    form: Annotated[
        Literal["json", "html", "csv", "md", "xlsx"] | None,
        typer.Option("--format", help="Default: by the suffix of --output, else a table."),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write.")] = None,
    language: Annotated[
        Literal["en", "de"] | None,
        typer.Option("--language", help="Default: the plan's, else English."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """What planned deployments will need: kWh, kg CO2e and cost, part by part, with sources."""
    from advisor.recommend.advisor import Advisor
    from advisor.report.report import report as make_report
    from api.report.formats import rendered

    wanted = output_form("json" if as_json else form, output, SUFFIXES)
    snapshot = load_snapshot()
    machine = resolve_device(settings().device, snapshot)
    found = _read(plan)
    if language is not None and isinstance(found, dict):
        found["language"] = language
    answer = make_report(Advisor(snapshot, load_estimator(snapshot), machine), found)
    if wanted is None:
        return print_report(answer)
    content = rendered(answer, wanted, alone=True)
    ended = output is not None or content.endswith(b"\n")
    return write(content if ended else content + b"\n", output)


def _read(path: Path) -> Any:
    """The tables and values of a plan's file.

    Raises:
        PlanError: The file cannot be read or is no TOML or JSON.
    """
    from advisor.report.plan import PlanError, PlanProblem, document

    try:
        content = path.read_bytes()
    except OSError as error:
        allowed = f"a file that can be read; {error.strerror}"
        fault = PlanProblem(deployment=None, field="plan", came=path.name, allowed=allowed)
        raise PlanError([fault]) from error
    return document(content, "json" if path.suffix.lower() == ".json" else "toml")


_MAX_ROWS = 15
"""Deployments of a printed table; files have all of them."""


def print_report(answer: Report) -> None:
    """Prints a report: the deployments with their parts, what to know, and the summary last."""
    from rich.console import Console
    from rich.markup import escape

    from advisor.report.records import PART_NAMES
    from advisor.report.wording import Words
    from api.cli.answer import print_warnings
    from api.report.document import document, figures, shown

    say, console, found = Words(answer.language), Console(), document(answer)
    print_warnings(answer.warnings)
    parts = [say(f"part.{name}").partition(" (")[0] for name in PART_NAMES]
    columns = [say("column.deployment"), *parts, "kWh", "kg CO2e"]
    rows = []
    for entry in answer.deployments[:_MAX_ROWS]:
        setup = f"{entry.name}\n{entry.setup.candidate}\n{entry.setup.device}"
        own = [figures(say, part.kwh)[0] for part in entry.parts]
        whole = "\n".join(figures(say, entry.kwh)).strip()
        rows.append([setup, *own, whole, figures(say, entry.kg_co2e)[0]])
    terminal.print_table(f"{answer.title}, kWh", columns, rows, right=columns[1:])
    if (left := len(answer.deployments) - _MAX_ROWS) > 0:
        console.print(f"[dim]... and {left} more; --format csv or --json has all[/]")
    summary = found.table("summary")
    table = [[shown(say, cell) for cell in row[:2]] for row in summary.rows]
    terminal.print_table(found.subtitle, summary.columns[:2], table)
    console.print(escape(f"{summary.note} {found.lead}"))
