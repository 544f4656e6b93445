"""Terminal output: tables of any width, answers, evaluations, error messages, exit codes."""

from __future__ import annotations

import socket
import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from advisor.recommend.query import BadQuestionError
from advisor.recommend.records import Option, Recommendation
from api.pages import at_rate, wording
from catalog.errors import (
    BadRunFileError,
    CatalogUnreadableError,
    ConflictError,
    ImplausibleSpecError,
    UnknownNameError,
)

USAGE, NOTHING_QUALIFIES, BAD_DATA, NOT_MEASURABLE, SKIPPED = 2, 3, 4, 5, 6
"""Exit codes; 0 is done."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of SIGINT."""
MAX_ROWS = 15
"""Most rows of a printed list; ``--json`` has all of them."""


class CommandGroup(TyperGroup):
    """Command group that turns domain errors into a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs a command; errors that are no domain errors keep their traceback."""
        try:
            return super().invoke(ctx)
        except (RuntimeError, ValueError, LookupError) as error:
            code = _exit_code(error)
            if code is None:
                raise
            fail(_message(error), code)


def _exit_code(error: Exception) -> int | None:
    """Exit code of a domain error; ``None`` for a programming error."""
    from pydantic import ValidationError

    from advisor.estimator.artefact import StaleEstimatorError
    from advisor.estimator.training_rows import TooFewRowsError
    from advisor.evaluation.published_rows import BadTableError
    from advisor.evaluation.train import WorseEstimatorError
    from advisor.report.plan import PlanError

    usage = (BadQuestionError, ImplausibleSpecError, UnknownNameError, ValidationError)
    bad_data = (BadRunFileError, ConflictError, CatalogUnreadableError, BadTableError)
    if isinstance(error, usage):
        return USAGE
    if isinstance(error, PlanError):
        return NOTHING_QUALIFIES if error.nothing_qualifies else BAD_DATA
    bad_estimator = (StaleEstimatorError, TooFewRowsError, WorseEstimatorError)
    return BAD_DATA if isinstance(error, (*bad_data, *bad_estimator)) else None


def _message(error: Exception) -> str:
    """An error's message; one of the settings names the variable."""
    faults = getattr(error, "errors", None)
    if faults is None:
        return str(error)
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or 'value'}: {fault['msg']}"
        for fault in faults()
    )


def require_free_port(host: str, port: int) -> None:
    """Ends with a usage error where a port is in use.

    The server lets several processes share one port, so a forgotten process would go on
    answering from its own catalog.
    """
    try:
        with socket.create_connection((host, port), timeout=1):
            pass
    except OSError:
        return
    fail(f"port {port} on {host} is taken; set JOULEWISE_PORT or --port to another", USAGE)


def fail(message: str, code: int) -> NoReturn:
    """Prints an error on stderr and ends the command with an exit code."""
    Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(message)}")
    raise typer.Exit(code)


def print_json(content: Any) -> None:
    """Prints one JSON document on stdout."""
    sys.stdout.write(msgspec.json.encode(content).decode() + "\n")


_GAP = 2
"""Blanks between columns of a table."""
_MIN_WIDTH = 6
"""Least width of a folded column, in character cells."""


SCREEN = 40
"""Lines that a list prints unless asked for more."""
Limit = Annotated[
    int | None, typer.Option(min=0, help="Rows to show, 0 for all; a screen of them if not given.")
]


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    under: Collection[str] = (),
    right: Collection[str] = (),
    limit: int | None = 0,
) -> None:
    """Prints a table that breaks lines between words and folds a word only as the last resort.

    Args:
        title: Above it, in bold.
        columns: Their headers; an empty one marks rows.
        rows: Cells, shown as they are; a cell may have several lines.
        under: Columns that go under the first named one where the terminal is narrow.
        right: Columns whose cells end at the right, as figures do.
        limit: Rows that are shown; 0 shows all, ``None`` as many as fit on a screen. What is left
            out is said below.
    """
    console, whole = Console(), [list(row) for row in rows]
    cells = whole[: SCREEN if limit is None else limit or None]
    names = list(columns)
    needed = sum(_word_widths(names, cells)) + _GAP * (len(names) - 1)
    if under and needed > console.width:
        names, cells = _stack(names, cells, under)
    console.print(Text(title, style="bold"))
    widths = column_widths(names, cells, console.width)
    if limit is None:
        cells = _of_one_screen(console, cells, widths)
    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_edge=False)
    for name, width in zip(names, widths, strict=True):
        side = "right" if name in right else "left"
        grid.add_column(name, width=width, overflow="fold", justify=side)  # type: ignore[arg-type]
    for row in cells:
        grid.add_row(*(escape(cell) for cell in row))
    console.print(grid)
    if len(whole) > len(cells):
        console.print(f"... {len(whole) - len(cells)} more: --limit N shows N rows, --limit 0 all")


