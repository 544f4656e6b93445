"""Fine-tuned encoder: texts in, labels out; keeps the weights of the best epoch on dev.

AdamW with linear warm-up and decay; batches of similar length, padded to their longest text; one
seed. No label of the test set is ever read. Trained checkpoints are cached as safetensors under a
hash of everything that determines the weights.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from calibration.classifiers import checkpoints
from calibration.workloads.load import Texts
from catalog.records import Training

TRAINING_VERSION = 1
"""Version of the training code, part of the cache key; increase it when the weights change."""
DEV_SHARE = 0.1
"""Share of each class of train used as dev (0-1) if the workload has no dev split."""
_BATCHES_PER_BUCKET = 50
"""Batches per bucket; texts are sorted by length inside a bucket."""

LabelledTexts = tuple[list[str], list[str]]
"""Texts and their labels, of equal length."""


def _normalise(text: str) -> str:
    """A text in lower case without punctuation, for finding duplicates."""
    return re.sub(r"\W+", " ", text.casefold()).strip()


def _hash_rank(text: str, seed: int) -> bytes:
    """Sort key for a pseudo-random order that depends on text and seed alone."""
    return hashlib.sha256(f"{seed} {text}".encode()).digest()


def extra_train_texts(texts: Texts, training: Training) -> LabelledTexts:
    """Texts of the declared extra split to add to train, without duplicates of dev and test.

    Args:
        texts: The workload with its splits.
        training: Declares the split (`extra_split`), how many texts (`extra_rows`) and the seed.

    Returns:
        Texts and labels, at most `extra_rows`; empty if the workload has no such split.
    """
    if training.extra_split not in texts.extra:
        return [], []
    pool = dict(zip(*texts.extra[training.extra_split], strict=True))
    held = {_normalise(text) for text in (*texts.dev, *texts.test)}
    allowed = [text for text in pool if _normalise(text) not in held]
    allowed.sort(key=lambda text: _hash_rank(text, training.seed))
    chosen = allowed[: training.extra_rows]
    return chosen, [pool[text] for text in chosen]


def hold_out(X: Sequence[str], y: Sequence[str], seed: int) -> tuple[LabelledTexts, LabelledTexts]:
    """Splits labelled texts into train and dev: `DEV_SHARE` of each class, chosen by hash."""
    by_class: dict[str, list[int]] = {}
    for row in sorted(range(len(X)), key=lambda row: _hash_rank(X[row], seed)):
        by_class.setdefault(y[row], []).append(row)
    held = {row for rows in by_class.values() for row in rows[: round(len(rows) * DEV_SHARE)]}

    def part(rows: Sequence[int]) -> LabelledTexts:
        return [X[row] for row in rows], [y[row] for row in rows]

    return part([row for row in range(len(X)) if row not in held]), part(sorted(held))


def length_bucketed_batches(
    lengths: Sequence[int], size: int, rng: random.Random
) -> Iterator[list[int]]:
    """Row indices of one epoch in batches of similar length, in random order.

    Args:
        lengths: Length of each text.
        size: Rows per batch; the last batch of a bucket may be smaller.
        rng: Random generator that shuffles rows and batches.
    """
    order = list(range(len(lengths)))
    rng.shuffle(order)
    grouped: list[list[int]] = []
    for start in range(0, len(order), size * _BATCHES_PER_BUCKET):
        group = sorted(order[start : start + size * _BATCHES_PER_BUCKET], key=lengths.__getitem__)
        grouped += [group[at : at + size] for at in range(0, len(group), size)]
    rng.shuffle(grouped)
    yield from grouped


class FineTunedEncoder(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A pretrained encoder with a new classification head; all weights are trained, in fp32.

    Args:
        folder: Folder of the pretrained checkpoint.
        training: Hyperparameters.
        cache: Folder of trained checkpoints.
        dev: Texts and labels for early stopping; if empty, `DEV_SHARE` of train is held out.
        extra: Texts and labels that are added to train.
        device: ``cpu`` or ``cuda``.
        precision: Number format for inference.
        reuse: Whether to load a cached checkpoint of the same training instead of training.
        backend: ``torch``, ``onnxruntime`` or ``openvino``, for inference.
    """

    def __init__(
        self,
        folder: str,
        training: Training,
        cache: Path,
        dev: LabelledTexts = ([], []),
        extra: LabelledTexts = ([], []),
        device: str = "cpu",
        precision: str = "fp32",
        reuse: bool = True,
        backend: str = "torch",
    ) -> None:
        self.folder = folder
        self.training = training
        self.cache = cache
        self.dev = dev
        self.extra = extra
        self.device = device
        self.precision = precision
        self.reuse = reuse
        self.backend = backend

    def fit(self, X: Sequence[str], y: Sequence[str]) -> FineTunedEncoder:
        """Trains, or reuses the cached checkpoint of the same training; loads it for inference.

        Sets `classes_`, `checkpoint_` (its folder), `history_` (accuracy on dev after each
        epoch, 0-1), `n_trained_` (texts per epoch) and `trained_` (false if reused).

        Raises:
            CannotRunError: The pretrained checkpoint cannot be loaded.
        """
        train, dev = (list(X), list(y)), self.dev
        if not dev[0]:
            train, dev = hold_out(*train, self.training.seed)
        held = {_normalise(text) for text in dev[0]}
        for text, label in zip(*self.extra, strict=True):
            if _normalise(text) not in held:
                train[0].append(text)
                train[1].append(label)
        self.classes_ = np.array(sorted(set(train[1])))
        self.n_trained_ = len(train[0])
        self.checkpoint_ = self.cache / self._cache_key(train, dev)
        record = self.checkpoint_ / "training.json"
        self.trained_ = not (self.reuse and record.is_file())
        if self.trained_:
            self._train(train, dev)
        self.history_ = json.loads(record.read_text(encoding="utf-8"))["dev_accuracy"]
        return self.set_precision(self.precision, self.backend)

    def set_precision(self, precision: str, backend: str = "torch") -> FineTunedEncoder:
        """Loads the trained weights in another number format or on another backend.

        Returns:
            Itself.

        Raises:
            CannotRunError: They cannot be loaded so; the former weights are gone.
        """
        self.precision, self.backend = precision, backend
        self.model_: Any = None  # frees the former weights first
        self.tokenizer_ = checkpoints.load_tokenizer(str(self.checkpoint_))
        kind, folder = "AutoModelForSequenceClassification", str(self.checkpoint_)
        if backend == "torch":
            self.model_ = checkpoints.load(kind, folder, precision, self.device)
        else:
            from calibration.classifiers.backends import exported_encoder

            self.model_ = exported_encoder.load(
                checkpoints.load(kind, folder, "fp32", "cpu"),
                self.checkpoint_,
                backend,
                precision,
                self.device,
                output="logits",
                tokenise=self._tokens,
            )
        self.passes_ = checkpoints.ForwardPasses()
        return self

    def predict(self, X: Sequence[str]) -> Any:
        """Predicted labels of shape ``(len(X),)``."""
        return self.classes_[self.decision_function(X).argmax(1)]

    def decision_function(self, X: Sequence[str]) -> Any:
        """Logits of shape ``(len(X), n_classes)``."""
        return self.passes_.run(X, [len(text) for text in X], self._logits)

    @property
    def n_parameters_(self) -> int:
        """Number of parameters, head included."""
        return int(json.loads((self.checkpoint_ / "training.json").read_text())["n_parameters"])

    def _logits(self, texts: list[str]) -> Any:
        """Logits of one forward pass."""
        import torch

        with torch.inference_mode():
            return self.model_(**self._tokens(texts)).logits.float().cpu().numpy()

    def _tokens(self, texts: list[str]) -> Any:
        """Token ids and attention mask, padded to the longest text."""
        return self.tokenizer_(
            texts,
            padding=True,
            truncation=True,
            max_length=self.training.max_tokens,
            return_tensors="pt",
        ).to(self.device if self.backend == "torch" else "cpu")

    def _cache_key(self, train: LabelledTexts, dev: LabelledTexts) -> str:
        """Hash of pretrained weights, texts, labels, hyperparameters and `TRAINING_VERSION`."""
        hyperparameters = msgspec.structs.asdict(self.training)  # defaults included
        digest = hashlib.sha256(
            msgspec.json.encode([TRAINING_VERSION, hyperparameters, train, dev])
        )
        files = [*Path(self.folder).glob("*.safetensors"), Path(self.folder) / "config.json"]
        for file in sorted(files):
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        return digest.hexdigest()[:24]

    def _train(self, train: LabelledTexts, dev: LabelledTexts) -> None:
        """Trains and writes the weights of the best epoch on dev to `checkpoint_`.

        They are written to a temporary folder that is then renamed, so that an interrupted run
        leaves no incomplete checkpoint.
        """
        import torch

        devices = range(torch.cuda.device_count()) if self.device == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.training.seed)
            self.tokenizer_ = checkpoints.load_tokenizer(self.folder)
            self.model_ = checkpoints.load(
                "AutoModelForSequenceClassification",
                self.folder,
                "fp32",
                self.device,
                num_labels=len(self.classes_),
                ignore_mismatched_sizes=True,
            )
            self.passes_ = checkpoints.ForwardPasses()
            history, best = self._run_epochs(train, dev)
        self.model_.load_state_dict(best)
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache) as folder:
            staged = Path(folder) / "made"
            self.model_.save_pretrained(staged)
            self.tokenizer_.save_pretrained(staged)
            facts = {"dev_accuracy": history, "n_parameters": self.model_.num_parameters()}
            (staged / "training.json").write_text(json.dumps(facts), encoding="utf-8")
            shutil.rmtree(self.checkpoint_, ignore_errors=True)
            staged.rename(self.checkpoint_)

    def _run_epochs(
        self, train: LabelledTexts, dev: LabelledTexts
    ) -> tuple[list[float], dict[str, Any]]:
        """Accuracy on dev after each epoch (0-1), and the weights of the best epoch."""
        import torch
        from transformers import get_linear_schedule_with_warmup

        settings = self.training
        lengths = [len(text) for text in train[0]]
        class_index = {label: index for index, label in enumerate(self.classes_)}
        targets = torch.tensor([class_index[label] for label in train[1]], device=self.device)
        per_epoch = -(-len(lengths) // settings.batch_size)
        epochs = max(settings.epochs, -(-settings.least_steps // per_epoch))
        steps = epochs * per_epoch
        optimiser = torch.optim.AdamW(self._parameter_groups(), lr=settings.learning_rate)
        schedule = get_linear_schedule_with_warmup(optimiser, round(settings.warmup * steps), steps)
        rng = random.Random(settings.seed)  # noqa: S311
        history: list[float] = []
        best: dict[str, Any] = {}
        for _ in range(epochs):
            self.model_.train()
            for rows in length_bucketed_batches(lengths, settings.batch_size, rng):
                tokens = self._tokens([train[0][row] for row in rows])
                self.model_(**tokens, labels=targets[rows]).loss.backward()
                torch.nn.utils.clip_grad_norm_(self.model_.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                optimiser.zero_grad()
            self.model_.eval()
            accuracy = float(np.mean(self.predict(dev[0]) == np.array(dev[1])))
            if accuracy > max(history, default=-1.0):
                weights = self.model_.state_dict()
                best = {name: value.detach().clone() for name, value in weights.items()}
            history.append(accuracy)
            if len(history) - history.index(max(history)) > settings.patience:
                break
        return history, best

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """AdamW parameter groups: no weight decay for vectors (biases and norms)."""
        parameters = list(self.model_.parameters())
        return [
            {
                "params": [p for p in parameters if p.ndim > 1],
                "weight_decay": self.training.weight_decay,
            },
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
