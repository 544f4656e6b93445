"""What follows from the catalog: estimates, recommendations, reports.

`recommend`, `report` and `train` do what the commands of these names do and return records. Without
a snapshot they read the catalog that ``JOULEWISE_CATALOG`` names, without an estimator the one of
``JOULEWISE_ESTIMATOR``.

Two rooms bear the names of these functions: import from them by `from advisor.recommend.query
import Query`; `import advisor.recommend.query` leads to the function.

It reads snapshots of the catalog and writes nothing to it; it never learns how a number was
measured beyond what the record says.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Loaded before the functions of these names are defined, so that no later import hides them.
import advisor.recommend
import advisor.report  # noqa: F401

if TYPE_CHECKING:
    from advisor.estimator.estimator import Estimator
    from advisor.recommend.advisor import Advisor
    from advisor.recommend.records import Recommendation
    from advisor.report.records import Report
    from catalog import Snapshot

__all__ = ["Advisor", "Estimator", "recommend", "report", "train"]


def recommend(
    *, snapshot: Snapshot | None = None, estimator: Estimator | None = None, **question: Any
) -> Recommendation:
    """The candidate that reaches an accuracy floor for the least energy, and why others lost.

    Args:
        snapshot: The catalog.
        estimator: Estimates what was not measured.
        question: Parameters of ``/recommend``, at least `task` and `min_acc`; `device` may also be
            a `catalog.Device`.

    Raises:
        BadQuestionError: Names the parameter that is unknown, missing or out of its range.
        UnknownNameError: Task, workload or device is not in the catalog.
    """
    import msgspec

    from advisor.recommend.query import BadQuestionError, parameters, query_of
    from catalog import Device

    for name in question.keys() - parameters().keys():
        raise BadQuestionError(name, question[name], f"allowed are: {', '.join(parameters())}")
    device = question.get("device")
    query = query_of(question | {"device": None} if isinstance(device, Device) else question)
    if isinstance(device, Device):
        if query.device is not None:
            raise BadQuestionError("device", device.name, "give a record or specs, not both")
        query = msgspec.structs.replace(query, device=device)
    return _advisor(snapshot, estimator).recommend(query)


def report(
    plan: Mapping[str, Any] | str | Path,
    *,
    snapshot: Snapshot | None = None,
    estimator: Estimator | None = None,
) -> Report:
    """kWh, kg CO2e and cost of planned deployments.

    Args:
        plan: The plan as a mapping, or the path of a TOML or JSON file.
        snapshot: The catalog.
        estimator: Estimates what was not measured.

    Raises:
        PlanError: Lists every fault of the plan.
        OSError: The file cannot be read.
    """
    from advisor.report import plan as plans
    from advisor.report.report import report as made

    if isinstance(plan, Mapping):
        checked = plans.checked(plan)
    else:
        file = Path(plan)
        checked = plans.read(file.read_bytes(), "json" if file.suffix == ".json" else "toml")
    return made(_advisor(snapshot, estimator), checked)


def train(
    out: str | Path, *, snapshot: Snapshot | None = None, force: bool = False
) -> dict[str, Any]:
    """Fits the estimator from the catalog and writes artefact and scorecard to a folder.

    Args:
        out: The folder.
        snapshot: The catalog.
        force: Also replaces an artefact whose error is lower.

    Returns:
        The scorecard.

    Raises:
        WorseEstimatorError: The folder holds an artefact whose error is lower.
    """
    from advisor.evaluation import train as training

    return training.train(_given(snapshot), Path(out), force=force)


def _given(snapshot: Snapshot | None) -> Snapshot:
    """The snapshot, or that of ``JOULEWISE_CATALOG``; where nothing was stored, the bundled one."""
    from catalog import Snapshot

    if snapshot is not None:
        return snapshot
    return Snapshot.load(os.environ.get("JOULEWISE_CATALOG") or None)


def _advisor(snapshot: Snapshot | None, estimator: Estimator | None) -> Advisor:
    """An advisor on the given catalog and estimator, or on those of the environment."""
    from advisor.estimator import estimator as estimators
    from advisor.recommend.advisor import Advisor

    known = _given(snapshot)
    if estimator is None:
        folder = os.environ.get("JOULEWISE_ESTIMATOR")
        estimator = estimators.load(Path(folder) if folder else None).informed(known)
    return Advisor(known, estimator, os.environ.get("JOULEWISE_DEVICE") or None)


def __getattr__(name: str) -> Any:
    """`Advisor` and `Estimator`, loaded when they are asked for."""
    if name == "Advisor":
        from advisor.recommend.advisor import Advisor

        return Advisor
    if name == "Estimator":
        from advisor.estimator.estimator import Estimator

        return Estimator
    raise AttributeError(f"module 'advisor' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What completion offers."""
    return __all__
