"""What a calibration came to: the accuracy-energy front of each workload it measured.

The figures and the front are the advisor's, so that the summary says what ``recommend`` would.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from advisor.estimator.estimator import Estimator
from advisor.recommend import advisor as policy
from advisor.recommend.pareto import front, ran_there, rank
from advisor.recommend.records import Option, Query
from catalog.records import Scope
from catalog.snapshot import Snapshot

_ALL = 1000


class Result(msgspec.Struct, frozen=True, kw_only=True):
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
) -> list[Result]:
    """One result for each workload that has an option with a known accuracy.

    The scope is the host's; the chip's where energy was measured for the chip alone.
    """
    found = []
    for workload in workloads:
        if workload not in snapshot.workloads:
            continue
        scopes: tuple[Scope, ...] = ("host", "device")
        of_scope = {
            scope: _least(_options(snapshot, estimator, workload, scope), devices, candidates)
            for scope in scopes
        }
        measured = [s for s in scopes if any(_is_measured(o) for o in of_scope[s])]
        scope = measured[0] if measured else "host"
        if options := of_scope[scope]:
            best = tuple(front(options))
            found.append(Result(workload=workload, scope=scope, options=tuple(options), front=best))
    return found


def _is_measured(option: Option) -> bool:
    """Whether an option's energy was read from a counter."""
    return option.energy_j_per_1000.basis == "measured"


def _options(snapshot: Snapshot, estimator: Estimator, workload: str, scope: Scope) -> list[Option]:
    """Every option of a workload, cheapest first."""
    query = Query(
        task=snapshot.workloads[workload].task,
        min_acc=0.0,
        workload=workload,
        scope=scope,
        limit=_ALL,
    )
    answer = policy.recommend(snapshot, estimator, query)
    if answer.chosen is None or answer.group.workload != workload:
        return []
    return [answer.chosen, *answer.alternatives]


def _least(
    options: Iterable[Option], devices: Collection[str], candidates: Collection[str]
) -> list[Option]:
    """Of what was calibrated on these devices the cheapest variant of each candidate."""
    least: dict[tuple[str, str], Option] = {}
    for option in options:
        here = option.provenance.source == "calibration" and ran_there(option)
        if here and option.device in devices and option.candidate in candidates:
            key = (option.candidate, option.device)
            least[key] = min(least.get(key, option), option, key=rank)
    return sorted(least.values(), key=rank)
