"""Joules from power samples and from cumulative series: recomputed, and never 0 or less."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.meters.integration import cumulative_j, integrated_j, joules_between
from calibration.meters.meter import CounterError


def test_trapezoids_add_up() -> None:
    """100 W for half a second, then a rise to 300 W in another half."""
    assert integrated_j([(0.0, 100.0), (0.5, 100.0), (1.0, 300.0)]) == pytest.approx(150.0)
    assert cumulative_j([(0.0, 100.0), (0.5, 100.0), (1.0, 300.0)]) == [
        (0.0, 0.0),
        (0.5, 50.0),
        (1.0, 150.0),
    ]


def test_ends_of_a_window_lie_between_samples() -> None:
    """At 50 W a window of 1.3 s holds 65 J, wherever the samples are."""
    series = [(0.4 * n, 1000.0 + 50.0 * 0.4 * n) for n in range(8)]
    assert joules_between(series, 0.7, 2.0, "meter") == pytest.approx(65.0)


def test_a_window_between_two_samples_has_their_power() -> None:
    """Both ends are in one step of the series."""
    assert joules_between([(0.0, 0.0), (1.0, 80.0)], 0.25, 0.5, "meter") == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("series", "why"),
    [
        ([(0.6, 0.0), (1.0, 9.0), (2.0, 20.0)], "before the window began"),
        ([(0.0, 0.0), (1.0, 9.0)], "after the window ended"),
        ([], "before the window began"),
        ([(0.0, 0.0), (2.5, 20.0)], "less than once in 1 s"),
        ([(0.0, 50.0), (1.0, 60.0), (1.8, 3.0)], "was reset"),
        ([(0.0, 50.0), (1.0, 50.0), (1.8, 50.0)], "did not move"),
        ([(0.0, 50.0), (1.0, 60.0), (0.9, 61.0), (1.8, 70.0)], "time went backwards"),
    ],
)
def test_a_bad_series_is_no_energy(series: list[tuple[float, float]], why: str) -> None:
    """Each kind of fault has its reason."""
    with pytest.raises(CounterError, match=why):
        joules_between(series, 0.5, 1.5, "meter")


@given(
    series=st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1e6)), max_size=12),
    begin=st.floats(0, 5),
    seconds=st.floats(0.01, 5),
)
def test_no_series_gives_zero_or_less(
    series: list[tuple[float, float]], begin: float, seconds: float
) -> None:
    """Any series: positive joules no larger than its span, or a reason."""
    with contextlib.suppress(CounterError):
        joules = joules_between(series, begin, begin + seconds, "meter")
        values = [value for _, value in series]
        assert 0 < joules <= (max(values) - min(values)) * (1 + 1e-9) + 1e-9
