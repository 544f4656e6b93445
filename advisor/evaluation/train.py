"""Learning from the catalog: both regressions, what is remembered of machines, the scorecard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from advisor.estimator import power
from advisor.estimator.artefact import REGIMES, Artefact, StaleEstimatorError, read, save
from advisor.estimator.model import ask, fit, is_pass, remember
from advisor.estimator.runtime import cells, features
from advisor.estimator.training_rows import Rows, catalog_rows, joined, trained_runs
from advisor.evaluation import published_rows, ratios, runtime_evaluation, runtime_rows
from advisor.evaluation.cross_validation import (
    Fold,
    Scored,
    Split,
    converted,
    draws,
    groups_of,
    known_devices,
    probed,
    scored,
)
from advisor.evaluation.metrics import grouped_quantile
from advisor.evaluation.runtime_rows import RuntimeRows
from advisor.evaluation.scorecard import (
    PROBES,
    by_device,
    cross_validate,
    figures,
    from_others,
    points,
)
from catalog.reference_files import FOLDER
from catalog.snapshot import Snapshot

KNOWN = "known_runtime"
SPLITS: tuple[Split, ...] = ("device", "source", "model", "family")


def _quantile(rows: Rows, found: Scored, groups: Sequence[str]) -> float:
    """How many spreads reach to the end of the 90 % interval, every group weighing 1."""
    error = np.abs(found.log_predicted - rows.log_joules[found.index]) / found.spread
    if not len(error):
        return math.nan
    return round(grouped_quantile(error, [groups[i] for i in found.index]), 6)


def quantiles(rows: Rows, device: Sequence[Fold], source: Sequence[Fold]) -> dict[str, Any]:
    """The reach of the 90 % intervals by what is known of the machine.

    Args:
        rows: All rows.
        device: Folds without each device.
        source: Folds without each source.

    Returns:
        ``source``: neither device nor source is known; ``device``: the source is; ``1``, ``3``,
        ``5``: so many rows of the machine are, of a source nobody knew. Each with
        ``known_runtime`` and ``unknown_runtime``.
    """
    found: dict[str, dict[str, float]] = {name: {} for name in ("source", "device")}
    for kind, given in (("known_runtime", True), ("unknown_runtime", False)):
        found["source"][kind] = _quantile(rows, scored(source, given), rows.devices)
        found["device"][kind] = _quantile(rows, scored(device, given), rows.devices)
        for k in PROBES[1:]:
            after = probed(rows, source, draws(rows, k), given=given)
            found.setdefault(str(k), {})[kind] = _quantile(rows, after, rows.devices)
    return found


def known_machine(rows: Rows, model: Sequence[Fold]) -> dict[str, float]:
    """The reach for a candidate nobody measured on a machine that others were measured on."""
    kept = known_devices(rows, model)
    both = {"known_runtime": scored(model, True), "unknown_runtime": scored(model, False)}
    return {
        kind: _quantile(rows, found.take(kept[found.index]), rows.devices)
        for kind, found in both.items()
    }


def filled(reach: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Where the rows are too few for a regime, the one that knows less stands in."""
    filled: dict[str, dict[str, float]] = {}
    before: dict[str, float] = {}
    for name in REGIMES:
        own = reach.get(name, {})
        before = {
            kind: value if math.isfinite(value := own.get(kind, math.nan)) else before[kind]
            for kind in ("known_runtime", "unknown_runtime")
        }
        filled[name] = before
    return filled


def _validated(rows: Rows) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """The splits of the scorecard and the reach of the intervals."""
    splits: dict[str, Any] = {}
    held: dict[str, list[Fold]] = {}
    for name in SPLITS:
        if len(set(groups_of(rows, name))) > 1:
            splits[name], held[name] = cross_validate(rows, name, PROBES)
    found = scored(held["device"], given=True)
    reach = from_others(rows, rows.devices)(found, 0, True)
    splits["device"]["by_device"] = by_device(rows, found, reach)
    splits["device"]["points"] = points(rows, found, reach)
    again = converted(held["device"])
    if len(again.index):
        splits["device"]["other_scope"] = figures(rows, again, from_others(rows, rows.devices))
    widths = quantiles(rows, held["device"], held.get("source", held["device"]))
    if "model" in held:
        widths["model"] = known_machine(rows, held["model"])
    return splits, filled(widths)


def other_work(rows: Rows) -> RuntimeRows:
    """Runtimes of whole answers, classical models and process starts among measured energies."""
    chosen = rows.take(rows.once & ~is_pass(rows.profiles))
    return RuntimeRows(pd.DataFrame(chosen.profiles), chosen.log_seconds, [])


