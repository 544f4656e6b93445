"""Side-by-side times on this machine, as ratios within one run.

    python scripts/bench.py

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
from threadpoolctl import threadpool_limits

from advisor.estimator import Setup, load
from advisor.policy import recommend
from advisor.records import Query
from advisor.training import learn
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
    print(f"| {name} | {first * 1e3:.3g} | {against} | {second * 1e3:.3g} | {ratio:.3g} |")


def _process(*arguments: str) -> Work:
    """A whole process of this interpreter, on an empty catalog."""
    folder = tempfile.mkdtemp()
    environment = os.environ | {"JOULEWISE_CATALOG": f"sqlite:///{folder}/catalog.sqlite"}

    def run() -> object:
        return subprocess.run(  # noqa: S603
            [sys.executable, *arguments], env=environment, check=True, capture_output=True
        )

    return run


def _questions(snapshot: Snapshot) -> list[Query]:
    """Distinct questions that have an answer."""
    floors = [floor / 1000 for floor in range(300, 950, 13)]
    return [Query(task=task, min_acc=floor) for task in snapshot.tasks() for floor in floors]


def main() -> None:
    """Prints the table."""
    snapshot, estimator = load_catalog(), load()
    setup = Setup(device=snapshot.devices["NVIDIA L4"], n_parameters=66e6, runtime_s=5e-3)
    questions = iter(_questions(snapshot) * 10)
    answer = recommend(snapshot, estimator, Query(task="sentiment", min_acc=0.5))
    command = Path(sys.executable).with_name("joulewise")
    question = (str(command), "recommend", "--task", "sentiment", "--min-acc", "0.85", "--json")
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
    show("cold `joulewise recommend`", "python -c pass", _process(*question), _process("-c", ""), 5)
    with threadpool_limits(1):
        show(
            "training and validating the estimator",
            "reading the bundled catalog",
            lambda: learn(snapshot),
            load_catalog,
            3,
        )


if __name__ == "__main__":
    main()
