"""Builds the classifier of a candidate: an ordinary scikit-learn Pipeline, texts in, labels out.

A model that decides itself (fine-tuned, zero-shot) is the one step of its pipeline.

Settings are the libraries' defaults unless a comment says why not. Features and head are read
from the declaration, so a new pairing needs no code here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from calibration.hardware.usage import free_memory_gb
from calibration.workloads.hub import HubError, checkpoint_folder, folder_from_environment
from catalog.records import Candidate, Kind, Phase
from catalog.registry.architectures import ARCHITECTURES
from catalog.registry.candidates import FAMILIES, FamilyTraits

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from calibration.workloads.load import Texts

TREE_MAX_FEATURES = 10_000
"""Most frequent terms LightGBM sees; it looks at each of them in every split."""

_LIBRARIES_BY_PART: dict[str, tuple[str, ...]] = {
    "lightgbm": ("scikit-learn", "lightgbm"),
    "frozen": ("torch", "transformers"),
    "finetuned": ("torch", "transformers"),
    "zero-shot": ("torch", "transformers"),
    "architecture": ("torch", "transformers"),
}
_IMPORT_NAMES = {"scikit-learn": "sklearn"}
"""Modules that are not called as their distributions are."""
_GB_PER_PARAMETER = {"fp32": 4e-9, "int8": 4e-9, "bf16": 2e-9, "fp16": 2e-9}
"""Memory of the weights; int8 is made from fp32."""
_TRAINING_COPIES = 4
"""Weights, gradients and two moments of AdamW."""


class CannotRunError(RuntimeError):
    """A candidate that cannot run here; the text says why and never quotes a data set's text."""


def libraries(candidate: Candidate) -> tuple[str, ...]:
    """The distributions that do a candidate's work and move its energy, sorted."""
    parts = (candidate.features or "", candidate.head or "")
    needed = {"scikit-learn"}.union(*(_LIBRARIES_BY_PART.get(part, ()) for part in parts))
    return tuple(sorted(needed))


def traits_of(candidate: Candidate) -> FamilyTraits:
    """The traits of a candidate's family; of random weights, those of what they imitate."""
    if candidate.features == "architecture" and ARCHITECTURES[candidate.head or ""].causal:
        return FAMILIES["zero-shot-llm"]
    return FAMILIES[candidate.family]


def is_neural(candidate: Candidate) -> bool:
    """Whether a candidate is a network whose forward passes are what costs."""
    return not FAMILIES[candidate.family].sparse


def precisions(candidate: Candidate, kind: Kind) -> tuple[str, ...]:
    """The number formats a candidate can serve in on a kind of device, its usual one first."""
    traits = traits_of(candidate)
    return traits.gpu_precisions if kind == "gpu" else traits.precisions


def preparation_phase(candidate: Candidate) -> Phase:
    """What happens before a candidate can answer: some are only loaded."""
    return "train" if FAMILIES[candidate.family].trains else "load"


def runs_on(candidate: Candidate) -> Kind:
    """Kind of the chip that does the work where both are there: encoders take the GPU."""
    return FAMILIES[candidate.family].runs_on


def _bow(vocabulary: int | None) -> Any:
    """Counts of words."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    # LightGBM takes no integer matrix, hence float counts.
    return CountVectorizer(max_features=vocabulary, dtype=np.float64)


def _tfidf_word(vocabulary: int | None) -> Any:
    """TF-IDF of words and word pairs."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), max_features=vocabulary)


def _tfidf_char(vocabulary: int | None) -> Any:
    """TF-IDF of two to four characters inside words (``char_wb``)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), max_features=vocabulary)


def _logistic() -> Any:
    """Logistic regression; more iterations than the default so that 77 classes converge."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def _linear_svm() -> Any:
    """Linear support vector machine."""
    from sklearn.svm import LinearSVC

    return LinearSVC()


def _complement_nb() -> Any:
    """Complement naive Bayes."""
    from sklearn.naive_bayes import ComplementNB

    return ComplementNB()


def _lightgbm() -> Any:
    """50 rounds of small trees, each on half of the texts and a tenth of the terms.

    With 77 classes a round is 77 trees: LightGBM's defaults take minutes there and diverge
    (accuracy 0.14 on banking77 from characters), which `reg_lambda` prevents.
    """
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        n_estimators=50,
        learning_rate=0.2,
        num_leaves=15,
        max_bin=63,
        subsample=0.5,
        subsample_freq=1,
        colsample_bytree=0.1,
        reg_lambda=1.0,
        min_child_samples=5,
        force_row_wise=True,
        n_jobs=-1,
        random_state=0,
        verbosity=-1,
    )


