"""Tests of `api.exports.boamps`: reports hold what BoAmps requires and say only what is known.

Fields, requirements and enumerations are restated from the schemas of BoAmps 1.1.0 (CC BY 4.0):
github.com/Boavizta/BoAmps, model/report_schema.json, algorithm_schema.json, dataset_schema.json,
measure_schema.json and hardware_schema.json.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.context import settings
from api.cli.main import app
from api.exports import boamps
from catalog import snapshot
from catalog.records import Measurement

NOW = datetime.datetime(2026, 11, 21, 12, 0, 0, tzinfo=datetime.UTC)
BUNDLED = snapshot.load()
FINGERPRINT = json.dumps(
    {
        "energy": {"libraries": {"scikit-learn": "1.9"}},
        "context": {
            "python": "3.11.7",
            "system": "Linux 6.1",
            "code": {"codecarbon": "3.3.2"},
        },
    }
)
FIELDS = {
    "header": {
        *("licensing", "formatVersion", "formatVersionSpecificationUri", "reportId"),
        *("reportDatetime", "reportStatus", "publisher"),
    },
    "task": {
        *("taskStage", "taskFamily", "nbRequest", "algorithms", "dataset", "measuredAccuracy"),
        *("estimatedAccuracy", "taskDescription"),
    },
    "algorithm": {
        *("trainingType", "algorithmType", "algorithmName", "algorithmUri", "foundationModelName"),
        *("foundationModelUri", "parametersNumber", "framework", "frameworkVersion", "classPath"),
        *("layersNumber", "epochsNumber", "optimizer", "quantization"),
    },
    "dataset": {
        *("dataUsage", "dataType", "dataFormat", "dataSize", "dataQuantity", "shape", "source"),
        *("sourceUri", "owner"),
    },
    "measure": {
        *("measurementMethod", "manufacturer", "version", "cpuTrackingMode", "gpuTrackingMode"),
        *("averageUtilizationCpu", "averageUtilizationGpu", "powerCalibrationMeasurement"),
        *("durationCalibrationMeasurement", "powerConsumption", "measurementDuration"),
        "measurementDateTime",
    },
    "system": {"os", "distribution", "distributionVersion"},
    "software": {"language", "version"},
    "infrastructure": {
        *("infraType", "cloudProvider", "cloudInstance", "cloudService", "components"),
    },
    "component": {
        *("componentName", "componentType", "nbComponent", "memorySize", "manufacturer"),
        *("family", "series", "share"),
    },
}
REQUIRED = {
    "report": {"task", "measures", "infrastructure"},
    "header": {"reportDatetime"},
    "task": {"taskStage", "taskFamily", "algorithms", "dataset"},
    "algorithm": set(),
    "dataset": {"dataUsage", "dataType"},
    "measure": {"measurementMethod", "powerConsumption"},
    "system": {"os"},
    "software": {"language"},
    "infrastructure": {"infraType", "components"},
    "component": {"componentType", "nbComponent"},
}
ENUMERATIONS = {
    "dataUsage": {"input", "output"},
    "dataType": {
        *("tabular", "audio", "boolean", "image", "video", "object", "text", "token", "word"),
        "other",
    },
    "infraType": {"publicCloud", "privateCloud", "onPremise", "other"},
    "quality": {"high", "medium", "low"},
}
NUMBERS = {
    *("nbRequest", "measuredAccuracy", "parametersNumber", "epochsNumber", "dataQuantity"),
    *("powerConsumption", "measurementDuration"),
}
WHOLE = {"nbComponent", "memorySize"}


def check_part(name: str, part: dict[str, Any]) -> None:
    """One object: its fields are known, the required ones there, values of the right type."""
    assert REQUIRED[name] <= part.keys()
    assert part.keys() <= FIELDS[name]
    for field, value in part.items():
        if field in WHOLE:
            assert type(value) is int
        elif field in NUMBERS:
            assert type(value) in (int, float)
        elif not isinstance(value, (list, dict)):
            assert type(value) is str
            assert value
        if field in ENUMERATIONS:
            assert value in ENUMERATIONS[field]


def check(report: dict[str, Any]) -> None:
    """A whole report against the schemas."""
    assert REQUIRED["report"] <= report.keys()
    assert report.keys() <= {*FIELDS, "measures", "environment", "quality"}
    for name in ("header", "task", "system", "software", "infrastructure"):
        if name in report:
            check_part(name, report[name])
    lists = {
        "algorithm": report["task"]["algorithms"],
        "dataset": report["task"]["dataset"],
        "measure": report["measures"],
        "component": report["infrastructure"]["components"],
    }
    for name, parts in lists.items():
        assert parts  # minItems is 1
        for part in parts:
            check_part(name, part)
    assert 0 <= report["task"].get("measuredAccuracy", 0) <= 1
    when = report["header"]["reportDatetime"]
    assert f"{datetime.datetime.fromisoformat(when):%Y-%m-%d %H:%M:%S}" == when


def row(**values: Any) -> Measurement:
    """A calibrated row: CPU counted by RAPL, memory modelled."""
    cells: dict[str, Any] = {
        "run_id": "calibration-1",
        "source": "calibration",
        "workload": "agnews",
        "candidate": "minilm-l6-finetuned",
        "device": "NVIDIA A30",
        "n_devices": 1,
        "scenario": "offline",
        "precision": "fp16",
        "batch_size": 32.0,
        "n_items": 3600.0,
        "runtime_s": 12.0,
        "cpu_j": 720.0,
        "cpu_label": "measured",
        "dram_j": 36.0,
        "dram_label": "modelled",
        "idle_w": 41.0,
        "accuracy": 0.91,
        "accuracy_split": "test",
        "n_test": 7600,
        "flags": ("unstable",),
        "fingerprint": FINGERPRINT,
        "meter": "nvml+rapl+codecarbon",
        "measured_at": "2026-11-20T10:00:05+02:00",
    }
    return Measurement(**(cells | values))


def one(**values: Any) -> dict[str, Any]:
    """The report of one row."""
    (made,) = boamps.export([row(**values)], BUNDLED, NOW).reports
    check(made)
    return made


def test_every_bundled_row_with_an_energy_makes_a_sound_report() -> None:
    """All sources; what lacks a required figure is left out and counted by reason."""
    made = boamps.export(BUNDLED.measurements, BUNDLED, NOW)
    for report in made.reports:
        check(report)
    assert set(made.left_out) == {"without a value of energy", "without a number of devices"}
    assert len(made.reports) + sum(made.left_out.values()) == len(BUNDLED.measurements)
    assert len({report["header"]["reportId"] for report in made.reports}) == len(made.reports)


def test_energy_is_in_kwh_with_its_label() -> None:
    """720 J are 0.0002 kWh; what was measured is told from what was modelled, per component."""
    cpu, dram = one()["measures"]
    assert cpu["powerConsumption"] == pytest.approx(0.0002)
    assert dram["powerConsumption"] == pytest.approx(0.00001)
    assert cpu["measurementMethod"] == "rapl (cpu, measured)"
    assert (cpu["cpuTrackingMode"], dram["cpuTrackingMode"]) == ("rapl", "constant")
    assert dram["measurementMethod"] == "codecarbon (dram, modelled)"
    assert (dram["version"], "version" in cpu) == ("3.3.2", False)
    assert (cpu["measurementDuration"], cpu["measurementDateTime"]) == (12, "2026-11-20 08:00:05")
    assert "cpu measured, dram modelled" in one()["task"]["taskDescription"]


@pytest.mark.parametrize(
    ("part", "meter", "tool"),
    [
        ("gpu", "amdsmi+rapl+wall", "amdsmi"),
        ("wall", "amdsmi+rapl+wall", "wall"),
        ("board", "ina+wall", "ina"),
        ("cpu", "powermetrics+codecarbon", "powermetrics"),
        ("gpu", "powermetrics+codecarbon", "powermetrics"),
    ],
)
def test_each_component_names_its_meter(part: str, meter: str, tool: str) -> None:
    """Of a row's meters the one that read the component."""
    energy = {f"{part}_j": 36.0, f"{part}_label": "measured"}
    found = [each["measurementMethod"] for each in one(meter=meter, **energy)["measures"]]
    assert f"{tool} ({part}, measured)" in found


