"""Accuracies of a catalog: bundled and stored results by workload, and the evidence they make.

Bundled results are read when a workload is looked at; what was combined once is kept.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from catalog import atlas
from catalog.accuracy import (
    Accuracy,
    NumericFormat,
    Regime,
    Tier,
    accuracy_digest,
    accuracy_key,
    numeric_format_of,
    setting,
)
from catalog.doubt import REFERENCE_RUN, SUITE
from catalog.evidence import Evidence, Labels, Metric, evidence, for_labels
from catalog.quantisation import Loss, format_loss, quantised
from catalog.records import Candidate, Family, Measurement, Workload
from catalog.registry.candidates import FEW_SHOT

CALIBRATION = SUITE
"""Source of the results of the calibration suite."""
OWN_SOURCES = (CALIBRATION, REFERENCE_RUN)
"""Sources whose results the calibration suite made."""
_REGIMES: dict[Family, Regime] = {
    "lexicon": "lexicon",
    "zero-shot-embedding": "zero-shot",
    "zero-shot-nli": "zero-shot",
    "zero-shot-reranker": "zero-shot",
    "zero-shot-llm": "zero-shot",
    "reasoning-llm": "zero-shot",
    "few-shot-llm": "in-context",
}
"""Usual regime of a family; the others train on the full training set."""


def regime_of(candidate: Candidate | None) -> Regime:
    """The regime of a result whose source states none, by the candidate and its family."""
    if candidate is not None and candidate.samples_per_label is not None:
        return "few-shot"
    return "full" if candidate is None else _REGIMES.get(candidate.family, "full")


def from_measurement(
    row: Measurement, candidate: Candidate | None, tier: Tier = "card"
) -> Accuracy | None:
    """The result that stands beside a measurement of energy; ``None`` where it has none.

    Whatever names the contamination of a measurement is kept as a note.

    Args:
        row: The measurement.
        candidate: Its candidate, where it is declared.
        tier: Trust in results that are not the calibration suite's.
    """
    if row.accuracy is None and row.macro_f1 is None:
        return None
    own = row.source in OWN_SOURCES
    drawn = _draws(row, candidate)
    unsuspected = "no" if own else "unknown"
    return Accuracy(
        candidate=row.candidate,
        workload=row.workload,
        regime=regime_of(candidate),
        source=row.source,
        numeric_format=numeric_format_of(row.precision),
        precision=row.precision,
        samples_per_label=drawn.get("samples_per_label"),
        n_draws=drawn.get("n_draws"),
        accuracy=row.accuracy,
        accuracy_sd=drawn.get("accuracy_sd"),
        macro_f1=row.macro_f1,
        n_test=row.n_test,
        n_test_basis="stated" if row.n_test else "unknown",
        split=row.accuracy_split,
        contamination="possible" if row.contamination else unsuspected,  # type: ignore[arg-type]
        tier="suite" if own else tier,
        run_id=row.run_id,
        citation=row.citation,
        licence=row.licence,
        measured_at=row.measured_at[:10] if row.measured_at else None,
        notes=row.contamination,
    )


def _draws(row: Measurement, candidate: Candidate | None) -> dict[str, Any]:
    """Texts per label, number and spread of a few-shot row's draws, from its fingerprint."""
    if candidate is None or candidate.samples_per_label is None:
        return {}
    recorded = json.loads(row.fingerprint or "{}").get("context", {}).get("draws", {})
    return {"samples_per_label": candidate.samples_per_label, **recorded}


JOINED = ("accuracy", "accuracy_split", "macro_f1", "n_test", "contamination")
"""Columns of a measurement that hold the accuracy of its run."""


Pair = tuple[str, str, str, str, str | None]


def pair_of(row: Measurement | Accuracy) -> Pair:
    """What a measurement and its accuracy share: run, source, candidate, workload, precision."""
    return row.run_id or "", row.source, row.candidate, row.workload, row.precision


def by_pair(rows: Iterable[Accuracy]) -> dict[Pair, Accuracy]:
    """Results by what measurements of the same run share with them."""
    return {pair_of(row): row for row in rows}


