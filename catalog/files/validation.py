"""Validation of run files: a table of cells in, records out, or every fault by row and column.

Columns are the fields of `Measurement` and `Accuracy`, declared once with the records. A device,
workload or candidate the catalog does not know is described in extra columns (``device_tdp_w``,
``workload_task``, ``candidate_family`` ...).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import pandas as pd

from catalog.accuracies import CALIBRATION
from catalog.accuracy import Accuracy
from catalog.errors import BadRunFileError, Problem, UnknownNameError
from catalog.files import accuracy_file, physics
from catalog.files.schema import MAX_NUMBER, PLAIN, broken, columns_of, is_plain, typed
from catalog.records import Candidate, Device, Measurement, RunFile, Workload
from catalog.reference_files import from_cells

DESCRIBED: dict[str, type[msgspec.Struct]] = {
    "device": Device,
    "workload": Workload,
    "candidate": Candidate,
}
"""What a run file may describe beside its rows: prefix of the columns -> record."""
_DESCRIBING = {
    f"{prefix}_{field.name}"
    for prefix, kind in DESCRIBED.items()
    for field in msgspec.structs.fields(kind)
    if field.name != "name"
}
_MEASUREMENTS, _ACCURACIES = columns_of(Measurement), columns_of(Accuracy)
_NEAREST = 50
"""Unknown names of a file that come with the nearest known ones."""
_Record = TypeVar("_Record", bound=msgspec.Struct)


class Known(msgspec.Struct, frozen=True):
    """The names a run file may use without describing them."""

    device: Mapping[str, Device]
    workload: Mapping[str, Workload]
    candidate: Mapping[str, Candidate]


def _value_fault(value: Any) -> str | None:
    """Why a cell of a description is refused; every number of a record is a positive quantity."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and not 0 < value <= MAX_NUMBER:
        return f"{value} must be above 0 and finite; leave the cell empty where it is unknown"
    texts = [value] if isinstance(value, str) else value if isinstance(value, tuple) else []
    return None if all(map(is_plain, texts)) else PLAIN


def _described(
    frame: pd.DataFrame, prefix: str, known: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    """Records of unknown names from the describing columns, and what is wrong with them."""
    kind, problems, found = DESCRIBED[prefix], list[Problem](), dict[str, Any]()
    fields = [f for f in kind.__struct_fields__ if f != "name" and f"{prefix}_{f}" in frame]
    columns = frame[[prefix, *(f"{prefix}_{field}" for field in fields)]]
    new = columns[frame[prefix].notna() & ~frame[prefix].isin([*known])]
    for index, (name, *cells) in zip(new.index, new.itertuples(index=False), strict=True):
        given = {f: cell for f, cell in zip(fields, cells, strict=True) if pd.notna(cell)}
        try:
            (record,) = from_cells(kind, [{"name": name, **given}])
        except msgspec.ValidationError as error:
            unknown = f"unknown {prefix} {name!r}"
            if len(problems) < _NEAREST:
                unknown = str(UnknownNameError(prefix, str(name), known))
            needed = [f.name for f in msgspec.structs.fields(kind) if f.required]
            needed = [f"{prefix}_{field}" for field in needed if field != "name"]
            why = f" ({error})" if given else ""
            text = f"{unknown}; or describe it in {', '.join(needed)} ...{why}"
            problems.append(Problem(index + 1, prefix, text))
            continue
        for field in kind.__struct_fields__:
            if fault := _value_fault(getattr(record, field)):
                column = prefix if field == "name" else f"{prefix}_{field}"
                problems.append(Problem(index + 1, column, fault))
        if found.setdefault(name, record) != record:
            problems.append(Problem(index + 1, prefix, f"{name!r} is described in two ways"))
    return found, problems


def validate(frame: pd.DataFrame, known: Known, name: str = "run file") -> RunFile:
    """Checks a table of cells and turns it into records.

    Args:
        frame: One row per measurement, or per accuracy where it names no device. Cells may be
            text (CSV) or typed (Parquet).
        known: What the catalog already knows.
        name: Name of the file, for the message.

    Raises:
        BadRunFileError: With every fault found.
    """
    frame = frame.reset_index(drop=True).astype(object).replace("", None)
    found: dict[str, dict[str, Any]] = {prefix: {} for prefix in DESCRIBED}
    problems: list[Problem] = []
    for prefix in found.keys() & {*frame}:
        found[prefix], faults = _described(frame, prefix, getattr(known, prefix))
        problems += faults
    named = Known(*({**getattr(known, prefix), **records} for prefix, records in found.items()))
    rows = frame.drop(columns=[name for name in _DESCRIBING if name in frame])
    alone = accuracy_file.without_device(rows)
    measured, judged = pd.DataFrame(), pd.DataFrame()
    if not alone.all() or not len(rows):
        measured, faults = typed(_MEASUREMENTS, accuracy_file.used(rows[~alone], Measurement))
        problems += faults
        sound = physics.with_power(_rest(measured, problems), named.device)
        problems += broken(physics.RULES, sound)
    if alone.any():
        judged, faults = typed(_ACCURACIES, accuracy_file.used(rows[alone], Accuracy))
        problems += faults
        sound = accuracy_file.with_context(_rest(judged, problems), named.candidate)
        problems += broken(accuracy_file.RULES, sound)
        suite = judged["source"] == CALIBRATION
        judged["tier"] = judged["tier"].fillna(suite.map({True: "suite", False: "card"}))
    if not problems and not len(frame):
        problems.append(Problem(None, None, "no rows"))
    if problems:
        raise BadRunFileError(name, sorted(problems, key=lambda p: (p.row or 0, p.column or "")))
    return RunFile(
        measurements=_records(Measurement, measured),
        accuracies=_records(Accuracy, judged),
        **{f"{prefix}s": tuple(records.values()) for prefix, records in found.items()},
    )


def _rest(rows: pd.DataFrame, problems: list[Problem]) -> pd.DataFrame:
    """Rows without a problem so far."""
    bad = {problem.row - 1 for problem in problems if problem.row is not None}
    return rows.drop(index=[*bad], errors="ignore")


def _records(kind: type[_Record], rows: pd.DataFrame) -> tuple[_Record, ...]:
    """Records of checked rows."""
    rows = rows.dropna(axis=1, how="all").astype(object)
    cells = rows.where(rows.notna(), None)
    return tuple(from_cells(kind, cells.to_dict("records")))  # type: ignore[arg-type]
