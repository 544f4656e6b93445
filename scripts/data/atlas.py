"""Builds and checks the accuracy atlas in `catalog/reference/accuracy`.

Reads the tables of published accuracies (`../shared/data/accuracy` or ``--data``), names their
workloads and candidates, and writes one table of results for each task, the candidates with their
compute profiles, the workloads with their facts and the reference workloads. ``--check`` rebuilds
in memory and fails where the committed files differ. Tables kept by hand: `tasks.csv`,
`workload_names.csv`, `workload_facts.csv`, `workload_siblings.csv`, `models.csv`, `shapes.csv`,
`text_towers.csv`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from atlas_candidates import Candidates
from atlas_names import FOLDER, ROOT, Row
from atlas_rows import official_sizes, read_mteb, read_published
from atlas_workloads import references, workloads

sys.path.insert(0, str(ROOT))
from catalog.accuracy import ACCURACY_KEY, Accuracy

DATA = ROOT.parent / "shared" / "data" / "accuracy"
CANDIDATE_COLUMNS = (
    *("name", "family", "features", "head", "checkpoint", "revision", "n_parameters"),
    *("n_active_parameters", "n_embedding_parameters", "flops_per_token", "n_layers", "width"),
    *(
        "max_tokens",
        "profile_basis",
        "one_pass_per_class",
        "prompt_tokens",
        "demonstrations_per_class",
    ),
    *("generated_tokens", "languages", "licence", "notes"),
)
WORKLOAD_COLUMNS = (
    *("name", "task", "dataset", "revision", "language", "n_classes", "n_train", "n_test"),
    *("own_splits", "majority_share", "majority_basis", "mean_chars", "length_basis", "licence"),
    *("siblings", "n_candidates", "aliases"),
)
REFERENCE_COLUMNS = (
    *("task", "language", "metric", "workload", "n_candidates", "rule", "better_known"),
)
ROW_COLUMNS = tuple(
    field.name
    for field in msgspec.structs.fields(Accuracy)
    if field.name not in ("run_id", "precision")
)


def cell(value: Any) -> str:
    """One CSV cell: missing is empty, floats keep at most six significant digits."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
    return str(value)


def to_csv(columns: Iterable[str], rows: Iterable[Row]) -> str:
    """Rows as CSV text with those of the columns that are used."""
    rows, out = list(rows), io.StringIO()
    names = [name for name in columns if any(cell(row.get(name)) for row in rows)]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([cell(row.get(name)) for name in names] for row in rows)
    return out.getvalue()


def packed(text: str) -> bytes:
    """Text as gzip bytes that depend on nothing but the text."""
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def unique(rows: list[Row]) -> None:
    """Refuses rows with equal keys."""
    counts = Counter(tuple(cell(row.get(name)) for name in ACCURACY_KEY) for row in rows)
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        raise ValueError(f"{len(twice)} rows with equal keys: {twice[:3]}")


def build(data: Path) -> tuple[dict[str, bytes], Counter[str], list[str]]:
    """Bytes of every built file, what was dropped and why, and counts as lines of text."""
    dropped: Counter[str] = Counter()
    candidates = Candidates(data)
    rows = read_mteb(data, candidates, dropped) + read_published(data, candidates, dropped)
    facts = workloads(data, data.parent / "textcls", rows)
    official_sizes(rows, facts)
    unique(rows)
    by_task: defaultdict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["workload"], row["candidate"], row["regime"])):
        by_task[facts[row["workload"]]["task"]].append(row)
    files = {f"{task}.csv.gz": packed(to_csv(ROW_COLUMNS, own)) for task, own in by_task.items()}
    files["quantised.csv"] = to_csv(ROW_COLUMNS, quantised(rows)).encode()
    used = {row["candidate"] for row in rows}
    models = [row for name, row in sorted(candidates.found.items()) if name in used]
    files["atlas-candidates.csv"] = to_csv(CANDIDATE_COLUMNS, models).encode()
    files["atlas-workloads.csv"] = to_csv(WORKLOAD_COLUMNS, facts.values()).encode()
    files["references.csv"] = to_csv(REFERENCE_COLUMNS, references(facts, rows)).encode()
    return files, dropped, counts(rows, models, facts)


def quantised(rows: list[Row]) -> list[Row]:
    """Results of one source on one workload in a quantised format *and* in float, side by side."""
    shared = ("candidate", "workload", "source", "split", "regime")
    formats: defaultdict[tuple[Any, ...], set[Any]] = defaultdict(set)
    for row in rows:
        formats[tuple(row.get(name) for name in shared)].add(row.get("numeric_format"))
    paired = {key for key, found in formats.items() if len(found) > 1 and None in found}
    return [row for row in rows if tuple(row.get(name) for name in shared) in paired]


def counts(rows: list[Row], models: list[Row], facts: dict[str, Row]) -> list[str]:
    """What is bundled, by task, language, family and regime."""
    family = {row["name"]: row["family"] for row in models}
    of = {
        "task": Counter(facts[row["workload"]]["task"] for row in rows),
        "language": Counter(facts[row["workload"]]["language"] for row in rows),
        "family": Counter(family[row["candidate"]] for row in rows),
        "regime": Counter(row["regime"] for row in rows),
        "tier": Counter(row["tier"] for row in rows),
        "contamination": Counter(row["contamination"] for row in rows),
        "split": Counter(row["split"] for row in rows),
        "test size": Counter(row["n_test_basis"] for row in rows),
    }
    lines = [
        f"{len(rows)} results, {len(models)} candidates "
        f"({sum(1 for row in models if row['checkpoint'])} with a hub id), {len(facts)} workloads"
    ]
    for field in ("majority_share", "mean_chars"):
        unknown = [name for name, fact in facts.items() if cell(fact.get(field)) == ""]
        lines.append(f"{field} unknown: {len(unknown)} workloads: {', '.join(unknown)}")
    for name, counter in of.items():
        shown = ", ".join(f"{key or 'several'} {n}" for key, n in counter.most_common())
        lines.append(f"by {name}: {shown}")
    return lines


def differences(files: dict[str, bytes]) -> list[str]:
    """Names of committed files that differ from the rebuilt ones."""
    there = {path.name for path in FOLDER.glob("*.csv.gz")}
    stale = [f"{name} is not built any more" for name in sorted(there - files.keys())]
    for name, content in sorted(files.items()):
        path = FOLDER / name
        if not path.exists() or _text(path.read_bytes(), name) != _text(content, name):
            stale.append(f"{name} differs from its source")
    return stale


def _text(content: bytes, name: str) -> bytes:
    """Content without its compression, which differs between versions of zlib."""
    return gzip.decompress(content) if name.endswith(".gz") else content


def main(arguments: list[str] | None = None) -> int:
    """Builds or checks; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build or check catalog/reference/accuracy.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the source tables")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    given = parser.parse_args(arguments)
    if not given.data.is_dir():
        print(f"no data folder {given.data}: the committed files stay, nothing was compared")
        return 0 if given.check else 2
    files, dropped, lines = build(given.data)
    print(*lines, sep="\n")
    print(*(f"left out: {n} rows, {reason}" for reason, n in dropped.items() if n), sep="\n")
    if given.check:
        found = differences(files)
        print(*(found or ["the committed files are up to date"]), sep="\n")
        return 1 if found else 0
    for path in FOLDER.glob("*.csv.gz"):
        path.unlink()
    for name, content in files.items():
        (FOLDER / name).write_bytes(content)
    print(f"{sum(map(len, files.values())) / 1e6:.2f} MB written to {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
