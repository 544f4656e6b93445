"""Why the others lost: one reason for each candidate, and the nearest miss."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from advisor.constraints import Verdict
from advisor.records import Missing, Option, Query, Reason, Rejected
from advisor.wording import figure
from catalog.energy import energy
from catalog.records import Measurement
from catalog.snapshot import Snapshot

COUNTS_AS = {
    "single": ("single",),
    "offline": ("offline", "unstated"),
    "server": ("server",),
}
"""Scenarios of rows that answer a question about a scenario."""


def rank(option: Option) -> tuple[float, float, str]:
    """Order of preference: least energy (a bound at its high end), then most accurate."""
    joules = option.energy_j_per_1000
    value = joules.value if joules.value is not None else joules.high
    accuracy = option.accuracy.value if option.accuracy else 0.0
    return (math.inf if value is None else value, -accuracy, option.candidate)


class Judged(msgspec.Struct, frozen=True):
    """The options of one workload, split by the constraints.

    Attributes:
        apart: Options of another scenario that would qualify there.
        absent: Candidates without any option, with the reason.
    """

    qualifying: list[Option]
    failing: list[tuple[Option, Verdict]]
    apart: list[Option]
    absent: list[Rejected]


def absent(
    snapshot: Snapshot, query: Query, rows: Sequence[Measurement], seen: set[str]
) -> list[Rejected]:
    """Candidates with rows but no option in the group, with the reason."""
    missing: defaultdict[str, list[Measurement]] = defaultdict(list)
    for row in rows:
        if row.candidate not in seen:
            missing[row.candidate].append(row)
    return [
        Rejected(
            candidate=name,
            device=own[0].device,
            reason=_why_absent(snapshot, query, own),
            detail=_absent_detail(_why_absent(snapshot, query, own), query, own),
            setups=len(own),
        )
        for name, own in sorted(missing.items())
    ]


def _why_absent(snapshot: Snapshot, query: Query, rows: Sequence[Measurement]) -> Reason:
    """Why none of a candidate's rows became an option of the group."""
    inside = [row for row in rows if row.scenario in COUNTS_AS[query.scenario]]
    if not inside:
        return "other-scenario"
    if query.batch_size is not None:
        inside = [row for row in inside if row.batch_size == query.batch_size]
        if not inside:
            return "other-batch-size"
    if query.basis == "measured" and query.device is not None:
        asked = query.device
        name = snapshot.device(asked).name if isinstance(asked, str) else asked.name
        if all(row.device != name for row in inside):
            return "not-measured-there"
    has_other_scope = any(
        (found := energy(row, snapshot.devices[row.device].kind, scope)) is not None
        and found.label != "modelled"
        for row in inside
        for scope in ("device", "host", "wall")
    )
    return "scope-absent" if has_other_scope else "energy-absent"


def _absent_detail(reason: Reason, query: Query, rows: Sequence[Measurement]) -> str:
    """A sentence for a candidate without options."""
    scenarios = ", ".join(sorted({row.scenario for row in rows}))
    return {
        "other-scenario": f"measured as {scenarios}, not as {query.scenario}",
        "other-batch-size": f"not measured at batch size {query.batch_size:g}"
        if query.batch_size
        else "",
        "not-measured-there": "not measured on the asked device",
        "scope-absent": f"measured, but not in the scope {query.scope}",
        "energy-absent": "no measured energy"
        if query.basis == "measured"
        else "no measured energy and no runtime to estimate it from",
    }.get(reason, reason)


def rejected(judged: Judged, chosen: Option | None, limit: int) -> tuple[Rejected, ...]:
    """One entry for each losing candidate: the reason of the setup that came closest."""
    lost: defaultdict[str, list[tuple[Option, Verdict]]] = defaultdict(list)
    for option, verdict in judged.failing:
        lost[option.candidate].append((option, verdict))
    winners = {option.candidate for option in judged.qualifying}
    entries = [entry for entry in judged.absent if entry.candidate not in winners]
    for name, pairs in lost.items():
        if name not in winners:
            option, verdict = min(pairs, key=lambda pair: (pair[1].gap, rank(pair[0])))
            entries.append(
                Rejected(
                    candidate=name,
                    device=option.device,
                    reason=verdict.reason,
                    detail=verdict.detail,
                    setups=len(pairs),
                )
            )
    gaps = {name: min(verdict.gap for _, verdict in pairs) for name, pairs in lost.items()}
    closest = sorted(entries, key=lambda e: (gaps.get(e.candidate, math.inf), e.candidate))
    return tuple((_outbid(judged.qualifying, chosen) + closest)[:limit])


def _outbid(qualifying: Sequence[Option], chosen: Option | None) -> list[Rejected]:
    """Candidates that qualify and need more energy than the chosen one."""
    if chosen is None:
        return []
    own: defaultdict[str, list[Option]] = defaultdict(list)
    for option in qualifying:
        own[option.candidate].append(option)
    own.pop(chosen.candidate, None)
    return [_dearer(name, options, rank(chosen)[0]) for name, options in own.items()]


def _dearer(name: str, options: Sequence[Option], least: float) -> Rejected:
    """The entry of a candidate that qualifies and was not chosen."""
    own = rank(options[0])[0]
    more = own > least
    return Rejected(
        candidate=name,
        device=options[0].device,
        reason="more-energy" if more else "not-more-accurate",
        detail=f"{figure(own)} J per 1,000 texts against {figure(least)}"
        if more
        else f"the same {figure(own)} J per 1,000 texts, and not more accurate",
        setups=len(options),
    )


def nearest(judged: Judged, apart: Sequence[Option], query: Query) -> Option | None:
    """The failing option that misses by least, with what it misses; else the best one apart."""
    near = [pair for pair in judged.failing if math.isfinite(pair[1].gap)] or judged.failing
    if not near and apart:
        first = apart[0]
        same = first.scenario == query.scenario
        missing = (
            Missing(constraint="workload", asked=query.workload or query.task, has=first.workload)
            if same
            else Missing(constraint="scenario", asked=query.scenario, has=first.scenario)
        )
        return msgspec.structs.replace(first, missing=missing)
    if not near:
        return None
    option, verdict = min(near, key=lambda pair: (pair[1].gap, rank(pair[0])))
    return msgspec.structs.replace(option, missing=verdict.missing)
