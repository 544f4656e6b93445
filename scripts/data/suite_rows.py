"""Writes the runtimes of the suite's own runs that the estimator learns from.

python scripts/data/suite_rows.py

From the sound inference rows of the reference run (`scripts/reference_run.py`), one line each with
machine and date: pipelines without a network (``classical.csv``), and encoders in the columns of
the published runtimes (``encoders.csv``). The same encoder eager, in ONNX Runtime and in OpenVINO
on one machine links the CPUs of OpenVINO's tables to the other libraries.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from advisor.estimator.classical import pipeline_of  # noqa: E402
from catalog import snapshot  # noqa: E402
from catalog.doubt import REFERENCE_RUN  # noqa: E402
from catalog.records import Measurement  # noqa: E402
from catalog.snapshot import Snapshot  # noqa: E402

OUT = ROOT / "catalog" / "reference" / "training"
COLUMNS = (
    *("pipeline", "candidate", "workload", "batch", "tokens", "seconds", "cv"),
    *("device", "source", "measured_at"),
)
FRAMEWORKS = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
ENCODERS = (
    *("source", "source_file", "licence", "model", "model_family", "model_params", "n_layers"),
    *("hidden", "precision", "framework", "scenario", "batch_size", "seq_len", "seq_len_basis"),
    *("device", "device_type", "n_devices", "work", "runtime_s_per_item"),
)


def sound(known: Snapshot) -> list[Measurement]:
    """Rows of inference with seconds and tokens, of texts of like length in a call."""
    return [
        row
        for row in known.current
        if row.source == REFERENCE_RUN
        and row.phase == "inference"
        and row.repeat_group != "arrival-order"
        and row.runtime_s
        and row.tokens_mean
    ]


def pipelines(known: Snapshot) -> Iterator[tuple[str, ...]]:
    """Lines of `COLUMNS`."""
    for row in sound(known):
        pipeline = pipeline_of(known.candidates.get(row.candidate))
        if pipeline and row.candidate != "majority-class":
            yield (
                *(pipeline, row.candidate, row.workload, f"{row.batch_size or 1:g}"),
                *(f"{row.tokens_mean:.3f}", f"{(row.runtime_s or 0) / row.n_items:.6g}"),
                *(f"{row.cv or 0:.4f}", row.device, row.source, row.measured_at or ""),
            )


def encoders(known: Snapshot) -> Iterator[tuple[str, ...]]:
    """Lines of `ENCODERS`; heads on the same encoder are one model."""
    for row in sound(known):
        candidate = known.candidates[row.candidate]
        if candidate.n_layers is None or row.backend not in FRAMEWORKS:
            continue
        size = f"{candidate.n_parameters:g}"
        yield (
            *(row.source, f"{row.reference}; {row.candidate} on {row.workload}"),
            *(row.licence or "", (candidate.checkpoint or "").rpartition("/")[2], "bert", size),
            *(f"{candidate.n_layers:g}", f"{candidate.width:g}", row.precision or ""),
            *(FRAMEWORKS[row.backend], row.scenario, f"{row.batch_size or 1:g}"),
            *(f"{row.tokens_mean:.3f}", "mean", row.device, known.devices[row.device].kind),
            *("1", "encoder", f"{(row.runtime_s or 0) / row.n_items:.6g}"),
        )


def write(name: str, columns: Sequence[str], lines: Iterator[tuple[str, ...]]) -> None:
    """Writes a table, sorted."""
    rows = sorted(lines)
    with (OUT / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    print(f"{name}: {len(rows)} rows")


def main() -> None:
    """Writes both tables."""
    known = snapshot.load()
    write("classical.csv", COLUMNS, pipelines(known))
    write("encoders.csv", ENCODERS, encoders(known))


if __name__ == "__main__":
    main()