_FEATURES: dict[str, Callable[[int | None], Any]] = {
    "bow": _bow,
    "tfidf-word": _tfidf_word,
    "tfidf-char": _tfidf_char,
}
_HEADS: dict[str, Callable[[], Any]] = {
    "logistic": _logistic,
    "linear-svm": _linear_svm,
    "complement-nb": _complement_nb,
    "lightgbm": _lightgbm,
}


def build(
    candidate: Candidate,
    kind: Kind,
    models: Path | None = None,
    texts: Texts | None = None,
    reuse: bool = True,
) -> Pipeline:
    """An unfitted classifier.

    Args:
        candidate: Its declaration.
        kind: Kind of the device it shall run on; ``gpu`` needs a torch with CUDA.
        models: Folder of checkpoints by hub id; the hub is asked where it lacks one.
        texts: The workload, for its dev and extra texts and for its labels in words.
        reuse: Whether a checkpoint fine-tuned before spares the training.

    Raises:
        CannotRunError: A library, memory or the checkpoint is missing, or nothing here builds
            it.
    """
    from sklearn.pipeline import Pipeline

    _import_libraries(candidate)
    _check_memory(candidate, kind)
    if candidate.features == "finetuned":
        return Pipeline([("head", _fine_tuned_encoder(candidate, kind, models, texts, reuse))])
    if candidate.features == "architecture":
        from calibration.classifiers.random_weights import RandomWeightsClassifier

        usual = precisions(candidate, kind)[0]
        shapes = ARCHITECTURES[candidate.head or ""]
        return Pipeline([("head", RandomWeightsClassifier(shapes, _torch_device(kind), usual))])
    if candidate.features == "zero-shot":
        return Pipeline([("head", _zero_shot_classifier(candidate, kind, models, texts))])
    head = _HEADS.get(candidate.head or "")
    if head is None:
        raise CannotRunError(f"no head {candidate.head!r} is known; known: {', '.join(_HEADS)}")
    return Pipeline([("features", _feature_step(candidate, kind, models)), ("head", head())])


def _import_libraries(candidate: Candidate) -> None:
    """Imports a candidate's libraries, so that no window holds it; refuses it where one is missing.

    Importing torch and transformers takes as long as many fits do, and once in a process: in a
    window it would be the first neural candidate's alone.
    """
    modules = {name: _IMPORT_NAMES.get(name, name) for name in libraries(candidate)}
    missing = [name for name, own in modules.items() if importlib.util.find_spec(own) is None]
    if missing:
        raise CannotRunError(f"{', '.join(missing)} not installed; install joulewise[calibration]")
    for own in modules.values():
        importlib.import_module(own)
    if "transformers" in modules:
        importlib.import_module("transformers.models.auto.modeling_auto")  # else at first use


def _check_memory(candidate: Candidate, kind: Kind) -> None:
    """Refuses a candidate whose weights cannot fit into the free memory."""
    if not is_neural(candidate) or not candidate.n_parameters:
        return
    needed = candidate.n_parameters * _GB_PER_PARAMETER[precisions(candidate, kind)[0]]
    needed *= _TRAINING_COPIES if candidate.features == "finetuned" else 1
    free = free_memory_gb(kind)
    if free is not None and needed > free:
        where = "GPU" if kind == "gpu" else "host"
        raise CannotRunError(f"needs {needed:.1f} GB of {where} memory; {free:.1f} GB are free")


def _checkpoint(candidate: Candidate, models: Path | None) -> str:
    """The candidate's checkpoint."""
    try:
        return str(checkpoint_folder(candidate.checkpoint or "", candidate.revision, models))
    except HubError as error:
        raise CannotRunError(str(error)) from error


def cache_folder() -> Path:
    """Where fine-tuned checkpoints are kept: ``JOULEWISE_CACHE``, else the user's cache."""
    given = folder_from_environment("JOULEWISE_CACHE", None)
    return (given or platformdirs.user_cache_path("joulewise")) / "finetuned"


