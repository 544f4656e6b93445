"""Reading of text tables: CSV, Parquet or JSONL in; columns ``text``, ``label``, ``split`` out.

Every cell is read as text; nothing is parsed as a missing value ("NA" may be a text).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.workloads import multiple_choice
from calibration.workloads.errors import WorkloadError
from catalog.files.csv_dialect import other_delimiter

if TYPE_CHECKING:
    import pandas as pd

TABLE_SUFFIXES = (".csv.gz", ".csv", ".parquet", ".jsonl")
_TEXT_COLUMNS, _LABEL_COLUMNS = ("text", "sentence"), ("label",)


def stem(path: Path) -> str:
    """Name of a file or folder without a table's suffix."""
    suffix = next((s for s in TABLE_SUFFIXES if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)]


def read_table(file: Path) -> pd.DataFrame:
    """A table with columns ``text``, ``label`` and, if the file has one, ``split``; all text.

    A column ``sentence`` is accepted as ``text``. Questions with options become texts with a
    further column (`calibration.workloads.multiple_choice`).

    Raises:
        WorkloadError: The file cannot be read, lacks a column or has an empty cell.
    """
    import pandas as pd

    name, reason = file.name.lower(), None
    try:
        if name.endswith(".parquet"):
            frame = pd.read_parquet(file)
        elif name.endswith(".jsonl"):
            frame = pd.read_json(file, lines=True, dtype=False)
        else:
            reason = other_delimiter(list(pd.read_csv(file, nrows=0, encoding="utf-8").columns))
            frame = pd.read_csv(
                file,
                dtype=str,
                keep_default_na=False,
                encoding="utf-8",
                nrows=0 if reason else None,
            )
    except pd.errors.EmptyDataError as error:
        raise WorkloadError(f"{file}: holds no text") from error
    except (ValueError, OSError, EOFError) as error:  # its message may quote the texts
        raise WorkloadError(f"{file}: cannot be read ({type(error).__name__})") from error
    if reason is not None:
        raise WorkloadError(f"{file}: {reason}")
    if multiple_choice.is_multiple_choice([str(name) for name in frame.columns]):
        return multiple_choice.to_texts(frame, str(file))
    text, label = (_find_column(frame, file, names) for names in (_TEXT_COLUMNS, _LABEL_COLUMNS))
    chosen = {text: "text", label: "label", **({"split": "split"} if "split" in frame else {})}
    frame = frame[list(chosen)].rename(columns=chosen)
    for column in frame:
        if frame[column].isna().any():
            row = int(frame[column].isna().to_numpy().argmax()) + 1
            raise WorkloadError(f"{file}: column {column!r} is empty in row {row}")
    return frame.astype(str)


def _find_column(frame: pd.DataFrame, file: Path, names: tuple[str, ...]) -> str:
    """The first of `names` that is a column of `frame`."""
    found = next((name for name in names if name in frame), None)
    if found is None:
        present = ", ".join(map(repr, list(map(str, frame.columns))[:20]))
        raise WorkloadError(
            f"{file}: column {names[0]!r} is missing; it has {present}; "
            "needed are text, label and, where there is one, split (train, test); of questions: "
            "question, options, answer"
        )
    return found


def hash_split(frame: pd.DataFrame) -> list[str]:
    """Split ``train`` or ``test`` for each row: 20 % of each class are test, chosen by SHA-256.

    Each class keeps at least one text in train and, if it has two or more, one in test. The
    result does not depend on the order of the rows.
    """
    import pandas as pd

    digests = [int(hashlib.sha256(text.encode()).hexdigest()[:15], 16) for text in frame["text"]]
    rank = pd.Series(digests, frame.index).groupby(frame["label"]).rank(method="first")
    size = frame.groupby("label")["label"].transform("size").astype(int)
    count = (size * 0.2).round().clip(lower=1)
    test = rank <= count.where(count < size, size.astype(float) - 1)
    return ["test" if chosen else "train" for chosen in test]
