"""Trials of one pair: too little memory, a missing precision, a rate that is too high."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from test_suite import NB, SWEEP, TINY, _own_surroundings, tiny  # noqa: F401

from calibration.classifiers import build
from calibration.classifiers.checkpoints import ForwardPasses
from calibration.classifiers.errors import CannotRunError
from calibration.measurement import trial
from calibration.suite import Event, calibrate
from catalog.records import Measurement, SetupKey
from catalog.store.database import Store


def scripted(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    """Lets a test change every classifier that is built."""
    real: Callable[..., Any] = build.build

    def changed(*given: Any) -> Any:
        made = real(*given)
        change(made)
        return made

    monkeypatch.setattr(trial.build, "build", changed)


def room_for(most: int) -> Callable[[Any], None]:
    """Makes a classifier run out of memory with more than `most` texts in a call."""

    def change(made: Any) -> None:
        answer = made.predict

        def predict(texts: Sequence[str]) -> Any:
            if len(texts) > most:
                raise MemoryError
            return answer(texts)

        object.__setattr__(made, "predict", predict)

    return change


def by_key(store: Store) -> dict[tuple[Any, ...], Measurement]:
    """Inference rows by setup; no two have the same."""
    rows = [row for row in store.measurements() if row.phase == "inference"]
    found = {SetupKey.of(row): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_a_batch_that_does_not_fit_is_halved_and_told(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows carry the batch they ran in; two steps that end in one batch keep keys of their own."""
    scripted(monkeypatch, room_for(20))
    assert calibrate(tiny(store, profile=SWEEP), store).failed == 0
    rows = list(by_key(store).values())
    told = sorted((r.batch_size, r.repeat_group or "", "batch-halved" in r.flags) for r in rows)
    assert told == [
        (1, "", False),
        (8, "", False),
        (16, "asked-128", True),
        (16, "asked-32", True),
    ]
    halved = [row for row in rows if row.repeat_group]
    assert all("out of memory above 16" in (row.notes or "") for row in halved)
    assert all(row.accuracy and row.n_items % 16 in (0, 1000 % 16) for row in halved)
    assert not tiny(store, profile=SWEEP).pending


def test_an_encoder_that_halves_its_passes_is_measured_in_that_size(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Calls get no larger than the passes that fitted, so latency is that of one pass."""
    sizes: list[int] = []
    passes = ForwardPasses(64)

    class Encoder(ClassifierMixin, BaseEstimator):
        """A model of one step whose passes hold at most ten texts."""

        def fit(self, X: Any, y: Any) -> Encoder:  # noqa: ARG002
            """Learns nothing."""
            self.classes_, self.passes_ = sorted(set(y)), passes
            return self

        def predict(self, X: Sequence[str]) -> Any:
            """The first class, in passes that fit."""
            sizes.append(len(X))
            return passes.run(X, [len(text) for text in X], self._forward)

        def _forward(self, texts: list[str]) -> Any:
            if len(texts) > 10:
                raise MemoryError
            return np.array(self.classes_[:1] * len(texts))

    def change(made: Any) -> None:
        made.steps = [("head", Encoder())]

    scripted(monkeypatch, change)
    calibrate(tiny(store), store)
    assert {row.batch_size for row in by_key(store).values()} == {1, 8}
    assert 32 not in sizes


def test_memory_for_not_even_one_text_fails_the_candidate(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reason says so, and the suite ends well."""
    scripted(monkeypatch, room_for(0))
    summary = calibrate(tiny(store), store)
    assert (summary.done, summary.failed) == (1, 2)
    assert summary.reasons[NB, "synthetic"] == "out of memory"


def test_torchs_own_error_is_out_of_memory_too(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While fitting nothing can be halved."""

    class OutOfMemoryError(RuntimeError):
        """Named as torch's."""

    def change(made: Any) -> None:
        def fit(*_: Any) -> Any:
            raise OutOfMemoryError("CUDA out of memory")

        object.__setattr__(made, "fit", fit)

    scripted(monkeypatch, change)
    assert calibrate(tiny(store), store).reasons == {(NB, "synthetic"): "out of memory"}


def test_a_missing_precision_spares_the_others(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its trials are skipped with the reason; those after it are measured."""
    shapes = [
        {"phase": "train", "scenario": "unstated", "backend": "sklearn", "precision": "fp64"},
        *(
            {"scenario": "offline", "batch_size": 32.0, "backend": "sklearn", "precision": p}
            for p in ("x", "fp64")
        ),
    ]
    monkeypatch.setattr("calibration.plan.planner.shapes", lambda *_, **__: iter(shapes))

    def serve(_: Any, precision: str, *__: Any) -> None:
        if precision == "x":
            raise CannotRunError("no such precision here")

    monkeypatch.setattr(trial.build, "serve", serve)
    events: list[Event] = []
    summary = calibrate(tiny(store), store, on_event=events.append)
    assert (summary.done, summary.skipped) == (2, 1)
    assert [e.reason for e in events if e.kind == "skipped"] == ["no such precision here"]


def test_a_rate_adds_a_row_of_its_own(store: Store) -> None:
    """Two rates are two setups; the row tells the rate, and its window holds the idle time."""
    made = tiny(store, rates=[100.0, 200.0, 100.0])
    assert calibrate(made, store).done == 5
    rows = {row.rate_per_s: row for row in by_key(store).values() if row.scenario == "server"}
    assert sorted(rate or 0 for rate in rows) == [100, 200]
    for rate, row in rows.items():
        assert (row.batch_size, row.repeats) == (32, TINY.repeats)
        assert row.n_items / (row.runtime_s or 1) == pytest.approx(rate, rel=0.15)
        assert '"texts_per_call"' in (row.fingerprint or "")
        assert row.accuracy
    assert not tiny(store, rates=[200.0, 100.0]).pending
    assert [t.rate_per_s for t in tiny(store, rates=[300.0]).pending] == [300.0]


def test_a_rate_nobody_can_keep_up_with_is_skipped(store: Store) -> None:
    """The other trials of the pair are measured all the same."""
    summary = calibrate(tiny(store, rates=[1e6]), store)
    assert (summary.done, summary.skipped, summary.failed) == (3, 1, 0)
    assert "cannot keep up with 1e+06 texts per second" in summary.reasons[NB, "synthetic"]
