"""Sparse text features and scikit-learn heads: a name out of a declaration in, an estimator out."""

from __future__ import annotations

from typing import Any

HEADS = ("logistic", "linear-svm", "complement-nb", "lightgbm")
VECTORISERS = ("bow", "tfidf-word", "tfidf-word-tuned", "tfidf-char")
TREE_MAX_FEATURES = 10_000
"""Vocabulary size for LightGBM (most frequent terms), which scans every feature at each split."""
TUNED_C = 10.0
"""Inverse regularisation of a logistic regression on tuned TF-IDF; the library's default is 1."""


def make_head(name: str, features: str | None = None) -> Any:
    """An untrained classifier, one of `HEADS`.

    Args:
        name: Its name.
        features: What it goes on; tuned features have a tuned head.
    """
    if name == "logistic":
        from sklearn.linear_model import LogisticRegression

        c = TUNED_C if features == "tfidf-word-tuned" else 1.0
        return LogisticRegression(C=c, max_iter=1000)  # 77 classes need more than 100
    if name == "linear-svm":
        from sklearn.svm import LinearSVC

        return LinearSVC()
    if name == "complement-nb":
        from sklearn.naive_bayes import ComplementNB

        return ComplementNB()
    from lightgbm import LGBMClassifier

    # A round is one tree per class: with 77 classes LightGBM's defaults take minutes. They also
    # diverge there (accuracy 0.14 on banking77 from characters), which `reg_lambda` prevents.
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


def make_vectoriser(name: str, head: str | None = None) -> Any:
    """A sparse vectoriser, one of `VECTORISERS`: word counts, or TF-IDF of n-grams.

    ``tfidf-word`` uses words and word pairs, ``tfidf-word-tuned`` the same with sublinear term
    frequencies (1 + ln tf), ``tfidf-char`` two to four characters inside words.

    Args:
        name: Its name.
        head: What goes on it; trees take the `TREE_MAX_FEATURES` most frequent terms.
    """
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    most = TREE_MAX_FEATURES if head == "lightgbm" else None
    if name == "bow":
        # LightGBM takes no integer matrix, hence float counts.
        return CountVectorizer(max_features=most, dtype=np.float64)
    if name == "tfidf-char":
        return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), max_features=most)
    tuned = name == "tfidf-word-tuned"
    return TfidfVectorizer(ngram_range=(1, 2), max_features=most, sublinear_tf=tuned)
