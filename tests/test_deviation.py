"""Tests of `advisor.deviation`: conditioning on rows, against sums worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.deviation import MOST_ROWS, OTHER_TEAM, POWER, Deviation, Known, thinned

HERE = np.zeros((1, 6))


def known(residual: list[float], source: str = "us", places: float = 0.0) -> Known:
    """Rows at one place."""
    n = len(residual)
    return Known([source] * n, np.full((n, 6), places), np.array(residual))


@given(residual=st.floats(-2, 2))
def test_one_row_is_believed_by_its_share_of_the_variance(residual: float) -> None:
    """At the same place: (offset + local) over all of it; far away the offset alone counts."""
    process = Deviation(known([residual]), POWER)
    shared, total = POWER.offset**2 + POWER.local**2, POWER.total**2
    mean, spread = process.at("us", HERE)
    assert mean[0] == pytest.approx(residual * shared / total)
    assert spread[0] == pytest.approx(np.sqrt(total - shared**2 / total))
    far, _ = process.at("us", HERE + 100)
    assert far[0] == pytest.approx(residual * POWER.offset**2 / total)


def test_more_rows_are_believed_more_and_leave_less_spread() -> None:
    """With every further row the mean nears what was seen and the spread falls, to the noise."""
    means, spreads = [], []
    for n in (1, 2, 5, 40):
        mean, spread = Deviation(known([1.0] * n), POWER).at("us", HERE)
        means.append(mean[0])
        spreads.append(spread[0])
    assert means == sorted(means)
    assert spreads == sorted(spreads, reverse=True)
    assert means[-1] == pytest.approx(1, abs=0.01)
    assert spreads[-1] >= POWER.noise


def test_rows_of_another_team_count_in_part() -> None:
    """What others saw on the device moves the mean by the correlation between teams."""
    process = Deviation(known([1.0], source="them"), POWER)
    (own,), _ = process.at("them", HERE)
    (other,), _ = process.at("us", HERE)
    assert other == pytest.approx(OTHER_TEAM * own)


def test_many_rows_are_thinned_evenly_and_repeats_count_once() -> None:
    """Of each source the most allowed are kept; equal rows are one."""
    random = np.random.default_rng(0)
    rows = Known(["a"] * 500 + ["b"] * 3, random.normal(size=(503, 6)), random.normal(size=503))
    kept = thinned(rows)
    assert kept.count("a") == MOST_ROWS
    assert kept.count("b") == 3
    assert np.mean(kept.residual) == pytest.approx(np.mean(rows.residual), abs=0.15)
    twice = rows.joined(rows)
    assert len(thinned(twice).sources) == len(kept.sources)
