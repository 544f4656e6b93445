"""Carries a fleet's orders to Dask workers and what they say back to the account.

One thing is asked of a machine at a time, through one of its workers. Dask's own retries are never
used: a job whose worker is gone or silent is dropped, and whatever it still says is not heard.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from calibration.fleet import worker as worker_side
from calibration.fleet.account import Account, Work
from calibration.fleet.messages import Answer, Machine, Survey, decode, encode, version
from calibration.fleet.passes import Node, Patience, next_unit, stranded
from calibration.measurement.progress import TrialStep

POLL_S = 0.5
ASK_S = 60.0
"""Seconds in which a worker must say which machine it is on, and hand over what it has ready."""
RESTART_S = 30.0


class FleetError(RuntimeError):
    """No fleet can be calibrated through this scheduler; the text says why."""


@dataclass(eq=False)
class _Job:
    """Something asked of a worker; with `work` where a unit is measured."""

    kind: Literal["identify", "survey", "measure"]
    address: str
    deadline_s: float
    node: Node | None = None
    work: Work | None = None
    future: Any = None


class Dispatch:
    """Machines and what they are asked; lives in one thread.

    What Dask's threads have to say goes through an inbox.

    Args:
        client: Of the scheduler, connected.
        account: Of the trials.
        measuring: Whether anything is measured, or only planned.
        machines: How many must have joined before it may end.
        per_hardware: How often each hardware is measured.
        patience: How long to wait for what.
    """

    def __init__(
        self,
        client: Any,
        account: Account,
        *,
        measuring: bool,
        machines: int,
        per_hardware: int,
        patience: Patience,
    ) -> None:
        self._measuring, self._machines = measuring, machines
        self._client, self._account, self._patience = client, account, patience
        self._per_hardware, self._request = per_hardware, encode(account.asked)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._jobs: list[_Job] = []
        self._seen: set[str] = set()
        self.nodes: dict[str, Node] = {}

    def run(self) -> bool:
        """Until every trial is settled; false where Ctrl-C ended it.

        Raises:
            FleetError: The scheduler is gone.
        """
        self._client.subscribe_topic(self._account.run_id, self._overheard)
        self._account.notice(f"waiting for workers at {self._client.scheduler.address}")
        try:
            while self._unfinished():
                self._read()
                self._count_workers()
                self._look_at_clock()
                self._hand_out()
        except KeyboardInterrupt:
            return False
        finally:
            self._cancel(self._jobs)
        return True

    def _unfinished(self) -> bool:
        """Whether there is anything to wait for."""
        if self._jobs or len(self.nodes) < self._machines:
            return True
        unknown = any(node.there and node.surveyed is None for node in self.nodes.values())
        passes = self._account.passes if self._measuring else ()
        return unknown or not all(each.finished for each in passes)

    def _overheard(self, event: tuple[float, Any]) -> None:
        """A step of an order, in Dask's thread."""
        attempt, step = event[1]["attempt"], event[1]["told"]
        self._inbox.put(lambda: self._told(attempt, step))

    def _read(self) -> None:
        """Takes in what has come, waiting a moment for it."""
        try:
            self._inbox.get(timeout=POLL_S)()
            while True:
                self._inbox.get_nowait()()
        except queue.Empty:
            return

    def _count_workers(self) -> None:
        """Who is there, who came and who went."""
        if self._client.status not in ("running", "connecting"):
            raise FleetError("the scheduler is gone; what is finished is kept, run it again")
        try:
            there = self._client.nthreads().keys()
        except OSError:  # a connection that is lost comes back, or changes the status above
            return
        for address in self._seen - there:
            self._gone(address)
        for address in there - self._seen:
            self._submit(_Job("identify", address, _in(ASK_S)), worker_side.identify)
        self._seen = set(there)

    def _look_at_clock(self) -> None:
        """Gives up what takes too long, and what there is no machine for."""
        now_s, nodes = time.monotonic(), list(self.nodes.values())
        for job in [job for job in self._jobs if now_s > job.deadline_s]:
            self._hung(job)
        for each in self._account.passes:
            for unit in stranded(each, nodes, now_s, self._patience.grace_s):
                before = f"{unit.reason}; " if unit.reason else ""
                reason = f"{before}no machine of this hardware is left"
                self._account.give_up(each, unit, reason)

    def _hand_out(self) -> None:
        """A survey to each machine nobody knows, a unit to each that waits."""
        now_s, nodes, passes = time.monotonic(), list(self.nodes.values()), self._account.passes
        for node in nodes:
            if node.surveyed is None and node.free(now_s):
                self._survey(node)
        for each in passes if self._measuring else ():
            if (found := next_unit(each, passes, nodes, now_s)) is not None:
                self._measure(self._account.begin(each, *found))

    def _submit(self, job: _Job, function: Callable[..., bytes], *given: Any) -> None:
        """Asks a worker, and nobody in its place."""
        self._jobs.append(job)
        if job.node is not None:
            job.node.measures = True
        job.future = self._client.submit(
            function, *given, workers=[job.address], allow_other_workers=False,
            pure=False, retries=0,
        )  # fmt: skip
        job.future.add_done_callback(lambda _: self._inbox.put(lambda: self._ended(job)))

    def _survey(self, node: Node) -> None:
        """Asks a machine what it would measure."""
        node.surveyed = next(iter(node.workers))
        job = _Job("survey", node.surveyed, _in(self._patience.survey_s), node)
        rows = self._account.rows_on(node.host)
        self._submit(job, worker_side.survey, self._request, rows, self._per_hardware)

    def _measure(self, work: Work) -> None:
        """Has a unit measured; the fit that was planned with a settled trial is made again."""
        first_s = work.unit.planned_s + work.unit.open[0].estimated_s
        deadline_s = self._allowed(first_s)
        job = _Job("measure", work.node.surveyed or "", deadline_s, work.node, work)
        topic = self._account.run_id
        self._submit(job, worker_side.measure, self._request, encode(work.order), topic)

    def _allowed(self, planned_s: float) -> float:
        """When a trial that starts now counts as hung."""
        return _in(self._patience.allowance_s(planned_s, self._account.asked.profile))

    def _cancel(self, jobs: Sequence[_Job]) -> None:
        """Tells Dask that nobody waits for these any more."""
        if jobs and self._client.status == "running":
            self._client.cancel([job.future for job in jobs])

    def _drop(self, job: _Job) -> None:
        """Forgets a job."""
        self._jobs.remove(job)
        if job.node is not None:
            job.node.measures = False

    def _told(self, attempt: str, step: bytes) -> None:
        """One step of an order, if that is still waited for."""
        for job in self._jobs:
            if job.work is not None and job.work.order.attempt == attempt:
                told = decode(step, TrialStep)
                begun = self._account.told(job.work, told)
                if begun is not None and told.number:
                    job.deadline_s = self._allowed(begun.estimated_s)

    def _ended(self, job: _Job) -> None:
        """A job is done, or Dask gave it up."""
        if job not in self._jobs:
            return
        try:
            content = job.future.result(timeout=ASK_S)
        except Exception as error:  # its words are a worker's and may quote anything
            self._failed(job, f"the worker failed with {type(error).__name__}")
            return
        self._drop(job)
        if job.work is not None:
            self._answered(job.work, decode(content, Answer))
        elif job.node is not None:
            self._account.join(job.node, decode(content, Survey))
        else:
            self._identified(job.address, decode(content, Machine))

    def _failed(self, job: _Job, reason: str) -> None:
        """A job without an answer: of a unit an attempt is lost, else the worker is no good."""
        self._drop(job)
        if job.work is not None:
            self._account.lost(job.work, reason)
        elif job.node is not None:
            self._account.leave_out(job.node, reason)
        else:
            said = f"{job.address} is left out: {reason}; is joulewise[calibration,fleet] there?"
            self._account.notice(said)

    def _answered(self, work: Work, answer: Answer) -> None:
        """An order came to its end."""
        self._account.told_again(work, answer.told)
        if answer.busy is None:
            self._account.lost(work, answer.refused or "the worker stopped")
            return
        if work.node.again_s is None:
            self._account.notice(f"{work.node.name} waits: {answer.busy}")
        work.node.again_s = _in(self._patience.again_s)
        self._account.put_back(work)

    def _identified(self, address: str, machine: Machine) -> None:
        """A worker says which machine it is on."""
        if machine.version != version():
            said = f"it has {machine.version}, this is {version()}"
            self._account.notice(f"{machine.name} ({address}) is left out: {said}")
            return
        new = Node(machine.node, machine.name, machine.host)
        self.nodes.setdefault(machine.node, new).workers[address] = machine.process

    def _gone(self, address: str) -> None:
        """A worker left; what it had in hand is lost."""
        for job in [job for job in self._jobs if job.address == address]:
            self._cancel([job])
            self._drop(job)
            if job.work is not None:
                self._account.lost(job.work, "its worker died")
        for node in self.nodes.values():
            if node.surveyed == address:
                node.left_out = None  # another worker there may do better
            node.leave(address)

    def _hung(self, job: _Job) -> None:
        """Takes a job from a worker that does not answer, and has the worker restarted."""
        self._cancel([job])
        self._drop(job)
        if job.work is not None:
            job.work.unit.avoid.add(job.work.node.id)
            self._account.lost(job.work, "no answer in time")
        if job.node is None:
            self._account.notice(f"{job.address} is left out: no answer in time")
        else:
            job.node.measures = True
            given = job.node, job.address
            threading.Thread(target=self._restart, args=given, daemon=True).start()

    def _restart(self, node: Node, address: str) -> None:
        """Has a worker's nanny kill it and start another; in a thread, as it takes a while."""
        try:
            self._client.restart_workers([address], timeout=RESTART_S, raise_for_error=False)
            left_out = None
        except ValueError:
            left_out = "it hangs, and its worker has no nanny to restart it"
        except Exception as error:
            left_out = f"it hangs, and restarting its worker failed with {type(error).__name__}"
        self._inbox.put(lambda: self._restarted(node, address, left_out))

    def _restarted(self, node: Node, address: str, left_out: str | None) -> None:
        """The machine may be asked again, through another process, or never."""
        node.measures = False
        if left_out is None:
            node.leave(address)
        elif address in node.workers:
            self._account.leave_out(node, left_out)


def _in(seconds: float) -> float:
    """A moment of the clock deadlines are on."""
    return time.monotonic() + seconds
