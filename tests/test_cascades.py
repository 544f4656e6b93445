"""Tests of `cascades`: recomputed by brute force, honest about what was chosen on what."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.estimator.estimator import load
from advisor.recommend.advisor import Advisor
from advisor.recommend.cascades import curve, halves, threshold
from advisor.recommend.query import Query
from advisor.recommend.records import Cascade, Recommendation
from api.cli.answer import print_answer
from api.pages import wording
from api.pages.templating import environment
from catalog.intervals import wilson, wilson_lower
from catalog.predictions import Predictions, pack
from catalog.records import Candidate, Device, Measurement, Workload
from catalog.snapshot import Snapshot

ESTIMATOR = load()
N = 2000
RNG = np.random.default_rng(11)
TRUTH = RNG.integers(0, 2, N)
SURE = np.round(RNG.uniform(0.5, 1.0, N), 3).astype(np.float32)
RIGHT = {
    "cheap": RNG.random(N) < SURE,  # sure answers are right more often
    "dear": RNG.random(N) < 0.93,
    "other": RNG.random(N) < 0.9,
}
JOULES = {"cheap": 2.0, "dear": 100.0, "other": 40.0}
FLOORS = [n / 100 for n in range(70, 96)]


@given(
    st.lists(
        st.tuples(st.integers(0, 5).map(lambda n: n / 5), st.booleans(), st.booleans()),
        min_size=1,
        max_size=40,
    ),
    st.integers(0, 40),
)
def test_the_threshold_is_the_lowest_that_is_enough(
    items: list[tuple[float, bool, bool]], wanted: int
) -> None:
    """Brute force over every distinct score and infinity."""
    score, first, second = (np.array(column) for column in zip(*items, strict=True))
    found = threshold(curve(score.astype(np.float32), first, second), wanted)
    enough = [
        cut
        for cut in [*sorted({np.float32(s) for s in score}), math.inf]
        if np.where(score.astype(np.float32) < cut, second, first).sum() >= wanted
    ]
    assert found == (min(enough) if enough else None)


def test_halves_are_halves_and_always_the_same() -> None:
    """Drawn, not even against odd, and without chance from call to call."""
    side = halves(101)
    assert side.sum() == 50
    assert (side == halves(101)).all()
    assert not (side[:100] == np.tile([True, False], 50)).all()


def row(candidate: str, device: str = "C", **values: Any) -> Measurement:
    """A measured row of a candidate in `RIGHT`."""
    joules = JOULES[candidate]
    cells: dict[str, Any] = {
        "run_id": "r",
        "source": "calibration",
        "workload": "w",
        "candidate": candidate,
        "device": device,
        "scenario": "offline",
        "precision": "fp32",
        "batch_size": 32.0,
        "n_items": 1000.0,
        "runtime_s": joules / 50,
        "latency_p95_ms": joules,
        "peak_memory_mb": 1000.0,
        "cpu_j": joules * 0.9,
        "cpu_label": "measured",
        "dram_j": joules * 0.1,
        "dram_label": "measured",
        "accuracy": float(RIGHT[candidate].mean()),
        "accuracy_split": "test",
        "n_test": N,
        "cv": 0.01,
    }
    return Measurement(**(cells | values))


def predicted(candidate: str, scored: bool = True, **values: Any) -> Predictions:
    """The answers of a candidate in `RIGHT`."""
    said = np.where(RIGHT[candidate], TRUTH, 1 - TRUTH)
    score = (SURE if candidate == "cheap" else np.full(N, 0.9)).tolist() if scored else None
    cells: dict[str, Any] = {
        "run_id": "r",
        "source": "calibration",
        "workload": "w",
        "candidate": candidate,
        "device": "C",
        "precision": "fp32",
        "test_sha256": "ab" * 32,
        "measured_at": "2026-11-20",
        "content": pack([str(n) for n in TRUTH], [str(n) for n in said], score),
    }
    return Predictions(**(cells | values))


def advisor(*rows: Measurement, predictions: Any = None) -> Advisor:
    """An advisor on these rows and the answers of every candidate."""
    if predictions is None:
        predictions = [predicted(name) for name in RIGHT]
    devices = {n: Device(name=n, kind="cpu", tdp_w=100.0, memory_gb=64.0) for n in ("C", "D")}
    view = Snapshot(
        measurements=rows or [row("cheap"), row("dear")],
        devices=devices,
        workloads={"w": Workload(name="w", task="t", n_test=N)},
        candidates={
            n: Candidate(name=n, family="fine-tuned-encoder", n_parameters=1e6, checkpoint="o/m")
            for n in RIGHT
        },
        digest="d",
        predictions=predictions,
    )
    return Advisor(view, ESTIMATOR)


def ask(known: Advisor | None = None, **query: Any) -> Recommendation:
    """The answer at a floor only the dear candidate and cascades reach."""
    return (known or advisor()).recommend(
        Query(**({"task": "t", "min_acc": 0.88, "device": "C", "confidence": 0} | query))
    )


def only(answer: Recommendation) -> Cascade:
    """The one cascade of an answer."""
    (found,) = answer.cascades
    return found


def by_hand(floor: float) -> tuple[float, float, float]:
    """Accuracy, share handed on and joules, cross-fitted with plain loops."""
    side, cuts = halves(N), {}
    for half in (True, False):
        members = [n for n in range(N) if side[n] == half]
        for cut in sorted({*SURE[members].tolist(), math.inf}):
            right = sum(RIGHT["dear"][n] if SURE[n] < cut else RIGHT["cheap"][n] for n in members)
            if right / len(members) >= floor - 1e-12:
                cuts[half] = cut
                break
    handed = [n for n in range(N) if SURE[n] < cuts[not side[n]]]
    kept = set(handed)
    right = sum(RIGHT["dear" if n in kept else "cheap"][n] for n in range(N))
    share = len(handed) / N
    return right / N, share, JOULES["cheap"] + share * JOULES["dear"]


def test_a_cascade_that_wins_is_offered_and_chosen_stays_a_single_option() -> None:
    """Its figures are those of a computation by hand; `chosen` is what it is without it."""
    answer, plain = ask(), ask(advisor(predictions=[]))
    assert answer.chosen == plain.chosen
    assert answer.alternatives == plain.alternatives
    assert plain.cascades == ()
    found, (accuracy, share, joules) = only(answer), by_hand(0.88)
    assert (found.first.candidate, found.second.candidate) == ("cheap", "dear")
    assert found.accuracy.value == pytest.approx(accuracy)
    assert found.deferred == pytest.approx(share)
    assert found.energy_j_per_1000.value == pytest.approx(joules)
    assert found.saves == pytest.approx(1 - joules / JOULES["dear"])
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx(wilson(accuracy, N, 0.9))
    assert found.energy_j_per_1000.basis == "measured"


def test_the_interval_adds_ends_to_ends() -> None:
    """Energy intervals and that of the share handed on, without evening out."""
    answer = ask()
    found, chosen = only(answer), answer.chosen
    assert chosen is not None
    energy, dear = found.energy_j_per_1000, chosen.energy_j_per_1000
    low, high = wilson(found.deferred, N, 0.9)
    spread = 1.645 * 0.01
    assert (found.deferred_low, found.deferred_high) == pytest.approx((low, high))
    assert energy.low == pytest.approx(2 * math.exp(-spread) + low * (dear.low or 0))
    assert energy.high == pytest.approx(2 * math.exp(spread) + high * (dear.high or 0))


def test_the_accuracy_is_not_the_one_the_threshold_was_chosen_by() -> None:
    """Scores that say nothing gain nothing: over many draws the told accuracy is not flattered."""
    gaps = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        score = rng.random(400).astype(np.float32)
        first, second = rng.random(400) < 0.8, rng.random(400) < 0.8
        side = halves(400)
        own, other = (curve(score[h], first[h], second[h]) for h in (side, ~side))
        best = max(int(own.best[-1]), int(other.best[-1])) - 1
        cuts = (
            threshold(own, min(best, int(own.best[-1]))),
            threshold(other, min(best, int(other.best[-1]))),
        )
        assert cuts[0] is not None
        assert cuts[1] is not None
        handed = np.where(side, score < cuts[1], score < cuts[0])
        gaps.append(np.where(handed, second, first).mean() - 0.8)
    assert abs(np.mean(gaps)) < 0.01


@pytest.fixture(scope="module")
def known() -> Advisor:
    """All three candidates on one machine."""
    return advisor(row("cheap"), row("dear"), row("other"))


def test_raising_the_floor_never_lowers_the_energy(known: Advisor) -> None:
    """Neither of the chosen option nor of any one pair."""
    chosen: list[float] = []
    pairs: dict[tuple[str, str], list[float]] = {}
    for floor in FLOORS:
        answer = ask(known, min_acc=floor)
        if answer.chosen is not None:
            chosen.append(answer.chosen.energy_j_per_1000.value or 0)
        for each in answer.cascades:
            key = each.first.candidate, each.second.candidate
            pairs.setdefault(key, []).append(each.energy_j_per_1000.value or 0)
            assert each.accuracy.value >= floor
            assert answer.chosen is None or (each.saves or 0) > 0
    assert chosen == sorted(chosen)
    assert len(pairs) > 1
    for energies in pairs.values():
        assert energies == sorted(energies)


@settings(max_examples=25, deadline=None)
@given(floor=st.floats(0.5, 1), confidence=st.sampled_from([0.0, 0.8, 0.95]))
def test_a_cascade_meets_the_floor_it_is_offered_for(floor: float, confidence: float) -> None:
    """By the point value, or by the lower bound that was asked for; cheapest first."""
    answer = ask(KNOWN, min_acc=floor, confidence=confidence)
    energies = [each.energy_j_per_1000.value or 0 for each in answer.cascades]
    assert energies == sorted(energies)
    for each in answer.cascades:
        share = each.accuracy.value
        reached = share if confidence == 0 else wilson_lower(share, N, confidence)
        assert reached >= floor
        assert 0 < each.deferred < 1
        assert math.isfinite(each.threshold)


KNOWN = advisor(row("cheap"), row("dear"), row("other"))


def test_where_no_single_option_is_enough_a_cascade_may_be() -> None:
    """`chosen` stays null; the cascade says no saving, as there is nothing to compare with."""
    slow = advisor(row("cheap"), row("dear", licence=None, peak_memory_mb=3000.0))
    answer = ask(slow, max_memory_gb=3.5, min_acc=0.88)
    assert answer.chosen is not None
    assert answer.cascades == ()  # both together need 4 GB
    assert ask(slow, max_memory_gb=4.0, min_acc=0.88).cascades


def test_latency_counts_both_models() -> None:
    """A text handed on waits for both."""
    assert ask(max_latency_ms=102.0).cascades
    assert not ask(max_latency_ms=101.0).cascades


def test_only_comparable_figures_are_added_up() -> None:
    """Another device, another machine, or measured beside estimated make no cascade."""
    blank = dict.fromkeys(("cpu_j", "cpu_label", "dram_j", "dram_label"))
    assert not ask(advisor(row("cheap", "D"), row("dear"))).cascades
    assert not ask(advisor(row("cheap", host="one"), row("dear", host="two"))).cascades
    assert not ask(advisor(row("cheap", **blank), row("dear"))).cascades
    both = advisor(row("cheap", **blank), row("dear", **blank))
    assert only(ask(both)).energy_j_per_1000.basis != "measured"


def test_waiting_is_not_counted_twice() -> None:
    """At a request rate each option holds the whole machine's waiting: there is no cascade."""
    alone = advisor(*(row(name, scenario="single", batch_size=1.0) for name in ("cheap", "dear")))
    assert only(ask(alone, scenario="single"))
    answer = ask(alone, scenario="server", rate=0.5)
    assert answer.chosen is not None
    assert answer.chosen.candidate == "dear"
    assert not answer.cascades


