"""What a run file must look like: types, ranges, unique keys and physics, checked by pandera.

The columns are the fields of `Measurement`, declared once in `catalog.records`. A device, workload
or candidate the catalog does not know is described in extra columns (``device_tdp_w``,
``workload_task``, ``candidate_family`` ...). Everything wrong with a file is told at once, by row
and column; telling what to do about it is left to the caller.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pandera.pandas as pa

from catalog.bundled import from_cells
from catalog.energy import SCOPE_OF_SOURCE
from catalog.errors import BadRunFileError, Problem
from catalog.physics import FORMULA, NO_FORMULA, row_problems
from catalog.records import COMPONENTS, Candidate, Device, Measurement, RunFile, Workload

DESCRIBED: dict[str, type[msgspec.Struct]] = {
    "device": Device,
    "workload": Workload,
    "candidate": Candidate,
}
"""What a run file may describe beside its rows: prefix of the columns -> record."""

MAX_TEXT = 2000
"""Characters in one cell; citations are the longest."""
MAX_NUMBER = 1e18
"""Largest figure of a row or description; parameters and FLOP per token are the largest kinds."""

_RANGES: dict[str, tuple[float, float]] = {
    "accuracy": (0, 1),
    "macro_f1": (0, 1),
    "cv": (0, 100),
    "batch_size": (1, 1e7),
    "rate_per_s": (1e-6, 1e9),
    "n_devices": (1, 1e6),
    "n_nodes": (1, 1e6),
    "n_active_devices": (1, 1e6),
    "n_test": (1, 1e9),
    "repeats": (1, 1e6),
}
_POSITIVE = {"n_items", "runtime_s", "latency_p50_ms", "latency_p95_ms", "total_low_j"}
_POSITIVE |= {"total_j", "total_high_j", "idle_w", "idle_resident_w", "power_limit_w"}
_POSITIVE |= {"tokens_mean", "n_parameters", "flops_per_item", "peak_memory_mb"}
_POSITIVE |= {f"{name}_j" for name in COMPONENTS}


def _inner(kind: Any) -> tuple[Any, bool]:
    """The type inside an optional one, and whether it was optional."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):  # a Literal makes the former
        (inner,) = [part for part in typing.get_args(kind) if part is not type(None)]
        return inner, True
    return kind, False


def _finite(column: pd.Series[Any]) -> pd.Series[Any]:
    """Neither infinite nor NaN; missing values are the schema's `nullable` to judge."""
    return pd.Series(np.isfinite(column.astype(float)) | column.isna(), index=column.index)


def _whole(column: pd.Series[Any]) -> pd.Series[Any]:
    """Whole numbers; what is not finite is told by `_finite`."""
    return (column % 1).fillna(0) == 0


def _printable(column: pd.Series[Any]) -> pd.Series[Any]:
    """No NUL characters: PostgreSQL cannot store them."""
    return ~column.str.contains("\0", regex=False, na=False)


def _number_checks(name: str) -> list[pa.Check]:
    """Range checks of one numeric column."""
    checks = [pa.Check(_finite, name="finite", error="must be a finite number")]
    if name in _RANGES:
        low, high = _RANGES[name]
        checks.append(pa.Check.in_range(low, high, error=f"must be from {low:g} to {high:g}"))
    elif name in _POSITIVE:
        checks.append(
            pa.Check.gt(0, error="must be above 0; leave the cell empty where nothing was read")
        )
        checks.append(pa.Check.le(MAX_NUMBER, error=f"must be at most {MAX_NUMBER:g}"))
    return checks


def _column(field: msgspec.structs.FieldInfo) -> pa.Column:
    """The pandera column of one field of `Measurement`."""
    kind, optional = _inner(field.type)
    optional = optional or not field.required
    if kind in (float, int):
        checks = _number_checks(field.name)
        if kind is int:  # tables with gaps write 2.0 for 2
            checks.append(pa.Check(_whole, name="whole", error="must be a whole number"))
        return pa.Column("float64", checks, nullable=optional, required=False)
    checks = [
        pa.Check.str_length(0, MAX_TEXT, error=f"at most {MAX_TEXT} characters"),
        pa.Check(_printable, name="printable", error="must not hold a NUL character"),
    ]
    if typing.get_origin(kind) is typing.Literal:
        allowed = list(typing.get_args(kind))
        checks = [pa.Check.isin(allowed, error=f"must be one of {', '.join(allowed)}")]
    if field.name == "total_scope":
        checks = [
            pa.Check.isin(list(SCOPE_OF_SOURCE), error=f"one of {', '.join(SCOPE_OF_SOURCE)}")
        ]
    return pa.Column("str", checks, nullable=optional, required=False)


