"""Candidates of the atlas: one name for each (model, head), with its compute profile.

Shapes of well-known checkpoints stand in `shapes.csv`; of the others layers and width follow from
parameters and family and are marked ``derived``.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from atlas_names import Row, languages_of, slug, table

FAMILIES = {
    "bow": "bag-of-words",
    "tfidf": "tf-idf",
    "finetuned-encoder": "fine-tuned-encoder",
    "finetuned-llm": "fine-tuned-llm",
}
FEATURES = (
    ("tf-idf word and character", "tfidf-word-char"),
    ("tf-idf character", "tfidf-char"),
    ("tf-idf", "tfidf-word"),
    ("word and character", "bow-word-char"),
    ("nb-svm bi", "bow-bigram-nb-svm"),
    ("nb-svm tri", "bow-trigram-nb-svm"),
    ("widemlp", "bow-wide-mlp"),
    ("method", ""),
    ("", "bow"),
)
"""Part of the printed name of counted features -> ours, the first that fits."""
HEADS = (
    ("one versus rest", "logistic-one-vs-rest"),
    ("nb-weighted", "logistic"),
    ("nb-svm", ""),
    ("logistic", "logistic"),
    ("sgd", "sgd"),
    ("svm", "linear-svm"),
    ("naive bayes", "multinomial-nb"),
    ("random forest", "random-forest"),
    ("linear classifier on n-grams", "lexicon-features"),
    ("hidden layer", ""),
    ("linear", "linear"),
)
SUFFIX = (
    ("frozen-encoder", "logistic", "frozen-logistic"),
    ("frozen-encoder", "mlp", "frozen-mlp"),
    ("frozen-encoder", "svm", "frozen-svm"),
    ("frozen-encoder", "bilstm", "frozen-bilstm"),
    ("frozen-encoder", "cnn", "frozen-cnn"),
    ("frozen-encoder", "", "frozen-linear"),
    ("static-embedding", "logistic", "static-logistic"),
    ("static-embedding", "embeddings trained", "static-finetuned"),
    ("static-embedding", "", "static"),
    ("setfit", "", "setfit"),
    ("finetuned-encoder", "joint", "finetuned-joint"),
    ("finetuned-encoder", "multi-label", "finetuned-multi-label"),
    ("finetuned-encoder", "mlp", "finetuned-mlp"),
    ("finetuned-encoder", "one versus rest", "finetuned-one-vs-rest"),
    ("finetuned-encoder", "", "finetuned"),
    ("finetuned-llm", "", "finetuned"),
    ("zero-shot-llm", "hidden-state", "zero-shot-hidden-state"),
    ("zero-shot-llm", "promptsource", "zero-shot-promptsource"),
    ("zero-shot", "", "zero-shot"),
    ("few-shot-llm", "", "in-context"),
)
"""Family, part of the head, what follows the model's name: the first that fits."""
VOCABULARY = {"bert": 30_522, "roberta": 50_265, "xlm-roberta": 250_002, "t5-encoder": 32_128}
CAUSAL = ("zero-shot-llm", "few-shot-llm", "fine-tuned-llm", "reasoning-llm")
LLM_FAMILY = {"fine-tuned-llm": 0, "zero-shot-llm": 4, "few-shot-llm": 4}
"""Tokens that are generated for one answer beside the first."""


INSTRUCTION_TOKENS = {"llm": 20, "multimodal": 20}
"""Tokens of "Instruct: <a sentence on the task> Query: ", which embedding LLMs read."""
PREFIX_TOKENS = 4
"""Tokens of "query: ", "classification: " and the like, which smaller encoders read."""


