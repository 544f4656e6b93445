"""Table schemas: pandera columns of a record's fields and checks between columns.

Faults of cells and rows come out as `catalog.errors.Problem`, by row and column.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrorReason as Reason
from pandera.errors import SchemaErrors

from catalog.energy import SCOPE_OF_SOURCE
from catalog.errors import Problem
from catalog.records import BACKENDS

MAX_TEXT = 2000
"""Characters in one cell; citations are the longest."""
MAX_NUMBER = 1e18
"""Largest figure of a row or description; parameters and FLOP per token are the largest kinds."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a text begins that a spreadsheet may run as a formula (OWASP, CSV injection)."""
PLAIN = (
    f"must have at most {MAX_TEXT} characters, no NUL, "
    "and not begin with = + - @ or a control character"
)
"""What every text must be; PostgreSQL cannot store a NUL."""
BACKEND = r"[a-z][a-z0-9_.-]{1,39}"
"""Names of serving backends."""
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("accuracy", "macro_f1", "accuracy_sd", "macro_f1_sd"), (0, 1)),
    **dict.fromkeys(("n_devices", "n_nodes", "n_active_devices", "repeats"), (1, 1e6)),
    **dict.fromkeys(("n_test", "n_train", "n_draws", "samples_per_label"), (1, 1e9)),
    "cv": (0, 100),
    "batch_size": (1, 1e7),
    "rate_per_s": (1e-6, 1e9),
}
"""Least and most of a number; all others are above 0."""


