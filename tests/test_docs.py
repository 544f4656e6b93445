"""The documents say what the code does: tables are current, fenced commands run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from advisor.recommend.records import Reason
from advisor.recommend.warnings import CAUTIONS
from advisor.report.wording import METHODS

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[str]:
    """The fenced `sh` blocks of a document."""
    return FENCE.findall((ROOT / name).read_text(encoding="utf-8"))


BLOCKS = [
    pytest.param(block, id=f"{name}-{number}")
    for name in ("README.md", "docs/files.md", "docs/http.md", "docs/measurement.md")
    for number, block in enumerate(blocks(name), start=1)
]


def test_warning_codes_are_documented() -> None:
    """docs/codes.md lists every warning code with its sentence."""
    text = (ROOT / "docs" / "codes.md").read_text(encoding="utf-8")
    for code, sentence in CAUTIONS.items():
        assert f"| `{code}` | {sentence} |" in text


def test_reasons_are_documented() -> None:
    """docs/codes.md says in one line what each reason of a rejection means, and lists no other."""
    text = (ROOT / "docs" / "codes.md").read_text(encoding="utf-8")
    table = text.split("\n## Reasons\n")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `([a-z-]+)` \| .+ \|$", table, re.MULTILINE)
    assert sorted(listed) == sorted(get_args(Reason))


def test_the_error_table_is_the_scorecards() -> None:
    """docs/errors.md shows exactly the bundled scorecard."""
    command = [
        sys.executable,
        str(ROOT / "scripts" / "estimator" / "build_estimator.py"),
        "--check",
    ]
    assert subprocess.run(command, check=False, cwd=ROOT).returncode == 0


def test_methods_of_a_report_are_documented() -> None:
    """docs/codes.md lists how each part of a report is computed."""
    text = (ROOT / "docs" / "codes.md").read_text(encoding="utf-8")
    for name, formula in METHODS.items():
        assert f"| `{name}` | {formula} |" in text


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    """As printed, on the bundled catalog."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found
    environment = os.environ | {
        "JOULEWISE_CATALOG": f"sqlite:///{tmp_path / 'none.sqlite'}",
        "PYTHONPATH": str(ROOT),
    }
    for block in found:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", block],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_the_python_of_the_http_page_runs(server: str) -> None:
    """Ten lines of the standard library, as printed but for the address."""
    text = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(block.splitlines()) <= 12
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.replace("http://127.0.0.1:8000", server)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "J per 1,000 texts" in done.stdout.splitlines()[0]


def test_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cell after cell on the bundled catalog; each prints something and none keeps old output."""
    monkeypatch.setenv("JOULEWISE_CATALOG", f"sqlite:///{tmp_path / 'none.sqlite'}")
    notebook = json.loads((ROOT / "docs" / "story.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    space: dict[str, Any] = {}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 6
    for cell in cells:
        assert not cell["outputs"]
        exec("".join(cell["source"]), space)  # noqa: S102
        assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("block", BLOCKS)
def test_fenced_commands_run(block: str, server: str, any_url: str, tmp_path: Path) -> None:
    """Every `sh` block runs as printed, against a real service and an own catalog."""
    if "curl" in block and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / ".curlrc").write_text("fail\nsilent\nshow-error\n", encoding="utf-8")
    commands = block.replace("http://127.0.0.1:8000", server)
    environment = os.environ | {
        "JOULEWISE_CATALOG": any_url,
        "CURL_HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip(), "a command of the documents printed nothing"


def test_peers_are_dated_with_versions_and_links() -> None:
    """Each tool of the table has its section with a link; installed versions are those asked."""
    text = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    rows = re.findall(r"^\| ([A-Za-z. ]+?)(?: ([\d.]+))? \|", text, re.MULTILINE)
    table = {name: version for name, version in rows if name not in ("tool", "Joulewise")}
    assert len(table) == 6
    assert table.keys() == sections.keys()
    for name, version in table.items():
        assert "](https://" in sections[name]
        assert all(f"*{word}*" in sections[name] for word in ("Asked", "Says", "Cannot"))
        assert not version or f"{name.lower()}=={version}" in text
        assert version or "commit" in sections[name]
    assert re.search(r"on 20\d\d-\d\d-\d\d with these versions", text)
