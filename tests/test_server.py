"""The scenario `server` on a scripted clock: arrivals, queues, latency, idle, saturation."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.measurement.server import (
    SaturatedError,
    arrival_times,
    measure_server,
    run_server_window,
)
from calibration.meters.meter import Reading
from calibration.records import Profile, server_window_s

PROFILE = Profile(name="tiny", window_s=10, repeats=3, warmup_s=0.1)
TEXTS = [f"text {number}" for number in range(7)]


class World:
    """A clock, a model and a meter: idle draws 10 W, work 60 W."""

    name, has_counter, min_window_s = "scripted", True, 0.0

    def __init__(self, call_s: float, text_s: float = 0.0) -> None:
        self.now, self.joules, self.begun = 0.0, 0.0, 0.0
        self.call_s, self.text_s = call_s, text_s
        self.calls: list[int] = []

    def clock(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Idle."""
        assert seconds > 0
        self.now, self.joules = self.now + seconds, self.joules + 10 * seconds

    def predict(self, texts: Sequence[str]) -> None:
        """Work."""
        self.calls.append(len(texts))
        seconds = self.call_s + self.text_s * len(texts)
        self.now, self.joules = self.now + seconds, self.joules + 60 * seconds

    def start(self) -> None:
        """Begins a window."""
        self.begun = self.joules

    def stop(self) -> Reading:
        """Joules since then."""
        return Reading({"cpu": (self.joules - self.begun, "measured")})


def test_a_window_holds_work_and_idle() -> None:
    """Three texts, two of which wait together: latency from arrival, joules of the whole window."""
    world = World(call_s=1.0)
    window, calls = run_server_window(
        world.predict, TEXTS, [1.0, 1.5, 1.6], 32, 10.0, world, world.clock, world.sleep
    )
    assert (window.n_items, calls, world.calls) == (3, 2, [1, 2])
    assert window.runtime_s == pytest.approx(10.0)
    assert list(window.calls_s) == pytest.approx([1.0, 1.5, 1.4])
    joules, _ = window.reading.components["cpu"]
    assert joules == pytest.approx(2 * 60 + 8 * 10)


def test_a_call_holds_no_more_than_the_batch() -> None:
    """What waits beyond it is answered in the next call."""
    world = World(call_s=0.1)
    run_server_window(world.predict, TEXTS, [1.0] * 7, 3, 10.0, world, world.clock, world.sleep)
    assert world.calls == [3, 3, 1]


@given(st.floats(0.5, 200), st.integers(0, 5))
def test_arrivals_are_as_many_as_the_rate_says(rate: float, seed: int) -> None:
    """Ascending, inside the window, and the same for the same seed."""
    seconds = server_window_s(rate, PROFILE)
    found = arrival_times(rate, seconds, seed)
    assert len(found) == max(1, round(rate * seconds)) >= 20
    assert found == sorted(found) == arrival_times(rate, seconds, seed)
    assert 0 <= found[0] <= found[-1] <= seconds


def test_gaps_are_those_of_a_poisson_process() -> None:
    """Exponential: mean and standard deviation are both one over the rate."""
    found = arrival_times(50, 400, 1)
    gaps = [b - a for a, b in itertools.pairwise(found)]
    assert statistics.fmean(gaps) == pytest.approx(1 / 50, rel=0.02)
    assert statistics.stdev(gaps) == pytest.approx(1 / 50, rel=0.05)


def test_every_rate_costs_its_idle_time() -> None:
    """Joules per text are work plus idle power over the rate; fewer texts, dearer each."""
    per_text = {}
    for rate in (2.0, 8.0):
        world = World(call_s=0.0, text_s=0.01)
        found = measure_server(
            world.predict, TEXTS, rate, 32, PROFILE, world, clock=world.clock, sleep=world.sleep
        )
        joules, label = found.components["cpu"]
        per_text[rate] = joules / found.n_items
        assert label == "measured"
        assert found.runtime_s / found.n_items == pytest.approx(1 / rate)
        assert per_text[rate] == pytest.approx(60 * 0.01 + 10 * (1 / rate - 0.01), rel=1e-6)
        assert (found.repeats, found.unstable) == (3, False)
        assert found.latency_p50_ms >= 9.99
        assert found.context["texts_per_call"] >= 1
    assert per_text[2.0] > per_text[8.0]


@pytest.mark.parametrize("text_s", [0.2, 1.0, 50.0])
def test_a_queue_that_grows_is_told_before_long(text_s: float) -> None:
    """Ten texts a second that take 0.2 s and more each: given up within a window and a call."""
    world = World(call_s=0.0, text_s=text_s)
    with pytest.raises(SaturatedError):
        measure_server(
            world.predict, TEXTS, 10, 32, PROFILE, world, clock=world.clock, sleep=world.sleep
        )
    assert world.now < 2 + 1.1 * 10 + 3 * 32 * text_s


def test_batching_saves_what_single_calls_could_not() -> None:
    """A slow call that takes many texts at once keeps up where one by one would not."""
    world = World(call_s=0.5)
    found = measure_server(
        world.predict, TEXTS, 10, 32, PROFILE, world, clock=world.clock, sleep=world.sleep
    )
    assert found.context["texts_per_call"] > 4
    assert found.latency_p95_ms < 1001
    with pytest.raises(SaturatedError):
        measure_server(
            world.predict, TEXTS, 10, 1, PROFILE, world, clock=world.clock, sleep=world.sleep
        )
