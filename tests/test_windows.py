"""The protocol: windows that loop long enough, and statistics anybody can recompute."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.measurement.windows import (
    Window,
    batches,
    coefficient_of_variation,
    measure,
    run_window,
    spread_out,
    summarise,
    warm_up,
)
from calibration.meters.machine_meter import NullMeter, Reading, ReplayMeter
from calibration.records import PROFILES, Profile

TINY = Profile(name="tiny", window_s=1.0, repeats=3, warmup_s=0.5)


class FakeClock:
    """A clock that moves only when a prediction is made."""

    def __init__(self, per_text_s: float) -> None:
        self.now, self.per_text_s = 0.0, per_text_s
        self.calls: list[list[str]] = []

    def __call__(self) -> float:
        """The time."""
        return self.now

    def predict(self, texts: Sequence[str]) -> None:
        """Takes `per_text_s` for each text and remembers the call."""
        self.calls.append(list(texts))
        self.now += self.per_text_s * len(texts)


def test_a_window_loops_over_the_texts_until_it_is_long_enough() -> None:
    """Ten texts of 30 ms are gone through again and again, in the same order, for 1 s."""
    clock = FakeClock(0.03)
    calls = [[str(n), str(n + 1)] for n in range(0, 10, 2)]
    window = run_window(clock.predict, calls, 1.0, NullMeter(), clock)
    assert window.runtime_s >= 1.0
    assert window.runtime_s - window.calls_s[-1] < 1.0
    assert window.n_items == sum(map(len, clock.calls)) > 10
    assert clock.calls == [calls[n % 5] for n in range(len(clock.calls))]
    assert sum(window.calls_s) == pytest.approx(window.runtime_s)


def test_one_slow_call_is_a_whole_window() -> None:
    """A call longer than the window is not repeated."""
    clock = FakeClock(9.0)
    assert run_window(clock.predict, [["a"]], 1.0, NullMeter(), clock).n_items == 1


def test_a_window_is_closed_when_a_prediction_breaks() -> None:
    """The meter is stopped, whatever happens inside."""
    meter = ReplayMeter([{}])

    def broken(_: Sequence[str]) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        run_window(broken, [["a"]], 1.0, meter)
    assert meter.windows == 1


def test_no_window_is_shorter_than_the_meter_resolves() -> None:
    """A meter that needs 5 s gets 5 s."""
    clock, meter = FakeClock(0.1), NullMeter()
    meter.min_window_s = 5.0
    assert measure(clock.predict, ["a"] * 4, 2, TINY, meter, clock).runtime_s >= 5.0


def test_warming_up_ends_when_latency_is_steady() -> None:
    """A steady call needs five blocks, not the whole allowance."""
    clock = FakeClock(0.05)
    assert warm_up(clock.predict, ["a"], TINY, clock) == pytest.approx(0.25)


def test_warming_up_is_bounded() -> None:
    """A latency that never settles ends the warm-up after `warmup_s`."""
    clock = FakeClock(0.03)

    def wild(texts: Sequence[str]) -> None:
        clock.per_text_s = 0.14 - clock.per_text_s
        clock.predict(texts)

    assert 0.5 <= warm_up(wild, ["a"], TINY, clock) < 0.75


def test_every_candidate_sees_the_same_order() -> None:
    """The order is shuffled once and for all; nothing is lost and the last call may be short."""
    texts = [str(n) for n in range(70)]
    first = batches(texts, 32)
    assert first == batches(texts, 32)
    flat = list(chain.from_iterable(first))
    assert sorted(flat) == sorted(texts)
    assert flat != texts
    assert [len(call) for call in first] == [32, 32, 6]
    assert list(chain.from_iterable(batches(texts, 1))) == flat


def test_any_beginning_of_calls_of_like_length_represents_them_all() -> None:
    """Nothing is lost, a call's texts differ little in length, and long calls come anywhere."""
    texts = ["a" * (n * 37 % 200) for n in range(320)]
    calls = batches(texts, 32, by_length=True)
    assert sorted(chain.from_iterable(calls)) == sorted(texts)
    assert max(np.ptp([len(text) for text in call]) for call in calls) < 30
    means = [np.mean([len(text) for text in call]) for call in calls]
    assert np.mean(means[:5]) == pytest.approx(np.mean(means), rel=0.2)
    assert calls == batches(texts, 32, by_length=True)


