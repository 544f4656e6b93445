"""Results of the two source tables as rows of `catalog.accuracy.Accuracy`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
from atlas_candidates import Candidates
from atlas_names import Row, mteb_workloads, published_workload

MTEB = (
    "Muennighoff et al. 2022, arXiv:2210.07316 (MTEB); Enevoldsen et al. 2025, arXiv:2502.13595 "
    "(MMTEB); github.com/embeddings-benchmark/results"
)
CARDS = (
    {"hf-card", "jul", "shrewd", "intent-bench", "german-modernbert", "gnad-tool", "finsent"}
    | {"nabin-banking", "bankbot", "banking77-fewshot", "banking77-classical", "reza-agnews"}
    | {"hmohebbi-imdb", "imdb-truncation", "toxic-tfidf-bert", "toxic-roberta"}
    | {"hatexplain-xai", "sms-fusion", "sms-abtest", "abdelazimm-sms", "reddit-sentiment"}
    | {"finllm-report"}
)
"""Model cards and small repositories: one run, own split at times."""
QUOTED = frozenset(["pwc", "nlp-progress", "ts-mixer", "fhac2021", "duchene2023", "karl-scherp"])
"""Papers with Code and tables quoted by others."""
IDENTITY = ["family", "model", "head", "dataset", "language", "split", "n_train"]
IDENTITY += ["samples_per_label", "n_test", "source", "citation", "reference", "notes"]
"""Columns that the rows of one run share; its metrics are rows of their own."""
REGIME = {"lexicon": "lexicon", "few-shot-llm": "in-context"}
OWN_SPLIT = re.compile(
    r"\bown (stratified |70/10/20 )?split\b|own 20 % hold-out|re-split copy|unknown size"
)
"""Notes of rows whose test texts the source drew itself."""
PART = re.compile(r"sample of the set|first 1000 items|subset of the test split|split not stated")
"""Notes of rows on a part of a split, or on one that is not stated."""
SAMPLED = frozenset(["promptzl", "jul", "finllm-report"])
"""Sources that judge samples without a note in each row."""


def read_mteb(data: Path, candidates: Candidates, dropped: Counter[str]) -> list[Row]:
    """Few-shot heads on frozen encoders; the authors' own figures are rows of their own."""
    tasks = pd.read_csv(data / "mteb_tasks.csv", low_memory=False)
    names = mteb_workloads(tasks.to_dict("records"))
    pooled = set(tasks[tasks["test_split_is_train_pool"] == "yes"]["mteb_task"])
    rows = pd.read_csv(data / "mteb_classification.csv.gz", low_memory=False)
    found = []
    for line, row in enumerate(rows.to_dict("records"), start=2):
        if row["accuracy"] != row["accuracy"]:
            dropped["MTEB rows without an accuracy"] += 1
            continue
        own = "self-reported" in row["source"]
        shared = _mteb_row(row, candidates, names)
        if row["mteb_task"] in pooled:
            shared |= _trained_on_test_pool(shared["contamination"])
        figures = {
            "accuracy": row["accuracy"],
            "accuracy_sd": row["accuracy_sd"],
            "macro_f1": row["macro_f1"],
            "n_draws": row["n_draws"],
        }
        found.append(shared | figures | _origin(row, own, f"mteb_classification.csv.gz:{line}"))
        told = row["accuracy_self_reported"]
        if not own and told == told:
            origin = _origin(row, True, f"mteb_classification.csv.gz:{line}, self-reported")
            found.append(shared | {"accuracy": told} | origin)
    return found


def _mteb_row(row: Row, candidates: Candidates, names: dict[tuple[str, str], str]) -> Row:
    """What a run and its self-reported twin share."""
    blank = row["n_test_basis"] == "unknown"
    return {
        "candidate": candidates.frozen(row["model"]),
        "workload": names[row["mteb_task"], row["subset"]],
        "regime": "few-shot",
        "samples_per_label": row["samples_per_label"],
        "n_test": None if blank else row["n_test"],
        "n_test_basis": row["n_test_basis"],
        "split": row["split"],
        "contamination": row["trained_on_task_data"],
        "citation": MTEB,
        "licence": row["source_licence"],
        "protocol": f"logistic head (C = 1) on a frozen encoder; {row['train_protocol']}",
        "model_revision": row["model_revision"],
        "measured_at": "2026-08-20",
    }


def _trained_on_test_pool(contamination: str) -> Row:
    """Marks of a result whose training texts were drawn from those it was judged on."""
    return {
        "split": "train-pool",
        "contamination": contamination if contamination == "yes" else "possible",
        "notes": "the head's training texts are drawn from the test texts",
    }


def _origin(row: Row, own: bool, place: str) -> Row:
    """Where a figure of MTEB stands; `own` for the author's figure."""
    return {
        "source": "mteb",
        "tier": "card" if own else "authors",
        "self_reported": "true" if own else None,
        "reference": f"{row['source_path']}@{row['source_commit'][:12]}; {place}",
    }


