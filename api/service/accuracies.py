"""Accuracies of the catalog as lists and files: filters in, results or combined evidence out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from api.service.listing import Page, check_name, page
from catalog.accuracy import ACCURACY_KEY, Accuracy, Contamination, NumericFormat, Regime, Tier
from catalog.evidence import Evidence, Metric
from catalog.snapshot import Snapshot


class AccuracyFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which results are wanted; ``None`` means all.

    Attributes:
        task: Slug or synonym.
        language: ISO 639-1 code of the workload.
        source: Short name of a source, e.g. ``mteb``.
    """

    task: str | None = None
    workload: str | None = None
    candidate: str | None = None
    language: str | None = None
    family: str | None = None
    regime: Regime | None = None
    numeric_format: NumericFormat | None = None
    contamination: Contamination | None = None
    tier: Tier | None = None
    source: str | None = None


def workloads_of(snapshot: Snapshot, wanted: AccuracyFilter) -> list[str]:
    """Names of the workloads a filter selects, in alphabetical order.

    Raises:
        UnknownNameError: There is no such task, workload or candidate.
    """
    check_name("candidate", wanted.candidate, snapshot.candidates)
    families = {candidate.family for candidate in snapshot.candidates.values()}
    check_name("family", wanted.family, families)
    task = None if wanted.task is None else snapshot.task(wanted.task)
    one = None if wanted.workload is None else snapshot.workload(wanted.workload).name
    languages = {workload.language or "" for workload in snapshot.workloads.values()}
    check_name("language", wanted.language, languages)
    known = ((name, snapshot.workloads.get(name)) for name in snapshot.accuracies.workloads())
    return sorted(
        name
        for name, workload in known
        if workload is not None
        and task in (None, workload.task)
        and one in (None, name)
        and wanted.language in (None, workload.language)
    )


def results(snapshot: Snapshot, wanted: AccuracyFilter) -> Iterator[Accuracy]:
    """Results a filter keeps, by workload and then as their sources list them.

    Raises:
        UnknownNameError: The filter names something the catalog does not have.
    """
    names = workloads_of(snapshot, wanted)
    fields = ("candidate", "regime", "numeric_format", "contamination", "tier", "source")
    values = {name: v for name in fields if (v := getattr(wanted, name)) is not None}
    for row in snapshot.accuracies.rows(names):
        candidate = snapshot.candidates.get(row.candidate)
        family = wanted.family in (None, candidate.family if candidate else None)
        if family and all(getattr(row, name) == value for name, value in values.items()):
            yield row


def combined(
    snapshot: Snapshot, wanted: AccuracyFilter, metric: Metric = "accuracy"
) -> Iterator[Evidence]:
    """Evidence a filter keeps: one value with interval per candidate, regime and format.

    Highest first within a workload.

    Raises:
        UnknownNameError: The filter names something the catalog does not have.
    """
    for workload in workloads_of(snapshot, wanted):
        known = snapshot.accuracies.evidence(workload, metric)
        found = [each for own in known.values() for each in own if _keeps(snapshot, each, wanted)]
        yield from sorted(found, key=lambda each: (-each.value, each.candidate, each.regime))


def _keeps(snapshot: Snapshot, each: Evidence, wanted: AccuracyFilter) -> bool:
    """Whether evidence passes a filter."""
    candidate = snapshot.candidates.get(each.candidate)
    return (
        wanted.candidate in (None, each.candidate)
        and wanted.family in (None, candidate.family if candidate else None)
        and wanted.regime in (None, each.regime)
        and wanted.numeric_format in (None, each.numeric_format)
        and wanted.contamination in (None, each.contamination)
        and wanted.tier in (None, each.tier)
        and (wanted.source is None or wanted.source in each.sources)
    )


def listed(
    snapshot: Snapshot,
    wanted: AccuracyFilter,
    *,
    evidence: bool,
    metric: Metric,
    limit: int,
    cursor: str | None,
) -> Page[dict[str, Any]]:
    """One page of results, or of evidence where `evidence` is asked for.

    Raises:
        UnknownNameError: The filter names something the catalog does not have.
        BadQuestionError: The cursor is malformed.
    """
    if evidence:
        found = page([*combined(snapshot, wanted, metric)], lambda _: True, limit, cursor)
        return Page([msgspec.to_builtins(each) for each in found.items], found.next)
    rows = page([*results(snapshot, wanted)], lambda _: True, limit, cursor)
    return Page([to_json(row) for row in rows.items], rows.next)


def to_json(row: Accuracy) -> dict[str, Any]:
    """A result as JSON: what identifies it, its value and its standing always, else what is set."""
    always = {name: getattr(row, name) for name in ACCURACY_KEY}
    always |= {"accuracy": row.accuracy, "macro_f1": row.macro_f1, "n_test": row.n_test}
    always |= {"contamination": row.contamination, "tier": row.tier}
    present: dict[str, Any] = msgspec.to_builtins(row)
    return always | present


def as_file(rows: list[Accuracy], form: Literal["csv", "parquet"]) -> bytes:
    """Results as the bytes of a run file of accuracies; blocks."""
    from catalog.files import accuracy_file, run_file

    return run_file.dump(accuracy_file.to_frame(rows), form)
