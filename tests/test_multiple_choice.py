"""Multiple choice: tables of questions are checked, and language models answer by likelihood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from test_suite import TINY, VM, _own_surroundings, snapshot  # noqa: F401
from test_zero_shot import by_hand, llama

from calibration.classifiers.build import build, unsuited
from calibration.classifiers.errors import CannotRunError
from calibration.classifiers.multiple_choice import NO_LIMIT, MultipleChoiceModel
from calibration.classifiers.recorder import PredictionRecorder
from calibration.meters.machine_meter import NullMeter
from calibration.plan import planner
from calibration.suite import calibrate
from calibration.workloads.errors import WorkloadError
from calibration.workloads.load import load
from calibration.workloads.multiple_choice import count_options, render
from catalog.records import Candidate
from catalog.registry.candidates import CANDIDATES
from catalog.store.database import Store

pytestmark = pytest.mark.usefixtures("one_thread")
ROWS = [
    ("Which is a colour?", ["red", "seven", "to run", "a\nfilm"], "A"),
    ("A. is odd\nWhich film is dull?", ["the slow one", "the fine one"], "b"),
    ("2 + 2 =", ["3", "4", "5"], 1),
]


def table(folder: Path, rows: list[dict[str, Any]], suffix: str = "csv") -> Path:
    """A file of questions."""
    file, frame = folder / f"quiz.{suffix}", pd.DataFrame(rows)
    if suffix == "csv":
        frame.to_csv(file, index=False)
    elif suffix == "jsonl":
        frame.to_json(file, orient="records", lines=True)
    else:
        frame.to_parquet(file)
    return file


def rows(**more: Any) -> list[dict[str, Any]]:
    """The questions with options as JSON."""
    return [
        {"question": q, "options": json.dumps(options), "answer": answer, **more}
        for q, options, answer in ROWS
    ]


@pytest.mark.parametrize("layout", ["json", "columns", "jsonl", "parquet"])
def test_every_layout_reads_the_same(tmp_path: Path, layout: str) -> None:
    """Options as JSON, as columns a, b ... or as lists; all rows are the test set."""
    if layout == "json":
        file = table(tmp_path, rows())
    elif layout == "columns":
        file = table(
            tmp_path,
            [
                {"question": q, **dict(zip("abcd", options, strict=False)), "answer": answer}
                for q, options, answer in ROWS
            ],
        )
    else:
        listed = [{"question": q, "choices": o, "answer": str(answer)} for q, o, answer in ROWS]
        file = table(tmp_path, listed, layout)
    texts = load(str(file), None, {})
    assert texts.multiple_choice
    assert texts.test_labels == ["A", "B", "B"]
    assert texts.test == [render(question, options) for question, options, _ in ROWS]
    assert [count_options(text) for text in texts.test] == [4, 2, 3]
    assert (texts.train, texts.workload.n_train) == ([], None)
    assert (texts.workload.n_classes, texts.workload.n_test) == (4, 3)
    assert list(texts.label_words) == list("ABCD")


def test_a_split_column_is_the_owners(tmp_path: Path) -> None:
    """Questions of train are no test items."""
    given = [
        {**row, "split": split}
        for row, split in zip(rows(), ("train", "test", "test"), strict=True)
    ]
    texts = load(str(table(tmp_path, given)), None, {})
    assert (len(texts.train), len(texts.test)) == (1, 2)
    with pytest.raises(WorkloadError, match="column 'split' has no 'test'"):
        load(str(table(tmp_path, rows(split="train"))), None, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": " "}, "column 'question' is empty in row 1"),
        ({"options": "red; blue"}, "row 1: column 'options' must be a JSON list of texts"),
        ({"options": '{"a": 1}'}, "row 1: column 'options': 0 options; allowed: 2 to 26"),
        ({"options": '["secret"]'}, "row 1: column 'options': 1 options; allowed: 2 to 26"),
        ({"options": '["secret", ""]'}, "row 1: column 'options': an option is empty or no text"),
        ({"options": '["secret", 2]'}, "row 1: column 'options': an option is empty or no text"),
        ({"options": '["secret", "secret "]'}, "row 1: column 'options': two options are equal"),
        (
            {"answer": "E"},
            "column 'answer' is none of its options; allowed: A to D, or 0 to 3",
        ),
        ({"answer": 4}, "row 1: column 'answer' is none of its options"),
        ({"answer": "red"}, "row 1: column 'answer' is none of its options"),
        ({"split": ""}, "column 'split' is empty in row 1"),
    ],
)
def test_bad_cells_are_named_and_never_quoted(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """A message names row, column and what is allowed."""
    file = table(tmp_path, [rows()[0] | change, *rows()[1:]])
    with pytest.raises(WorkloadError) as caught:
        load(str(file), None, {})
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_gap_between_option_columns_is_an_error(tmp_path: Path) -> None:
    """Options fill the first columns."""
    file = table(tmp_path, [{"question": "q", "a": "x", "b": "", "c": "y", "answer": "A"}])
    with pytest.raises(WorkloadError, match="row 1: column 'b' is empty"):
        load(str(file), None, {})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random language model."""
    return llama(tmp_path_factory.mktemp("llama"), chat=False)