class Candidates:
    """Collects candidates as rows of `catalog.records.Candidate`, one for each name."""

    def __init__(self, data: Path) -> None:
        models = pd.read_csv(data / "mteb_models.csv", low_memory=False)
        self.mteb: dict[str, Row] = {row["model"]: row for row in models.to_dict("records")}
        self.known = {row["printed"]: row for row in table("models.csv")}
        self.by_checkpoint = {
            row["checkpoint"]: row for row in self.known.values() if row["checkpoint"]
        }
        self.shapes = {row["shape"]: row for row in table("shapes.csv")}
        self.of_checkpoint = {
            row["checkpoint"]: row for row in self.shapes.values() if row["checkpoint"]
        }
        self.towers = {row["checkpoint"]: row for row in table("text_towers.csv")}
        self.alike = Counter(slug(checkpoint) for checkpoint in self.mteb)
        self._named: dict[str, str] = {}
        self.found: dict[str, Row] = {}

    def frozen(self, checkpoint: str) -> str:
        """The candidate of a logistic head on an encoder of MTEB."""
        if checkpoint in self._named:
            return self._named[checkpoint]
        model = self.mteb[checkpoint]
        static = model["architecture"] == "static"
        family = "static-embedding" if static else "frozen-encoder"
        name = f"{self._base(checkpoint)}-{'static' if static else 'frozen'}-logistic"
        self._named[checkpoint] = name
        return self._note(name, family, "logistic", checkpoint, self._mteb_profile(model))

    def published(self, row: Row) -> tuple[str, str]:
        """The candidate and the numeric format of a published figure."""
        head = row["head"] if isinstance(row["head"], str) else ""
        printed, numeric = row["model"].removesuffix(", int8"), "float"
        if printed != row["model"]:
            numeric = "int8"
        elif "4 bit" in head:
            numeric = "int4"
        family = FAMILIES.get(row["family"], row["family"])
        if row["family"] in ("bow", "tfidf"):
            features, ours = _counted(printed, head)
            name = f"{features}-{ours}" if ours else features
            return self._note(name, family, ours, None, {"features": features}), numeric
        if row["family"] in ("lexicon", "fasttext", "cnn-lstm"):
            name = _plain(printed)
            size = {"n_parameters": row["n_parameters"]}
            return self._note(name, family, None, None, size), numeric
        known = self.known.get(printed, {})
        hub_id = printed if re.fullmatch(r"[\w.-]+/[\w.-]+", printed) else None
        checkpoint = known.get("checkpoint") or hub_id
        base = known.get("candidate") or self._base(checkpoint or printed)
        name = f"{base}-{_suffix(row['family'], head)}"
        name = re.sub(r"(-fine-?tuned)?-finetuned", "-finetuned", name)
        if "entailment" in head and family == "fine-tuned-encoder":
            family = "zero-shot-nli"
        profile = self._profile(known.get("shape", ""), checkpoint, row)
        return self._note(name, family, head, checkpoint, profile), numeric

    def _base(self, checkpoint: str) -> str:
        """The model's part of a name; with the owner where two models share the last part."""
        short = self.by_checkpoint.get(checkpoint, {}).get("candidate")
        if short:
            return short
        name = slug(checkpoint)
        shared = self.alike[name] - (checkpoint in self.mteb) > 0
        return f"{slug(checkpoint.split('/')[0])}-{name}" if shared and "/" in checkpoint else name

    def _note(
        self, name: str, family: str, head: str | None, checkpoint: str | None, profile: Row
    ) -> str:
        """Keeps a candidate; of two rows of one name the first stays, its gaps filled."""
        model = self.mteb.get(checkpoint or "", {})
        row: Row = {
            "name": name,
            "family": family,
            "features": _features(family),
            "head": _head(head),
            "checkpoint": checkpoint,
            "revision": model.get("registry_revision"),
            "languages": languages_of(model["languages"]) if model else None,
            "licence": _licence(model.get("model_licence")),
            **_prompt(family, head or ""),
            **_instruction(family, model),
            **profile,
        }
        notes = (_instruction(family, model).get("notes"), profile.get("notes"))
        row["notes"] = "; ".join(filter(None, notes)) or None
        kept = self.found.setdefault(name, row)
        if checkpoint and kept["checkpoint"] not in (None, checkpoint):
            raise ValueError(f"{name} is {kept['checkpoint']} and {checkpoint}")
        for field, value in row.items():
            if kept.get(field) is None or kept.get(field) != kept.get(field):
                kept[field] = value
        return name

    def _profile(self, shape: str, checkpoint: str | None, row: Row) -> Row:
        """Compute profile of a published model: its shape's, the registry's, or its size's."""
        if checkpoint in self.mteb:
            return self._mteb_profile(self.mteb[checkpoint])
        known = self.shapes.get(shape) or self.of_checkpoint.get(checkpoint or "")
        if known:
            return self._of_shape(known, row["n_parameters"])
        size = row["n_parameters"]
        return {"n_parameters": size} | derived(size, None, None, "llm" if size else None)

    @staticmethod
    def _of_shape(shape: Row, printed: float) -> Row:
        """Profile from a checkpoint's ``config.json``; parameters of what is not printed follow.

        Blocks of several experts hold more than 12 width**2: their size is stated with the shape.
        """
        layers, width = int(shape["n_layers"]), int(shape["width"])
        table_size = (int(shape["vocabulary"]) + int(shape["positions"])) * int(
            shape["embedding_width"]
        )
        body = 12 * layers * width**2
        stored = body / layers if shape["shares_layers"] else body
        size = (
            printed if printed == printed else float(shape["n_parameters"] or table_size + stored)
        )
        dense = size - table_size if printed == printed and not shape["shares_layers"] else body
        return {
            "n_parameters": size,
            "n_layers": layers,
            "width": width,
            "n_embedding_parameters": table_size,
            "flops_per_token": 2 * (dense if dense > size / 10 else body),
            "max_tokens": shape["max_tokens"] or None,
            "profile_basis": "config",
            **_experts(shape),
        }

    def _mteb_profile(self, model: Row) -> Row:
        """Profile from MTEB's model table, of the shape where the checkpoint has one."""
        shape = self.of_checkpoint.get(model["model"])
        size, body = model["n_parameters"], model["n_active_parameters"]
        table_size = model["n_embedding_parameters"]
        profile = derived(size, table_size, model["embedding_dim"], model["architecture"], body)
        if shape:
            profile |= {"n_layers": int(shape["n_layers"]), "width": int(shape["width"])}
            profile |= {"profile_basis": "config", **_experts(shape)}
        longest = pd.to_numeric(model["max_tokens"], errors="coerce")
        return {"n_parameters": size, "max_tokens": longest, **profile, **self._tower(model)}

    def _tower(self, model: Row) -> Row:
        """Size and work of a multimodal model's text tower: the others read no texts.

        Raises:
            ValueError: `text_towers.csv` lacks a multimodal model.
        """
        if model["architecture"] != "multimodal":
            return {}
        tower = self.towers.get(model["model"])
        if tower is None:
            raise ValueError(f"text_towers.csv lacks {model['model']}")
        body, whole = float(tower["n_parameters"]), model["n_parameters"] / 1e9
        return {
            "n_parameters": body + model["n_embedding_parameters"],
            "n_layers": int(tower["n_layers"]),
            "width": int(tower["width"]),
            "flops_per_token": 2 * body,
            "profile_basis": "derived",
            "notes": f"size and work of the text tower alone, assumed: {tower['basis']}; with the "
            f"towers for images or sound {whole:.3g} billion parameters",
        }


