"""The reference run: what is bundled, and that a catalog reads it as rows of our own suite."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from calibration import suite
from calibration.workloads.load import load
from catalog.accuracies import few_shot_joined
from catalog.accuracy import Accuracy
from catalog.doubt import REFERENCE_RUN
from catalog.predictions import Predictions
from catalog.records import Device, Measurement
from catalog.reference_files import from_cells
from catalog.registry.candidates import CANDIDATES
from catalog.registry.workloads import WORKLOADS
from catalog.store.database import Store

ROOT = Path(__file__).resolve().parents[1]
TINY = suite.Profile(name="tiny", window_s=0.02, repeats=3, warmup_s=0.02, retries=0)
pytestmark = pytest.mark.usefixtures("quiet_machine")

READ = """
import json
from catalog import Snapshot

snapshot = Snapshot.load()
rows = [row for row in snapshot.current if row.source == "joulewise-reference"]
(device,) = {row.device for row in rows}
known = snapshot.accuracies.evidence("synthetic")["tfidf-word-logistic"]
own = [each for each in known if each.tier == "suite"]
print(json.dumps({
    "rows": len(rows),
    "energies": sum(row.cpu_j is not None for row in rows),
    "accuracies": [row.accuracy for row in rows if row.phase == "inference"],
    "device": snapshot.devices[device].status,
    "evidence": [[each.basis, each.regime, each.n_test] for each in own],
    "predicted": [list(key) for key in snapshot.predicted],
    "digest": snapshot.digest,
}))
"""


@pytest.fixture(scope="module")
def script() -> Any:
    """The script as a module."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import reference_run
    finally:
        sys.path.pop(0)
    return reference_run


