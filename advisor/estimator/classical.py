"""Seconds per text of pipelines without a network: counts, word lists, word vectors on one core.

log seconds = log of (work per token x tokens + a call's overhead / batch), measured on a reference
machine for each kind of pipeline, + log of that machine's core speed over the device's. Published
runtimes of such models are of tables of numbers or of whole processes, so they are not used.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from advisor.estimator.table import Array, Column, by_value
from catalog.records import Candidate
from catalog.reference_files import FOLDER

if TYPE_CHECKING:
    import pandas as pd

PIPELINES = ("lexicon", "static", "counts", "tfidf-word", "tfidf-char", "trees")
"""Kinds of pipeline; ``counts`` are plain, ``trees`` go on to boosted trees."""
CORE_SPEEDS = (
    (r"Apple M\d|Ryzen AI|Ryzen [579] [579]\d{3}|Core i[3579]-1[2-4]|Core Ultra|w[5-9]-", 1.6),
    (r"Core i|Ryzen|Xeon E-|Xeon W|Threadripper", 1.2),
    (r"Raspberry Pi 5|Orin|A78|X1E|Snapdragon|Tensor G|A76", 0.5),
    (r"Raspberry|Jetson|Cortex|Atom|Celeron|N100|Tegra|Neural Compute", 0.25),
    (r"E5-|E7-|Xeon (Gold|Silver|Platinum) \d1\d\d|EPYC 7\d\d1|Graviton ?2|ThunderX", 0.75),
)
"""Speed of one core over that of a server of 2020 or later, by device name, the first that fits:
classes of clock and instructions per cycle, assumed. `SPEED_SPREAD` is their doubt."""
SPEED_SPREAD = 0.35
"""Standard deviation (natural log) of core speeds within a class, assumed: half to twice holds
95 %."""
LEAST_SPREAD = 0.25
"""Standard deviation (natural log) between implementations of one kind of pipeline, assumed."""
UNKNOWN_SPREAD = 0.7
"""Standard deviation (natural log) where the pipeline's kind is not known."""
USUAL_TOKENS = 25.0
"""Word pieces of a text whose length is not stated."""


def pipeline_of(candidate: Candidate | None) -> str:
    """The kind of pipeline of a candidate; blank where it is a network or its kind is unknown."""
    if candidate is None:
        return ""
    name, family = candidate.name, candidate.family
    if family in ("lexicon", "majority"):
        return "lexicon"
    if family in ("static-embedding", "fasttext"):
        return "static"
    if family not in ("bag-of-words", "tf-idf"):
        return ""
    if re.search(r"lightgbm|xgboost|forest|boost", name):
        return "trees"
    if family == "bag-of-words":
        return "counts"
    return "tfidf-char" if re.search(r"char", name) else "tfidf-word"


def core_speed(name: str) -> float:
    """Speed of one core of a device's CPU over the reference class, by its name."""
    return next((speed for words, speed in CORE_SPEEDS if re.search(words, name)), 1.0)


class Pipeline(msgspec.Struct, frozen=True):
    """What one kind of pipeline needs on a core of speed 1.

    Attributes:
        text_s: Seconds a text costs beside its tokens; `token_s` those of a token.
        call_s: Seconds a call costs.
        spread: Standard deviation of log errors over the rows it was fitted to.
    """

    text_s: float
    token_s: float
    call_s: float
    spread: float


class ClassicalModel(msgspec.Struct, frozen=True):
    """Fitted pipelines by kind."""

    pipelines: dict[str, Pipeline]

    def predict(self, profiles: Mapping[str, Column]) -> tuple[Array, Array]:
        """Natural log of seconds per text of n profiles, and its standard deviation.

        Args:
            profiles: Columns ``pipeline device tokens tokens_assumed batch``.
        """
        names = profiles["pipeline"].tolist()
        usual = self.pipelines["tfidf-word"]
        each = [self.pipelines.get(name, usual) for name in names]
        part = {
            field: np.array([getattr(pipeline, field) for pipeline in each], dtype=float)
            for field in Pipeline.__struct_fields__
        }
        tokens = np.where(profiles["tokens_assumed"], USUAL_TOKENS, profiles["tokens"])
        seconds = part["text_s"] + part["token_s"] * tokens + part["call_s"] / profiles["batch"]
        speed = by_value(profiles["device"], core_speed).astype(float)
        known = np.array([name in self.pipelines for name in names], dtype=bool)
        doubt = np.where(known, part["spread"], UNKNOWN_SPREAD)
        return np.log(seconds / speed), np.hypot(doubt, SPEED_SPREAD)


def fit(rows: pd.DataFrame) -> ClassicalModel:
    """Fits each kind of pipeline by non-negative least squares on relative errors.

    Args:
        rows: Columns ``pipeline device tokens batch seconds`` (per text), all of machines whose
            class `core_speed` knows.

    Raises:
        ValueError: A kind of pipeline has no row.
    """
    missing = {*PIPELINES} - {*rows["pipeline"]}
    if missing:
        raise ValueError(f"no runtimes of pipelines: {', '.join(sorted(missing))}")
    found = {}
    for name in PIPELINES:
        own = rows[rows["pipeline"] == name]
        speed = own["device"].map(core_speed).to_numpy(float)
        seconds = own["seconds"].to_numpy(float) * speed
        found[name] = _pipeline(
            own["tokens"].to_numpy(float), own["batch"].to_numpy(float), seconds
        )
    return ClassicalModel(found)


def _pipeline(tokens: Array, batch: Array, seconds: Array) -> Pipeline:
    """One kind of pipeline from its rows."""
    from scipy.optimize import nnls

    parts = np.column_stack([np.ones_like(tokens), tokens, 1 / batch])
    (text_s, token_s, call_s), _ = nnls(parts / seconds[:, None], np.ones_like(seconds))
    fitted = parts @ [text_s, token_s, call_s]
    spread = float(np.sqrt(np.mean(np.log(seconds / fitted) ** 2)))
    return Pipeline(float(text_s), float(token_s), float(call_s), max(spread, LEAST_SPREAD))


@functools.cache
def bundled() -> ClassicalModel:
    """The model of the bundled reference run."""
    import pandas as pd

    return fit(pd.read_csv(Path(str(FOLDER)) / "training" / "classical.csv"))
