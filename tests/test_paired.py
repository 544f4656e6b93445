"""Tests of `paired`: two candidates on the same items, against independent arithmetic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.estimator.estimator import load
from advisor.recommend.advisor import recommend
from advisor.recommend.paired import Table, mcnemar, newcombe, tabulate
from advisor.recommend.query import Query
from advisor.recommend.records import Recommendation
from catalog.predictions import Predictions, pack
from catalog.records import Candidate, Device, Measurement, Workload
from catalog.snapshot import Snapshot

ESTIMATOR = load()
N = 1000
tables = st.tuples(*[st.integers(0, 200)] * 4).filter(any).map(lambda cells: Table(*cells))


def scipy_exact(first: int, second: int) -> float:
    """The exact McNemar test as scipy's binomial test has it."""
    from scipy.stats import binomtest

    return float(binomtest(first, first + second, 0.5).pvalue) if first + second else 1.0


@settings(deadline=None)
@given(tables)
def test_mcnemar_is_the_binomial_test_of_what_differs(table: Table) -> None:
    """Two-sided, exact, never above 1."""
    assert mcnemar(table) == pytest.approx(scipy_exact(table.first, table.second), rel=1e-9)


def test_mcnemar_holds_for_thousands_of_items() -> None:
    """Where two to the power of minus n is no float any more."""
    assert mcnemar(Table(0, 2000, 2100, 0)) == pytest.approx(scipy_exact(2000, 2100), rel=1e-6)


