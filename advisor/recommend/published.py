"""Setups of candidates with a known accuracy and no measured energy on a workload.

From evidence and compute profile to a row that the estimator prices: the accuracy of a candidate
travels to every device. Also what evidence says about every offer: its value, interval, exclusion.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from advisor.estimator.setup import precision_bits
from advisor.recommend.options import Verdict
from advisor.recommend.records import Missing, Reason, Rejected
from catalog import profiles
from catalog.accuracy import numeric_format_of
from catalog.evidence import Evidence, exclusion
from catalog.records import Candidate, Device, Measurement
from catalog.registry.families import CLASSICAL, FAMILIES, SPARSE
from catalog.registry.obtaining import obtained_with
from catalog.snapshot import Snapshot

PUBLISHED = "atlas"
"""Run id of setups that no row stands behind."""
REFERENCE_DEVICE = "NVIDIA L4"
"""Where setups that were measured nowhere are priced if a question names no device."""
REFERENCE_CPU = "AMD EPYC 7763"
"""Where those of them run that use no GPU."""
BATCH = 32.0
"""Texts per call of scenario ``offline`` where nobody states it."""
ENGLISH_TABLE = 1.3
"""Parameters of an encoder with an English token table over those of its layers (BERT base: 110 of
86 million); larger tables are looked up, not multiplied, and cost nothing."""
_EXCLUDED: dict[str, tuple[Reason, str]] = {
    "not-obtainable": (
        "not-obtainable",
        "no open weights are named and no package trains it; its accuracy is for comparison",
    ),
    "contaminated": ("contaminated", "it was trained on texts of this data set"),
    "below-majority-share": (
        "below-majority-share",
        "its accuracy is not above always answering the most frequent class",
    ),
}


def evidence_of(snapshot: Snapshot, row: Measurement) -> Evidence | None:
    """What answers for a row's candidate on its workload in the row's numeric format."""
    numeric = numeric_format_of(row.precision)
    return snapshot.accuracies.answers(row.workload, numeric_format=numeric).get(row.candidate)


def judged(rows: Iterable[Measurement], snapshot: Snapshot) -> list[Measurement]:
    """Rows with the accuracy that the evidence gives their candidates; others as they are."""
    found = []
    for row in rows:
        known = evidence_of(snapshot, row)
        found.append(row if known is None else msgspec.structs.replace(row, **_columns(known)))
    return found


def _columns(known: Evidence) -> dict[str, object]:
    """Columns of a row that evidence fills."""
    suspected = known.contamination in ("yes", "possible")
    return {
        "accuracy": known.value,
        "accuracy_split": known.split,
        "n_test": known.n_test,
        "contamination": f"contamination: {known.contamination}" if suspected else None,
    }


def obtainable(snapshot: Snapshot, name: str) -> bool:
    """Whether a candidate has open weights, can be built or trained, or was run by the asker."""
    candidate = snapshot.candidates.get(name)
    if candidate is None or obtained_with(candidate):
        return True
    return name in snapshot.own_candidates


def excluded(snapshot: Snapshot, row: Measurement) -> Verdict | None:
    """Why the evidence of a row's candidate can never qualify it, or ``None``."""
    known = evidence_of(snapshot, row)
    if known is None:
        return None
    share = snapshot.workloads[row.workload].majority_share
    open_ = obtainable(snapshot, row.candidate)
    why = exclusion(known, obtainable=open_, majority_share=share)
    if why is None:
        return None
    reason, detail = _EXCLUDED[why]
    if why == "below-majority-share":
        bound = known.low if known.low is not None else known.value
        detail = f"{detail}: at least {bound:.3f}, the class has {share:.3f}"
    return Verdict(reason, detail, Missing(constraint=reason, asked=0.0, has=known.value))