IN_THE_CATALOG = {
    "sashavor/co2_inference": "luccioni-2024",
    "ml-energy/leaderboard": "ml-energy-leaderboard",
    "mlcommons/cm4mlperf-results": "mlperf-inference-power",
    "JHA-Lab/protran": "protran-2022",
}
"""By source of the training tables: its name among the bundled measurements."""


def renamed(rows: Rows) -> Rows:
    """Rows with the names that the catalog has for their sources."""
    s = rows.setups
    sources = np.array([IN_THE_CATALOG.get(n, n) for n in s["source"].tolist()], dtype=object)
    parts = zip(sources.tolist(), s["device"].tolist(), s["scope"].tolist(), strict=True)
    units = np.array(["|".join(part) for part in parts], dtype=object)
    return msgspec.structs.replace(rows, setups=s | {"source": sources, "unit": units})


def training_data(snapshot: Snapshot) -> tuple[Rows, RuntimeRows]:
    """Energies and runtimes to learn from: the bundled tables and this catalog's own rows.

    Raises:
        TooFewRowsError: Too little to learn from.
    """
    folder = Path(str(FOLDER / "training"))
    energies = published_rows.read(folder / "energy.csv.gz")
    given = published_rows.read_devices(folder / "devices.csv.gz")
    machines = published_rows.machines(given, [energies], snapshot.devices.values())
    rows = published_rows.rows(published_rows.averaged(energies), machines)
    rows = renamed(rows)
    own = catalog_rows(snapshot, machines)
    published = runtime_rows.read(folder / "runtime.csv.gz", machines)
    return joined(rows, own), runtime_rows.measured(published)


def learn(snapshot: Snapshot) -> tuple[Artefact, dict[str, Any]]:
    """Fits the estimator and validates it on held-out devices, sources and models.

    Learns from the bundled training tables and from what this catalog measured beside them.

    Returns:
        The artefact and its scorecard.

    Raises:
        TooFewRowsError: Too little to learn from.
    """
    rows, published = training_data(snapshot)
    splits, reach = _validated(rows)
    _, intervals, held = runtime_evaluation.learn(published)
    _, other_intervals, _ = runtime_evaluation.learn(other_work(rows))
    model = fit(rows, (published.profiles, published.log_seconds))
    known = remember(ask(model, rows, np.ones(len(rows), dtype=bool)), rows.log_joules)
    numeric, timed = power.features(rows.setups), published.profiles
    artefact = Artefact(
        catalog_digest=snapshot.digest,
        features=list(power.FEATURES),
        model=model,
        known=known,
        quantiles={name: {KNOWN: own[KNOWN]} for name, own in reach.items()},
        intervals=intervals,
        other_intervals=other_intervals,
        low=[float(values.min()) for values in numeric.values()],
        high=[float(values.max()) for values in numeric.values()],
        runs=trained_runs(snapshot),
        n_rows=len(rows),
        n_devices=len(set(rows.devices)),
        sources=sorted(set(rows.sources)),
    )
    return artefact, {
        "n_rows": artefact.n_rows,
        "n_devices": artefact.n_devices,
        "devices": sorted(set(rows.devices)),
        "sources": artefact.sources,
        "splits": splits,
        "runtime": runtime_evaluation.scorecard(published, held),
        "ratios": ratios.table(timed, held["device"]),
        "cpu_libraries": ratios.bridged(features(timed), cells(timed), held),
    }


class WorseEstimatorError(RuntimeError):
    """The folder holds an estimator with a smaller error on unseen devices."""


def error_of(scorecard: dict[str, Any]) -> float:
    """Macro error on unseen devices, percent; what two estimators are compared by."""
    return float(scorecard["splits"]["device"]["known_runtime"]["estimator"]["mdape_macro_device"])


def _refuse_worse(folder: Path, scorecard: dict[str, Any]) -> None:
    """Raises where `folder` holds a usable estimator that errs less."""
    try:
        before = read(folder)[1]
    except StaleEstimatorError:
        return
    old, new = error_of(before), error_of(scorecard)
    if new > old:
        raise WorseEstimatorError(
            f"{folder} holds estimator {before['version']}, whose error on unseen devices is "
            f"{old:.1f} %; the new one's is {new:.1f} %. Write it elsewhere, or force it"
        )


def train(snapshot: Snapshot, out: Path, *, force: bool = False) -> dict[str, Any]:
    """Fits, validates and writes the artefact and its scorecard to the folder `out`.

    Raises:
        TooFewRowsError: Too little to learn from.
        WorseEstimatorError: `out` holds a better one, and `force` is not given.
    """
    with threadpool_limits(1):  # one thread: same sums in the same order, and faster at this size
        artefact, scorecard = learn(snapshot)
    if not force:
        _refuse_worse(out, scorecard)
    return save(out, artefact, scorecard)
