"""The fitted accuracy models of English and other languages, with factors of their intervals.

One text artefact, loaded when a question first needs it; the scorecard beside it says how far it
was off on data sets that were held out.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from advisor.accuracy import artefact
from advisor.accuracy.artefact import BadModelError
from advisor.accuracy.model import AccuracyModel, reach_of
from advisor.accuracy.records import Estimates, Probe
from advisor.accuracy.traits import traits_of_workload, writing
from catalog.files.atomic_write import atomic_write
from catalog.records import Workload

FOLDER = Path(__file__).parent / "artefact_files"
MODEL, SCORECARD = "accuracy.json", "accuracy_scorecard.json"
ENGLISH, OTHER = "en", "other"
MANY = 99
"""Number of probes that a workload counts as having where the model learned from its rows."""


class AccuracyPredictor(msgspec.Struct, frozen=True):
    """Accuracies of encoders with a head on a workload, from probes measured there.

    Attributes:
        models: By language: ``en``, and ``other`` for all others.
        reach: Factor on the half-width of intervals by number of probes, for ``english`` workloads,
            others in ``latin`` script, and in ``other`` scripts.
        noise: Noise variance of the accuracy to be predicted, which is part of its interval.
        learned_from: Digest of the results it learned from.
        version: First digits of the SHA-256 of its text.
    """

    models: Mapping[str, AccuracyModel]
    reach: Mapping[str, Mapping[int, float]]
    noise: float
    learned_from: str
    version: str = ""

    def model(self, workload: Workload) -> AccuracyModel:
        """The model of a workload's language, its intervals those of its script."""
        language = ENGLISH if workload.language in (None, "en") else OTHER
        reach = self.reach.get(writing(workload.language), {})
        return msgspec.structs.replace(self.models[language], reach=reach)

    @property
    def candidates(self) -> pd.Index[Any]:
        """Names of the candidates it knows."""
        return self.models[ENGLISH].candidates.index

    def speaking(self, language: str | None) -> list[str]:
        """Candidates that declare a language, or none at all; an unstated one is English."""
        declared = self.models[ENGLISH].candidates["languages"]
        asked = language or "en"
        return [str(name) for name, own in declared.items() if not own or asked in own]

    def predict(
        self, workload: Workload, probes: Sequence[Probe], candidates: Sequence[str] | None = None
    ) -> Estimates:
        """Accuracies of few-shot heads on a workload.

        Args:
            workload: Its facts; one that the model learned from needs no probes.
            probes: Accuracies measured on it, of candidates the model knows.
            candidates: Whose; all by default.
        """
        model = self.model(workload)
        names = self.candidates.tolist() if candidates is None else list(candidates)
        noise = np.full(len(names), self.noise)
        known = model.known_placement(workload.name)
        if known is not None:
            model = msgspec.structs.replace(model, reach={0: reach_of(model.reach, MANY)})
            probes = ()
        traits = traits_of_workload(workload)
        return model.predict(traits, names, probes, variance=noise, placement=known)

    def choose_probes(self, workload: Workload, among: Sequence[str], k: int) -> list[str]:
        """The k candidates whose measurement tells most of all others; see `AccuracyModel`."""
        able = [name for name in among if name in self.candidates]
        traits, names = traits_of_workload(workload), self.candidates.tolist()
        return self.model(workload).choose_probes(traits, able, names, k)


def to_text(predictor: AccuracyPredictor) -> bytes:
    """Canonical JSON; the same predictor gives the same bytes."""
    content = {
        "models": {name: artefact.content_of(own) for name, own in predictor.models.items()},
        "reach": {name: artefact.reach_content(own) for name, own in predictor.reach.items()},
        "noise": float(f"{predictor.noise:.6g}"),
        "learned_from": predictor.learned_from,
    }
    return artefact.canonical(content)


def from_text(text: bytes) -> AccuracyPredictor:
    """A predictor from its text.

    Raises:
        BadModelError: No such JSON, or of another layout.
    """
    try:
        content = json.loads(text)
        reach = content["reach"].items()
        return AccuracyPredictor(
            {name: artefact.model_of(own) for name, own in content["models"].items()},
            {name: {int(k): factor for k, factor in own.items()} for name, own in reach},
            content["noise"],
            content["learned_from"],
            artefact.version_of(text),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, BadModelError):
            raise
        raise BadModelError(f"not an accuracy model: {error}") from error


def save(folder: Path, predictor: AccuracyPredictor, card: Mapping[str, Any]) -> str:
    """Writes predictor and scorecard; returns the version."""
    text = to_text(predictor)
    version = artefact.version_of(text)
    folder.mkdir(parents=True, exist_ok=True)
    stated = artefact.canonical({"version": version} | dict(card))
    for name, content in ((MODEL, text), (SCORECARD, stated)):
        with atomic_write(folder / name) as part:
            part.write_bytes(content)
    return version


def load(folder: Path) -> AccuracyPredictor:
    """The predictor of a folder.

    Raises:
        BadModelError: It cannot be used.
        OSError: It cannot be read.
    """
    return from_text((folder / MODEL).read_bytes())


@functools.cache
def bundled() -> AccuracyPredictor:
    """The bundled predictor, read once."""
    return load(FOLDER)