def _torch_device(kind: Kind) -> str:
    """A kind of device as torch calls it."""
    return "cuda" if kind == "gpu" else "cpu"


def _fine_tuned_encoder(
    candidate: Candidate, kind: Kind, models: Path | None, texts: Texts | None, reuse: bool
) -> Any:
    """An encoder to be fine-tuned."""
    from calibration.classifiers.finetuned import FineTunedEncoder, extra_train_texts
    from catalog.records import Training

    training = candidate.training or Training()
    return FineTunedEncoder(
        folder=_checkpoint(candidate, models),
        training=training,
        cache=cache_folder(),
        dev=(texts.dev, texts.dev_labels) if texts else ([], []),
        extra=extra_train_texts(texts, training) if texts else ([], []),
        device=_torch_device(kind),
        reuse=reuse,
    )


def _zero_shot_classifier(
    candidate: Candidate, kind: Kind, models: Path | None, texts: Texts | None
) -> Any:
    """An NLI model or a causal language model."""
    from calibration.classifiers.zero_shot import (
        SCORING_METHODS,
        ZeroShotEntailment,
        ZeroShotLanguageModel,
    )

    known = ("entailment", *SCORING_METHODS)
    if candidate.head not in known or not candidate.prompt:
        raise CannotRunError(
            f"no prompt, or no reading {candidate.head!r} is known; known: {', '.join(known)}"
        )
    given: dict[str, Any] = {
        "folder": _checkpoint(candidate, models),
        "label_words": texts.label_words if texts else {},
        "device": _torch_device(kind),
        "precision": precisions(candidate, kind)[0],
    }
    if candidate.head == "entailment":
        return ZeroShotEntailment(hypothesis=candidate.prompt, **given)
    return ZeroShotLanguageModel(prompt=candidate.prompt, scoring=candidate.head, **given)


def _feature_step(candidate: Candidate, kind: Kind, models: Path | None) -> Any:
    """What turns texts into numbers."""
    if candidate.features in _FEATURES:
        trees = candidate.head == "lightgbm"
        return _FEATURES[candidate.features](TREE_MAX_FEATURES if trees else None)
    if candidate.features == "frozen" and candidate.checkpoint:
        from calibration.classifiers.frozen import FrozenEncoder

        return FrozenEncoder(folder=_checkpoint(candidate, models), device=_torch_device(kind))
    known = ", ".join((*_FEATURES, "frozen", "finetuned", "zero-shot"))
    raise CannotRunError(f"no features {candidate.features!r} are known; known: {known}")


def set_precision(fitted: Pipeline, precision: str) -> None:
    """Reloads the weights of a fitted classifier in a precision.

    Raises:
        CannotRunError: This device or torch has no such precision.
    """
    for step in fitted.named_steps.values():
        if hasattr(step, "set_precision") and step.precision != precision:
            step.set_precision(precision)


def halved_pass_size(fitted: Pipeline) -> int | None:
    """Texts of one forward pass after running out of memory; ``None`` if it never did."""
    for step in fitted.named_steps.values():
        passes = getattr(step, "passes_", None)
        if passes is not None and passes.halved:
            return int(passes.max_items)
    return None


def n_training_texts(fitted: Pipeline, texts: Texts, candidate: Candidate) -> float:
    """Texts a fit learned from; 1 (one load) where nothing is learned."""
    if preparation_phase(candidate) == "load":
        return 1.0
    return float(getattr(fitted.named_steps["head"], "n_trained_", len(texts.train)))


def n_parameters(fitted: Pipeline, candidate: Candidate) -> float | None:
    """Parameters of a fitted classifier: the checkpoint's and those of its head.

    Counts every coefficient and intercept of a linear model (zeros too, as they are stored and
    multiplied), feature log probabilities of naive Bayes, and leaves plus splits of trees.
    """
    head = fitted.named_steps["head"]
    if getattr(head, "n_parameters_", None):
        return float(head.n_parameters_)
    if hasattr(head, "booster_"):
        own = sum(2 * tree["num_leaves"] - 1 for tree in head.booster_.dump_model()["tree_info"])
    elif hasattr(head, "coef_"):
        own = head.coef_.size + head.intercept_.size
    elif hasattr(head, "feature_log_prob_"):
        own = head.feature_log_prob_.size
    else:
        return candidate.n_parameters
    return float(own) + (candidate.n_parameters or 0.0)
