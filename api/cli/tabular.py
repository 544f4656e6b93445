"""Tables in a terminal of any width: words are not cut where there is a way around it.

Columns are made narrower by breaking lines between words. Where that does not do, those a caller
names go under the first one; a word is folded only where even that leaves too little.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

_GAP = 2
"""Blanks between columns."""
_LEAST = 6
"""Cells a folded column keeps."""


def show(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    under: Collection[str] = (),
    right: Collection[str] = (),
) -> None:
    """A table on stdout; cells are shown as they are.

    Args:
        title: Above it, in bold.
        columns: Their headers; an empty one marks rows.
        rows: Cells, perhaps of several lines.
        under: Columns that go under the first named one where the terminal is narrow.
        right: Columns whose cells end at the right, as figures do.
    """
    console, cells = Console(), [list(row) for row in rows]
    names = list(columns)
    if _too_wide(names, cells, console.width) and under:
        names, cells = _stacked(names, cells, under)
    console.print(Text(title, style="bold"))
    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_edge=False)
    for name, width in zip(names, widths(names, cells, console.width), strict=True):
        side = "right" if name in right else "left"
        grid.add_column(name, width=width, overflow="fold", justify=side)  # type: ignore[arg-type]
    for row in cells:
        grid.add_row(*(escape(cell) for cell in row))
    console.print(grid)


def _lines(names: Sequence[str], cells: Sequence[Sequence[str]], at: int) -> list[str]:
    """All lines of a column, its header's too."""
    return [names[at], *(line for row in cells for line in row[at].split("\n"))]


def _words(names: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    """The longest word of each column."""
    return [
        max(
            (cell_len(word) for line in _lines(names, cells, at) for word in line.split()),
            default=1,
        )
        for at in range(len(names))
    ]


def _too_wide(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> bool:
    """Whether words would have to be folded."""
    return sum(_words(names, cells)) + _GAP * (len(names) - 1) > width


def _stacked(
    names: Sequence[str], cells: Sequence[Sequence[str]], under: Collection[str]
) -> tuple[list[str], list[list[str]]]:
    """The table with some columns under the first named one."""
    first = next(at for at, name in enumerate(names) if name)
    moved = [at for at, name in enumerate(names) if name in under]
    kept = [at for at in range(len(names)) if at not in moved]

    def row(values: Sequence[str], between: str, header: bool) -> list[str]:
        said = "; ".join(values[at].replace("\n", ", ") for at in moved if values[at])
        whole = f"{values[first]}{', ' if header else between}{said}"
        return [whole if at == first else values[at] for at in kept]

    return row(names, "", header=True), [row(values, "\n", header=False) for values in cells]


def widths(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """Cells of each column: at least its longest word, then as its lines need."""
    found, room = _words(names, cells), width - _GAP * (len(names) - 1)
    while sum(found) > room and max(found) > _LEAST:
        found[found.index(max(found))] -= 1
    needed = [max(map(cell_len, _lines(names, cells, at))) for at in range(len(names))]
    left = room - sum(found)
    while left > 0 and any(has < needs for has, needs in zip(found, needed, strict=True)):
        for at, needs in enumerate(needed):
            if found[at] < needs and left > 0:
                found[at] += 1
                left -= 1
    return found
