"""Random weights: true shapes, no accuracy, and the GPU grid on a scripted stand-in."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from scripted_nvml import Board, Library
from test_suite import VM, _own_surroundings  # noqa: F401

from calibration.classifiers import build
from calibration.classifiers.random_weights import RandomWeightsClassifier, mean_tokens
from calibration.hardware.machine import Gpu
from calibration.measurement import run
from calibration.meters import machine_meter
from calibration.meters.machine_meter import Sources
from calibration.meters.replay import ReplayMeter, load_windows
from calibration.plan import planner
from calibration.records import Profile
from calibration.workloads.load import load
from catalog.files.run_file import read
from catalog.files.validation import Known
from catalog.registry.architectures import ARCHITECTURES, Architecture
from catalog.registry.candidates import CANDIDATES
from catalog.store.database import Store

pytestmark = pytest.mark.usefixtures("one_thread", "quiet_machine")
GRID = Path(__file__).resolve().parents[1] / "scripts" / "gpu_grid.py"
TINY = Profile(name="tiny", window_s=0.01, repeats=3, warmup_s=0.01, idle_s=0.01, retries=0)
SMALL = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
ENCODER = Architecture(
    of="x/bert", model_type="bert", shapes=SMALL | {"num_attention_heads": 2}, n_parameters=1
)
CAUSAL = Architecture(
    of="x/llama",
    model_type="llama",
    shapes=SMALL | {"num_attention_heads": 2, "num_key_value_heads": 1},
    n_parameters=1,
    causal=True,
)


def parameters(kind: str, auto: str = "AutoModel", **shapes: Any) -> int:
    """Parameters of a model that is never allocated."""
    config = transformers.AutoConfig.for_model(kind, **shapes)
    with torch.device("meta"):
        count: int = getattr(transformers, auto).from_config(config).num_parameters()
    return count


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_declared_parameters_are_those_of_the_shapes(name: str) -> None:
    """Recomputed by transformers from the declared configuration."""
    given = ARCHITECTURES[name]
    auto = "AutoModelForCausalLM" if given.causal else "AutoModel"
    assert parameters(given.model_type, auto, **given.shapes) == given.n_parameters


_ROBERTA = {"max_position_embeddings": 514, "type_vocab_size": 1}
_MINILM = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6}
_LM = "AutoModelForCausalLM"
SHAPES: dict[str, tuple[Any, ...]] = {
    "sentence-transformers/all-MiniLM-L6-v2": ("bert", "AutoModel", _MINILM),
    "sentence-transformers/paraphrase-multilingual-mpnet-base-v2": (
        "xlm-roberta",
        "AutoModel",
        _ROBERTA | {"vocab_size": 250_002},
    ),
    "distilbert/distilbert-base-uncased": ("distilbert", "AutoModel", {}),
    "google-bert/bert-base-uncased": ("bert", "AutoModel", {}),
    "FacebookAI/roberta-base": ("roberta", "AutoModel", _ROBERTA | {"vocab_size": 50_265}),
    "answerdotai/ModernBERT-base": ("modernbert", "AutoModel", {}),
    "facebook/bart-large-mnli": ("bart", "AutoModelForSequenceClassification", {"num_labels": 3}),
    "meta-llama/Llama-3.1-8B-Instruct": ("llama", _LM, ARCHITECTURES["llama-3.1-8b"].shapes),
    "Qwen/Qwen2.5-7B-Instruct": (
        "qwen2",
        _LM,
        {
            "vocab_size": 152_064,
            "hidden_size": 3584,
            "intermediate_size": 18_944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
        },
    ),
    "microsoft/Phi-3.5-mini-instruct": ("phi3", _LM, {}),
    "microsoft/Phi-3.5-MoE-instruct": (
        "phimoe",
        _LM,
        {"attention_bias": True, "lm_head_bias": True},
    ),
    "ai21labs/AI21-Jamba-1.5-Mini": ("jamba", _LM, {}),
}
"""Checkpoint -> its ``config.json`` as far as it differs from the defaults of transformers."""


@pytest.mark.parametrize(
    ("checkpoint", "count"),
    sorted(
        {
            (c.checkpoint, c.n_parameters)
            for c in CANDIDATES
            if c.checkpoint and c.family != "static-embedding"  # a table, no transformer
        }
    ),
)
def test_parameters_of_every_checkpoint_follow_from_its_shapes(
    checkpoint: str, count: float
) -> None:
    """No count is taken from memory: each is recomputed from the checkpoint's configuration."""
    kind, auto, shapes = SHAPES[checkpoint]
    assert parameters(kind, auto, **shapes) == count


@pytest.mark.parametrize("architecture", [ENCODER, CAUSAL], ids=["encoder", "causal"])
def test_answers_depend_on_the_text_and_not_on_its_batch(architecture: Architecture) -> None:
    """Padding is masked, empty and overlong texts pass, and the weights are the same each time."""
    texts = ["one two three", "", "four " * 5000, "five six"]
    made = RandomWeightsClassifier(architecture).fit([], ["a", "b", "c"])
    together = made._logits([texts[0], texts[3], texts[1]])
    alone = [made._logits([text])[0] for text in (texts[0], texts[3], texts[1])]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert not np.allclose(alone[0], alone[1])
    again = RandomWeightsClassifier(architecture).fit([], ["a", "b", "c"])
    np.testing.assert_array_equal(again._logits(texts[:1]), made._logits(texts[:1]))
    assert set(made.predict(texts)) <= {"a", "b", "c"}
    assert made.n_parameters_ == made.model_.num_parameters()
    most = 2048 if architecture.causal else 512
    assert mean_tokens(texts, architecture) == (3 + 0 + most + 2) / 4
    for precision in ("bf16", "int8"):
        assert len(made.set_precision(precision).predict(texts[:2])) == 2


