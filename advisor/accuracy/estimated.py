"""Evidence of accuracy that follows from the probes measured on a workload, as catalog evidence.

Measured and published results of a workload go in; out comes an estimate for each encoder of the
atlas, with a head on few texts per class or, where the probes tell the gain, on all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from advisor.accuracy.learning_curve import GAIN_SD, Pair, gain, with_full_data, with_spread
from advisor.accuracy.records import FEWEST_TEXTS, Estimates, Probe
from advisor.accuracy.scale import UNSHARED, sampling_variance, slope
from advisor.accuracy.traits import FAMILIES, group_of
from catalog.accuracy import Contamination, Regime
from catalog.evidence import FEW_SAMPLES, Evidence, Labels, for_labels
from catalog.reference_data import workloads as bundled_workloads
from catalog.registry.candidates import FEW_SHOT
from catalog.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from advisor.accuracy.predictor import AccuracyPredictor

DRAWS = 10
"""Training draws behind a few-shot result, of the suite and of most published ones."""
SOURCE = "joulewise-accuracy-model"


class Measured(NamedTuple):
    """What encoders reach on a workload: with few texts per class, and with all."""

    few: Mapping[str, Evidence]
    full: Mapping[str, Evidence]


def is_own(workload: str) -> bool:
    """Whether a workload is the asker's own: no bundled data set."""
    return workload not in bundled_workloads()


def measured(snapshot: Snapshot, workload: str) -> Measured:
    """Results of heads on encoders and static embeddings that may be probes."""
    few: dict[str, Evidence] = {}
    full: dict[str, Evidence] = {}
    for name, known in snapshot.accuracies.evidence(workload).items():
        candidate = snapshot.candidates.get(name)
        if name.endswith(FEW_SHOT) or candidate is None or candidate.family not in FAMILIES:
            continue
        able = [each for each in known if _is_probe(each)]
        best = for_labels([each for each in able if each.regime == "few-shot"], "few")
        whole = [each for each in able if each.regime == "full"]
        few |= {name: best} if best else {}
        full |= {name: whole[0]} if whole else {}
    return Measured(few, full)


def _is_probe(known: Evidence) -> bool:
    """Whether a result tells of others: taken in float on enough texts the model had not seen."""
    enough = (known.n_test or 0) >= FEWEST_TEXTS
    return enough and known.numeric_format == "float" and known.contamination != "yes"


def estimated(
    snapshot: Snapshot,
    workload: str,
    labels: Labels,
    predictor: Callable[[], AccuracyPredictor],
) -> dict[str, Evidence]:
    """Estimates for the encoders of the atlas on a workload in their languages, by candidate.

    Empty under ``labels=none``, and on a workload of which nothing tells: without its number of
    classes or without a result on at least `FEWEST_TEXTS` test texts of an encoder of the atlas.

    Args:
        snapshot: The catalog.
        workload: On which.
        labels: The label budget.
        predictor: Gives the model, which is loaded where something is to be estimated.
    """
    facts = snapshot.workloads[workload]
    if labels == "none" or not facts.n_classes or facts.n_classes < 2:
        return {}
    there = measured(snapshot, workload)
    if not there.few and not (there.full and labels == "full"):
        return {}
    found = _follow(snapshot, workload, there, labels, predictor())
    return {} if found is None else _as_evidence(snapshot, workload, labels, found)


class Following(NamedTuple):
    """Estimates, the regime they are of, and from what they follow, in words."""

    estimates: Estimates
    regime: Regime
    detail: str
    version: str


