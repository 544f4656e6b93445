"""Goldens: answers, reports, tables and documents that no change of the code's form may change.

``make goldens REASON='...'`` renews the files in ``tests/goldens`` and prints changes by group,
old -> new; the reason is kept beside the digest of each file, and one without a reason fails.
A field that is missing and one that is null count as equal, so that a new optional field shows in
the OpenAPI document alone. ``facts`` and ``words`` are digests of a whole body, of its figures and
names and of its sentences. To see what is behind a changed one, have two checkouts write the whole
bodies to folders (``GOLDENS_WHOLE=FOLDER make goldens``) and compare those.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from pinned import (
    answer,
    brief,
    changes,
    digest,
    digests,
    in_words,
    number,
    operation,
    plain,
    report,
    schema,
    without_examples,
)
from typer.testing import CliRunner

# All that is imported of the product, so that a move of its modules is a change of these lines.
from api.cli.main import app as joulewise
from api.main import create_app
from api.service.settings import Settings
from calibration import suite
from calibration.hardware.machine import Machine
from calibration.measurement import trial, windows
from calibration.meters.replay import ReplayMeter

ROOT = Path(__file__).resolve().parent.parent
GOLDENS = ROOT / "tests" / "goldens"
REASONS = GOLDENS / "reasons.json"
PACKAGES = ("advisor", "calibration", "catalog", "api")
RENEWING = os.environ.get("GOLDENS") == "renew"
WHOLE = Path(given).resolve() if (given := os.environ.get("GOLDENS_WHOLE")) else None

Client = TestClient[Litestar]


@pytest.fixture(autouse=True)
def own_surroundings(any_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A catalog, a lock and a folder of the test's own, nothing else from the environment."""
    for name in [name for name in os.environ if name.startswith("JOULEWISE_")]:
        if name != "JOULEWISE_TEST_DATABASE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("JOULEWISE_CATALOG", any_url)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return any_url


def command(*words: str, status: int = 0) -> str:
    """What `joulewise` prints."""
    done = CliRunner().invoke(joulewise, [*words])
    assert done.exit_code == status, done.output
    return done.stdout


def service(url: str) -> Client:
    """The service in this process."""
    return TestClient(
        create_app(Settings(catalog=url, estimator=None, tokens=(), log_level="warning")),
        raise_server_exceptions=False,
    )


def predictions(file: Path) -> Path:
    """Answers to 400 items: as many right as own.csv says, and what is sure is right more often."""
    steps = {"bow-complement-nb": 1, "tfidf-word-logistic": 7, "minilm-l6-frozen-logistic": 11}
    share = {"bow-complement-nb": 0.8, "tfidf-word-logistic": 0.86}
    first = ("run_id", "source", "workload", "candidate", "device", "precision", "split")
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(
            [*first, "test_sha256", "measured_at", "item", "label", "predicted", "score"]
        )
        for name, step in steps.items():
            precision = "fp32" if name.startswith("minilm") else "fp64"
            shared = ["own-1", "calibration", "tickets", name, "Intel Xeon Gold 6248", precision]
            shared += ["test", "ab" * 32, "2026-06-01T08:00:00+00:00"]
            for item in range(400):
                place, label = item * step % 400 / 400, ("billing", "other")[item % 2]
                wrong = ("other", "billing")[item % 2]
                said = label if place < share.get(name, 0.91) else wrong
                writer.writerow([*shared, item, label, said, round(1 - place / 2, 4)])
    return file


def fill(folder: Path) -> None:
    """Puts own.csv and the answers per item into the catalog of the test."""
    command("catalog", "import", str(GOLDENS / "own.csv"))
    command("catalog", "import", str(predictions(folder / "items.csv")), "--predictions")