def read_published(data: Path, candidates: Candidates, dropped: Counter[str]) -> list[Row]:
    """Figures of papers, repositories and cards; metrics of one run become one row."""
    rows = pd.read_csv(data / "published_accuracy.csv", low_memory=False)
    rows["line"] = range(2, len(rows) + 2)
    keep = rows["split"] != "train"
    dropped["published: labels given to training texts, no held-out split"] += int((~keep).sum())
    known = rows["dataset"] != "tweet_sentiment_unspecified"
    dropped["published: data set that the source does not name"] += int((keep & ~known).sum())
    rows = rows[keep & known]
    found = []
    for _, group in rows.groupby(IDENTITY, dropna=False, sort=False):
        if len(group) > group["metric"].nunique():
            raise ValueError(f"one run has a metric twice: {group['line'].tolist()}")
        found.append(_published_row(group, candidates))
    return found


def _published_row(group: pd.DataFrame, candidates: Candidates) -> Row:
    """One run of the table of published figures."""
    first: Row = group.iloc[0].to_dict()
    values = dict(zip(group["metric"], group["value"], strict=True))
    spread = dict(zip(group["metric"], group["value_sd"], strict=True))
    accuracy, metric = values.pop("accuracy", None), "accuracy"
    notes = [first["notes"]] if isinstance(first["notes"], str) else []
    if accuracy is None and first["task"] == "sentiment" and "micro_f1" in values:
        accuracy, metric = values.pop("micro_f1"), "micro_f1"
        notes.append("micro-F1, which for one label per text is accuracy")
    candidate, numeric = candidates.published(first)
    lines = ", ".join(str(line) for line in group["line"])
    return {
        "candidate": candidate,
        "workload": published_workload(first["dataset"], first["language"]),
        "numeric_format": None if numeric == "float" else numeric,
        **_setting(first),
        "accuracy": accuracy,
        "accuracy_sd": spread.get(metric),
        "macro_f1": values.pop("macro_f1", None),
        "macro_f1_sd": spread.get("macro_f1"),
        "other_metrics": ";".join(f"{name}={value:g}" for name, value in sorted(values.items())),
        "n_test": first["n_test"],
        "n_test_basis": "stated" if first["n_test"] == first["n_test"] else "unknown",
        "split": "own-holdout" if _is_own_split(first) else first["split"],
        "contamination": first["contamination"],
        "source": first["source"],
        "tier": _tier(first["source"]),
        "self_reported": "true" if first["source"] == "hf-card" else None,
        "citation": first["citation"],
        "reference": f"{first['reference']}; published_accuracy.csv:{lines}",
        "licence": first["source_licence"],
        "protocol": first["head"],
        "notes": "; ".join(notes),
    }


def _is_own_split(row: Row) -> bool:
    """Whether the source drew the test texts of a published figure itself."""
    return row["split"] == "holdout" or bool(OWN_SPLIT.search(_said(row["notes"])))


def _said(notes: Any) -> str:
    """Notes of a row, empty where it has none."""
    return notes if isinstance(notes, str) else ""


def _tier(source: str) -> str:
    """Trust in a source."""
    if source in CARDS:
        return "card"
    return "leaderboard" if source in QUOTED else "authors"


def _setting(row: Row) -> Row:
    """Regime of a published figure with its labelled texts."""
    per_label, n_train = _number(row["samples_per_label"]), _number(row["n_train"])
    family = row["family"]
    if family in REGIME:
        return {"regime": REGIME[family], "samples_per_label": per_label}
    if family.startswith("zero-shot"):
        return {"regime": "zero-shot"}
    if per_label is not None:
        return {"regime": "few-shot", "samples_per_label": per_label, "n_train": n_train}
    return {"regime": "full", "n_train": n_train or None}


def _number(value: Any) -> float | None:
    """A number of a cell that may hold words such as ``about 1``; "<=500" is none."""
    text = str(value).removeprefix("about ").removesuffix(" in all")
    try:
        number = float(text)
    except ValueError:
        return None
    return None if number != number else number


def official_sizes(rows: list[Row], facts: dict[str, Row]) -> None:
    """Fills blank sizes of whole official splits, marked ``official``; sets those of the facts.

    A split's size is the one that every result on the whole of it states. Samples, splits that a
    source drew itself or does not state, and training pools neither state it nor take it.
    """
    stated: defaultdict[tuple[str, str], set[float]] = defaultdict(set)
    for row in rows:
        if _is_whole(row) and _known(row["n_test"]):
            stated[row["workload"], row["split"]].add(row["n_test"])
    sizes = {key: found.pop() for key, found in stated.items() if len(found) == 1}
    for name, fact in facts.items():
        if _known(fact.get("official_test")):
            sizes[name, "test"] = float(fact["official_test"])
        if fact.get("length_basis") != "counted in the test texts":
            own = fact["n_test"] if fact.get("from_mteb") else None
            fact["n_test"] = sizes.get((name, "test"), own)
    for row in rows:
        if not _known(row["n_test"]):
            size = sizes.get((row["workload"], row["split"])) if _is_whole(row) else None
            row["n_test"], row["n_test_basis"] = size, "official" if size else "unknown"


def _is_whole(row: Row) -> bool:
    """Whether a result was taken on the whole of an official split."""
    apart = row["split"] in ("own-holdout", "train-pool") or row["source"] in SAMPLED
    return not apart and not PART.search(_said(row.get("notes")))


def _known(value: Any) -> bool:
    """Whether a cell holds something."""
    return value is not None and value == value and value != ""
