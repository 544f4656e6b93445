"""The scenario ``server``: texts arrive at a stated rate, whether or not the last is answered.

Arrivals are a Poisson process, as in MLPerf Inference's server scenario (Reddi et al. 2020), since
independent callers send bursts and gaps and evenly spaced texts would never queue. Each window
holds exactly as many arrivals as the rate says, at uniform random instants: that is a Poisson
process given its count, and spares the repeats the noise of the count. What has arrived when
the model is free is answered in one call, up to the batch size. A window's joules and seconds are
those of the whole window, idle time included, so idle power must not be added to them again.
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
    Profile,
    Window,
    WindowSummary,
    batches,
    summarise,
    warm_up,
)
from calibration.meters.meter import Meter

MIN_ARRIVALS = 20
"""Texts of a window at least; fewer have no 95th percentile."""
MAX_DELAY_SHARE = 0.1
"""Share of a window by which its last answer may be late before the rate counts as too high."""
_SEED = 20250814
_TICK_S = 1e-6
"""Nobody can sleep shorter: what arrives within it has arrived."""

Sleep = Callable[[float], None]


class SaturatedError(RuntimeError):
    """Texts arrive faster than they are answered, so the queue grows for ever."""


def server_window_s(rate_per_s: float, profile: Profile, min_window_s: float = 0.0) -> float:
    """Seconds of a window: the profile's, longer where few texts arrive in that time."""
    return max(profile.window_s, min_window_s, MIN_ARRIVALS / rate_per_s)


def arrival_times(rate_per_s: float, seconds: float, seed: int) -> list[float]:
    """Arrivals of one window in seconds from its begin: ``round(rate x seconds)``, ascending."""
    rng = random.Random(seed)  # noqa: S311
    return sorted(rng.uniform(0, seconds) for _ in range(max(1, round(rate_per_s * seconds))))


def run_server_window(
    predict: Predict,
    texts: Sequence[str],
    arrivals: Sequence[float],
    most: int,
    seconds: float,
    meter: Meter,
    clock: Clock = time.perf_counter,
    sleep: Sleep = time.sleep,
) -> tuple[Window, int]:
    """One window of at least `seconds`; its latencies count from each text's arrival.

    Returns:
        The window, and the calls it took.

    Raises:
        SaturatedError: The answers fell behind by more than `LATE` and one call.
    """
    waited = array("d")
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
            while upto < len(arrivals) and upto - done < most and arrivals[upto] <= now + _TICK_S:
                upto += 1
            predict([texts[number % len(texts)] for number in range(done, upto)])
            end = clock() - begin
            longest, calls = max(longest, end - now), calls + 1
            waited.extend(end - arrived for arrived in arrivals[done:upto])
            done = upto
        if (rest := seconds - (clock() - begin)) > 0:
            sleep(rest)
    finally:
        runtime = clock() - begin
        reading = meter.stop()
    if runtime > (1 + MAX_DELAY_SHARE) * seconds + longest:
        raise SaturatedError
    return Window(done, runtime, waited, reading), calls


def measure_server(
    predict: Predict,
    texts: Sequence[str],
    rate_per_s: float,
    most: int,
    profile: Profile,
    meter: Meter,
    clock: Clock = time.perf_counter,
    sleep: Sleep = time.sleep,
) -> WindowSummary:
    """Warms up, then measures `profile.repeats` windows of texts that arrive at a rate.

    Args:
        predict: Answers a call of texts.
        texts: The test set; all candidates get it in one fixed order.
        rate_per_s: Texts per second.
        most: Texts of one call at most.
        profile: Window, warm-up and repeats.
        meter: Reads each whole window.
        clock: Seconds, monotonic.
        sleep: Waits for the next arrival.

    Returns:
        Latencies count from arrival; `context` has ``arrival_seed`` and ``texts_per_call``.

    Raises:
        SaturatedError: The candidate cannot keep up.
    """
    order = batches(texts, len(texts))[0]
    warm_up(predict, order[:1], profile, clock)
    seconds = server_window_s(rate_per_s, profile, meter.min_window_s)
    served = []
    for repeat in range(profile.repeats):
        arrivals = arrival_times(rate_per_s, seconds, _SEED + repeat)
        served.append(
            run_server_window(predict, order, arrivals, most, seconds, meter, clock, sleep)
        )
    windows = [window for window, _ in served]
    found = summarise(windows)
    per_call = sum(window.n_items for window in windows) / sum(calls for _, calls in served)
    told = {"arrival_seed": _SEED, "texts_per_call": round(per_call, 2)}
    return msgspec.structs.replace(found, context=found.context | told)
