"""What to measure next where accuracies are estimates: runs that make a choice safe or cheaper.

A run of a candidate on the asker's texts settles whether it reaches the floor. The choice itself
comes first where it rests on an estimate; then cheaper candidates by what a run may be expected to
save: the probability that they reach the floor times the logarithm of the energy ratio.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from advisor.accuracy.scale import to_logit
from catalog.evidence import Evidence
from catalog.records import Candidate
from catalog.registry.obtaining import builds, obtained_with

MOST = 3
USUAL = "minilm-l6-frozen-logistic"
"""The encoder whose weights are quickest to have."""
LEAST_LIKELY = 0.05
"""Probability of reaching the floor under which a run is not suggested."""


class Priced(NamedTuple):
    """A candidate that meets all but perhaps the floor, with its joules per 1,000 texts."""

    candidate: Candidate
    known: Evidence
    joules: float


class Run(NamedTuple):
    """A run with its command and what it would settle; fields of a suggestion."""

    candidate: str
    expected_accuracy: float | None
    expected_energy_j_per_1000: float | None
    command: str
    reason: str


def likely(known: Evidence, floor: float) -> float | None:
    """Probability that an estimated accuracy reaches a floor; ``None`` of one that is known."""
    if known.chance is None or not known.logit_sd:
        return None
    value, least = to_logit(np.array([known.value, floor]), np.full(2, known.chance))
    return NormalDist().cdf(float(value - least) / known.logit_sd)


def next_runs(
    workload: str, able: Sequence[Priced], chosen: Priced | None, floor: float
) -> list[Run]:
    """At most three runs, the most settling one first; none where no accuracy is an estimate.

    Args:
        workload: On which.
        able: Candidates that meet all but perhaps the floor.
        chosen: The one that is chosen, of `able`.
        floor: Least accuracy.
    """
    first = [] if chosen is None or chosen.known.chance is None else [chosen]
    cheaper = [
        each
        for each in able
        if each is not chosen
        and builds(each.candidate)
        and (likely(each.known, floor) or 0.0) >= LEAST_LIKELY
        and (chosen is None or each.joules < chosen.joules)
    ]
    most = max((each.joules for each in cheaper), default=1.0) * 1.1
    dearest = chosen.joules if chosen is not None else most

    def saves(each: Priced) -> float:
        ratio = dearest / each.joules if each.joules and math.isfinite(dearest) else 1.0
        return (likely(each.known, floor) or 0.0) * math.log(ratio)

    ordered = [*first, *sorted(cheaper, key=saves, reverse=True)]
    return [_run(workload, each, chosen, floor) for each in ordered[:MOST]]


def _run(workload: str, each: Priced, chosen: Priced | None, floor: float) -> Run:
    """A run with what it would settle."""
    known, name = each.known, each.candidate.name
    interval = f"{known.low or 0:.3f} to {known.high or 1:.3f}"
    said = f"its accuracy is an estimate, {known.value:.3f} ({interval}), "
    said += f"{likely(known, floor) or 0:.0%} likely to reach {floor:g}"
    if each is chosen:
        reason = f"the choice rests on it: {said}; a run settles whether it holds"
    elif chosen is None:
        reason = f"{said}; if it does, it answers for {each.joules:.3g} J per 1,000 texts"
    else:
        times = f"{chosen.joules / each.joules:.3g}" if each.joules else "many"
        reason = f"{said}; if it does, the answer needs 1/{times} of the energy"
    command = calibrating(workload, "--candidate", name)
    if not builds(each.candidate):
        command = obtained_with(each.candidate) or command
        reason += "; the suite cannot run it: bring its accuracy by joulewise catalog import"
    joules = float(f"{each.joules:.5g}") if math.isfinite(each.joules) else None
    return Run(name, float(f"{known.value:.5g}"), joules, command, reason)


def probe_run(workload: str) -> Run:
    """The first run on texts of one's own: the accuracy probes."""
    said = "its accuracy there, with few texts and with all, tells those of some 250 others"
    return Run(USUAL, None, None, calibrating(workload, "--accuracy-probes"), said)


def calibrating(workload: str, *options: str) -> str:
    """The command that measures on a workload."""
    return shlex.join(["joulewise", "calibrate", "--workload", workload, *options])
