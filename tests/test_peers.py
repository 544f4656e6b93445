"""Tests of `scripts/peers.py`: what is not installed is said, what is installed is asked."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "peers.py"


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("peers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_missing_tools_are_named(peers: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """The project needs none of them."""
    assert peers.main(["ecologits", "boaviztapi"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == peers.QUESTION
    assert [line for line in lines[1:] if line] == [
        "ecologits: not installed",
        "boaviztapi: not installed",
    ]


def test_codecarbon_is_asked_with_its_version(
    peers: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tool's lines stand below its name and version."""
    monkeypatch.setitem(peers.PEERS, "codecarbon", lambda: ["an answer"])
    assert peers.main(["codecarbon"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  an answer"
