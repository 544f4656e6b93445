"""Accuracies of held-out workloads by the model and by baselines, from k probes measured there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import pandas as pd

from advisor.accuracy.model import OTHER_LANGUAGES, AccuracyModel, learn
from advisor.accuracy.observations import Mask, Observations, Positions
from advisor.accuracy.records import Probe
from advisor.accuracy.scale import Array, sampling_variance, to_accuracy, to_logit
from advisor.evaluation.accuracy_tables import CHEAP, AccuracyRows
from advisor.evaluation.published_rows import BadTableError

FEWEST_MODELS = 20
"""Models a workload must have to be scored."""
FEWEST_WORKLOADS = 5
"""Workloads of a language that its baselines learn from; of fewer, from all languages."""
LARGE_GROUPS = 24
"""Groups held out alone; the others share `SHARED_FOLDS` folds."""
SHARED_FOLDS = 8
BASELINES = ("task_mean", "probe_mean", "probe_offset", "nearest_task")


class Variant(msgspec.Struct, frozen=True):
    """Which parts of the model are used.

    Attributes:
        side_information: Traits of candidates and workloads.
        other_languages: Workloads of other languages than the asked one.
        noise_model: Known noise of rows and probes.
    """

    side_information: bool = True
    other_languages: bool = True
    noise_model: bool = True


FULL = Variant()


class Scenario(msgspec.Struct, frozen=True):
    """Which probes there are.

    Attributes:
        name: How tables call it.
        ks: Numbers of probes.
        cheap: Most active parameters of a probe.
        named: Candidates that are the probes, in order; the most telling cheap ones by default.
        n_test: Test texts of each probe, simulated by binomial draws; ``None``: the published ones.
    """

    name: str
    ks: tuple[int, ...] = (0, 1, 3, 5)
    cheap: float = CHEAP
    named: tuple[str, ...] = ()
    n_test: int | None = None


def fitted(rows: Observations, language: str, variant: Variant) -> AccuracyModel:
    """The model for workloads of one language.

    Workloads of other languages count `OTHER_LANGUAGES` for English and alike for the others, of
    which each has few workloads.
    """
    alone = not variant.other_languages
    focus = language if alone or language == "en" else None
    return learn(
        rows,
        focus,
        others=0.0 if alone else OTHER_LANGUAGES,
        side_information=variant.side_information,
        noise_model=variant.noise_model,
    )


def folds(groups: Sequence[str], alone: int = LARGE_GROUPS) -> list[list[str]]:
    """Groups of data sets that are held out together: large ones alone, the others by turns."""
    counts = pd.Series(groups).value_counts()
    ordered = sorted(counts.index, key=lambda name: (-counts[name], name))
    shared = [ordered[alone + n :: SHARED_FOLDS] for n in range(SHARED_FOLDS)]
    return [*([name] for name in ordered[:alone]), *(part for part in shared if part)]


class Levels(msgspec.Struct, frozen=True):
    """Means of training rows on the logit scale: what the baselines use.

    Attributes:
        ability: Mean of each candidate's values less their workloads' means; 0 where it has none.
        level: Mean over workloads of their means.
        values: Candidates by workloads; NaN where there is none.
    """

    ability: Array
    level: float
    values: Array


def levels(rows: Observations) -> Levels:
    """Means of candidates and workloads."""
    values = np.full((len(rows.candidates), len(rows.workloads)), np.nan)
    chance = rows.chance()[rows.workload]
    values[rows.candidate, rows.workload] = to_logit(rows.accuracy, chance)
    seen = np.isfinite(values)
    filled = np.where(seen, values, 0.0)
    level = filled.sum(0) / np.maximum(seen.sum(0), 1)
    gaps = np.where(seen, values - level, 0.0).sum(1)
    return Levels(gaps / (seen.sum(1) + 1), float(level[seen.any(0)].mean()), values)


def same_language(rows: Observations, language: str) -> Observations:
    """Rows of workloads of one language that are not contaminated; of all where those are few."""
    own = (rows.workloads["language"] == language).to_numpy()[rows.workload] & ~rows.contaminated
    enough = len(np.unique(rows.workload[own])) >= FEWEST_WORKLOADS
    return rows.take(own if enough else ~rows.contaminated)


def baseline(
    name: str, known: Levels, asked: Positions, probes: Positions, measured: Array, chance: float
) -> Array:
    """Accuracies of candidates by one baseline; NaN where it needs probes and has none."""
    at = np.full(1, chance)
    if name == "task_mean":
        return np.full(len(asked), to_accuracy(np.full(1, known.level), at)[0])
    if name == "probe_mean":
        return np.full(len(asked), measured.mean() if len(probes) else np.nan)
    offset = known.level
    logits = to_logit(measured, at)
    if len(probes):
        offset = float((logits - known.ability[probes]).mean())
    if name == "probe_offset":
        return to_accuracy(known.ability[asked] + offset, at)
    return to_accuracy(_nearest(known, asked, probes, logits, offset), at)


def _nearest(
    known: Levels, asked: Positions, probes: Positions, logits: Array, offset: float
) -> Array:
    """Values on the workload where the probes' were most alike, shifted by the probes.

    Without probes, and for candidates without a value there, `offset` and the candidate's ability.
    """
    fallback = known.ability[asked] + offset
    if not len(probes):
        return fallback
    gaps = logits[:, None] - known.values[probes]
    shift = gaps.mean(0)
    usable = np.isfinite(shift) & (np.isfinite(known.values).sum(0) >= FEWEST_MODELS)
    if not usable.any():
        return fallback
    distance = np.where(usable, np.abs(gaps).mean(0), np.inf)
    best = int(np.argmin(distance))
    found = known.values[asked, best] + shift[best]
    return np.where(np.isfinite(found), found, fallback)


class Unit(msgspec.Struct, frozen=True):
    """One workload that is predicted: its rows, and which may be probes.

    Attributes:
        rows: Positions of its rows among all.
        cheap: Which of them may be probes.
    """

    rows: Positions
    cheap: Mask


def unit(data: AccuracyRows, workload: int, cheap: float = CHEAP) -> Unit:
    """Rows of one workload; probes are cheap, run (not self-reported) and not contaminated."""
    seen = data.observations
    rows = np.flatnonzero((seen.workload == workload) & data.measured())
    active = seen.candidates["n_active_parameters"].to_numpy(dtype=float)[seen.candidate[rows]]
    able = (active <= cheap) & ~seen.contaminated[rows] & ~seen.self_reported[rows]
    return Unit(rows, able)


def measured_probes(
    seen: Observations,
    rows: Positions,
    n_test: int | None = None,
    generator: np.random.Generator | None = None,
    *,
    noise_model: bool = True,
) -> list[Probe]:
    """Rows as probes; with `n_test` their accuracies are drawn anew on so many texts."""
    names = seen.candidates.index[seen.candidate[rows]]
    accuracy, variance = seen.accuracy[rows], seen.variance[rows]
    if n_test is not None and generator is not None:
        accuracy = generator.binomial(n_test, accuracy) / n_test
        variance = variance + sampling_variance(accuracy, np.full(len(rows), float(n_test)))
    if not noise_model:
        variance = np.zeros(len(rows))
    stated = zip(names, accuracy, variance, strict=True)
    return [Probe(str(name), float(value), float(noise)) for name, value, noise in stated]


def usual_variance(train: Observations) -> float:
    """Median noise variance of training rows: what a row to be predicted is assumed to have."""
    return float(np.median(train.variance[~train.self_reported]))


def probe_order(
    model: AccuracyModel, seen: Observations, workload: int, own: Unit, scenario: Scenario
) -> Positions:
    """Rows of a workload in the order in which they are probes.

    The named candidates, or those that leave least doubt: chosen before anything is measured there.
    """
    names = np.asarray(seen.candidates.index[seen.candidate[own.rows]], dtype=str)
    order = [*scenario.named]
    if not order:
        traits = seen.workloads.iloc[[workload]]
        able = names[own.cheap].tolist()
        order = model.choose_probes(traits, able, names.tolist(), max(scenario.ks))
    place = dict(zip(names, own.rows, strict=True))
    return np.array([place[name] for name in order if name in place], dtype=np.intp)


def predictions(
    model: AccuracyModel,
    train: Observations,
    data: AccuracyRows,
    workload: int,
    scenario: Scenario,
    *,
    noise_model: bool = True,
) -> Iterator[pd.DataFrame]:
    """Predictions of one held-out workload, for each k by the model and by the baselines."""
    seen, own = data.observations, unit(data, workload, scenario.cheap)
    traits, chance = seen.workloads.iloc[[workload]], float(seen.chance()[workload])
    order = probe_order(model, seen, workload, own, scenario)
    generator = np.random.default_rng(20260801 + workload)
    known = levels(same_language(train, str(traits["language"].iloc[0])))
    usual = usual_variance(train)
    for k in scenario.ks:
        if k > len(order):
            continue
        at = order[:k]
        probes = measured_probes(seen, at, scenario.n_test, generator, noise_model=noise_model)
        rest = own.rows[~np.isin(own.rows, at)]
        found = model.predict(
            traits,
            seen.candidates.index[seen.candidate[rest]].tolist(),
            probes,
            seen.contaminated[rest],
            seen.self_reported[rest],
            np.full(len(rest), usual),
        )
        given = np.array([probe.accuracy for probe in probes])
        probed = seen.candidate[at]
        by_baseline = {
            name: baseline(name, known, seen.candidate[rest], probed, given, chance)
            for name in BASELINES
        }
        columns = {"row": rest, "k": k, "accuracy": found.accuracy, "logit": found.logit}
        columns["spread"] = found.spread
        yield pd.DataFrame(columns | by_baseline).assign(scenario=scenario.name)


def held_out(
    data: AccuracyRows,
    scenarios: Sequence[Scenario],
    variant: Variant = FULL,
    languages: Sequence[str] | None = None,
    alone: int = LARGE_GROUPS,
) -> pd.DataFrame:
    """Predictions of every workload of at least `FEWEST_MODELS` models, its group held out.

    Args:
        data: All rows.
        scenarios: Which probes there are.
        variant: Which parts of the model are used.
        languages: Languages that are scored; all by default.
        alone: Number of groups that are held out alone.

    Returns:
        One line for each row (by position), scenario and k: the model's ``accuracy``, ``logit`` and
        ``spread``, and the baselines' accuracies.
    """
    seen, measured = data.observations, data.measured()
    groups = data.table["group"].to_numpy(dtype=str)
    spoken = seen.workloads["language"].to_numpy(dtype=str)
    count = np.bincount(seen.workload[measured], minlength=len(seen.workloads))
    scored = count >= FEWEST_MODELS
    if languages is not None:
        scored &= np.isin(spoken, languages)
    parts: list[pd.DataFrame] = []
    for names in folds(groups.tolist(), alone):
        inside = np.isin(groups, names)
        train = seen.take(~inside & measured)
        models: dict[str, AccuracyModel] = {}
        for j in np.unique(seen.workload[inside & scored[seen.workload]]):
            language = spoken[j] if spoken[j] == "en" or not variant.other_languages else "other"
            if language not in models:
                models[language] = fitted(train, language, variant)
            for scenario in scenarios:
                parts += predictions(
                    models[language],
                    train,
                    data,
                    int(j),
                    scenario,
                    noise_model=variant.noise_model,
                )
    if not parts:
        raise BadTableError(f"no workload has at least {FEWEST_MODELS} models with an accuracy")
    return pd.concat(parts, ignore_index=True)
