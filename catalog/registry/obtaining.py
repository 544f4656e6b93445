"""Ways to obtain a candidate: a declaration in, the command or package that makes it usable out."""

from __future__ import annotations

from catalog.records import Candidate

_VECTORIZERS = {
    "bow": "CountVectorizer()",
    "bow-word-char": "make_union(CountVectorizer(), CountVectorizer(analyzer='char_wb'))",
    "tfidf-word": "TfidfVectorizer()",
    "tfidf-char": "TfidfVectorizer(analyzer='char_wb', ngram_range=(2, 5))",
    "bow-wide-mlp": "CountVectorizer()",
    "tfidf-word-char": "make_union(TfidfVectorizer(), TfidfVectorizer(analyzer='char_wb'))",
}
"""Counted features in scikit-learn's words; n-gram ranges are a source's own."""
_WIDE_MLP = "MLPClassifier(hidden_layer_sizes=(1024,))"
_HEADS = {
    "linear": "SGDClassifier()",
    "linear-svm": "LinearSVC()",
    "logistic": "LogisticRegression()",
    "logistic-one-vs-rest": "OneVsRestClassifier(LogisticRegression())",
    "multinomial-nb": "MultinomialNB()",
    "random-forest": "RandomForestClassifier()",
    "sgd": "SGDClassifier()",
}
_FASTTEXT = {
    "fasttext": "fasttext supervised -input TRAIN.txt -output MODEL",
    "fasttext-bigram": "fasttext supervised -input TRAIN.txt -output MODEL -wordNgrams 2",
    "fasttext-bigram-quantised": "fasttext supervised -input TRAIN.txt -output MODEL "
    "-wordNgrams 2, then fasttext quantize -input TRAIN.txt -output MODEL",
}
_LEXICONS = {"afinn": "pip install afinn", "textblob": "pip install textblob"}


def builds(candidate: Candidate) -> bool:
    """Whether the calibration suite can build a candidate.

    It is declared so, or a logistic head on an encoder of plain texts at a pinned revision.
    """
    plain = candidate.features == "frozen" and candidate.head == "logistic"
    pinned = candidate.checkpoint is not None and candidate.revision is not None
    return candidate.runnable or (plain and pinned and not candidate.prompt_tokens)


def obtained_with(candidate: Candidate) -> str | None:
    """How anybody gets a candidate, or ``None`` where no weights and no package are known.

    In this order: the calibration suite builds it, open weights are on the hub, or a package
    trains or contains it.
    """
    if candidate.runnable:
        return f"joulewise calibrate --candidate {candidate.name}"
    if candidate.checkpoint:
        return f"hf download {candidate.checkpoint}"
    features, head = _VECTORIZERS.get(candidate.features or ""), _HEADS.get(candidate.head or "")
    if candidate.features == "bow-wide-mlp":
        head = _WIDE_MLP
    if features and head:
        return f"scikit-learn: make_pipeline({features}, {head})"
    if features and candidate.head == "xgboost":
        return f"scikit-learn and xgboost: make_pipeline({features}, XGBClassifier())"
    return _FASTTEXT.get(candidate.name) or _LEXICONS.get(candidate.name)
