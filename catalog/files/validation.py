"""Validation of run files: types, ranges, unique keys and physics, checked by pandera.

The columns are the fields of `Measurement`, declared once in `catalog.records`. A device, workload
or candidate the catalog does not know is described in extra columns (``device_tdp_w``,
``workload_task``, ``candidate_family`` ...). Every fault of a file is reported at once, by row
and column; telling what to do about it is left to the caller.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pandera.pandas as pa

from catalog.errors import BadRunFileError, Problem
from catalog.files.cells import MAX_NUMBER, MAX_TEXT, POSITIVE, RANGES, RULES, as_texts, sound
from catalog.files.physics import FORMULA, NO_FORMULA, Cells, row_problems
from catalog.records import Candidate, Device, Measurement, RunFile, Workload
from catalog.reference_files import from_cells

DESCRIBED: dict[str, type[msgspec.Struct]] = {
    "device": Device,
    "workload": Workload,
    "candidate": Candidate,
}
"""What a run file may describe beside its rows: prefix of the columns -> record."""

_DESCRIBING = [
    f"{prefix}_{field.name}"
    for prefix, kind in DESCRIBED.items()
    for field in msgspec.structs.fields(kind)
    if field.name != "name" and f"{prefix}_{field.name}" not in RULES
]
"""Columns that belong to a description."""


def _finite(column: pd.Series[Any]) -> pd.Series[Any]:
    """Neither infinite nor NaN; missing values are the schema's `nullable` to judge."""
    return pd.Series(np.isfinite(column.astype(float)) | column.isna(), index=column.index)


def _whole(column: pd.Series[Any]) -> pd.Series[Any]:
    """Whole numbers; what is not finite is reported by `_finite`."""
    return (column % 1).fillna(0) == 0


def _printable(column: pd.Series[Any]) -> pd.Series[Any]:
    """No NUL characters: PostgreSQL cannot store them."""
    return ~column.str.contains("\0", regex=False, na=False)


def _number_checks(name: str) -> list[pa.Check]:
    """Range checks of one numeric column."""
    checks = [pa.Check(_finite, name="finite", error="must be a finite number")]
    if name in RANGES:
        low, high = RANGES[name]
        checks.append(pa.Check.in_range(low, high, error=f"must be from {low:g} to {high:g}"))
    elif name in POSITIVE:
        checks.append(
            pa.Check.gt(0, error="must be above 0; leave the cell empty where nothing was read")
        )
        checks.append(pa.Check.le(MAX_NUMBER, error=f"must be at most {MAX_NUMBER:g}"))
    return checks


def _column(name: str) -> pa.Column:
    """The pandera column of one of `RULES`."""
    rule = RULES[name]
    if rule.number:
        checks = _number_checks(name)
        if rule.whole:  # tables with gaps write 2.0 for 2
            checks.append(pa.Check(_whole, name="whole", error="must be a whole number"))
    elif rule.allowed:
        start = "one of" if name == "total_scope" else "must be one of"
        error = f"{start} {', '.join(rule.allowed)}"
        checks = [pa.Check.isin(list(rule.allowed), error=error)]
    else:
        checks = [
            pa.Check.str_length(0, MAX_TEXT, error=f"at most {MAX_TEXT} characters"),
            pa.Check(_printable, name="printable", error="must not hold a NUL character"),
        ]
    dtype = "float64" if rule.number else "str"
    return pa.Column(dtype, checks, nullable=rule.nullable, required=rule.required)


def _value_fault(value: Any) -> str | None:
    """Why a cell of a description is refused; every number of a record is a positive quantity."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and not 0 < value <= MAX_NUMBER:
        return f"{value} must be above 0 and finite; leave the cell empty where it is unknown"
    texts = [value] if isinstance(value, str) else value if isinstance(value, tuple) else []
    if any(re.match(FORMULA, text) for text in texts):
        return NO_FORMULA
    return f"at most {MAX_TEXT} characters" if any(len(t) > MAX_TEXT for t in texts) else None


def described_records(
    frame: pd.DataFrame, prefix: str, known: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    """Records of unknown names from the describing columns, and what is wrong with them."""
    kind = DESCRIBED[prefix]
    start = f"{prefix}_"
    columns = {n: n.removeprefix(start) for n in map(str, frame.columns) if n.startswith(start)}
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    names = enumerate(frame[prefix].tolist())
    if not (new := [at for at, name in names if not pd.isna(name) and name not in known]):
        return found, problems
    table = frame[[prefix, *columns]].iloc[new]
    for index, row in zip(new, table.to_dict("records"), strict=True):
        name = row[prefix]
        cells = {field: row[column] for column, field in columns.items() if pd.notna(row[column])}
        where = index + 1
        try:
            (record,) = from_cells(kind, [{"name": name, **cells}])
        except msgspec.ValidationError as error:
            needed = [f.name for f in msgspec.structs.fields(kind) if f.required]
            text = (
                f"{name!r} is not in the catalog and not described by columns {prefix}_* ({error}"
            )
            text += f"; needed: {', '.join(f'{prefix}_{n}' for n in needed if n != 'name')})"
            problems.append(Problem(where, prefix, text))
            continue
        for field in kind.__struct_fields__:
            if fault := _value_fault(getattr(record, field)):
                column = prefix if field == "name" else f"{prefix}_{field}"
                problems.append(Problem(where, column, fault))
        if found.setdefault(name, record) != record:
            problems.append(Problem(where, prefix, f"{name!r} is described in two ways"))
    return found, problems


def _cell(value: Any) -> str:
    """A failing cell as it is shown in a message, cut short."""
    text = repr(value.item() if hasattr(value, "item") else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _wording(case: Any, columns: Mapping[str, pa.Column]) -> str:
    """One pandera failure in words."""
    check, value = str(case.check), _cell(case.failure_case)
    if check.startswith(("coerce_dtype", "dtype")):
        dtype = str(columns[case.column].dtype) if case.column in columns else ""
        return f"{value} is not {'a number' if dtype == 'float64' else 'text'}"
    if check == "not_nullable":
        return "must not be empty"
    return f"{value}: {check}"


def schema_problems(error: pa.errors.SchemaErrors, schema: pa.DataFrameSchema) -> list[Problem]:
    """Pandera's failure cases as problems, once each; physics is reported by `row_problems`."""
    problems = []
    cases = list(error.failure_cases.itertuples(index=False))
    mistyped = {case.column for case in cases if str(case.check).startswith("coerce_dtype")}
    for case in cases:
        if case.check == "physics" or (case.column in mistyped and pd.isna(case.index)):
            continue  # reported by `row_problems`, or a check that could not run on mistyped cells
        if case.check == "column_in_schema":
            problems.append(Problem(None, case.failure_case, "unknown column"))
        elif case.check == "column_in_dataframe":
            problems.append(Problem(None, case.failure_case, "column is missing"))
        else:
            row = None if pd.isna(case.index) else int(case.index) + 1
            problems.append(Problem(row, case.column, _wording(case, schema.columns)))
    return sorted(dict.fromkeys(problems), key=lambda p: (p.row or 0, p.column or ""))


