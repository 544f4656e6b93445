"""Fine-tuning: learns, stops by dev alone, reuses what it left, serves in other precisions."""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file
from test_zero_shot import tokenizer
from transformers import BertConfig, BertModel

from calibration import suite
from calibration.classifiers import finetuned
from calibration.classifiers.build import build, n_parameters, n_training_texts
from calibration.classifiers.finetuned import (
    FineTunedEncoder,
    extra_train_texts,
    hold_out,
    length_bucketed_batches,
)
from calibration.hardware.machine import Machine
from calibration.meters.machine_meter import NullMeter
from calibration.plan.planner import CalibrationPlan, plan
from calibration.records import Profile
from calibration.workloads.load import Texts, load
from catalog.records import Candidate, Training, Workload
from catalog.registry.candidates import CANDIDATES, MINILM
from catalog.snapshot import Snapshot
from catalog.store.database import Store

pytestmark = pytest.mark.usefixtures("one_thread", "quiet_machine")
SHARED = Path(__file__).parents[2] / "shared" / "data" / "textcls"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
SHORT = Training(
    epochs=2,
    least_steps=1,
    learning_rate=3e-4,
    batch_size=16,
    max_tokens=24,
    extra_split="more",
    extra_rows=64,
)
DECLARED = next(c for c in CANDIDATES if c.name == "minilm-l6-finetuned")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("JOULEWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "finetuned"


@pytest.fixture(scope="session")
def sst2() -> Texts:
    """Some short sentences of each split of sst2."""
    whole = load("sst2", SHARED, {})

    def few(X: list[str], y: list[str], n: int) -> tuple[list[str], list[str]]:
        rows = [row for row in range(len(X)) if len(X[row]) < 70][:n]
        return [X[row] for row in rows], [y[row] for row in rows]

    train, dev, test = (
        few(whole.train, whole.train_labels, 256),
        few(whole.dev, whole.dev_labels, 64),
        few(whole.test, whole.test_labels, 150),
    )
    extra = few(*whole.extra["train_phrases"], 500)
    return Texts(whole.workload, whole.sha256, *train, *test, *dev, {"more": extra})


def short(models: Path, texts: Texts, reuse: bool = True) -> Any:
    """The declared MiniLM under the short training, fitted."""
    candidate = _with(training=SHORT)
    return build(candidate, "cpu", models, texts, reuse).fit(texts.train, texts.train_labels)


def _with(**changes: Any) -> Candidate:
    """The declaration with some fields changed."""
    return Candidate(**{f: getattr(DECLARED, f) for f in DECLARED.__struct_fields__} | changes)


def accuracy(fitted: Any, texts: Texts) -> float:
    """Share of test texts answered right."""
    return float(np.mean(fitted.predict(texts.test) == np.array(texts.test_labels)))


@needs_data
def test_minilm_learns_reuses_and_serves(
    models: Path, cache: Path, sst2: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real weights beat chance; test labels change nothing; a checkpoint spares the training."""
    fitted = short(models, sst2)
    head = fitted.named_steps["head"]
    assert accuracy(fitted, sst2) > 0.6  # 0.5 + 2.4 standard errors
    assert (head.trained_, len(head.history_), head.n_trained_) == (True, 2, 320)
    assert n_parameters(fitted, DECLARED) == 22_713_216 + 2 * 384 + 2
    assert n_training_texts(fitted, sst2, DECLARED) == 320
    assert [file.name for file in cache.iterdir()] == [head.checkpoint_.name]
    assert not list(cache.rglob("*.bin"))
    logits = head.decision_function(sst2.test)

    monkeypatch.setattr(FineTunedEncoder, "_train", lambda *_: pytest.fail("trained again"))
    wrong = replace(sst2, test_labels=["1" if la == "0" else "0" for la in sst2.test_labels])
    again = short(models, wrong).named_steps["head"]
    assert (again.trained_, again.checkpoint_, again.history_) == (
        False,
        head.checkpoint_,
        head.history_,
    )
    np.testing.assert_array_equal(again.decision_function(sst2.test), logits)

    for precision in ("int8", "bf16"):
        near = again.set_precision(precision).decision_function(sst2.test)
        assert np.mean(near.argmax(1) == logits.argmax(1)) > 0.95
        assert np.corrcoef(near[:, 1], logits[:, 1])[0, 1] > 0.97
        assert not np.array_equal(near, logits)


@needs_data
def test_equal_seeds_give_equal_weights_and_test_labels_none(
    models: Path, cache: Path, sst2: Texts
) -> None:
    """Trained twice, once with all test labels turned round: identical weights, bit by bit."""
    few = replace(sst2, train=sst2.train[:32], train_labels=sst2.train_labels[:32], extra={})
    first = short(models, few, reuse=False).named_steps["head"]
    weights = load_file(first.checkpoint_ / "model.safetensors")
    turned = replace(few, test_labels=["1" if la == "0" else "0" for la in few.test_labels])
    second = short(models, turned, reuse=False).named_steps["head"]
    assert second.trained_
    assert second.checkpoint_ == first.checkpoint_
    for name, value in load_file(second.checkpoint_ / "model.safetensors").items():
        np.testing.assert_array_equal(value, weights[name])


def test_a_resumed_suite_trains_no_second_time(
    cache: Path, any_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the row of training in the catalog, the kept checkpoint answers in every precision."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder, fast = tmp_path / "models" / MINILM, tokenizer(chat=False)
    size = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(fast), num_hidden_layers=1, pad_token_id=0, **size)
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    store = Store(any_url)
    store.migrate()
    small = _with(training=Training(epochs=1, least_steps=1), n_parameters=None)

    def planned() -> CalibrationPlan:
        return plan(
            Snapshot(
                measurements=store.measurements(),
                devices={},
                workloads={},
                candidates={small.name: small},
                digest="",
            ),
            profile=Profile(
                name="t", window_s=0.01, repeats=3, warmup_s=0.01, sweep=True, retries=0
            ),
            machine=Machine(cpu="AMD EPYC", sockets=1, cores=2, threads=2, memory_gib=23),
            meter=NullMeter(),
            models=tmp_path / "models",
            backends=("torch",),
        )

    first = planned()
    training = msgspec.structs.replace(first, trials=first.trials[:1])
    assert suite.calibrate(training, store).done == 1
    assert store.measurements()[0].n_items == pytest.approx(1800, abs=4)  # nine in ten
    monkeypatch.setattr(FineTunedEncoder, "_train", lambda *_: pytest.fail("trained again"))
    summary = suite.calibrate(planned(), store)
    assert (summary.done, summary.present, summary.failed) == (10, 1, 0), summary.reasons
    rows = store.measurements()
    assert {row.precision for row in rows} == {"fp32", "bf16", "int8"}
    assert sum("arrival-order" in row.flags for row in rows) == 2
    assert not planned().pending
    store.engine.dispose()


@pytest.mark.parametrize(
    ("dev", "epochs", "kept"), [([0.5, 0.7, 0.6, 0.7, 0.9], 4, 2), ([0.5, 0.6, 0.7], 3, 3)]
)
def test_the_best_epoch_on_dev_is_kept(
    monkeypatch: pytest.MonkeyPatch, dev: list[float], epochs: int, kept: int
) -> None:
    """It ends after two epochs without a better one; of equal ones the first is kept."""
    import torch

    class Line(torch.nn.Module):
        """One weight that counts optimiser steps."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1, 1))

        def forward(self, labels: Any) -> Any:
            loss = self.weight.sum() + 0 * labels.sum()
            return type("Output", (), {"loss": loss})

    made = FineTunedEncoder("", Training(epochs=len(dev), least_steps=1, batch_size=4), Path())
    made.model_, made.classes_ = Line(), np.array(["0", "1"])
    seen: list[float] = []
    monkeypatch.setattr(made, "_tokens", lambda _: {}, raising=False)

    def predict(_: Any) -> Any:
        seen.append(made.model_.weight.item())
        right = round(10 * dev[len(seen) - 1])
        return np.array(["1"] * right + ["0"] * (10 - right))

    monkeypatch.setattr(made, "predict", predict, raising=False)
    history, best = made._run_epochs((["a"] * 8, ["0", "1"] * 4), (["d"] * 10, ["1"] * 10))
    assert history == dev[:epochs]
    assert best["weight"].item() == seen[kept - 1]


def texts(**more: Any) -> Texts:
    """A small workload."""
    given: dict[str, Any] = {
        "train": ["one", "two"],
        "train_labels": ["0", "1"],
        "test": ["A test, sentence!"],
        "test_labels": ["0"],
    }
    return Texts(Workload(name="w", task="t"), "", **(given | more))


def test_extra_texts_hold_none_of_dev_and_test() -> None:
    """Equal but for case and punctuation is equal; each text once; a seeded choice."""
    pool = ["a test sentence", "DEV text", *(f"phrase {n}" for n in range(50)), "phrase 0"]
    given = texts(dev=["dev text"], dev_labels=["1"], extra={"more": (pool, ["1"] * len(pool))})
    chosen, labels = extra_train_texts(given, Training(extra_split="more", extra_rows=1000))
    assert sorted(chosen) == sorted(f"phrase {n}" for n in range(50))
    assert labels == ["1"] * 50
    ten = Training(extra_split="more", extra_rows=10)
    assert extra_train_texts(given, ten)[0] == chosen[:10]
    assert extra_train_texts(given, Training(extra_split="other", extra_rows=10)) == ([], [])
    assert (
        extra_train_texts(given, Training(extra_split="more", extra_rows=10, seed=1))[0]
        != chosen[:10]
    )


def test_without_dev_a_tenth_of_each_class_is_held_out() -> None:
    """By hash, so that the order of the rows does not decide; nothing is lost or shared."""
    X = [f"text {n}" for n in range(200)]
    y = ["a"] * 150 + ["b"] * 50
    (train, _), (dev, dev_labels) = hold_out(X, y, 0)
    assert Counter(dev_labels) == {"a": 15, "b": 5}
    assert sorted(train + dev) == sorted(X)
    assert set(hold_out(X[::-1], y[::-1], 0)[1][0]) == set(dev)


def test_batches_group_like_lengths() -> None:
    """Every row once; inside a batch lengths differ less than in a random one."""
    lengths = [n % 97 for n in range(1000)]
    found = list(length_bucketed_batches(lengths, 16, random.Random(0)))  # noqa: S311
    assert sorted(row for batch in found for row in batch) == list(range(1000))
    spread = np.mean([np.ptp([lengths[row] for row in batch]) for batch in found])
    assert spread < 5
    firsts = [lengths[batch[0]] for batch in found]
    assert firsts != sorted(firsts)


def test_a_key_knows_everything_that_shapes_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts, labels, dev, declaration, pretrained weights and the code's version move it."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"1")
    rows = (["a"], ["0"])
    made = FineTunedEncoder(str(tmp_path), SHORT, tmp_path)
    keys = [
        made._cache_key(rows, rows),
        made._cache_key((["b"], ["0"]), rows),
        made._cache_key(rows, (["a"], ["1"])),
    ]
    keys.append(FineTunedEncoder(str(tmp_path), Training(), tmp_path)._cache_key(rows, rows))
    (tmp_path / "model.safetensors").write_bytes(b"2")
    keys.append(made._cache_key(rows, rows))
    monkeypatch.setattr(finetuned, "TRAINING_VERSION", 99)
    keys.append(made._cache_key(rows, rows))
    assert len(set(keys)) == len(keys)
    told = msgspec.structs.replace(SHORT, learning_rate=float("3e-4"), warmup=float("0.1"))
    assert FineTunedEncoder(str(tmp_path), told, tmp_path)._cache_key(rows, rows) == keys[-1]


def test_the_subset_is_part_of_the_declaration() -> None:
    """MiniLM's says which extra texts; it goes through JSON and a CSV cell unharmed."""
    from catalog.files.run_file import _cells
    from catalog.reference_files import from_cells

    assert DECLARED.checkpoint == MINILM
    assert DECLARED.training is not None
    assert (DECLARED.training.extra_split, DECLARED.training.extra_rows) == (
        "train_phrases",
        15_000,
    )
    assert msgspec.json.decode(msgspec.json.encode(DECLARED), type=Candidate) == DECLARED
    cells = _cells(DECLARED)
    assert json.loads(cells["training"])["extra_rows"] == 15_000
    assert list(from_cells(Candidate, [cells])) == [DECLARED]
    with pytest.raises(msgspec.ValidationError, match="training"):
        list(from_cells(Candidate, [cells | {"training": "{"}]))
