"""What to measure next: the row that leaves least doubt, and nothing where nothing is open."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from advisor.estimator.estimator import load as load_estimator
from advisor.estimator.setup import Setup
from advisor.recommend.advisor import Advisor
from advisor.recommend.query import BadQuestionError, Query
from advisor.recommend.suggestions import next_probes
from api.cli import calibrate
from api.cli.context import settings
from api.cli.main import app
from catalog.records import Measurement
from catalog.snapshot import Snapshot, load

BUNDLED = load()
ESTIMATOR = load_estimator()
ADVISOR = Advisor(BUNDLED, ESTIMATOR)
L4 = BUNDLED.devices["NVIDIA L4"]


def setups() -> list[Setup]:
    """Three alike and one far away, on a device nobody measured."""
    sizes = (1e8, 1.1e8, 1.2e8, 7e10)
    return [Setup(device=L4, n_parameters=size, batch_size=32) for size in sizes]


def test_the_first_probe_leaves_least_variance() -> None:
    """Of all single rows the chosen one shrinks the contenders' variances most, by brute force."""
    asked = setups()
    covariance = ESTIMATOR.covariance(asked)
    contenders = [True, True, True, False]
    noise = 0.1**2 + 0.5**2

    def left(row: int) -> float:
        after = covariance - np.outer(covariance[row], covariance[row]) / (
            covariance[row, row] + noise
        )
        return float(np.diag(after)[:3].sum())

    names = ["a", "b", "c", "far"]
    _, found = next_probes(ESTIMATOR, asked, names, contenders, [True] * 4, 1)
    assert found[0].candidate == names[int(np.argmin([left(row) for row in range(4)]))]
    assert found[0].candidate != "far"


def test_every_probe_narrows_what_is_open() -> None:
    """Widths fall from row to row, no candidate comes twice, what cannot run is not proposed."""
    width, found = next_probes(
        ESTIMATOR, setups(), ["a", "a", "b", "c"], [True] * 4, [True, True, True, False], 5
    )
    widths = [width, *(probe.width for probe in found)]
    assert widths == sorted(widths, reverse=True)
    assert [probe.candidate for probe in found] in (["a", "b"], ["b", "a"])


def test_an_uncalibrated_device_has_something_to_measure() -> None:
    """The bundled catalog never saw an L4: what may answer is named, and runs of its workload."""
    found = ADVISOR.pending(Query(task="sentiment", min_acc=0.85, device="NVIDIA L4"), 3)
    answer = ADVISOR.recommend(Query(task="sentiment", min_acc=0.85, device="NVIDIA L4"))
    assert answer.chosen is not None
    assert answer.chosen.candidate in found.contenders
    assert found.workload == answer.group.workload
    assert found.probes
    assert all(BUNDLED.candidates[probe.candidate].runnable for probe in found.probes)


def test_nothing_is_open_where_nothing_qualifies() -> None:
    """An impossible floor leaves nothing to measure; without a device the question is refused."""
    found = ADVISOR.pending(Query(task="sentiment", min_acc=0.999, device="NVIDIA L4"), 3)
    assert (found.contenders, found.probes) == ([], [])
    assert found.settled == "nothing-qualifies"
    with pytest.raises(BadQuestionError, match="device"):
        ADVISOR.pending(Query(task="sentiment", min_acc=0.85), 3)


