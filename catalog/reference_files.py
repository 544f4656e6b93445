"""Reader of bundled tables: CSV cells to records.

The files are checked by the test-suite with the same schema as any run file, so reading them
here trusts them and needs no table library: a cold command line waits for nothing.
"""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any, TypeVar

import msgspec

from catalog.records import Training

FOLDER = files("catalog") / "reference"
Record = TypeVar("Record", bound=msgspec.Struct)


REFERENCE_RUNS = "joulewise-"
"""Start of the names of files that the suite's reference runs made, one of each kind a machine."""


def reference_runs(folder: str, ending: str) -> list[str]:
    """Names of the files of reference runs in a folder of the reference figures, sorted."""
    there = FOLDER / folder
    names = [entry.name for entry in there.iterdir()] if there.is_dir() else []
    return sorted(n for n in names if n.startswith(REFERENCE_RUNS) and n.endswith(ending))


@functools.cache
def _fields_of(kind: type[msgspec.Struct], type_: object) -> frozenset[str]:
    """Names of the fields of a record that have a type."""
    return frozenset(f.name for f in msgspec.structs.fields(kind) if f.type == type_)


def from_cells(kind: type[Record], cells: Iterable[dict[str, Any]]) -> Iterator[Record]:
    """Records from rows of text cells: empty means missing, tuples are joined with ``;``.

    A record inside a record is JSON.

    Raises:
        msgspec.ValidationError: A cell does not fit its field; the text names the field.
    """
    tuples, nested = _fields_of(kind, tuple[str, ...]), _fields_of(kind, Training | None)
    for row in cells:
        given: dict[str, Any] = {name: cell for name, cell in row.items() if cell not in ("", None)}
        for name in tuples & given.keys():
            given[name] = tuple(part.strip() for part in given[name].split(";") if part.strip())
        for name in nested & given.keys():
            try:
                given[name] = msgspec.json.decode(str(given[name]), type=Training)
            except msgspec.DecodeError as error:
                raise msgspec.ValidationError(f"{error} - at `$.{name}`") from error
        yield msgspec.convert(given, kind, strict=False)


def table(name: str) -> Iterator[dict[str, str]]:
    """Rows of one bundled CSV file as text cells by column."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    return csv.DictReader(io.StringIO(text, newline=""))


def read(kind: type[Record], name: str) -> tuple[Record, ...]:
    """All records of one bundled CSV file."""
    return tuple(from_cells(kind, table(name)))
