"""Workloads of the atlas: facts of each data set, siblings, reference workload of each task."""

from __future__ import annotations

import fnmatch
import gzip
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
from atlas_names import ROOT, Row, mteb_workloads, published_workload, table, task_of

sys.path.insert(0, str(ROOT))
from catalog.evidence import reference_workload


def workloads(data: Path, texts: Path, rows: list[Row]) -> dict[str, Row]:
    """Every workload that has an accuracy, as rows of `catalog.records.Workload`."""
    found: dict[str, Row] = {}
    aliases: defaultdict[str, set[str]] = defaultdict(set)
    _of_mteb(data, found, aliases)
    _of_published(data, found, aliases)
    _of_facts(texts, found)
    groups = table("workload_siblings.csv")
    counts: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        if _qualifies(row, found[row["workload"]]):
            counts[row["workload"]].add(row["candidate"])
    for name, fact in found.items():
        others = sorted(aliases[name] - {name})
        fact["aliases"] = ";".join(others)
        fact["siblings"] = next(
            (
                group["group"]
                for group in groups
                if any(fnmatch.fnmatch(name, each) for each in group["workloads"].split(";"))
            ),
            None,
        )
        fact["n_candidates"] = len(counts[name])
    return {name: found[name] for name in sorted(found) if name in counts}


def _of_mteb(data: Path, found: dict[str, Row], aliases: defaultdict[str, set[str]]) -> None:
    """Facts that MTEB's task table states or that its authors counted."""
    tasks = pd.read_csv(data / "mteb_tasks.csv", low_memory=False).to_dict("records")
    for (task, subset), name in mteb_workloads(tasks).items():
        aliases[name].add(task if subset == "default" else f"{task}/{subset}")
    names = mteb_workloads(tasks)
    for row in tasks:
        licence = row["dataset_licence"]
        found[names[row["mteb_task"], row["subset"]]] = {
            "name": names[row["mteb_task"], row["subset"]],
            "task": task_of(row["task"]),
            "dataset": row["dataset"],
            "revision": row["dataset_revision"],
            "language": row["language"],
            "n_classes": row["n_classes"],
            "n_test": row["n_test"],
            "majority_share": row["majority_share"],
            "majority_basis": "MTEB task table",
            "mean_chars": row["mean_text_chars"],
            "length_basis": "MTEB task table",
            "licence": None if licence == "not specified" else licence,
            "from_mteb": True,
        }


def _of_published(data: Path, found: dict[str, Row], aliases: defaultdict[str, set[str]]) -> None:
    """Facts that the table of published figures states."""
    rows = pd.read_csv(data / "published_accuracy.csv", low_memory=False)
    for (dataset, language), group in rows.groupby(["dataset", "language"], dropna=False):
        name = published_workload(dataset, language)
        aliases[name].add(dataset)
        first = group.iloc[0]
        stated: Row = {
            "name": name,
            "task": task_of(first["task"]),
            "dataset": dataset,
            "language": None if language == "multi" else language,
            "n_classes": group["n_classes"].max(),
            "n_test": None,
        }
        fact = found.setdefault(name, stated)
        for field, value in stated.items():
            if fact.get(field) is None or fact.get(field) != fact.get(field):
                fact[field] = value


def _of_facts(texts: Path, found: dict[str, Row]) -> None:
    """Facts kept by hand, and those counted in the texts where they are at hand."""
    for row in table("workload_facts.csv"):
        fact = found.get(row["workload"])
        if fact is None:
            continue
        for field in row.keys() - {"workload"}:
            if row[field] and not _known(fact.get(field)):
                fact[field] = row[field]
        folder = texts / row["workload"]
        if folder.is_dir():
            with gzip.open(folder / "data.csv.gz", "rt", encoding="utf-8") as file:
                frame = pd.read_csv(file, keep_default_na=False)
            test = frame[frame["split"] == "test"]
            share = test["label"].value_counts(normalize=True).iloc[0]
            fact |= {
                "majority_share": round(float(share), 4),
                "majority_basis": "counted in the test texts",
                "mean_chars": round(float(test["text"].str.len().mean()), 1),
                "length_basis": "counted in the test texts",
                "n_test": len(test),
            }


def _qualifies(row: Row, fact: Row) -> bool:
    """Whether a result is evidence: uncontaminated, on a split that others could share."""
    own = row["split"] == "own-holdout" and not fact.get("own_splits")
    return row["contamination"] != "yes" and not own


def _known(value: Any) -> bool:
    """Whether a cell holds something."""
    return value is not None and value == value and value != ""


def references(facts: dict[str, Row], rows: list[Row]) -> list[Row]:
    """The reference workload of each task, language and metric; see `reference_workload`.

    A first choice for macro-F1 stands by hand, where accuracy is not reported.
    """
    spoken: defaultdict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    counted: set[tuple[str, str, str]] = set()
    for row in rows:
        for metric in ("accuracy", "macro_f1"):
            value, key = row.get(metric), (row["workload"], row["candidate"], metric)
            fact = facts[row["workload"]]
            if not _known(value) or not _qualifies(row, fact) or key in counted:
                continue
            counted.add(key)
            spoken[fact["task"], fact["language"] or "mul", metric][row["workload"]] += 1
    wanted = {row["task"]: row for row in table("tasks.csv")}
    unknown = {task for task, _, _ in spoken} - set(wanted)
    if unknown:
        raise ValueError(f"tasks.csv lacks {', '.join(sorted(unknown))}")
    found = []
    for (task, language, metric), counts in sorted(spoken.items()):
        column = "reference" if metric == "accuracy" else "reference_macro_f1"
        first = dict(
            pair.split("=") for pair in wanted[task][column].split(";") if "=" in pair
        ).get(language)
        by_hand = metric == "macro_f1" and first in counts
        kept, better = (first, None) if by_hand else reference_workload(counts, first)
        found.append(
            {
                "task": task,
                "language": language,
                "metric": metric,
                "workload": kept,
                "n_candidates": counts[kept],
                "rule": "first choice" if kept == first else "most candidates",
                "better_known": better,
            }
        )
    return found
