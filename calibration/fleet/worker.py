"""Tasks of a fleet's Dask workers: identify the machine, plan for it and measure on it.

Errors of candidates and workloads are returned as reasons, not raised, as a traceback may quote a
text. Workers open no catalog and send no texts: rows go to the client as events of a Dask topic.
"""

from __future__ import annotations

import hashlib
import platform
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from calibration.classifiers.backends.available import matching
from calibration.hardware.lock import BusyError, measurement_lock
from calibration.hardware.machine import detect_machine, read_system_file
from calibration.hardware.threads import use_passive_waits
from calibration.hardware.usage import load_1m
from calibration.measurement.progress import TrialStep, measure_pair
from calibration.measurement.run import Run
from calibration.plan import fingerprint
from calibration.plan.calibration_plan import CalibrationPlan, PlanError, measured_often
from calibration.plan.planner import check_rates, choose_candidates, plan, profile_of
from calibration.records import PROTOCOL_VERSION, Profile, Trial
from calibration.workloads.errors import WorkloadError
from catalog.errors import UnknownNameError
from catalog.records import Device, Measurement, Workload
from catalog.snapshot import Snapshot

LOCK_RETRY_S = 5.0
"""Seconds between two attempts to take the lock of a machine on which another calibration runs."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments of `calibration.plan.planner.plan` that are the same for every machine.

    Attributes:
        data: Folder of workloads as the workers see it; their ``JOULEWISE_DATA`` without one.
            Likewise `models`.
        catalog: Devices, workloads and candidates of the client's `Snapshot`, each by name.
    """

    profile: Profile
    seed: int
    workloads: Sequence[str] = ()
    candidates: Sequence[str] = ()
    data: Path | None = None
    models: Path | None = None
    probing: bool = False
    rates: Sequence[float] = ()
    backends: Sequence[str] = ()
    again: bool = False
    catalog: dict[str, dict[str, Any]]

    def plan(self, rows: Sequence[Measurement], **more: Any) -> CalibrationPlan:
        """The ordinary plan of this machine, given earlier rows."""
        options = msgspec.structs.asdict(self)
        known = Snapshot(measurements=rows, digest="", **options.pop("catalog"))
        return plan(known, **options, **more)


def request(
    snapshot: Snapshot, *, profile: str | Profile = "quick", seed: int | None = None, **options: Any
) -> Request:
    """What every machine is to measure.

    Args:
        snapshot: The catalog.
        profile: ``quick``, ``standard`` or ``reference``.
        seed: Of the order of the pairs; drawn without one.
        options: Further fields of `Request`.

    Raises:
        UnknownNameError: Unknown candidate, profile or backend.
        PlanError: A rate that cannot be.
    """
    asked = Request(
        profile=profile_of(profile),
        seed=random.SystemRandom().randrange(2**31) if seed is None else seed,
        catalog={
            "devices": dict(snapshot.devices),
            "workloads": dict(snapshot.workloads),
            "candidates": dict(snapshot.candidates),
        },
        **options,
    )
    check_rates(asked.rates)
    matching(asked.backends)
    choose_candidates(snapshot, asked.candidates, "" if asked.probing else asked.profile.name)
    return asked


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """Trials that a machine would measure.

    Attributes:
        hardware: Hash of setups and of what moves their energy; equal on identical machines.
        passes: Trials of the first, second ... measurement of this hardware; they differ in what
            is `present`.
        devices: Records of its chips by name.
        data: SHA-256 of each workload's data by name.
        workloads: Records by name.
        refused: Why nothing can be measured there; the rest is empty then.
    """

    hardware: str = ""
    passes: tuple[tuple[Trial, ...], ...] = ()
    devices: dict[str, Device] = {}
    data: dict[str, str] = {}
    workloads: dict[str, Workload] = {}
    refused: str | None = None

    def place(self, number: int, taken: Sequence[str]) -> str:
        """Name of a pass for people: the chips, with numbers that tell it from `taken` names."""
        name = " + ".join(sorted({trial.device for trial in self.passes[0]}))
        name, again = name or "nothing to measure", f", pass {number}" if number > 1 else ""
        names = (name, *(f"{name} ({others})" for others in range(2, len(taken) + 3)))
        return next(each + again for each in names if each + again not in taken)


def node_id() -> str:
    """Identity of this machine: Linux's boot id, which containers of one machine share."""
    boot = read_system_file(Path("/proc/sys/kernel/random/boot_id"))
    return boot or f"{platform.node()}-{uuid.getnode():x}"


def version() -> str:
    """Release and protocol, in which client and workers must agree."""
    release = fingerprint.version("joulewise") or "unknown"
    return f"joulewise {release}, protocol {PROTOCOL_VERSION}"


