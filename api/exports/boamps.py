"""Measurements as BoAmps reports, so that others can read them beside their own.

BoAmps (AI Measures of Power consumption Sharing) is Boavizta's data model for the energy of AI
tasks, version 1.1.0 of 2025-03-19, https://github.com/Boavizta/BoAmps, CC BY 4.0. One report is one
measured task: here one row. What a report requires and a row does not have makes no report; what is
optional and unknown is left out (country, publisher of own rows, quality, utilisation).
"""

from __future__ import annotations

import datetime
import json
import re
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from catalog.energy import components
from catalog.records import Candidate, Device, Label, Measurement
from catalog.registry.tasks import DEFAULT_WORKLOAD
from catalog.snapshot import Snapshot
from catalog.store.database import key_of

VERSION = "1.1.0"
SPECIFICATION = "https://github.com/Boavizta/BoAmps/tree/main/model"
J_PER_KWH = 3.6e6
_STAGE = {"inference": "inference", "train": "training", "load": "model loading"}
_ALGORITHM = {
    "bag-of-words": "nlp",
    "tf-idf": "nlp",
    "frozen-encoder": "embeddings creation",
    "fine-tuned-encoder": "neural network",
    "zero-shot-nli": "neural network",
    "zero-shot-llm": "llm",
    "reasoning-llm": "llm",
}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB = re.compile(r"[\w.-]+/[\w.-]+")


class Exported(msgspec.Struct, frozen=True):
    """Reports, and how many rows made none, by reason."""

    reports: tuple[dict[str, Any], ...]
    left_out: dict[str, int]


