"""Accuracies in run files: rows without a device, the checks between their columns, and back.

A run file may hold accuracies alone, or rows without a device among rows of measurements.
Columns are the fields of `Accuracy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import pandas as pd
import pandera.pandas as pa

from catalog.accuracies import CALIBRATION
from catalog.accuracy import ACCURACY_KEY, Accuracy, Regime
from catalog.files.schema import rule
from catalog.records import Candidate, Family, Measurement

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
_CONTENT = ("accuracy", "macro_f1", "n_test")
"""Columns in which two rows of one key may not differ."""


def without_device(frame: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of a table hold an accuracy alone: they name no device and count no texts."""
    if "candidate" not in frame or not any(mark in frame for mark in MARKS):
        return pd.Series(False, index=frame.index)
    return frame.reindex(columns=["device", "n_items"]).isna().all(axis=1)


def used(frame: pd.DataFrame, kind: type[Measurement | Accuracy]) -> pd.DataFrame:
    """The rows of one kind without the empty columns that only rows of the other kind use."""
    ours = {*kind.__struct_fields__}
    others = {*Measurement.__struct_fields__, *Accuracy.__struct_fields__} - ours
    return frame.drop(columns=[n for n in frame if n in others and frame[n].isna().all()])


def with_context(rows: pd.DataFrame, candidates: Mapping[str, Candidate]) -> pd.DataFrame:
    """Typed rows beside what their checks compare them with.

    Columns added: ``family`` and ``allowed`` (its regimes, NaN where any is), ``first`` (number of
    the first row of the same key) and ``first_*`` (what that row says).
    """
    families = {n: each.family for n, each in candidates.items() if each.family in REGIMES_OF}
    family = rows["candidate"].map(families)
    allowed = family.map({name: ", ".join(sorted(of)) for name, of in REGIMES_OF.items()})
    setting = rows.groupby([*ACCURACY_KEY], dropna=False).ngroup()
    first = setting.map({key: row for row, key in reversed([*setting.items()])}).astype(int)
    before = {f"first_{name}": rows[name].loc[first].to_numpy() for name in _CONTENT}
    return rows.assign(family=family, allowed=allowed, first=first + 1, **before)


def _same(name: str) -> pa.Check:
    """Rows of one key say the same in a column."""
    return rule(
        name,
        f"{{{name}}} contradicts {{first_{name}}} of row {{first}}, the same result",
        lambda rows: (
            (rows[name] == rows[f"first_{name}"])
            | (rows[name].isna() & rows[f"first_{name}"].isna())
        ),
    )


RULES = [
    rule(
        "regime",
        "{regime!r}: a candidate of family {family} allows {allowed}",
        lambda rows: pd.Series(
            [
                pd.isna(allowed) or regime in allowed.split(", ")
                for regime, allowed in zip(rows["regime"], rows["allowed"], strict=True)
            ],
            index=rows.index,
            dtype=bool,
        ),
    ),
    rule(
        "samples_per_label",
        "needed with regime 'few-shot'",
        lambda rows: (rows["regime"] != "few-shot") | rows["samples_per_label"].notna(),
    ),
    rule(
        "samples_per_label",
        "not allowed with regime 'full'; a head on few texts per class is 'few-shot'",
        lambda rows: (rows["regime"] != "full") | rows["samples_per_label"].isna(),
    ),
    rule(
        "accuracy",
        f"a row needs {', '.join(MARKS[:-1])} or {MARKS[-1]}",
        lambda rows: rows[[*MARKS]].notna().any(axis=1),
    ),
    rule(
        "tier",
        f"'suite' is for source {CALIBRATION!r}; give authors, leaderboard or card",
        lambda rows: (rows["tier"] != "suite") | (rows["source"] == CALIBRATION),
    ),
    *map(_same, _CONTENT),
]
"""Checks of rows with the columns of `with_context`."""


def to_frame(rows: Iterable[Accuracy]) -> pd.DataFrame:
    """Results as a flat table in the order of the record's fields, without unused columns."""
    frame = pd.DataFrame([msgspec.to_builtins(row) for row in rows])
    return frame[[name for name in Accuracy.__struct_fields__ if name in frame]]
