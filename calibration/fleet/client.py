"""A calibration of many machines: what is asked of each, and the run through a Dask scheduler.

The client plans per hardware, hands out one unit per machine at a time, and writes each row when
it comes. `calibration.fleet.passes` and `calibration.fleet.account` keep the books,
`calibration.fleet.dispatch` talks to Dask, `calibration.fleet.worker` is what workers run.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from calibration.classifiers.backends.available import matching
from calibration.fleet.account import Account, Heard, Joined, Notice
from calibration.fleet.dispatch import Dispatch, FleetError
from calibration.fleet.messages import Request
from calibration.fleet.passes import Patience
from calibration.hardware.lock import BusyError
from calibration.measurement.progress import Summary
from calibration.plan.planner import check_rates, choose_candidates, profile_of
from calibration.records import Profile
from catalog.snapshot import Snapshot
from catalog.store.database import Store

__all__ = [
    "FleetError",
    "Heard",
    "Joined",
    "Notice",
    "Patience",
    "Request",
    "calibrate",
    "request",
]

LOCK = "joulewise-fleet"
"""Name of the lock on the scheduler: one calibration at a time."""
_CONNECT_S = 10


def request(
    snapshot: Snapshot,
    *,
    workloads: Sequence[str] = (),
    candidates: Sequence[str] = (),
    profile: str | Profile = "quick",
    data: Path | None = None,
    models: Path | None = None,
    seed: int | None = None,
    probing: bool = False,
    rates: Sequence[float] = (),
    backends: Sequence[str] = (),
    again: bool = False,
) -> Request:
    """What every machine is asked; see `calibration.plan.planner.plan` for the arguments.

    `data` and `models` are folders as the workers see them.

    Raises:
        UnknownNameError: A candidate, profile or backend that is not known.
        PlanError: A rate that cannot be.
    """
    settings = profile_of(profile)
    check_rates(rates)
    matching(backends)
    choose_candidates(snapshot, candidates, "" if probing else settings.name)
    return Request(
        workloads=tuple(workloads),
        candidates=tuple(candidates),
        profile=settings,
        data=str(data) if data else None,
        models=str(models) if models else None,
        seed=random.SystemRandom().randrange(2**31) if seed is None else seed,
        probing=probing,
        rates=tuple(rates),
        backends=tuple(backends),
        again=again,
        devices=dict(snapshot.devices),
        known=dict(snapshot.workloads),
        declared=dict(snapshot.candidates),
    )


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """A client of a scheduler that nobody else calibrates through.

    Raises:
        FleetError: Dask is missing, or nobody answers.
        BusyError: Another calibration runs there.
    """
    try:
        import distributed
    except ImportError as error:
        raise FleetError(f"{error.name} is missing; install joulewise[fleet]") from error
    for name in ("distributed", "tornado.application"):  # what matters of it is told as notices
        logging.getLogger(name).setLevel(logging.CRITICAL)
    dask: Any = distributed
    try:
        client = dask.Client(address, timeout=_CONNECT_S, name="joulewise")
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        raise FleetError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        lock = dask.Lock(LOCK)
        if not lock.acquire(blocking=False):
            raise BusyError(
                f"another calibration runs on the scheduler at {address}; wait for it, as two at "
                "once would spoil each other's figures (one that was killed counts for 30 s)"
            )
        try:
            yield client
        finally:
            if client.status == "running":
                lock.release()


def calibrate(
    address: str,
    asked: Request,
    snapshot: Snapshot,
    store: Store,
    *,
    measuring: bool = True,
    machines: int = 1,
    per_hardware: int = 1,
    patience: Patience | None = None,
    hear: Callable[[Heard], None],
) -> Summary:
    """Measures on every machine that has a worker, and stores each row as soon as it comes.

    Args:
        address: Of the Dask scheduler, e.g. ``tcp://10.0.0.1:8786``.
        asked: What is measured on each hardware; see `request`.
        snapshot: The catalog, for what is measured already.
        store: Where rows go; only the client opens it.
        measuring: Whether to measure; without, `hear` is only told of hardware and its trials.
        machines: How many machines must have joined before it may end.
        per_hardware: How often identical hardware is measured, on different machines where
            there are as many.
        patience: How long to wait for what.
        hear: Is told of hardware, of each trial and of what becomes of machines.

    Raises:
        FleetError: No scheduler, or no machine that can measure.
        BusyError: Another calibration runs on this scheduler.
        CatalogUnreadableError: The catalog cannot be written.
    """
    if measuring:
        store.migrate()
    account = Account(asked, snapshot, store, hear)
    with _connected(address) as client:
        dispatch = Dispatch(
            client,
            account,
            measuring=measuring,
            machines=machines,
            per_hardware=per_hardware,
            patience=patience or Patience(),
        )
        ended = dispatch.run()
    if ended and not account.passes:
        left_out = "; ".join(f"{node.name}: {node.left_out}" for node in dispatch.nodes.values())
        raise FleetError(f"no machine can measure; {left_out}")
    return account.progress.summary(account.run_id, interrupted=not ended)
