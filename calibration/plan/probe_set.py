"""Probe set: the few candidates whose rows correct every other estimate on a machine.

One row corrects best where it is the *median* of what will be asked; several do where they are
spread over the logarithm of runtime. So the median comes first, for a run that is cut short,
then always the one farthest from all before it. The choice depends on declarations and texts
alone: the same machine gets the same probes at every call.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from calibration.plan.forecast import answer_s, fit_s, score_s
from calibration.workloads.hub import local_checkpoint
from calibration.workloads.load import Texts
from catalog.records import Candidate, Kind
from catalog.registry.families import FAMILIES

MOST = 5
"""Probes at most; more rows narrow the interval little."""
PREPARATION_S = 130.0
"""Seconds that fitting and scoring of all probes may take together. With five windows of the quick
profile and idle power a run stays under five minutes on two cores."""


def pool(candidates: Mapping[str, Candidate], models: Path | None) -> dict[str, Candidate]:
    """Candidates that run from what lies here, train no encoder and tell of others' runtime."""
    return {
        name: candidate
        for name, candidate in candidates.items()
        if FAMILIES[candidate.family].probe
        and candidate.training is None
        and candidate.samples_per_label is None
        and candidate.features != "finetuned"
        and candidate.features != "architecture"
        and (candidate.checkpoint is None or local_checkpoint(candidate.checkpoint, models))
    }


def choose(
    candidates: Mapping[str, Candidate], texts: Texts, kinds: Mapping[str, Kind]
) -> list[Candidate]:
    """At most `MOST` of `candidates` in the order they are to be measured.

    Args:
        candidates: What may be chosen, by name.
        texts: The workload they would run on.
        kinds: Kind of the device each would run on.

    Returns:
        The first one always; further ones only as long as all fit into `PREPARATION_S`.
    """
    place = {
        name: math.log(answer_s(candidate, texts, kinds[name]))
        for name, candidate in candidates.items()
    }
    cost = {
        name: fit_s(candidate, texts, kinds[name]) + score_s(candidate, texts, kinds[name])
        for name, candidate in candidates.items()
    }
    ordered = sorted(place, key=lambda name: (place[name], name))
    affordable = [name for name in ordered if cost[name] <= PREPARATION_S] or ordered[:1]
    chosen = affordable[(len(affordable) - 1) // 2 :][:1]
    while len(chosen) < MOST:
        left = PREPARATION_S - sum(cost[name] for name in chosen)
        others = [name for name in affordable if name not in chosen and cost[name] <= left]
        if not others:
            break
        chosen.append(
            max(others, key=lambda name: min(abs(place[name] - place[c]) for c in chosen))
        )
    return [candidates[name] for name in chosen]