def test_what_was_timed_without_a_counter_stays_an_estimate() -> None:
    """All that qualifies ran there without a counter: another run would tell nothing new."""
    names = ("run_id", "workload", "candidate", "scenario", "batch_size", "precision", "n_items")
    names += ("runtime_s", "accuracy", "accuracy_split", "n_test")
    timed = tuple(
        Measurement(
            device="NVIDIA L4", source="calibration", **{name: getattr(row, name) for name in names}
        )
        for row in BUNDLED.measurements
        if row.workload == "fktg" and row.runtime_s and row.accuracy
    )
    rows = tuple(row for row in BUNDLED.measurements if row.workload != "fktg")
    view = Snapshot(
        measurements=rows + timed,
        devices=BUNDLED.devices,
        workloads=BUNDLED.workloads,
        candidates=BUNDLED.candidates,
        digest="d",
    )
    task = BUNDLED.workloads["fktg"].task
    query = Query(task=task, min_acc=0.5, device="NVIDIA L4", workload="fktg")
    found = Advisor(view, ESTIMATOR.informed(view)).pending(query, 3)
    assert (found.contenders, found.settled) == ([], "timed-there")


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ([], ()),
        (["--scope", "device"], ()),
        (["--scope", "wall"], ()),
        (["--scenario", "server", "--rate", "5"], [5.0]),
        (["--scenario", "server", "--rate", "0.333333333333"], [0.333333333333]),
    ],
)
def test_the_printed_command_measures_what_was_asked(
    options: list[str], rates: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workload, candidates and request rate; every profile measures single and offline anyway."""
    asked = ["--task", "topic", "--min-acc", "0.7", "--device", "NVIDIA L4", *options]
    told = CliRunner().invoke(app, ["probes", *asked])
    assert told.exit_code == 0, told.output
    words = shlex.split(told.output.splitlines()[-1])
    assert words[:2] == ["joulewise", "calibrate"]
    plans: list[dict[str, Any]] = []
    monkeypatch.setattr(calibrate, "make_plan", lambda _, **given: plans.append(given))
    monkeypatch.setattr(calibrate, "print_plan", lambda *_, **__: None)
    done = CliRunner().invoke(app, [*words[1:], "--plan"])
    assert done.exit_code == 0, done.output
    query = Query(
        task="topic",
        min_acc=0.7,
        device="NVIDIA L4",
        scope="device" if "device" in options else "wall" if "wall" in options else "host",
        scenario="server" if rates else "offline",
        rate=rates[0] if rates else None,
    )
    found = ADVISOR.pending(query, 3)
    (given,) = plans
    assert given["rates"] == rates
    assert given["workloads"] == [found.workload]
    assert given["candidates"] == [probe.candidate for probe in found.probes]
    assert ("plug" in told.output) == ("wall" in options)


def test_texts_that_calibrate_lacks_are_named(tmp_path: Path) -> None:
    """A command that could not run is printed with what it needs; with the file it is not."""
    asked = ["probes", "--task", "sentiment", "--min-acc", "0.85", "--device", "NVIDIA L4"]
    asked += ["--workload", "rotten-tomatoes"]
    told = CliRunner().invoke(app, asked)
    assert "the texts of rotten-tomatoes are not on this machine" in told.output
    (tmp_path / "rotten-tomatoes.csv").write_text("text,label\ngood,1\nbad,0\n")
    settings.cache_clear()
    with_texts = CliRunner().invoke(app, asked, env={"JOULEWISE_DATA": str(tmp_path)})
    settings.cache_clear()
    assert "not on this machine" not in with_texts.output
    assert "calibrate --workload rotten-tomatoes" in with_texts.output


def test_requests_are_measured_at_a_rate() -> None:
    """Where no rate is stated, the one of the answer is measured."""
    query = Query(task="topic", min_acc=0.7, device="NVIDIA L4", scenario="server")
    assert ADVISOR.pending(query, 3).rate_per_s == ADVISOR.recommend(query).group.rate_per_s


def test_contenders_that_the_suite_cannot_run_are_named() -> None:
    """Nothing can be measured about them, which is not the same as nothing being open."""
    asked = [
        "--task",
        "hate",
        "--workload",
        "multi-hate-de",
        "--min-acc",
        "0.75",
        "--device",
        "NVIDIA L4",
    ]
    told = CliRunner().invoke(app, ["probes", *asked])
    assert told.exit_code == 0
    query = Query(task="hate", workload="multi-hate-de", min_acc=0.75, device="NVIDIA L4")
    found = ADVISOR.pending(query, 3)
    assert found.contenders
    assert not found.probes
    said = re.sub(r"\s+", " ", told.output)
    assert all(name in said for name in found.contenders)
