"""Side-by-side times on this machine, as ratios within one run.

    python benchmarks/bench.py
    python benchmarks/bench.py cold            # only a cold `joulewise recommend`
    python benchmarks/bench.py meters          # only what metering costs
    python benchmarks/bench.py meters 100      # with so many pairs; 600 otherwise
    python benchmarks/bench.py service 100000  # only the service under load, with that many rows

Each line repeats two things in turn and prints the median of both and of their ratio: machines
are noisy, ratios of neighbours less so.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from bench_service import service
from threadpoolctl import threadpool_limits

from advisor.estimator.estimator import Setup, load
from advisor.evaluation.train import learn
from advisor.recommend.advisor import recommend
from advisor.recommend.query import Query
from calibration.meters.machine_meter import (
    CodeCarbonMeter,
    MachineMeter,
    NullMeter,
    NvmlMeter,
    RaplMeter,
    meter_for,
)
from calibration.meters.meter import Meter
from calibration.meters.nvml import load_pynvml
from calibration.meters.overhead import hashing_loop, measure_overhead
from calibration.meters.rapl import POWERCAP
from catalog.records import Device
from catalog.snapshot import Snapshot
from catalog.snapshot import load as load_catalog

Work = Callable[[], object]


def seconds(work: Work) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def pairs(ours: Work, other: Work, rounds: int) -> tuple[float, float, float]:
    """Median seconds of both, run in turn, and the median of their ratios."""
    ours(), other()
    times = [(seconds(ours), seconds(other)) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in times),
        statistics.median(b for _, b in times),
        statistics.median(a / b for a, b in times),
    )


def show(name: str, against: str, ours: Work, other: Work, rounds: int = 30) -> None:
    """One line of the table."""
    first, second, ratio = pairs(ours, other, rounds)
    print(f"| {name} | {first * 1e3:.4g} | {against} | {second * 1e3:.4g} | {ratio:.3g} |")


def _process(*arguments: str) -> Work:
    """A whole process of this interpreter, on an empty catalog."""
    folder = tempfile.mkdtemp()
    environment = os.environ | {"JOULEWISE_CATALOG": f"sqlite:///{folder}/catalog.sqlite"}

    def run() -> object:
        return subprocess.run(  # noqa: S603
            [sys.executable, *arguments], env=environment, check=True, capture_output=True
        )

    return run


def cold(rounds: int = 5) -> None:
    """Prints the line of one answer by a new process that finds no catalog of its own."""
    command = str(Path(sys.executable).with_name("joulewise"))
    question = (command, "recommend", "--task", "sentiment", "--min-acc", "0.85", "--json")
    ours, none = _process(*question), _process("-c", "")
    show("cold `joulewise recommend`", "python -c pass", ours, none, rounds)


def _questions(snapshot: Snapshot) -> list[Query]:
    """Distinct questions that have an answer."""
    floors = [floor / 1000 for floor in range(300, 950, 13)]
    return [Query(task=task, min_acc=floor) for task in snapshot.tasks() for floor in floors]


def _powercap() -> Path:
    """The machine's RAPL, or files that stand in for it: reading them costs about the same."""
    if RaplMeter().has_counter:
        return POWERCAP
    root = Path(tempfile.mkdtemp())
    for socket in (0, 1):
        zone = root / f"intel-rapl:{socket}"
        zone.mkdir()
        (zone / "name").write_text(f"package-{socket}")
        (zone / "energy_uj").write_text("1000000")
        (zone / "max_energy_range_uj").write_text("262143328850")
    return root


def _meters() -> dict[str, Meter]:
    """What is compared, by the words of its line."""
    root, gpu = _powercap(), NvmlMeter(load_pynvml())
    device = Device(name="this machine", kind="gpu" if gpu.has_counter else "cpu")
    counters = MachineMeter([gpu, RaplMeter(root)], None, frozenset({"gpu", "cpu", "dram"}))
    chosen = meter_for(device)
    stand_in = "" if root == POWERCAP else ", RAPL on stand-in files"
    return {
        "nothing (noise of the comparison)": NullMeter(),
        f"counters ({counters.name}{stand_in})": counters,
        f"what calibrate uses here ({chosen.name})": chosen,
        "CodeCarbon's tracker at its default of 15 s": CodeCarbonMeter(
            gpu=gpu.has_counter, every_s=15.0
        ),
    }


def metering(
    window_s: float = 0.1, pairs: int = 600, meters: dict[str, Meter] | None = None
) -> None:
    """Prints what each meter costs on the same bare loop, in this process."""
    work = hashing_loop(window_s)
    print(
        f"\nA bare loop of {window_s:g} s against the same loop metered, {pairs} pairs in turn:\n"
    )
    print("| meter | bare, s | slower, wall (95 %) | slower, CPU (95 %) | begin + end, ms |")
    print("|---|---|---|---|---|")
    for name, meter in (meters or _meters()).items():
        found = measure_overhead(meter, work, pairs)
        both = " | ".join(
            f"{part.median:+.2%} ({part.low:+.2%} to {part.high:+.2%})"
            for part in (found.wall, found.cpu)
        )
        print(f"| {name} | {found.bare_s:.3g} | {both} | {found.around_s * 1e3:.3g} |", flush=True)


def main() -> None:
    """Prints the tables."""
    if sys.argv[1:2] == ["meters"]:
        return metering(pairs=int(sys.argv[2]) if sys.argv[2:] else 600)
    if sys.argv[1:] == ["cold"]:
        return cold()
    if sys.argv[1:2] == ["service"]:
        return service(*map(int, sys.argv[2:3]))
    snapshot, estimator = load_catalog(), load()
    setup = Setup(device=snapshot.devices["NVIDIA L4"], n_parameters=66e6, runtime_s=5e-3)
    questions = iter(_questions(snapshot) * 10)
    answer = recommend(snapshot, estimator, Query(task="sentiment", min_acc=0.5))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python ", end="")
    print(f"{platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}\n")
    print("| what | ms | against | ms | ratio |\n|---|---|---|---|---|")
    show(
        "one /recommend decision, distinct questions",
        "encoding one answer as JSON",
        lambda: recommend(snapshot, estimator, next(questions)),
        lambda: msgspec.json.encode(answer),
    )
    show(
        "one estimate",
        "1,000 estimates in one call",
        lambda: estimator.estimate(setup),
        lambda: estimator.predict([setup] * 1000),
    )
    cold()
    with threadpool_limits(1):
        show(
            "training and validating the estimator",
            "reading the bundled catalog",
            lambda: learn(snapshot),
            load_catalog,
            3,
        )
    service()
    return metering()


if __name__ == "__main__":
    main()
