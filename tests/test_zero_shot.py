"""Zero-shot classifiers: scores equal a hand computation, however texts are batched or cached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    set_seed,
)

from calibration.classifiers.build import build, n_parameters, n_training_texts
from calibration.classifiers.errors import CannotRunError
from calibration.classifiers.zero_shot import ZeroShotEntailment, ZeroShotLanguageModel
from calibration.workloads.load import Texts
from catalog.records import Candidate, Workload
from catalog.registry.candidates import CANDIDATES, HYPOTHESIS, INSTRUCTION

pytestmark = pytest.mark.usefixtures("one_thread")
CORPUS = [
    "Classify the text into exactly one of these classes: negative, positive.",
    "Answer with the name of the class and nothing else. Text: a fine film Class: positive",
    "a dull and slow film, card payment wrong exchange rate, This example is negative.",
]
TEXTS = ["a fine film", "", "a dull and slow film that never ends, and then ends", "Zebras 7 !"]
WORDS = {"0": "negative", "1": "positive", "2": "card payment", "3": "card payment wrong"}
CHAT = (
    "{% for m in messages %}<s>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>{% endif %}"
)


def tokenizer(chat: bool) -> PreTrainedTokenizerFast:
    """A byte-level BPE learned from `CORPUS`."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=380, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    fast.chat_template = CHAT if chat else None
    return fast


def llama(folder: Path, chat: bool) -> str:
    """A random Llama of two layers."""
    fast = tokenizer(chat)
    set_seed(1)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "chat"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A language model without and with a chat template."""
    return llama(tmp_path_factory.mktemp("llama"), request.param)


@pytest.fixture(scope="module")
def nli(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random BERT with the three NLI classes."""
    folder, fast = tmp_path_factory.mktemp("nli"), tokenizer(chat=False)
    set_seed(2)
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.3,
        pad_token_id=0,
        id2label={0: "contradiction", 1: "ENTAILMENT", 2: "neutral"},
        label2id={"contradiction": 0, "ENTAILMENT": 1, "neutral": 2},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return str(folder)


def reader(checkpoint: str, scoring: str = "likelihood", **more: Any) -> ZeroShotLanguageModel:
    """A loaded language model in fp32 that chooses among `WORDS`."""
    given = {"label_words": WORDS, "precision": "fp32", "prompt": INSTRUCTION, **more}
    made = ZeroShotLanguageModel(checkpoint, scoring=scoring, **given)
    return made.fit([], list(given["label_words"]))


def log_probabilities(model: Any, ids: list[int]) -> np.ndarray[Any, Any]:
    """Log-softmax in numpy of the next token after every token of one unpadded sequence."""
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].double().numpy()
    shifted = logits - logits.max(1, keepdims=True)
    result: np.ndarray[Any, Any] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def by_hand(made: ZeroShotLanguageModel, text: str) -> list[float]:
    """Sums of the log-probabilities of each label's tokens after the prompt."""
    prompt = made.prompt_ids(text)
    scores = []
    for label in made.label_ids_:
        table = log_probabilities(made.model_, prompt + label)
        places = range(len(prompt) - 1, len(prompt) + len(label) - 1)
        scores.append(sum(table[at, token] for at, token in zip(places, label, strict=True)))
    return scores


@pytest.mark.parametrize("scoring", ["likelihood", "likelihood-prefix", "likelihood-whole"])
def test_label_scores_equal_a_hand_computation(checkpoint: str, scoring: str) -> None:
    """Logits, log-softmax, sum: left padding, caches and batching change nothing."""
    made = reader(checkpoint, scoring)
    assert max(map(len, made.label_ids_)) > 1
    expected = [by_hand(made, text) for text in TEXTS]
    np.testing.assert_allclose(made.decision_function(TEXTS), expected, atol=1e-4)
    assert list(made.predict(TEXTS)) == [str(np.argmax(scores)) for scores in expected]


@pytest.mark.parametrize("scoring", ["likelihood", "likelihood-prefix", "likelihood-whole"])
def test_one_by_one_equals_a_batch(checkpoint: str, scoring: str) -> None:
    """A text's scores do not depend on what shares its batch, nor on the size of a pass."""
    made = reader(checkpoint, scoring)
    batch = made.decision_function(TEXTS)
    single = np.vstack([made.decision_function([text]) for text in TEXTS])
    np.testing.assert_allclose(batch, single, atol=1e-4)
    made.passes_.max_items = 3
    np.testing.assert_allclose(made.decision_function(TEXTS), batch, atol=1e-4)


def test_the_prefix_is_what_all_prompts_share(checkpoint: str) -> None:
    """Most of the instruction is read once; no prompt is changed by a second call."""
    made = reader(checkpoint, "likelihood-prefix")
    prompts = [made.prompt_ids(text) for text in TEXTS]
    assert len(made.prefix_) > 20
    assert all(ids[: len(made.prefix_)] == made.prefix_ for ids in prompts)
    first = made.decision_function(TEXTS)
    np.testing.assert_array_equal(made.decision_function(TEXTS), first)


def test_a_prompt_that_does_not_share_the_prefix_is_read_whole(checkpoint: str) -> None:
    """Where tokens merge across the border the cache is left out, and the scores hold."""
    made = reader(checkpoint, "likelihood-prefix")
    made.prefix_ = [*made.prefix_, 5]
    expected = [by_hand(made, text) for text in TEXTS]
    np.testing.assert_allclose(made.decision_function(TEXTS), expected, atol=1e-4)