@pytest.mark.parametrize("scoring", ["likelihood", "likelihood-prefix", "likelihood-whole"])
def test_letters_are_scored_by_hand_computed_likelihood(checkpoint: str, scoring: str) -> None:
    """The scores are log-probabilities of the letters; letters a question lacks never win."""
    words = {letter: letter for letter in "ABCD"}
    made = MultipleChoiceModel(checkpoint, "{text} Answer:", words, scoring, precision="fp32")
    made.fit([])
    texts = [render(question, options) for question, options, _ in ROWS]
    scores = made.decision_function(texts)
    for text, own in zip(texts, scores, strict=True):
        expected = by_hand(made, text)[: count_options(text)]
        np.testing.assert_allclose(own[: len(expected)], expected, atol=1e-3)
        assert (own[len(expected) :] == -np.inf).all()
    assert all(
        "ABCD".index(letter) < count_options(text)
        for letter, text in zip(made.predict(texts), texts, strict=True)
    )


def test_long_questions_keep_their_options(checkpoint: str) -> None:
    """Nothing is truncated, as the options stand at the end."""
    words = {letter: letter for letter in "AB"}
    made = MultipleChoiceModel(
        checkpoint, "{text} Answer:", words, precision="fp32", max_tokens=NO_LIMIT
    )
    made.fit([])
    text = render("word " * 2000, ["the first", "the second"])
    tail = made.tokenizer_("B. the second Answer:", add_special_tokens=False)["input_ids"]
    assert made.prompt_ids(text)[-len(tail) :] == tail


def small(name: str) -> Candidate:
    """A declared candidate without the size of its real checkpoint."""
    declared = next(candidate for candidate in CANDIDATES if candidate.name == name)
    return msgspec.structs.replace(declared, n_parameters=None, revision=None)


def test_only_what_can_answer_is_built(tmp_path: Path) -> None:
    """Classifiers of fixed classes are left out with a reason."""
    texts = load(str(table(tmp_path, rows())), None, {})
    suited = [c.name for c in CANDIDATES if unsuited(c, texts) is None]
    assert "qwen-2.5-7b-zero-shot" in suited
    assert not {"majority-class", "tfidf-word-logistic", "bart-large-mnli-zero-shot"} & {*suited}
    with pytest.raises(CannotRunError, match="no way to answer multiple-choice"):
        build(small("tfidf-word-logistic"), "cpu", None, texts)


def test_a_quiz_is_measured_like_any_workload(
    store: Store, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows with accuracy, and answers per item that agree with it."""
    candidate = small("qwen-2.5-7b-zero-shot")
    target = tmp_path / "m" / str(candidate.checkpoint)
    target.parent.mkdir(parents=True)
    target.symlink_to(checkpoint)
    monkeypatch.setattr(planner, "choose_candidates", lambda *_: {candidate.name: candidate})
    file = table(tmp_path, rows())
    made = planner.plan(
        snapshot(store), workloads=[str(file)], machine=VM, meter=NullMeter(), profile=TINY,
        models=tmp_path / "m",
    )  # fmt: skip
    summary = calibrate(made, store)
    assert (summary.done, summary.failed, summary.skipped) == (3, 0, 0), summary.reasons
    measured = [row for row in store.measurements() if row.phase == "inference"]
    fitted = build(candidate, "cpu", tmp_path / "m", made.texts["quiz"]).fit([], [])
    predicted = PredictionRecorder(fitted).predict(made.texts["quiz"].test)
    truth = made.texts["quiz"].test_labels
    expected = np.mean([a == b for a, b in zip(predicted, truth, strict=True)])
    assert [row.accuracy for row in measured] == pytest.approx([expected] * 2)
    assert {row.n_test for row in measured} == {3}
    assert len(store.predictions()) == 1
