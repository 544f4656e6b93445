"""Tests of `api.cli.terminal`: tables in narrow terminals keep their words whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from typer.testing import CliRunner

from api.cli.main import app
from api.cli.terminal import SCREEN, column_widths, print_table
from catalog import snapshot

NARROW = 80
words = st.text("abcdefg-0123456789", min_size=1, max_size=14)
cells = st.lists(words, min_size=0, max_size=4).map(" ".join)


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


@pytest.mark.parametrize(("width", "lines"), [(80, 2), (120, 1)])
def test_a_column_goes_under_the_first_where_it_does_not_fit(
    width: int,
    lines: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Wide enough, it stays a column of its own."""
    monkeypatch.setenv("COLUMNS", str(width))
    row = ("→", "a" * 40, "b" * 30, "1,234")
    print_table("Title", ("", "name", "where", "figure"), [row], under=("where",))
    title, *rest = capsys.readouterr().out.splitlines()
    assert title.strip() == "Title"
    assert len(rest) == 2 * lines
    head, row = rest[:lines], rest[lines:]
    assert head[0].split() == ["name", *["where"] * (lines == 1), *["figure"] * (lines == 1)]
    assert "".join(head).split() == ["name", "where", "figure"]
    assert "".join(row).count("b" * 30) == 1
    assert row[-1].startswith("     " + "b" * 30) == (lines == 2)


@pytest.mark.parametrize("width", [60, 80, 150])
def test_a_list_fills_one_screen_unless_asked_for_more(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is counted, with the option that shows it."""
    monkeypatch.setenv("COLUMNS", str(width))
    commands = (["devices"], ["workloads"], ["candidates", "--task", "sentiment"])
    for command in (*commands, ["catalog", "list"], ["catalog", "accuracies", "--task", "intent"]):
        lines = CliRunner().invoke(app, command).output.splitlines()
        assert 20 < len(lines) <= SCREEN, command
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


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["devices", "g4dn"], "7 cloud instances"),
        (["devices", "m3", "pro"], "2 devices"),
        (["devices", "xyzzy"], "no devices with xyzzy; `joulewise devices` lists all"),
        (["tasks", "polarity"], "1 task"),
        (["workloads", "xy", "yz"], "no workloads with xy and yz; `joulewise workloads` lists all"),
        (["candidates", "xyzzy"], "no candidates with xyzzy; `joulewise candidates` lists all"),
    ],
)
def test_lists_are_searched_by_words(words: list[str], first: str) -> None:
    """How many were found stands first; where there is none, what lists all."""
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0
    line = found.output.splitlines()[0].strip()
    assert line.partition(";")[0] == first.partition(";")[0]
    assert line == first or not line.startswith("no ")


def test_a_part_of_an_instance_name_lists_its_devices() -> None:
    """The chips of all types that fit, once each, with the types before them."""
    found = json.loads(CliRunner().invoke(app, ["devices", "g4dn", "--json"]).output)
    assert [each["name"] for each in found] == ["NVIDIA T4"]
    shown = CliRunner().invoke(app, ["devices", "g4dn"]).output
    assert "4 x NVIDIA T4" in shown
    assert shown.index("g4dn.12xlarge") < shown.index("1 device")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["estimate", "--device", "no such chip"], "`joulewise devices WORDS` searches them"),
        (["recommend", "--task", "sentimant", "--min-acc", "0.5"], "`joulewise tasks WORDS`"),
        (["candidates", "--task", "sentimant"], "did you mean: sentiment"),
        (["probes", "--task", "spam", "--min-acc", "0.5"], "--device: missing; name the machine"),
        (["recommend", "--task", "spam", "--min-acc", "0.5", "--confidence", "2"], "--confidence"),
    ],
)
def test_an_error_says_what_to_do(words: list[str], said: str) -> None:
    """An option by its name, and what lists names rather than the first twenty of a thousand."""
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert said in done.output
    assert len(done.output) < 500
