"""The accuracy model: what it recovers, what its intervals hold, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from accuracy_tables import PROBES, synthetic

from advisor.accuracy import artefact, similarity
from advisor.accuracy.learning_curve import Pair, gain, with_full_data
from advisor.accuracy.model import AccuracyModel, learn
from advisor.accuracy.observations import Observations, candidate_traits
from advisor.accuracy.records import Estimates, Probe, TooFewTextsError
from advisor.accuracy.scale import (
    published_variance,
    sampling_variance,
    slope,
    to_accuracy,
    to_logit,
)
from advisor.evaluation.accuracy_tables import groups_of, join, key_of

ASKED = 3
"""The workload that is held out."""


def observations(seed: int = 0) -> Observations:
    """All rows of a synthetic table."""
    rows, tasks, models = synthetic(seed)
    tasks = tasks.assign(group=groups_of(tasks), language_code="eng", writing="english")
    tasks.index = pd.Index(key_of(tasks))
    rows = rows.assign(workload=key_of(rows))
    return join(Path("rows.csv"), rows, Path("tasks.csv"), tasks, models).observations


def truth(seen: Observations) -> pd.Series:
    """Accuracies on the held-out workload, by candidate."""
    own = seen.workload == ASKED
    return pd.Series(seen.accuracy[own], index=seen.candidates.index[seen.candidate[own]])


def without(seen: Observations) -> AccuracyModel:
    """The model that never saw the workload."""
    return learn(seen.take(seen.workload != ASKED), "en")


def estimate(model: AccuracyModel, seen: Observations, probes: tuple[str, ...]) -> Estimates:
    """All candidates but the probes on the held-out workload."""
    true = truth(seen)
    given = [Probe(name, float(true[name]), 1e-5) for name in probes]
    others = [name for name in true.index if name not in PROBES]
    return model.predict(seen.workloads.iloc[[ASKED]], others, given)


def error(found: Estimates, seen: Observations) -> float:
    """Mean absolute error in points."""
    return 100 * float(np.abs(found.accuracy - truth(seen)[found.candidates]).mean())


def test_logit_above_chance_inverts_and_its_slope_is_the_derivative() -> None:
    """Logit above chance inverts and its slope is the derivative."""
    accuracy, chance = np.linspace(0.55, 0.98, 9), np.full(9, 0.5)
    assert to_accuracy(to_logit(accuracy, chance), chance) == pytest.approx(accuracy)
    step = 1e-6
    rise = to_logit(accuracy + step, chance) - to_logit(accuracy - step, chance)
    assert slope(accuracy, chance) == pytest.approx(rise / (2 * step), rel=1e-4)
    assert np.isfinite(to_logit(np.array([0.0, 1.0]), chance[:2])).all()


def test_noise_of_draws_falls_with_their_number_and_self_reports_are_doubted() -> None:
    """Noise of draws falls with their number and self reports are doubted."""
    accuracy, texts, no = np.full(3, 0.8), np.full(3, 1e9), np.zeros(3, dtype=bool)
    draws = np.array([1.0, 10.0, 40.0])
    variance = published_variance(accuracy, np.full(3, 0.02), draws, texts, no)
    assert variance == pytest.approx(0.02**2 / draws, rel=1e-3)
    doubted = published_variance(accuracy, np.full(3, 0.02), draws, texts, ~no)
    assert doubted - variance == pytest.approx([0.04**2] * 3)


def test_similarities_are_positive_definite_also_where_facts_are_missing() -> None:
    """Similarities are positive definite also where facts are missing."""
    table = pd.DataFrame({"model": ["a/x", "a/y", "b/z"], "release_date": ["2024-01-01", "", None]})
    traits = candidate_traits(table.assign(languages=["eng", None, "eng | deu"]))
    weights = similarity.CANDIDATE_FACTORS
    matrix = similarity.candidates(traits, traits, weights) + weights["own"] * np.eye(3)
    assert np.linalg.eigvalsh(matrix).min() > 0
    assert matrix[0, 1] > matrix[1, 2]


def test_a_base_model_chain_that_loops_ends() -> None:
    """A base model chain that loops ends."""
    table = pd.DataFrame({"model": ["a", "b", "c"], "adapted_from": ["b", "a", "b"]})
    assert set(candidate_traits(table)["base"]) <= {"a", "b"}


def test_probes_help_and_beat_their_mean() -> None:
    """Probes help and beat their mean."""
    errors: dict[int, list[float]] = {0: [], 1: [], 3: []}
    means = []
    for seed in range(4):
        seen = observations(seed)
        model = without(seen)
        for k, found in errors.items():
            found.append(error(estimate(model, seen, PROBES[:k]), seen))
        true = truth(seen)
        others = true[~true.index.isin(PROBES)]
        means.append(100 * float((others - true[[*PROBES]].mean()).abs().mean()))
    by_k = {k: np.mean(found) for k, found in errors.items()}
    assert by_k[3] < by_k[1] < by_k[0]
    assert by_k[3] < 0.5 * np.mean(means)


def test_intervals_hold_about_their_share_and_narrow_with_probes() -> None:
    """Intervals hold about their share and narrow with probes."""
    inside, widths = [], {0: [], 3: []}
    for seed in range(6):
        seen = observations(seed)
        model = without(seen)
        for k, found in widths.items():
            estimates = estimate(model, seen, PROBES[:k])
            found.append(float((estimates.high - estimates.low).mean()))
        true = truth(seen)[estimates.candidates].to_numpy()
        inside.append(((true >= estimates.low) & (true <= estimates.high)).mean())
        assert (estimates.low < estimates.bound).all()
        assert (estimates.bound < estimates.accuracy).all()
    assert 0.85 <= np.mean(inside) <= 1
    assert np.mean(widths[3]) < 0.7 * np.mean(widths[0])


def test_a_noisy_probe_moves_the_estimates_less() -> None:
    """A noisy probe moves the estimates less."""
    seen = observations()
    model, workload = without(seen), observations().workloads.iloc[[ASKED]]
    names = ["lab5/model-5", "lab6/model-6"]
    prior = model.predict(workload, names).logit
    moved = [
        np.abs(model.predict(workload, names, [Probe(PROBES[0], 0.97, v)]).logit - prior).mean()
        for v in (1e-6, 0.01, 0.1)
    ]
    assert moved[0] > moved[1] > moved[2]


def test_the_order_of_rows_changes_nothing() -> None:
    """The order of rows changes nothing."""
    seen = observations()
    order = np.random.default_rng(1).permutation(len(seen.accuracy))
    shuffled = Observations(
        seen.candidates,
        seen.workloads,
        seen.candidate[order],
        seen.workload[order],
        seen.accuracy[order],
        seen.variance[order],
        seen.contaminated[order],
        seen.self_reported[order],
    )
    first, second = (estimate(without(rows), seen, PROBES) for rows in (seen, shuffled))
    assert first.accuracy == pytest.approx(second.accuracy, abs=1e-9)


def test_the_order_of_probes_changes_nothing() -> None:
    """The order of probes changes nothing."""
    seen = observations()
    model = without(seen)
    first, second = (estimate(model, seen, probes) for probes in (PROBES, PROBES[::-1]))
    assert first.accuracy == pytest.approx(second.accuracy, abs=1e-9)


def test_a_candidate_without_rows_is_estimated_with_more_doubt() -> None:
    """A candidate without rows is estimated with more doubt."""
    seen = observations()
    name = "lab5/model-5"
    at = int(seen.candidates.index.get_loc(name))
    workload, known = seen.workloads.iloc[[ASKED]], without(seen)
    unknown = learn(seen.take((seen.workload != ASKED) & (seen.candidate != at)), "en")
    widths = []
    for model in (known, unknown):
        found = model.predict(workload, [name])
        widths.append(float(found.spread[0]))
    assert widths[1] > widths[0]


def test_contaminated_candidates_are_left_out_and_their_excess_is_learned() -> None:
    """Contaminated candidates are left out and their excess is learned."""
    seen = observations()
    draw = np.random.default_rng(2)
    marked = draw.random(len(seen.accuracy)) < 0.15
    chance = seen.chance()[seen.workload]
    raised = to_accuracy(to_logit(seen.accuracy, chance) + 1.0 * marked, chance)
    rows = Observations(
        seen.candidates,
        seen.workloads,
        seen.candidate,
        seen.workload,
        raised,
        seen.variance,
        marked,
        seen.self_reported,
    )
    model = learn(rows, "en")
    assert model.contamination.intercept == pytest.approx(1.0, abs=0.35)
    workload, names = seen.workloads.iloc[[ASKED]], ["lab5/model-5"]
    clean = model.predict(workload, names)
    trained = model.predict(workload, names, contaminated=np.array([True]))
    assert trained.accuracy[0] > clean.accuracy[0]
    assert trained.spread[0] > clean.spread[0]


def test_chosen_probes_are_distinct_and_leave_less_doubt_than_the_last_ones() -> None:
    """Chosen probes are distinct and leave less doubt than the last ones."""
    seen = observations()
    model, workload = without(seen), observations().workloads.iloc[[ASKED]]
    names = [*map(str, seen.candidates.index)]
    chosen = model.choose_probes(workload, names, names, 3)
    assert len({*chosen}) == 3

    def doubt(probes: list[str]) -> float:
        given = [Probe(name, 0.8, 1e-4) for name in probes]
        return float(np.trace(model.place(workload, given).covariance))

    assert doubt(chosen) < doubt(model.choose_probes(workload, names[:3], names, 3)) + 1e-9
    assert model.choose_probes(workload, names[:2], names, 5).__len__() == 2


def test_own_probes_need_a_hundred_texts_and_a_possible_accuracy() -> None:
    """Own probes need a hundred texts and a possible accuracy."""
    probe = Probe.own("a", 0.8, 400)
    assert probe.variance == pytest.approx(sampling_variance(np.array([0.8]), np.array([400.0]))[0])
    with pytest.raises(TooFewTextsError, match="at least 100 are needed"):
        Probe.own("a", 0.8, 99)
    with pytest.raises(ValueError, match="allowed: 0 to 1"):
        Probe.own("a", 80, 400)


def test_unknown_candidates_are_named() -> None:
    """Unknown candidates are named."""
    seen = observations()
    with pytest.raises(KeyError, match="nobody/none"):
        without(seen).predict(seen.workloads.iloc[[ASKED]], ["nobody/none"])


def test_one_workload_is_too_few() -> None:
    """One workload is too few."""
    seen = observations()
    with pytest.raises(ValueError, match="at least 2 are needed"):
        learn(seen.take(seen.workload == ASKED))


def test_the_artefact_is_text_that_gives_the_same_estimates(tmp_path: Path) -> None:
    """The artefact is text that gives the same estimates."""
    seen = observations()
    model = without(seen)
    version = artefact.save(tmp_path / "accuracy.json", model)
    assert version == artefact.version_of(artefact.to_text(model))
    found = estimate(artefact.load(tmp_path / "accuracy.json"), seen, PROBES)
    assert found.accuracy == pytest.approx(estimate(model, seen, PROBES).accuracy, abs=1e-4)
    with pytest.raises(artefact.BadModelError, match="not an accuracy model"):
        artefact.from_text(b"{}")
    with pytest.raises(artefact.BadModelError, match="layout 99"):
        artefact.from_text(b'{"layout": 99}')


def test_full_training_data_add_the_probes_gain_with_more_doubt() -> None:
    """Full training data add the probes gain with more doubt."""
    seen = observations()
    few = estimate(without(seen), seen, PROBES)
    chance = float(seen.chance()[ASKED])
    at = np.full(3, chance)
    start = to_accuracy(np.array([0.0, 0.5, 1.0]), at)
    end = to_accuracy(np.array([0.6, 1.1, 1.6]), at)
    pairs = [Pair(float(a), float(b)) for a, b in zip(start, end, strict=True)]
    gained = gain(pairs, chance)
    assert gained.mean == pytest.approx(0.6)
    assert gained.sd < gain(pairs[:1], chance).sd
    full = with_full_data(few, gained, chance)
    assert full.logit - few.logit == pytest.approx([0.6] * len(few.candidates))
    assert (full.spread > few.spread).all()
    with pytest.raises(ValueError, match="at least 1 is needed"):
        gain([], chance)
