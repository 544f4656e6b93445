"""The error of the estimator and of every baseline on measured rows, split honestly.

Groups (devices, sources, models, model families) are held out whole. With k probe rows of a
held-out unit (a device in one scope as one source measured it), the estimator conditions its
deviation on them; the baselines are corrected by their mean log residual, shrunk. Probe rows are
drawn at random, or picked by the rule of `joulewise probes`. Energies of test rows are used for
scoring and for those probe rows, for nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from advisor.estimator.features import FEATURES, Array, Design, Mask, Positions, numbers
from advisor.estimator.imputation import Imputation
from advisor.estimator.model import (
    Asked,
    Deviations,
    Fits,
    Memory,
    Predicted,
    asked,
    covariance,
    designs,
    fit,
    predict,
    remembered,
)
from advisor.estimator.probe_selection import noise, picked
from advisor.estimator.setup import source_of_team
from advisor.estimator.training_rows import Rows
from advisor.evaluation.baselines import BASELINES, lightgbm_power
from advisor.evaluation.metrics import folds, many_folds

Split = Literal["device", "source", "model", "family"]
Draw = tuple[Positions, Positions]
"""Probe rows of one machine, and the rows of other models there that are scored."""
DRAWS = 20
MOST_PROBEABLE = 500
"""Rows of one machine among which probe rows are picked, as many of each model."""
SEED = 20250819
MODEL_FOLDS = 10
SHRINK = 0.2
"""Prior rows that a baseline's probe rows are weighed against."""
ENCODERS = (1e5, 1e9)
"""Parameters of an encoder, least and most."""
_GENERATORS = re.compile(r"gpt|bloom|t5|opt-|llama|bart|pegasus|\bled\b|ctrl", re.IGNORECASE)
"""Small models that generate text, by names in published tables; their sources flag large ones."""


class Prepared(msgspec.Struct, frozen=True):
    """Rows with everything that is computed once for all folds."""

    rows: Rows
    raw: Array
    known: Design
    unknown: Design

    def take(self, mask: Mask) -> Prepared:
        """The rows where `mask` holds."""
        return Prepared(
            self.rows.take(mask), self.raw[:, mask], self.known.take(mask), self.unknown.take(mask)
        )


def prepare(rows: Rows, stand_in: Imputation) -> Prepared:
    """Features of rows."""
    raw = numbers(rows.setups, stand_in)
    return Prepared(rows, raw, *designs(raw))


def family_of(model: str) -> str:
    """A model's family: the first word of its name, without the organisation."""
    last = model.split("/")[-1].lower()
    word = "".join(letter if letter.isalpha() else " " for letter in last).split()
    return word[0] if word else model


def groups_of(rows: Rows, split: Split) -> list[str]:
    """What is held out together."""
    if split == "family":
        return [family_of(model) for model in rows.models]
    if split == "source":
        return [source_of_team(team) for team in rows.sources]
    return rows.devices if split == "device" else rows.models


def encoders(rows: Rows) -> Mask:
    """Rows of encoders: neither text generators nor classical models nor beyond 1e9 parameters."""
    least, most = ENCODERS
    return np.array(
        [
            not (setup.llm or setup.classical)
            and setup.n_parameters is not None
            and least < setup.n_parameters < most
            and not _GENERATORS.search(model)
            for setup, model in zip(rows.setups, rows.models, strict=True)
        ]
    )


class Fold(msgspec.Struct, frozen=True):
    """Test rows of one fold with what was learned without them.

    Attributes:
        index: Positions of the test rows among all.
        asked: Their static part under `fits`.
        memory: What the training rows tell about their machines.
        sources: Sources the training rows came from.
        baselines: Log joules by every baseline, by name.
        energy: Measured log joules of the test rows; NaN where there are none.
    """

    index: Positions
    fits: Fits
    asked: Asked
    memory: Memory
    sources: frozenset[str]
    baselines: dict[str, Array]
    energy: Array

    def predicted(self, given: bool) -> Predicted:
        """The estimator's prediction of all test rows, with or without their runtimes."""
        runtime = np.full(len(self.index), given)
        return predict(self.fits, self.asked, Deviations(self.memory), runtime)

    def probed(self, probes: Positions, scored: Positions, given: bool) -> Predicted:
        """The prediction of some test rows once some others are measured."""
        own = remembered(self.fits, self.asked.take(probes), self.energy[probes])
        runtime = np.full(len(scored), given)
        memory = Deviations(self.memory.joined(own))
        return predict(self.fits, self.asked.take(scored), memory, runtime)