def test_a_gpu_is_told_by_its_own_tracking_mode() -> None:
    """Polled power stays visible; the component names the chip and its memory."""
    made = one(gpu_j=36.0, gpu_label="measured", meter="nvml-polled+rapl")
    assert made["measures"][0]["gpuTrackingMode"] == "nvml-polled"
    assert made["infrastructure"]["components"] == [
        {
            "componentName": "NVIDIA A30",
            "componentType": "gpu",
            "nbComponent": 1,
            "memorySize": 24,
            "manufacturer": "NVIDIA",
        }
    ]


def test_a_total_is_not_counted_beside_its_parts() -> None:
    """Readers add measures up, so a published total stands alone, with its scope and label."""
    total = {"total_j": 3.6e6, "total_scope": "gpu+cpu+ram", "total_label": "mixed"}
    (measure,) = one(**total, source="somebody", meter="CodeCarbon")["measures"]
    assert measure["measurementMethod"] == "CodeCarbon (gpu+cpu+ram, mixed)"
    assert measure["powerConsumption"] == pytest.approx(1.0)


def test_what_is_not_known_is_not_said() -> None:
    """No country, no quality, no utilisation, no time of a day alone, no accuracy of a training."""
    made = one(
        fingerprint=None, measured_at="2026-11-20", accuracy=None, n_test=None, idle_w=None,
        runtime_s=None,
    )  # fmt: skip
    assert not {"environment", "quality", "system", "software"} & made.keys()
    assert "measuredAccuracy" not in made["task"]
    assert not {"measurementDateTime", "measurementDuration"} & made["measures"][0].keys()
    assert "publisher" not in made["header"]


