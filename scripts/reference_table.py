"""Table of what each candidate and backend costs and gives on the machines of the reference runs.

    python scripts/reference_table.py            # writes docs/reference.md
    python scripts/reference_table.py --check    # fails where it is not up to date

Reads the bundled rows of `scripts/reference_run.py` and the bundled estimator, nothing else.
Accuracy and time are measured; joules are the estimator's for the same machine, from the measured
time, with their 90 % interval, and marked as estimates unless a counter was read.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from advisor.estimator.estimator import Estimator  # noqa: E402
from advisor.estimator.estimator import load as load_estimator  # noqa: E402
from advisor.estimator.setup import from_measurement  # noqa: E402
from catalog.doubt import REFERENCE_RUN  # noqa: E402
from catalog.energy import energy  # noqa: E402
from catalog.intervals import wilson  # noqa: E402
from catalog.records import Measurement  # noqa: E402
from catalog.snapshot import Snapshot, load  # noqa: E402

FILE = ROOT / "docs" / "reference.md"
SCOPE = "host"
EAGER, FORMATS = "torch", ("fp32", "int8")


def ms(row: Measurement) -> float:
    """Milliseconds a text."""
    return 1000 * (row.runtime_s or math.nan) / row.n_items


def plain(rows: Sequence[Measurement], scenario: str, batch: float) -> list[Measurement]:
    """Rows of a scenario and batch in the usual text order."""
    return [
        r
        for r in rows
        if (r.scenario, r.batch_size, r.repeat_group) == (scenario, batch, None) and r.runtime_s
    ]


def joules(row: Measurement, snapshot: Snapshot, estimator: Estimator) -> tuple[float, str]:
    """Joules per 1,000 texts, for ordering and as a cell: measured, else estimated."""
    device = snapshot.devices[row.device]
    known = energy(row, device.kind, SCOPE)
    if known is not None and known.value_j is not None and known.label == "measured":
        value = 1000 * known.value_j / row.n_items
        return value, f"{value:.3g} measured"
    setup = from_measurement(row, device, snapshot.candidates.get(row.candidate), SCOPE)
    found = estimator.estimate(setup)
    low, value, high = (1000 * (x or math.nan) for x in (found.low, found.value, found.high))
    return value, f"{value:.3g} ({low:.2g}–{high:.2g}) estimated"


def front(points: dict[str, tuple[float, float]]) -> set[str]:
    """Names that no other beats in both accuracy (higher) and joules (lower)."""
    return {
        name
        for name, (accuracy, cost) in points.items()
        if not any(
            a >= accuracy and c <= cost and (a, c) != (accuracy, cost) for a, c in points.values()
        )
    }


def workload_table(
    name: str, rows: Sequence[Measurement], snapshot: Snapshot, estimator: Estimator
) -> Iterator[str]:
    """Lines of the table of one workload: usual backends, cheapest first."""
    usual = [r for r in plain(rows, "offline", 32) if usual_choice(r, rows)]
    single = {(r.candidate, r.backend, r.precision): r for r in plain(rows, "single", 1)}
    costs = {r.candidate: joules(r, snapshot, estimator) for r in usual}
    best = front({r.candidate: (r.accuracy or 0.0, costs[r.candidate][0]) for r in usual})
    yield f"### {name}\n"
    yield "| | candidate | accuracy (90 %) | ms a text, 32 | ms a text, 1 | J per 1,000, host |"
    yield "|---|---|---|---:|---:|---|"
    for row in sorted(usual, key=lambda r: costs[r.candidate][0]):
        alone = single.get((row.candidate, row.backend, row.precision))
        one = "" if alone is None else f"{ms(alone):.3g}"
        mark = "●" if row.candidate in best else ""
        yield (
            f"| {mark} | {row.candidate} | {accuracy(row)} | {ms(row):.3g} | {one} "
            f"| {costs[row.candidate][1]} |"
        )
    yield ""


def usual_choice(row: Measurement, rows: Sequence[Measurement]) -> bool:
    """Whether a row is of its candidate's usual backend and format: eager in fp32, where varied."""
    choices = {(r.backend, r.precision) for r in rows if r.candidate == row.candidate}
    return (len({b for b, _ in choices}) <= 1 and len({p for _, p in choices}) <= 1) or (
        (row.backend, row.precision) == (EAGER, FORMATS[0])
    )


def accuracy(row: Measurement) -> str:
    """Accuracy with its 90 % Wilson interval."""
    if row.accuracy is None or not row.n_test:
        return ""
    low, high = wilson(row.accuracy, row.n_test, 0.90)
    return f"{row.accuracy:.3f} ({low:.3f}–{high:.3f})"


def backend_table(rows: Sequence[Measurement]) -> Iterator[str]:
    """Lines of the table of backends: time over that of PyTorch eager in fp32, of one run."""
    found = [
        (r, scenario)
        for scenario, b in (("offline", 32), ("single", 1))
        for r in plain(rows, scenario, b)
    ]
    eager = {
        (r.workload, r.candidate, scenario): r
        for r, scenario in found
        if (r.backend, r.precision) == (EAGER, FORMATS[0])
    }
    varied = [
        (r, s)
        for r, s in found
        if (r.backend, r.precision) != (EAGER, FORMATS[0]) and (r.workload, r.candidate, s) in eager
    ]
    if not varied:
        return
    yield "### Backends and number formats\n"
    yield (
        "| workload | candidate | scenario | backend | format | ms a text "
        "| times eager fp32 | accuracy less fp32 |"
    )
    yield "|---|---|---|---|---|---:|---:|---:|"
    for row, scenario in sorted(
        varied, key=lambda e: (e[0].workload, e[0].candidate, e[1], ms(e[0]))
    ):
        base = eager[row.workload, row.candidate, scenario]
        loss = (
            ""
            if None in (row.accuracy, base.accuracy)
            else f"{(row.accuracy or 0) - (base.accuracy or 0):+.4f}"
        )
        yield (
            f"| {row.workload} | {row.candidate} | {scenario} | {row.backend} | {row.precision} "
            f"| {ms(row):.3g} | {ms(row) / ms(base):.2f} | {loss} |"
        )
    yield ""


def page(snapshot: Snapshot, estimator: Estimator) -> str:
    """The page: a section a machine."""
    rows = [r for r in snapshot.current if r.source == REFERENCE_RUN and r.phase == "inference"]
    lines = [
        "# The suite on machines of ours\n",
        "Written by `python scripts/reference_table.py` from the rows that",
        "`python scripts/reference_run.py` measured and bundled. Accuracy and time are measured.",
        "Where a machine has no counter, joules are the estimator's from the measured time, with",
        "their 90 % interval. ● marks the front: nothing on the machine is both more accurate and",
        "cheaper (by the estimate's value; intervals overlap).\n",
    ]
    if not rows:
        lines.append("No reference run is bundled.\n")
    for device in sorted({row.device for row in rows}):
        own = [row for row in rows if row.device == device]
        days = sorted({(row.measured_at or "")[:10] for row in own})
        dates = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        lines.append(f"## {device}\n\n{own[0].host}, {dates}, {len(own)} rows.\n")
        for name in sorted({row.workload for row in own}):
            here = [row for row in own if row.workload == name]
            lines += workload_table(name, here, snapshot, estimator)
        lines += backend_table(own)
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Writes or checks the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    snapshot = load()
    text = page(snapshot, load_estimator().informed(snapshot))
    if not given.check:
        FILE.write_text(text, encoding="utf-8")
    elif not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
        sys.exit(f"{FILE.relative_to(ROOT)} is out of date; run python scripts/reference_table.py")


if __name__ == "__main__":
    main()
