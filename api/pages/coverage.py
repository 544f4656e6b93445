"""Coverage of the catalog: a snapshot in, a matrix of candidates by devices with states out."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Container, Mapping
from typing import Literal

import msgspec

from advisor.recommend.query import BadQuestionError
from api.service.listing import check_name
from catalog.energy import SCOPE_OF_SOURCE, energy
from catalog.records import SCOPES, Candidate, Device, Measurement
from catalog.snapshot import Snapshot
from catalog.staleness import newest_of

State = Literal["measured", "stale", "estimated"]
STATES: dict[State, str] = {
    "measured": "energy measured there",
    "stale": "measured, but the machine has changed since",
    "estimated": "timed there; its energy is estimated",
}
_ORDER = tuple(STATES)
KINDS = ("gpu", "cpu", "npu", "soc")


class CoverageFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Filter of the matrix; ``None`` means all.

    Attributes:
        task: Default without a workload: every task that is judged by accuracy.
        kind: Kind of device, one of `KINDS`.
        q: Part of the name of a candidate or device, in any case.
    """

    task: str | None = None
    workload: str | None = None
    family: str | None = None
    kind: str | None = None
    source: str | None = None
    q: str | None = None


class Cell(msgspec.Struct, frozen=True):
    """Setups of a candidate on a device: the best state among them and their number."""

    state: State
    setups: int


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """Cells by candidate, then device.

    Attributes:
        families: Candidates by family, smaller models first; those the suite can run are
            included even without a cell.
        counts: Number of cells in each state.
    """

    devices: list[Device]
    families: list[tuple[str, list[Candidate]]]
    cells: Mapping[str, Mapping[str, Cell]]
    counts: Mapping[State, int]

    @property
    def candidates(self) -> int:
        """Number of rows of the matrix."""
        return sum(len(members) for _, members in self.families)


class MeasuredWorkload(msgspec.Struct, frozen=True, kw_only=True):
    """Sources and numbers of candidates and setups measured on a device for one workload."""

    workload: str
    sources: list[str]
    candidates: int
    setups: int


