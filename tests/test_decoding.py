"""Speculative decoding and int4: variants of language models on tiny random checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from test_suite import TINY, VM, _own_surroundings, snapshot  # noqa: F401
from test_zero_shot import TEXTS, llama, reader

from calibration.classifiers.backends import available
from calibration.classifiers.build import build, serve
from calibration.classifiers.decoding import ASSISTANTS, DECODINGS, decodings
from calibration.classifiers.errors import CannotRunError
from calibration.meters.machine_meter import NullMeter
from calibration.plan import planner
from calibration.suite import calibrate
from calibration.workloads.load import Texts
from catalog.records import Candidate, Workload
from catalog.registry.candidates import CANDIDATES
from catalog.store.database import Store

pytestmark = pytest.mark.usefixtures("one_thread")
GENERATION = "phi-3.5-mini-zero-shot-generation"
DATA = Texts(Workload(name="w", task="t"), "0", TEXTS, ["0", "1"] * 2, TEXTS, ["0", "1"] * 2)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "chat"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A language model without and with a chat template."""
    return llama(tmp_path_factory.mktemp("llama"), request.param)


@pytest.mark.parametrize("decoding", DECODINGS)
def test_speculative_decoding_writes_the_same_labels(checkpoint: str, decoding: str) -> None:
    """Drafts of the prompt or of an assistant change no label, and plain decoding comes back."""
    made = reader(checkpoint, "generation", assistant=checkpoint)
    plain = list(made.predict(TEXTS))
    made.set_decoding(decoding)
    calls: list[dict[str, Any]] = []
    generate = made.model_.generate
    made.model_.generate = lambda **given: calls.append(given) or generate(**given)
    assert list(made.predict(TEXTS)) == plain
    assert [len(given["input_ids"]) for given in calls] == [1] * len(TEXTS)
    config = calls[0]["generation_config"]
    assert config.prompt_lookup_num_tokens or "assistant_model" in calls[0]
    made.set_decoding(None)
    assert list(made.predict(TEXTS)) == plain


def test_without_an_assistant_assisted_decoding_cannot_run(checkpoint: str) -> None:
    """The reason says what is missing."""
    with pytest.raises(CannotRunError, match="smaller checkpoint"):
        reader(checkpoint, "generation").set_decoding("assisted")


def test_only_what_generates_is_decoded() -> None:
    """Models read by likelihood write nothing; an assistant is declared by checkpoint."""
    by_name = {candidate.name: candidate for candidate in CANDIDATES}
    assert decodings(by_name["phi-3.5-mini-zero-shot"]) == ()
    assert decodings(by_name[GENERATION]) == ("prompt-lookup",)
    assisted = msgspec.structs.replace(by_name[GENERATION], checkpoint=next(iter(ASSISTANTS)))
    assert decodings(assisted) == DECODINGS


def generating(folder: Path, checkpoint: str) -> Candidate:
    """A candidate that generates, with an assistant, in a folder of models."""
    declared = next(candidate for candidate in CANDIDATES if candidate.name == GENERATION)
    large, small = next(iter(ASSISTANTS.items()))
    for name in (large, small):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(checkpoint)
    return msgspec.structs.replace(
        declared, checkpoint=large, n_parameters=None, revision=None, name="generating"
    )


def test_a_sweep_measures_every_way_of_decoding(
    store: Store, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of their own, told apart by repeat group; accuracies are those of plain decoding."""
    candidate = generating(tmp_path, checkpoint)
    monkeypatch.setattr(planner, "choose_candidates", lambda *_: {candidate.name: candidate})
    made = planner.plan(
        snapshot(store), machine=VM, meter=NullMeter(), texts={"w": DATA}, models=tmp_path,
        profile=msgspec.structs.replace(TINY, sweep=True),
    )  # fmt: skip
    summary = calibrate(made, store)
    assert (summary.failed, summary.skipped) == (0, 0), summary.reasons
    rows = [r for r in store.measurements() if (r.precision, r.scenario) == ("bf16", "single")]
    assert {row.repeat_group for row in rows} == {None, *DECODINGS}
    assert len({row.accuracy for row in rows}) == 1
    assert len(store.predictions()) == len({r.precision for r in store.measurements()})


def test_int4_weights_serve(checkpoint: str) -> None:
    """Scores of int4 weights stay near those of fp32; the sweep has them where they can be made."""
    if reason := available.missing("int4"):
        pytest.skip(reason)
    made = reader(checkpoint)
    exact = made.decision_function(TEXTS)
    near = made.set_precision("int4").decision_function(TEXTS)
    assert np.corrcoef(exact.ravel(), near.ravel())[0, 1] > 0.85
    assert not np.array_equal(exact, near)


def test_int4_is_in_the_sweep_where_it_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package it is left out; named, it is refused with the command."""
    given: dict[str, Any] = {"machine": VM, "meter": NullMeter(), "candidates": [GENERATION]}
    sweep = msgspec.structs.replace(TINY, sweep=True)
    for reason, expected in ((None, True), ("not installed", False)):
        monkeypatch.setattr("calibration.plan.trial_grid.missing", lambda *_, r=reason: r)
        made = planner.plan(snapshot(), profile=sweep, **given)
        assert ("int4" in {trial.precision for trial in made.trials}) is expected


def test_int4_without_its_package_cannot_run(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Served through `build`, the reason is the install command."""
    monkeypatch.setattr(
        "calibration.classifiers.checkpoints.missing", lambda _: "pip install bitsandbytes"
    )
    fitted = build(generating(tmp_path, checkpoint), "cpu", tmp_path, DATA).fit(
        TEXTS, ["0", "1"] * 2
    )
    with pytest.raises(CannotRunError, match="pip install bitsandbytes"):
        serve(fitted, "int4")