def unmeasured(
    snapshot: Snapshot,
    workload: str,
    scenario: Literal["single", "offline"],
    device: Device | None,
    seen: set[str],
    batch_size: float | None = None,
) -> list[tuple[Measurement, Device]]:
    """Setups of candidates with evidence and without a row, each with where it would run.

    Args:
        snapshot: Evidence, profiles and devices.
        workload: What the answer is about.
        scenario: Decides the batch where none is asked for.
        device: Where all would run; ``None`` takes the reference machine.
        seen: Candidates that have offers.
        batch_size: Texts per call.
    """
    found = []
    answers = snapshot.accuracies.answers(workload)
    small = snapshot.accuracies.answers(workload, numeric_format="int4")
    for name in sorted((answers.keys() | small.keys()) - seen):
        candidate = snapshot.candidates.get(name)
        if candidate is None or not has_profile(candidate):
            continue
        known = answers.get(name) or small[name]
        place = device or _reference(snapshot, candidate)
        if place is not None:
            batch = 1.0 if scenario == "single" else batch_size or BATCH
            row = _setup(snapshot, candidate, known, place, batch)
            found.append((msgspec.structs.replace(row, scenario=scenario), place))
    return found


def has_profile(candidate: Candidate) -> bool:
    """Whether what one text costs can be told: a network of known size, or none at all."""
    return candidate.family in CLASSICAL or candidate.n_parameters is not None


def _reference(snapshot: Snapshot, candidate: Candidate) -> Device | None:
    """The reference machine's part that a candidate runs on."""
    on_cpu = candidate.family in SPARSE or FAMILIES[candidate.family].runs_on == "cpu"
    return snapshot.named(REFERENCE_CPU if on_cpu else REFERENCE_DEVICE)


def _setup(
    snapshot: Snapshot, candidate: Candidate, known: Evidence, device: Device, batch: float
) -> Measurement:
    """A row without energy: accuracy from evidence, work from the profile."""
    traits = FAMILIES[candidate.family]
    need = profiles.work(candidate, snapshot.workloads[known.workload])
    usual = traits.gpu_precisions if device.kind == "gpu" else traits.precisions
    half = "fp16" if device.kind == "gpu" and "fp16" in usual else usual[0]
    size = candidate.n_parameters
    if size is not None and candidate.flops_per_token and candidate.family not in CLASSICAL:
        size = min(size, ENGLISH_TABLE * candidate.flops_per_token / 2)
    row = Measurement(
        run_id=PUBLISHED,
        source=", ".join(known.sources) or PUBLISHED,
        workload=known.workload,
        candidate=candidate.name,
        device=device.name,
        n_devices=1,
        n_active_devices=1,
        precision="int4" if known.numeric_format == "int4" else half,
        backend=traits.backends[0],
        batch_size=batch,
        n_items=1,
        tokens_mean=need.tokens * need.passes,
        n_parameters=size,
        flops_per_item=need.flops,
        flags=("llm",) if need.generated_tokens > 1 else (),
        reference=known.reference,
    )
    return msgspec.structs.replace(row, **_columns(known))


def majority_class(snapshot: Snapshot, workload: str) -> list[Rejected]:
    """The floor that everything must beat: always answering the most frequent class."""
    facts = snapshot.workloads.get(workload)
    if facts is None or facts.majority_share is None:
        return []
    detail = f"always answers the most frequent class: accuracy {facts.majority_share:.3f}"
    return [
        Rejected(
            candidate="majority-class",
            device="any",
            reason="below-majority-share",
            detail=f"{detail} ({facts.majority_basis})",
            setups=0,
        )
    ]


def memory_gb(snapshot: Snapshot, row: Measurement) -> float | None:
    """Memory a row's setup needs by its profile, 1e9 bytes; a class default without a network."""
    candidate = snapshot.candidates.get(row.candidate)
    if candidate is None:
        return None
    if candidate.n_parameters is None and candidate.family in CLASSICAL:
        return profiles.CLASSICAL_GB
    facts = snapshot.workloads.get(row.workload)
    tokens = row.tokens_mean or (profiles.text_tokens(facts)[0] if facts else 0.0)
    return profiles.memory_gb(
        candidate, precision_bits(row.precision), row.batch_size or 1.0, tokens
    )
