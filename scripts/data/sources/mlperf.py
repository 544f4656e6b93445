"""MLPerf inference: power at the wall beside the rate, as submitters measured it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sources.bundle import Bundle, records, setup, slug

ROUNDS = {"v2.0": "2022-04-06", "v2.1": "2022-09-08", "v3.0": "2023-04-05"}
ROUNDS |= {"v3.1": "2023-09-11", "v4.0": "2024-03-27"}
"""Publication dates of the MLPerf Inference rounds."""
SCENARIOS = {"Offline": "offline", "Server": "server", "SingleStream": "single"}
MLPERF_TASKS = {
    "extractive-qa:squad v1.1 (MLPerf BERT)": ("mlperf-squad", "question-answering", "SQuAD v1.1"),
    "summarization/LLM (MLPerf)": ("mlperf-cnn-dailymail", "summarization", "CNN/DailyMail"),
}


def read_mlperf(bundle: Bundle, rows: pd.DataFrame) -> None:
    """Certified wall energy per query; the F1 of question answering is no accuracy."""
    seen: set[tuple[Any, ...]] = set()
    for row in records(rows, "source", "source_file"):
        number, path = row["source"].rstrip(")").split()[-1], row["source_file"].split(" :: ")[1]
        kind, software = row["notes"].split("; ")[0].split(", ", 3)[0::3]
        division, submitter, _, system, *_ = path.split("/")
        joules, seconds = row["energy_j_per_inference"], row["runtime_s_per_inference"]
        content = (system, row["model"], kind, joules, seconds)
        if content in seen:
            bundle.dropped.append(f"mlperf {number}, {path}: also in an earlier round")
            continue
        seen.add(content)
        f1, single = row["accuracy"], kind == "SingleStream"
        size = row["model_params"]
        bundle.add(
            "mlperf-inference-power",
            workload=bundle.workload(*MLPERF_TASKS[row["task"]]),
            candidate=bundle.candidate(slug(row["model"]), "other", n_parameters=size),
            scenario=SCENARIOS[kind],
            repeat_group=f"{number} {division}/{submitter}/{system}",
            runtime_s=seconds,
            wall_j=joules,
            flags=("runtime-is-p90",) if single else (),
            citation=f"MLCommons: MLPerf Inference {number} results with power; "
            "github.com/mlcommons/cm4mlperf-results",
            reference=f"{path}, commit {row['commit'][:7]}",
            measured_at=ROUNDS[number],
            notes=[
                software,
                f"F1 {f1:.4f}, not an accuracy" if f1 == f1 else "",
                "runtime_s is the 90th percentile of latency" if single else "",
            ],
            **setup(row),
        )