def test_rows_without_energy_or_count_are_left_out() -> None:
    """No report with a made-up joule or device."""
    none = dict.fromkeys(("cpu_j", "cpu_label", "dram_j", "dram_label"))
    bound = {"total_high_j": 5.0, "total_scope": "wall", "total_label": "measured"}
    rows = [row(**none), row(**none, **bound), row(n_devices=None)]
    made = boamps.export(rows, BUNDLED, NOW)
    assert made.reports == ()
    assert made.left_out == {"without a value of energy": 2, "without a number of devices": 1}


def test_the_task_names_model_data_and_stage() -> None:
    """Parameters in billions, pinned URIs, one request per text, training told from inference."""
    task = one()["task"]
    (algorithm,), (dataset,) = task["algorithms"], task["dataset"]
    candidate = BUNDLED.candidates["minilm-l6-finetuned"]
    assert task["nbRequest"] == 3600
    assert (task["taskStage"], task["taskFamily"]) == ("inference", "text classification")
    assert algorithm["parametersNumber"] == pytest.approx((candidate.n_parameters or 0) / 1e9)
    assert algorithm["foundationModelUri"].endswith(
        f"{candidate.checkpoint}/tree/{candidate.revision}"
    )
    assert algorithm["quantization"] == "fp16"
    assert dataset["sourceUri"].startswith("https://huggingface.co/datasets/fancyzhx/ag_news/tree/")
    trained = one(phase="train", accuracy=None)["task"]
    assert trained["taskStage"] == "finetuning"
    assert trained["algorithms"][0]["epochsNumber"] == 2
    assert "nbRequest" not in trained
    assert one(candidate="bow-logistic", phase="train")["task"]["taskStage"] == "training"


def test_a_report_keeps_its_id() -> None:
    """Exporting twice names the same report; another row has another name."""
    first, again = (one()["header"]["reportId"] for _ in range(2))
    assert first == again
    assert uuid.UUID(first)
    assert one(run_id="other")["header"]["reportId"] != first


def test_codecarbons_reader_takes_them_without_loss() -> None:
    """CodeCarbon carries the data model too: reading a report and writing it changes nothing."""
    models = pytest.importorskip("codecarbon.output_methods.boamps.models")
    rows = [row(), *BUNDLED.measurements[:: max(1, len(BUNDLED.measurements) // 50)]]
    for report in boamps.export(rows, BUNDLED, NOW).reports:
        assert models.BoAmpsReport.from_dict(report).to_dict() == report


@pytest.fixture
def command(any_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the command line in this process on an own catalog."""
    monkeypatch.setenv("JOULEWISE_CATALOG", any_url)
    settings.cache_clear()
    yield lambda *words: CliRunner().invoke(app, list(words))
    settings.cache_clear()


def test_reports_are_written_as_a_list_or_one_file_each(
    command: Callable[..., Any], run_csv: Callable[..., bytes], tmp_path: Path
) -> None:
    """`.boamps.json` is a list, a folder holds one report per file; both say what was left out."""
    (tmp_path / "run.csv").write_bytes(run_csv({}, {"batch_size": "8", "n_devices": ""}))
    assert command("catalog", "import", str(tmp_path / "run.csv")).exit_code == 0
    file, folder = tmp_path / "out.boamps.json", tmp_path / "reports"
    done = command("catalog", "export", str(file), "--own")
    assert done.exit_code == 0, done.output
    assert "1 BoAmps report(s)" in done.output
    assert "1 without a number of devices" in done.output
    (listed,) = json.loads(file.read_text())
    check(listed)
    assert sum(m["powerConsumption"] for m in listed["measures"]) == pytest.approx(100 / 3.6e6)
    assert command("catalog", "export", str(folder), "--own", "--format", "boamps").exit_code == 0
    (alone,) = folder.iterdir()
    single = json.loads(alone.read_text())
    check(single)
    assert single["measures"] == listed["measures"]
    assert alone.stem == single["header"]["reportId"]


def test_nothing_to_report_writes_no_file(
    command: Callable[..., Any], run_csv: Callable[..., bytes], tmp_path: Path
) -> None:
    """Rows that make no report end in exit code 3 with the reason."""
    (tmp_path / "run.csv").write_bytes(run_csv({"n_devices": ""}))
    command("catalog", "import", str(tmp_path / "run.csv"))
    done = command("catalog", "export", str(tmp_path / "out.boamps.json"), "--own")
    assert done.exit_code == 3
    assert not (tmp_path / "out.boamps.json").exists()
