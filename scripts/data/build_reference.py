"""Builds and checks the bundled reference figures in `catalog/reference`.

Reads the tables of published energy measurements (`../shared/data/energy` or ``--data``) and
writes reviewable CSV files whose headers are the fields of the records. ``--check`` rebuilds in
memory and fails with a diff where the committed files differ.

Devices, instances and their class defaults are `scripts/data/machines.py`'s.

Left out on purpose, with the reason printed by every run: rows without an MIT, BSD or Apache
licence, and cain-2024 (energy of whole jobs whose number of texts nobody recorded).
"""

from __future__ import annotations

import argparse
import csv
import difflib
import io
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
from sources.bundle import Bundle, Row, cells
from sources.luccioni import read_luccioni
from sources.ml_energy import read_ml_energy
from sources.mlperf import read_mlperf
from sources.protran import read_protran
from sources.zschache_hartwig import read_paper_fktg, read_paper_others

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from catalog.accuracies import JOINED, from_measurement, pair_of  # noqa: E402
from catalog.accuracy import Accuracy, accuracy_digest  # noqa: E402
from catalog.records import KEY, Candidate, Measurement, Workload  # noqa: E402
from catalog.reference_files import REFERENCE_RUNS, from_cells  # noqa: E402

REFERENCE = ROOT / "catalog" / "reference"
DATA = ROOT.parent / "shared" / "data" / "energy"
MEASURED = "accuracy/measured.csv"
"""Accuracies beside bundled measurements; the rest of the folder is `scripts/data/atlas.py`'s."""
READERS = {
    "sashavor/co2_inference": read_luccioni,
    "JHA-Lab/protran": read_protran,
    "mlcommons/": read_mlperf,
    "ml-energy/": read_ml_energy,
}
"""Start of the column `source` -> who reads such rows."""


def build(data: Path) -> Bundle:
    """Everything the folder `data` gives, as rows of records."""
    bundle = Bundle(data)
    read_paper_others(bundle, read_paper_fktg(bundle))
    rows = pd.read_csv(data / "measured_energy.csv.gz", low_memory=False)
    is_open = rows["licence"].fillna("").str.contains("MIT|BSD|Apache")
    for (source, licence), group in rows[~is_open].groupby(["source", "licence"], dropna=False):
        bundle.dropped.append(f"{source!s}: {len(group)} rows, licence {licence!r}")
    rows = rows[is_open]
    for prefix, reader in READERS.items():
        here = rows["source"].str.startswith(prefix)
        reader(bundle, rows[here])
        rows = rows[~here]
    for source, group in rows.groupby("source"):
        bundle.dropped.append(f"{source!s}: {len(group)} totals of jobs, number of texts unknown")
    return bundle


def to_csv(kind: type[Any], rows: Iterable[Row]) -> str:
    """Rows as CSV text with the used columns in record order; every row must convert."""
    texts = [cells(row) for row in rows]
    list(from_cells(kind, texts))
    fields = [field.name for field in msgspec.structs.fields(kind)]
    unknown = {name for row in texts for name in row} - set(fields)
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    used = [name for name in fields if any(name in row for row in texts)]
    out = io.StringIO()
    writer = csv.DictWriter(out, used, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(texts)
    return out.getvalue()


def unique(rows: list[Row]) -> list[Row]:
    """The same rows, refused where two share a key."""
    keys = Counter(tuple(cells(row).get(name, "") for name in KEY) for row in rows)
    twice = [key for key, count in keys.items() if count > 1]
    if twice:
        raise ValueError(f"rows with equal keys: {twice[:5]}")
    return rows


def bundled_files(bundle: Bundle) -> dict[str, str]:
    """Path below `catalog/reference` -> text of every bundled file."""
    texts = {
        "workloads.csv": to_csv(Workload, [row for _, row in sorted(bundle.workloads.items())]),
        "candidates.csv": to_csv(Candidate, [row for _, row in sorted(bundle.candidates.items())]),
    }
    judged: list[Row] = []
    for stem, rows in bundle.measurements.items():
        judged += accuracies(rows, bundle.candidates)
        plain = [{k: v for k, v in row.items() if k not in JOINED} for row in unique(rows)]
        texts[f"measurements/{stem}.csv"] = to_csv(Measurement, plain)
    texts[MEASURED] = to_csv(Accuracy, judged)
    return texts


def accuracies(rows: list[Row], declared: dict[str, Row]) -> list[Row]:
    """Accuracies that stand beside measurements, once for each run."""
    candidates = {
        row["name"]: next(from_cells(Candidate, [cells(row)])) for row in declared.values()
    }
    found = {}
    for row in from_cells(Measurement, map(cells, rows)):
        result = from_measurement(row, candidates.get(row.candidate), "authors")
        if result is not None:
            before = found.setdefault(pair_of(result), result)
            if accuracy_digest(before) != accuracy_digest(result):
                raise ValueError(f"two accuracies of {pair_of(result)}")
    return [
        msgspec.to_builtins(row) | ({"n_train": trained_on(row)} if row.regime == "full" else {})
        for row in found.values()
    ]


def trained_on(row: Accuracy) -> int | None:
    """Training texts of Zschache & Hartwig: 189 of FKTG, 200 of the other sets."""
    if row.source != "zschache-hartwig-2025":
        return None
    return 189 if row.workload == "fktg" else 200


def differences(texts: dict[str, str]) -> list[str]:
    """What the committed files say differently: the first lines of a diff per file."""
    folder = REFERENCE / "measurements"
    own = REFERENCE_RUNS  # of our own runs, which another script writes
    files = (path for path in folder.glob("*.csv") if not path.name.startswith(own))
    there = {path.relative_to(REFERENCE).as_posix() for path in files}
    there |= {name for name in texts if (REFERENCE / name).is_file()}
    found = []
    for name in sorted(there | texts.keys()):
        old = (REFERENCE / name).read_bytes().decode() if name in there else ""
        new = texts.get(name, "")
        if old != new:
            names, left, right = (f"committed/{name}", f"rebuilt/{name}"), *map(_lines, (old, new))
            diff = list(difflib.unified_diff(left, right, *names, n=0, lineterm=""))
            found += diff[:40]
            found += [f"... {len(diff) - 40} more lines of {name}"] if len(diff) > 40 else []
    return found


def _lines(text: str) -> list[str]:
    """Lines of a text, other line ends made visible."""
    return text.replace("\r", "\\r").split("\n")


def main(arguments: list[str] | None = None) -> int:
    """Builds or checks; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build or check catalog/reference.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the source tables")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    given = parser.parse_args(arguments)
    if not given.data.is_dir():
        print(f"no data folder {given.data}: the committed files stay, nothing was compared")
        return 0 if given.check else 2
    bundle = build(given.data)
    texts = bundled_files(bundle)
    print(*(f"left out: {line}" for line in bundle.dropped), sep="\n")
    print(*(f"{name}: {text.count(chr(10)) - 1} rows" for name, text in texts.items()), sep="\n")
    if given.check:
        found = differences(texts)
        print(*(found or ["the committed files are up to date"]), sep="\n")
        return 1 if found else 0
    for name, text in texts.items():
        (REFERENCE / name).parent.mkdir(parents=True, exist_ok=True)
        (REFERENCE / name).write_bytes(text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