def derived(
    size: float | None,
    table_size: float | None,
    dimension: float | None,
    architecture: str | None,
    body: float | None = None,
) -> Row:
    """Layers, width and FLOP per token from parameters and family.

    A transformer block of width w has 12 w**2 parameters. The width is the embedding's where that
    gives a depth between a 130th and a tenth of it, else that of models whose depth is a 128th (of
    small encoders a 64th) of their width.
    """
    if size is None or size != size:
        return {"n_embedding_parameters": table_size, "profile_basis": None}
    if architecture == "static":
        width = dimension if dimension == dimension and dimension else None
        return {
            "n_embedding_parameters": size,
            "width": width,
            "flops_per_token": 2 * width if width else None,
            "profile_basis": "derived",
        }
    basis: Row = {"profile_basis": "derived"}
    if table_size is None or table_size != table_size:
        rough = (size * 64 / 12) ** (1 / 3)
        table_size = min(VOCABULARY.get(architecture or "", 50_000) * rough, size / 2)
    if body is None or body != body or body <= 0:
        body = size - table_size
    dimension = dimension if dimension and dimension == dimension else 1e9  # unknown: fits nothing
    layers = body / (12 * dimension**2)
    if not dimension / 130 <= layers <= dimension / 10:
        ratio = 128 if body > 5e8 else 64
        dimension = (body * ratio / 12) ** (1 / 3)
        layers = dimension / ratio
    return basis | {
        "n_embedding_parameters": round(table_size),
        "n_layers": max(1, round(layers)),
        "width": round(dimension or 0),
        "flops_per_token": 2 * body,
    }


