"""The command line: answers, files in and out, errors in one block, exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from api.cli.context import settings
from api.pages import wording
from api.service import tokens
from calibration import suite
from catalog.records import RunFile
from catalog.snapshot import load
from catalog.store.database import Store

ROOT = Path(__file__).resolve().parent.parent
Run = Callable[..., "subprocess.CompletedProcess[str]"]
ASK = ("recommend", "--task", "sentiment", "--min-acc", "0.85")


@pytest.fixture
def joulewise(tmp_path: Path, url: str, command: Run) -> Run:
    """Runs the command with an own catalog, in an own folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JOULEWISE_")}
    environment |= {
        "JOULEWISE_CATALOG": url,
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "160",
    }

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return command(*words, environment=environment | more, cwd=tmp_path)

    return run


def body(done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON document a command printed."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_recommend_says_answer_origin_and_why_others_lost(joulewise: Run) -> None:
    """People see the winner with its interval, the basis, the source and the losers."""
    done = joulewise(*ASK)
    chosen = body(joulewise(*ASK, "--json"))["chosen"]
    assert done.returncode == 0, done.stderr
    assert re.search(rf"→ +{chosen['candidate']}", done.stdout)
    assert wording.number(chosen["energy_j_per_1000"]["value"]) in done.stdout
    assert "estimated" in done.stdout
    assert chosen["provenance"]["source"] in done.stdout
    assert re.match(r"Why \d+ others lost", done.stdout)


def test_json_is_the_http_body(joulewise: Run, server: str, server_catalog: str) -> None:
    """`recommend --json` prints what the service answers."""
    import httpx

    served = httpx.get(f"{server}/recommend?task=topic&min_acc=0.4").json()
    words = ["recommend", "--task", "topic", "--min-acc", "0.4", "--json"]
    asked = body(joulewise(*words, JOULEWISE_CATALOG=server_catalog))
    for answer in (served, asked):
        answer.pop("catalog_digest")
    assert asked == served


def test_nothing_qualifies_is_exit_3_with_the_nearest_miss(joulewise: Run) -> None:
    """An impossible floor is told apart from a fault."""
    done = joulewise("recommend", "--task", "sentiment", "--min-acc", "1.0")
    assert done.returncode == 3
    assert "Closest:" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("recommend", "--task", "sentimant", "--min-acc", "0.5"), "sentiment"),
        (("recommend", "--task", "sentiment", "--min-acc", "1.5"), "min-acc"),
        ((*ASK, "--workload", "agnews"), "workload"),
        ((*ASK, "--confidence", "3"), "confidence"),
        (("catalog", "list", "--phase", "lunch"), "phase"),
        (("estimate", "--device", "NVIDIA A3O"), "NVIDIA A30"),
        (("estimate", "--device", "NVIDIA A30", "--params", "-1"), "n_parameters"),
        (
            ("estimate", "--device", "NVIDIA A30", "--params", "1e9", "--active-params", "2e9"),
            "n_active_parameters: may not exceed n_parameters",
        ),
        (("estimate", "--device", "NVIDIA A30", "--precision", "int9"), "4, 5, 6, 8, 16"),
    ],
)
def test_bad_question_is_exit_2(joulewise: Run, words: tuple[str, ...], said: str) -> None:
    """The message names what is wrong; nobody sees a traceback."""
    done = joulewise(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_bad_environment_is_exit_2(joulewise: Run) -> None:
    """A setting that cannot be is named."""
    done = joulewise(*ASK, JOULEWISE_WORKERS="many")
    assert done.returncode == 2
    assert "workers" in done.stderr


def test_unreadable_catalog_is_exit_4(joulewise: Run, tmp_path: Path) -> None:
    """A file that is no catalog ends with a remedy."""
    (tmp_path / "bad.sqlite").write_bytes(b"this is no database, and it is long enough")
    done = joulewise(*ASK, JOULEWISE_CATALOG="sqlite:///bad.sqlite")
    assert done.returncode == 4
    assert "catalog" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_files_go_in_and_out(
    joulewise: Run, run_csv: Callable[..., bytes], tmp_path: Path
) -> None:
    """Import stores once, changes the answer, export re-imports, verify is content."""
    (tmp_path / "run.csv").write_bytes(
        run_csv({"candidate": "bow-complement-nb", "gpu_j": "6", "cpu_j": "3", "dram_j": "1"})
    )
    assert body(joulewise("catalog", "import", "run.csv", "--json"))["inserted"] == 1
    assert body(joulewise("catalog", "import", "run.csv", "--json"))["inserted"] == 0
    own = ("--device", "NVIDIA A30", "--basis", "measured", "--json")
    assert body(joulewise(*ASK, *own))["chosen"]["candidate"] == "bow-complement-nb"
    (row,) = body(joulewise("catalog", "list", "--source", "lab", "--json"))
    assert (row["precision"], row["batch_size"], row["gpu_label"]) == ("fp32", 32, "measured")
    for name in ("out.csv", "out.parquet"):
        assert joulewise("catalog", "export", name, "--own").returncode == 0
        assert body(joulewise("catalog", "import", name, "--json"))["present"] == 1
    assert body(joulewise("catalog", "verify", "--json"))["own_rows"] == 1


def test_bad_run_file_is_exit_4_and_stores_nothing(
    joulewise: Run, run_csv: Callable[..., bytes], tmp_path: Path
) -> None:
    """Row and column of every fault are named."""
    (tmp_path / "run.csv").write_bytes(run_csv({}, {"run_id": "b", "accuracy": "7"}))
    done = joulewise("catalog", "import", "run.csv")
    assert done.returncode == 4
    assert "row 2 column 'accuracy'" in done.stderr
    assert body(joulewise("catalog", "verify", "--json"))["own_rows"] == 0


def test_token_is_printed_once_and_works(joulewise: Run, url: str) -> None:
    """The printed token may write; the catalog does not hold it."""
    done = joulewise("token", "create", "--scope", "write")
    secret = done.stdout.strip()
    store = Store(url)
    assert tokens.scopes_of(secret, store) == {"write"}
    with store.engine.connect() as connection:
        assert secret not in repr(connection.execute(tokens.token.select()).all())
    store.engine.dispose()
    assert store.file is None or secret.encode() not in store.file.read_bytes()


def test_estimate_has_an_interval(joulewise: Run) -> None:
    """Low, value and high are in order."""
    words = ("--device", "NVIDIA L4", "--params", "66e6", "--runtime-s-per-1000", "5", "--json")
    energy = body(joulewise("estimate", *words))["energy_j_per_1000"]
    assert energy["low"] < energy["value"] < energy["high"]


def test_this_machine_can_be_estimated_once_it_is_in_the_catalog(joulewise: Run, url: str) -> None:
    """`this` means the machine's record before it is calibrated, and its row afterwards."""
    asked = ("estimate", "--device", "this-cpu", "--params", "66e6", "--json")
    before = body(joulewise(*asked))
    store = Store(url)
    store.migrate()
    store.add(RunFile(measurements=(), devices=(suite.this_device(load(), "cpu"),)))
    store.engine.dispose()
    after = body(joulewise(*asked))
    assert after["device"] == before["device"]
    assert after["energy_j_per_1000"] == before["energy_j_per_1000"]


def test_a_device_is_estimated_by_its_specs(joulewise: Run) -> None:
    """More watts, more joules; nothing to go by is a usage error that names the field."""
    specs = ("--device-kind", "cpu", "--params", "66e6", "--runtime-s-per-1000", "5", "--json")
    joules = [
        body(joulewise("estimate", *specs, "--tdp-w", watts))["energy_j_per_1000"]["value"]
        for watts in ("50", "200")
    ]
    assert joules[0] < joules[1]
    done = joulewise("estimate", "--params", "66e6")
    assert done.returncode == 2
    assert "device" in done.stderr


def test_plan_measures_nothing(joulewise: Run) -> None:
    """`calibrate --plan` lists trials and leaves the catalog as it was."""
    plan = body(joulewise("calibrate", "--plan", "--candidate", "bow-*", "--json"))
    assert plan["trials"]
    assert {trial["workload"] for trial in plan["trials"]} == {"synthetic"}
    assert body(joulewise("catalog", "verify", "--json"))["own_rows"] == 0


def test_unknown_candidate_to_calibrate_is_exit_2(joulewise: Run) -> None:
    """A glob that matches nothing is a mistake."""
    assert joulewise("calibrate", "--plan", "--candidate", "nothing-like-*").returncode == 2


def test_doctor_tells_findings(joulewise: Run) -> None:
    """Every finding says what was looked at and whether it serves."""
    findings = body(joulewise("doctor", "--json"))
    assert all({"what", "ok", "detail"} <= finding.keys() for finding in findings)


def test_the_version_is_the_distributions(joulewise: Run) -> None:
    """One line, without a catalog or a command."""
    done = joulewise("--version")
    assert done.returncode == 0
    assert done.stdout.split() == ["joulewise", metadata.version("joulewise")]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands_and_options(joulewise: Run, shell: str) -> None:
    """Typer's script asks the command itself, in each shell."""
    asked = {"_TYPER_COMPLETE_ARGS": "joulewise re", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    asked |= {"COMP_WORDS": "joulewise re", "COMP_CWORD": "1"}
    done = joulewise(_JOULEWISE_COMPLETE=f"complete_{shell}", **asked)
    assert "recommend" in done.stdout
    assert "report" in done.stdout
    assert "serve" not in done.stdout


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables reach the settings of a command."""
    monkeypatch.setenv("JOULEWISE_PORT", "9123")
    settings.cache_clear()
    assert settings().port == 9123
    settings.cache_clear()


def test_a_cold_answer_loads_what_it_needs_alone(tmp_path: Path) -> None:
    """Neither tables nor learners nor a database where none is there: start-up is most of it."""
    heavy = {"pandas", "pandera", "pyarrow", "sqlalchemy", "sklearn", "lightgbm", "litestar"}
    code = (
        "import sys; from api.cli.main import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *ASK, "--json"],
        env=os.environ | {"JOULEWISE_CATALOG": f"sqlite:///{tmp_path / 'none.sqlite'}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_answers_per_item_go_out_and_in(joulewise: Run, tmp_path: Path) -> None:
    """They are stored once, exported again as they were, and refused with a named fault."""
    lines = ["run_id,source,workload,workload_revision,candidate,device,precision,split"]
    lines[0] += ",test_sha256,measured_at,item,label,predicted,score"
    from catalog.snapshot import load

    revision = load().workloads["synthetic"].revision
    n_test = load().workloads["synthetic"].n_test or 0
    start = f"r,calibration,synthetic,{revision},bow-logistic,NVIDIA A30,fp64,test,{'ab' * 32}"
    for item in range(n_test):
        lines.append(
            f"{start},2026-11-20T10:00:00+00:00,{item},yes,{'no' * (item % 2) or 'yes'},0.5"
        )
    (tmp_path / "answers.csv").write_text("\n".join(lines) + "\n")
    words = ("catalog", "import", "answers.csv", "--predictions", "--json")
    assert body(joulewise(*words)) == {"inserted": 1, "present": 0}
    assert body(joulewise(*words)) == {"inserted": 0, "present": 1}
    done = joulewise("catalog", "export", "again.csv", "--predictions")
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "again.csv").read_text().splitlines()) == n_test + 1
    (tmp_path / "bad.csv").write_text("\n".join(lines[:-1]) + "\n")
    bad = joulewise("catalog", "import", "bad.csv", "--predictions")
    assert bad.returncode == 4
    assert f"the test set has {n_test}" in bad.stderr
