"""State of one calibration run: meters, idle power, token counts and recorded predictions."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from calibration.classifiers.build import traits_of
from calibration.classifiers.decoding import decoding_of
from calibration.classifiers.recorder import PredictionRecorder
from calibration.measurement.attempts import Patience
from calibration.measurement.windows import idle_watts
from calibration.meters.machine_meter import meter_for
from calibration.meters.meter import Meter
from calibration.plan.calibration_plan import CalibrationPlan
from calibration.records import Trial
from calibration.workloads.hub import local_checkpoint
from calibration.workloads.load import Texts
from catalog.predictions import Predictions, hash_of_items
from catalog.records import Candidate, Device, Measurement
from catalog.registry.architectures import ARCHITECTURES
from catalog.registry.candidates import MINILM

_SCORING_CHUNK = 1024


@dataclass(frozen=True)
class Score:
    """Accuracy and macro-F1 (0-1) on the full test set; ``None`` if not scored.

    Attributes:
        draws: Of a few-shot head: texts per label, seed, number of draws that the two are means
            of, and sample SD of one draw's accuracy.
    """

    accuracy: float | None
    macro_f1: float | None
    draws: Mapping[str, float] | None = None

    @property
    def notes(self) -> str | None:
        """The draws in words."""
        if self.draws is None:
            return None
        return (
            "mean of {n_draws} draws of {samples_per_label} training texts per label, seed {seed}; "
            "SD of one draw's accuracy {accuracy_sd:.4f}"
        ).format(**self.draws)


UNSCORED = Score(None, None)


@dataclass
class Run:
    """One calibration run and the state its rows share.

    Attributes:
        plan: Trials, workloads, candidates, devices and profile.
        run_id: Name of the run, part of every row.
        load_1m: Load average of the last minute before the run.
        known_idle_w: Idle watts by device, measured before any model was loaded.
        patience: Seconds left to wait for quieter moments.
    """

    plan: CalibrationPlan
    run_id: str
    load_1m: float | None
    known_idle_w: dict[str, float | None] = field(default_factory=dict)
    patience: Patience = field(default_factory=Patience)
    _meters: dict[str, Meter] = field(default_factory=dict)
    _tokens: dict[str, float | None] = field(default_factory=dict)
    _answers: dict[tuple[str, str, str | None], bytes] = field(default_factory=dict)
    _items: dict[str, str] = field(default_factory=dict)

    def meter(self, device: Device) -> Meter:
        """The meter of a device; the first call also measures the device's idle power."""
        if device.name not in self._meters:
            meter = self.plan.meter or meter_for(device)
            self._meters[device.name] = meter
            if device.name not in self.known_idle_w:
                self.known_idle_w[device.name] = idle_watts(meter, self.plan.profile.idle_s)
        return self._meters[device.name]

    def idle_w(self, device: Device) -> float | None:
        """Idle watts before any model was loaded."""
        self.meter(device)
        return self.known_idle_w[device.name]

    def score(self, fitted: Any, trial: Trial, texts: Texts) -> Score:
        """Scores a classifier on the test set; keeps its predictions for `predictions`.

        Those of its usual backend only: predictions are kept by number format. A few-shot head's
        score is the mean over its draws; no single head's answers belong to it.
        """
        if hasattr(fitted, "score_draws"):
            return _score_draws(fitted, texts)
        recorder = PredictionRecorder(fitted)
        found = score_test_set(recorder.predict, texts)
        candidate = self.plan.candidates[trial.candidate]
        usual = trial.backend == traits_of(candidate).backends[0]
        if usual and decoding_of(trial.repeat_group) is None:
            key = (trial.workload, trial.candidate, trial.precision)
            self._answers[key] = recorder.packed(texts.test_labels)
        return found

    def predictions(self, row: Measurement) -> tuple[Predictions, ...]:
        """The predictions behind a row's accuracy, returned once; empty afterwards."""
        content = self._answers.pop((row.workload, row.candidate, row.precision), None)
        if content is None or row.accuracy is None:
            return ()
        texts = self.plan.texts[row.workload]
        if row.workload not in self._items:
            self._items[row.workload] = hash_of_items(texts.test, texts.test_labels)
        predictions = Predictions(
            run_id=row.run_id,
            source=row.source,
            workload=row.workload,
            candidate=row.candidate,
            device=row.device,
            precision=row.precision or "",
            workload_revision=texts.workload.revision,
            test_sha256=self._items[row.workload],
            measured_at=row.measured_at or "",
            content=content,
        )
        return (predictions,)

    def tokens_mean(self, texts: Texts, candidate: Candidate) -> float | None:
        """Mean tokens per test text: MiniLM word pieces, ``None`` if that checkpoint is not local.

        For random weights, which have no tokenizer, mean words after truncation.
        """
        if candidate.features == "architecture":
            from calibration.classifiers.random_weights import mean_tokens

            return mean_tokens(texts.test, ARCHITECTURES[candidate.head or ""])
        from calibration.classifiers.frozen import mean_word_pieces

        name = texts.workload.name
        if name not in self._tokens:
            folder = local_checkpoint(MINILM, self.plan.models)
            self._tokens[name] = mean_word_pieces(folder, texts.test) if folder else None
        return self._tokens[name]


def _score_draws(fitted: Any, texts: Texts) -> Score:
    """Mean accuracy and macro-F1 of a few-shot classifier's draws."""
    from calibration.classifiers.few_shot import SEED

    found = fitted.score_draws(texts.train, texts.train_labels, texts.test, texts.test_labels)
    draws = {
        "samples_per_label": fitted.samples_per_label,
        "n_draws": found.n_draws,
        "seed": SEED,
        "accuracy_sd": round(found.accuracy_sd, 6),
    }
    return Score(found.accuracy, found.macro_f1, draws)


def score_test_set(predict: Callable[[Sequence[str]], Any], texts: Texts) -> Score:
    """Accuracy and macro-F1 over all test texts, in chunks that are halved if memory runs out.

    Raises:
        MemoryError: A single text does not fit.
    """
    from sklearn.metrics import accuracy_score, f1_score

    predicted: list[str] = []
    chunk = _SCORING_CHUNK
    while len(predicted) < len(texts.test):
        try:
            predicted += predict(texts.test[len(predicted) : len(predicted) + chunk])
        except MemoryError:
            chunk = halve(chunk)
    truth = texts.test_labels
    macro_f1 = f1_score(truth, predicted, average="macro", zero_division=0)
    return Score(float(accuracy_score(truth, predicted)), float(macro_f1))


def halve(size: int) -> int:
    """Half of a batch size that did not fit, after freeing memory.

    Raises:
        MemoryError: The size is 1 already.
    """
    if size <= 1:
        raise MemoryError
    gc.collect()
    return size // 2