@pytest.fixture
def measured(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundled files of a run of one candidate on the synthetic workload."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("JOULEWISE_DATA", str(tmp_path))
    monkeypatch.setenv("JOULEWISE_MODELS", str(tmp_path))
    monkeypatch.setattr(script, "SHORT", TINY)
    monkeypatch.setattr(script, "LONG", TINY)
    monkeypatch.setitem(script.STEPS, "tiny", script.Step(("tfidf-word-logistic",), ("synthetic",)))
    store = Store(f"sqlite:///{tmp_path / 'run.sqlite'}")
    script.run(["tiny"], store)
    out = tmp_path / "reference"
    for path, content in script.bundle(store, out).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    store.engine.dispose()
    return out


def csv_rows(kind: Any, file: Path) -> list[Any]:
    """Records of a bundled file."""
    import csv

    with file.open(newline="", encoding="utf-8") as lines:
        return list(from_cells(kind, csv.DictReader(lines)))


def test_bundled_rows_have_runtime_and_origin_and_no_modelled_joule(measured: Path) -> None:
    """Own source and licence, the day, the command; accuracy beside them; no text anywhere."""
    (file,) = (measured / "measurements").iterdir()
    rows: list[Measurement] = csv_rows(Measurement, file)
    assert [row.phase for row in rows].count("inference") == 2
    for row in rows:
        assert (row.source, row.licence) == (REFERENCE_RUN, "Apache-2.0")
        assert row.runtime_s
        assert row.measured_at
        assert "scripts/reference_run.py run" in (row.reference or "")
        assert "modelled" not in (row.cpu_label, row.dram_label, row.gpu_label)
        assert (row.cpu_j is None) == (row.cpu_label is None)
    (result,) = csv_rows(Accuracy, measured / "accuracy" / file.name)
    assert (result.tier, result.regime, result.n_test) == ("suite", "full", 1000)
    packed = (measured / "predictions").glob("*.msgpack")
    (each,) = msgspec.msgpack.decode(next(packed).read_bytes(), type=tuple[Predictions, ...])
    assert each.answers().accuracy == result.accuracy
    assert (each.source, each.run_id) == (REFERENCE_RUN, REFERENCE_RUN)
    texts = load("synthetic", None, {each.name: each for each in WORKLOADS})
    for path in measured.rglob("*.*"):
        content = path.read_bytes()
        assert not any(text.encode() in content for text in texts.test)
    for path in (measured / "devices").glob("*.csv"):
        assert all(d.status == "probed" for d in csv_rows(Device, path))


def test_a_catalog_reads_bundled_rows_as_the_suites_own(measured: Path, tmp_path: Path) -> None:
    """Runtime without energy is a row; its accuracy is measured evidence; answers are there."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "catalog", site / "catalog", ignore=shutil.ignore_patterns("__pyc*"))
    for name in ("advisor", "api", "calibration", "docs"):
        (site / name).symlink_to(ROOT / name)
    given = {key: value for key, value in os.environ.items() if not key.startswith("JOULEWISE_")}
    given |= {
        "PYTHONPATH": str(site),
        "JOULEWISE_CATALOG": f"sqlite:///{tmp_path / 'none.sqlite'}",
    }
    command = [sys.executable, "-c", READ]
    for path in (site / "catalog" / "reference").rglob("joulewise-*"):
        path.unlink()
    shutil.copytree(measured, site / "catalog" / "reference", dirs_exist_ok=True)
    done = subprocess.run(command, env=given, cwd=site, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == 3
    assert None not in found["accuracies"]
    assert found["evidence"] == [["measured", "full", 1000]]
    assert found["predicted"] == [["synthetic", "tfidf-word-logistic"]]


def test_rows_of_other_texts_are_not_bundled(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of one's own that is named like a public workload has another name in the catalog."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lines = [f"{'good' if n % 2 else 'bad'} {n},{n % 2}" for n in range(60)]
    (tmp_path / "sst2.csv").write_text("\n".join(["text,label", *lines]))
    monkeypatch.setenv("JOULEWISE_DATA", str(tmp_path))
    monkeypatch.setenv("JOULEWISE_MODELS", str(tmp_path))
    monkeypatch.setattr(script, "SHORT", TINY)
    monkeypatch.setattr(script, "LONG", TINY)
    monkeypatch.setitem(script.STEPS, "tiny", script.Step(("majority-class",), ("sst2",)))
    store = Store(f"sqlite:///{tmp_path / 'run.sqlite'}")
    script.run(["tiny"], store)
    with pytest.raises(SystemExit, match="no sound rows of public workloads"):
        script.bundle(store, tmp_path)
    store.engine.dispose()


def test_every_step_names_candidates_that_run(script: Any) -> None:
    """The steps cover the families that run from packages on five workloads."""
    runnable = {each.name: each for each in CANDIDATES if each.runnable}
    chosen = {name for step in script.STEPS.values() for name in step.candidates}
    assert chosen <= runnable.keys()
    families = {runnable[name].family for name in chosen}
    assert families == {
        "majority", "lexicon", "bag-of-words", "tf-idf", "static-embedding", "frozen-encoder",
        "zero-shot-embedding", "fine-tuned-encoder",
    }  # fmt: skip
    assert set(script.OPTIONAL) == {"finetuned"}


def result(candidate: str, value: float, source: str, tier: str, per_label: float) -> Accuracy:
    """A few-shot result on one workload."""
    return Accuracy(
        candidate=candidate,
        workload="banking77",
        regime="few-shot",
        source=source,
        tier=tier,  # type: ignore[arg-type]
        samples_per_label=per_label,
        accuracy=value,
        n_test=3080,
    )


def test_own_few_shot_heads_join_the_published_ones_of_their_encoder() -> None:
    """Either name has both results; other candidates and regimes stay as they are."""
    own = result("minilm-l6-frozen-logistic-few-shot", 0.80, "calibration", "suite", 8)
    theirs = result("minilm-l6-frozen-logistic", 0.79, "mteb", "authors", 8)
    other = result("mpnet-frozen-logistic", 0.7, "mteb", "authors", 8)
    found = few_shot_joined([own, theirs, other])
    by_name = {
        name: sorted(row.source for row in found if row.candidate == name)
        for name in (own.candidate, theirs.candidate, other.candidate)
    }
    assert by_name == {
        own.candidate: ["calibration", "mteb"],
        theirs.candidate: ["calibration", "mteb"],
        other.candidate: ["mteb"],
    }
    assert few_shot_joined([theirs, other]) == [theirs, other]