@given(st.integers(0, 500))
def test_spread_out_is_a_permutation_without_gaps(n: int) -> None:
    """Every number once; those of any beginning leave no gap much above an even spread's."""
    order = spread_out(n)
    assert sorted(order) == list(range(n))
    for k in (5, 13, 40):
        if n >= 8 * k:
            ends = np.diff(sorted({0, n, *order[:k]}))
            assert ends.max() <= 4 * n / k


def window(n_items: int, calls_s: list[float], cpu_j: float | None = None) -> Window:
    """One window; `cpu_j` is measured."""
    parts = {} if cpu_j is None else {"cpu": (cpu_j, "measured")}
    return Window(n_items, float(sum(calls_s)), calls_s, Reading(parts))  # type: ignore[arg-type]


seconds = st.lists(st.floats(1e-4, 10), min_size=1, max_size=20)


@given(st.lists(st.tuples(st.integers(1, 500), seconds), min_size=3, max_size=3))
def test_summaries_equal_numpys(parts: list[tuple[int, list[float]]]) -> None:
    """Median, spread and percentiles are what numpy says they are."""
    windows = [window(n, calls) for n, calls in parts]
    found = summarise(windows)
    per_text = np.array([sum(calls) / n for n, calls in parts])
    every = np.concatenate([calls for _, calls in parts])
    assert found.runtime_s / found.n_items == pytest.approx(np.median(per_text))
    assert found.cv == pytest.approx(per_text.std(ddof=1) / per_text.mean(), abs=1e-9)
    for value, share in ((found.latency_p50_ms, 0.5), (found.latency_p95_ms, 0.95)):
        expected = np.quantile(every, share, method="inverted_cdf")
        assert value == pytest.approx(1000 * expected)
    assert found.repeats == 3
    assert found.components == {}


def test_joules_are_the_median_per_text() -> None:
    """Joules belong to the stored window: median J per text times its texts."""
    windows = [window(100, [1.0], 50.0), window(110, [1.0], 66.0), window(90, [1.0], 36.0)]
    found = summarise(windows)
    joules, label = found.components["cpu"]
    assert label == "measured"
    assert joules / found.n_items == pytest.approx(np.median([0.5, 0.6, 0.4]))


def test_the_stored_spread_is_the_larger_one() -> None:
    """Of time and of measured joules per text; joules of one window alone have no spread."""
    steady_time = [window(100, [1.0], joules) for joules in (10.0, 12.0, 10.0)]
    steady_joules = [window(100, [seconds], 10.0) for seconds in (1.0, 1.2, 1.0)]
    expected = np.std([10, 12, 10], ddof=1) / np.mean([10, 12, 10])
    assert summarise(steady_time).cv == pytest.approx(expected)
    assert summarise(steady_joules).cv == pytest.approx(expected)
    assert summarise([window(100, [1.0], 10.0), window(100, [1.0]), window(100, [1.0])]).cv == 0


def test_unsteady_windows_are_marked() -> None:
    """More than 5 % spread of time, or of measured energy, marks the row."""
    assert not summarise([window(100, [1.0], 10.0)] * 3).unstable
    assert summarise([window(n, [1.0], n / 10) for n in (100, 120, 100)]).unstable
    assert summarise([window(100, [1.0], j) for j in (10.0, 12.0, 10.0)]).unstable


def test_a_component_missing_in_one_window_is_missing() -> None:
    """Nothing is made up for a window a counter failed in."""
    windows = [window(10, [1.0], 1.0), window(10, [1.0]), window(10, [1.0])]
    assert summarise(windows).components == {}


def test_spread_of_one_value_is_zero() -> None:
    """There is no spread to tell."""
    assert coefficient_of_variation([2.0]) == 0.0


def test_profiles_hold_the_promised_windows() -> None:
    """Quick 3 x 5 s, standard 5 x 30 s, reference 3 x 600 s; repeats are odd."""
    shapes = {name: (p.repeats, p.window_s) for name, p in PROFILES.items()}
    assert shapes == {"quick": (3, 5), "standard": (5, 30), "reference": (3, 600)}
    assert all(profile.repeats % 2 for profile in PROFILES.values())