def _experts(shape: Row) -> Row:
    """Of a mixture of experts the parameters that a token passes; its FLOP follow from them."""
    if not shape["n_active_parameters"]:
        return {}
    return {
        "n_active_parameters": float(shape["n_active_parameters"]),
        "flops_per_token": None,
        "notes": f"mixture of experts; sizes from {shape['size_source']}",
    }


def _counted(printed: str, head: str) -> tuple[str, str]:
    """Counted features and their head, in the words of the registry."""
    text = f"{printed} {head}".lower()
    features = next(ours for part, ours in FEATURES if part in printed.lower()) or slug(printed)
    return features, next((ours for part, ours in HEADS if part in text), "logistic")


def _plain(printed: str) -> str:
    """Name of a model that has no checkpoint."""
    name = slug(printed.replace("(regular)", "").replace("(NLTK lexicon)", ""))
    return re.sub(r"-method-zurich-polarity-lexicon", "-zurich-lexicon", name)


def _suffix(family: str, head: str) -> str:
    """What follows the model's name."""
    return next(
        suffix
        for start, part, suffix in SUFFIX
        if family.startswith(start) and part in head.lower()
    )


def _features(family: str) -> str | None:
    """What turns a text into numbers, in the words of the registry."""
    plain = {
        "frozen-encoder": "frozen",
        "static-embedding": "static",
        "setfit": "setfit",
        "fine-tuned-encoder": "finetuned",
        "fine-tuned-llm": "finetuned",
        "few-shot-llm": "in-context",
    }
    if family.startswith("zero-shot"):
        return "zero-shot"
    return plain.get(family)


def _head(head: str | None) -> str | None:
    """A head in the words of the registry, where it has one for it."""
    plain = {"logistic regression": "logistic", "LogisticRegressionCV": "logistic"}
    plain |= {"entailment score of a label sentence": "entailment"}
    plain |= {"cosine to the label text": "cosine"}
    plain |= {"relevance score of the label text": "relevance"}
    plain |= {"linear on pooled output": ""}
    return plain.get(head or "", head) or None


def _licence(text: Any) -> str | None:
    """The licence a model states, ``None`` where it states none."""
    plain = None if text != text or text in (None, "not specified") else str(text)
    names = {"apache-2.0": "Apache-2.0", "mit": "MIT"}
    return names.get(plain or "", plain)


def _instruction(family: str, model: Row) -> Row:
    """Tokens of the instruction that an encoder's own protocol puts before each text, assumed."""
    if family not in ("frozen-encoder", "static-embedding") or not model:
        return {}
    if model["use_instructions"] != "yes":
        return {}
    tokens = INSTRUCTION_TOKENS.get(model["architecture"], PREFIX_TOKENS)
    note = f"reads an instruction before each text: {tokens} tokens assumed"
    return {"prompt_tokens": tokens, "notes": note}


def _prompt(family: str, head: str) -> Row:
    """Tokens beside the text's own, and whether every class needs a pass of its own."""
    per_class = family in ("zero-shot-nli", "zero-shot-reranker") and "not NLI" not in head
    row: Row = {"one_pass_per_class": "true" if per_class else None}
    if family in ("zero-shot-nli", "zero-shot-reranker"):
        row["prompt_tokens"] = 8 if family == "zero-shot-nli" else 4
    if family in CAUSAL:
        row |= {"prompt_tokens": 40, "generated_tokens": 1 + LLM_FAMILY.get(family, 0)}
    if family == "few-shot-llm":
        row["demonstrations_per_class"] = 1
    return row
