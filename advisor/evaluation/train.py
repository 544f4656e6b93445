"""Learning from the catalog: both regressions, what is remembered of machines, the scorecard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from advisor.estimator.artefact import REGIMES, Artefact, StaleEstimatorError, read, save
from advisor.estimator.features import FEATURES, MEANING
from advisor.estimator.imputation import imputation
from advisor.estimator.model import asked, fit, remembered
from advisor.estimator.training_rows import Rows, trained_runs, training_rows
from advisor.evaluation.cross_validation import (
    Fold,
    Prepared,
    Scored,
    Split,
    converted,
    draws,
    groups_of,
    known_devices,
    prepare,
    probed,
    scored,
)
from advisor.evaluation.metrics import grouped_quantile
from advisor.evaluation.scorecard import (
    PROBES,
    by_device,
    cross_validate,
    figures,
    from_others,
    points,
)
from catalog.snapshot import Snapshot

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


def _validated(prepared: Prepared) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """The splits of the scorecard and the reach of the intervals."""
    rows = prepared.rows
    splits: dict[str, Any] = {}
    held: dict[str, list[Fold]] = {}
    for name in SPLITS:
        if len(set(groups_of(rows, name))) > 1:
            splits[name], held[name] = cross_validate(prepared, name, PROBES)
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


def learn(snapshot: Snapshot) -> tuple[Artefact, dict[str, Any]]:
    """Fits the estimator and validates it on held-out devices, sources and models.

    Returns:
        The artefact and its scorecard.

    Raises:
        TooFewRowsError: Too little to learn from.
    """
    rows = training_rows(snapshot)
    stand_in = imputation(list(snapshot.devices.values()))
    prepared = prepare(rows, stand_in)
    splits, reach = _validated(prepared)
    fits = fit(prepared.known, prepared.unknown, rows.log_joules, rows.groupings(), rows.pairs)
    memory = remembered(fits, asked(fits, rows.setups, prepared.raw), rows.log_joules)
    artefact = Artefact(
        catalog_digest=snapshot.digest,
        features=list(FEATURES),
        meaning=MEANING,
        stand_in=stand_in,
        fits=fits,
        memory=memory,
        quantiles=reach,
        runs=trained_runs(snapshot),
        n_rows=len(rows.models),
        n_devices=len(set(rows.devices)),
        sources=sorted(set(rows.sources)),
    )
    return artefact, {
        "n_rows": artefact.n_rows,
        "n_devices": artefact.n_devices,
        "devices": sorted(set(rows.devices)),
        "sources": artefact.sources,
        "splits": splits,
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
