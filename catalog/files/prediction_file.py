"""Prediction files: predictions in and out as a flat table, one row an item, CSV or Parquet.

What may stand in it is checked here, all faults at once; class names do, texts never.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from catalog.errors import BadRunFileError, Problem
from catalog.files.run_file import Format, dump, format_of, table
from catalog.files.validation import Known
from catalog.predictions import PREDICTION_KEY, Predictions, pack

_SHARED = [field.name for field in msgspec.structs.fields(Predictions) if field.name != "content"]
COLUMNS = (*_SHARED, "item", "label", "predicted", "score")
"""Columns of a file: what a set shares, item number from 0, true and predicted class, score."""
_OPTIONAL = ("workload_revision", "score")
MAX_NAME = 200
"""Characters of a class name; longer ones may be texts."""


def to_frame(sets: Iterable[Predictions]) -> pd.DataFrame:
    """Sets of predictions as one table."""
    parts = []
    for each in sets:
        answers = each.answers()
        names = np.array(answers.classes, dtype=object)
        shared = {name: getattr(each, name) for name in _SHARED}
        own: dict[str, Any] = {
            "item": np.arange(len(answers.truth)),
            "label": names[answers.truth],
            "predicted": names[answers.predicted],
            "score": np.nan if answers.score is None else answers.score.astype(float),
        }
        parts.append(pd.DataFrame(shared | own, index=range(len(answers.truth))))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def write(sets: Sequence[Predictions], form: Format) -> bytes:
    """Sets of predictions as the bytes of a file."""
    return dump(to_frame(sets), form)


def read(path: Path, known: Known, stored: Sequence[Predictions] = ()) -> tuple[Predictions, ...]:
    """Reads and checks a file.

    Args:
        path: The file.
        known: Names it may use.
        stored: Sets that are there, with which it must agree on the true classes.

    Raises:
        BadRunFileError: Unreadable, or off the rules; names every set and column.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadRunFileError(str(path), [Problem(None, None, error.strerror or "?")]) from error
    return from_frame(table(content, format_of(path.name), str(path)), known, str(path), stored)


def from_frame(
    frame: pd.DataFrame, known: Known, name: str, stored: Sequence[Predictions] = ()
) -> tuple[Predictions, ...]:
    """Checks a table and makes sets of it; see `read`.

    Raises:
        BadRunFileError: Off the rules.
    """
    problems = _columns(frame)
    if problems:
        raise BadRunFileError(name, problems)
    text = frame.astype(object).where(frame.notna(), "").astype(str)
    made, problems = [], []
    for key, rows in text.groupby(list(PREDICTION_KEY), sort=False):
        found, faults = _set(rows, known, " / ".join(map(str, key)))
        problems += faults
        made += [found] if found else []
    problems = problems or _contradicting_classes([*stored, *made])
    if problems:
        raise BadRunFileError(name, problems)
    return tuple(made)


def _columns(frame: pd.DataFrame) -> list[Problem]:
    """Missing columns, unknown columns and an empty table."""
    wanted = [name for name in COLUMNS if name not in _OPTIONAL]
    missing = [name for name in wanted if name not in frame.columns]
    strange = [str(name) for name in frame.columns if name not in COLUMNS]
    problems = [Problem(None, name, "is missing") for name in missing]
    problems += [Problem(None, name, f"unknown; allowed: {', '.join(COLUMNS)}") for name in strange]
    return problems or ([Problem(None, None, "no rows")] if frame.empty else [])


def _set(
    rows: pd.DataFrame, known: Known, wording: str
) -> tuple[Predictions | None, list[Problem]]:
    """The rows of one set, or what is wrong with them."""
    first = int(rows.index[0]) + 1
    shared = {name: rows[name].iloc[0] for name in _SHARED if name in rows}
    faults = [
        Problem(first, name, f"differs within the set {wording}")
        for name in shared
        if rows[name].nunique() > 1
    ]
    faults += _names(shared, known, first) + _items(rows, known, shared, first)
    faults += _classes(rows, known, shared, first)
    score, faults_of_score = _scores(rows, first)
    faults += faults_of_score
    if faults:
        return None, faults
    ordered = rows.assign(item=rows["item"].astype(float)).sort_values("item")
    order = ordered.index
    content = pack(
        ordered["label"].tolist(),
        ordered["predicted"].tolist(),
        None if score is None else score.loc[order].tolist(),
    )
    revision = shared.get("workload_revision") or None
    return Predictions(**{**shared, "workload_revision": revision, "content": content}), []


