"""What a fleet costs: three machines at once against the slowest of them alone.

    python benchmarks/bench_fleet.py

Workers of this machine pose as three (the preload of the tests); what they measure is mostly
waiting, so that they do not take each other's cores. Workers are up before the clock starts.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from calibration.fleet import client as fleet
from calibration.records import Profile
from catalog import snapshot
from catalog.store.database import Store

TESTS = Path(__file__).resolve().parent.parent / "tests"
SLOW_S = {"quick": 1.0, "middle": 2.0, "slow": 4.0}
"""Seconds each fit takes on a machine, beyond the fit itself."""
CANDIDATES = ("bow-*", "tfidf-word-*")
TINY = Profile(name="tiny", window_s=0.1, repeats=3, warmup_s=0.1, idle_s=0.01)


def _seconds(names: list[str]) -> tuple[float, int]:
    """Wall seconds of a fleet of some machines, and the rows it came to."""
    sys.path.append(str(TESTS))
    from posed import Cluster

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder))
        store = Store(f"sqlite:///{folder}/catalog.sqlite")
        try:
            for name in names:
                cluster.worker(name, f"CPU of {name}", slow_s=SLOW_S[name])
            _wait(cluster.address, len(names))
            known = snapshot.load(store)
            asked = fleet.request(known, candidates=CANDIDATES, profile=TINY, seed=1)
            begun = time.perf_counter()
            summary = fleet.calibrate(
                cluster.address, asked, known, store, machines=len(names), hear=lambda _: None
            )
            return time.perf_counter() - begun, summary.done
        finally:
            cluster.stop()
            store.engine.dispose()


def _wait(address: str, workers: int) -> None:
    """Until so many workers are there."""
    from distributed import Client

    with Client(address, timeout=60) as client:
        client.wait_for_workers(workers, timeout=120)


def main() -> None:
    """Prints the table."""
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python ", end="")
    print(f"{platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}\n")
    print("| machines | rows | s | of the slowest alone |\n|---|---|---|---|")
    alone, rows = _seconds(["slow"])
    print(f"| slow | {rows} | {alone:.1f} | 1 |", flush=True)
    together, rows = _seconds(list(SLOW_S))
    print(f"| {', '.join(SLOW_S)} | {rows} | {together:.1f} | {together / alone:.2f} |")


if __name__ == "__main__":
    main()
