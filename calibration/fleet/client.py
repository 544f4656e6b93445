"""Calibration of many machines: a request and a Dask scheduler in, stored rows out.

Each worker identifies its machine, and one worker of each machine plans for it. Machines with
equal plans are identical hardware. Its pending trials are one Dask task on one of these machines,
which sends each row when it is measured. If the machine is lost, another one gets what is left.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from calibration.fleet import worker
from calibration.fleet.worker import Request, Survey, pair_of, request
from calibration.hardware.lock import BusyError
from calibration.measurement.progress import Progress, Summary, TrialStep, event_figures, new_run_id
from calibration.plan.calibration_plan import row_of, stored_rows
from calibration.records import SOURCE, Event, Trial
from catalog.errors import install_command
from catalog.records import Device
from catalog.snapshot import Snapshot
from catalog.store.database import Store

__all__ = ["FleetError", "Heard", "Joined", "Notice", "Request", "calibrate", "request"]

LOCK = "joulewise-fleet"
"""Name of the lock on the scheduler: one calibration at a time."""
ATTEMPTS = 2
"""Machines that may be lost while they measure a candidate on a workload before it has failed."""
GRACE_S = 60.0
"""Seconds for which trials wait for a machine once there is none of their hardware."""
POLL_S = 0.5


class FleetError(RuntimeError):
    """No fleet can be calibrated through this scheduler; the text says why."""


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """New hardware, whose trials are part of the calibration from now on."""

    place: str
    trials: tuple[Trial, ...]
    devices: tuple[str, ...]
    workloads: tuple[str, ...]


class Notice(msgspec.Struct, frozen=True):
    """A message about a machine."""

    said: str


Heard = Event | Joined | Notice


class _LostError(Exception):
    """A worker gives no answer any more, or cannot be used; the text says why."""


@dataclass(eq=False)
class _Pass:
    """One measurement of the plan of one hardware.

    Attributes:
        place: Name of the hardware for people.
        pending: Trials without a result, in order.
        node: Name of the machine that measures it.
        trial: The one in progress.
        lost: How often a machine was lost, by pair.
        seen_s: When there last was a machine of this hardware, on the monotonic clock.
    """

    place: str
    hardware: str
    run_id: str
    pending: list[Trial]
    node: str | None = None
    trial: Trial | None = None
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    seen_s: float = field(default_factory=time.monotonic)


def calibrate(
    address: str,
    asked: Request,
    snapshot: Snapshot,
    store: Store,
    *,
    measuring: bool = True,
    machines: int = 1,
    per_hardware: int = 1,
    hear: Callable[[Heard], None],
) -> Summary:
    """Measures on every machine that has a worker, and stores each row as soon as it comes.

    Args:
        address: Of the Dask scheduler, e.g. ``tcp://10.0.0.1:8786``.
        asked: What is measured on each hardware; see `request`.
        snapshot: The catalog, for what is measured already.
        store: Where rows go; only the client opens it.
        measuring: Whether to measure; without, `hear` only gets the trials of each hardware.
        machines: How many machines must have joined before it may end.
        per_hardware: How often identical hardware is measured, on different machines where
            there are as many.
        hear: Gets new hardware, each step of a trial and notices about machines.

    Raises:
        FleetError: No scheduler, or no machine that can measure.
        BusyError: Another calibration runs on this scheduler.
        CatalogUnreadableError: The catalog cannot be written.
    """
    if measuring:
        store.migrate()
    fleet = _Fleet(asked, snapshot, store, hear, measuring, per_hardware)
    try:
        asyncio.run(fleet.run(address, machines))
    except KeyboardInterrupt:
        return fleet.progress.summary(fleet.run_id, interrupted=True)
    if not fleet.passes:
        raise FleetError(f"no machine can measure; {'; '.join(fleet.left_out)}")
    return fleet.progress.summary(fleet.run_id, interrupted=False)


@asynccontextmanager
async def _connected(address: str) -> AsyncIterator[Any]:
    """A client of a scheduler, which is locked against other calibrations."""
    try:
        import distributed
    except ImportError as error:
        raise FleetError(f"{error.name} is missing; {install_command('fleet')}") from error
    for name in ("distributed", "tornado.application"):  # what matters is a notice
        logging.getLogger(name).setLevel(logging.CRITICAL)
    dask: Any = distributed
    try:
        client = await dask.Client(address, timeout=10, name="joulewise", asynchronous=True)
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        raise FleetError(f"no Dask scheduler answers at {address}: {error}") from error
    async with client:
        lock = dask.Lock(LOCK)
        if not await lock.acquire(blocking=False):
            raise BusyError(
                f"another calibration runs on the scheduler at {address}; wait for it, as two at "
                "once would spoil each other's figures (one that was killed counts for 30 s)"
            )
        try:
            yield client
        finally:
            if client.status == "running":
                await lock.release()


@dataclass(eq=False)
class _Fleet:
    """One calibration: a coroutine for each worker, all in one thread.

    Attributes:
        passes: In the order in which their hardware joined.
        left_out: Machines that are not used, each with the reason.
        workers: Addresses of those that are there.
        hardware: Of the worker that measures on a machine; ``None`` while it is not known.
        nodes: Locks by machine: of its workers one is used.
    """

    asked: Request
    snapshot: Snapshot
    store: Store
    hear: Callable[[Heard], None]
    measuring: bool
    per_hardware: int

    def __post_init__(self) -> None:
        self.run_id, self.progress = new_run_id(), Progress(0, self.hear)
        self.passes, self.left_out = list[_Pass](), list[str]()
        self.client: Any = None
        self.workers = set[str]()
        self.hardware: dict[str, str | None] = {}
        self.nodes: dict[str, asyncio.Lock] = {}
        self.devices: dict[str, Device] = {}
        self.data: dict[str, str] = {}
        self.declared = {*self.snapshot.devices, *self.snapshot.workloads}

    async def run(self, address: str, machines: int) -> None:
        """Until all trials have a result and at least so many machines have joined."""
        serving: dict[str, asyncio.Task[None]] = {}
        async with _connected(address) as self.client:
            self.hear(Notice(f"waiting for workers at {self.client.scheduler.address}"))
            try:
                while (
                    len(self.nodes) < machines
                    or None in self.hardware.values()
                    or any(one.pending or one.node for one in self.passes)
                ):
                    if self.client.status not in ("running", "connecting"):
                        raise FleetError(
                            "the scheduler is gone; what is finished is kept, run it again"
                        )
                    with suppress(OSError):  # a lost connection comes back or changes the status
                        self.workers = set(await self.client.nthreads())
                    for each in self.workers - serving.keys():
                        self.hardware[each] = None
                        serving[each] = asyncio.create_task(self._serve(each))
                    for each in [each for each, task in serving.items() if task.done()]:
                        serving[each].result()  # raises where the catalog cannot be written
                        if each not in self.workers:
                            del serving[each]
                    self._give_up()
                    await asyncio.sleep(POLL_S)
            finally:
                for task in serving.values():
                    task.cancel()
                await asyncio.gather(*serving.values(), return_exceptions=True)

    async def _serve(self, address: str) -> None:
        """Has a worker identify its machine, plan, and measure what is pending of its hardware.

        Of the workers of one machine only one does. Without pending trials an identical machine
        stays idle: two specimens of a chip differ by several percent, and the candidates of one
        run are to be compared with each other.
        """
        name = address
        try:
            machine = await self._ask(address, worker.identify)
            name = machine["name"]
            if machine["version"] != worker.version():
                raise _LostError(f"it has {machine['version']}, this is {worker.version()}")
            del self.hardware[address]
            async with self.nodes.setdefault(machine["node"], asyncio.Lock()):
                self.hardware[address] = None
                rows = self.snapshot.rows({"source": {SOURCE}, "host": {machine["host"]}})
                earlier = [row for _, row in rows]
                found = await self._ask(
                    address, worker.survey, self.run_id, self.asked, earlier, self.per_hardware
                )
                hardware = self.hardware[address] = self._join(name, found)
                while address in self.workers:
                    for one in self.passes:
                        if one.hardware == hardware and one.pending and one.node is None:
                            await self._measure(one, address, name)
                    await asyncio.sleep(POLL_S)
        except _LostError as error:
            self.left_out.append(f"{name}: {error}")
            self.hear(Notice(f"{name} is left out: {error}"))
        finally:
            self.hardware.pop(address, None)

    async def _ask(
        self,
        address: str,
        function: Callable[..., Any],
        *given: Any,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Any:
        """Result of a task at a worker and no other one; calls `meanwhile` now and then.

        Raises:
            _LostError: The worker died, or the task failed; its message may quote a text.
        """
        future = self.client.submit(
            function, *given, workers=[address], allow_other_workers=False, pure=False, retries=0
        )
        result = asyncio.ensure_future(future.result())
        try:
            while not result.done():
                await asyncio.wait({result}, timeout=POLL_S)
                meanwhile()  # steps that were sent before the result are here before it
                if address not in self.workers:
                    raise _LostError("its worker died")
            if (error := result.exception()) is not None:
                remedy = "; is joulewise[calibration,fleet] there and at the scheduler?"
                remedy *= function is worker.identify
                raise _LostError(f"the worker failed with {type(error).__name__}{remedy}")
            return result.result()
        finally:
            result.cancel()
            future.release()

    async def _measure(self, one: _Pass, address: str, name: str) -> None:
        """Has a worker measure what is pending; what is left then waits for a machine again.

        Raises:
            _LostError: It did not begin with any trial.
        """
        topic, trials = f"{one.run_id}/{secrets.token_hex(4)}", tuple(one.pending)
        steps: deque[bytes | str] = deque()
        one.node, one.trial = name, None

        def take_steps() -> None:
            while steps:
                self._take(one, trials, steps.popleft())

        self.client.subscribe_topic(topic, lambda event: steps.append(event[1]))
        given = (self.run_id, one.run_id, trials, topic)
        try:
            reason = await self._ask(address, worker.measure, *given, meanwhile=take_steps)
        except _LostError as error:
            reason = str(error)
        finally:
            one.node = None
        if not one.pending:
            return
        reason = reason or "the worker stopped"
        if one.trial is None:
            raise _LostError(reason)
        (trial, *_) = [each for each in one.pending if each is one.trial] or one.pending
        self.hear(Notice(f"{name}, {trial.candidate} on {trial.workload}: {reason}"))
        pair = pair_of(trial)
        one.lost[pair] += 1
        if one.lost[pair] >= ATTEMPTS:
            self._fail(one, pair, f"{reason}, {one.lost[pair]} times")

    def _fail(self, one: _Pass, pair: tuple[str, str], reason: str) -> None:
        """Fails what is pending of a candidate on a workload."""
        failed = [trial for trial in one.pending if pair_of(trial) == pair]
        one.pending = [trial for trial in one.pending if pair_of(trial) != pair]
        self.progress.emit_unmeasured("failed", failed, reason, place=one.place)

    def _give_up(self) -> None:
        """Fails trials whose hardware has had no machine for `GRACE_S`."""
        now_s = time.monotonic()
        for one in self.passes:
            # a machine that has not planned yet may turn out to be of this hardware
            if {None, one.hardware}.intersection(self.hardware.values()):
                one.seen_s = now_s
            elif now_s - one.seen_s >= GRACE_S:
                for pair in dict.fromkeys(map(pair_of, one.pending)):
                    lost = "its worker died; " if one.lost[pair] else ""
                    self._fail(one, pair, f"{lost}no machine of this hardware is left")

    def _join(self, name: str, found: Survey) -> str:
        """Adds a machine that has planned and returns its hardware; new hardware gets passes.

        Raises:
            _LostError: It cannot be used.
        """
        if found.refused is not None:
            raise _LostError(found.refused)
        for workload, sha256 in found.data.items():
            if self.data.setdefault(workload, sha256) != sha256:
                raise _LostError(f"its workload {workload!r} has other content than elsewhere")
        alike = [one.place for one in self.passes if one.hardware == found.hardware]
        if alike:
            self.hear(Notice(f"{name} joins {alike[0]}"))
            return found.hardware
        self.devices = {**found.devices, **self.devices}
        for number, trials in enumerate(found.passes, start=1):
            place = found.place(number, [one.place for one in self.passes])
            if number == 1:
                self.hear(Notice(f"{name} joins as {place}"))
            run_id = f"{self.run_id}-{len(self.passes) + 1}" if self.passes else self.run_id
            pending = [trial for trial in trials if self.measuring and not trial.present]
            self.passes.append(_Pass(place, found.hardware, run_id, pending))
            self.progress.total += len(trials)
            names = {"devices": tuple(found.devices), "workloads": tuple(found.workloads)}
            self.hear(Joined(place=place, trials=trials, **names))
            self._emit_present(place, trials)
        return found.hardware

    def _emit_present(self, place: str, trials: Sequence[Trial]) -> None:
        """Emits trials that the catalog has already, with the figures of their rows."""
        stored = stored_rows(self.snapshot)
        for trial in trials:
            if trial.present:
                row = row_of(trial, stored)
                figures = event_figures(self.devices, row) if row else {}
                self.progress.emit("present", trial, place=place, **figures)

    def _take(self, one: _Pass, trials: Sequence[Trial], message: bytes | str) -> None:
        """Takes an encoded step of one of the trials, or a notice of the worker."""
        if isinstance(message, str):
            self.hear(Notice(f"{one.node} {message}"))
            return
        step = msgspec.msgpack.decode(message, type=TrialStep)
        trial = one.trial = trials[step.number]
        where: dict[str, str | None] = {"place": one.place, "node": one.node}
        if step.kind not in ("finished", "skipped", "failed"):
            self.progress.emit(step.kind, trial, reason=step.reason, **where)
            return
        same = [each for each in one.pending if pair_of(each) == pair_of(trial)]
        settled = same if step.rest else [trial]
        one.pending = [each for each in one.pending if each not in settled]
        if step.file is None:
            self.progress.emit_unmeasured(step.kind, settled, step.reason or "?", **where)
            return
        # of device and workload records with equal names the first one counts
        devices = tuple(each for each in step.file.devices if each.name not in self.declared)
        workloads = tuple(each for each in step.file.workloads if each.name not in self.declared)
        self.store.add(msgspec.structs.replace(step.file, devices=devices, workloads=workloads))
        self.declared |= {each.name for each in devices} | {each.name for each in workloads}
        (row,) = step.file.measurements
        self.progress.emit("finished", trial, **where, **event_figures(self.devices, row))