def _follow(
    snapshot: Snapshot,
    workload: str,
    there: Measured,
    labels: Labels,
    predictor: AccuracyPredictor,
) -> Following | None:
    """Estimates from the few-shot results of encoders of the atlas, else from the full ones."""
    facts, chance = snapshot.workloads[workload], 1 / (snapshot.workloads[workload].n_classes or 2)
    names = [name for name in predictor.speaking(facts.language) if name in snapshot.candidates]
    few = [name for name in there.few if name in predictor.candidates]
    full = [name for name in there.full if name in predictor.candidates]
    known = predictor.model(facts).known_placement(workload) is not None
    if few or known:
        probes = [_probe(there.few[name]) for name in few]
        found = predictor.predict(facts, probes, names)
        said = f"from {_named(few) or 'others'}, few-shot, measured on {workload}"
        pairs = [_pair(there.few[name], there.full[name]) for name in there.few.keys() & there.full]
        if labels == "few" or not pairs:
            return Following(found, "few-shot", said, predictor.version)
        found = with_full_data(found, gain(pairs, chance), chance)
        said += (
            f"; the gain of all training texts from {len(pairs)} candidate(s) measured both ways"
        )
        return Following(found, "full", said, predictor.version)
    if not full or labels != "full":
        return None
    steep = slope(np.array([there.full[name].value for name in full]), np.full(len(full), chance))
    probes = [
        msgspec.structs.replace(probe, variance=probe.variance + (GAIN_SD / at) ** 2)
        for probe, at in zip(map(_probe, (there.full[name] for name in full)), steep, strict=True)
    ]
    found = with_spread(predictor.predict(facts, probes, names), GAIN_SD, chance)
    said = f"from {_named(full)}, trained on all texts, measured on {workload}"
    return Following(found, "full", said, predictor.version)


def _named(names: Sequence[str]) -> str:
    """Some names of probes in words."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(sorted(names)[:3])}{more}"


def _variance(known: Evidence) -> tuple[float, float]:
    """Noise variance of a result over training draws, and over test texts."""
    texts = sampling_variance(np.array([known.value]), np.array([float(known.n_test or 1)]))
    draws = DRAWS if known.regime == "few-shot" else 1
    return (known.sd**2 + known.spread**2) / draws, float(texts[0])


def _probe(known: Evidence) -> Probe:
    """A result as a probe."""
    draws, texts = _variance(known)
    return Probe(known.candidate, known.value, draws + texts, "self-reported" in known.warnings)


def _pair(few: Evidence, full: Evidence) -> Pair:
    """Both results of one candidate; the sampling of test texts is mostly shared."""
    noise = [draws + UNSHARED * texts for draws, texts in (_variance(few), _variance(full))]
    return Pair(few.value, full.value, *noise)


def _as_evidence(
    snapshot: Snapshot, workload: str, labels: Labels, found: Following
) -> dict[str, Evidence]:
    """Estimates as evidence; few-shot ones stand for more labels as a cautious lower figure."""
    facts, estimates = snapshot.workloads[workload], found.estimates
    codes = {"language-assumed"} if facts.language is None else set()
    codes |= {"full-not-measured"} if found.regime == "few-shot" and labels == "full" else set()
    unseen: Contamination = "no" if is_own(workload) else "unknown"
    codes |= {"contamination-unknown"} if unseen == "unknown" else set()
    trained = _trained_on(snapshot, workload)
    ends = zip(estimates.accuracy, estimates.low, estimates.high, estimates.spread, strict=True)
    return {
        name: Evidence(
            candidate=name,
            workload=workload,
            regime=found.regime,
            metric="accuracy",
            value=float(value),
            low=float(low),
            high=float(high),
            samples_per_label=FEW_SAMPLES if found.regime == "few-shot" else None,
            basis="estimated",
            contamination="yes" if name in trained else unseen,
            sources=(SOURCE,),
            reference=f"accuracy model {found.version}",
            detail=found.detail,
            warnings=tuple(sorted(codes)),
            chance=1 / (facts.n_classes or 2),
            logit_sd=float(spread),
        )
        for name, (value, low, high, spread) in zip(estimates.candidates, ends, strict=True)
    }


def _trained_on(snapshot: Snapshot, workload: str) -> frozenset[str]:
    """Candidates that were trained on texts of a data set that shares some with a workload."""
    if is_own(workload):
        return frozenset()
    group = group_of(snapshot.workloads[workload])
    alike = [name for name, each in snapshot.workloads.items() if group_of(each) == group]
    rows = snapshot.accuracies.rows(alike)
    return frozenset(row.candidate for row in rows if row.contamination == "yes")
