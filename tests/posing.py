"""Preload of a Dask worker that lets it pose as another machine: `dask worker --preload`.

``POSE`` is JSON: ``node``, ``cpu``, ``threads``, ``folder`` (of locks and marks), and by name of a
candidate what happens when it is fitted there: ``kill``, the first time; ``slow_s``
are seconds that each fit takes; ``version`` is another one of Joulewise, or empty where it cannot
be found out. Nothing of it is in the product: functions of this process are replaced.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightgbm  # noqa: F401  (imported before anything is timed)
import sklearn.feature_extraction.text
import sklearn.linear_model
import sklearn.metrics
import sklearn.naive_bayes
import sklearn.pipeline
import sklearn.preprocessing
import sklearn.svm  # noqa: F401

from calibration.classifiers import build
from calibration.fleet import worker as worker_side
from calibration.hardware.machine import Machine
from calibration.measurement import run
from calibration.meters.machine_meter import NullMeter
from calibration.plan import planner

POSE = json.loads(os.environ["POSE"])
MACHINE = Machine(
    cpu=POSE["cpu"], sockets=1, cores=POSE["threads"], threads=POSE["threads"], memory_gib=8
)
_build = build.build


def _first_time(name: str) -> bool:
    """Whether this candidate was never tried on this node; marks that it was."""
    try:
        (Path(POSE["folder"]) / f"{POSE['node']}-{name}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _sabotaged(candidate: Any, *rest: Any) -> Any:
    """A candidate whose fit does what `POSE` says."""
    made = _build(candidate, *rest)
    fit, deed = made.fit, POSE.get("deeds", {}).get(candidate.name)

    def act(*given: Any) -> Any:
        begun = time.time()
        time.sleep(POSE.get("slow_s", 0.0))
        if deed == "kill" and _first_time(candidate.name):
            os.kill(os.getpid(), signal.SIGKILL)
        fitted = fit(*given)
        with (Path(POSE["folder"]) / f"{POSE['node']}.spans").open("a") as spans:
            spans.write(f"{begun} {time.time()}\n")
        return fitted

    object.__setattr__(made, "fit", act)
    return made


def dask_setup(worker: Any) -> None:
    """Poses."""
    tempfile.tempdir = str(Path(POSE["folder"]) / POSE["node"])
    Path(tempfile.tempdir).mkdir(exist_ok=True)
    worker_side.node_id = lambda: POSE["node"]
    worker_side.detect_machine = planner.detect_machine = lambda: MACHINE
    worker_side.LOCK_RETRY_S = 0.5
    if POSE["version"] == "":
        del worker_side.version
    elif POSE["version"]:
        worker_side.version = lambda: POSE["version"]
    worker_side.platform = SimpleNamespace(node=lambda: POSE["node"])
    planner.meter_name = lambda _: "none"
    run.meter_for = lambda _: NullMeter()
    build.build = _sabotaged
