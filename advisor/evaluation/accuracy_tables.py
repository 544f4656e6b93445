"""Tables of published accuracies (columns of ``mteb_classification.csv``) as observations.

One row is the accuracy of one model on one workload: a task with its subset and split. Rows whose
accuracy is blank are kept apart, to be predicted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from advisor.accuracy.observations import Mask, Observations, candidate_traits, workload_traits
from advisor.accuracy.scale import published_variance
from advisor.evaluation.published_rows import BadTableError
from catalog.files.csv_dialect import other_delimiter

WORKLOAD = ("mteb_task", "subset", "split")
ROW_COLUMNS = ("model", *WORKLOAD, "language", "n_classes", "accuracy")
TASK_COLUMNS = (*WORKLOAD, "task", "language", "n_classes")
MODEL_COLUMNS = ("model",)
RANGES = {
    "accuracy": (0.0, 1.0),
    "accuracy_sd": (0.0, 0.5),
    "majority_share": (0.0, 1.0),
    "n_classes": (2.0, 1e5),
    "n_test": (1.0, 1e9),
    "n_draws": (1.0, 1e6),
    "mean_text_chars": (1.0, 1e7),
    "n_parameters": (0.0, 1e14),
    "n_active_parameters": (0.0, 1e14),
}
CONTAMINATED = ("yes", "no", "unknown")
CHEAP = 35e6
"""Most active parameters of a probe that counts as cheap: a 12-layer encoder of width 384."""


class AccuracyRows(msgspec.Struct, frozen=True):
    """A table of rows with what is known beside them.

    Attributes:
        table: The rows as read, with ``workload``, ``group``, ``task`` and ``writing``.
        observations: All rows; the accuracy is NaN where it is blank.
    """

    table: pd.DataFrame
    observations: Observations

    def measured(self) -> Mask:
        """Rows that have an accuracy."""
        found: Mask = np.isfinite(self.observations.accuracy)
        return found


def read(path: Path, required: Sequence[str]) -> pd.DataFrame:
    """A CSV file, plain or compressed, with its numbers checked.

    Raises:
        BadTableError: Unreadable, a column is missing, or a number cannot be.
    """
    try:
        reason = other_delimiter(list(pd.read_csv(path, nrows=0).columns))
        table = pd.read_csv(path, low_memory=False) if reason is None else pd.DataFrame()
    except OSError as error:
        raise BadTableError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadTableError(f"{path}: is no text, so no CSV") from error
    except pd.errors.EmptyDataError as error:
        raise BadTableError(f"{path}: is empty") from error
    except ValueError as error:
        raise BadTableError(f"{path}: cannot be read as CSV: {error}") from error
    if reason is not None:
        raise BadTableError(f"{path}: {reason}")
    missing = [name for name in required if name not in table]
    if missing:
        has = ", ".join(map(str, table.columns[:30])) or "none"
        raise BadTableError(f"{path}: without column(s) {', '.join(missing)}; it has: {has}")
    if not len(table):
        raise BadTableError(f"{path}: has no rows")
    for name, (least, most) in RANGES.items():
        if name in table:
            table[name] = _numbers(path, table[name], least, most)
    return table


def _numbers(path: Path, cells: pd.Series, least: float, most: float) -> pd.Series:
    """Cells as numbers; blank ones stay blank."""
    numbers = pd.to_numeric(cells, errors="coerce")
    wrong = cells.notna() & ~((numbers >= least) & (numbers <= most))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        came, more = cells.iloc[row], int(wrong.sum()) - 1
        also = f"; {more} more row(s) are wrong" if more else ""
        raise BadTableError(
            f"{path}: row {row}, column {cells.name}: {came!r}; allowed: a number from {least:g} "
            f"to {most:g}, or blank{also}"
        )
    return numbers


def _complete(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raises where a cell that every row needs is blank."""
    for name in columns:
        blank = np.flatnonzero(table[name].isna())
        if len(blank):
            raise BadTableError(
                f"{path}: row {blank[0]}, column {name}: blank in {len(blank)} row(s); every row "
                "needs it"
            )


def sibling_groups() -> dict[str, str]:
    """Group of each task that shares texts with others, by name without its version."""
    with resources.files("advisor.evaluation").joinpath("siblings.csv").open() as file:
        table = pd.read_csv(file)
    return dict(zip(table["mteb_task"], table["group"], strict=True))


def groups_of(tasks: pd.DataFrame) -> list[str]:
    """Data sets with all their subsets, languages, versions and siblings, one name a row.

    Tasks are one group where they share the data set, differ in the version alone
    (``PersianTextEmotion.v2``), or stand in the table of siblings.
    """
    known = sibling_groups()
    names = [re.sub(r"\.v\d+$", "", str(name)) for name in tasks["mteb_task"]]
    names = [known.get(name, name) for name in names]
    if "dataset" not in tasks:
        return names
    first: dict[str, str] = {}
    for name, dataset in zip(names, tasks["dataset"].astype(str), strict=True):
        ours = first.get(dataset, name)
        first[dataset] = min(ours, name) if ours in known.values() or name == ours else ours
    merged = {name: first[d] for name, d in zip(names, tasks["dataset"].astype(str), strict=True)}
    return [merged[name] for name in names]


