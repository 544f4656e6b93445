"""Zero-shot classifiers: texts in, labels out; only the set of labels is taken from the data.

A natural-language-inference model scores one hypothesis per label. A causal language model reads
an instruction with all labels and the text; the label is the most probable one, or is generated
under the constraint that it is one of the labels.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from calibration.classifiers import checkpoints
from calibration.classifiers.decoding import generate_labels, generation_options
from calibration.classifiers.errors import CannotRunError

SCORING_METHODS = ("likelihood", "likelihood-prefix", "likelihood-whole", "generation")
"""How a causal language model's label is determined; see `ZeroShotLanguageModel`."""


class _ZeroShotClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Common base: loading, label words, and prediction of the label with the highest score."""

    folder: str
    label_words: Mapping[str, str]
    device: str
    precision: str
    _kind: str

    def fit(self, X: Sequence[str], y: Sequence[str]) -> Any:  # noqa: ARG002
        """Loads tokenizer and weights; of `y` only the set of labels is used.

        Raises:
            CannotRunError: They cannot be loaded, or the model is of the wrong type.
        """
        self.classes_ = np.array(sorted(set(y)))
        self.label_words_ = [self.label_words.get(label, label) for label in self.classes_]
        self.tokenizer_ = checkpoints.load_tokenizer(self.folder)
        self.set_precision(self.precision)
        self.n_parameters_ = None if self.precision == "int8" else self.model_.num_parameters()
        return self

    def set_precision(self, precision: str) -> Any:
        """Loads the weights in another number format; returns itself."""
        self.precision = precision
        self.model_: Any = None  # frees the former weights first
        self.model_ = checkpoints.load(self._kind, self.folder, precision, self.device)
        self.passes_ = checkpoints.ForwardPasses()
        self._after_load()
        return self

    def _after_load(self) -> None:
        """Hook that runs after the weights are loaded."""

    def predict(self, X: Sequence[str]) -> Any:
        """Labels with the highest score, shape ``(len(X),)``."""
        return self.classes_[self.decision_function(X).argmax(1)]

    def decision_function(self, X: Sequence[str]) -> Any:
        """Scores of shape ``(len(X), n_classes)``."""
        raise NotImplementedError


class ZeroShotEntailment(_ZeroShotClassifier):
    """An NLI model; a label's score is the entailment logit of its hypothesis.

    Args:
        folder: Folder of the checkpoint; its config names a class ``entailment``.
        hypothesis: A sentence with the placeholder ``{label}``.
        label_words: Label -> the words for it in the hypothesis; the label itself by default.
        device: ``cpu`` or ``cuda``.
        precision: Number format of the weights.
        max_tokens: Longer pairs are truncated, in the text only.
    """

    _kind = "AutoModelForSequenceClassification"

    def __init__(
        self,
        folder: str,
        hypothesis: str,
        label_words: Mapping[str, str],
        device: str = "cpu",
        precision: str = "fp32",
        max_tokens: int = 256,
    ) -> None:
        self.folder = folder
        self.hypothesis = hypothesis
        self.label_words = label_words
        self.device = device
        self.precision = precision
        self.max_tokens = max_tokens

    def _after_load(self) -> None:
        """Finds the index of the entailment class."""
        names = self.model_.config.id2label
        found = [int(i) for i, name in names.items() if name.casefold().startswith("entail")]
        if not found:
            raise CannotRunError("the checkpoint has no class called entailment: no NLI model")
        self.entailment_ = found[0]

    def decision_function(self, X: Sequence[str]) -> Any:
        """Entailment logits of shape ``(len(X), n_classes)``; one pass item is one pair."""
        claims = [self.hypothesis.format(label=word) for word in self.label_words_]
        pairs = [(text, claim) for text in X for claim in claims]
        logits = self.passes_.run(pairs, [len(text) for text, _ in pairs], self._entailment_logits)
        return logits.reshape(len(X), len(claims))

    def _entailment_logits(self, pairs: list[tuple[str, str]]) -> Any:
        """Entailment logits of one forward pass over pairs of text and hypothesis."""
        import torch

        tokens = self.tokenizer_(
            [text for text, _ in pairs],
            [claim for _, claim in pairs],
            padding=True,
            truncation="only_first",
            max_length=self.max_tokens,
            return_tensors="pt",
        ).to(self.device)
        with torch.inference_mode():
            return self.model_(**tokens).logits[:, self.entailment_].float().cpu().numpy()


class ZeroShotLanguageModel(_ZeroShotClassifier):
    """A causal language model prompted with all labels and the text.

    The score of a label is the log-probability that it follows the prompt, summed over its
    tokens. The sum is not divided by their number: the labels are complete, mutually exclusive
    answers. If one label is a prefix of another, all labels end with the end-of-text token.

    Scoring methods:
        ``likelihood``: One pass over the prompt; the labels continue from its key-value cache.
        ``likelihood-prefix``: The same, with the common prefix of all prompts cached once, when
            the model is loaded.
        ``likelihood-whole``: One pass over prompt plus label for each label; for models whose
            state cannot be copied per label (state-space layers).
        ``generation``: Greedy decoding restricted to tokens that lead to a label.

    Args:
        folder: Folder of the checkpoint.
        prompt: An instruction with the placeholders ``{labels}`` and ``{text}``. With a chat
            template it is the user's turn; without one, the model continues it after a space.
        label_words: Label -> the words for it in the prompt; the label itself by default.
        scoring: One of `SCORING_METHODS`.
        device: ``cpu`` or ``cuda``.
        precision: Number format of the weights.
        max_tokens: Longer texts are truncated; the instruction never is.
        assistant: Folder of a smaller model for assisted decoding.
        backend: ``torch`` or ``vllm`` (on a GPU; likelihood only).
    """

    _kind = "AutoModelForCausalLM"

    def __init__(
        self,
        folder: str,
        prompt: str,
        label_words: Mapping[str, str],
        scoring: str = "likelihood",
        device: str = "cpu",
        precision: str = "bf16",
        max_tokens: int = 512,
        assistant: str | None = None,
        backend: str = "torch",
    ) -> None:
        self.folder = folder
        self.prompt = prompt
        self.label_words = label_words
        self.scoring = scoring
        self.device = device
        self.precision = precision
        self.max_tokens = max_tokens
        self.assistant = assistant
        self.backend = backend
        self.generation_: dict[str, Any] = {}

    def set_precision(self, precision: str, backend: str = "torch") -> Any:
        """Loads the weights in another number format or on another backend; returns itself."""
        self.backend = backend
        if backend == "torch":
            return super().set_precision(precision)
        from calibration.classifiers.backends.vllm_server import VllmScorer

        if self.scoring == "generation":
            raise CannotRunError("on vLLM, labels are scored by likelihood, not generated")
        self.precision = precision
        self.model_ = None  # frees the former weights first
        self.model_ = VllmScorer(self.folder, precision)
        self.passes_ = checkpoints.ForwardPasses()
        self._tokenise_labels()
        return self

    def set_decoding(self, decoding: str | None) -> None:
        """Chooses a way of decoding (`calibration.classifiers.decoding.DECODINGS`); ``None`` plain.

        Raises:
            CannotRunError: It needs an assistant model and there is none.
        """
        self.generation_ = generation_options(decoding, self.assistant, self.precision, self.device)

    def _after_load(self) -> None:
        """Tokenises the labels and caches the common prefix if the scoring method uses it."""
        self._tokenise_labels()
        forward = inspect.signature(self.model_.forward).parameters
        self.takes_positions_ = "position_ids" in forward
        self.prefix_: list[int] = []
        self.prefix_cache_ = None
        if self.scoring == "likelihood-prefix":
            self._cache_prefix()

    def _tokenise_labels(self) -> None:
        """Token ids of the labels, with the end of the text where one is a prefix of another."""
        self.chat_ = bool(self.tokenizer_.chat_template)
        blank = "" if self.chat_ else " "
        ids = [
            self.tokenizer_(blank + word, add_special_tokens=False)["input_ids"]
            for word in self.label_words_
        ]
        end = self.tokenizer_.eos_token_id
        nested = any(a != b and b[: len(a)] == a for a in ids for b in ids)
        self.label_ids_ = [[*own, end] if nested and end is not None else own for own in ids]

    def prompt_ids(self, text: str) -> list[int]:
        """Token ids of the prompt for one text."""
        cut = self.tokenizer_(
            text,
            truncation=True,
            max_length=self.max_tokens,
            add_special_tokens=False,
            return_offsets_mapping=True,
        )["offset_mapping"]
        text = text[: cut[-1][1]] if cut else text
        prompt = self.prompt.replace("{labels}", ", ".join(self.label_words_)).replace(
            "{text}", text
        )
        if self.chat_:
            turns = [{"role": "user", "content": prompt}]
            prompt = self.tokenizer_.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
        return list(self.tokenizer_(prompt, add_special_tokens=not self.chat_)["input_ids"])

    def predict(self, X: Sequence[str]) -> Any:
        """Generated labels, or those with the highest score; shape ``(len(X),)``."""
        if self.scoring != "generation":
            return super().predict(X)
        prompts = [self.prompt_ids(text) for text in X]
        if self.generation_:  # speculative decoding takes one prompt at a time
            return self.classes_[[self._generate([ids])[0] for ids in prompts]]
        found = self.passes_.run(prompts, [len(ids) for ids in prompts], self._generate)
        return self.classes_[found]

    def decision_function(self, X: Sequence[str]) -> Any:
        """Log-probabilities of the labels, shape ``(len(X), n_classes)``."""
        prompts = [self.prompt_ids(text) for text in X]
        lengths = [len(ids) for ids in prompts]
        if self.backend == "vllm":
            return self.model_.scores(prompts, self.label_ids_)
        if self.scoring != "likelihood-whole":
            return self.passes_.run(prompts, lengths, self._continuation_scores)
        pairs = [(ids, label) for ids in prompts for label in self.label_ids_]
        scores = self.passes_.run(pairs, [len(a) + len(b) for a, b in pairs], self._sequence_scores)
        return scores.reshape(len(X), len(self.label_ids_))

    def _left_padded(self, rows: Sequence[Sequence[int]], n_cached: int = 0) -> dict[str, Any]:
        """Left-padded model input; positions continue after `n_cached` tokens in the cache."""
        import torch

        longest = max(map(len, rows))
        fill = self.tokenizer_.pad_token_id or 0
        ids = torch.tensor([[fill] * (longest - len(row)) + list(row) for row in rows])
        mask = torch.tensor(
            [[1] * n_cached + [0] * (longest - len(row)) + [1] * len(row) for row in rows]
        )
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self.takes_positions_:
            inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)[:, n_cached:]
        return {name: value.to(self.device) for name, value in inputs.items()}

    def _sequence_scores(self, pairs: list[tuple[list[int], list[int]]]) -> Any:
        """Label scores of pairs of prompt and label, each pair in one sequence."""
        import torch

        keep = max(len(label) for _, label in pairs) + 1
        inputs = self._left_padded([prompt + label for prompt, label in pairs])
        with torch.inference_mode():
            logits = self.model_(**inputs, logits_to_keep=keep, use_cache=False).logits
            logp = logits[:, :-1].float().log_softmax(-1)
            found = logp.gather(2, inputs["input_ids"][:, 1 - keep :].unsqueeze(2)).squeeze(2)
            # The label is the end of its row.
            own = torch.tensor(
                [
                    [column >= keep - 1 - len(label) for column in range(keep - 1)]
                    for _, label in pairs
                ]
            )
            return found.masked_fill(~own.to(found.device), 0.0).sum(1).cpu().numpy()

    def _continuation_scores(self, prompts: list[list[int]]) -> Any:
        """Scores of all labels, ``(prompts, labels)``, continued from the prompts' cache."""
        import torch

        known = len(self.prefix_)
        if any(ids[:known] != self.prefix_ or len(ids) == known for ids in prompts):
            known = 0  # the text merges with the last token of the prefix
        inputs = self._left_padded([ids[known:] for ids in prompts], known)
        cache = _repeat_cache(self.prefix_cache_, len(prompts)) if known else None
        first = torch.tensor([label[0] for label in self.label_ids_], device=self.device)
        with torch.inference_mode():
            found = self.model_(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
            scores = found.logits[:, -1].float().log_softmax(-1)[:, first]
            longer = [i for i, label in enumerate(self.label_ids_) if len(label) > 1]
            at_once = max(1, self.passes_.max_items // len(prompts))
            for start in range(0, len(longer), at_once):
                chosen = longer[start : start + at_once]
                labels = [self.label_ids_[i] for i in chosen]
                scores[:, chosen] += self._remaining_token_scores(
                    labels, found.past_key_values, inputs
                )
            return scores.cpu().numpy()

    def _remaining_token_scores(
        self, labels: list[list[int]], cache: Any, inputs: dict[str, Any]
    ) -> Any:
        """Log-probabilities of the labels' tokens after the first, ``(prompts, labels)``."""
        import torch

        mask = inputs["attention_mask"]
        rows, longest = len(mask), max(map(len, labels)) - 1
        pad = [[0] * (longest + 1 - len(label)) for label in labels]
        token_ids = torch.tensor([label[:-1] + p for label, p in zip(labels, pad, strict=True)])
        target = torch.tensor([label[1:] + p for label, p in zip(labels, pad, strict=True)])
        real = torch.tensor([[1] * (len(la) - 1) + p for la, p in zip(labels, pad, strict=True)])
        token_ids, target, real = (
            tensor.to(self.device).repeat(rows, 1) for tensor in (token_ids, target, real)
        )
        before = mask.repeat_interleave(len(labels), 0)
        more = {"input_ids": token_ids, "attention_mask": torch.cat([before, real], 1)}
        if self.takes_positions_:
            more["position_ids"] = before.sum(1, keepdim=True) + torch.arange(
                longest, device=self.device
            )
        repeated = _repeat_cache(cache, len(labels))
        logits = self.model_(**more, past_key_values=repeated, use_cache=True).logits
        logp = logits.float().log_softmax(-1).gather(2, target.unsqueeze(2)).squeeze(2)
        return (logp * real).sum(1).view(rows, len(labels))

    def _cache_prefix(self) -> None:
        """Caches the common prefix of all prompts, found by comparing two unlike texts."""
        import torch

        one, other = self.prompt_ids("a"), self.prompt_ids("Zebras 7")
        pairs = enumerate(zip(one, other, strict=False))
        shared = next((at for at, (a, b) in pairs if a != b), 0)
        self.prefix_ = one[:shared]
        if self.prefix_:
            with torch.inference_mode():
                found = self.model_(**self._left_padded([self.prefix_]), use_cache=True)
            self.prefix_cache_ = found.past_key_values

    def _generate(self, prompts: list[list[int]]) -> Any:
        """Indices of the labels that constrained greedy decoding generates."""
        inputs = self._left_padded(prompts)
        inputs.pop("position_ids", None)  # generate counts them from the mask itself
        return generate_labels(
            self.model_, self.tokenizer_, inputs, self.label_ids_, self.generation_
        )


def _repeat_cache(cache: Any, times: int) -> Any:
    """A copy of a key-value cache with every row repeated `times` times."""
    made = copy.deepcopy(cache)
    made.batch_repeat_interleave(times)
    return made
