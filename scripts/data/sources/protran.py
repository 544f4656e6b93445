"""Tuli & Jha, EdgeTran: encoders on mobile edge platforms."""

from __future__ import annotations

import pandas as pd

from sources.bundle import Bundle, averaged, records, setup, slug


def read_protran(bundle: Bundle, rows: pd.DataFrame) -> None:
    """One row per FlexiBERT, device and batch size; the window holds start-up and loading."""
    keys = ("device", "model", "precision", "batch_size", "n_devices")
    for row in records(averaged(rows, *keys), *keys):
        size, about = row["model_params"], "parameters approximate, from the architecture"
        name = bundle.candidate(
            slug(row["model"]), "fine-tuned-encoder", n_parameters=size, notes=about
        )
        scope, assumed = row["energy_scope"], "SXM4-40GB assumed" in row["notes"]
        part = scope if scope in ("gpu", "npu") else "total"
        energy = {f"{part}_j": row["joules"], f"{part}_label": "measured"}
        bundle.add(
            "protran-2022",
            candidate=name,
            scenario="single" if row["batch_size"] == 1 else "offline",
            runtime_s=row["seconds"],
            total_scope=scope if part == "total" else None,
            tokens_mean=row["seq_len_or_tokens"],
            repeats=row["repeats"] if row["repeats"] > 1 else None,
            flags=("startup-in-window", *(("device-variant-assumed",) if assumed else ())),
            meter=row["method"],
            reference=f"{row['source_file'].split('/')[2]}, commit {row['commit'][:7]}",
            notes=[
                "window is the whole process with imports and model load, per sequence",
                "SXM4-40GB assumed from its peak power" if assumed else "",
            ],
            **setup(row),
            **energy,
        )
