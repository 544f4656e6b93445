"""A fleet's account of its trials: each is settled once, and stored before it is told on.

It knows no network. `calibration.fleet.dispatch` says what came from where; rows of an order that
was given up never get here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from calibration.fleet.messages import Order, Request, Survey, decode, encode, hardware
from calibration.fleet.passes import ATTEMPTS, Node, Pass, Unit, place_of, units
from calibration.measurement.progress import Progress, TrialStep, event_figures, new_run_id
from calibration.plan.calibration_plan import row_of, stored_rows
from calibration.records import SOURCE, Event, Trial
from catalog.records import Device, RunFile
from catalog.snapshot import Snapshot
from catalog.store.database import Store


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """Hardware that was not there before; its trials are part of the calibration from now on."""

    place: str
    trials: tuple[Trial, ...]
    devices: tuple[str, ...]
    workloads: tuple[str, ...]


class Notice(msgspec.Struct, frozen=True):
    """Something about a machine that a person should know."""

    said: str


Heard = Event | Joined | Notice


@dataclass(eq=False)
class Work:
    """A unit of a pass that is at a node, and the order it was sent with."""

    one: Pass
    unit: Unit
    node: Node
    order: Order


class Account:
    """What is planned, measured and lost.

    Args:
        asked: What every machine is asked.
        snapshot: The catalog as it was before.
        store: Where rows go.
        hear: Is told everything.

    Attributes:
        passes: Over each hardware that has joined, in the order they did.
        run_id: Name of the calibration; each further pass has one of its own beginning with it.
    """

    def __init__(
        self, asked: Request, snapshot: Snapshot, store: Store, hear: Callable[[Heard], None]
    ) -> None:
        self.asked, self.hear = asked, hear
        self.run_id, self.passes = new_run_id(), list[Pass]()
        self.progress = Progress(0, hear)
        self._snapshot, self._store = snapshot, store
        self._devices: dict[str, Device] = {}
        self._data: dict[str, str] = {}
        self._declared = {*snapshot.devices, *snapshot.workloads}
        self._orders = 0

    def rows_on(self, host: str) -> bytes:
        """Stored rows of such hosts, history included, for a survey."""
        rows = self._snapshot.rows({"source": {SOURCE}, "host": {host}})
        return encode([row for _, row in rows])

    def notice(self, said: str) -> None:
        """Tells something about a machine."""
        self.hear(Notice(said))

    def leave_out(self, node: Node, reason: str) -> None:
        """Uses a machine no more."""
        node.left_out = reason
        self.notice(f"{node.name} is left out: {reason}")

    def join(self, node: Node, found: Survey) -> None:
        """A machine says what it would measure; new hardware gets passes of its own."""
        if found.refused is not None:
            self.leave_out(node, found.refused)
            return
        for name, sha256 in found.data.items():
            if self._data.setdefault(name, sha256) != sha256:
                self.leave_out(node, f"its workload {name!r} has other content than elsewhere")
                return
        node.hardware = hardware(found.passes[0])
        alike = [each.place for each in self.passes if each.hardware == node.hardware]
        if alike:
            self.notice(f"{node.name} joins {alike[0]}")
            return
        self._devices = {**found.devices, **self._devices}
        for number, trials in enumerate(found.passes, start=1):
            place = place_of(trials, number, [each.place for each in self.passes])
            self.notice(f"{node.name} joins as {place}") if number == 1 else None
            self._begin(place, node.hardware, trials, found)

    def _begin(self, place: str, alike: str, trials: tuple[Trial, ...], found: Survey) -> None:
        """One more pass, of which is told what the catalog has already."""
        number = len(self.passes) + 1
        run_id = self.run_id if number == 1 else f"{self.run_id}-{number}"
        self.passes.append(Pass(place, alike, run_id, units(trials)))
        self.progress.total += len(trials)
        devices, workloads = tuple(found.devices), tuple(found.workloads)
        self.hear(Joined(place=place, trials=trials, devices=devices, workloads=workloads))
        stored = stored_rows(self._snapshot)
        for trial in trials:
            if trial.present:
                row = row_of(trial, stored)
                told = event_figures(self._devices, row) if row else {}
                self.progress.emit("present", trial, place=place, **told)

    def begin(self, one: Pass, unit: Unit, node: Node) -> Work:
        """Takes a unit off its pass for a node, with the order for it."""
        self._orders += 1
        order = Order(
            attempt=f"{self.run_id}/{self._orders}",
            process=node.workers[node.surveyed or ""],
            hardware=one.hardware,
            run_id=one.run_id,
            trials=tuple(unit.open),
        )
        one.units.remove(unit)
        one.running, one.home = True, node.id
        return Work(one, unit, node, order)

    def told(self, work: Work, told: TrialStep) -> Trial | None:
        """One step of a unit; the trial that has begun, if one has."""
        trial = work.order.trials[told.number]
        where: dict[str, str | None] = {"place": work.one.place, "node": work.node.name}
        work.node.again_s = None
        if told.kind in ("started", "delayed"):
            if trial not in work.unit.open:
                return None
            self.progress.emit(told.kind, trial, reason=told.reason, **where)
            return trial
        lost = work.order.trials[told.number :] if told.rest else (trial,)
        settled = [each for each in lost if work.unit.settle(each)]
        if settled and told.file is not None:
            self._write(told.file)
            (row,) = told.file.measurements
            self.progress.emit("finished", trial, **where, **event_figures(self._devices, row))
        elif settled:
            self.progress.emit_unmeasured(told.kind, settled, told.reason or "?", **where)
        return None

    def told_again(self, work: Work, steps: tuple[bytes, ...]) -> None:
        """What an order ended with, in case something got lost on the way."""
        for step in steps:
            told = decode(step, TrialStep)
            if told.kind not in ("started", "delayed"):
                self.told(work, told)

    def _write(self, file: RunFile) -> None:
        """Stores a row; of records of one name the first one stands."""
        devices = tuple(each for each in file.devices if each.name not in self._declared)
        workloads = tuple(each for each in file.workloads if each.name not in self._declared)
        self._store.add(msgspec.structs.replace(file, devices=devices, workloads=workloads))
        self._declared.update(each.name for each in devices)
        self._declared.update(each.name for each in workloads)

    def put_back(self, work: Work) -> None:
        """The unit's turn comes again, as nothing was tried."""
        work.one.running = False
        if work.unit.open:
            work.one.units.insert(0, work.unit)

    def lost(self, work: Work, reason: str) -> None:
        """An attempt was lost: the rest of the unit is tried again, elsewhere if need be."""
        one, unit = work.one, work.unit
        one.running = False
        if not unit.open:
            return
        unit.attempts, unit.reason = unit.attempts + 1, reason
        trial = unit.open[0]
        self.notice(f"{work.node.name}, {trial.candidate} on {trial.workload}: {reason}")
        one.units.append(unit)
        if unit.attempts >= ATTEMPTS:
            self.give_up(one, unit, f"{reason}, {unit.attempts} times")

    def give_up(self, one: Pass, unit: Unit, reason: str) -> None:
        """The rest of a unit has failed."""
        one.units.remove(unit)
        self.progress.emit_unmeasured("failed", unit.open, reason, place=one.place)
