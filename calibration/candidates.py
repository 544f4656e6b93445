"""Builds the classifier of a candidate: an ordinary scikit-learn Pipeline, texts in, labels out.

Settings are the libraries' defaults unless a comment says why not. Features and head are read
from the declaration, so a new pairing needs no code here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.hub import HubError, checkpoint_folder
from catalog.records import Candidate, Kind

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TREES_VOCABULARY = 10_000
"""Most frequent terms LightGBM sees; it looks at each of them in every split."""

_LIBRARIES: dict[str, tuple[str, ...]] = {
    "lightgbm": ("scikit-learn", "lightgbm"),
    "frozen": ("torch", "transformers"),
}
_PRECISION = {"frozen": "fp32"}


class CannotRunError(RuntimeError):
    """A candidate that cannot run here; the text says why and never quotes a data set's text."""


def libraries(candidate: Candidate) -> tuple[str, ...]:
    """The distributions that do a candidate's work and move its energy, sorted."""
    parts = (candidate.features or "", candidate.head or "")
    needed = {"scikit-learn"}.union(*(_LIBRARIES.get(part, ()) for part in parts))
    return tuple(sorted(needed))


def precision(candidate: Candidate) -> str:
    """The number format a candidate computes in; sparse models run in double precision."""
    return _PRECISION.get(candidate.features or "", "fp64")


def runs_on(candidate: Candidate) -> Kind:
    """Kind of the chip that does the work where both are there: encoders take the GPU."""
    return "gpu" if candidate.checkpoint else "cpu"


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


def build(candidate: Candidate, kind: Kind, models: Path | None = None) -> Pipeline:
    """An unfitted classifier.

    Args:
        candidate: Its declaration.
        kind: Kind of the device it shall run on; ``gpu`` needs a torch with CUDA.
        models: Folder of checkpoints by hub id; the hub is asked where it lacks one.

    Raises:
        CannotRunError: A library or the checkpoint is missing, or nothing here builds it.
    """
    from sklearn.pipeline import Pipeline

    head = _HEADS.get(candidate.head or "")
    if head is None:
        raise CannotRunError(f"no head {candidate.head!r} is known; known: {', '.join(_HEADS)}")
    _require(candidate)
    return Pipeline([("features", _features(candidate, kind, models)), ("head", head())])


def _require(candidate: Candidate) -> None:
    """Refuses a candidate whose libraries are not installed."""
    modules = {"scikit-learn": "sklearn"}
    missing = [
        name
        for name in libraries(candidate)
        if importlib.util.find_spec(modules.get(name, name)) is None
    ]
    if missing:
        raise CannotRunError(f"{', '.join(missing)} not installed; install joulewise[calibration]")


def _features(candidate: Candidate, kind: Kind, models: Path | None) -> Any:
    """What turns texts into numbers."""
    if candidate.features in _FEATURES:
        trees = candidate.head == "lightgbm"
        return _FEATURES[candidate.features](TREES_VOCABULARY if trees else None)
    if candidate.features == "frozen" and candidate.checkpoint:
        from calibration.encoders import FrozenEncoder

        try:
            folder = checkpoint_folder(candidate.checkpoint, candidate.revision, models)
        except HubError as error:
            raise CannotRunError(str(error)) from error
        return FrozenEncoder(folder=str(folder), device="cuda" if kind == "gpu" else "cpu")
    known = ", ".join((*_FEATURES, "frozen"))
    raise CannotRunError(f"no features {candidate.features!r} are known; known: {known}")


def n_parameters(fitted: Pipeline, candidate: Candidate) -> float | None:
    """Parameters of a fitted classifier: the checkpoint's and those of its head.

    Counts every coefficient and intercept of a linear model (zeros too, as they are stored and
    multiplied), feature log probabilities of naive Bayes, and leaves plus splits of trees.
    """
    head = fitted.named_steps["head"]
    if hasattr(head, "booster_"):
        own = sum(2 * tree["num_leaves"] - 1 for tree in head.booster_.dump_model()["tree_info"])
    elif hasattr(head, "coef_"):
        own = head.coef_.size + head.intercept_.size
    elif hasattr(head, "feature_log_prob_"):
        own = head.feature_log_prob_.size
    else:
        return candidate.n_parameters
    return float(own) + (candidate.n_parameters or 0.0)