def read_tasks(path: Path) -> pd.DataFrame:
    """Facts of workloads, indexed by their key (`key_of`), with their ``group``."""
    table = read(path, TASK_COLUMNS)
    _complete(path, table, TASK_COLUMNS)
    table["group"] = groups_of(table)
    codes = table["language_codes"] if "language_codes" in table else table["language"]
    table["language_code"] = codes.astype(str).str.split("-").str[0]
    table["writing"] = _writing(table["language"].astype(str), codes.astype(str))
    table.index = pd.Index(key_of(table))
    return table[~table.index.duplicated()]


def _writing(languages: pd.Series, codes: pd.Series) -> list[str]:
    """Class of each workload that intervals are calibrated by.

    ``english``, ``latin`` script, or ``other`` script; by codes such as ``tha-Thai``, Latin where
    no script is stated.
    """
    scripts = codes.str.extract(r"-([A-Z][a-z]{3})\b")[0].fillna("Latn")
    return [
        "english" if language == "en" else "latin" if script == "Latn" else "other"
        for language, script in zip(languages, scripts, strict=True)
    ]


def read_models(path: Path) -> pd.DataFrame:
    """Facts of models, one row each."""
    table = read(path, MODEL_COLUMNS)
    _complete(path, table, MODEL_COLUMNS)
    return table.drop_duplicates("model")


def key_of(table: pd.DataFrame) -> list[str]:
    """Names of workloads: task, subset and split."""
    parts = [table[name].astype(str) for name in WORKLOAD]
    return [" / ".join(cells) for cells in zip(*parts, strict=True)]


def read_rows(path: Path) -> pd.DataFrame:
    """Rows of accuracies; blank accuracies stay blank."""
    table = read(path, ROW_COLUMNS)
    _complete(path, table, [name for name in ROW_COLUMNS if name != "accuracy"])
    if "trained_on_task_data" in table:
        stated = table["trained_on_task_data"]
        wrong = np.flatnonzero(stated.notna() & ~stated.isin(CONTAMINATED))
        if len(wrong):
            raise BadTableError(
                f"{path}: row {wrong[0]}, column trained_on_task_data: "
                f"{stated.iloc[wrong[0]]!r}; allowed: {', '.join(CONTAMINATED)}, or blank"
            )
    table["workload"] = key_of(table)
    return table


def join(
    path: Path, table: pd.DataFrame, tasks_path: Path, tasks: pd.DataFrame, models: pd.DataFrame
) -> AccuracyRows:
    """Rows with the traits of their workloads and models.

    Args:
        path: Where the rows come from, for errors.
        table: Rows (`read_rows`).
        tasks_path: Where the facts of workloads come from, for errors.
        tasks: Facts of workloads (`read_tasks`).
        models: Facts of models (`read_models`). A model that is missing there has the facts its
            rows state.

    Raises:
        BadTableError: A workload has no facts, or a model has two rows on one workload.
    """
    lacking = np.flatnonzero(~table["workload"].isin(tasks.index))
    if len(lacking):
        name = str(table["workload"].iloc[lacking[0]])
        near = difflib.get_close_matches(name, map(str, tasks.index), 3, 0.3)
        raise BadTableError(
            f"{path}: row {lacking[0]}, columns {', '.join(WORKLOAD)}: {name!r} is not in "
            f"{tasks_path}; nearest there: {'; '.join(near) or 'none'}"
        )
    twice = np.flatnonzero(table.duplicated(["model", "workload"]))
    if len(twice):
        row = table.iloc[twice[0]]
        raise BadTableError(
            f"{path}: row {twice[0]}: {row['model']!r} has an earlier row on {row['workload']!r}; "
            "one row for each model and workload is allowed"
        )
    unlisted = table[~table["model"].isin(models["model"])].drop_duplicates("model")
    known = pd.concat([models, unlisted.reindex(columns=models.columns)], ignore_index=True)
    candidates = candidate_traits(known)
    used = tasks.loc[[*dict.fromkeys(table["workload"])]]
    traits = workload_traits(used)

    def column(name: str, default: float = np.nan) -> np.ndarray:
        cells = table[name] if name in table else pd.Series(default, index=table.index)
        return cells.to_numpy(dtype=float)

    texts = pd.Series(column("n_test"), index=table.index)
    if "n_test" in tasks:
        texts = texts.fillna(table["workload"].map(tasks["n_test"]).astype(float))
    source = table["source"].astype(str) if "source" in table else pd.Series("", table.index)
    reported = source.str.contains("self-reported").to_numpy()
    trained = table.get("trained_on_task_data", pd.Series("unknown", table.index))
    accuracy = column("accuracy")
    variance = published_variance(
        np.nan_to_num(accuracy, nan=0.5),
        column("accuracy_sd"),
        column("n_draws"),
        texts.to_numpy(),
        reported,
    )
    return AccuracyRows(
        table.assign(
            group=used["group"].reindex(table["workload"]).to_numpy(),
            task=used["task"].reindex(table["workload"]).to_numpy(),
            writing=used["writing"].reindex(table["workload"]).to_numpy(),
        ),
        Observations(
            candidates,
            traits,
            candidates.index.get_indexer(pd.Index(table["model"])).astype(np.intp),
            traits.index.get_indexer(pd.Index(table["workload"])).astype(np.intp),
            accuracy,
            variance,
            (trained == "yes").to_numpy(dtype=bool),
            reported,
        ),
    )
