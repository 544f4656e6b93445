"""Accuracy probes: cheap candidates whose accuracies on a workload tell those of many others.

Heads on encoders of the atlas place the workload, with few texts per class and with all of them;
static embeddings both ways and counted words show how much all texts gain.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from calibration.workloads import soundness
from calibration.workloads.errors import WorkloadError
from calibration.workloads.hub import folder_from_environment, local_checkpoint
from calibration.workloads.load import Texts, load, workload_paths
from catalog.records import Candidate
from catalog.registry.candidates import FEW_SHOT, SAMPLES_PER_LABEL
from catalog.registry.obtaining import builds
from catalog.snapshot import Snapshot

USUAL = "minilm-l6-frozen-logistic"
"""The encoder that is read from the hub where none is at hand."""
CURVE = "wordllama-static-logistic"
"""A static embedding in a package, measured both ways."""
COUNTS = "tfidf-word-logistic"
MOST_PARAMETERS = 150e6
"""Parameters of an encoder that counts as cheap."""
MOST = 3
"""Encoders at most; more tell little."""


def sound_texts(
    snapshot: Snapshot, workloads: Sequence[str], data: Path | None
) -> dict[str, Texts]:
    """The texts that accuracy probes are to be measured on, by workload.

    Args:
        snapshot: The catalog.
        workloads: Names or paths; without any, everything in the data folder.
        data: Folder of workloads; default ``JOULEWISE_DATA``.

    Raises:
        UnknownNameError: There is no workload of a name.
        WorkloadError: There are none, or they would mislead; says what is needed.
    """
    data = folder_from_environment("JOULEWISE_DATA", data)
    names = list(workloads) or list(workload_paths(data))
    if not names:
        raise WorkloadError("accuracy probes need texts: --workload FILE with columns text, label")
    loaded = [load(name, data, snapshot.workloads) for name in names]
    for each in loaded:
        soundness.check(each)
    return {each.workload.name: each for each in loaded}


def encoders(candidates: Mapping[str, Candidate], models: Path | None) -> dict[str, Candidate]:
    """Heads on cheap encoders whose weights are at hand; without any, the usual one."""
    models = folder_from_environment("JOULEWISE_MODELS", models)
    found = {
        name: each
        for name, each in sorted(candidates.items())
        if each.family in ("frozen-encoder", "static-embedding")
        and each.head == "logistic"
        and each.samples_per_label is None
        and each.checkpoint
        and builds(each)
        and (each.n_parameters or MOST_PARAMETERS + 1) <= MOST_PARAMETERS
        and local_checkpoint(each.checkpoint, models)
    }
    return found or {USUAL: candidates[USUAL]}


def probes(candidates: Mapping[str, Candidate], chosen: Sequence[str]) -> dict[str, Candidate]:
    """What is measured: chosen encoders and a static embedding, both ways, then counted words.

    Args:
        candidates: Declarations by name.
        chosen: Names of encoders, the most telling first.
    """
    both = [*chosen, *([CURVE] if importlib.util.find_spec("wordllama") else [])]
    ordered = [each for name in both for each in (_few_shot(candidates, name), candidates[name])]
    return {each.name: each for each in (*ordered, candidates[COUNTS])}


def _few_shot(candidates: Mapping[str, Candidate], name: str) -> Candidate:
    """The few-shot variant of a candidate, as declared or made like the declared ones."""
    made = msgspec.structs.replace(
        candidates[name], name=name + FEW_SHOT, samples_per_label=SAMPLES_PER_LABEL
    )
    return candidates.get(made.name, made)
