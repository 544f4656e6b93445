"""Run files: measurements in and out as one flat CSV or Parquet table, by the name's ending.

What may stand in it is `catalog.files.validation`'s to say. Texts of a data set never do.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalog.errors import BadRunFileError, Problem
from catalog.files.csv_dialect import other_delimiter
from catalog.files.schema import MAX_TEXT
from catalog.files.validation import DESCRIBED, Known, validate
from catalog.records import Candidate, Device, Measurement, RunFile, Workload

Format = Literal["csv", "parquet"]
MAX_ROWS = 2_000_000
MAX_COLUMNS = 200
MAX_UNPACKED_BYTES = 4 * 1024**3
_PARQUET_MAGIC = b"PAR1"


def format_of(name: str) -> Format:
    """The format a file name stands for.

    Raises:
        BadRunFileError: The ending is neither ``.csv`` nor ``.parquet``.
    """
    ending = Path(name).suffix.lower().removeprefix(".")
    if ending == "csv":
        return "csv"
    if ending in ("parquet", "pq"):
        return "parquet"
    raise BadRunFileError(name, [Problem(None, None, "name must end in .csv or .parquet")])


def _refuse_large(rows: int, columns: int, unpacked: int = 0) -> None:
    """Refuses a table before it is unpacked."""
    for count, most, what in (
        (columns, MAX_COLUMNS, "columns"),
        (rows, MAX_ROWS, "rows"),
        (unpacked, MAX_UNPACKED_BYTES, "bytes unpacked"),
    ):
        if count > most:
            raise ValueError(f"{count} {what}; at most {most} are allowed")


def _csv(content: bytes) -> pd.DataFrame:
    """A CSV table, every cell as text.

    Other separators, sizes and ragged rows are refused first: pandas fills short rows and takes a
    surplus first cell as index.
    """
    try:
        rows = (row for row in csv.reader(io.StringIO(content.decode(), newline="")) if row)
        header = next(rows, [])
        if reason := other_delimiter(header):
            raise ValueError(reason)
        width, number = len(header), 0
        _refuse_large(0, width)
        for number, row in enumerate(rows, start=1):
            if len(row) != width:
                raise ValueError(f"row {number} has {len(row)} cells, the header {width}")
        _refuse_large(number, width)
    except csv.Error as error:
        raise ValueError(str(error)) from error
    return pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, encoding="utf-8")


def _holds_cells(kind: pa.DataType) -> bool:
    """Whether a Parquet type holds one text, number, truth value or time in each cell."""
    if pa.types.is_dictionary(kind):
        return _holds_cells(kind.value_type)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    time = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    return bool(text or number or time or pa.types.is_boolean(kind) or pa.types.is_null(kind))


def _parquet(content: bytes) -> pd.DataFrame:
    """A Parquet table; sizes are read from its footer first."""
    if not content.startswith(_PARQUET_MAGIC):
        raise ValueError("is not a Parquet file")
    file = pq.ParquetFile(io.BytesIO(content))
    groups = range(file.metadata.num_row_groups)
    unpacked = sum(file.metadata.row_group(group).total_byte_size for group in groups)
    _refuse_large(file.metadata.num_rows, file.metadata.num_columns, unpacked)
    names = file.schema_arrow.names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"columns {', '.join(twice)} are there twice")
    for field in file.schema_arrow:
        measured = field.name in Measurement.__struct_fields__  # which hold no truth values
        if not _holds_cells(field.type) or (measured and pa.types.is_boolean(field.type)):
            raise ValueError(f"column {field.name!r} is {field.type}, neither text nor number")
    texts = [field.name for field in file.schema_arrow if _is_text(field.type)]
    table = pq.ParquetFile(io.BytesIO(content), read_dictionary=texts).read()
    table.validate(full=True)  # texts are UTF-8
    columns = [_plain(name, table[name]) for name in names]
    _refuse_large(0, 0, sum(column.nbytes for column in columns))
    frame: pd.DataFrame = pa.table(columns, names=names).to_pandas(ignore_metadata=True)
    return frame


def _is_text(kind: pa.DataType) -> bool:
    """Whether a Parquet type is a text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _plain(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without its dictionary; few bytes of a dictionary may stand for very many.

    Raises:
        ValueError: A text of it is longer than any cell may be.
    """
    if not pa.types.is_dictionary(column.type):
        return column
    if _is_text(column.type.value_type):
        for chunk in column.chunks:
            longest = pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
            if longest > 4 * MAX_TEXT:  # bytes; a character has at most four
                raise ValueError(f"column {name!r} holds a text of {longest} bytes, too long")
    return column.cast(column.type.value_type)


def parse(content: bytes, form: Format, known: Known, name: str = "run file") -> RunFile:
    """Reads and checks the bytes of a run file.

    Raises:
        BadRunFileError: Unreadable, or off the schema; names every row and column.
    """
    return validate(table(content, form, name), known, name)


def table(content: bytes, form: Format, name: str) -> pd.DataFrame:
    """The cells of a file, unchecked but for its size.

    Raises:
        BadRunFileError: Unreadable.
    """
    try:
        return _csv(content) if form == "csv" else _parquet(content)
    except (ValueError, OSError, ArithmeticError, pa.ArrowException) as error:
        message = f"cannot be read as {form}: {f'{error}'.partition(chr(10))[0]}"
        raise BadRunFileError(name, [Problem(None, None, message)]) from error


def table_of(path: Path) -> pd.DataFrame:
    """The cells of a file on disk, unchecked but for its size.

    Raises:
        BadRunFileError: Unreadable.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadRunFileError(str(path), [Problem(None, None, error.strerror or "?")]) from error
    return table(content, format_of(path.name), str(path))


def read(path: Path, known: Known) -> RunFile:
    """Reads and checks a run file from disk.

    Raises:
        BadRunFileError: See `parse`.
    """
    return validate(table_of(path), known, str(path))


def _cells(record: Any, prefix: str = "") -> dict[str, Any]:
    """A record as flat cells; tuples are joined with ``;``, a record inside it is JSON."""

    def cell(value: Any) -> Any:
        if isinstance(value, msgspec.Struct):
            return msgspec.json.encode(value).decode()
        return ";".join(value) if isinstance(value, tuple) else value

    return {
        f"{prefix}{field}": cell(value)
        for field in record.__struct_fields__
        if (value := getattr(record, field)) not in (None, ())
    }


def to_frame(
    rows: Iterable[Measurement],
    describe: Mapping[str, Mapping[str, Device | Workload | Candidate]] | None = None,
) -> pd.DataFrame:
    """Measurements as a flat table in the order of the record's fields.

    Args:
        rows: What to write.
        describe: For ``device``, ``workload`` and ``candidate`` the records whose description
            goes into each row, so that another catalog can read it.
    """
    table = []
    for row in rows:
        cells = _cells(row)
        for prefix in DESCRIBED:
            record = (describe or {}).get(prefix, {}).get(getattr(row, prefix))
            if record is not None:
                described = _cells(record, f"{prefix}_")
                described.pop(f"{prefix}_name")
                cells |= described
        table.append(cells)
    order = [field.name for field in msgspec.structs.fields(Measurement)]
    frame = pd.DataFrame(table)
    extra = sorted(str(column) for column in frame if column not in order)
    return frame[[column for column in order if column in frame] + extra]


def dump(frame: pd.DataFrame, form: Format) -> bytes:
    """A table of `to_frame` as the bytes of a file."""
    if form == "csv":
        return frame.to_csv(index=False, lineterminator="\n").encode()
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