class Known(msgspec.Struct, frozen=True):
    """The names a run file may use without describing them."""

    device: Mapping[str, Device]
    workload: Mapping[str, Workload]
    candidate: Mapping[str, Candidate]


def validate(frame: pd.DataFrame, known: Known, name: str = "run file") -> RunFile:
    """Checks a table of cells and turns it into records.

    Args:
        frame: One row per measurement; columns are fields of `Measurement` and describing
            columns. Cells may be text (CSV) or typed (Parquet).
        known: What the catalog already knows.
        name: Name of the file, for the message.

    Raises:
        BadRunFileError: With every fault found.
    """
    frame = frame.reset_index(drop=True).astype(object).replace("", None)
    problems: list[Problem] = []
    described: dict[str, dict[str, Any]] = {}
    for prefix in DESCRIBED:
        described[prefix] = {}
        if prefix in frame:
            described[prefix], faults = described_records(frame, prefix, getattr(known, prefix))
            problems += faults
    rows = frame.drop(columns=[name for name in _DESCRIBING if name in frame])
    cells = _sound(rows)
    rest = rows.drop(columns=list(cells))
    needed = {name for name, rule in RULES.items() if rule.required}
    problems += _faults(rest, needed - cells.keys())
    if needed <= {*rows}:
        bad = {problem.row - 1 for problem in problems if problem.row is not None}
        places = np.array([place for place in range(len(rows)) if place not in bad], int)
        cells = {name: column[places] for name, column in cells.items()} if bad else cells
        cells |= _typed(rest.iloc[places])
        found = row_problems(cells, {**known.device, **described["device"]})
        problems += [Problem(int(places[at]) + 1, column, text) for at, column, text in found]
    if not problems and not len(frame):
        problems.append(Problem(None, None, "no rows"))
    if problems:
        raise BadRunFileError(name, sorted(problems, key=lambda p: (p.row or 0, p.column or "")))
    records = {f"{prefix}s": tuple(found.values()) for prefix, found in described.items()}
    return RunFile(measurements=tuple(_records(cells)), **records)


def _sound(rows: pd.DataFrame) -> dict[str, Any]:
    """The columns that nothing is wrong with, as `row_problems` takes them."""
    cells = zip(map(str, rows), rows.to_numpy(object).T, strict=True)
    looked_at = {name: sound(name, column) for name, column in cells if name in RULES}
    return {name: column for name, column in looked_at.items() if column is not None}


def _faults(rows: pd.DataFrame, needed: Collection[str]) -> list[Problem]:
    """What is wrong with the cells of a table, and which of the needed columns it has not."""
    if not needed and not len(rows.columns):
        return []
    names = [name for name in RULES if name in needed or name in rows]
    columns = {name: _column(name) for name in names}
    schema = pa.DataFrameSchema(columns, strict=True, coerce=True)
    try:
        schema.validate(rows, lazy=True)
    except pa.errors.SchemaErrors as error:
        return schema_problems(error, schema)
    return []


def _typed(rows: pd.DataFrame) -> dict[str, Any]:
    """The columns of rows without faults, as `row_problems` takes them."""
    rows = rows[[name for name in map(str, rows) if name in RULES]]
    if not len(rows.columns):
        return {}
    columns = {name: pa.Column(_column(name).dtype, nullable=True) for name in map(str, rows)}
    frame = pa.DataFrameSchema(columns, coerce=True).validate(rows)
    return {
        name: frame[name].to_numpy() if RULES[name].number else as_texts(frame[name])
        for name in frame
    }


def _records(cells: Cells) -> list[Measurement]:
    """Records of checked columns."""
    columns = [
        [None if math.isnan(cell) else cell for cell in column.tolist()]
        if column.dtype == float
        else column.tolist()
        for column in cells.values()
    ]
    rows = (dict(zip(cells, row, strict=True)) for row in zip(*columns, strict=True))
    return list(from_cells(Measurement, rows))