def _table(devices: Mapping[str, Device]) -> pa.DataFrameSchema:
    """The schema of the measurement columns; physics as checks over whole rows."""
    columns = {field.name: _column(field) for field in msgspec.structs.fields(Measurement)}
    for field in msgspec.structs.fields(Measurement):
        columns[field.name].required = field.required

    def physics(frame: pd.DataFrame) -> pd.Series[bool]:
        faults = row_problems(frame, devices)
        return ~frame.index.to_series().isin([index for index, _, _ in faults])

    return pa.DataFrameSchema(
        columns, checks=pa.Check(physics, name="physics"), strict=True, coerce=True
    )


def _odd(value: Any) -> str | None:
    """Why a cell of a description is refused; every number of a record is a positive quantity."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and not 0 < value <= MAX_NUMBER:
        return f"{value} must be above 0 and finite; leave the cell empty where it is unknown"
    texts = [value] if isinstance(value, str) else value if isinstance(value, tuple) else []
    if any(re.match(FORMULA, text) for text in texts):
        return NO_FORMULA
    return f"at most {MAX_TEXT} characters" if any(len(t) > MAX_TEXT for t in texts) else None


def _described(
    frame: pd.DataFrame, prefix: str, known: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    """Records of unknown names from the describing columns, and what is wrong with them."""
    kind = DESCRIBED[prefix]
    start = f"{prefix}_"
    columns = {n: n.removeprefix(start) for n in map(str, frame.columns) if n.startswith(start)}
    found: dict[str, Any] = {}
    problems = []
    for index, row in enumerate(frame[[prefix, *columns]].to_dict("records")):
        name = row[prefix]
        if pd.isna(name) or name in known:
            continue
        cells = {field: row[column] for column, field in columns.items() if pd.notna(row[column])}
        where = index + 1
        try:
            (record,) = from_cells(kind, [{"name": name, **cells}])  # type: ignore[type-var]
        except msgspec.ValidationError as error:
            needed = [f.name for f in msgspec.structs.fields(kind) if f.required]
            text = (
                f"{name!r} is not in the catalog and not described by columns {prefix}_* ({error}"
            )
            text += f"; needed: {', '.join(f'{prefix}_{n}' for n in needed if n != 'name')})"
            problems.append(Problem(where, prefix, text))
            continue
        for field in kind.__struct_fields__:
            if fault := _odd(getattr(record, field)):
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


def _schema_problems(error: pa.errors.SchemaErrors, schema: pa.DataFrameSchema) -> list[Problem]:
    """Pandera's failure cases as problems, once each; physics is told by `row_problems`."""
    problems = []
    cases = list(error.failure_cases.itertuples(index=False))
    mistyped = {case.column for case in cases if str(case.check).startswith("coerce_dtype")}
    for case in cases:
        if case.check == "physics" or (case.column in mistyped and pd.isna(case.index)):
            continue  # told by `row_problems`, or a check that could not run on mistyped cells
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
            described[prefix], faults = _described(frame, prefix, getattr(known, prefix))
            problems += faults
    fields = {field.name for field in msgspec.structs.fields(Measurement)}
    describing = [
        f"{prefix}_{field.name}"
        for prefix, kind in DESCRIBED.items()
        for field in msgspec.structs.fields(kind)
        if field.name != "name"
    ]
    rows = frame.drop(columns=[name for name in describing if name in frame and name not in fields])
    schema = _table({**known.device, **described["device"]})
    try:
        checked = schema.validate(rows, lazy=True)
    except pa.errors.SchemaErrors as error:
        problems += _schema_problems(error, schema)
        if not {name for name, column in schema.columns.items() if column.required} - {*rows}:
            problems += _physics_of_sound_rows(rows, schema, problems, known, described["device"])
    if not problems and not len(frame):
        problems.append(Problem(None, None, "no rows"))
    if problems:
        raise BadRunFileError(name, sorted(problems, key=lambda p: (p.row or 0, p.column or "")))
    records = {f"{prefix}s": tuple(found.values()) for prefix, found in described.items()}
    return RunFile(measurements=tuple(_records(checked)), **records)


def _physics_of_sound_rows(
    rows: pd.DataFrame,
    schema: pa.DataFrameSchema,
    problems: list[Problem],
    known: Known,
    described: Mapping[str, Device],
) -> list[Problem]:
    """Cross-column faults of the rows whose cells are well typed."""
    bad = {problem.row - 1 for problem in problems if problem.row is not None}
    sound = rows.drop(index=[index for index in bad if index in rows.index])
    sound = sound[[column for column in sound if column in schema.columns]]
    typed = pa.DataFrameSchema(
        {n: pa.Column(c.dtype, nullable=True, required=False) for n, c in schema.columns.items()},
        coerce=True,
    ).validate(sound)
    devices = {**known.device, **described}
    return [Problem(i + 1, column, text) for i, column, text in row_problems(typed, devices)]


def _records(frame: pd.DataFrame) -> list[Measurement]:
    """Records of a checked frame."""
    cells = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return list(from_cells(Measurement, typing.cast("list[dict[str, Any]]", cells)))
