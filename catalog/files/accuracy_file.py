"""Accuracies in and out of run files: a table of cells in, checked results out, and back.

A run file may bring accuracies alone, or rows without a device among rows of measurements.
Columns are the fields of `Accuracy`; a workload or candidate that the catalog
does not know is described in columns ``workload_*`` and ``candidate_*``.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pandas as pd
import pandera.pandas as pa

from catalog.accuracies import CALIBRATION
from catalog.accuracy import ACCURACY_KEY, Accuracy, Regime
from catalog.errors import BadRunFileError, Problem, UnknownNameError
from catalog.files import validation
from catalog.files.cells import MAX_TEXT
from catalog.records import Candidate, Family, Measurement, RunFile, Workload
from catalog.reference_files import from_cells

SHARES = ("accuracy", "macro_f1", "accuracy_sd", "macro_f1_sd")
COUNTS = ("n_test", "n_train", "n_draws", "samples_per_label")
MARKS = ("accuracy", "macro_f1", "other_metrics")
"""Of these columns a file of accuracies has at least one."""
_TRAINED: frozenset[Regime] = frozenset({"full", "few-shot"})
_PROMPTED: frozenset[Regime] = frozenset({"zero-shot", "in-context", "full", "few-shot"})
REGIMES_OF: dict[Family, frozenset[Regime]] = {
    "lexicon": frozenset({"lexicon"}),
    **dict.fromkeys(
        ("bag-of-words", "tf-idf", "fasttext", "static-embedding", "cnn-lstm"), _TRAINED
    ),
    **dict.fromkeys(("frozen-encoder", "setfit", "fine-tuned-encoder", "fine-tuned-llm"), _TRAINED),
    **dict.fromkeys(
        ("zero-shot-embedding", "zero-shot-nli", "zero-shot-reranker", "zero-shot-llm"), _PROMPTED
    ),
    "few-shot-llm": frozenset({"in-context"}),
}
"""Regimes that the results of a family can have; any where a family is not named."""


def _allowed(field: msgspec.structs.FieldInfo) -> tuple[str, ...]:
    """The words a field allows; any text where it names none."""
    return typing.get_args(field.type) if typing.get_origin(field.type) is typing.Literal else ()


def _column(field: msgspec.structs.FieldInfo) -> pa.Column:
    """The pandera column of one field."""
    name = field.name
    if name in SHARES:
        error = "must be from 0 to 1 (a share: 91.3 % is 0.913)"
        checks, kind = [pa.Check.in_range(0, 1, error=error)], "float64"
    elif name in COUNTS:
        kind = "float64"
        error = "must be 1 or more; leave the cell empty where it is not known"
        checks = [pa.Check.in_range(1, 1e9, error=error)]
        if name != "samples_per_label":
            whole = pa.Check(lambda s: s % 1 == 0, name="whole", error="must be a whole number")
            checks.append(whole)
    elif words := _allowed(field):
        error = f"must be one of {', '.join(words)}"
        checks, kind = [pa.Check.isin(list(words), error=error)], "str"
    elif name == "self_reported":
        checks, kind = [pa.Check.isin(["true", "false"], error="must be true or false")], "str"
    else:
        error = f"at most {MAX_TEXT} characters"
        checks, kind = [pa.Check.str_length(0, MAX_TEXT, error=error)], "str"
    return pa.Column(kind, checks, nullable=not field.required, required=field.required)


def without_device(frame: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of a table bring an accuracy alone: they name no device and count no texts."""
    if "candidate" not in frame or not any(mark in frame for mark in MARKS):
        return pd.Series(False, index=frame.index)
    blank = pd.Series(True, index=frame.index)
    for column in ("device", "n_items"):
        if column in frame:
            blank &= frame[column].isna() | (frame[column].astype(str) == "")
    return blank


def used_columns(frame: pd.DataFrame, *, measurements: bool) -> pd.DataFrame:
    """The rows of one kind without the columns that only rows of the other kind use."""
    ours = set(Accuracy.__struct_fields__)
    theirs = set(Measurement.__struct_fields__)
    others = (ours - theirs) if measurements else (theirs - ours)
    empty = frame.isna() | (frame.astype(str) == "")
    unused = [name for name in map(str, frame) if name in others and empty[name].all()]
    return frame.drop(columns=unused)


def merged(first: RunFile, second: RunFile) -> RunFile:
    """Two parts of one file; a record that both describe is kept once."""

    def both(name: str) -> tuple[Any, ...]:
        return tuple(dict.fromkeys((*getattr(first, name), *getattr(second, name))))

    return RunFile(**{name: both(name) for name in RunFile.__struct_fields__})


