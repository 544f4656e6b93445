"""Tests of what a notebook imports: the facades of the packages do what the commands do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

import advisor.recommend.advisor
import calibration
import catalog
from advisor import Advisor, Estimator, recommend, report, train
from advisor.recommend.query import BadQuestionError, Query
from api.cli.main import app
from api.cli.report import report as report_command
from calibration import calibrate
from calibration.meters.replay import ReplayMeter
from calibration.records import Profile
from catalog import Device, Snapshot, Store
from catalog.errors import UnknownNameError

WATTS = {"cpu": (10.0, "measured")}
"""Of the replayed windows, by component."""
TINY = Profile(name="quick", window_s=0.01, repeats=3, warmup_s=0.01, idle_s=0.01, retries=0)
pytestmark = pytest.mark.usefixtures("quiet_machine")
PLAN = {
    "deployments": [
        {
            "candidate": "llama-3.1-8b-zero-shot",
            "workload": "fktg",
            "device": "NVIDIA H100-SXM5-94GB",
            "texts_per_day": 1000,
            "idle_w": 120,
        }
    ]
}


@pytest.fixture(autouse=True)
def bundled_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The catalog of the environment holds the bundled figures only."""
    monkeypatch.setenv("JOULEWISE_CATALOG", f"sqlite:///{tmp_path / 'none.sqlite'}")
    monkeypatch.delenv("JOULEWISE_ESTIMATOR", raising=False)


def test_recommend_answers_as_the_command_does() -> None:
    """The same record, from keyword arguments of the same names."""
    answer = recommend(task="sentiment", min_acc=0.85, scope="device")
    words = ["recommend", "--task", "sentiment", "--min-acc", "0.85", "--scope", "device", "--json"]
    assert json.loads(CliRunner().invoke(app, words).stdout) == json.loads(
        msgspec.json.encode(answer)
    )


def test_recommend_takes_a_device_as_a_record_or_by_its_specs() -> None:
    """A machine the table lacks is described either way."""
    chip = Device(name="as specified", kind="gpu", tdp_w=300, peak_fp16_tflops=150, status="asked")
    by_record = recommend(task="sentiment", min_acc=0.8, device=chip)
    by_specs = recommend(
        task="sentiment", min_acc=0.8, device_kind="gpu", tdp_w=300, peak_fp16_tflops=150
    )
    assert by_record.chosen == by_specs.chosen
    assert by_record.query == by_specs.query


def test_an_empty_snapshot_is_not_replaced_by_the_catalog_of_the_environment() -> None:
    """What is given counts, however little it holds."""
    empty = Snapshot(measurements=[], devices={}, workloads={}, candidates={}, digest="")
    with pytest.raises(UnknownNameError):
        recommend(task="sentiment", min_acc=0.5, device="NVIDIA L4", snapshot=empty)


def test_a_query_made_in_code_is_checked_whole() -> None:
    """A misspelt choice is refused like a number out of its range."""
    for field, value in {"basis": "mesured", "scenario": "ofline", "scope": "hosts"}.items():
        query = Query(task="sentiment", min_acc=0.5, **{field: value})
        with pytest.raises(BadQuestionError, match=field):
            query.check()


def test_an_unknown_parameter_is_named() -> None:
    """A misspelt keyword is an error that lists what is allowed."""
    with pytest.raises(BadQuestionError, match=r"min_accuracy.*min_acc"):
        recommend(task="sentiment", min_accuracy=0.85)
    with pytest.raises(BadQuestionError, match="min_acc: missing"):
        recommend(task="sentiment")


def test_report_takes_a_mapping_or_a_file(tmp_path: Path) -> None:
    """Both come to the same report."""
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(PLAN))
    found = report(PLAN)
    assert found.totals.deployments == 1
    assert found.totals.kwh.value is not None
    assert report(file) == found


def test_calibrate_measures_and_recommend_reads_it(tmp_path: Path) -> None:
    """A row measured by the facade is in the catalog; a second call finds it there."""
    store = Store(f"sqlite:///{tmp_path / 'own.sqlite'}")
    meter = ReplayMeter([WATTS])
    options = {"candidates": ["bow-complement-nb"], "profile": TINY, "meter": meter, "seed": 1}
    first = calibrate(store=store, workloads=["synthetic"], **options)
    again = calibrate(store=store, workloads=["synthetic"], **options)
    assert (first.done, first.failed, first.skipped) == (3, 0, 0)
    assert (again.done, again.present) == (0, 3)
    answer = recommend(task="synthetic", min_acc=0.1, scope="device", snapshot=Snapshot.load(store))
    assert answer.chosen is not None
    assert (answer.chosen.candidate, answer.chosen.backend) == ("bow-complement-nb", "sklearn")
    assert answer.chosen.energy_j_per_1000.basis == "measured"


def test_train_hands_the_catalog_to_the_trainer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facade hands the catalog to the trainer and returns its scorecard."""
    from advisor.evaluation import train as training

    asked = []
    monkeypatch.setattr(
        training,
        "train",
        lambda known, out, *, force: asked.append((known, out, force)) or {"n": 1},
    )
    known = Snapshot.load()
    assert train(tmp_path / "out", snapshot=known, force=True) == {"n": 1}
    assert asked == [(known, tmp_path / "out", True)]


def test_the_functions_are_not_hidden_by_the_rooms_of_their_names() -> None:
    """`advisor.recommend` and `advisor.report` are functions, whatever was imported before."""
    assert advisor.recommend is recommend
    assert advisor.report is report
    assert report_command is not report
    assert Advisor.__name__ == "Advisor"
    assert Estimator.__name__ == "Estimator"
    code = (
        "import advisor.recommend.query, advisor.report.report\n"
        "from advisor import recommend, report\n"
        "assert callable(recommend) and callable(report)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("package", [advisor, calibration, catalog])
def test_every_promised_name_is_there(package: object) -> None:
    """`__all__` names what exists, and nothing else pretends to."""
    assert set(dir(package)) >= set(package.__all__)  # type: ignore[attr-defined]
    for name in package.__all__:  # type: ignore[attr-defined]
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError):
        package.nothing_of_this_name  # type: ignore[attr-defined]  # noqa: B018