def test_without_scores_or_on_other_items_there_is_none() -> None:
    """A candidate that cannot say how sure it is hands nothing on."""
    silent = [predicted("cheap", scored=False), predicted("dear")]
    assert not ask(advisor(predictions=silent)).cascades
    other = [predicted("cheap"), predicted("dear", test_sha256="cd" * 32)]
    assert not ask(advisor(predictions=other)).cascades


def test_the_encoded_answer_is_the_record() -> None:
    """What the service sends holds the same comparisons and cascades."""
    query = Query(task="t", min_acc=0.88, device="C", confidence=0)
    sent = msgspec.json.decode(KNOWN.encode(query))
    assert sent == msgspec.json.decode(msgspec.json.encode(KNOWN.recommend(query)))
    assert sent["cascades"]
    assert sent["comparisons"]


def test_page_and_terminal_tell_comparisons_and_cascades_in_the_same_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every sentence stands on the page; the terminal has the first ones; nothing where none is."""
    monkeypatch.setenv("COLUMNS", "400")
    answer = ask(KNOWN)
    shown = environment().get_template("answer.html").module
    page = str(shown.paired(answer))  # type: ignore[attr-defined]
    said = [wording.comparison(each) for each in answer.comparisons]
    said += [wording.cascade(each) for each in answer.cascades]
    assert len(said) >= 2
    assert all(str(wording.escape(sentence)) in page for sentence in said)
    assert said[0].endswith("McNemar test p under 0.001")
    print_answer(answer)
    printed = capsys.readouterr().out
    assert wording.comparison(answer.comparisons[0]) in printed
    assert wording.cascade(answer.cascades[0]) in printed
    assert not str(shown.paired(ask(advisor(predictions=[])))).strip()  # type: ignore[attr-defined]