def learned(train: Prepared, test: Prepared, index: Positions) -> Fold:
    """Fits on training rows and everything the test rows are predicted from."""
    energy = train.rows.log_joules
    fits = fit(train.known, train.unknown, energy, train.rows.groupings(), train.rows.pairs)
    memory = remembered(fits, asked(fits, train.rows.setups, train.raw), energy)
    return Fold(
        index,
        fits,
        asked(fits, test.rows.setups, test.raw),
        memory,
        frozenset(train.rows.sources),
        _baselines(train, test),
        test.rows.log_joules,
    )


def _parameters(part: Prepared) -> Array:
    """Natural log of the parameters."""
    return part.known.X[:, FEATURES.index("log_parameters")]


def _baselines(train: Prepared, test: Prepared) -> dict[str, Array]:
    """Log joules of the test rows by every baseline."""
    log_seconds, watts = train.known.log_runtime_s, train.known.log_nominal_w
    found = {
        "lightgbm_power": lightgbm_power(
            train.known.X, train.rows.log_joules - log_seconds, train.rows.units
        )(test.known.X)
        + test.known.log_runtime_s
    }
    for name, baseline in BASELINES.items():
        method = baseline(log_seconds, _parameters(train), watts, train.rows.log_joules)
        found[name] = method(test.known.log_runtime_s, _parameters(test), test.known.log_nominal_w)
    return found


def _fold(training: Prepared, test: Prepared, index: Positions) -> Fold:
    """`learned` on one thread, wherever it runs: more would add up in another order."""
    with threadpool_limits(1):
        return learned(training, test, index)


def held_out(prepared: Prepared, split: Split) -> list[Fold]:
    """Every row's fold, fitted without its group.

    One after another, unless `joblib.parallel_config` names a backend and its jobs.
    """
    groups = groups_of(prepared.rows, split)
    parts = folds(groups) if split in ("device", "source") else many_folds(groups, MODEL_FOLDS)
    found: list[Fold] = Parallel()(
        delayed(_fold)(prepared.take(training), prepared.take(test), np.flatnonzero(test))
        for _, training, test in parts
    )
    return found


def draws(rows: Rows, k: int) -> Iterator[Draw]:
    """For each unit of more than k + 1 models rows of k different ones, drawn `DRAWS` times."""
    units, models = np.asarray(rows.units, dtype=str), np.asarray(rows.models, dtype=str)
    generator = np.random.default_rng(SEED)
    for unit in sorted(set(rows.units)):
        own = np.flatnonzero(units == unit)
        names = np.unique(models[own])
        if len(names) <= k + 1:
            continue
        for _ in range(DRAWS if k else 1):
            chosen = generator.choice(names, k, replace=False) if k else names[:0]
            probes = [generator.choice(own[models[own] == name]) for name in chosen]
            yield np.array(probes, dtype=np.intp), own[~np.isin(models[own], chosen)]


def _by_turns(names: NDArray[np.str_]) -> Positions:
    """Positions of a row of each name, then of a second row of each, and so on."""
    _, codes, counts = np.unique(names, return_inverse=True, return_counts=True)
    turns = np.empty(len(names), dtype=np.intp)
    turns[np.argsort(codes, kind="stable")] = np.concatenate([np.arange(n) for n in counts])
    return np.argsort(turns, kind="stable")


def picks(rows: Rows, held: Sequence[Fold], k: int, given: bool) -> Iterator[Draw]:
    """For each held-out unit of more than k + 1 models the k rows that tell most of all its rows.

    By the rule of `joulewise probes`, before anything is measured there.

    Args:
        rows: All rows.
        held: Folds that hold out units whole.
        k: Probe rows.
        given: Whether the runtimes are known before.
    """
    units, models = (np.asarray(names, dtype=str) for names in (rows.units, rows.models))
    for fold in held:
        deviations = Deviations(fold.memory)
        for unit in sorted({*units[fold.index]}):
            own = np.flatnonzero(units[fold.index] == unit)
            names = models[fold.index[own]]
            if len({*names}) <= k + 1:
                continue
            places = _by_turns(names)[:MOST_PROBEABLE]
            known, every = np.full(len(places), given), np.ones(len(places), dtype=bool)
            doubt = covariance(fold.asked.take(own[places]), deviations, known)
            found = picked(doubt, noise(known), every, every, names[places].tolist(), k)
            chosen = places[[place for place, _ in found]]
            yield fold.index[own[chosen]], fold.index[own[~np.isin(names, names[chosen])]]