def test_workloads_of_one_length_are_exact() -> None:
    """Every text has as many words as the name says, at every call the same."""
    found = load("tokens-32", None, {})
    assert {len(text.split()) for text in (*found.train, *found.test)} == {32}
    assert found.test == load("tokens-32", None, {}).test
    assert (found.workload.name, found.workload.n_test) == ("tokens-32", 512)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """A scripted A30, tiny architectures on the CPU's torch, and a bare environment."""
    board = Board("GPU-a", mj=[1000 * 300 * n for n in range(1, 2000)])
    machine = planner.detect_machine()
    gpu = Gpu(name="NVIDIA A30", memory_gb=24, driver="580.65.06", power_limit_w=165)
    fields = {f: getattr(VM, f) for f in VM.__struct_fields__} | {"gpus": (gpu,)}
    monkeypatch.setattr(planner, "detect_machine", lambda: type(machine)(**fields))
    monkeypatch.setattr(planner, "_torch_reaches_gpu", lambda: True)
    lib = functools.partial(Library, board)
    for module, name in ((run, "meter_for"), (planner, "meter_name")):
        known = functools.partial(getattr(machine_meter, name), sources=Sources(pynvml=lib))
        monkeypatch.setattr(module, name, known)
    monkeypatch.setattr(machine_meter, "_codecarbon_meter", lambda *_: None)
    monkeypatch.setattr(machine_meter.NvmlMeter, "min_window_s", 0.0, raising=False)
    monkeypatch.setattr(build, "_torch_device", lambda _: "cpu")
    monkeypatch.setattr(build, "free_memory_gb", lambda _: 24.0)
    monkeypatch.setitem(ARCHITECTURES, "bert-base", ENCODER)
    monkeypatch.setitem(ARCHITECTURES, "llama-3.2-1b", CAUSAL)
    monkeypatch.setenv(machine_meter.RECORDING_VARIABLE, "")
    return board


@pytest.mark.usefixtures("stand_in")
def test_the_grid_runs_end_to_end_on_a_stand_in(tmp_path: Path, capsys: Any) -> None:
    """Counted joules, idle powers and spread for every shape, no accuracy; windows replay."""
    spec = importlib.util.spec_from_file_location("gpu_grid", GRID)
    assert spec is not None
    assert spec.loader is not None
    grid = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(grid)
    grid.ARCHITECTURES = ("bert-base-untrained", "llama-3.2-1b-untrained")
    summary = grid.measure(tmp_path, ["architectures"], TINY)
    assert (summary.failed, summary.skipped) == (0, 0)
    rows = Store(f"sqlite:///{tmp_path / 'catalog.sqlite'}").measurements()
    served = [row for row in rows if row.phase == "inference"]
    assert {row.candidate for row in served} == set(grid.ARCHITECTURES)
    llama = {(r.precision, r.batch_size) for r in served if r.candidate.startswith("llama")}
    assert llama == {(p, b) for p in ("bf16", "fp16") for b in (1, 32)} | {
        ("bf16", 8),
        ("bf16", 128),
    }
    for row in rows:
        assert (row.device, row.meter) == ("NVIDIA A30", "nvml")
        assert row.gpu_label == "measured"
        assert row.idle_w
        assert row.idle_resident_w
        assert row.n_parameters
    for row in served:
        assert (row.accuracy, row.n_test, row.accuracy_split) == (None, None, None)
        assert "random-weights" in row.flags
        assert row.cv is not None
    bert = [row for row in served if row.candidate == "bert-base-untrained"]
    on = {(r.workload, r.precision, r.batch_size, r.tokens_mean) for r in bert}
    assert {length for *_, length in on} == {32, 128, 512}
    assert {batch for w, p, batch, _ in on if (w, p) == ("tokens-128", "fp32")} == {1, 8, 32, 128}
    assert {p for _, p, *_ in on} == {"fp32", "bf16", "fp16"}
    windows = load_windows(tmp_path / "windows.jsonl")
    assert len(windows) > 3 * len(served)
    replayed = ReplayMeter.load(tmp_path / "windows.jsonl")
    assert replayed.stop().components == windows[0].reading().components
    frame = pd.read_csv(tmp_path / "rows.csv")
    assert len(frame) == len(rows)
    capsys.readouterr()
    again = grid.measure(tmp_path, ["architectures"], TINY)
    assert (again.done, again.present > 0) == (0, True)
    assert "architectures: 0 trials" in capsys.readouterr().out


def test_exported_rows_of_the_grid_are_a_sound_run_file(tmp_path: Path) -> None:
    """Shown on a hand-made row: a run file with a described length workload is read again."""
    cells = {
        "run_id": "r", "source": "calibration", "workload": "tokens-32",
        "candidate": "bert-base-untrained", "device": "NVIDIA A30", "scenario": "offline",
        "n_items": 320, "runtime_s": 1.0, "gpu_j": 100.0, "gpu_label": "measured",
        "flags": "random-weights", "workload_task": "synthetic",
    }  # fmt: skip
    (tmp_path / "rows.csv").write_text(pd.DataFrame([cells]).to_csv(index=False))
    known = Known(
        {"NVIDIA A30": planner.Device(name="NVIDIA A30", kind="gpu", tdp_w=165)},
        {},
        {candidate.name: candidate for candidate in CANDIDATES},
    )
    assert read(tmp_path / "rows.csv", known).measurements[0].accuracy is None
