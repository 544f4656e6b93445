"""Export to BoAmps: measurements in, reports of the energy of AI tasks out.

BoAmps (AI Measures of Power consumption Sharing) is Boavizta's data model for the energy of AI
tasks, version 1.1.0 of 2025-03-19, https://github.com/Boavizta/BoAmps, CC BY 4.0. One report is one
measured task: here one row. A row that lacks a value BoAmps requires makes no report; unknown
optional fields are left out (country, publisher of own rows, quality, utilisation).
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
from catalog.registry.tasks import tasks
from catalog.snapshot import Snapshot
from catalog.store.hashes import key_of

VERSION = "1.1.0"
SPECIFICATION = "https://github.com/Boavizta/BoAmps/tree/main/model"
J_PER_KWH = 3.6e6
_STAGE = {"inference": "inference", "train": "training", "load": "model loading"}
_ALGORITHM = {
    "lexicon": "nlp",
    "bag-of-words": "nlp",
    "tf-idf": "nlp",
    "static-embedding": "embeddings creation",
    "frozen-encoder": "embeddings creation",
    "fine-tuned-encoder": "neural network",
    "zero-shot-embedding": "embeddings creation",
    "zero-shot-nli": "neural network",
    "zero-shot-llm": "llm",
    "reasoning-llm": "llm",
}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB = re.compile(r"[\w.-]+/[\w.-]+")


class Export(msgspec.Struct, frozen=True):
    """Reports, and the number of rows without a report by reason."""

    reports: tuple[dict[str, Any], ...]
    left_out: dict[str, int]


def export(
    rows: Iterable[Measurement], snapshot: Snapshot, now: datetime.datetime | None = None
) -> Export:
    """One report for each row that has what BoAmps requires.

    Args:
        rows: Measurements to report.
        snapshot: Catalog with the devices, workloads and candidates of the rows.
        now: Date of the reports; default: the current time.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    reports, left_out = [], Counter[str]()
    for row in rows:
        reason = _missing_requirement(row)
        if reason is None:
            reports.append(report(row, snapshot, now))
        else:
            left_out[reason] += 1
    return Export(tuple(reports), dict(left_out))


def _missing_requirement(row: Measurement) -> str | None:
    """What BoAmps requires and a row lacks: energy or number of devices; ``None`` if nothing."""
    if not _joules(row):
        return "without a value of energy"
    return "without a number of devices" if row.n_devices is None else None


def report(row: Measurement, snapshot: Snapshot, now: datetime.datetime) -> dict[str, Any]:
    """The BoAmps report of one row with an energy; its id is the same in every export.

    Args:
        row: With a value of energy and a number of devices.
        snapshot: Catalog with the device, workload and candidate of the row.
        now: Date of the report.
    """
    device = snapshot.devices[row.device]
    fingerprint = _fingerprint(row)
    system = str(fingerprint.get("context", {}).get("system", "")).partition(" ")[0]
    python = fingerprint.get("context", {}).get("python")
    return _present(
        header=_present(
            licensing=row.licence,
            formatVersion=VERSION,
            formatVersionSpecificationUri=SPECIFICATION,
            reportId=str(uuid.uuid5(uuid.NAMESPACE_URL, f"joulewise:{key_of(row)}")),
            reportDatetime=f"{now:%Y-%m-%d %H:%M:%S}",
        ),
        task=_task(row, snapshot, fingerprint),
        measures=[_measure(row, name, *part, fingerprint) for name, part in _joules(row).items()],
        system={"os": system} if system else None,
        software={"language": "python", "version": python} if python else None,
        infrastructure={"infraType": "other", "components": [_component(row, device)]},
    )


def _present(**fields: Any) -> dict[str, Any]:
    """Fields without those that are ``None``."""
    return {name: value for name, value in fields.items() if value is not None}


