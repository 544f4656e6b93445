"""Rules of evidence: intervals, tiers, medians, discounts, label budgets, exclusions."""

from __future__ import annotations

import math
import statistics
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.accuracy import OWN_SPLIT, TRAIN_POOL, Accuracy
from catalog.evidence import (
    SELF_REPORT_DISCOUNT,
    SELF_REPORT_LOW,
    Z90,
    Evidence,
    Labels,
    across_task,
    below_on_most,
    combine,
    evidence,
    exclusion,
    for_labels,
    interval,
    reference_workload,
    wilson,
)
from catalog.quantisation import format_loss, quantised

shares = st.floats(0, 1)
sizes = st.integers(1, 100_000)


def row(value: float | None = 0.9, **more: Any) -> Accuracy:
    """One result on one workload."""
    given = {"candidate": "a", "workload": "w", "regime": "full", "source": "paper"}
    given |= {"n_test": 1000, "split": "test", "contamination": "no", "tier": "authors"}
    return Accuracy(**(given | {"accuracy": value} | more))  # type: ignore[arg-type]


def known(regime: str, value: float = 0.9, **more: Any) -> Evidence:
    """Evidence in one regime."""
    found = combine([row(value, regime=regime, **more)])
    assert found is not None
    return found


def test_wilson_is_the_textbook_interval() -> None:
    """Wilson is the textbook interval."""
    low, high = wilson(0.9, 100, 1.96)
    assert (low, high) == (pytest.approx(0.8256, abs=1e-4), pytest.approx(0.9448, abs=1e-4))


@given(shares, sizes, st.floats(0, 0.3))
def test_interval_holds_the_value_and_stays_a_share(value: float, n: int, sd: float) -> None:
    """Interval holds the value and stays a share."""
    low, high = interval(value, n, sd)
    assert 0 <= low <= value <= high <= 1


@given(shares, sizes, st.floats(0, 0.2))
def test_more_test_texts_and_less_spread_never_widen_it(value: float, n: int, sd: float) -> None:
    """More test texts and less spread never widen it."""
    low, high = interval(value, n, sd)
    narrow = interval(value, 4 * n, sd / 2)
    assert narrow[0] >= low - 1e-9
    assert narrow[1] <= high + 1e-9


def test_variances_of_test_and_draws_add_up() -> None:
    """Variances of test and draws add up."""
    low, _ = interval(0.8, 3080, 0.008)
    plain = 0.8 - wilson(0.8, 3080)[0]
    assert 0.8 - low == pytest.approx(math.hypot(plain, Z90 * 0.008))


def test_median_of_the_most_trusted_tier_with_its_spread() -> None:
    """Median of the most trusted tier with its spread."""
    values = (0.91, 0.93, 0.92)
    rows = [row(value, source=f"p{value}") for value in values]
    found = combine([*rows, row(0.5, tier="leaderboard"), row(0.99, tier="card")])
    assert found is not None
    assert found.value == statistics.median(values)
    assert found.spread == pytest.approx(statistics.stdev(values))
    assert (found.n_results, found.n_others, found.tier) == (3, 2, "authors")
    alone = combine(rows[:1])
    assert alone is not None
    assert alone.low is not None
    assert found.low is not None
    assert found.value - found.low > alone.value - alone.low


def test_the_suite_outweighs_every_publication() -> None:
    """The suite outweighs every publication."""
    found = combine([row(0.7, tier="suite", source="calibration"), row(0.95)])
    assert found is not None
    assert (found.value, found.basis) == (0.7, "measured")


def test_self_reports_enter_lower_with_a_low_end_below() -> None:
    """Self reports enter lower with a low end below."""
    found = combine([row(0.882, self_reported=True, tier="card", n_test=3080)])
    assert found is not None
    assert found.value == pytest.approx(0.882 - SELF_REPORT_DISCOUNT)
    assert found.low == pytest.approx(0.882 - SELF_REPORT_LOW)
    assert "self-reported" in found.warnings


def test_splits_that_differ_are_named_and_own_ones_are_no_evidence() -> None:
    """Splits that differ are named and own ones are no evidence."""
    found = combine([row(0.91, split="dev", n_test=872), row(0.92, split="test", n_test=1821)])
    assert found is not None
    assert "splits-differ" in found.warnings
    assert combine([row(0.99, split=OWN_SPLIT)]) is None


def test_own_splits_count_where_a_data_set_has_no_official_one() -> None:
    """Each keeps its own test size; the warning says that they differ."""
    rows = [row(0.97, split=OWN_SPLIT, n_test=1115)]
    found = combine(rows, own_splits=True)
    assert found is not None
    assert (found.low, found.high) == interval(0.97, 1115)
    assert "splits-differ" in found.warnings
    (listed,) = evidence(rows, own_splits=True)
    assert listed == found
    assert evidence(rows) == []


def test_test_texts_in_training_are_said() -> None:
    """A head whose training texts come from its test texts carries a warning."""
    found = combine([row(0.8, split=TRAIN_POOL)])
    assert found is not None
    assert "test-texts-in-training" in found.warnings


def test_less_trusted_results_stay_visible() -> None:
    """A better tier decides; the others stand beside it with source, tier, split and value."""
    found = combine([row(0.95, tier="suite", source="calibration"), row(0.9)])
    assert found is not None
    assert (found.value, found.basis, found.n_others) == (0.95, "measured", 1)
    assert found.others == ("paper (authors, test): 0.900",)


def test_training_on_a_fraction_is_another_training() -> None:
    """Training on a fraction is another training."""
    found = combine([row(0.9, n_train=8530), row(0.6, n_train=200)])
    assert found is not None
    assert (found.value, found.n_results) == (0.9, 1)
    alone = combine([row(0.6, n_train=200)])
    assert alone is not None
    assert alone.n_train == 200


