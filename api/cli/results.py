"""Results of a calibration: candidates and accuracy-energy front of each measured workload.

Figures and front are the advisor's, so that the summary agrees with ``recommend``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from advisor.estimator.estimator import Estimator
from advisor.recommend import advisor as policy
from advisor.recommend.pareto import front, ran_there, rank
from advisor.recommend.query import Query
from advisor.recommend.records import Option
from catalog.records import Scope
from catalog.snapshot import Snapshot

_NO_LIMIT = 1000


class WorkloadResult(msgspec.Struct, frozen=True, kw_only=True):
    """The candidates of one workload as measured here, in batches, within one scope.

    Attributes:
        options: The least-energy variant of each candidate on each device, cheapest first.
        front: Those that no other beats in both accuracy and energy.
    """

    workload: str
    scope: Scope
    options: tuple[Option, ...]
    front: tuple[Option, ...]

    @property
    def measured(self) -> bool:
        """Whether every energy was read from a counter, so that the order is a measured one."""
        return all(option.energy_j_per_1000.basis == "measured" for option in self.options)


def results(
    snapshot: Snapshot,
    estimator: Estimator,
    *,
    workloads: Iterable[str],
    devices: Collection[str],
    candidates: Collection[str],
) -> list[WorkloadResult]:
    """One result for each workload that has an option with a known accuracy.

    The scope is the host's; the chip's where energy was measured for the chip alone.
    """
    found = []
    for workload in workloads:
        if workload not in snapshot.workloads:
            continue
        scopes: tuple[Scope, ...] = ("host", "device")
        of_scope = {
            scope: _cheapest(_options(snapshot, estimator, workload, scope), devices, candidates)
            for scope in scopes
        }
        measured = [
            scope
            for scope in scopes
            if any(option.energy_j_per_1000.basis == "measured" for option in of_scope[scope])
        ]
        scope = measured[0] if measured else "host"
        if options := of_scope[scope]:
            best = tuple(front(options))
            found.append(
                WorkloadResult(workload=workload, scope=scope, options=tuple(options), front=best)
            )
    return found


def _options(snapshot: Snapshot, estimator: Estimator, workload: str, scope: Scope) -> list[Option]:
    """All qualifying options of a workload without an accuracy floor, cheapest first."""
    query = Query(
        task=snapshot.workloads[workload].task,
        min_acc=0.0,
        workload=workload,
        scope=scope,
        limit=_NO_LIMIT,
    )
    answer = policy.recommend(snapshot, estimator, query)
    if answer.chosen is None or answer.group.workload != workload:
        return []
    return [answer.chosen, *answer.alternatives]


def _cheapest(
    options: Iterable[Option], devices: Collection[str], candidates: Collection[str]
) -> list[Option]:
    """The cheapest calibrated variant of each candidate on these devices."""
    cheapest: dict[tuple[str, str], Option] = {}
    for option in options:
        calibrated = option.provenance.source == "calibration" and ran_there(option)
        if calibrated and option.device in devices and option.candidate in candidates:
            key = (option.candidate, option.device)
            cheapest[key] = min(cheapest.get(key, option), option, key=rank)
    return sorted(cheapest.values(), key=rank)
