"""GPU reading of one window: joules, power samples and states of the GPUs in, reading out.

Shared by the meters of NVIDIA and AMD GPUs. A state is a dictionary with ``gpu_temperature_c``,
``gpu_clock_mhz``, ``gpu_power_limit_w`` (each ``None`` if unreadable), ``gpu_throttle`` (names of
reasons) and ``shared`` (whether another process computes on the GPU).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from calibration.meters.integration import integrated_j
from calibration.meters.meter import CounterError, Reading

CHECK_MIN_WINDOW_S = 30.0
"""Windows of at least this many seconds are checked against integrated power."""
CHECK_TOLERANCE = 0.10
"""Relative deviation of integrated power from the counter above which a window is suspect."""
SLOWDOWNS = frozenset({"hw-slowdown", "sw-thermal", "hw-thermal", "hw-power-brake", "prochot"})
"""Reasons that make a window ``throttled``; working at the power limit is none of them."""


def gpu_reading(
    raw: Mapping[str, Any],
    joules_of_window: Callable[[], float],
    *,
    check: bool,
    flags: Sequence[str] = (),
    states: Sequence[Mapping[str, Any]] = (),
) -> Reading:
    """The reading of component ``gpu``.

    Args:
        raw: Raw values, with ``seconds`` and ``power_s_w`` (power samples by GPU).
        joules_of_window: Computes the joules; raises `CounterError` for an invalid window.
        check: Whether the joules come from counters, which integrated power can check.
        flags: Flags that hold for every window of the meter.
        states: States of the GPUs at both ends of the window and inside it.
    """
    found_flags, context = set(flags), _summarise_states(states)
    if any(state["shared"] for state in states):
        found_flags.add("shared-gpu")
    if SLOWDOWNS & set(context.get("gpu_throttle", ())):
        found_flags.add("throttled")
    try:
        joules = joules_of_window()
    except CounterError as error:
        return Reading(
            {},
            absent={"gpu": str(error)},
            flags=tuple(sorted(found_flags)),
            context=context,
            raw=raw,
        )
    ratio = _power_over_counter(raw, joules) if check else None
    if ratio is not None:
        context["integrated_over_counter"] = round(ratio, 3)
        if abs(ratio - 1) > CHECK_TOLERANCE:
            found_flags.add("suspect")
    return Reading(
        {"gpu": (joules, "measured")}, flags=tuple(sorted(found_flags)), context=context, raw=raw
    )


def _power_over_counter(raw: Mapping[str, Any], joules: float) -> float | None:
    """Ratio of integrated power to the counter; ``None`` for short windows or without samples."""
    if raw["seconds"] < CHECK_MIN_WINDOW_S:
        return None
    try:
        return sum(integrated_j(samples) for samples in raw["power_s_w"]) / joules
    except CounterError:
        return None


def _summarise_states(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Context of one window: highest temperature, median clock, lowest limit, all reasons."""
    found: dict[str, Any] = {}
    aggregates: dict[str, Callable[[list[float]], float]] = {
        "gpu_temperature_c": max,
        "gpu_clock_mhz": median,
        "gpu_power_limit_w": min,
    }
    for key, aggregate in aggregates.items():
        values = [state[key] for state in states if state[key] is not None]
        if values:
            found[key] = aggregate(values)
    reasons = {reason for state in states for reason in state["gpu_throttle"]}
    return found | ({"gpu_throttle": sorted(reasons)} if reasons else {})
