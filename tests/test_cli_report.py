"""Tests of `joulewise report`: forms, files, exit codes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from advisor.estimator.estimator import load
from advisor.recommend.advisor import Advisor
from advisor.report.plan import read
from advisor.report.report import report as made
from api.cli import context
from api.cli.main import app

PLAN = """
title = "Two desks"
region = "DE"
[[deployments]]
name = "news"
candidate = "llama-3.1-8b-zero-shot"
device = "NVIDIA H100-SXM5-94GB"
workload = "fktg"
texts_per_day = 100_000
[[deployments]]
name = "picked"
recommend = {task = "topic", min_acc = 0.45}
workload = "fktg"
texts_per_day = 5_000
idle_w = 120
"""
run = CliRunner().invoke


@pytest.fixture(autouse=True)
def own_catalog(any_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command answers from an empty catalog of its own."""
    monkeypatch.setenv("JOULEWISE_CATALOG", any_url)
    context.settings.cache_clear()


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan of two deployments."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def test_a_table_for_people(plan: Path) -> None:
    """Parts, what to know, and the summary last."""
    done = run(app, ["report", str(plan)])
    assert done.exit_code == 0, done.output
    for said in (
        "news",
        "picked",
        "Inference",
        "Idle",
        "idle-assumed",
        "Electricity, kWh",
        "Report",
    ):
        assert said in done.output


@pytest.mark.parametrize("arguments", [["--json"], ["--format", "json"]])
def test_json_on_stdout(plan: Path, arguments: list[str]) -> None:
    """One document, the same as over HTTP."""
    body = json.loads(run(app, ["report", str(plan), *arguments]).stdout)
    assert [entry["name"] for entry in body["deployments"]] == ["news", "picked"]
    assert body["totals"]["lacking"] == {}
    german = json.loads(run(app, ["report", str(plan), *arguments, "--language", "de"]).stdout)
    assert german["totals"] == body["totals"]
    assert german["deployments"][0]["assumed"][0]["why"] == "kein Zeitraum angegeben; ein Jahr"


def test_files_take_their_form_from_the_suffix(plan: Path, tmp_path: Path) -> None:
    """.html, .csv, .json, .md and .xlsx are written whole; the HTML stands alone."""
    for name in ("r.html", "r.csv", "r.json", "r.md", "r.xlsx"):
        done = run(app, ["report", str(plan), "-o", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
    assert "<style>" in (tmp_path / "r.html").read_text()
    assert len(list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text())))) == 8
    assert json.loads((tmp_path / "r.json").read_text())["title"] == "Two desks"
    assert (tmp_path / "r.md").read_text().startswith("# Two desks")
    assert not list(tmp_path.glob(".r.*"))
    done = run(app, ["report", str(plan), "-o", str(tmp_path / "r.txt"), "--format", "csv"])
    assert done.exit_code == 0
    assert (tmp_path / "r.txt").read_bytes() == (tmp_path / "r.csv").read_bytes()


def test_a_json_plan_is_read(tmp_path: Path) -> None:
    """By its suffix."""
    path = tmp_path / "plan.json"
    entry = {
        "recommend": {"task": "topic", "min_acc": 0.4},
        "workload": "fktg",
        "texts_per_day": 9,
    }
    path.write_text(json.dumps({"deployments": [entry]}), encoding="utf-8")
    assert run(app, ["report", str(path), "--json"]).exit_code == 0


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ('region = "DE"', "pue = 0.5", 4, "pue"),
        ('region = "DE"', 'region = "Germny"', 4, "Germany"),
        ("title = ", "title ", 4, "TOML"),
        ("fktg", "fkgt", 4, "fktg"),
        ("min_acc = 0.45", "min_acc = 0.99", 4, "candidate"),
    ],
)
def test_a_bad_plan_is_bad_data(plan: Path, old: str, new: str, code: int, said: str) -> None:
    """Exit code 4, with what is wrong and what is allowed."""
    text = PLAN.replace(old, new)
    if "0.99" in new:
        text = text.replace("llama-3.1-8b-zero-shot", "nobody")
    plan.write_text(text, encoding="utf-8")
    done = run(app, ["report", str(plan)])
    assert done.exit_code == code, done.output
    assert said in done.output


def test_nothing_qualifies_is_an_exit_code_of_its_own(plan: Path) -> None:
    """3, as for `recommend`, with the nearest miss."""
    plan.write_text(PLAN.replace("min_acc = 0.45", "min_acc = 0.99"), encoding="utf-8")
    done = run(app, ["report", str(plan)])
    assert done.exit_code == 3
    assert "closest is" in done.output


def test_usage_errors(plan: Path, tmp_path: Path) -> None:
    """A missing plan, an unknown suffix or form, a folder that is not there: exit code 2."""
    for arguments in (
        ["report", str(tmp_path / "none.toml")],
        ["report", str(plan), "-o", "r.pdf"],
        ["report", str(plan), "--format", "pdf"],
        ["report", str(plan), "-o", str(tmp_path / "none" / "r.csv")],
    ):
        assert run(app, arguments).exit_code == 2


def test_rows_of_ones_own_inform_a_report(tmp_path: Path, run_csv: Callable[..., bytes]) -> None:
    """What a catalog's own rows tell about a machine corrects its estimates, as in the service."""
    rows = [
        {"run_id": name, "device": "NVIDIA L4", "candidate": name, "precision": "fp32"}
        for name in ("bow-logistic", "tfidf-word-logistic", "bow-linear-svm")
    ]
    (tmp_path / "own.csv").write_bytes(run_csv(*rows))
    path = tmp_path / "plan.json"
    brought = {"candidate": "llama-3.1-8b-zero-shot", "workload": "fktg", "device": "NVIDIA L4"}
    path.write_text(json.dumps({"deployments": [brought | {"name": "a", "texts_per_day": 1e4}]}))
    assert run(app, ["catalog", "import", str(tmp_path / "own.csv")]).exit_code == 0
    told = json.loads(run(app, ["report", str(path), "--json"]).stdout)
    snapshot, plan = context.load_snapshot(), read(path.read_bytes(), "json")
    informed, plain = (
        made(Advisor(snapshot, each), plan).totals.kwh
        for each in (context.load_estimator(snapshot), load())
    )
    assert told["totals"]["kwh"]["value"] == informed.value != plain.value