def test_newcombe_by_hand() -> None:
    """Method 10 written out once more for 1,000 items, with the square roots spelt out."""
    both, first, second, neither = 780, 60, 40, 120
    n, z = 1000, 1.959963984540054

    def score(k: int) -> tuple[float, float]:
        p = k / n
        middle, half = 2 * k + z**2, z * math.sqrt(z**2 + 4 * k * (1 - p))
        return (middle - half) / (2 * (n + z**2)), (middle + half) / (2 * (n + z**2))

    p1, p2 = 0.84, 0.82
    (l1, u1), (l2, u2) = score(840), score(820)
    phi = (both * neither - first * second - n / 2) / math.sqrt(840 * 160 * 820 * 180)
    low = 0.02 - math.sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    high = 0.02 + math.sqrt((u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2)
    assert newcombe(Table(both, first, second, neither)) == pytest.approx((low, high), abs=1e-12)


@settings(deadline=None)
@given(tables)
def test_newcombe_holds_the_difference_and_turns_with_it(table: Table) -> None:
    """The interval contains the difference, lies in -1 to 1, and swaps with the candidates."""
    low, high = newcombe(table)
    assert -1 - 1e-9 <= low <= table.difference + 1e-12
    assert table.difference - 1e-12 <= high <= 1 + 1e-9
    swapped = Table(table.both, table.second, table.first, table.neither)
    assert newcombe(swapped) == pytest.approx((-high, -low), abs=1e-9)


def test_newcombe_covers_what_it_promises() -> None:
    """Over simulated test sets about 95 % of intervals hold the true difference."""
    rng = np.random.default_rng(1)
    chances = np.array([0.75, 0.08, 0.05, 0.12])
    hits = 0
    for cells in rng.multinomial(400, chances, size=2000):
        low, high = newcombe(Table(*cells.tolist()))
        hits += low <= chances[1] - chances[2] <= high
    assert 0.935 <= hits / 2000 <= 0.975


def test_pairing_is_sharper_than_two_intervals() -> None:
    """Two candidates that agree on most items differ detectably where their intervals overlap."""
    first = np.array([True] * 870 + [False] * 130)
    second = np.array([True] * 845 + [False] * 155)
    table = tabulate(first, second)
    assert table == Table(845, 25, 0, 130)
    low, _ = newcombe(table)
    assert low > 0


DEVICES = {"C": Device(name="C", kind="cpu", tdp_w=100.0)}
WORKLOADS = {"w": Workload(name="w", task="t", n_test=N)}
CANDIDATES = {
    name: Candidate(name=name, family="fine-tuned-encoder", n_parameters=1e6, checkpoint="o/m")
    for name in ("cheap", "dear", "best")
}
RNG = np.random.default_rng(3)
TRUTH = RNG.integers(0, 2, N)


def answers(share: float, seed: int) -> np.ndarray:
    """Answers of which exactly a share is right."""
    wrong = np.random.default_rng(seed).permutation(N)[: round(N * (1 - share))]
    found = TRUTH.copy()
    found[wrong] = 1 - found[wrong]
    return found


GIVEN = {"cheap": (0.88, 1), "dear": (0.885, 2), "best": (0.95, 3)}
JOULES = {"cheap": 10.0, "dear": 30.0, "best": 100.0}


def row(candidate: str, **values: Any) -> Measurement:
    """A measured row of a candidate in `GIVEN`."""
    joules = JOULES[candidate]
    cells: dict[str, Any] = {
        "run_id": "r",
        "source": "calibration",
        "workload": "w",
        "candidate": candidate,
        "device": "C",
        "scenario": "offline",
        "precision": "fp32",
        "n_items": 1000.0,
        "runtime_s": 1.0,
        "cpu_j": joules * 0.9,
        "cpu_label": "measured",
        "dram_j": joules * 0.1,
        "dram_label": "measured",
        "accuracy": float((answers(*GIVEN[candidate]) == TRUTH).mean()),
        "accuracy_split": "test",
        "n_test": N,
        "cv": 0.01,
    }
    return Measurement(**(cells | values))


def predicted(candidate: str, **values: Any) -> Predictions:
    """The answers of a candidate in `GIVEN`."""
    cells: dict[str, Any] = {
        "run_id": "r",
        "source": "calibration",
        "workload": "w",
        "candidate": candidate,
        "device": "C",
        "precision": "fp32",
        "test_sha256": "ab" * 32,
        "measured_at": "2026-11-20",
        "content": pack(
            [str(n) for n in TRUTH], [str(n) for n in answers(*GIVEN[candidate])], [0.5] * N
        ),
    }
    return Predictions(**(cells | values))


def ask(
    *predictions: Predictions, floor: float = 0.87, further: tuple[Measurement, ...] = ()
) -> Recommendation:
    """The answer where these predictions are known."""
    view = Snapshot(
        measurements=[*(row(name) for name in GIVEN), *further],
        devices=DEVICES,
        workloads=WORKLOADS,
        candidates=CANDIDATES,
        digest="d",
        predictions=predictions,
    )
    return recommend(view, ESTIMATOR, Query(task="t", min_acc=floor, device="C", confidence=0))


def test_an_answer_compares_the_chosen_option_item_by_item() -> None:
    """No detectable difference to a close one, a detectable one to the best; counts by hand."""
    answer = ask(*map(predicted, GIVEN))
    assert answer.chosen is not None
    assert answer.chosen.candidate == "cheap"
    best, dear = answer.comparisons
    assert (best.candidate, dear.candidate) == ("best", "dear")
    mine, theirs = answers(*GIVEN["cheap"]) == TRUTH, answers(*GIVEN["dear"]) == TRUTH
    assert dear.only_other_right == int((theirs & ~mine).sum())
    assert dear.only_chosen_right == int((mine & ~theirs).sum())
    assert dear.difference == pytest.approx(0.005)
    assert (dear.detectable, best.detectable) == (False, True)
    assert dear.p_value == pytest.approx(scipy_exact(dear.only_other_right, dear.only_chosen_right))
    assert dear.energy_share == pytest.approx(1 / 3)
    assert dear.energy_measured
    assert "no detectable difference" in dear.message
    assert "0.333 times its energy" in dear.message
    assert "more accurate by 7.0 points" in best.message


def test_without_answers_nothing_is_compared() -> None:
    """Missing predictions of either side stay missing; the answer itself is unchanged."""
    plain = ask()
    assert plain.comparisons == ()
    assert ask(predicted("dear")).comparisons == ()
    assert ask(predicted("cheap")).comparisons == ()
    assert ask(*map(predicted, GIVEN)).chosen == plain.chosen


def test_other_items_are_not_compared_but_said() -> None:
    """Answers to another test set end in a warning, not in a comparison."""
    answer = ask(predicted("cheap"), predicted("dear"), predicted("best", test_sha256="cd" * 32))
    assert [each.candidate for each in answer.comparisons] == ["dear"]
    (caution,) = [c for c in answer.warnings if c.code == "test-sets-differ"]
    assert "best" in caution.message


def test_answers_of_another_training_are_not_taken() -> None:
    """Their share of right ones is not the option's accuracy; an older fitting set is."""
    content = predicted("best").content
    other = predicted("cheap", run_id="later", measured_at="2026-11-21", content=content)
    assert ask(other, predicted("dear")).comparisons == ()
    assert len(ask(other, predicted("cheap"), predicted("dear")).comparisons) == 1
    half = predicted("cheap", precision="bf16")
    assert ask(half, predicted("dear")).comparisons == ()
