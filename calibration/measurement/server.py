"""Scenario ``server``: an arrival rate in; energy, runtime and latency of measured windows out.

Texts arrive as a Poisson process, as in MLPerf Inference's server scenario (Reddi et al. 2020):
independent callers send bursts and gaps, while evenly spaced texts would never queue. Each window
has exactly rate x seconds arrivals at uniform random instants, which is a Poisson process given its
count and removes the variance of the count between repeats. When the model is free, all waiting
texts are classified in one call, up to the batch size. A window's joules and seconds include idle
time, so idle power must not be added again.
"""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Callable, Sequence

import msgspec

from calibration.measurement.windows import (
    Clock,
    Predict,
    Window,
    WindowSummary,
    batches,
    summarise,
    warm_up,
)
from calibration.meters.meter import Meter
from calibration.records import Profile, server_window_s

MAX_DELAY_SHARE = 0.1
"""Delay of the last text, as a share of the window, above which the rate is too high."""
_SEED = 20250814
_TICK_S = 1e-6
"""Shortest sleep in seconds; texts due within it count as arrived."""

Sleep = Callable[[float], None]


class SaturatedError(RuntimeError):
    """Texts arrive faster than they are classified, so that the queue grows without bound."""


def arrival_times(rate_per_s: float, seconds: float, seed: int) -> list[float]:
    """Arrival times in seconds from the window's start: ``round(rate x seconds)``, ascending."""
    rng = random.Random(seed)  # noqa: S311
    return sorted(rng.uniform(0, seconds) for _ in range(max(1, round(rate_per_s * seconds))))


def run_server_window(
    predict: Predict,
    texts: Sequence[str],
    arrivals: Sequence[float],
    max_batch: int,
    seconds: float,
    meter: Meter,
    clock: Clock = time.perf_counter,
    sleep: Sleep = time.sleep,
) -> tuple[Window, int]:
    """Runs one window of at least `seconds`; latencies count from each text's arrival.

    Args:
        predict: Classifies a list of texts.
        texts: Texts to send, repeated if the window needs more.
        arrivals: Arrival times in seconds, ascending.
        max_batch: Most texts per call.
        seconds: Planned length of the window.
        meter: Measures the whole window.
        clock: Seconds, monotonic.
        sleep: Waits for the next arrival.

    Returns:
        The window, and its number of calls.

    Raises:
        SaturatedError: The window lasts longer than planned by more than `MAX_DELAY_SHARE` and
            one call.
    """
    latencies = array("d")
    done = calls = 0
    longest = 0.0
    meter.start()
    begin = clock()
    try:
        while done < len(arrivals):
            now = clock() - begin
            if (ahead := arrivals[done] - now) > _TICK_S:
                sleep(ahead)
                continue
            if now > (1 + MAX_DELAY_SHARE) * seconds + longest:
                raise SaturatedError
            upto = done
            while (
                upto < len(arrivals) and upto - done < max_batch and arrivals[upto] <= now + _TICK_S
            ):
                upto += 1
            predict([texts[number % len(texts)] for number in range(done, upto)])
            end = clock() - begin
            longest, calls = max(longest, end - now), calls + 1
            latencies.extend(end - arrived for arrived in arrivals[done:upto])
            done = upto
        if (rest := seconds - (clock() - begin)) > 0:
            sleep(rest)
    finally:
        runtime = clock() - begin
        reading = meter.stop()
    if runtime > (1 + MAX_DELAY_SHARE) * seconds + longest:
        raise SaturatedError
    return Window(done, runtime, latencies, reading), calls


def measure_server(
    predict: Predict,
    texts: Sequence[str],
    rate_per_s: float,
    max_batch: int,
    profile: Profile,
    meter: Meter,
    clock: Clock = time.perf_counter,
    sleep: Sleep = time.sleep,
) -> WindowSummary:
    """Warms up, then measures `profile.repeats` windows with texts arriving at a given rate.

    Args:
        predict: Classifies a list of texts.
        texts: The test set; all candidates get it in the same order.
        rate_per_s: Texts per second.
        max_batch: Most texts per call.
        profile: Window length, warm-up and repeats.
        meter: Measures each whole window.
        clock: Seconds, monotonic.
        sleep: Waits for the next arrival.

    Returns:
        The summary; latencies count from arrival, `context` has ``arrival_seed`` and
        ``texts_per_call``.

    Raises:
        SaturatedError: The candidate cannot keep up.
    """
    order = batches(texts, len(texts))[0]
    warm_up(predict, order[:1], profile, clock)
    seconds = server_window_s(rate_per_s, profile, meter.min_window_s)
    results = []
    for repeat in range(profile.repeats):
        arrivals = arrival_times(rate_per_s, seconds, _SEED + repeat)
        results.append(
            run_server_window(predict, order, arrivals, max_batch, seconds, meter, clock, sleep)
        )
    windows = [window for window, _ in results]
    summary = summarise(windows)
    per_call = sum(window.n_items for window in windows) / sum(calls for _, calls in results)
    arrivals_context = {"arrival_seed": _SEED, "texts_per_call": round(per_call, 2)}
    return msgspec.structs.replace(summary, context=summary.context | arrivals_context)