def identify() -> dict[str, str]:
    """The machine of this worker: `node_id`, host name, description as in rows, `version`."""
    return {
        "node": node_id(),
        "name": platform.node(),
        "host": detect_machine().description(),
        "version": version(),
    }


def hardware(trials: Sequence[Trial]) -> str:
    """Hash of setups and of what moves their energy; equal on identical machines."""
    parts = (msgspec.json.encode([t.key(), t.energy], order="deterministic") for t in trials)
    return hashlib.sha256(b"\0".join(sorted(parts))).hexdigest()


_PLANS: dict[str, CalibrationPlan] = {}
"""The latest surveyed plan by calibration; holds the texts of its workloads."""
_IDLE_W: dict[str, float | None] = {}
"""Idle watts by device before this process loaded any model; later ones would hold its context."""


def survey(calibration: str, request: Request, rows: Sequence[Measurement], passes: int) -> Survey:
    """Plans for this machine; measures nothing.

    Args:
        calibration: Name of the calibration, by which `measure` finds the plan.
        request: What to measure.
        rows: Rows of earlier calibrations on such a host, history included.
        passes: How often each hardware is to be measured.
    """
    _PLANS.clear()
    use_passive_waits()
    try:
        made = request.plan(measured_often(rows, 1))
        plans = [made]
        for times in range(2, passes + 1):
            plans.append(request.plan(measured_often(rows, times), texts=made.texts))
    except (WorkloadError, UnknownNameError, PlanError) as error:
        return Survey(refused=str(error))
    except Exception as error:  # its message may quote a text
        return Survey(refused=f"planning failed with {type(error).__name__}")
    _PLANS[calibration] = made
    return Survey(
        hardware=hardware(made.trials),
        passes=tuple(each.trials for each in plans),
        devices=dict(made.devices),
        data={name: texts.sha256 for name, texts in made.texts.items()},
        workloads={name: texts.workload for name, texts in made.texts.items()},
    )


def measure(calibration: str, run_id: str, trials: Sequence[Trial], topic: str) -> str | None:
    """Measures trials under the machine's lock, for which it waits.

    Each step is sent to the client at once, as an event of a Dask topic: an encoded `TrialStep`,
    whose `number` counts from the first of `trials`, or a notice as text. It ends between two
    trials once the client has released the task or is gone.

    Args:
        calibration: Name of the calibration whose plan `survey` made in this process.
        run_id: Run of the rows.
        trials: Pending trials of that plan, those of a pair together, training first.
        topic: Topic of the events.

    Returns:
        Why it did not walk through all trials; ``None`` if it did.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "executing"

    def send(message: bytes | str) -> None:
        worker.log_event(topic, message)

    if calibration not in _PLANS:
        return "its worker was replaced by a new process"
    made = _PLANS[calibration]
    try:
        with ExitStack() as stack:
            _take_lock(stack, send, wanted)
            stack.enter_context(_profiler_off(worker))
            run = Run(plan=made, run_id=run_id, load_1m=load_1m(), known_idle_w=_IDLE_W)
            for step in _steps(run, trials):
                if not wanted():
                    return "cancelled"
                send(msgspec.msgpack.encode(step))
    except OSError as error:
        return f"measuring failed: {error.filename}: {error.strerror}"
    except Exception as error:  # a candidate's own errors are steps; its message may quote a text
        return f"measuring failed with {type(error).__name__}"
    return None


def pair_of(trial: Trial) -> tuple[str, str]:
    """Workload and candidate, whose trials share a fit."""
    return trial.workload, trial.candidate


def _steps(run: Run, trials: Sequence[Trial]) -> Iterator[TrialStep]:
    """Steps of all pairs, numbered through."""
    begin = 0
    for _, pair in groupby(trials, key=pair_of):
        same = list(pair)
        for step in measure_pair(run, same):
            yield msgspec.structs.replace(step, number=begin + step.number)
        begin += len(same)


def _take_lock(stack: ExitStack, send: Callable[[str], None], wanted: Callable[[], bool]) -> None:
    """Takes the machine's lock as soon as no other calibration holds it, or returns if unwanted."""
    waits = False
    while wanted():
        try:
            stack.enter_context(measurement_lock())
            return
        except BusyError as error:
            if not waits:
                send(f"waits: {error}")
            waits = True
            time.sleep(LOCK_RETRY_S)


@contextmanager
def _profiler_off(worker: Any) -> Iterator[None]:
    """Stops the sampling profiler of a worker, whose energy would be measured too."""
    profiler = worker.periodic_callbacks.get("profile")
    if profiler is None:
        yield
        return
    worker.loop.add_callback(profiler.stop)
    try:
        yield
    finally:
        worker.loop.add_callback(profiler.start)