class Coverage:
    """Coverage of one snapshot; up to 64 matrices are cached."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.newest = newest_of(snapshot)
        setups: defaultdict[str, int] = defaultdict(int)
        sources: defaultdict[str, int] = defaultdict(int)
        for row in snapshot.current:
            setups[row.device] += 1
            sources[row.source] += 1
        self.setups: Mapping[str, int] = setups
        self.sources: Mapping[str, int] = dict(sorted(sources.items()))
        self.tasks: dict[str, list[str]] = {}
        for name in snapshot.by_workload:
            self.tasks.setdefault(snapshot.workloads[name].task, []).append(name)
        for task, names in snapshot.tasks().items():
            self.tasks[task] = list(names)
        self._states = functools.cache(self._count_states)
        self.matrix = functools.lru_cache(64)(self._matrix)

    def _workloads(self, wanted: CoverageFilter) -> list[str]:
        """Names of the workloads a filter selects.

        Raises:
            UnknownNameError: There is no such task or workload.
            BadQuestionError: The workload belongs to another task.
        """
        check_name("task", wanted.task, self.tasks)
        if wanted.workload is not None:
            task = self.snapshot.workload(wanted.workload).task
            if wanted.task not in (None, task):
                allowed = f"allowed for {wanted.task}: {', '.join(self.tasks[wanted.task or ''])}"
                raise BadQuestionError("workload", wanted.workload, allowed)
            return [wanted.workload]
        if wanted.task is not None:
            return self.tasks[wanted.task]
        return [name for names in self.snapshot.tasks().values() for name in names]

    def _check(self, wanted: CoverageFilter) -> None:
        """Checks the filter's family, kind and source.

        Raises:
            UnknownNameError: There is no such family, kind or source.
        """
        check_name("family", wanted.family, {c.family for c in self.snapshot.candidates.values()})
        check_name("kind", wanted.kind, KINDS)
        check_name("source", wanted.source, self.sources)

    def _count_states(self, workload: str) -> Mapping[tuple[str, str, str], Counter[State]]:
        """Number of setups in each state by (candidate, device, source)."""
        found: defaultdict[tuple[str, str, str], Counter[State]] = defaultdict(Counter)
        for row in self.snapshot.by_workload.get(workload, ()):
            state = self.state(row) if row.phase == "inference" else None
            if state is not None:
                found[row.candidate, row.device, row.source][state] += 1
        return found

    def state(self, row: Measurement) -> State | None:
        """State of a row's energy; ``None`` where it has neither energy nor runtime."""
        kind = self.snapshot.devices[row.device].kind
        likely = SCOPE_OF_SOURCE.get(row.total_scope or "", "device")
        for scope in dict.fromkeys((likely, *SCOPES)):
            joules = energy(row, kind, scope)
            if joules is not None and joules.label != "modelled":
                return "stale" if row.fingerprint and self.newest.changes(row) else "measured"
        return "estimated" if row.runtime_s is not None else None

    def devices(
        self, kind: str | None = None, wanted: Container[str] | None = None
    ) -> dict[str, list[tuple[Device, int]]]:
        """Devices by kind with their number of setups: most setups first, then by name.

        Args:
            kind: Keep this kind alone; ``None`` keeps all.
            wanted: Keep these names alone; ``None`` keeps all.
        """
        kept = (d for d in self.snapshot.devices.values() if wanted is None or d.name in wanted)
        counted = [(d, self.setups.get(d.name, 0)) for d in kept]
        counted.sort(key=lambda entry: (-entry[1], entry[0].name))
        by_kind = {name: [e for e in counted if e[0].kind == name] for name in KINDS}
        return {name: e for name, e in by_kind.items() if e and kind in (None, name)}

    def measured_on(self, device: str) -> list[MeasuredWorkload]:
        """Measured workloads of a device, the one with most setups first."""
        found = []
        for workload, rows in self.snapshot.by_workload.items():
            if own := [row for row in rows if row.device == device]:
                entry = MeasuredWorkload(
                    workload=workload,
                    sources=sorted({row.source for row in own}),
                    candidates=len({row.candidate for row in own}),
                    setups=len(own),
                )
                found.append(entry)
        return sorted(found, key=lambda entry: -entry.setups)

    def _matrix(self, wanted: CoverageFilter) -> Matrix:
        """The matrix of a filter: measured cells, and candidates that could be measured."""
        self._check(wanted)
        tally: defaultdict[str, defaultdict[str, Counter[State]]]
        tally = defaultdict(lambda: defaultdict(Counter))
        for workload in self._workloads(wanted):
            for (candidate, device, source), states in self._states(workload).items():
                records = self.snapshot.candidates[candidate], self.snapshot.devices[device]
                if wanted.source in (None, source) and _matches(*records, wanted):
                    tally[candidate][device].update(states)
        cells = {
            name: {
                device: Cell(min(states, key=_ORDER.index), states.total())
                for device, states in own.items()
            }
            for name, own in tally.items()
        }
        found = [cell.state for own in cells.values() for cell in own.values()]
        used = {device for own in cells.values() for device in own}
        devices = [self.snapshot.devices[name] for name in used]
        return Matrix(
            devices=sorted(devices, key=lambda d: (KINDS.index(d.kind), d.name)),
            families=self._families(wanted, set(cells)),
            cells=cells,
            counts={state: found.count(state) for state in STATES},
        )

    def _families(
        self, wanted: CoverageFilter, measured: set[str]
    ) -> list[tuple[str, list[Candidate]]]:
        """Candidates that have cells or can be calibrated, by family and number of parameters."""
        judged = {name for names in self.snapshot.tasks().values() for name in names}
        could = wanted.source is None and judged.issuperset(self._workloads(wanted))
        members: defaultdict[str, list[Candidate]] = defaultdict(list)
        for candidate in self.snapshot.candidates.values():
            gap = could and candidate.runnable and _matches_alone(candidate, wanted)
            if candidate.name in measured or gap:
                members[candidate.family].append(candidate)
        for own in members.values():
            own.sort(key=lambda c: (c.n_parameters or 0, c.name))
        return sorted(members.items(), key=lambda item: _median_parameters(item[1]))


def _matches_alone(candidate: Candidate, wanted: CoverageFilter) -> bool:
    """Whether a candidate without a device passes a filter."""
    return wanted.family in (None, candidate.family) and (
        wanted.q is None or wanted.q.casefold() in candidate.name.casefold()
    )


def _matches(candidate: Candidate, device: Device, wanted: CoverageFilter) -> bool:
    """Whether the setups of a candidate on a device pass a filter."""
    names = f"{candidate.name} {device.name}".casefold()
    return (
        wanted.family in (None, candidate.family)
        and wanted.kind in (None, device.kind)
        and (wanted.q is None or wanted.q.casefold() in names)
    )


def _median_parameters(members: list[Candidate]) -> float:
    """Median number of parameters, by which families are ordered."""
    sizes = sorted(candidate.n_parameters or 0 for candidate in members)
    return sizes[len(sizes) // 2]


@functools.lru_cache(maxsize=1)
def coverage(snapshot: Snapshot) -> Coverage:
    """The coverage of a snapshot; the latest one is cached."""
    return Coverage(snapshot)