def is_date(text: str) -> bool:
    """Whether a text is an ISO 8601 date or time."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_plain(text: str) -> bool:
    """Whether a text may stand in a cell: see `PLAIN`."""
    return len(text) <= MAX_TEXT and "\0" not in text and not text.startswith(FORMULA)


_PLAIN = pa.Check(is_plain, element_wise=True, error=PLAIN)
_WHOLE = pa.Check(lambda column: column % 1 == 0, error="must be a whole number")
FURTHER: dict[str, pa.Check] = {
    "measured_at": pa.Check(is_date, element_wise=True, error="must be an ISO 8601 date or time"),
    "backend": pa.Check.str_matches(
        f"^(?:{BACKEND})$",
        error=f"must be one of {', '.join(BACKENDS)}, or a vendor's runtime in lower case",
    ),
    "total_scope": pa.Check.isin([*SCOPE_OF_SOURCE], error=f"one of {', '.join(SCOPE_OF_SOURCE)}"),
    "test_sha256": pa.Check.str_matches("^[0-9a-f]{64}$", error="must be 64 hex digits"),
}
"""What single texts must be beside short and printable."""


def _range(name: str) -> pa.Check:
    """The range of a number."""
    if name not in RANGES:
        error = f"must be above 0 and at most {MAX_NUMBER:g}; leave the cell empty where nothing"
        return pa.Check.in_range(0, MAX_NUMBER, include_min=False, error=f"{error} was read")
    low, high = RANGES[name]
    hint = " (a share: 91.3 % is 0.913)" if high == 1 else ""
    return pa.Check.in_range(low, high, error=f"must be from {low:g} to {high:g}{hint}")


def column_of(field: msgspec.structs.FieldInfo) -> pa.Column:
    """The column of one field of a record: type, range, words allowed, and whether it is needed."""
    kind, optional = field.type, False
    if typing.get_origin(kind) in (typing.Union, types.UnionType):  # a Literal makes the former
        (kind,) = (part for part in typing.get_args(kind) if part is not type(None))
        optional = True
    words = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    if kind in (float, int):  # tables with gaps write 2.0 for 2
        checks = [_range(field.name), *([_WHOLE] if kind is int else [])]
    elif kind is bool:
        truth = pa.Check.str_matches("^(?i:true|false)$", error="must be true or false")
        checks = [truth]
    elif words:
        checks = [pa.Check.isin([*words], error=f"must be one of {', '.join(words)}")]
    else:
        checks = [_PLAIN, *([FURTHER[field.name]] if field.name in FURTHER else [])]
    return pa.Column(
        "float64" if kind in (float, int) else "str",
        checks,
        nullable=optional or not field.required,
        required=field.required,
    )


def columns_of(record: type[msgspec.Struct], **others: pa.Column) -> pa.DataFrameSchema:
    """The schema of a table of records, one a row; `others` replace columns or stand beside."""
    columns = {field.name: column_of(field) for field in msgspec.structs.fields(record)}
    return pa.DataFrameSchema(columns | others, coerce=True, strict="filter")


def rule(column: str, message: str, holds: Callable[[pd.DataFrame], pd.Series[bool]]) -> pa.Check:
    """A check between columns.

    Args:
        column: The one a fault is reported at.
        message: May name columns of the row in braces.
        holds: Which rows of a typed table are sound.
    """
    return pa.Check(holds, name=column, error=message, ignore_na=False)


def is_number(column: pa.Column) -> bool:
    """Whether a column holds numbers, else texts."""
    return str(column.dtype) == "float64"


def typed(schema: pa.DataFrameSchema, rows: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """The rows without a fault, as numbers and texts in all columns of the schema, and all faults.

    Args:
        schema: See `columns_of`.
        rows: Cells as they came; the index counts from 0 and stays.
    """
    problems = [
        Problem(None, str(name), f"unknown column; allowed: {', '.join(schema.columns)}")
        for name in rows
        if name not in schema.columns
    ]
    try:
        found = schema.validate(rows, lazy=True)
    except SchemaErrors as error:
        faults = list(dict.fromkeys(_problems(error)))
        bad = {problem.row - 1 for problem in faults if problem.row is not None}
        found, problems = error.data.drop(index=[*bad]), problems + faults
    kinds = {
        name: "float64" if is_number(column) else "str" for name, column in schema.columns.items()
    }
    return found.reindex(columns=[*kinds]).astype(kinds), problems


def broken(rules: list[pa.Check], rows: pd.DataFrame) -> list[Problem]:
    """Faults between the columns of typed rows."""
    try:
        pa.DataFrameSchema(checks=rules).validate(rows, lazy=True)
    except SchemaErrors as error:
        return list(_problems(error))
    return []


def _problems(error: SchemaErrors) -> Iterator[Problem]:
    """Pandera's failures, one a cell.

    Raises:
        SchemaError: A check itself failed.
    """
    coercion = (Reason.DATATYPE_COERCION, Reason.WRONG_DATATYPE)
    mistyped = {each.schema.name for each in error.schema_errors if each.reason_code in coercion}
    for each in error.schema_errors:
        name, reason = each.schema.name, each.reason_code
        if reason is Reason.COLUMN_NOT_IN_DATAFRAME:
            yield Problem(None, each.failure_cases, "column is missing")
        elif reason is Reason.CHECK_ERROR:
            if name not in mistyped:
                raise each
        elif name is None:  # a rule
            rows = error.data.loc[~each.check_output]
            for row, cells in zip(rows.index, rows.to_dict("records"), strict=True):
                yield Problem(row + 1, each.check.name, each.check.error.format_map(cells))
        else:
            for row, cell in each.failure_cases[["index", "failure_case"]].itertuples(index=False):
                yield Problem(int(row) + 1, name, _wording(each, cell))


def _wording(error: pa.errors.SchemaError, cell: Any) -> str:
    """One cell's fault in words; the cell is cut short."""
    text = repr(cell.item() if hasattr(cell, "item") else cell)
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    if error.reason_code in (Reason.DATATYPE_COERCION, Reason.WRONG_DATATYPE):
        return f"{shown} is not {'a number' if is_number(error.schema) else 'text'}"
    if error.reason_code is Reason.SERIES_CONTAINS_NULLS:
        return "must not be empty"
    return f"{shown}: {error.check.error}"