def sections() -> dict[str, list[str]]:
    """The questions by section."""
    found: dict[str, list[str]] = {}
    for line in (GOLDENS / "questions.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            found[line.strip("[]")] = asked = []
        elif line and not line.startswith("#"):
            asked.append(line)
    return found


SETUPS: dict[str, dict[str, Any]] = {
    "timed": {"device": "NVIDIA L4", "n_parameters": 66e6, "runtime_s_per_1000": 5,
              "batch_size": 32},
    "not timed": {"device": "NVIDIA L4", "n_parameters": 66e6, "batch_size": 32, "tokens": 40},
    "int8 at the plug": {"device": "AMD EPYC 7763", "n_parameters": 1.1e8, "precision": "int8",
                         "scope": "wall"},
    "generates": {"device": {"kind": "gpu", "tdp_w": 700, "peak_fp16_tflops": 989}, "n_devices": 4,
                  "n_parameters": 4.7e10, "n_active_parameters": 1.3e10, "generates": True},
    "refused": {"device": "NVIDIA L4", "n_parameters": -1},
}  # fmt: skip
"""Bodies of `/estimate`."""


def answers(url: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Answers of `/recommend` and `/estimate`."""
    pinned, whole = {}, {}
    for section, questions in sections().items():
        if section == "own":
            fill(folder)
        with service(url) as client:
            for question in questions:
                came = client.get(f"/recommend?{question}")
                name = f"[own] {question}" if section == "own" else question
                pinned[name], whole[name] = answer(came.status_code, came.json()), came.json()
            for name, setup in SETUPS.items() if section == "bundled" else ():
                name, came = f"estimate: {name}", client.post("/estimate", json=setup)
                pinned[name] = {"status": came.status_code, **plain(came.json())}
                whole[name] = came.json()
    return pinned, whole


def reports(url: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reports of `/report`."""
    plans = tomllib.loads((GOLDENS / "plans.toml").read_text(encoding="utf-8"))
    pinned, whole = {}, {}
    for own in (False, True):
        if own:
            fill(folder)
        with service(url) as client:
            for name, plan in plans.items():
                if name.startswith("own") == own:
                    came = client.post("/report", json=plan)
                    pinned[name], whole[name] = report(came.status_code, came.json()), came.json()
    return pinned, whole


def evaluate(_: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Error tables of `joulewise evaluate`, and its predictions."""
    rows, out = str(GOLDENS / "rows.csv"), folder / "out.csv"
    start = ("evaluate", "--rows", rows, "--devices", str(GOLDENS / "specs.csv"), "--json")
    test = ("--test", rows, "--predictions", str(out), "--probes", "0,1")
    asked = {"by source": ("--split", "source", "--probes", "0,1,3"), "test": test}
    whole = {name: json.loads(command(*start, *words)) for name, words in asked.items()}
    with out.open(newline="") as file:
        lines = list(csv.reader(file))
    whole["predictions"] = {"header": lines[0], "rows": len(lines) - 1}
    whole["predictions"] |= {" ".join(c[:2]): [*map(float, c[2:])] for c in lines[1::20]}
    pinned = {name: plain(body) for name, body in whole.items()}
    for name in asked:
        for known in ("known_runtime", "unknown_runtime"):
            for method, errors in pinned[name][known].get("baselines", {}).items():
                kept = {measure: errors.get(measure) for measure in OF_BASELINES}
                pinned[name][known]["baselines"][method] = kept
    return pinned, whole


OF_BASELINES = ("mdape_macro_device", "mape", "within25", "kendall_tau", "coverage90", "width90")
READINGS: list[Any] = [
    {"cpu": (0.4 + n / 50, "measured"), "dram": (0.1 + n / 200, "modelled")} for n in range(40)
]
TIMED = {"measured_at", "run_id", "log", "plot", "left_s", "seconds_per_1000", "fingerprint"}
TIMED |= {"runtime_s", "latency_p50_ms", "latency_p95_ms", "cv", "peak_memory_mb", "idle_w"}
TIMED |= {"idle_resident_w", "energy", "tokens_mean"}
"""Of a calibration's lines and rows: what a clock, a random number or a library's version says."""
FLAGS = {"unstable", "other-load"}
"""Flags that depend on how busy the machine is."""


def steady(body: Any) -> Any:
    """A body of a calibration without what is not the same in every run."""
    if isinstance(body, list):
        return [steady(entry) for entry in body]
    if not isinstance(body, dict):
        return number(body)
    kept = {k: steady(v) for k, v in body.items() if k not in TIMED and v is not None}
    if isinstance(kept.get("flags"), list):
        kept["flags"] = [flag for flag in kept["flags"] if flag not in FLAGS]
        if not kept["flags"]:  # lines leave empty lists out, unless a flag was taken out here
            del kept["flags"]
    if "energy_j_per_1000" in kept:  # an option; its intervals depend on the spread of times
        return brief(body)
    return kept


def replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite measures a made-up machine by recorded readings, one call in each window."""
    machine = Machine(
        cpu="AMD EPYC", sockets=1, cores=2, threads=2, memory_gib=23, hypervisor="KVM"
    )
    planned = suite.plan
    profile = suite.Profile(
        name="quick", window_s=1e-9, repeats=3, warmup_s=0, idle_s=0.001, retries=0
    )

    def plan(*snapshot: Any, **asked: Any) -> suite.CalibrationPlan:
        given = {"profile": profile, "machine": machine, "meter": ReplayMeter(READINGS), "seed": 7}
        return planned(*snapshot, **asked | given)

    monkeypatch.setattr(suite, "plan", plan)
    monkeypatch.setattr(windows, "UNSTABLE_CV", float("inf"))
    monkeypatch.setattr(trial, "OTHER_LOAD_CORES", float("inf"))
    monkeypatch.setitem(sys.modules, "lightgbm", None)  # a library that a candidate lacks


def calibrate(_: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Steps, summaries and rows of `joulewise calibrate` on the synthetic workload."""
    whole: dict[str, Any] = {}
    names = ("bow-complement-nb", "tfidf-word-logistic", "bow-lightgbm")
    chosen = [part for name in names for part in ("--candidate", name)]
    start = ("calibrate", "--json", "--log", str(folder / "log"))
    whole["plan"] = json.loads(command(*start, *chosen, "--plan"))
    whole["plan at a rate"] = json.loads(command(*start, *chosen[:2], "--plan", "--rate", "5"))
    lines = command(*start, *chosen, status=6).splitlines()
    whole["steps"], whole["summary"] = [*map(json.loads, lines[:-1])], json.loads(lines[-1])
    again = command(*start, *chosen[:4]).splitlines()
    whole["again"], whole["summary again"] = [*map(json.loads, again[:-1])], json.loads(again[-1])
    whole["rows"] = json.loads(command("catalog", "list", "--source", "calibration", "--json"))
    return {name: steady(body) for name, body in whole.items()}, whole


def openapi(url: str, _: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The OpenAPI document: operations and schemas in lines; made-up examples are left out."""
    with service(url) as client:
        text = client.get("/schema").text
    whole = json.loads(re.sub(r"(?<=_)(?:[a-z][a-z_]*\.)+(?=[A-Z])", "", text))  # module paths
    without_examples(whole["components"])
    without_examples(whole["paths"]["/estimator"])  # ours elsewhere are declared, and pinned
    whole["info"].pop("version")  # of the installed distribution
    pinned = {
        f"{method.upper()} {path}": operation(found)
        for path, methods in whole["paths"].items()
        for method, found in methods.items()
    }
    for name, found in whole["components"]["schemas"].items():
        pinned[f"schema {name}"] = schema(found)
    rest = {name: body for name, body in whole.items() if name not in ("paths", "components")}
    rest["security"] = whole["components"].get("securitySchemes")
    return pinned | {"document": plain(rest)}, whole


def bundle(url: str, _: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """SHA-256 of each bundled table and of the artefact by file name; names of what is served."""
    pinned: dict[str, Any] = {}
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*"):
            if file.suffix in (".csv", ".json"):
                own = file.name.startswith("joulewise-")  # one machine's rows, by folder
                name = f"{file.parent.name}/{file.name}" if own else file.name
                assert name not in pinned, f"two bundled files are named {name}"
                pinned[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    with service(url) as client:
        pinned["served"] = client.get("/health/ready").json()
        pinned["scorecard"] = digest(client.get("/estimator").json())
    return pinned, {}


GROUPS = {made.__name__: made for made in (answers, reports, evaluate, calibrate, openapi, bundle)}


def stored(group: str) -> dict[str, Any]:
    """The pinned entries of a group."""
    file = GOLDENS / f"{group}.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def store(group: str, entries: dict[str, Any]) -> None:
    """Writes a group so that a difference of two files is read line by line, and why it changed."""
    reason = os.environ.get("REASON", "").strip()
    if not reason:
        pytest.fail("say why they change: make goldens REASON='...'", pytrace=False)
    text = json.dumps(entries, indent=0, ensure_ascii=False)
    (GOLDENS / f"{group}.json").write_text(text + "\n", encoding="utf-8")
    told = reasons() | {group: {"reason": reason, "sha256": sha256(group)}}
    REASONS.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def reasons() -> dict[str, dict[str, str]]:
    """Why each group was last renewed, and the digest of its file then."""
    found: dict[str, dict[str, str]] = json.loads(REASONS.read_text(encoding="utf-8"))
    return found


def sha256(group: str) -> str:
    """Digest of the file of a group."""
    return hashlib.sha256((GOLDENS / f"{group}.json").read_bytes()).hexdigest()


@pytest.mark.parametrize("group", GROUPS)
def test_a_renewal_has_a_reason(group: str) -> None:
    """What is pinned is what was renewed for the reason given."""
    told = reasons()[group]
    assert told["reason"]
    assert told["sha256"] == sha256(group)


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_pinned_changed(
    group: str,
    own_surroundings: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every entry is as it was but for last digits of numbers; else each change is named."""
    if group == "calibrate":
        replayed(monkeypatch)
    pinned, whole = GROUPS[group](own_surroundings, tmp_path)
    if WHOLE:
        WHOLE.mkdir(parents=True, exist_ok=True)
        text = json.dumps(plain(whole), indent=1, sort_keys=True)
        (WHOLE / f"{group}.json").write_text(text + "\n")
    changed = changes(stored(group), json.loads(json.dumps(pinned)))
    said = in_words(group, changed, len(pinned))
    if RENEWING:
        if changed:
            store(group, pinned)
        with capsys.disabled():
            print(f"\n{said}")
    elif changed:
        pytest.fail(f"{said}\nwhere this is wanted, renew them: make goldens", pytrace=False)


def test_a_change_is_named_old_and_new() -> None:
    """Values, entries that come and go; last digits and nulls are no change."""
    old = {"a": {"x": "1.00001 J", "y": [1, 2]}, "b": {"z": "c @ d: 5 J"}, "gone": {"v": 1}}
    new = {"a": {"x": "1.00002 J", "y": [1, 3, 4]}, "b": {"z": "c @ d: 6 J"}, "new": {"v": None}}
    assert changes(old, new) == {
        "a": ["y.1: 2 -> 3", "y.2: absent -> 4"],
        "b": ["z: c @ d: 5 J -> c @ d: 6 J"],
        "gone": ["old -> absent"],
        "new": ["absent -> new"],
    }
    assert digest({"a": 1, "b": None}) == digest({"a": 1})
    assert digests({"message": "x", "v": 1})["facts"] == digests({"message": "y", "v": 1})["facts"]
