"""Results of a calibration: candidates and accuracy-energy front of each measured workload.

Figures and front are the advisor's, so that the summary agrees with ``recommend``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from advisor.estimator.estimator import Estimator
from advisor.recommend.machine import CALIBRATION
from advisor.recommend.option import front, option, rank
from advisor.recommend.pricing import of_row
from advisor.recommend.records import Option
from catalog.accuracy import numeric_format_of
from catalog.records import Scope
from catalog.registry.families import FLOORS
from catalog.snapshot import Snapshot


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
        return all(each.energy_j_per_1000.basis == "measured" for each in self.options)


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
            if any(each.energy_j_per_1000.basis == "measured" for each in of_scope[scope])
        ]
        scope = measured[0] if measured else "host"
        if options := of_scope[scope]:
            best = tuple(front(options))
            found.append(
                WorkloadResult(workload=workload, scope=scope, options=tuple(options), front=best)
            )
    return found


def _options(snapshot: Snapshot, estimator: Estimator, workload: str, scope: Scope) -> list[Option]:
    """Every calibrated setup in batches whose accuracy is known."""
    found = []
    for row in snapshot.by_workload.get(workload, ()):
        if row.source != CALIBRATION or row.phase != "inference" or row.scenario != "offline":
            continue
        numeric = numeric_format_of(row.precision)
        known = snapshot.accuracies.answers(workload, numeric_format=numeric).get(row.candidate)
        candidate = snapshot.candidates.get(row.candidate)
        floor = candidate is not None and candidate.family in FLOORS
        if known is not None and not floor:
            priced = of_row(row, scope, snapshot, estimator, known)
            found += [option(*priced, snapshot)] if priced is not None else []
    return found


def _cheapest(
    options: Iterable[Option], devices: Collection[str], candidates: Collection[str]
) -> list[Option]:
    """The cheapest calibrated variant of each candidate on these devices."""
    cheapest: dict[tuple[str, str], Option] = {}
    for each in options:
        if each.device in devices and each.candidate in candidates:
            key = (each.candidate, each.device)
            cheapest[key] = min(cheapest.get(key, each), each, key=rank)
    return sorted(cheapest.values(), key=rank)
