"""Tests of `api.cli.terminal`: tables in narrow terminals keep their words whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from typer.testing import CliRunner

from advisor.estimator.estimator import load
from advisor.recommend.advisor import recommend
from advisor.recommend.query import AskedScenario, Query
from api.cli.main import app
from api.cli.terminal import SCREEN, column_widths, print_answer, print_table
from catalog import snapshot

NARROW = 80
words = st.text("abcdefg-0123456789", min_size=1, max_size=14)
cells = st.lists(words, min_size=0, max_size=4).map(" ".join)


@pytest.mark.parametrize("scenario", ["offline", "single"])
def test_an_answer_fits_80_columns_without_a_cut_word(
    scenario: AskedScenario, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, devices, sources and figures of every option stand whole; no line is longer."""
    monkeypatch.setenv("COLUMNS", str(NARROW))
    query = Query(task="sentiment", min_acc=0.8, scenario=scenario)
    answer = recommend(snapshot.load(), load(), query)
    print_answer(answer)
    table = capsys.readouterr().out.partition("less elsewhere")[0].partition("note ")[0]
    assert all(cell_len(line) <= NARROW for line in table.splitlines())
    shown = set(table.replace(";", " ").replace(",", " ").split())
    for option in filter(None, (answer.chosen, *answer.alternatives)):
        assert option.candidate in shown
        assert set(option.device.split()) <= shown
        assert set(option.provenance.source.replace(",", " ").split()) <= shown


def test_a_list_of_measurements_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight columns do not fit; what does not goes under the name, word by word."""
    monkeypatch.setenv("COLUMNS", str(NARROW))
    out = CliRunner().invoke(app, ["catalog", "list", "--task", "sentiment", "--limit", "0"]).output
    assert all(cell_len(line) <= NARROW for line in out.splitlines())
    shown = set(out.replace(";", " ").split())
    assert {"luccioni-2024", "zschache-hartwig-2025", "A100-SXM4-80GB", "inference"} <= shown


@given(rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=5))
def test_words_that_fit_are_whole(rows: list[tuple[str, str, str]]) -> None:
    """Each column is as wide as its longest word, and all together fill the width at most."""
    names = ("name", "second", "third")
    found = column_widths(names, rows, NARROW)
    assert sum(found) + 2 * (len(names) - 1) <= NARROW
    for at, width in enumerate(found):
        assert width >= max(len(word) for row in (names, *rows) for word in row[at].split())


@pytest.mark.parametrize(("width", "header", "lines"), [(80, "name, where", 2), (120, "name", 1)])
def test_a_column_goes_under_the_first_where_it_does_not_fit(
    width: int,
    header: str,
    lines: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Wide enough, it stays a column of its own."""
    monkeypatch.setenv("COLUMNS", str(width))
    row = ("→", "a" * 40, "b" * 30, "1,234")
    print_table("Title", ("", "name", "where", "figure"), [row], under=("where",))
    title, head, *rest = capsys.readouterr().out.splitlines()
    assert title.strip() == "Title"
    assert header in head
    assert len(rest) == lines
    assert "".join(rest).count("b" * 30) == 1


@pytest.mark.parametrize("width", [60, 80, 150])
def test_a_list_fills_one_screen_unless_asked_for_more(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is counted, with the option that shows it."""
    monkeypatch.setenv("COLUMNS", str(width))
    commands = (["devices"], ["workloads"], ["candidates", "--task", "sentiment"])
    for command in (*commands, ["catalog", "list"], ["catalog", "accuracies", "--task", "intent"]):
        lines = CliRunner().invoke(app, command).output.splitlines()
        assert 20 < len(lines) <= SCREEN + 4, command
        assert "--limit 0" in "\n".join(lines), command
    few = CliRunner().invoke(app, ["candidates", "--task", "spam", "--limit", "2"]).output
    assert "more:" in few
    assert "more:" not in CliRunner().invoke(app, ["devices", "4090", "--limit", "0"]).output


def test_candidates_of_a_task_show_their_accuracy() -> None:
    """The value on the task's reference workload, the best first, and how each is obtained."""
    result = CliRunner().invoke(app, ["candidates", "--task", "intent", "--json"])
    found = json.loads(result.output)
    values = [each["accuracy"]["value"] for each in found if each["accuracy"]]
    assert len(values) > 100
    assert {each["workload"] for each in found} == {"banking77"}
    assert values == sorted(values, reverse=True)
    words = CliRunner().invoke(app, ["candidates", "tfidf", "--task", "intent", "--limit", "0"])
    assert "tfidf-word-linear-svm" in words.output
    value = snapshot.load().accuracies.answers("banking77")["tfidf-word-linear-svm"].value
    assert f"{value:.3f}" in words.output
