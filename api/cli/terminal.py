"""Terminal output: tables of any width, error messages, exit codes."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, NoReturn

import msgspec
import typer
from rich.cells import cell_len
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from advisor.recommend.query import BadQuestionError
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
            command = self.commands.get(ctx.invoked_subcommand or "")
            options = {each.name or "": each.opts[0] for each in command.params} if command else {}
            fail(_message(error, options), code)


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


LISTS = ("task", "workload", "device", "candidate")
"""Kinds of names that a command lists."""


def _message(error: Exception, options: Mapping[str, str]) -> str:
    """An error's message, about an option where it is about a field of the question.

    An unknown name says what lists names, a setting names its variable.
    """
    if isinstance(error, BadQuestionError) and error.field in options:
        return str(error).replace(error.field, options[error.field], 1)
    if isinstance(error, UnknownNameError) and error.kind in LISTS:
        listing = f"`joulewise {error.kind}s WORDS` searches them"
        if error.nearest or len(error.known) <= SCREEN:
            return f"{error}; {listing}"
        said = f"unknown {error.kind} {error.name!r}, none of {len(error.known):,}; {listing}"
        return f"{said}; {error.remedy}" if error.remedy else said
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
    names, cells = list(columns), whole[: SCREEN if limit is None else limit or None]
    needed = sum(_widths(names, cells, str.splitlines)) + _GAP * (len(names) - 1)
    if under and needed > console.width:
        names, cells = _stack(names, cells, under)
    console.print(Text(title, style="bold"))
    if not cells:
        return
    widths, lines = column_widths(names, cells, console.width), SCREEN - 5
    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_edge=False)
    for name, width in zip(names, widths, strict=True):
        side: JustifyMethod = "right" if name in right else "left"
        grid.add_column(_cell(name), width=width, overflow="fold", justify=side)
    for row in cells:
        shown = [*map(_cell, row)]
        sized = zip(shown, map(console.options.update_width, widths), strict=True)
        lines -= max(len(console.render_lines(cell, options)) for cell, options in sized)
        if limit is None and lines < 0:
            break
        grid.add_row(*shown)
    console.print(grid)
    if len(whole) > grid.row_count:
        more = len(whole) - grid.row_count
        console.print(f"... {more:,} more: --limit N shows N rows, --limit 0 all", highlight=False)


def _cell(text: str) -> RenderableType:
    """A cell whose first line stands out against further ones, which may be indented."""
    first, _, rest = text.partition("\n")
    below = rest.lstrip()
    if not below:
        return Text(first)
    return Group(Text(first), Padding(Text(below, "dim"), (0, 0, 0, len(rest) - len(below))))


def _widths(
    names: Sequence[str], cells: Sequence[Sequence[str]], parts: Callable[[str], list[str]]
) -> list[int]:
    """Width of the longest part of each column, its header included; lines or words."""
    return [
        max((cell_len(part) for cell in column for part in parts(cell)), default=1)
        for column in zip(names, *cells, strict=True)
    ]


def _stack(
    names: Sequence[str], cells: Sequence[Sequence[str]], under: Collection[str]
) -> tuple[list[str], list[list[str]]]:
    """Header and rows with the columns `under` written below the first named column."""
    first = next(at for at, name in enumerate(names) if name)
    moved = [at for at, name in enumerate(names) if name in under]
    kept = [at for at in range(len(names)) if at not in moved]

    def row(values: Sequence[str]) -> list[str]:
        below = "; ".join(values[at].replace("\n", ", ") for at in moved if values[at])
        return [f"{values[at]}\n  {below}" if at == first else values[at] for at in kept]

    return row(names), [row(values) for values in cells]


def column_widths(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """Width of each column: its longest word, more where lines need it and there is room.

    The sum stays within `width` minus the gaps where the longest words allow it.
    """
    found, room = _widths(names, cells, str.split), width - _GAP * (len(names) - 1)
    while sum(found) > room and max(found) > _MIN_WIDTH:
        found[found.index(max(found))] -= 1
    needed, left = _widths(names, cells, str.splitlines), room - sum(found)
    while left > 0 and any(has < needs for has, needs in zip(found, needed, strict=True)):
        for at, needs in enumerate(needed):
            if found[at] < needs and left > 0:
                found[at] += 1
                left -= 1
    return found


def spinner(what: str) -> AbstractContextManager[object]:
    """A spinner on stderr for a command that takes minutes; nothing where it is no terminal."""
    return Console(stderr=True).status(f"{what}; this can take minutes")
