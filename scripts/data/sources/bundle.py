"""What is going to be written to `catalog/reference`, and the words all sources share."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd

Row = dict[str, Any]
SAME: Row = {"phase": "inference"}
J_PER_WH, J_PER_KWH = 3600.0, 3.6e6
PAPER = (
    "J. Zschache, T. Hartwig: Comparing energy consumption and accuracy in text classification "
    "inference. arXiv:2508.14170 v1, 2025"
)
ML_ENERGY = (
    "J.-W. Chung et al.: The ML.ENERGY Leaderboard, ml.energy/leaderboard; The ML.ENERGY "
    "Benchmark, arXiv:2505.06371; github.com/ml-energy/"
)
SHARED: dict[str, Row] = {
    "zschache-hartwig-2025": {
        "repeats": 10,
        "meter": "CodeCarbon: NVML GPUs, CPU, RAM at 0.375 W/GB",
        "citation": PAPER,
        "licence": "figures cited",
        "measured_at": "2025-08-19",
    },
    "luccioni-2024": {
        "host": "AWS p4de Xeon 8275CL",
        "scenario": "single",
        "precision": "fp32",
        "gpu_label": "measured",
        "flags": ("idle-devices-in-total",),
        "citation": "A. S. Luccioni, Y. Jernite, E. Strubell: Power Hungry Processing: Watts "
        "Driving the Cost of AI Deployment? FAccT 2024, arXiv:2311.16863; "
        "github.com/sashavor/co2_inference",
        "licence": "MIT",
        "measured_at": "2024-06-03",
    },
    "protran-2022": {
        "workload": "sst2-padded-128",
        "n_items": 1,
        "citation": "S. Tuli, N. K. Jha: EdgeTran: Co-designing Transformers for Efficient "
        "Inference on Mobile Edge Platforms. arXiv:2303.13745, 2023; github.com/JHA-Lab/protran",
        "licence": "BSD-3-Clause",
        "measured_at": "2023-03-24",
    },
    "mlperf-inference-power": {
        "n_items": 1,
        "wall_label": "measured",
        "meter": "SPEC PTDaemon wall meter",
        "licence": "Apache-2.0 (repository); MLPerf results usage policy",
    },
    "ml-energy-leaderboard": {"n_items": 1, "gpu_label": "measured", "meter": "Zeus: NVML"},
}
"""Fields that all rows of a file have in common."""
SETUP_COLUMNS = ("device", "host", "n_devices", "n_active_devices", "precision", "batch_size")
"""Columns of the source tables that mean what our fields of the same name mean."""
WORKLOADS = """\
name,task,dataset,language,n_classes,n_train,n_test,citation
rotten-tomatoes,sentiment,cornell-movie-review-data/rotten_tomatoes,en,2,8530,1066,Pang and Lee 2005
imdb,sentiment,stanfordnlp/imdb,en,2,25000,25000,Maas et al. 2011 (ACL)
fktg,topic,FKTG,de,14,189,189,PAPER
news-zh2025,topic,news as named by the paper,,,200,200,PAPER
yelp-zh2025,sentiment,yelp as named by the paper,,,200,200,PAPER
emotion-zh2025,emotion,emotion as named by the paper,,,200,200,PAPER
sst2-padded-128,inference-benchmark,SST-2 as sequences of 128 tokens; speed and energy only,en,2,,,
"""


class Bundle:
    """What is going to be written, and what was left out and why."""

    def __init__(self, data: Path) -> None:
        self.data = data
        known = csv.DictReader(io.StringIO(WORKLOADS.replace("PAPER", f'"{PAPER}"')))
        self.workloads: dict[str, Row] = {row["name"]: row for row in known}
        self.candidates: dict[str, Row] = {}
        self.measurements: dict[str, list[Row]] = {stem: [] for stem in SHARED}
        self.dropped: list[str] = []

    def table(self, name: str) -> list[dict[str, str]]:
        """Rows of a source table, cells as printed."""
        with (self.data / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def candidate(self, name: str, family: str, **fields: Any) -> str:
        """Notes a candidate; raises where two models would share a name."""
        row = {"name": name, "family": family, **fields}
        if cells(self.candidates.setdefault(name, row)) != cells(row):
            raise ValueError(f"two candidates are called {name!r}")
        return name

    def workload(self, name: str, task: str, dataset: str) -> str:
        """Notes a workload that only trains the estimator."""
        self.workloads.setdefault(name, {"name": name, "task": task, "dataset": dataset})
        return name

    def add(self, file: str, **fields: Any) -> None:
        """Notes a measurement of `file`, whose stem is run id and source; lists become text."""
        for name in fields.keys() & {"notes"}:
            fields[name] = "; ".join(part for part in fields[name] if part)
        self.measurements[file].append(
            {**SAME, "run_id": file, "source": file, **SHARED[file], **fields}
        )


def cell(value: Any) -> str:
    """One CSV cell: missing is empty, floats keep at most seven significant digits."""
    if isinstance(value, tuple):
        return ";".join(value)
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, float):
        rounded = float(f"{value:.7g}")
        return str(int(rounded)) if rounded.is_integer() else repr(rounded)
    return str(value)


def cells(row: Row) -> dict[str, str]:
    """A row as it will be written, without its empty cells."""
    return {name: text for name, value in row.items() if (text := cell(value))}


def slug(text: str) -> str:
    """Lower-case kebab name of a model path's last part."""
    return text.split("/")[-1].lower().replace("_", "-").replace(" ", "-")


def setup(row: Row) -> Row:
    """The fields a source row shares with ours."""
    return {name: row[name] for name in SETUP_COLUMNS}


def records(frame: pd.DataFrame, *order: str) -> list[Row]:
    """Rows of a frame in a fixed order."""
    ordered = frame.sort_values(list(order)).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in ordered]


def averaged(rows: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Repeats as one row: mean energy and time, their count, the rest as it stands first."""
    energy, seconds = rows["energy_j_per_inference"], rows["runtime_s_per_inference"]
    groups = [rows[key] for key in keys]
    first = rows.groupby(list(keys)).first().reset_index()
    mean, deviation = energy.groupby(groups).mean(), energy.groupby(groups).std()
    return first.assign(
        joules=mean.to_numpy(),
        seconds=seconds.groupby(groups).mean().to_numpy(),
        repeats=energy.groupby(groups).size().to_numpy(),
        cv=(deviation / mean).round(5).to_numpy(),
    )
