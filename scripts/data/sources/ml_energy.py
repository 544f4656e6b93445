"""The ML.ENERGY leaderboard: energy of GPUs under language models."""

from __future__ import annotations

import pandas as pd

from advisor.evaluation.experts import of_name
from sources.bundle import ML_ENERGY, Bundle, Row, records, setup, slug

ML_ENERGY_TASKS = {
    "code": "code-generation",
    "sourcegraph-fim": "code-generation",
    "gpqa": "question-answering",
    "instruct": "instruction-following",
    "instruct-concise": "instruction-following",
}


def ml_energy_origin(row: Row) -> Row:
    """Where and when a leaderboard row was published, and how it was served."""
    flags = ("llm", "output-tokens-only")
    newest = "dated to the release of the newest model in it, the earliest possible day"
    second = {"citation": f"{ML_ENERGY}leaderboard-v2", "licence": "Apache-2.0", "flags": flags}
    if "(v3)" in row["source"]:
        licence = "Apache-2.0 (as published in ml-energy/data; the repository states none)"
        third = {"citation": f"{ML_ENERGY}leaderboard", "licence": licence, "flags": flags}
        return {**third, "measured_at": "2025-12-01", "notes": ["dated to the month"]}
    if "2023 leaderboard" in row["notes"]:
        notes = ["batch 1, Hugging Face generation; SXM variant assumed; dated to summer 2023"]
        second |= {"flags": (*flags, "device-variant-assumed"), "scenario": "single"}
        return {**second, "measured_at": "2023-07-01", "notes": notes}
    return {**second, "measured_at": "2024-07-24", "notes": [newest]}


def read_ml_energy(bundle: Bundle, rows: pd.DataFrame) -> None:
    """GPU energy per request of served language models; batch size is the mean concurrency."""
    for row in records(rows, "source", "source_file", "model", "device", "batch_size"):
        dataset, total = row["task"].removeprefix("llm:"), row["model_params"]
        _, _, stated = row["notes"].partition("activated params ")
        active = float(stated.rstrip("B")) * 1e9 if stated else of_name(row["model"])
        name = bundle.candidate(
            slug(row["model"]),
            "other",
            checkpoint=row["model"],
            n_parameters=total,
            n_active_parameters=active if active and active < total else None,
        )
        task = ML_ENERGY_TASKS.get(dataset, "chat")
        bundle.add(
            "ml-energy-leaderboard",
            workload=bundle.workload(f"ml-energy-{dataset}", task, dataset),
            candidate=name,
            runtime_s=row["runtime_s_per_inference"],
            gpu_j=row["energy_j_per_inference"],
            tokens_mean=row["seq_len_or_tokens"],
            reference=f"{row['source_file']}, commit {row['commit'][:7]}",
            **setup(row),
            **ml_energy_origin(row),
        )
