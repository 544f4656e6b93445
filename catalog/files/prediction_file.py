"""Prediction files: predictions in and out as a flat table, one row an item, CSV or Parquet.

What may stand in it is checked here, all faults at once; class names do, texts never.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pandera.pandas as pa

from catalog.errors import BadRunFileError, Problem
from catalog.files.run_file import Format, dump, table_of
from catalog.files.schema import broken, columns_of, rule, typed
from catalog.files.validation import Known
from catalog.predictions import PREDICTION_KEY, Predictions, pack

_SHARED = [field.name for field in msgspec.structs.fields(Predictions) if field.name != "content"]
MAX_NAME = 200
"""Characters of a class name; longer ones may be texts."""
_SCORED = "must be from 0 to 1 in every row of a set, or in none"
_NAME = pa.Check.str_length(1, MAX_NAME, error=f"longer than {MAX_NAME} characters")
_SCHEMA = columns_of(
    Predictions,
    item=pa.Column("float64", pa.Check.ge(0, error="must count from 0, each number once")),
    label=pa.Column("str", _NAME),
    predicted=pa.Column("str", _NAME),
    score=pa.Column(
        "float64",
        pa.Check.in_range(0, 1, error=_SCORED),
        nullable=True,
        required=False,
    ),
).remove_columns(["content"])
COLUMNS = tuple(_SCHEMA.columns)
"""Columns of a file: what a set shares, item number from 0, true and predicted class, score."""


def to_frame(sets: Iterable[Predictions]) -> pd.DataFrame:
    """Sets of predictions as one table."""
    parts = []
    for each in sets:
        answers = each.answers()
        names = np.array(answers.classes, dtype=object)
        own = {
            "item": np.arange(len(answers.truth)),
            "label": names[answers.truth],
            "predicted": names[answers.predicted],
            "score": np.nan if answers.score is None else answers.score.astype(float),
        }
        shared = {name: getattr(each, name) for name in _SHARED}
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
    return from_frame(table_of(path), known, str(path), stored)


def from_frame(
    frame: pd.DataFrame, known: Known, name: str, stored: Sequence[Predictions] = ()
) -> tuple[Predictions, ...]:
    """Checks a table and makes sets of it; see `read`.

    Raises:
        BadRunFileError: Off the rules.
    """
    frame = frame.reset_index(drop=True).astype(object).replace("", None)
    rows, problems = typed(_SCHEMA, frame)
    rows["split"] = rows["split"].fillna("test")
    if not problems:
        sets = _with_facts(rows, known)
        problems = broken(_RULES, sets)
        problems += [] if len(sets) else [Problem(None, None, "no rows")]
    made = []
    if not problems:
        made = [_set(own) for _, own in rows.groupby([*PREDICTION_KEY], sort=False)]
    if problems := problems or _contradicting_classes([*stored, *made]):
        raise BadRunFileError(name, problems)
    return tuple(made)


def _with_facts(rows: pd.DataFrame, known: Known) -> pd.DataFrame:
    """The first row of each set beside facts of the set and what the catalog says of its names."""
    sets = rows.groupby([*PREDICTION_KEY], sort=False, dropna=False)
    facts = []
    for _, own in sets:
        first = own.iloc[0]
        workload = known.workload.get(first["workload"])
        facts.append(
            {
                "differing": [n for n in _SHARED if own[n].nunique(dropna=False) > 1],
                "unknown": [n for n in _NAMED if first[n] not in getattr(known, n)],
                "n": len(own),
                "last": len(own) - 1,
                "counted": sorted(own["item"]) == [*range(len(own))],
                "n_scores": own["score"].count(),
                "n_names": len({*own["label"], *own["predicted"]}),
                "revision": workload.revision if workload else first["workload_revision"],
                "n_test": workload.n_test if workload and first["split"] == "test" else None,
                "n_classes": workload.n_classes if workload else None,
            }
        )
    return sets.head(1).reset_index(names="row").join(pd.DataFrame(facts)).set_index("row")


def _free(fact: str, name: str, message: str) -> pa.Check:
    """A column is none of those that a fact of the set lists."""
    return rule(name, message, lambda sets: sets[fact].map(lambda names: name not in names))


_NAMED = ("workload", "candidate", "device")
_DIFFERS = f"differs within the set {' / '.join(f'{{{key}}}' for key in PREDICTION_KEY)}"
_ABSENT = "{{{0}!r}} is not in the catalog; import its run file first"
_RULES = [
    *(_free("differing", name, _DIFFERS) for name in _SHARED),
    *(_free("unknown", name, _ABSENT.format(name)) for name in _NAMED),
    rule(
        "workload_revision",
        "is {workload_revision}; the catalog has {revision}",
        lambda sets: sets["workload_revision"].fillna("") == sets["revision"].fillna(""),
    ),
    rule("item", "must count from 0 to {last}, each number once", lambda sets: sets["counted"]),
    rule(
        "item",
        "{n} items; the test set has {n_test:.0f}",
        lambda sets: sets["n_test"].isna() | (sets["n_test"] == sets["n"]),
    ),
    rule("score", _SCORED, lambda sets: (sets["n_scores"] == 0) | (sets["n_scores"] == sets["n"])),
    rule(
        "predicted",
        "{n_names} class names; the workload has {n_classes:.0f}",
        lambda sets: ~(sets["n_names"] > sets["n_classes"].astype(float)),
    ),
]
"""Checks of sets with the columns of `_with_facts`."""


def _set(rows: pd.DataFrame) -> Predictions:
    """The rows of one sound set."""
    rows = rows.sort_values("item")
    score = None if rows["score"].isna().all() else rows["score"].tolist()
    content = pack(rows["label"].tolist(), rows["predicted"].tolist(), score)
    shared = {str(name): cell for name, cell in rows.iloc[0][_SHARED].dropna().items()}
    return Predictions(**shared, content=content)


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
