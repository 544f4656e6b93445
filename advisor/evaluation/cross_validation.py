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

from advisor.estimator.machine_effects import TIME, Known, Positions, noise
from advisor.estimator.model import Asked, Model, Predicted, ask, covariance, fit, predict, remember
from advisor.estimator.probe_selection import picked
from advisor.estimator.setup import source_of_team
from advisor.estimator.table import Array, Mask
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
    setups = rows.setups
    sized = (setups["parameters"] > least) & (setups["parameters"] < most)
    network = ~(setups["llm"] | setups["classical"] | setups["parameters_assumed"]) & sized
    generates = [bool(_GENERATORS.search(model)) for model in rows.models]
    return np.asarray(network & ~np.array(generates, dtype=bool))


class Fold(msgspec.Struct, frozen=True):
    """Test rows of one fold with what was learned without them.

    Attributes:
        index: Positions of the test rows among all.
        model: Both models, fitted without them.
        timed: The test rows with their runtimes; `untimed` without.
        known: What the training rows tell about their machines.
        sources: Sources the training rows came from.
        baselines: Log joules by every baseline, by name.
        energy: Measured log joules of the test rows; NaN where there are none.
    """

    index: Positions
    model: Model
    timed: Asked
    untimed: Asked
    known: Known
    sources: frozenset[str]
    baselines: dict[str, Array]
    energy: Array

    def asked(self, given: bool) -> Asked:
        """The test rows with or without their runtimes."""
        return self.timed if given else self.untimed

    def predicted(self, given: bool) -> Predicted:
        """The estimator's prediction of all test rows, with or without their runtimes."""
        return predict(self.asked(given), self.known)

    def probed(self, probes: Positions, scored: Positions, given: bool) -> Predicted:
        """The prediction of some test rows once some others are measured."""
        own = remember(self.timed.take(probes), self.energy[probes])
        return predict(self.asked(given).take(scored), self.known.joined(own))


def learned(train: Rows, test: Rows, index: Positions) -> Fold:
    """Fits on training rows and everything the test rows are predicted from."""
    model = fit(train)
    every = np.ones(len(train), dtype=bool)
    own = np.ones(len(test), dtype=bool)
    return Fold(
        index,
        model,
        ask(model, test, own),
        ask(model, test, ~own),
        remember(ask(model, train, every), train.log_joules),
        frozenset(train.sources),
        _baselines(train, test),
        test.log_joules,
    )


def _baselines(train: Rows, test: Rows) -> dict[str, Array]:
    """Log joules of the test rows by every baseline."""

    def logs(rows: Rows) -> tuple[Array, Array, Array]:
        columns = (np.log(rows.setups[name].astype(float)) for name in _BASIC)
        seconds, parameters, watts = columns
        return seconds, parameters, watts

    known, asked = logs(train), logs(test)
    found = {"lightgbm_power": lightgbm_power(train, test) + asked[0]}
    for name, baseline in BASELINES.items():
        found[name] = baseline(*known, train.log_joules)(*asked)
    return found


_BASIC = ("runtime_s", "parameters", "nominal_w")
"""What the simple baselines read."""


def _fold(train: Rows, test: Rows, index: Positions) -> Fold:
    """`learned` on one thread, wherever it runs: more would add up in another order."""
    with threadpool_limits(1):
        return learned(train, test, index)


def held_out(rows: Rows, split: Split) -> list[Fold]:
    """Every row's fold, fitted without its group.

    One after another, unless `joblib.parallel_config` names a backend and its jobs.
    """
    groups = groups_of(rows, split)
    parts = folds(groups) if split in ("device", "source") else many_folds(groups, MODEL_FOLDS)
    found: list[Fold] = Parallel()(
        delayed(_fold)(rows.take(training), rows.take(test), np.flatnonzero(test))
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
        for unit in sorted({*units[fold.index]}):
            own = np.flatnonzero(units[fold.index] == unit)
            names = models[fold.index[own]]
            if len({*names}) <= k + 1:
                continue
            places = _by_turns(names)[:MOST_PROBEABLE]
            known, every = np.full(len(places), given), np.ones(len(places), dtype=bool)
            doubt = covariance(fold.asked(given).take(own[places]), fold.known)
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
        parts.append((fold.index, found.log_joules, spread_of(found)))
    return _joined(parts, draws=False)


def spread_of(found: Predicted) -> Array:
    """Standard deviation of log joules, the runtime's included where it is estimated."""
    return np.hypot(found.spread, (1 + found.slope) * TIME.total * found.time_spread)


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
                parts.append((rest[inside], found.log_joules, spread_of(found)))
    return _joined(parts)


def converted(held: Sequence[Fold]) -> Scored:
    """Predictions, runtimes given, of machines that are known in another scope alone.

    Args:
        held: Folds without each device.
    """
    parts = []
    for fold in held:
        devices = fold.timed.devices
        scopes = np.array([unit.rsplit("|", 1)[-1] for unit in fold.timed.units], dtype=object)
        machines = np.array([f"{d}|{s}" for d, s in zip(devices, scopes, strict=True)])
        for name in sorted({*machines.tolist()}):
            own = np.flatnonzero(machines == name)
            others = np.flatnonzero((devices == devices[own[0]]) & (machines != name))
            if len(others):
                found = fold.probed(others, own, given=True)
                parts.append((fold.index[own], found.log_joules, spread_of(found)))
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
        known[fold.index] = np.isin(fold.timed.devices, fold.known.devices)
    return known