def joined(row: Measurement, known: Mapping[Pair, Accuracy]) -> Measurement:
    """A measurement of inference with its own accuracy, else that of its run, if there is one."""
    if not known or row.phase != "inference" or row.accuracy is not None:
        return row
    found = known.get(pair_of(row))
    return row if found is None else msgspec.structs.replace(row, **columns_of(found))


def columns_of(row: Accuracy) -> dict[str, Any]:
    """The columns of `JOINED` that a result fills."""
    return {
        "accuracy": row.accuracy,
        "accuracy_split": row.split,
        "macro_f1": row.macro_f1,
        "n_test": row.n_test,
        "contamination": row.notes,
    }


def of_measurements(
    rows: Iterable[Measurement], candidates: Mapping[str, Candidate]
) -> list[Accuracy]:
    """The results beside measurements: one of each run, however many setups repeat it.

    Where setups of a run disagree (another chip rounds otherwise, another backend quantises
    otherwise), each value stays, under its device and backend.
    """
    seen: set[tuple[Any, ...]] = set()
    found: dict[str, Accuracy] = {}
    for row in rows:
        value = (*pair_of(row), row.accuracy, row.macro_f1, row.n_test, row.accuracy_split)
        if value in seen:
            continue
        seen.add(value)
        result = from_measurement(row, candidates.get(row.candidate))
        if result is None:
            continue
        before = found.setdefault(accuracy_key(result), result)
        if accuracy_digest(before) != accuracy_digest(result):
            where = ", ".join(filter(None, (row.device, row.backend)))
            other = msgspec.structs.replace(result, reference=where)
            found.setdefault(accuracy_key(other), other)
    return list(found.values())


class Accuracies:
    """The results of a catalog and the evidence they make.

    Args:
        alone: Results of the store that came without a measurement, oldest first.
        beside: Reads those beside its measurements, when they are first needed.
        workloads: Every workload of the catalog by name.
        bundled: Whether the bundled results belong to it.
    """

    def __init__(
        self,
        alone: Sequence[Accuracy],
        workloads: Mapping[str, Workload],
        *,
        beside: Callable[[], Sequence[Accuracy]] = tuple,
        bundled: bool = True,
    ) -> None:
        self.alone, self._beside, self._bundled = tuple(alone), beside, bundled
        self._workloads = workloads
        self._evidence: dict[tuple[str, Metric], Mapping[str, tuple[Evidence, ...]]] = {}
        self._answers: dict[tuple[str, Metric, Labels, NumericFormat], dict[str, Evidence]] = {}
        self._values: dict[tuple[str, str | None, Labels], dict[str, dict[str, float]]] = {}

    @functools.cached_property
    def _own(self) -> Mapping[str, tuple[Accuracy, ...]]:
        """Stored results by workload."""
        found: defaultdict[str, list[Accuracy]] = defaultdict(list)
        for row in (*self._beside(), *self.alone):
            found[row.workload].append(row)
        return {name: tuple(rows) for name, rows in found.items()}

    def of(self, workload: str) -> tuple[Accuracy, ...]:
        """Every result on a workload: published, beside bundled measurements, stored.

        The bundled reference run says nothing of candidates that the store itself has results of.
        """
        own, known = self._own.get(workload, ()), self._workloads.get(workload)
        if not self._bundled:
            return own
        bundled = atlas.results(known.task, workload) if known else ()
        stored = {row.candidate for row in own}
        measured = [
            row
            for row in atlas.measured().get(workload, ())
            if row.source != REFERENCE_RUN or row.candidate not in stored
        ]
        return (*bundled, *measured, *own)

    def rows(self, workloads: Iterable[str] | None = None) -> Iterator[Accuracy]:
        """Results of some workloads or of all, in the order of their names."""
        names = self.workloads() if workloads is None else workloads
        for name in sorted(names):
            yield from self.of(name)

    def workloads(self) -> frozenset[str]:
        """Workloads that have a result."""
        bundled = {*atlas.workloads(), *atlas.measured()} if self._bundled else set()
        return frozenset(bundled | self._own.keys())

    def evidence(
        self, workload: str, metric: Metric = "accuracy"
    ) -> Mapping[str, tuple[Evidence, ...]]:
        """Evidence on a workload by candidate, every setting and format."""
        key = (workload, metric)
        if key not in self._evidence:
            found: defaultdict[str, list[Evidence]] = defaultdict(list)
            facts = self._workloads.get(workload)
            own = facts is not None and facts.own_splits
            for each in evidence(
                few_shot_joined(newest(self.of(workload))), metric, own_splits=own
            ):
                found[each.candidate].append(each if facts is None else doubted(each, facts))
            self._evidence[key] = {name: tuple(all_) for name, all_ in found.items()}
        return self._evidence[key]

    def answers(
        self,
        workload: str,
        metric: Metric = "accuracy",
        labels: Labels = "full",
        numeric_format: NumericFormat = "float",
    ) -> dict[str, Evidence]:
        """What answers for each candidate under a label budget and in a numeric format.

        int8 without results of its own takes the float value less the learned loss; int4 has none.
        """
        key = (workload, metric, labels, numeric_format)
        if key not in self._answers:
            self._answers[key] = self._answer(*key)
        return self._answers[key]

    def _answer(
        self, workload: str, metric: Metric, labels: Labels, numeric_format: NumericFormat
    ) -> dict[str, Evidence]:
        """See `answers`."""
        found = {}
        for name, known in self.evidence(workload, metric).items():
            own = [each for each in known if each.numeric_format == numeric_format]
            best = for_labels(own, labels)
            if best is None and numeric_format == "int8" and (loss := quantisation_loss()):
                plain = for_labels([e for e in known if e.numeric_format == "float"], labels)
                best = quantised(plain, numeric_format, loss) if plain else None
            if best is not None:
                found[name] = best
        return found

    def values(
        self, task: str, language: str | None, labels: Labels = "full"
    ) -> dict[str, dict[str, float]]:
        """Accuracy of each candidate on the workloads of a task in a language, by workload."""
        key = (task, language, labels)
        if key not in self._values:
            found: defaultdict[str, dict[str, float]] = defaultdict(dict)
            for name in sorted(self.workloads()):
                workload = self._workloads.get(name)
                if workload and (workload.task, workload.language) == (task, language):
                    for candidate, best in self.answers(name, labels=labels).items():
                        found[candidate][name] = best.value
            self._values[key] = dict(found)
        return self._values[key]