def _names(shared: dict[str, Any], known: Known, row: int) -> list[Problem]:
    """Names the catalog does not have, a revision or hash that cannot be."""
    there = {
        "workload": known.workload,
        "candidate": known.candidate,
        "device": known.device,
    }
    faults = [
        Problem(row, kind, f"{shared[kind]!r} is not in the catalog; import its run file first")
        for kind, names in there.items()
        if shared[kind] not in names
    ]
    workload = known.workload.get(shared["workload"])
    revision = shared.get("workload_revision") or None
    if workload is not None and revision != workload.revision:
        faults.append(
            Problem(row, "workload_revision", f"is {revision}; the catalog has {workload.revision}")
        )
    digest = shared["test_sha256"]
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        faults.append(Problem(row, "test_sha256", "must be 64 hex digits"))
    for name in ("run_id", "source", "precision", "split", "measured_at"):
        if not shared[name] or "\0" in shared[name]:
            faults.append(Problem(row, name, "is empty or holds a NUL character"))
    try:
        pd.Timestamp(shared["measured_at"])
    except ValueError:
        faults.append(Problem(row, "measured_at", "must be an ISO 8601 time"))
    return faults


def _items(rows: pd.DataFrame, known: Known, shared: dict[str, Any], row: int) -> list[Problem]:
    """Whether the items are 0, 1, 2 ... and as many as the test set has."""
    numbers = sorted(pd.to_numeric(rows["item"], errors="coerce").fillna(-1).tolist())
    if numbers[0] != 0 or any(after - before != 1 for before, after in pairwise(numbers)):
        return [Problem(row, "item", f"must count from 0 to {len(rows) - 1}, each number once")]
    workload = known.workload.get(shared["workload"])
    n_test = workload.n_test if workload else None
    if shared["split"] == "test" and n_test is not None and n_test != len(rows):
        return [Problem(row, "item", f"{len(rows)} items; the test set has {n_test}")]
    return []


def _classes(rows: pd.DataFrame, known: Known, shared: dict[str, Any], row: int) -> list[Problem]:
    """Whether class names can be the workload's: present, short, not too many."""
    faults = []
    for column in ("label", "predicted"):
        if (rows[column] == "").any():
            faults.append(Problem(row, column, "is empty in some rows"))
        if (rows[column].str.len() > MAX_NAME).any():
            faults.append(Problem(row, column, f"longer than {MAX_NAME} characters"))
    workload = known.workload.get(shared["workload"])
    names = {*rows["label"], *rows["predicted"]}
    if workload is not None and workload.n_classes and len(names) > workload.n_classes:
        allowed = f"the workload has {workload.n_classes}"
        faults.append(Problem(row, "predicted", f"{len(names)} class names; {allowed}"))
    return faults


def _scores(rows: pd.DataFrame, row: int) -> tuple[pd.Series[Any] | None, list[Problem]]:
    """Scores from 0 to 1 for every item, or for none."""
    if "score" not in rows or (rows["score"] == "").all():
        return None, []
    score = pd.to_numeric(rows["score"], errors="coerce")
    if not score.between(0, 1).all():
        return None, [
            Problem(row, "score", "must be from 0 to 1 in every row of a set, or in none")
        ]
    return score, []


def _contradicting_classes(made: Sequence[Predictions]) -> list[Problem]:
    """Sets that claim the same test items and have other true classes."""
    truths: dict[str, list[str]] = {}
    faults = []
    for each in made:
        answers = each.answers()
        truth = [answers.classes[number] for number in answers.truth]
        if truths.setdefault(each.test_sha256, truth) != truth:
            wording = (
                f"{each.candidate}: other true classes than another set of the same test_sha256"
            )
            faults.append(Problem(None, "label", wording))
    return faults