def validate(frame: pd.DataFrame, known: validation.Known, name: str = "run file") -> RunFile:
    """Checks a table of accuracies and turns it into results and the records it describes.

    Args:
        frame: One row per result; cells may be text (CSV) or typed (Parquet).
        known: What the catalog already knows.
        name: Name of the file, for the message.

    Raises:
        BadRunFileError: With every fault found, by row and column.
    """
    frame = frame.reset_index(drop=True).astype(object).replace("", None)
    frame = frame.where(frame.notna(), None)
    described: dict[str, dict[str, Any]] = {"workload": {}, "candidate": {}}
    problems: list[Problem] = []
    own = [str(column) for column in frame if _describes(str(column))]
    for prefix, records in described.items():
        told = any(column.startswith(f"{prefix}_") for column in own)
        if told and prefix in frame:
            found, faults = validation.described_records(frame, prefix, getattr(known, prefix))
            records |= found
            problems += faults
    rows = frame.drop(columns=own)
    if "self_reported" in rows:
        rows["self_reported"] = [_truth(value) for value in rows["self_reported"]]
    problems += _schema_problems(rows)
    cells = [{str(name): cell for name, cell in row.items()} for row in rows.to_dict("records")]
    if {"candidate", "workload"} <= {*rows}:
        workloads: Mapping[str, Workload] = {**known.workload, **described["workload"]}
        candidates: Mapping[str, Candidate] = {**known.candidate, **described["candidate"]}
        names = {"workload": workloads, "candidate": candidates}
        problems += _name_problems(cells, names, {p.row for p in problems if p.column in names})
        problems += _regime_problems(cells, candidates)
        problems += _value_problems(cells)
        problems += _duplicates(cells)
    if not problems and not cells:
        problems.append(Problem(None, None, "no rows"))
    if problems:
        raise BadRunFileError(name, sorted(problems, key=lambda p: (p.row or 0, p.column or "")))
    results = from_cells(Accuracy, map(_typed, cells))
    return RunFile(
        measurements=(),
        accuracies=tuple(results),
        workloads=tuple(described["workload"].values()),
        candidates=tuple(described["candidate"].values()),
    )


def _describes(column: str) -> bool:
    """Whether a column belongs to a description."""
    return column.startswith(("workload_", "candidate_"))


def _truth(value: Any) -> str | None:
    """A cell of truth as CSV writes it."""
    return None if value is None else str(value).lower()


def _schema_problems(rows: pd.DataFrame) -> list[Problem]:
    """Columns, types and ranges."""
    fields = {field.name: field for field in msgspec.structs.fields(Accuracy)}
    columns = {n: _column(field) for n, field in fields.items() if n in rows or field.required}
    schema = pa.DataFrameSchema(columns, strict=True, coerce=True)
    try:
        schema.validate(rows, lazy=True)
    except pa.errors.SchemaErrors as error:
        return validation.schema_problems(error, schema)
    return []


def _name_problems(
    cells: list[dict[str, Any]], names: Mapping[str, Mapping[str, Any]], told: set[int | None]
) -> list[Problem]:
    """Workloads and candidates that nobody declared."""
    found = []
    for row, cell in enumerate(cells, start=1):
        for column, known in names.items():
            name = cell[column]
            if isinstance(name, str) and name not in known and row not in told:
                needed = "workload_task" if column == "workload" else "candidate_family"
                text = f"{UnknownNameError(column, name, known)}; or describe it in {needed} ..."
                found.append(Problem(row, column, text))
    return found


def _regime_problems(
    cells: list[dict[str, Any]], candidates: Mapping[str, Candidate]
) -> list[Problem]:
    """Regimes that contradict the candidate's family or the number of training texts."""
    found = []
    for row, cell in enumerate(cells, start=1):
        regime, candidate = cell.get("regime"), candidates.get(str(cell["candidate"]))
        allowed = REGIMES_OF.get(candidate.family) if candidate else None
        if allowed and regime in typing.get_args(Regime) and regime not in allowed:
            words = ", ".join(sorted(allowed))
            text = f"{regime!r}: a candidate of family {candidate.family} allows {words}"  # type: ignore[union-attr]
            found.append(Problem(row, "regime", text))
        if regime == "few-shot" and cell.get("samples_per_label") is None:
            found.append(Problem(row, "samples_per_label", "needed with regime 'few-shot'"))
        if regime == "full" and cell.get("samples_per_label") is not None:
            text = "not allowed with regime 'full'; a head on few texts per class is 'few-shot'"
            found.append(Problem(row, "samples_per_label", text))
    return found


def _value_problems(cells: list[dict[str, Any]]) -> list[Problem]:
    """Rows without a figure, and sources that claim to be the calibration suite."""
    found = []
    for row, cell in enumerate(cells, start=1):
        if all(cell.get(mark) is None for mark in MARKS):
            found.append(
                Problem(row, "accuracy", "a row needs accuracy, macro_f1 or other_metrics")
            )
        if cell.get("tier") == "suite" and cell.get("source") != CALIBRATION:
            text = f"'suite' is for source {CALIBRATION!r}; give authors, leaderboard or card"
            found.append(Problem(row, "tier", text))
    return found


def _typed(cells: dict[str, Any]) -> dict[str, Any]:
    """Cells as `from_cells` takes them: tables with gaps write 2.0 for 2.

    A result without a stated tier counts as one of model cards and small repositories.
    """
    given = {name: cell for name, cell in cells.items() if cell is not None}
    for name in given.keys() & {*SHARES, *COUNTS}:
        number = float(given[name])
        given[name] = int(number) if name in COUNTS and number % 1 == 0 else number
    return {"tier": "suite" if given.get("source") == CALIBRATION else "card"} | given


def _duplicates(cells: list[dict[str, Any]]) -> list[Problem]:
    """Rows with one key and two values."""
    first: dict[tuple[object, ...], tuple[int, dict[str, Any]]] = {}
    found = []
    for row, cell in enumerate(cells, start=1):
        key = tuple(str(cell.get(name)) for name in ACCURACY_KEY)
        place, before = first.setdefault(key, (row, cell))
        for name in ("accuracy", "macro_f1", "n_test"):
            if str(cell.get(name)) != str(before.get(name)):
                text = f"{cell.get(name)} contradicts {before.get(name)} of row {place}, "
                found.append(Problem(row, name, text + "the same result"))
    return found


def to_frame(rows: Iterable[Accuracy]) -> pd.DataFrame:
    """Results as a flat table in the order of the record's fields, without unused columns."""
    frame = pd.DataFrame([msgspec.to_builtins(row) for row in rows])
    order = [field.name for field in msgspec.structs.fields(Accuracy)]
    return frame[[name for name in order if name in frame]]