def test_only_nested_labels_end_with_the_end_of_text(checkpoint: str) -> None:
    """One label that begins another gives every label an end; else none has one."""
    nested, apart = (
        reader(checkpoint),
        reader(checkpoint, label_words={"0": "negative", "1": "positive"}),
    )
    assert all(label[-1] == 2 for label in nested.label_ids_)
    assert all(2 not in label for label in apart.label_ids_)


@pytest.mark.parametrize("words", [WORDS, {"a": "negative", "b": "positive"}])
def test_generation_walks_greedily_along_the_labels(checkpoint: str, words: dict[str, str]) -> None:
    """At every step the likeliest token that still leads to a label, found one by one."""
    made = reader(checkpoint, "generation", label_words=words)
    paths = [label if label[-1] == 2 else [*label, 2] for label in made.label_ids_]
    expected = []
    for text in TEXTS:
        prompt, done = made.prompt_ids(text), []
        while done not in paths:
            table = log_probabilities(made.model_, prompt + done)[-1]
            on = {path[len(done)] for path in paths if path[: len(done)] == done}
            done = [*done, max(sorted(on), key=lambda token: table[token])]
        expected.append(list(words)[paths.index(done)])
    assert list(made.predict(TEXTS)) == expected
    assert [made.predict([text])[0] for text in TEXTS] == expected


def test_a_chat_template_frames_the_instruction(tmp_path: Path) -> None:
    """With a template the prompt is the user's turn; the labels then follow without a blank."""
    made = reader(llama(tmp_path, chat=True))
    assert made.tokenizer_.decode(made.prompt_ids("a film")).startswith("<s>Classify")
    assert made.tokenizer_.decode(made.prompt_ids("a film")).endswith("</s><s>")
    assert made.tokenizer_.decode(made.label_ids_[0]).startswith("negative")


def test_long_texts_are_cut_and_the_instruction_is_not(checkpoint: str) -> None:
    """The last words of the prompt survive any text, braces in a text are text."""
    made = reader(checkpoint, max_tokens=8)
    told = made.tokenizer_.decode(made.prompt_ids("{labels} " + "film " * 500))
    assert "Class:" in told
    assert told.count("film") < 10
    assert "{labels}" in told


def test_entailment_equals_a_hand_computation(nli: str) -> None:
    """Each label's score is the entailment logit of its own hypothesis, pair by pair."""
    made = ZeroShotEntailment(nli, HYPOTHESIS, WORDS).fit([], list(WORDS))
    expected = []
    for text in TEXTS:
        for word in WORDS.values():
            tokens = made.tokenizer_(text, f"This example is {word}.", return_tensors="pt")
            with torch.inference_mode():
                expected.append(made.model_(**tokens).logits[0, 1].item())
    table = np.reshape(expected, (len(TEXTS), len(WORDS)))
    np.testing.assert_allclose(made.decision_function(TEXTS), table, atol=1e-4)
    assert list(made.predict(TEXTS)) == [str(row.argmax()) for row in table]


def test_a_model_without_entailment_cannot_judge(checkpoint: str, nli: str, tmp_path: Path) -> None:
    """A classifier of something else is refused with the reason."""
    model = BertForSequenceClassification.from_pretrained(nli)
    model.config.id2label = {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    model.save_pretrained(tmp_path)
    tokenizer(chat=False).save_pretrained(tmp_path)
    with pytest.raises(CannotRunError, match="entailment"):
        ZeroShotEntailment(str(tmp_path), HYPOTHESIS, WORDS).fit([], ["0", "1"])


def test_declared_families_run_end_to_end(checkpoint: str, nli: str, tmp_path: Path) -> None:
    """Every declared zero-shot scoring builds from its declaration and answers with labels."""
    texts = Texts(
        Workload(name="w", task="t"),
        "",
        ["a"],
        ["0"],
        TEXTS,
        ["0"] * 4,
        label_words={"0": "negative"},
    )
    for declared in CANDIDATES:
        if declared.features != "zero-shot":
            continue
        target = tmp_path / "m" / (declared.checkpoint or "")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(nli if declared.head == "entailment" else checkpoint)
        small = Candidate(
            **{f: getattr(declared, f) for f in declared.__struct_fields__}
            | {"n_parameters": None, "revision": None}
        )
        fitted = build(small, "cpu", tmp_path / "m", texts).fit(["x", "y"], ["0", "1"])
        assert set(fitted.predict(TEXTS)) <= {"0", "1"}
        assert fitted.named_steps["head"].label_words_ == ["negative", "1"]
        assert (n_parameters(fitted, small) or 0) > 10_000
        assert n_training_texts(fitted, texts, small) == 1


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_other_precisions_serve(checkpoint: str, precision: str) -> None:
    """The scores of another number format stay near those of fp32."""
    made = reader(checkpoint)
    exact = made.decision_function(TEXTS)
    near = made.set_precision(precision).decision_function(TEXTS)
    assert np.corrcoef(exact.ravel(), near.ravel())[0, 1] > 0.98
    assert not np.array_equal(exact, near)


def test_an_unknown_reading_lists_the_known() -> None:
    """A declaration nothing reads is told with what there is."""
    odd = Candidate(
        name="odd", family="zero-shot-llm", features="zero-shot", head="tea", prompt="{text}"
    )
    with pytest.raises(CannotRunError, match="known: entailment, likelihood"):
        build(odd, "cpu")


def test_a_model_larger_than_memory_cannot_run() -> None:
    """Refused before anything is fetched, with both sizes."""
    huge = Candidate(
        name="huge",
        family="zero-shot-llm",
        features="zero-shot",
        head="likelihood",
        prompt="{text}",
        checkpoint="nobody/huge",
        n_parameters=1e15,
    )
    with pytest.raises(CannotRunError, match=r"needs 2000000.0 GB of host memory; .* are free"):
        build(huge, "cpu")