def doubted(known: Evidence, facts: Workload) -> Evidence:
    """Evidence with ``majority-unknown`` where the share of the largest class is not known."""
    if facts.majority_share is not None or known.metric != "accuracy":
        return known
    codes = tuple(sorted({*known.warnings, "majority-unknown"}))
    return msgspec.structs.replace(known, warnings=codes)


def newest(rows: Iterable[Accuracy]) -> list[Accuracy]:
    """Results without the suite's own superseded ones: of each of its keys the newest run stays.

    Of one run all that its devices and backends came to.
    """
    kept: dict[object, list[Accuracy]] = {}
    for place, row in enumerate(rows):
        key: object = place
        if row.tier == "suite":
            key = (row.candidate, setting(row), row.numeric_format, row.precision, row.split)
        before = kept.get(key)
        if before and before[0].run_id == row.run_id:
            before.append(row)
        elif not before or (row.measured_at or "") >= (before[0].measured_at or ""):
            kept[key] = [row]
    return [row for own in kept.values() for row in own]


def few_shot_joined(rows: Iterable[Accuracy]) -> list[Accuracy]:
    """Results in which a few-shot candidate of the suite shares those of its encoder.

    Published few-shot heads are results of the encoder in the regime ``few-shot``; the suite's are
    a candidate of their own (``...-few-shot``), as their head is another. On a workload that has
    one, either name has the few-shot results of both.
    """
    rows = list(rows)
    shared = [row for row in rows if row.regime == "few-shot"]
    heads = {row.candidate for row in shared if row.candidate.endswith(FEW_SHOT)}
    twins = {head: head.removesuffix(FEW_SHOT) for head in heads}
    twins |= {encoder: head for head, encoder in twins.items()}
    return rows + [
        msgspec.structs.replace(row, candidate=twins[row.candidate])
        for row in shared
        if row.candidate in twins
    ]


@functools.cache
def quantisation_loss() -> Loss | None:
    """What int8 costs, from the bundled pairs."""
    return format_loss(atlas.quantised())