def export(
    rows: Iterable[Measurement], snapshot: Snapshot, now: datetime.datetime | None = None
) -> Exported:
    """One report for each row that has what BoAmps requires.

    Args:
        rows: What to report.
        snapshot: For the records the rows name.
        now: Date of the reports; default: this moment.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    reports, left_out = [], Counter[str]()
    for row in rows:
        reason = _why_none(row)
        if reason is None:
            reports.append(report(row, snapshot, now))
        else:
            left_out[reason] += 1
    return Exported(tuple(reports), dict(left_out))


def _why_none(row: Measurement) -> str | None:
    """Why a row makes no report: BoAmps requires a value of energy and a count of components."""
    if not _joules(row):
        return "without a value of energy"
    return "without a number of devices" if row.n_devices is None else None


def report(row: Measurement, snapshot: Snapshot, now: datetime.datetime) -> dict[str, Any]:
    """One row with an energy as one report; its id is the same whenever it is exported."""
    device = snapshot.devices[row.device]
    around = _context(row)
    system = str(around.get("context", {}).get("system", "")).partition(" ")[0]
    python = around.get("context", {}).get("python")
    return _there(
        header=_there(
            licensing=row.licence,
            formatVersion=VERSION,
            formatVersionSpecificationUri=SPECIFICATION,
            reportId=str(uuid.uuid5(uuid.NAMESPACE_URL, f"joulewise:{key_of(row)}")),
            reportDatetime=f"{now:%Y-%m-%d %H:%M:%S}",
        ),
        task=_task(row, snapshot, around),
        measures=[_measure(row, name, *part, around) for name, part in _joules(row).items()],
        system={"os": system} if system else None,
        software={"language": "python", "version": python} if python else None,
        infrastructure={"infraType": "other", "components": [_component(row, device)]},
    )


def _there(**fields: Any) -> dict[str, Any]:
    """Those fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def _context(row: Measurement) -> dict[str, Any]:
    """A calibrated row's fingerprint; empty for others."""
    try:
        found = json.loads(row.fingerprint or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _joules(row: Measurement) -> dict[str, tuple[float, Label]]:
    """Joules and label of each component, or of the whole: never both, as readers add them up."""
    if row.total_j is not None and row.total_label not in (None, "modelled"):
        return {row.total_scope or "total": (row.total_j, row.total_label)}
    return components(row)


def _measure(
    row: Measurement, part: str, joules: float, label: Label, around: dict[str, Any]
) -> dict[str, Any]:
    """One component's energy with the tool that said it and whether it was measured.

    ``constant`` is BoAmps' word for power that was assumed.
    """
    tool = _tool(row, part, label)
    mode = "constant" if label == "modelled" else tool
    codes = around.get("context", {}).get("code", {})
    return _there(
        measurementMethod=f"{tool} ({part}, {label})",
        version=codes.get("codecarbon") if tool == "codecarbon" else None,
        cpuTrackingMode=mode if part in ("cpu", "dram") else None,
        gpuTrackingMode=mode if part == "gpu" else None,
        powerConsumption=joules / J_PER_KWH,
        measurementDuration=row.runtime_s,
        measurementDateTime=_moment(row.measured_at),
    )


def _tool(row: Measurement, part: str, label: Label) -> str:
    """Which of a row's meters read a component; our own names are joined with ``+``."""
    if row.source != "calibration" or row.meter is None:
        return row.meter or f"as published by {row.source}"
    if label == "modelled":
        return "codecarbon"
    begins = "nvml" if part == "gpu" else "rapl"
    return next((name for name in row.meter.split("+") if name.startswith(begins)), row.meter)


def _moment(measured_at: str | None) -> str | None:
    """A time as BoAmps writes it, in UTC; ``None`` where only a day is known."""
    if measured_at is None or len(measured_at) <= len("2026-01-01"):
        return None
    found = datetime.datetime.fromisoformat(measured_at)
    return f"{found.astimezone(datetime.UTC) if found.tzinfo else found:%Y-%m-%d %H:%M:%S}"


def _task(row: Measurement, snapshot: Snapshot, around: dict[str, Any]) -> dict[str, Any]:
    """What was done: stage, model, data, accuracy; the rest in words."""
    workload = snapshot.workloads[row.workload]
    candidate = snapshot.candidates.get(row.candidate)
    inference = row.phase == "inference"
    tuned = candidate is not None and candidate.family == "fine-tuned-encoder"
    return _there(
        taskStage="finetuning" if tuned and row.phase == "train" else _STAGE[row.phase],
        taskFamily=_family(row, workload.task),
        nbRequest=row.n_items if inference else None,
        algorithms=[_algorithm(row, candidate, around)],
        dataset=[
            _there(
                dataUsage="input",
                dataType="text",
                dataQuantity=None if row.phase == "load" else row.n_items,
                sourceUri=_hub_data(workload.dataset, workload.revision),
            )
        ],
        measuredAccuracy=row.accuracy,
        taskDescription=_description(row),
    )


def _family(row: Measurement, task: str) -> str:
    """The kind of task in BoAmps' words."""
    ours = task in DEFAULT_WORKLOAD or row.source == "calibration" or row.accuracy is not None
    return "text classification" if ours else task.replace("-", " ")


def _hub_data(dataset: str | None, revision: str | None) -> str | None:
    """Where a pinned hub data set is; ``None`` for others."""
    if not _HUB.fullmatch(dataset or "") or not _COMMIT.fullmatch(revision or ""):
        return None
    return f"https://huggingface.co/datasets/{dataset}/tree/{revision}"


def _algorithm(
    row: Measurement, candidate: Candidate | None, around: dict[str, Any]
) -> dict[str, Any]:
    """The model; its parameters in billions."""
    parameters = row.n_parameters or (candidate.n_parameters if candidate else None)
    training = candidate.training if candidate else None
    checkpoint = candidate.checkpoint if candidate else None
    uri = f"https://huggingface.co/{checkpoint}" if _HUB.fullmatch(checkpoint or "") else None
    revision = candidate.revision if candidate else None
    libraries = around.get("energy", {}).get("libraries", {})
    framework = next((n for n in ("transformers", "scikit-learn") if n in libraries), None)
    return _there(
        trainingType="supervisedLearning" if row.phase == "train" else None,
        algorithmType=_ALGORITHM.get(candidate.family) if candidate else None,
        algorithmName=row.candidate,
        foundationModelName=checkpoint,
        foundationModelUri=f"{uri}/tree/{revision}" if uri and revision else uri,
        parametersNumber=None if parameters is None else parameters / 1e9,
        framework=framework,
        frameworkVersion=libraries.get(framework),
        epochsNumber=training.epochs if training and row.phase == "train" else None,
        quantization=row.precision,
    )


def _description(row: Measurement) -> str:
    """What BoAmps has no field for, in words: serving, labels, doubts, source."""
    batch = f", {row.batch_size:g} texts per call" if (row.batch_size or 1) > 1 else ""
    labels = ", ".join(f"{name} {label}" for name, (_, label) in _joules(row).items())
    said = [
        f"{row.candidate} on {row.workload}, phase {row.phase}, scenario {row.scenario}{batch}",
        f"a request is one text; energy is gross: {labels}",
        f"accuracy on {row.n_test} texts of split {row.accuracy_split or 'not stated'}"
        if row.accuracy is not None and row.n_test
        else "",
        f"idle {row.idle_w:g} W" if row.idle_w is not None else "",
        f"machine: {row.host}" if row.host else "",
        f"flags: {', '.join(row.flags)}" if row.flags else "",
        f"contamination: {row.contamination}" if row.contamination else "",
        f"source: {row.citation or row.source}",
        f"run {row.run_id}",
    ]
    return "; ".join(part for part in said if part)


def _component(row: Measurement, device: Device) -> dict[str, Any]:
    """The chip that did the work."""
    return _there(
        componentName=device.name,
        componentType=device.kind,
        nbComponent=row.n_devices,
        memorySize=round(device.memory_gb) if device.kind == "gpu" and device.memory_gb else None,
        manufacturer=device.vendor,
    )
