"""Tests of `catalog.quantity`: interval arithmetic against every combination of ends."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.quantity import UNKNOWN, ZERO, Quantity, total

positive = st.floats(0, 1e9)
signed = st.floats(-1e9, 1e9)


def between(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[Quantity]:
    """Quantities with both ends."""
    triples = st.lists(numbers, min_size=3, max_size=3)
    return triples.map(lambda found: Quantity(*sorted(found)))


def ends(quantity: Quantity) -> tuple[float, float]:
    """Both ends of a bounded quantity."""
    assert quantity.low is not None
    assert quantity.high is not None
    return quantity.low, quantity.high


@given(between(signed), between(signed))
def test_sums_and_differences_hold_every_combination(first: Quantity, second: Quantity) -> None:
    """The extreme combinations of ends are the ends of the result."""
    pairs = list(itertools.product(ends(first), ends(second)))
    assert ends(first + second) == (min(a + b for a, b in pairs), max(a + b for a, b in pairs))
    assert ends(first - second) == (min(a - b for a, b in pairs), max(a - b for a, b in pairs))


@given(between(signed), between(positive))
def test_a_product_holds_every_combination(saving: Quantity, factor: Quantity) -> None:
    """Also where an end is below 0, as that of a saving may be."""
    pairs = [a * b for a, b in itertools.product(ends(saving), ends(factor))]
    assert ends(saving * factor) == (min(pairs), max(pairs))


def test_an_exact_factor_scales_every_end() -> None:
    """A number is a factor without an interval, on either side."""
    assert Quantity(1, 2, 3) * 2 == 2 * Quantity(1, 2, 3) == Quantity(2, 4, 6)


def test_what_is_unknown_stays_unknown() -> None:
    """A missing end or value of one operand is missing in the result."""
    assert Quantity(1, 2, 3) + UNKNOWN == Quantity(1, None, None)
    assert Quantity(1, 2, 3) - UNKNOWN == Quantity(None, None, 3)
    assert Quantity(1, 2, 3) * UNKNOWN == Quantity(0, None, None)


def test_a_total_leaves_missing_values_out_and_stays_open_above() -> None:
    """The known values add up; the sum is bounded only where every part is."""
    assert total([Quantity(1, 2, 3), UNKNOWN]) == Quantity(1, 2, None)
    assert total([UNKNOWN]) == UNKNOWN
    assert total([]) == Quantity(0, None, 0)
    assert total([ZERO, Quantity(1, 2, 3)]) == Quantity(1, 2, 3)


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_an_exact_quantity_has_no_width(value: float) -> None:
    """Both ends are the value."""
    assert Quantity.exact(value) == Quantity(value, value, value)


@pytest.mark.parametrize("factor", [-1.0, Quantity(-1, 0, 1)])
def test_a_factor_below_zero_is_refused(factor: Quantity | float) -> None:
    """Its ends would be the wrong way round."""
    with pytest.raises(ValueError, match="0 or more"):
        Quantity(1, 2, 3) * factor
