"""Trial grid: serving choices of one candidate on one workload, in the order they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from calibration.classifiers.backends.available import missing
from calibration.classifiers.build import is_neural, precisions, preparation_phase, traits_of
from calibration.classifiers.decoding import decodings
from catalog.records import Candidate, Kind, Scenario
from catalog.registry.families import BACKEND_PRECISIONS

SCENARIOS: dict[Scenario, int] = {"single": 1, "offline": 32}
"""Scenario -> texts per call."""
SERVER_BATCH = 32
"""Texts answered in one call at most, of those that wait."""
SWEEP = (8, 128)
"""Further texts per call of a profile that sweeps."""
AS_ARRIVED = "arrival-order"
"""Repeat group of rows whose calls hold texts in random order; usual in ``offline`` are texts of
like length together, as sentence-transformers sorts them."""


def serving_choices(
    candidate: Candidate, kind: Kind, *, sweep: bool, backends: frozenset[str]
) -> list[tuple[str, str]]:
    """Backends and number formats of a candidate, in the order they are measured.

    The usual one first. A profile that sweeps has all number formats on all installed backends.

    Args:
        candidate: Its declaration.
        kind: Kind of the device it runs on.
        sweep: Whether the profile sweeps.
        backends: Backends to measure, in all their number formats whatever the profile, installed
            or not; empty for the usual one and, of a profile that sweeps, the installed ones.
    """
    usual, *others = traits_of(candidate).backends
    formats = [p for p in precisions(candidate, kind) if p != "int4" or missing("int4") is None]
    found = [(usual, precision) for precision in formats[: None if sweep else 1]]
    if candidate.features != "architecture":  # random weights are served by torch alone
        found += [
            (backend, precision)
            for backend in others
            if backend in backends or (sweep and not backends and missing(backend, kind) is None)
            for precision in BACKEND_PRECISIONS[backend].get(kind, ())
        ]
    return [choice for choice in found if not backends or choice[0] in backends]


def shapes(
    candidate: Candidate,
    kind: Kind,
    *,
    sweep: bool,
    probe: bool,
    rates: Sequence[float],
    equal_lengths: bool = False,
    backends: frozenset[str] = frozenset(),
) -> Iterator[dict[str, Any]]:
    """Fields of `calibration.plan.planner.Trial`; trials of one precision follow each other.

    Args:
        candidate: Its declaration.
        kind: Kind of the device it runs on.
        sweep: Whether further batches, orders and precisions are measured.
        probe: Whether one row of scenario ``offline`` is enough.
        equal_lengths: Whether all texts are of one length, so that no order spares padding.
        rates: Texts per second of scenario ``server``, one trial each.
        backends: See `serving_choices`; nothing where the candidate has none of them.
    """
    choices = serving_choices(candidate, kind, sweep=sweep, backends=backends)
    if not choices:
        return
    prepared = {
        "backend": traits_of(candidate).backends[0],
        "precision": precisions(candidate, kind)[0],
    }
    yield {"phase": preparation_phase(candidate), "scenario": "unstated", **prepared}
    usual_choice, *others = ({"backend": b, "precision": form} for b, form in choices)
    scenarios = {"offline": SCENARIOS["offline"]} if probe else SCENARIOS
    for scenario, size in scenarios.items():
        yield {"scenario": scenario, "batch_size": float(size), **usual_choice}
    for rate in rates:
        served = {"scenario": "server", "batch_size": float(SERVER_BATCH), "rate_per_s": rate}
        yield served | usual_choice
    if probe:
        return
    if sweep:
        yield from _sweep(candidate, usual_choice, equal_lengths)
    for choice in others:
        for scenario, size in SCENARIOS.items():
            yield {"scenario": scenario, "batch_size": float(size), **choice}


def _sweep(
    candidate: Candidate, usual_choice: dict[str, str], equal_lengths: bool
) -> Iterator[dict[str, Any]]:
    """Further batch sizes, text orders and ways of decoding."""
    offline = {"scenario": "offline", **usual_choice}
    for size in SWEEP:
        yield offline | {"batch_size": float(size)}
    if is_neural(candidate) and not equal_lengths:  # like lengths spare padding
        for size in (SCENARIOS["offline"], SWEEP[-1]):
            yield offline | {"batch_size": float(size), "repeat_group": AS_ARRIVED}
    for group in decodings(candidate) if usual_choice["backend"] == "torch" else ():
        for scenario, size in SCENARIOS.items():
            choice = {"scenario": scenario, "batch_size": float(size), "repeat_group": group}
            yield choice | usual_choice


def halved_group(repeat_group: str | None, batch_size: float | None) -> str:
    """Repeat group of a row whose batch was halved for lack of memory.

    It tells such a row apart from the one that was planned with the smaller batch.
    """
    asked = f"asked-{batch_size or 1:g}"
    return f"{repeat_group}, {asked}" if repeat_group else asked
