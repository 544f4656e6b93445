"""Tests of the distribution: our names are ours, and the base install is light."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from catalog.registry.candidates import CANDIDATES
from catalog.registry.tasks import tasks

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("advisor", "calibration", "catalog", "api")
HEAVY = ("torch", "transformers", "pynvml", "codecarbon", "psutil")
TABLES = ("pandas", "sklearn", "lightgbm", "pandera", "pyarrow", "alembic")

ANSWER = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
from advisor import recommend
answer = recommend(task="sentiment", min_acc=0.8)
assert answer.chosen is not None
print(answer.chosen.candidate)
loaded = {{name.split(".")[0] for name in sys.modules}} & {tables!r}
assert not loaded, loaded
"""


@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_distribution_owns_our_names(name: str) -> None:
    """Plain package names collide easily; in this environment they are ours alone."""
    owners = set(importlib.metadata.packages_distributions().get(name, ["joulewise"]))
    assert owners == {"joulewise"}


def test_a_recommendation_needs_neither_benchmark_stack_nor_tables(tmp_path: Path) -> None:
    """Without torch and its kin the bundled catalog answers, and no table library is loaded."""
    code = ANSWER.format(heavy=set(HEAVY), tables=set(TABLES))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_tests_do_not_shadow_the_packages() -> None:
    """Tests are flat: a package under `tests` would hide the one it tests."""
    assert not list((ROOT / "tests").rglob("__init__.py"))
    assert not [name for name in PACKAGES if (ROOT / "tests" / name).exists()]


def test_declared_names_can_be_typed_on_a_command_line() -> None:
    """Candidates and tasks are lower-case words with hyphens."""
    for name in [c.name for c in CANDIDATES] + list(tasks()):
        assert name == name.lower()
        assert not set(name) & set(" _/;*")
