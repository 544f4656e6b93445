"""Tests of the layout: the README's map is true, rooms are small, imports run in no circle."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("api", "advisor", "calibration", "catalog")
MOST_MODULES, MOST_LINES = 18, 400


def tree() -> dict[str, set[str]]:
    """Folder -> its modules, of every package; migrations are numbered, not named."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            folder = file.parent.relative_to(ROOT).as_posix()
            if file.stem != "__init__" and "migrations" not in folder:
                found[folder].add(file.stem)
    return dict(found)


def drawn() -> dict[str, set[str]]:
    """The same of the map in the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.split("## A map of the house")[1].split("```text\n")[1].split("```")[0]
    found: defaultdict[str, set[str]] = defaultdict(set)
    package = folder = ""
    for line in block.splitlines():
        indent, words = len(line) - len(line.lstrip()), line.split()
        if indent == 0:
            package = words[0].rstrip("/")
            continue
        if indent == 2:
            is_room = words[0].endswith("/")
            folder = f"{package}/{words[0].rstrip('/')}" if is_room else package
            words = words[1:] if is_room else words
        if folder != "catalog/reference":
            found[folder] |= set(words) - {"·"}
    return dict(found)


def test_the_map_of_the_readme_is_the_tree() -> None:
    """Every room and module stands in it, and nothing that is not there."""
    assert drawn() == tree()


def test_a_folder_can_be_overlooked() -> None:
    """At most 18 modules in a room."""
    assert {
        folder: len(names) for folder, names in tree().items() if len(names) > MOST_MODULES
    } == {}


def test_a_module_can_be_read_in_one_sitting() -> None:
    """At most 400 lines."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    lines = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def imports() -> dict[str, set[str]]:
    """Module -> modules of ours that it imports, anywhere in it but for type checking."""
    code = (
        "import grimp, json\n"
        f"graph = grimp.build_graph(*{PACKAGES!r}, exclude_type_checking_imports=True,"
        " cache_dir=None)\n"
        "print(json.dumps({m: sorted(graph.find_modules_directly_imported_by(m))"
        " for m in graph.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return {module: set(others) for module, others in json.loads(done.stdout).items()}


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import themselves by way of others: what no order of removal can free."""
    left = {module: set(others) for module, others in graph.items()}
    while free := [module for module, others in left.items() if not others & left.keys()]:
        for module in free:
            del left[module]
    return sorted(left)


def test_no_imports_run_in_a_circle() -> None:
    """Modules can be read one after the other, each after those it uses."""
    graph = imports()
    assert len(graph) > 150
    assert circles(graph) == []


def test_a_circle_would_be_found() -> None:
    """The check sees a circle of three, and what only leads into one."""
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()}) == ["a", "b", "c"]


def test_import_contracts_hold() -> None:
    """Packages and the rooms inside each are floors."""
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run(
        [lint, "--no-cache"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    kept = re.search(r"Contracts: (\d+) kept, 0 broken", done.stdout)
    assert kept is not None
    assert int(kept[1]) >= 7