class Scored(msgspec.Struct, frozen=True):
    """Predictions of one method with the rows they belong to.

    Attributes:
        spread: Its standard deviation; 1 where the method knows none.
        draw: Which draw of probe rows they were made with; 0 without probe rows.
    """

    index: Positions
    log_predicted: Array
    spread: Array
    draw: Positions

    def take(self, wanted: Mask) -> Scored:
        """The predictions where `wanted` holds."""
        return Scored(
            self.index[wanted], self.log_predicted[wanted], self.spread[wanted], self.draw[wanted]
        )


def _joined(parts: Sequence[tuple[Positions, Array, Array]], *, draws: bool = True) -> Scored:
    """Many predictions as one, each part a draw of its own where there are `draws`."""
    none = np.array([], dtype=np.intp)
    if not parts:
        return Scored(none, np.array([]), np.array([]), none)
    index, log, spread = (np.concatenate(column) for column in zip(*parts, strict=True))
    sizes = [len(part[0]) for part in parts]
    return Scored(index, log, spread, np.repeat(np.arange(len(parts)) * draws, sizes))


def scored(held: Sequence[Fold], given: bool) -> Scored:
    """The estimator's predictions of every held-out row."""
    parts = []
    for fold in held:
        found = fold.predicted(given)
        parts.append((fold.index, found.log_joules, found.spread))
    return _joined(parts, draws=False)


def scored_baseline(held: Sequence[Fold], name: str) -> Scored:
    """A baseline's predictions of every held-out row."""
    parts = [(fold.index, fold.baselines[name], np.ones(len(fold.index))) for fold in held]
    return _joined(parts, draws=False)


def _within(fold: Fold, n: int) -> Positions:
    """Position of each row among the fold's own; -1 where it is not one of them."""
    positions = np.full(n, -1, dtype=np.intp)
    positions[fold.index] = np.arange(len(fold.index))
    return positions


def probed(
    rows: Rows, held: Sequence[Fold], drawn: Iterable[Draw], *, given: bool = True
) -> Scored:
    """The estimator's predictions once the probe rows of the same unit are measured."""
    places = [_within(fold, len(rows.models)) for fold in held]
    parts = []
    for probes, rest in drawn:
        for fold, place_of in zip(held, places, strict=True):
            own, others = place_of[probes], place_of[rest]
            if len(own) and (own < 0).any():
                continue
            inside = others >= 0
            if inside.any():
                found = fold.probed(own, others[inside], given)
                parts.append((rest[inside], found.log_joules, found.spread))
    return _joined(parts)


def converted(held: Sequence[Fold]) -> Scored:
    """Predictions, runtimes given, of machines that are known in another scope alone.

    Args:
        held: Folds without each device.
    """
    parts = []
    for fold in held:
        machines, devices = (np.asarray(n) for n in (fold.asked.machines, fold.asked.devices))
        for name in sorted({*fold.asked.machines}):
            own = np.flatnonzero(machines == name)
            others = np.flatnonzero((devices == devices[own[0]]) & (machines != name))
            if len(others):
                found = fold.probed(others, own, given=True)
                parts.append((fold.index[own], found.log_joules, found.spread))
    return _joined(parts)


def probed_baseline(rows: Rows, held: Sequence[Fold], name: str, drawn: Iterable[Draw]) -> Scored:
    """A baseline's predictions, shifted by the mean log residual of the same probe rows."""
    values = scored_baseline(held, name)
    log = np.full(len(rows.models), np.nan)
    log[values.index] = values.log_predicted
    parts = []
    for probes, rest in drawn:
        shift = float(np.sum(rows.log_joules[probes] - log[probes]) / (len(probes) + SHRINK))
        parts.append((rest, log[rest] + shift, np.ones(len(rest))))
    return _joined(parts)


def known_devices(rows: Rows, held: Sequence[Fold]) -> Mask:
    """Rows whose device other training rows know: what a held-out model is asked about."""
    known = np.zeros(len(rows.models), dtype=bool)
    for fold in held:
        known[fold.index] = [name in fold.memory.time for name in fold.asked.devices]
    return known
