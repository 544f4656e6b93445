"""Tests of `catalog.intervals` against published and independent figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from catalog.intervals import wilson, wilson_lower

sizes = st.integers(1, 5000)


@given(n=sizes, part=st.floats(0, 1), confidence=st.floats(0.5, 0.999))
def test_wilson_agrees_with_scipy(n: int, part: float, confidence: float) -> None:
    """The two-sided interval is the one scipy computes from counts."""
    right = round(part * n)
    theirs = binomtest(right, n).proportion_ci(confidence, method="wilson")
    low, high = wilson(right / n, n, confidence)
    assert low == pytest.approx(theirs.low, abs=1e-9)
    assert high == pytest.approx(theirs.high, abs=1e-9)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_newcombe(right: int, n: int, low: float, high: float) -> None:
    """The four worked examples of Newcombe (1998) come out to four digits."""
    assert wilson(right / n, n, 0.95) == pytest.approx((low, high), abs=6e-5)


@given(n=sizes, part=st.floats(0, 1), confidence=st.floats(0.5, 0.999))
def test_the_one_sided_bound_solves_the_score_equation(
    n: int, part: float, confidence: float
) -> None:
    """At the lower bound the observed share is exactly z standard errors away."""
    bound, z = wilson_lower(part, n, confidence), norm.ppf(confidence)
    assert 0 <= bound <= part + 1e-12
    if bound > 1e-9:
        gap = (part - bound) / math.sqrt(bound * (1 - bound) / n) if bound < 1 else z
        assert gap == pytest.approx(z, rel=1e-4, abs=1e-4)


@given(n=sizes, part=st.floats(0.01, 0.99))
def test_the_bound_tightens_with_more_texts_and_less_confidence(n: int, part: float) -> None:
    """More evidence or less caution never lowers the bound."""
    assert wilson_lower(part, 2 * n, 0.95) >= wilson_lower(part, n, 0.95)
    assert wilson_lower(part, n, 0.9) >= wilson_lower(part, n, 0.99)
    assert wilson_lower(part, n, 0.95) == pytest.approx(wilson(part, n, 0.9)[0])