def _of_one_screen(
    console: Console, cells: list[list[str]], widths: Sequence[int]
) -> list[list[str]]:
    """The first rows that fit beside title, header and the line on what is left out."""
    lines = SCREEN - 4
    for at, row in enumerate(cells):
        pairs = zip(row, widths, strict=True)
        lines -= max(len(Text(cell).wrap(console, max(width, 1))) for cell, width in pairs)
        if lines < 0:
            return cells[:at]
    return cells


def _column_lines(names: Sequence[str], cells: Sequence[Sequence[str]], at: int) -> list[str]:
    """All lines of a column, including its header."""
    return [names[at], *(line for row in cells for line in row[at].split("\n"))]


def _word_widths(names: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    """Width of the longest word of each column."""
    return [
        max(
            (cell_len(word) for line in _column_lines(names, cells, at) for word in line.split()),
            default=1,
        )
        for at in range(len(names))
    ]


def _stack(
    names: Sequence[str], cells: Sequence[Sequence[str]], under: Collection[str]
) -> tuple[list[str], list[list[str]]]:
    """Header and rows with the columns `under` written below the first named column."""
    first = next(at for at, name in enumerate(names) if name)
    moved = [at for at, name in enumerate(names) if name in under]
    kept = [at for at in range(len(names)) if at not in moved]

    def row(values: Sequence[str], between: str, header: bool) -> list[str]:
        below = "; ".join(values[at].replace("\n", ", ") for at in moved if values[at])
        whole = f"{values[first]}{', ' if header else between}{below}"
        return [whole if at == first else values[at] for at in kept]

    return row(names, "", header=True), [row(values, "\n", header=False) for values in cells]


def column_widths(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """Width of each column: its longest word, more where lines need it and there is room.

    The sum stays within `width` minus the gaps where the longest words allow it.
    """
    found, room = _word_widths(names, cells), width - _GAP * (len(names) - 1)
    while sum(found) > room and max(found) > _MIN_WIDTH:
        found[found.index(max(found))] -= 1
    needed = [max(map(cell_len, _column_lines(names, cells, at))) for at in range(len(names))]
    left = room - sum(found)
    while left > 0 and any(has < needs for has, needs in zip(found, needed, strict=True)):
        for at, needs in enumerate(needed):
            if found[at] < needs and left > 0:
                found[at] += 1
                left -= 1
    return found


def _option_cells(mark: str, option: Option) -> tuple[str, ...]:
    """One option as a table row."""
    accuracy, energy = option.accuracy, option.energy_j_per_1000
    shown = wording.accuracy(accuracy.value if accuracy else None)
    if accuracy and accuracy.low is not None:
        shown += f"\n{wording.accuracy(accuracy.low)} – {wording.accuracy(accuracy.high)}"
    interval = wording.interval(energy.low, energy.high)
    times = f" × {wording.number(option.energy_factor.value)}" if option.energy_factor else ""
    label = f", {energy.label}" if energy.label not in (None, "estimated", "measured") else ""
    origin = f"{wording.ENERGY_KIND[energy.basis]}{label}"
    return (
        mark,
        option.candidate,
        wording.device_count(option),
        shown,
        f"{wording.joules(energy)}{times}\n{interval}".strip(),
        f"{origin}\n{_source_cell(option)}",
    )


def _source_cell(option: Option) -> str:
    """Source of an option's figures, and a tool's modelled joules where there are some."""
    runtime, source = option.runtime_s_per_1000, option.provenance.source
    not_run_here = option.energy_j_per_1000.basis != "measured" and (
        runtime is None or runtime.basis != "measured"
    )
    text = f"accuracy: {source}" if not_run_here else source
    if option.second_opinion_j_per_1000 is not None:
        text += f"\nmodelled: {wording.number(option.second_opinion_j_per_1000)}"
    return text


def print_answer(answer: Recommendation) -> None:
    """Prints an answer: the ranking, warnings, and why other candidates were rejected."""
    console, group = Console(), answer.group
    where = wording.machine(answer.machine)
    ranked, alike = at_rate.folded(answer)
    if ranked:
        marks = ["→", *(str(place) for place in range(2, len(ranked) + 1))]
        title = (
            f"{answer.query.task}: least energy first, on {group.workload} "
            f"{wording.SCENARIO[group.scenario]}, energy of {wording.SCOPE[group.scope]}, "
            f"priced on {where}"
        )
        columns = ("", "candidate", "device", "accuracy", "J per 1,000 texts", "basis and source")
        print_table(
            title,
            columns,
            (_option_cells(*pair) for pair in zip(marks, ranked, strict=True)),
            under=("device", "basis and source"),
        )
    else:
        console.print(f"[bold red]Nothing qualifies on {group.workload} on {escape(where)}.[/]")
    if answer.nearest_miss and (miss := answer.nearest_miss.missing):
        near = answer.nearest_miss
        where = f"{near.candidate} on {wording.device_count(near)}, {near.workload}"
        console.print(escape(f"Closest: {where}: {wording.shortfalls(miss)}"))
    if alike:
        console.print(f"[dim]... and {escape(at_rate.alike(alike))}; --json has all[/]")
    if hint := at_rate.to_measure(answer):
        console.print(f"[bold green]at a rate[/] {escape(hint)}")
    _print_further(answer, console)
    for warning in answer.warnings:
        console.print(f"[yellow]note[/] {escape(warning.message)} [dim]({warning.code})[/]")
    _print_paired(answer, console)
    if answer.rejected:
        lost = [
            (entry.candidate, wording.reason(entry.reason), entry.detail, str(entry.setups))
            for entry in answer.rejected[:MAX_ROWS]
        ]
        more = len(answer.rejected) - len(lost) + answer.rejected_more
        print_table("Why the others lost", ("candidate", "reason", "in figures", "setups"), lost)
        if more:
            console.print(f"[dim]... and {more} more; --limit lists them[/]")


def _print_further(answer: Recommendation, console: Console) -> None:
    """Prints what the accuracies as they are would choose, other ways to serve, what to measure."""
    if (other := answer.chosen_by_point) is not None:
        value = wording.accuracy(other.accuracy.value if other.accuracy else None)
        joules = wording.joules(other.energy_j_per_1000)
        console.print(
            f"[bold green]by point value[/] {escape(other.candidate)}: accuracy {value} without "
            f"regard to its interval, {joules} J (--confidence 0)"
        )
    for each in answer.variants[:3]:
        served = " ".join(filter(None, (each.backend, each.precision)))
        unfit = "" if each.qualifies else ", does not qualify"
        console.print(
            f"[green]variant[/] {escape(served)}: × {wording.number(each.factor.value)} "
            f"({wording.number(each.factor.low)} – {wording.number(each.factor.high)}){unfit}"
        )
    for advice in answer.suggestions:
        console.print(f"[green]measure[/] {escape(advice.candidate)}: {escape(advice.reason)}")
        console.print(f"  [dim]{escape(advice.command)}[/]", soft_wrap=True)


def _print_paired(answer: Recommendation, console: Console) -> None:
    """Prints paired comparisons on the same test items, and cascades that need less energy."""
    for each in answer.comparisons[:3]:
        console.print(f"[green]item by item[/] {escape(wording.comparison(each))}")
    for cascade in answer.cascades[:3]:
        console.print(f"[green]cascade[/] {escape(wording.cascade(cascade))}")


PROBE_NOTE = (
    "k: measured rows of the device that were known; drawn at random, 20 times; with *, picked "
    "once by the rule of `joulewise probes`. Devices of up to k + 1 models count at smaller k "
    "alone. (no time): the runtime is estimated too. MdAPE and covers are means over devices, "
    "in 25 % and in 2x shares of all rows."
)


def spinner(what: str) -> AbstractContextManager[object]:
    """A spinner on stderr for a command that takes minutes; nothing where it is no terminal."""
    return Console(stderr=True).status(f"{what}; this can take minutes")


def _error_cells(name: str, probes: str, error: dict[str, Any]) -> tuple[str, ...]:
    """One method's error figures as table cells."""
    figures = ["mdape_macro_device", "within25", "within2x", "kendall_tau", "regret"]
    figures += ["coverage90", "width90"]
    cells = ("" if error.get(key) is None else f"{error[key]:.3g}" for key in figures)
    return (name, probes, *cells)


def _error_rows(report: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, number of probe rows (starred where picked) and figures of each row."""
    known = report["known_runtime"]
    found = [("estimator", "0", known["estimator"])]
    found += [(name, "0", error) for name, error in known["baselines"].items()]
    found.append(("estimator (no time)", "0", report["unknown_runtime"]["estimator"]))
    for k in (k for k in report["probes"] if k != "0"):
        for part, how in (("probes", k), ("picked", f"{k}*")):
            found.append(("estimator", how, report[part][k]))
            found += [(name, how, own) for name, own in report[f"{part}_baselines"][k].items()]
            found.append(("estimator (no time)", how, report[f"{part}_unknown_runtime"][k]))
    return found


def print_evaluation(report: dict[str, Any], test: Path | None) -> None:
    """Prints the error table of `evaluate`.

    Args:
        report: As `advisor.evaluation.evaluate.evaluate` returns it.
        test: File of the test rows; ``None`` where a part of the rows was held out.
    """
    names = "method", "k", "MdAPE %", "in 25 %", "in 2x", "tau", "regret %", "covers %", "width"
    what = f"held out: {report['split']}" if test is None else f"tested on {test.name}"
    title = f"{what}; {report['n_train']} rows, {report['n_test']} scored"
    cells = [_error_cells(*line) for line in _error_rows(report) if line[-1]]
    if cells:
        print_table(title, names, cells)
    else:
        Console().print(title)
    if report["probes"].keys() - {"0"}:
        Console().print(PROBE_NOTE)
    for note in report["notes"]:
        Console().print(f"[yellow]note[/] {escape(note)}")
