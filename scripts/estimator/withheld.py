"""How far conversions of measured rows are off, and how much too little a pick among them promises.

Every measured row of a candidate that has another one on the same workload is taken out of the
catalog and priced again from that other one: of the same machine in another batch, format or
scenario (`there`), or of other machines (`elsewhere`). The bundled estimator was fitted with these
rows, so errors on a machine of its own are larger than these; `joulewise evaluate` judges that.

Run: python scripts/estimator/withheld.py [--most 400]
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from advisor.estimator.estimator import Estimator, load
from advisor.estimator.setup import batch_of
from advisor.recommend.entries import Entry, Key, ranked
from advisor.recommend.machine import Machine
from advisor.recommend.pricing import prices
from catalog.energy import energy
from catalog.records import SCOPES, Measurement, Scope
from catalog.snapshot import Snapshot
from catalog.snapshot import load as load_catalog

SEED = 20261201


class Case(NamedTuple):
    """A measured row to price again, in the widest scope it has, and the rows that remain."""

    row: Measurement
    scope: Scope
    kept: tuple[Measurement, ...]
    way: str


class Priced(NamedTuple):
    """A case's estimate beside what was measured, joules per 1,000 texts."""

    case: Case
    entry: Entry
    measured: float

    @property
    def error(self) -> float:
        """Natural log of estimate over measurement."""
        return math.log(self.entry.joules / self.measured)

    @property
    def covered(self) -> bool:
        """Whether the 90 % interval holds the measurement."""
        low, high = self.entry.energy.low or 0.0, self.entry.energy.high or math.inf
        return low <= self.measured <= high


def cases(snapshot: Snapshot) -> Iterator[Case]:
    """Every row that can be priced from others, both ways."""
    for rows in snapshot.by_workload.values():
        by_candidate: defaultdict[str, list[Measurement]] = defaultdict(list)
        for row in rows:
            works = row.phase == "inference" and row.rate_per_s is None
            if works and row.n_devices in (None, 1):
                by_candidate[row.candidate].append(row)
        for own in by_candidate.values():
            for row in own:
                scope = next((s for s in reversed(SCOPES) if _value(row, snapshot, s)), None)
                if scope is None:
                    continue
                served = row.precision, batch_of(row)
                there = tuple(
                    r
                    for r in own
                    if r.device == row.device and (r.precision, batch_of(r)) != served
                )
                elsewhere = tuple(r for r in own if r.device != row.device)
                for way, kept in (("there", there), ("elsewhere", elsewhere)):
                    if kept:
                        yield Case(row, scope, kept, way)


def _value(row: Measurement, snapshot: Snapshot, scope: Scope) -> float | None:
    """Measured joules per 1,000 texts; ``None`` without a value."""
    joules = ranked(row, snapshot, scope)
    return 1000 * joules.value_j / row.n_items if joules and joules.value_j else None


def priced(case: Case, snapshot: Snapshot, estimator: Estimator) -> Priced | None:
    """One case priced from the rows that remain."""
    row = case.row
    view = Snapshot(
        measurements=case.kept,
        devices=snapshot.devices,
        workloads=snapshot.workloads,
        candidates=snapshot.candidates,
        digest="withheld",
    )
    device = snapshot.devices[row.device]
    key = Key(
        workload=row.workload,
        machine=Machine(device=device, host=device),
        scenario="single" if row.scenario == "single" else "offline",
        scope=case.scope,
        backend=None if row.precision is None else "any",
        precision=_asked_format(row),
        batch_size=batch_of(row),
        candidate=row.candidate,
    )
    entries = prices(key, view, estimator).entries
    joules = energy(row, device.kind, case.scope)
    if not entries or joules is None or not joules.value_j:
        return None
    return Priced(case, entries[0], 1000 * joules.value_j / row.n_items)


def _asked_format(row: Measurement) -> str | None:
    """The format of a row as a question names it."""
    known = {"bfloat16": "bf16", "bf16/fp16": "fp16", "mxfp4": "int4"}
    return known.get(row.precision or "", row.precision)


def show(name: str, found: list[Priced]) -> None:
    """One line of the table: error, coverage, and how optimistic the cheapest of each set is."""
    errors = sorted(abs(math.expm1(each.error)) for each in found)
    covered = sum(each.covered for each in found) / len(found)
    sets: defaultdict[tuple[str, str, str, Scope], list[Priced]] = defaultdict(list)
    for each in found:
        row = each.case.row
        sets[row.device, row.workload, row.scenario, each.case.scope].append(each)
    picks = [min(own, key=lambda p: p.entry.joules) for own in sets.values() if len(own) > 2]
    optimism = statistics.median(math.exp(-p.error) for p in picks) if picks else math.nan
    under = sum(p.error < -math.log(2) for p in picks) / len(picks) if picks else math.nan
    print(
        f"| {name} | {len(found)} | {100 * statistics.median(errors):.1f} | {100 * covered:.0f} | "
        f"{len(picks)} | {optimism:.2f} | {100 * under:.0f} |"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=400, help="cases of each way at most")
    most = parser.parse_args().most
    snapshot = load_catalog()
    estimator = load().informed(snapshot)
    every = list(cases(snapshot))
    random.Random(SEED).shuffle(every)  # noqa: S311
    print("| from | rows | error, % | covered, % | picks | measured over pick | under half, % |")
    print("|---|---|---|---|---|---|---|")
    for way in ("there", "elsewhere"):
        chosen = [case for case in every if case.way == way][:most]
        found = [p for case in chosen if (p := priced(case, snapshot, estimator)) is not None]
        show(way, found)


if __name__ == "__main__":
    main()