def test_worst_contamination_of_the_tier_counts() -> None:
    """Worst contamination of the tier counts."""
    found = combine([row(0.9), row(0.91, contamination="possible")])
    assert found is not None
    assert found.contamination == "possible"
    assert "contamination-possible" in found.warnings


def test_unknown_test_size_has_no_interval_and_an_official_one_is_marked() -> None:
    """Unknown test size has no interval and an official one is marked."""
    unknown = combine([row(n_test=None, n_test_basis="unknown")])
    official = combine([row(n_test_basis="official")])
    assert unknown is not None
    assert official is not None
    assert (unknown.low, unknown.high) == (None, None)
    assert "test-size-unknown" in unknown.warnings
    assert "test-size-official" in official.warnings


def test_macro_f1_answers_apart_and_without_interval() -> None:
    """Macro-F1 answers apart and without interval."""
    rows = [row(None, macro_f1=0.7), row(0.9)]
    found = combine(rows, "macro_f1")
    assert found is not None
    assert (found.value, found.low, found.metric) == (0.7, None, "macro_f1")
    assert combine([rows[0]]) is None


def test_one_piece_of_evidence_for_each_setting_and_format() -> None:
    """One piece of evidence for each setting and format."""
    rows = [
        row(0.9),
        row(0.8, regime="few-shot", samples_per_label=8),
        row(0.85, regime="few-shot", samples_per_label=16),
        row(0.89, numeric_format="int8"),
    ]
    assert sorted(each.value for each in evidence(rows)) == [0.8, 0.85, 0.89, 0.9]


@pytest.mark.parametrize(
    ("labels", "regimes", "wanted"),
    [
        ("none", ["full", "few-shot", "zero-shot"], "zero-shot"),
        ("none", ["full", "few-shot"], None),
        ("few", ["full"], None),
        ("few", ["full", "few-shot", "zero-shot"], "few-shot"),
        ("few", ["full", "in-context"], "in-context"),
        ("full", ["few-shot", "full", "zero-shot"], "full"),
        ("full", ["lexicon"], "lexicon"),
    ],
)
def test_label_budget(labels: Labels, regimes: list[str], wanted: str | None) -> None:
    """Label budget."""
    more = {"few-shot": {"samples_per_label": 8}}
    found = for_labels([known(r, **more.get(r, {})) for r in regimes], labels)
    assert (found.regime if found else None) == wanted


def test_few_shot_is_a_marked_lower_figure_of_the_full_head() -> None:
    """Few shot is a marked lower figure of the full head."""
    heads = [known("few-shot", 0.7 + n / 100, samples_per_label=n) for n in (4, 8, 16)]
    full, few = for_labels(heads, "full"), for_labels(heads, "few")
    assert full is not None
    assert few is not None
    assert (full.samples_per_label, "full-not-measured" in full.warnings) == (16, True)
    assert (few.samples_per_label, "full-not-measured" in few.warnings) == (8, False)


def test_int8_costs_what_pairs_of_one_source_say() -> None:
    """Int8 costs what pairs of one source say."""
    pairs = [(0.92, 0.915), (0.91, 0.9), (0.9, 0.897)]
    rows = []
    for number, (plain, small) in enumerate(pairs):
        rows.append(row(plain, candidate=str(number)))
        rows.append(row(small, candidate=str(number), numeric_format="int8"))
    loss = format_loss(rows)
    assert loss is not None
    losses = [a - b for a, b in pairs]
    assert (loss.n, loss.n_candidates) == (3, 3)
    assert loss.mean == pytest.approx(statistics.fmean(losses))
    assert loss.sd == pytest.approx(statistics.stdev(losses))
    assert format_loss(rows[:4]) is None  # two pairs
    base = known("full")
    estimated = quantised(base, "int8", loss)
    assert estimated.basis == "estimated"
    assert "3 pairs of 3 candidates" in (estimated.detail or "")
    assert estimated.value == pytest.approx(base.value - loss.mean)
    assert base.low is not None
    assert estimated.low is not None
    assert estimated.value - estimated.low > base.value - base.low


def test_exclusions() -> None:
    """Exclusions."""
    good = known("full", 0.9)
    assert exclusion(good, obtainable=True, majority_share=0.5) is None
    assert exclusion(good, obtainable=False) == "not-obtainable"
    assert exclusion(good, obtainable=True, majority_share=0.89) == "below-majority-share"
    dirty = msgspec.structs.replace(good, contamination="yes")
    assert exclusion(dirty, obtainable=True) == "contaminated"
    doubtful = msgspec.structs.replace(good, contamination="unknown")
    assert exclusion(doubtful, obtainable=True) is None


def test_across_task_and_the_floor_on_most() -> None:
    """Across task and the floor on most."""
    values = {"a": 0.9, "b": 0.6, "c": 0.7}
    found = across_task(values)
    assert found is not None
    assert (found.n, found.median, found.min) == (3, 0.7, 0.6)
    assert below_on_most(values, 0.8)
    assert not below_on_most(values, 0.65)
    assert across_task({}) is None


@pytest.mark.parametrize(
    ("counts", "first", "wanted"),
    [
        ({"sst2": 99, "imdb": 222}, "sst2", ("sst2", None)),
        ({"sms": 7, "enron": 30}, "sms", ("enron", "sms")),
        ({"sms": 7, "enron": 12}, "sms", ("sms", None)),
        ({"a": 12, "b": 12}, None, ("a", None)),
        ({"a": 12}, "absent", ("a", "absent")),
    ],
)
def test_reference_workload(
    counts: dict[str, int], first: str | None, wanted: tuple[str, str | None]
) -> None:
    """Reference workload."""
    assert reference_workload(counts, first) == wanted
