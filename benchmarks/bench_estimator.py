"""What the estimator costs: training, one estimate, a million, size and loading.

python benchmarks/bench_estimator.py [rows]

Training rows are the bundled ones over again, joules and runtimes spread by a factor drawn around
1, so that no two are alike.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np

from advisor.estimator.artefact import ESTIMATOR
from advisor.estimator.estimator import Estimator, load
from advisor.estimator.model import fit
from advisor.estimator.setup import Setup
from advisor.estimator.training_rows import Rows
from advisor.evaluation.train import training_data
from catalog.snapshot import load as load_catalog

MILLION = 1_000_000


def _repeated(rows: Rows, count: int) -> Rows:
    """`count` rows that resemble those given."""
    generator = np.random.default_rng(0)
    chosen = rows.take(np.arange(count) % len(rows))
    spread = np.exp(generator.normal(0, 0.1, count))
    setups = chosen.setups | {"runtime_s": chosen.setups["runtime_s"] * spread}
    return msgspec.structs.replace(
        chosen, setups=setups, log_joules=chosen.log_joules + np.log(spread)
    )


def _many(estimator: Estimator, setups: list[Setup]) -> None:
    """Estimates in parts that fit into a cache."""
    for start in range(0, len(setups), 20_000):
        estimator.vectorised(setups[start : start + 20_000])


def seconds(work: Callable[[], object], repeats: int = 1) -> tuple[float, float]:
    """Wall and CPU seconds of one call, each the least of some."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def main() -> None:
    """Prints the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    snapshot, estimator = load_catalog(), load()
    rows, _ = training_data(snapshot)
    one = Setup(device=snapshot.devices["NVIDIA L4"], n_parameters=66e6, runtime_s=5e-3)
    devices = [d for d in snapshot.devices.values() if d.tdp_w][:50]
    million = [
        Setup(device=devices[i % len(devices)], n_parameters=1e6 * (1 + i % 997), runtime_s=5e-3)
        for i in range(MILLION)
    ]
    repeated = _repeated(rows, count)
    size = Path(str(files("advisor.estimator") / "artefact_files" / ESTIMATOR)).stat().st_size
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python ", end="")
    print(
        f"{platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}; artefact {size / 1e6:.2f} MB\n"
    )
    print("| what | wall s | CPU s |\n|---|---|---|")
    for name, work, repeats in (
        ("loading the artefact", load, 5),
        ("one estimate", lambda: estimator.estimate(one), 200),
        (f"{MILLION:,} estimates", lambda: _many(estimator, million), 1),
        (f"training on {count:,} rows, not validated", lambda: fit(repeated), 1),
    ):
        wall, cpu = seconds(work, repeats)
        print(f"| {name} | {wall:.3g} | {cpu:.3g} |", flush=True)


if __name__ == "__main__":
    main()