def _fingerprint(row: Measurement) -> dict[str, Any]:
    """Fingerprint of a calibrated row; empty for other rows."""
    try:
        found = json.loads(row.fingerprint or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _joules(row: Measurement) -> dict[str, tuple[float, Label]]:
    """Joules and label of each component or of the total; never both, as readers add them up."""
    if row.total_j is not None and row.total_label not in (None, "modelled"):
        return {row.total_scope or "total": (row.total_j, row.total_label)}
    return components(row)


def _measure(
    row: Measurement, part: str, joules: float, label: Label, fingerprint: dict[str, Any]
) -> dict[str, Any]:
    """One component's energy (kWh) with its tool and tracking mode.

    BoAmps calls the mode of assumed power ``constant``.
    """
    tool = _tool(row, part, label)
    mode = "constant" if label == "modelled" else tool
    versions = fingerprint.get("context", {}).get("code", {})
    return _present(
        measurementMethod=f"{tool} ({part}, {label})",
        version=versions.get("codecarbon") if tool == "codecarbon" else None,
        cpuTrackingMode=mode if part in ("cpu", "dram") else None,
        gpuTrackingMode=mode if part == "gpu" else None,
        powerConsumption=joules / J_PER_KWH,
        measurementDuration=row.runtime_s,
        measurementDateTime=_utc_time(row.measured_at),
    )


_METERS = {
    "gpu": ("nvml", "amdsmi", "powermetrics"),
    "cpu": ("rapl", "powermetrics"),
    "dram": ("rapl",),
    "npu": ("powermetrics",),
    "board": ("ina",),
    "wall": ("wall",),
}
"""Beginnings of the names of meters that read a component."""


def _tool(row: Measurement, part: str, label: Label) -> str:
    """The meter that read a component; several meters of a calibration are joined with ``+``."""
    if row.source != "calibration" or row.meter is None:
        return row.meter or f"as published by {row.source}"
    if label == "modelled":
        return "codecarbon"
    meters = row.meter.split("+")
    return next((name for name in meters if name.startswith(_METERS.get(part, ()))), row.meter)


def _utc_time(measured_at: str | None) -> str | None:
    """A time in BoAmps' format, in UTC; ``None`` where only the day is known."""
    if measured_at is None or len(measured_at) <= len("2026-01-01"):
        return None
    time = datetime.datetime.fromisoformat(measured_at)
    return f"{time.astimezone(datetime.UTC) if time.tzinfo else time:%Y-%m-%d %H:%M:%S}"


def _task(row: Measurement, snapshot: Snapshot, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """The task: stage, model, data, accuracy, and further facts in words."""
    workload = snapshot.workloads[row.workload]
    candidate = snapshot.candidates.get(row.candidate)
    inference = row.phase == "inference"
    tuned = candidate is not None and candidate.family == "fine-tuned-encoder"
    return _present(
        taskStage="finetuning" if tuned and row.phase == "train" else _STAGE[row.phase],
        taskFamily=_family(row, workload.task),
        nbRequest=row.n_items if inference else None,
        algorithms=[_algorithm(row, candidate, fingerprint)],
        dataset=[
            _present(
                dataUsage="input",
                dataType="text",
                dataQuantity=None if row.phase == "load" else row.n_items,
                sourceUri=_dataset_uri(workload.dataset, workload.revision),
            )
        ],
        measuredAccuracy=row.accuracy,
        taskDescription=_description(row),
    )


def _family(row: Measurement, task: str) -> str:
    """The kind of task in BoAmps' terms."""
    classification = task in tasks() or row.source == "calibration" or row.accuracy is not None
    return "text classification" if classification else task.replace("-", " ")


def _dataset_uri(dataset: str | None, revision: str | None) -> str | None:
    """Address of a hub data set with a pinned revision; ``None`` for others."""
    if not _HUB.fullmatch(dataset or "") or not _COMMIT.fullmatch(revision or ""):
        return None
    return f"https://huggingface.co/datasets/{dataset}/tree/{revision}"


def _algorithm(
    row: Measurement, candidate: Candidate | None, fingerprint: dict[str, Any]
) -> dict[str, Any]:
    """The model, with its number of parameters in billions."""
    parameters = row.n_parameters or (candidate.n_parameters if candidate else None)
    training = candidate.training if candidate else None
    checkpoint = candidate.checkpoint if candidate else None
    uri = f"https://huggingface.co/{checkpoint}" if _HUB.fullmatch(checkpoint or "") else None
    revision = candidate.revision if candidate else None
    libraries = fingerprint.get("energy", {}).get("libraries", {})
    framework = next((n for n in ("transformers", "scikit-learn") if n in libraries), None)
    return _present(
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
    """Facts that BoAmps has no field for, in words: serving, labels, warnings, source."""
    batch = f", {row.batch_size:g} texts per call" if (row.batch_size or 1) > 1 else ""
    labels = ", ".join(f"{name} {label}" for name, (_, label) in _joules(row).items())
    parts = [
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
    return "; ".join(part for part in parts if part)


def _component(row: Measurement, device: Device) -> dict[str, Any]:
    """The chip that ran the task."""
    return _present(
        componentName=device.name,
        componentType=device.kind,
        nbComponent=row.n_devices,
        memorySize=round(device.memory_gb) if device.kind == "gpu" and device.memory_gb else None,
        manufacturer=device.vendor,
    )
