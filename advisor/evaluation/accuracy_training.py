"""Training of the accuracy model: few-shot results of a catalog in, predictor and scorecard out."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from advisor.accuracy.observations import Observations
from advisor.accuracy.predictor import ENGLISH, OTHER, AccuracyPredictor
from advisor.accuracy.scale import published_variance
from advisor.accuracy.traits import (
    group_of,
    traits_of_candidates,
    traits_of_workload,
    writing,
)
from advisor.evaluation import accuracy_metrics as metrics
from advisor.evaluation.accuracy import error_tables, headline
from advisor.evaluation.accuracy_predictions import (
    FULL,
    Scenario,
    fitted,
    held_out,
    usual_variance,
)
from advisor.evaluation.accuracy_tables import AccuracyRows
from catalog.accuracy import Accuracy, accuracy_digest
from catalog.snapshot import Snapshot

SOURCE = "mteb"
"""Results of one protocol: a logistic head on few texts per class."""
KS = (0, 1, 2, 3, 5)
PACKAGED = "minilm-l6-frozen-logistic"
"""The probe whose weights ship in a Python package."""
SHOWN = ("mae", "mae_clean", "coverage90", "width90", "kendall_tau", "n_workloads", "n_rows")
FEWEST_SHOWN = 3
"""Workloads of a task or language that a scorecard has a line of."""


def results(snapshot: Snapshot, without: Collection[str] = ()) -> list[Accuracy]:
    """Few-shot results, one of each candidate and workload: a run before the author's own figure.

    Args:
        snapshot: The catalog.
        without: Workloads that are left out, with all that share texts with them.
    """
    groups = {group_of(snapshot.workloads[name]) for name in without}
    found: dict[tuple[str, str], Accuracy] = {}
    for row in snapshot.accuracies.rows():
        if row.source != SOURCE or row.regime != "few-shot" or row.accuracy is None:
            continue
        facts = snapshot.workloads[row.workload]
        if facts.n_classes is None or group_of(facts) in groups:
            continue
        before = found.get((row.candidate, row.workload))
        if before is None or before.self_reported:
            found[row.candidate, row.workload] = row
    return list(found.values())


def digest(rows: Iterable[Accuracy]) -> str:
    """SHA-256 of what results say."""
    return hashlib.sha256("".join(map(accuracy_digest, rows)).encode()).hexdigest()


def observed(snapshot: Snapshot, without: Collection[str] = ()) -> AccuracyRows:
    """The results as a table with the traits of their candidates and workloads."""
    candidates = traits_of_candidates(snapshot.candidates)
    rows = [row for row in results(snapshot, without) if row.candidate in candidates.index]
    names = sorted({row.workload for row in rows})
    facts = {name: snapshot.workloads[name] for name in names}
    workloads = pd.concat([traits_of_workload(each) for each in facts.values()])

    def column(name: str) -> np.ndarray:
        cells = [getattr(row, name) for row in rows]
        return np.array([np.nan if cell is None else cell for cell in cells], dtype=float)

    accuracy = column("accuracy")
    reported = np.array([row.self_reported for row in rows])
    table = pd.DataFrame(
        {
            "model": [row.candidate for row in rows],
            "workload": [row.workload for row in rows],
            "group": [group_of(facts[row.workload]) for row in rows],
            "task": [facts[row.workload].task for row in rows],
            "language": [facts[row.workload].language or "en" for row in rows],
            "writing": [writing(facts[row.workload].language) for row in rows],
        }
    )
    noise = (column("accuracy_sd"), column("n_draws"), column("n_test"), reported)
    return AccuracyRows(
        table,
        Observations(
            candidates,
            workloads,
            candidates.index.get_indexer(pd.Index(table["model"])).astype(np.intp),
            workloads.index.get_indexer(pd.Index(table["workload"])).astype(np.intp),
            accuracy,
            published_variance(accuracy, *noise),
            np.array([row.contamination == "yes" for row in rows]),
            reported,
        ),
    )


def trained(
    snapshot: Snapshot, reach: Mapping[str, Mapping[int, float]], without: Collection[str] = ()
) -> AccuracyPredictor:
    """The predictor.

    Args:
        snapshot: The catalog.
        reach: Factors of intervals; see `scored`.
        without: Workloads that are left out, with all that share texts with them.
    """
    rows = observed(snapshot, without).observations
    learned = digest(results(snapshot, without))
    models = {language: fitted(rows, language, FULL) for language in (ENGLISH, OTHER)}
    rounded = {name: {k: float(f"{v:.6g}") for k, v in own.items()} for name, own in reach.items()}
    return AccuracyPredictor(models, rounded, usual_variance(rows), learned)


def scored(snapshot: Snapshot) -> tuple[dict[str, dict[int, float]], dict[str, Any]]:
    """Factors of intervals and scorecard, from data sets that are held out with their siblings."""
    data = observed(snapshot)
    scenarios = [Scenario("cheap", KS), Scenario("packaged", (1,), named=(PACKAGED,))]
    found = metrics.described(data, held_out(data, scenarios))
    usual = found[found["scenario"] == "cheap"]
    reach = {str(name): metrics.reach(own) for name, own in usual.groupby("writing")}
    tables = error_tables(data, metrics.calibrated(usual))
    alone = metrics.calibrated(found[found["scenario"] == "packaged"])
    card = {
        "learned_from": digest(results(snapshot)),
        "n_rows": len(data.table),
        "n_candidates": int(data.table["model"].nunique()),
        "n_workloads": int(data.table["workload"].nunique()),
        "english": tables["english"],
        "all": {name: tables[name] for name in ("probes", "baselines", "picks")},
        "packaged": {"candidate": PACKAGED, "probes": metrics.by_probes(headline(data, alone))},
        "by_task": _shown(tables["by_task"]),
        "by_language": _shown(tables["by_language"]),
    }
    return reach, card


def _shown(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The main figures of each task or language of several workloads."""
    return {
        name: {k: {key: own[key] for key in SHOWN if key in own} for k, own in by_k.items()}
        for name, by_k in tables.items()
        if any(own["n_workloads"] >= FEWEST_SHOWN for own in by_k.values())
    }
