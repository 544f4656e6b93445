"""Tests of `api.cli.answer`: the answer stands last, fits 80 columns, says what mends doubts."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import get_args

import pytest
from rich.cells import cell_len
from typer.main import get_command
from typer.testing import CliRunner

from advisor.estimator.estimator import load
from advisor.recommend.advisor import recommend
from advisor.recommend.query import AskedScenario, Query
from advisor.recommend.records import WarningCode
from advisor.recommend.warnings import CAUTIONS
from api.cli.answer import MENDS, print_answer
from api.cli.main import app
from api.pages import wording
from catalog import snapshot

NARROW = 80
ASK = ["recommend", "--task", "sentiment", "--min-acc", "0.85"]


@pytest.mark.parametrize("scenario", get_args(AskedScenario))
def test_an_answer_fits_80_columns_without_a_cut_word(
    scenario: AskedScenario, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, devices, sources and figures of every ranked option stand whole; commands may wrap."""
    monkeypatch.setenv("COLUMNS", str(NARROW))
    answer = recommend(
        snapshot.load(), load(), Query(task="sentiment", min_acc=0.8, scenario=scenario)
    )
    print_answer(answer)
    out = capsys.readouterr().out
    commands = {f"  {each.command}" for each in answer.suggestions}
    assert all(cell_len(line) <= NARROW or line in commands for line in out.splitlines())
    table = out[out.index("least energy first") :]
    shown = set(table.replace(";", " ").replace(",", " ").split())
    for option in (answer.chosen, *answer.alternatives[:2]):
        assert option is not None
        assert option.candidate in shown
        assert set(option.device.split()) <= shown
        assert set(option.provenance.source.replace(",", " ").split()) <= shown


def test_the_answer_stands_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losers, doubts, the ranking, and then what to run, in a sentence with figures and machine."""
    monkeypatch.setenv("COLUMNS", "300")
    chosen = json.loads(CliRunner().invoke(app, [*ASK, "--json"]).output)["chosen"]
    lines = CliRunner().invoke(app, ASK).output.splitlines()
    energy = wording.number(chosen["energy_j_per_1000"]["value"])
    assert lines[-1].startswith(f"{chosen['candidate']} needs {energy} J per 1,000 texts (")
    assert f"at accuracy {chosen['accuracy']['value']:.3f} (" in lines[-1]
    assert f"on {chosen['device']} with " in lines[-1]
    heads = ["others lost", "note ", "least energy first", f"{chosen['candidate']} needs "]
    places = [next(n for n, line in enumerate(lines) if head in line) for head in heads]
    assert places == sorted(places)


def test_losers_are_counted_by_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each candidate once with its reason; all of them one by one with a higher limit."""
    monkeypatch.setenv("COLUMNS", "200")
    few = json.loads(CliRunner().invoke(app, [*ASK, "--json"]).output)
    every = json.loads(CliRunner().invoke(app, [*ASK, "--json", "--limit", "1000"]).output)
    whole = CliRunner().invoke(app, ASK).output
    out = whole[: whole.index("note ")]
    reasons = Counter(wording.reason(each["reason"]) for each in every["rejected"])
    counted = {said: int(n) for n, said in re.findall(r"^ *(\d+)  ([^:]+): ", out, re.MULTILINE)}
    assert reasons.items() <= counted.items()
    total = len(few["rejected"]) + few["rejected_more"]
    assert sum(counted.values()) == total
    assert f"Why {total} others lost" in out
    assert "more energy" in out  # those that qualify but are not listed
    listed = CliRunner().invoke(app, [*ASK, "--limit", "200"]).output
    assert all(each["candidate"] in listed for each in every["rejected"][:100])


def test_nothing_qualifies_says_so_last() -> None:
    """After what comes nearest and what to measure."""
    done = CliRunner().invoke(app, ["recommend", "--task", "sentiment", "--min-acc", "0.999"])
    assert done.exit_code == 3
    said = " ".join(done.output.split())
    assert said.index("joulewise calibrate --workload") < said.index("Closest:")
    assert said.index("Closest:") < said.index("Nothing qualifies on sst2")
    assert said.endswith("AMD EPYC 7742.")


def test_every_warning_names_an_option_or_a_command_that_exists() -> None:
    """Each code has what mends it; options and commands are those of `joulewise`."""
    assert MENDS.keys() == CAUTIONS.keys() == set(get_args(WarningCode))
    commands = get_command(app).commands  # type: ignore[attr-defined]
    options = {name for each in commands.values() for own in each.params for name in own.opts}
    for mend in MENDS.values():
        named = re.findall(r"--[a-z0-9-]+", mend)
        called = re.findall(r"joulewise ([a-z]+)", mend)
        assert named or called, mend
        assert set(named) <= options, mend
        assert set(called) <= commands.keys(), mend


def test_warnings_are_followed_by_what_mends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an answer and of an estimate."""
    monkeypatch.setenv("COLUMNS", "400")
    out = CliRunner().invoke(app, ASK).output
    assert re.search(r"\(reference-machine\)\n  mend: --device with yours", out)
    words = ["estimate", "--device", "NVIDIA L4", "--params", "66e6"]
    out = CliRunner().invoke(app, words).output
    assert re.search(r"\(setup-assumed\)\n  mend: --params, --batch-size", out)
    assert out.splitlines()[-1].split()[:2] == ["NVIDIA", "L4"]
