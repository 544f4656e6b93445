"""Writes the bundled training rows of the estimator from the collected public figures.

python scripts/data/training_rows.py ENERGY.csv.gz RUNTIME.csv.gz DEVICES_NEEDED.csv

Figures with source, licence and commit as the tables state them; sentences of the sources stay out.
The kind of work of a published runtime is read from its notes and kept as one word.
"""

from __future__ import annotations

import argparse
import gzip
import io
from pathlib import Path

import pandas as pd

from advisor.estimator.profiles import work_of_notes

FOLDER = Path(__file__).parents[2] / "catalog" / "reference" / "training"
ORIGIN = ["source", "source_file", "licence", "commit"]
ENERGY = [
    *ORIGIN,
    "task",
    "model",
    "model_params",
    "precision",
    "batch_size",
    "seq_len_or_tokens",
    "device",
    "device_type",
    "n_devices",
    "n_active_devices",
    "energy_scope",
    "method",
    "host",
    "flag",
    "flops_per_inference",
    "runtime_s_per_inference",
    "energy_j_per_inference",
]
RUNTIME = [
    *ORIGIN,
    "model",
    "model_family",
    "model_params",
    "n_layers",
    "hidden",
    "precision",
    "sparsity",
    "framework",
    "scenario",
    "batch_size",
    "seq_len",
    "seq_len_basis",
    "device",
    "device_type",
    "n_devices",
    "cores_used",
    "work",
    "runtime_s_per_item",
]


def write(table: pd.DataFrame, name: str) -> None:
    """Writes a table, compressed without a time stamp: the same rows give the same bytes."""
    text = io.StringIO()
    table.to_csv(text, index=False, lineterminator="\n")
    with (FOLDER / name).open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(text.getvalue().encode())


def main() -> None:
    """Reads the three tables and writes the bundled ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("energy", "runtime", "devices"):
        parser.add_argument(name, type=Path)
    asked = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    write(pd.read_csv(asked.energy, low_memory=False)[ENERGY], "energy.csv.gz")
    runtime = pd.read_csv(asked.runtime, low_memory=False)
    runtime["work"] = runtime["notes"].fillna("").map(work_of_notes)
    write(runtime[RUNTIME], "runtime.csv.gz")
    devices = pd.read_csv(asked.devices).drop(columns=["rows"])
    write(devices, "devices.csv.gz")


if __name__ == "__main__":
    main()
