"""Reader of the bundled accuracy atlas: results by task, candidates and workloads.

Results of a task are read when a question needs them, and turned into records only for the
workloads that are looked at, so that a cold command line waits for one small file.
"""

from __future__ import annotations

import csv
import functools
import gzip
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping

import msgspec

from catalog.accuracy import Accuracy
from catalog.records import Candidate, Workload
from catalog.reference_files import FOLDER, from_cells, reference_runs, table

ATLAS = FOLDER / "accuracy"
MEASURED = "measured.csv"
"""Results that stand beside bundled measurements of energy."""
_Cells = list[str]


@functools.cache
def workloads() -> Mapping[str, Workload]:
    """Workloads that have an accuracy, with their facts, by name."""
    rows = from_cells(Workload, table("accuracy/atlas-workloads.csv"))
    return {each.name: each for each in rows}


@functools.cache
def candidates() -> Mapping[str, Candidate]:
    """Candidates with their compute profiles, by name."""
    return {
        each.name: each for each in from_cells(Candidate, table("accuracy/atlas-candidates.csv"))
    }


@functools.cache
def task_files() -> tuple[str, ...]:
    """Tasks that have results, in alphabetical order."""
    names = (entry.name for entry in ATLAS.iterdir())
    return tuple(sorted(n.removesuffix(".csv.gz") for n in names if n.endswith(".csv.gz")))


@functools.cache
def _cells(task: str) -> tuple[list[str], Mapping[str, list[_Cells]]]:
    """Header and rows of a task's results, unparsed, by workload."""
    text = gzip.decompress((ATLAS / f"{task}.csv.gz").read_bytes()).decode()
    rows = csv.reader(io.StringIO(text, newline=""))
    header, found = next(rows), defaultdict(list)
    place = header.index("workload")
    for row in rows:
        found[row[place]].append(row)
    return header, found


@functools.cache
def results(task: str, workload: str) -> tuple[Accuracy, ...]:
    """Published results on a workload of a task; none where the atlas has none."""
    if task not in task_files():
        return ()
    header, rows = _cells(task)
    return tuple(_records(header, rows.get(workload, ()), task))


@functools.cache
def quantised() -> tuple[Accuracy, ...]:
    """Results of sources that judged a candidate in a quantised format and in float."""
    return tuple(from_cells(Accuracy, table("accuracy/quantised.csv")))


@functools.cache
def measured() -> Mapping[str, tuple[Accuracy, ...]]:
    """Results that stand beside bundled measurements, by workload."""
    found: defaultdict[str, list[Accuracy]] = defaultdict(list)
    for name in (MEASURED, *reference_runs("accuracy", ".csv")):
        for row in from_cells(Accuracy, table(f"accuracy/{name}")):
            found[row.workload].append(row)
    return {name: tuple(rows) for name, rows in found.items()}


_NUMBERS = {
    field.name: int if field.type in (int, int | None) else float
    for field in msgspec.structs.fields(Accuracy)
    if field.type in (int, int | None, float, float | None)
}


def _records(header: list[str], rows: list[_Cells] | tuple[()], task: str) -> Iterator[Accuracy]:
    """Records of rows that were checked when they were bundled; equal texts are one object."""
    known: dict[str, str] = {}
    for row in rows:
        given: dict[str, object] = {}
        for name, cell in zip(header, row, strict=True):
            if cell:
                number = _NUMBERS.get(name)
                given[name] = number(cell) if number else known.setdefault(cell, cell)
        if "self_reported" in given:
            given["self_reported"] = True
        yield Accuracy(run_id=f"atlas-{task}", **given)  # type: ignore[arg-type]


@functools.cache
def digest() -> str:
    """SHA-256 over the files of the atlas, names included."""
    total = hashlib.sha256()
    for entry in sorted(ATLAS.iterdir(), key=lambda entry: entry.name):
        total.update(entry.name.encode() + b"\0" + entry.read_bytes() + b"\0")
    return total.hexdigest()
