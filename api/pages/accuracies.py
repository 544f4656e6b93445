"""Accuracy coverage: candidates by tasks with the value on each task's reference workload."""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from api.service import accuracies, listing
from api.service.accuracies import AccuracyFilter
from catalog.evidence import Evidence
from catalog.records import Candidate
from catalog.registry.tasks import Reference
from catalog.snapshot import Snapshot

DEFAULT_LANGUAGE = "en"


class AccuracyCell(msgspec.Struct, frozen=True):
    """What is known about a candidate in a task: evidence on the reference workload, and sets."""

    known: Evidence | None
    workloads: int


class AccuracyMatrix(msgspec.Struct, frozen=True, kw_only=True):
    """Cells by candidate, then task.

    Attributes:
        references: The reference workload of each task that has one in the language.
        families: Candidates with a cell by family, smaller models first.
    """

    language: str
    references: Mapping[str, Reference]
    families: list[tuple[str, list[Candidate]]]
    cells: Mapping[str, Mapping[str, AccuracyCell]]

    @property
    def candidates(self) -> int:
        """Number of rows of the matrix."""
        return sum(len(members) for _, members in self.families)


@functools.lru_cache(maxsize=16)
def matrix(snapshot: Snapshot, language: str, family: str | None = None) -> AccuracyMatrix:
    """Accuracy coverage of one language; the latest ones are cached."""
    of_task: defaultdict[str, list[str]] = defaultdict(list)
    for name in snapshot.accuracies.workloads():
        workload = snapshot.workloads.get(name)
        if workload is not None and (workload.language or "mul") in (language, "mul"):
            of_task[workload.task].append(name)
    references = {
        task: own
        for task in sorted(of_task)
        if (own := snapshot.reference(task, language) or snapshot.reference(task, "mul"))
    }
    cells: defaultdict[str, dict[str, AccuracyCell]] = defaultdict(dict)
    for task, reference in references.items():
        best = snapshot.accuracies.answers(reference.workload)
        seen: Counter[str] = Counter()
        for name in of_task[task]:
            seen.update({row.candidate for row in snapshot.accuracies.of(name)})
        for judged, workloads in seen.items():
            cells[judged][task] = AccuracyCell(best.get(judged), workloads)
    members: defaultdict[str, list[Candidate]] = defaultdict(list)
    for name in cells:
        candidate = snapshot.candidates.get(name)
        if candidate is not None and family in (None, candidate.family):
            members[candidate.family].append(candidate)
    for some in members.values():
        some.sort(key=lambda each: (each.n_parameters or 0, each.name))
    order = sorted(members.items(), key=lambda item: item[1][len(item[1]) // 2].n_parameters or 0)
    return AccuracyMatrix(language=language, references=references, families=order, cells=cells)


_MTEB = re.compile(r"^(?P<path>results/\S+\.json)@(?P<commit>[0-9a-f]{7,40})")
_CARD = re.compile(r"model card (?P<id>[\w.-]+/[\w.-]+)")
_ARXIV = re.compile(r"arxiv[: ]\s*(?P<id>\d{4}\.\d{4,5})", re.IGNORECASE)


def source_address(known: Evidence) -> str | None:
    """Where the result nearest to a value is published; ``None`` where no address is recorded.

    The result file of MTEB at its commit, the model card, the paper on arXiv: what reference and
    citation name first.
    """
    if found := _MTEB.match(known.reference or ""):
        base = "https://github.com/embeddings-benchmark/results/blob"
        return f"{base}/{found['commit']}/{found['path']}"
    if found := _CARD.search(known.reference or ""):
        return f"https://huggingface.co/{found['id']}"
    if found := _ARXIV.search(known.citation or ""):
        return f"https://arxiv.org/abs/{found['id']}"
    return None


def accuracy_page(
    snapshot: Snapshot, wanted: AccuracyFilter, limit: int, cursor: str | None
) -> dict[str, Any]:
    """What the page of accuracies shows: a matrix, or a page of the results of a filter.

    Raises:
        UnknownNameError: The filter names something the catalog does not have.
        BadQuestionError: The cursor is malformed.
    """
    known = (snapshot.workloads.get(name) for name in snapshot.accuracies.workloads())
    languages = sorted({each.language for each in known if each and each.language})
    context: dict[str, Any] = {"wanted": wanted, "languages": languages, "matrix": None}
    context["address"] = source_address
    context |= {"tasks": sorted(snapshot.tasks()), "rows": [], "next": None, "majority": {}}
    context["families"] = sorted({c.family for c in snapshot.candidates.values()})
    if wanted.task is None and wanted.workload is None and wanted.candidate is None:
        accuracies.workloads_of(snapshot, wanted)
        language = wanted.language or DEFAULT_LANGUAGE
        return context | {"matrix": matrix(snapshot, language, wanted.family)}
    found = listing.page([*accuracies.combined(snapshot, wanted)], lambda _: True, limit, cursor)
    rows = found.items
    shares = {row.workload: snapshot.workloads[row.workload].majority_share for row in rows}
    asked = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value}
    following = f"/accuracies?{urlencode(asked | {'limit': limit, 'cursor': found.next})}"
    return context | {
        "rows": rows,
        "next": following if found.next else None,
        "majority": shares,
    }
