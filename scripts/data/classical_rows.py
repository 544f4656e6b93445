"""Writes the runtimes of pipelines without a network that the estimator learns from.

python scripts/data/classical_rows.py

From the bundled rows of the reference run (`scripts/reference_run.py`): sound inference rows of
lexicons, static embeddings and counts, one line each with machine and date.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from advisor.estimator.classical import pipeline_of  # noqa: E402
from catalog import snapshot  # noqa: E402
from catalog.doubt import REFERENCE_RUN  # noqa: E402

OUT = ROOT / "catalog" / "reference" / "training" / "classical.csv"
COLUMNS = (
    *("pipeline", "candidate", "workload", "batch", "tokens", "seconds", "cv"),
    *("device", "source", "measured_at"),
)


def main() -> None:
    """Writes the table."""
    known, lines = snapshot.load(), []
    for row in known.current:
        pipeline = pipeline_of(known.candidates.get(row.candidate))
        if row.source != REFERENCE_RUN or row.phase != "inference" or not pipeline:
            continue
        if row.candidate == "majority-class" or not row.runtime_s or not row.tokens_mean:
            continue
        seconds = f"{row.runtime_s / row.n_items:.6g}"
        lines.append(
            (
                *(pipeline, row.candidate, row.workload, f"{row.batch_size or 1:g}"),
                *(f"{row.tokens_mean:.3f}", seconds, f"{row.cv or 0:.4f}"),
                *(row.device, row.source, row.measured_at or ""),
            )
        )
    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(sorted(lines))
    print(f"{len(lines)} rows")


if __name__ == "__main__":
    main()
