"""What the catalog covers: a matrix of candidates and devices, and what stands in each cell."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Literal

import msgspec

from advisor.recommend.records import BadQuestionError
from api.service.listing import known
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


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the catalog is wanted; ``None`` means all.

    Attributes:
        task: Without it and without a workload, every task that is judged by accuracy.
        kind: Of the device.
        q: Words in the name of a candidate or device.
    """

    task: str | None = None
    workload: str | None = None
    family: str | None = None
    kind: str | None = None
    source: str | None = None
    q: str | None = None


class Cell(msgspec.Struct, frozen=True):
    """The setups of a candidate on a device: the best state of one, and how many there are."""

    state: State
    setups: int


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """Cells by candidate, then device.

    Attributes:
        families: Candidates by family, smaller models first; those the suite can run are there
            even without a cell.
        counts: Cells in each state.
    """

    devices: list[Device]
    families: list[tuple[str, list[Candidate]]]
    cells: Mapping[str, Mapping[str, Cell]]
    counts: Mapping[State, int]

    @property
    def candidates(self) -> int:
        """How many rows the matrix has."""
        return sum(len(members) for _, members in self.families)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a device has on one workload."""

    workload: str
    sources: list[str]
    candidates: int
    setups: int


class Coverage:
    """One snapshot's coverage; matrices are kept once worked out."""

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
        self._tally = functools.cache(self._tallied)
        self.matrix = functools.lru_cache(64)(self._matrix)

    def _workloads(self, asked: Asked) -> list[str]:
        """The workloads that are wanted.

        Raises:
            UnknownNameError: There is no such task or workload.
            BadQuestionError: The workload belongs to another task.
        """
        known("task", asked.task, self.tasks)
        if asked.workload is not None:
            task = self.snapshot.workload(asked.workload).task
            if asked.task not in (None, task):
                allowed = f"allowed for {asked.task}: {', '.join(self.tasks[asked.task or ''])}"
                raise BadQuestionError("workload", asked.workload, allowed)
            return [asked.workload]
        if asked.task is not None:
            return self.tasks[asked.task]
        return [name for names in self.snapshot.tasks().values() for name in names]

    def _check(self, asked: Asked) -> None:
        """Checks names that need no workload.

        Raises:
            UnknownNameError: There is no such family, kind or source.
        """
        known("family", asked.family, {c.family for c in self.snapshot.candidates.values()})
        known("kind", asked.kind, KINDS)
        known("source", asked.source, self.sources)

    def _tallied(self, workload: str) -> Mapping[tuple[str, str, str], Counter[State]]:
        """How many setups of each (candidate, device, source) are in each state."""
        found: defaultdict[tuple[str, str, str], Counter[State]] = defaultdict(Counter)
        for row in self.snapshot.by_workload.get(workload, ()):
            state = self.state(row) if row.phase == "inference" else None
            if state is not None:
                found[row.candidate, row.device, row.source][state] += 1
        return found

    def state(self, row: Measurement) -> State | None:
        """What is known of a row's energy; ``None`` where it has neither energy nor runtime."""
        kind = self.snapshot.devices[row.device].kind
        likely = SCOPE_OF_SOURCE.get(row.total_scope or "", "device")
        for scope in dict.fromkeys((likely, *SCOPES)):
            joules = energy(row, kind, scope)
            if joules is not None and joules.label != "modelled":
                return "stale" if row.fingerprint and self.newest.changes(row) else "measured"
        return "estimated" if row.runtime_s is not None else None

    def devices(self, kind: str | None = None) -> dict[str, list[tuple[Device, int]]]:
        """Devices of each kind, or of one, with their setups: most measured first, then by name."""
        known = [(d, self.setups.get(d.name, 0)) for d in self.snapshot.devices.values()]
        known.sort(key=lambda entry: (-entry[1], entry[0].name))
        sorted_in = {name: [e for e in known if e[0].kind == name] for name in KINDS}
        return {name: e for name, e in sorted_in.items() if e and kind in (None, name)}

    def measured_on(self, device: str) -> list[Measured]:
        """What was measured on a device, the workload with most setups first."""
        found = []
        for workload, rows in self.snapshot.by_workload.items():
            if own := [row for row in rows if row.device == device]:
                entry = Measured(
                    workload=workload,
                    sources=sorted({row.source for row in own}),
                    candidates=len({row.candidate for row in own}),
                    setups=len(own),
                )
                found.append(entry)
        return sorted(found, key=lambda entry: -entry.setups)

    def _matrix(self, asked: Asked) -> Matrix:
        """Works out one matrix: what has a cell, and declared candidates that could have one."""
        self._check(asked)
        tally: defaultdict[str, defaultdict[str, Counter[State]]]
        tally = defaultdict(lambda: defaultdict(Counter))
        for workload in self._workloads(asked):
            for (candidate, device, source), states in self._tally(workload).items():
                records = self.snapshot.candidates[candidate], self.snapshot.devices[device]
                if asked.source in (None, source) and _wanted(*records, asked):
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
            families=self._families(asked, set(cells)),
            cells=cells,
            counts={state: found.count(state) for state in STATES},
        )

    def _families(self, asked: Asked, there: set[str]) -> list[tuple[str, list[Candidate]]]:
        """Candidates that have cells or can be calibrated, by family and size."""
        judged = {name for names in self.snapshot.tasks().values() for name in names}
        could = asked.source is None and judged.issuperset(self._workloads(asked))
        members: defaultdict[str, list[Candidate]] = defaultdict(list)
        for candidate in self.snapshot.candidates.values():
            gap = could and candidate.runnable and _named(candidate, asked)
            if candidate.name in there or gap:
                members[candidate.family].append(candidate)
        for own in members.values():
            own.sort(key=lambda c: (c.n_parameters or 0, c.name))
        return sorted(members.items(), key=lambda item: _family_size(item[1]))


def _named(candidate: Candidate, asked: Asked) -> bool:
    """Whether a candidate by itself is wanted."""
    return asked.family in (None, candidate.family) and (
        asked.q is None or asked.q.casefold() in candidate.name.casefold()
    )


def _wanted(candidate: Candidate, device: Device, asked: Asked) -> bool:
    """Whether the setups of a candidate on a device are wanted."""
    told = f"{candidate.name} {device.name}".casefold()
    return (
        asked.family in (None, candidate.family)
        and asked.kind in (None, device.kind)
        and (asked.q is None or asked.q.casefold() in told)
    )


def _family_size(members: list[Candidate]) -> float:
    """What families are ordered by: the median size of their models."""
    sizes = sorted(candidate.n_parameters or 0 for candidate in members)
    return sizes[len(sizes) // 2]


@functools.lru_cache(maxsize=1)
def coverage(snapshot: Snapshot) -> Coverage:
    """The coverage of a snapshot; that of the newest one asked for is kept."""
    return Coverage(snapshot)
