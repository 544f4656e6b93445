"""Trial grid: serving choices of one candidate on one workload, in the order they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from calibration.classifiers.build import is_neural, precisions, preparation_phase, traits_of
from catalog.records import Candidate, Kind, Scenario

SCENARIOS: dict[Scenario, int] = {"single": 1, "offline": 32}
"""Scenario -> texts per call."""
SERVER_BATCH = 32
"""Texts answered in one call at most, of those that wait."""
SWEEP = (8, 128)
"""Further texts per call of a profile that sweeps."""
AS_ARRIVED = "arrival-order"
"""Repeat group of rows whose calls hold texts in random order; usual in ``offline`` are texts of
like length together, as sentence-transformers sorts them."""


def shapes(
    candidate: Candidate,
    kind: Kind,
    *,
    sweep: bool,
    probe: bool,
    rates: Sequence[float],
    equal_lengths: bool = False,
) -> Iterator[dict[str, Any]]:
    """Fields of `calibration.plan.planner.Trial`; trials of one precision follow each other.

    Args:
        candidate: Its declaration.
        kind: Kind of the device it runs on.
        sweep: Whether further batches, orders and precisions are measured.
        probe: Whether one row of scenario ``offline`` is enough.
        equal_lengths: Whether all texts are of one length, so that no order spares padding.
        rates: Texts per second of scenario ``server``, one trial each.
    """
    (backend, *_), (usual, *others) = traits_of(candidate).backends, precisions(candidate, kind)
    usual_choice = {"backend": backend, "precision": usual}
    yield {"phase": preparation_phase(candidate), "scenario": "unstated", **usual_choice}
    scenarios = {"offline": SCENARIOS["offline"]} if probe else SCENARIOS
    for scenario, size in scenarios.items():
        yield {"scenario": scenario, "batch_size": float(size), **usual_choice}
    for rate in rates:
        served = {"scenario": "server", "batch_size": float(SERVER_BATCH), "rate_per_s": rate}
        yield served | usual_choice
    if probe or not sweep:
        return
    offline = {"scenario": "offline", **usual_choice}
    for size in SWEEP:
        yield offline | {"batch_size": float(size)}
    if is_neural(candidate) and not equal_lengths:  # like lengths spare padding
        for size in (SCENARIOS["offline"], SWEEP[-1]):
            yield offline | {"batch_size": float(size), "repeat_group": AS_ARRIVED}
    for precision in others:
        for scenario, size in SCENARIOS.items():
            choice = {"backend": backend, "precision": precision}
            yield {"scenario": scenario, "batch_size": float(size), **choice}


def halved_group(repeat_group: str | None, batch_size: float | None) -> str:
    """Repeat group of a row whose batch was halved for lack of memory.

    It tells such a row apart from the one that was planned with the smaller batch.
    """
    asked = f"asked-{batch_size or 1:g}"
    return f"{repeat_group}, {asked}" if repeat_group else asked
