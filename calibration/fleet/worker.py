"""What a worker of a fleet runs: says which machine it is on, plans for it, measures on it.

Nothing here raises for what a candidate or a workload does, so that no traceback of a worker can
quote a text. The catalog is not needed: rows go to the client.
"""

from __future__ import annotations

import functools
import os
import platform
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from calibration.fleet.messages import (
    Answer,
    Machine,
    Order,
    Request,
    Survey,
    decode,
    encode,
    hardware,
    version,
)
from calibration.hardware.lock import BusyError, measurement_lock
from calibration.hardware.machine import detect_machine, read_system_file
from calibration.hardware.threads import use_passive_waits
from calibration.hardware.usage import load_1m
from calibration.measurement.progress import measure_pair
from calibration.measurement.run import Run
from calibration.plan.calibration_plan import CalibrationPlan, PlanError, measured_often
from calibration.plan.planner import plan
from calibration.records import Trial
from calibration.workloads.errors import WorkloadError
from calibration.workloads.load import Texts
from catalog.errors import UnknownNameError
from catalog.records import Measurement


def node_id() -> str:
    """What tells machines apart: Linux's boot id, which containers of one machine share."""
    boot = read_system_file(Path("/proc/sys/kernel/random/boot_id"))
    return boot or f"{platform.node()}-{uuid.getnode():x}"


def identify() -> bytes:
    """The `Machine` of this process."""
    return encode(
        Machine(
            node=node_id(),
            name=platform.node(),
            host=detect_machine().description(),
            process=os.getpid(),
            version=version(),
        )
    )


def _plan(request: Request, rows: tuple[Measurement, ...], **more: Any) -> CalibrationPlan:
    """The plan for this machine."""
    use_passive_waits()
    return plan(
        request.snapshot(rows),
        workloads=request.workloads,
        candidates=request.candidates,
        profile=request.profile,
        data=Path(request.data) if request.data else None,
        models=Path(request.models) if request.models else None,
        seed=request.seed,
        probing=request.probing,
        rates=request.rates,
        backends=request.backends,
        again=request.again,
        **more,
    )


@functools.lru_cache(maxsize=1)
def _fresh(request: bytes) -> CalibrationPlan:
    """The plan as if nothing was measured; made once in a process, as it holds the texts."""
    return _plan(decode(request, Request), ())


def survey(request: bytes, rows: bytes, passes: int) -> bytes:
    """The `Survey` of this machine.

    Args:
        request: The encoded `Request`.
        rows: Rows of earlier calibrations on such a host, encoded, history included.
        passes: How often each hardware is to be measured.
    """
    try:
        made = _fresh(request)
        stored = decode(rows, tuple[Measurement, ...])
        trials = [
            _marked(decode(request, Request), made.texts, measured_often(stored, times))
            for times in range(1, passes + 1)
        ]
    except (WorkloadError, UnknownNameError, PlanError) as error:
        return encode(Survey(refused=str(error)))
    except Exception as error:  # its words may quote a text
        return encode(Survey(refused=f"planning failed with {type(error).__name__}"))
    return encode(
        Survey(
            passes=tuple(trials),
            devices=dict(made.devices),
            data={name: texts.sha256 for name, texts in made.texts.items()},
            workloads={name: texts.workload for name, texts in made.texts.items()},
        )
    )


def _marked(request: Request, texts: Any, rows: list[Measurement]) -> tuple[Trial, ...]:
    """The trials, those of which `rows` tell marked as present."""
    loaded: dict[str, Texts] = dict(texts)
    return _plan(request, tuple(rows), texts=loaded).trials


_IDLE_W: dict[str, float | None] = {}
"""By device, idle watts before this process loaded any model; later ones would hold its context."""


@functools.lru_cache(maxsize=1)
def _run(request: bytes, run_id: str) -> Run:
    """What all rows of one pass share; idle power is read once in the life of a process."""
    return Run(plan=_fresh(request), run_id=run_id, load_1m=load_1m(), known_idle_w=_IDLE_W)


def measure(request: bytes, order: bytes, topic: str) -> bytes:
    """Measures the trials of an `Order` under the machine's lock; returns an `Answer`.

    Each step is sent to the client at once, as an event of `topic`, and returned again at the end.
    It stops between two trials once nobody waits for it any more.
    """
    from distributed import get_worker

    worker, given = get_worker(), decode(order, Order)
    key = worker.get_current_task()
    if os.getpid() != given.process:
        return encode(Answer(refused="the worker's process is another one by now"))

    def waited_for() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "executing"

    def send(step: bytes) -> None:
        worker.log_event(topic, {"attempt": given.attempt, "told": step})

    try:
        with measurement_lock(), _unwatched(worker):
            return encode(_measure(request, given, send, waited_for))
    except BusyError as error:
        return encode(Answer(busy=str(error)))
    except OSError as error:
        return encode(Answer(refused=f"measuring failed: {error.filename}: {error.strerror}"))
    except Exception as error:  # a candidate's own are told step by step; words may quote a text
        return encode(Answer(refused=f"measuring failed with {type(error).__name__}"))


def _measure(
    request: bytes, order: Order, send: Callable[[bytes], None], waited_for: Callable[[], bool]
) -> Answer:
    """See `measure`."""
    if hardware(_fresh(request).trials) != order.hardware:
        return Answer(refused="the machine, its libraries or its data have changed")
    told = []
    for step in measure_pair(_run(request, order.run_id), order.trials):
        if not waited_for():
            break
        content = encode(step)
        send(content)
        told.append(content)
    return Answer(told=tuple(told))


@contextmanager
def _unwatched(worker: Any) -> Iterator[None]:
    """Stops the sampling profiler of a worker, which would be measured too."""
    watcher = worker.periodic_callbacks.get("profile")
    if watcher is None:
        yield
        return
    worker.loop.add_callback(watcher.stop)
    try:
        yield
    finally:
        worker.loop.add_callback(watcher.start)
