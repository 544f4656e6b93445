"""The bundled accuracy atlas: every row is sound, traceable and counted."""

from __future__ import annotations

import csv
import gzip
import io
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from catalog import atlas
from catalog.accuracy import ACCURACY_KEY, REGIMES, TIERS, Accuracy
from catalog.evidence import reference_workload
from catalog.registry.tasks import plain_name, references, task_names, tasks

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT.parent / "shared" / "data" / "accuracy"


def everything() -> list[Accuracy]:
    """All published results."""
    return [r for w in atlas.workloads().values() for r in atlas.results(w.task, w.name)]


def test_rows_are_sound() -> None:
    """Rows are sound."""
    rows = everything()
    assert len(rows) > 25_000
    keys = Counter(tuple(getattr(row, name) for name in ACCURACY_KEY) for row in rows)
    assert max(keys.values()) == 1
    for row in rows:
        for value in (row.accuracy, row.macro_f1):
            assert value is None or 0 <= value <= 1
        assert row.n_test is None or row.n_test >= 1
        assert row.regime in REGIMES
        assert row.tier in TIERS
        assert (row.samples_per_label is not None) <= (row.regime in ("few-shot", "in-context"))
        assert row.contamination in ("yes", "possible", "no", "unknown")
        assert row.reference
        assert row.licence
        assert row.source
        assert row.candidate in atlas.candidates()


def test_banking77_tells_the_story_of_the_sources() -> None:
    """Frozen MiniLM: 0.80 from eight texts per class, zero-shot far below, fine-tuning above."""
    of: dict[tuple[str, str], list[float]] = {}
    for row in atlas.results("intent", "banking77"):
        if row.accuracy is not None:
            of.setdefault((row.candidate, row.regime), []).append(row.accuracy)
    assert of["minilm-l6-frozen-logistic", "few-shot"] == [pytest.approx(0.8004, abs=1e-3)]
    assert of["minilm-l6-zero-shot", "zero-shot"] == [0.441]
    assert sorted(of["tfidf-word-linear-svm", "full"]) == pytest.approx([0.76, 0.8926, 0.912])
    assert of["e5-mistral-7b-instruct-frozen-logistic", "few-shot"] == [
        pytest.approx(0.814, abs=1e-3),
        pytest.approx(0.882, abs=1e-3),
    ]


def test_every_workload_has_a_task_and_the_tasks_have_synonyms() -> None:
    """Every workload has a task and the tasks have synonyms."""
    for workload in atlas.workloads().values():
        assert workload.task in tasks(), workload.name
    names = task_names()
    spoken = {"hate": "offensive-language", "news": "topic", "review": "sentiment"}
    spoken |= {"language-detection": "language-identification", "stars": "rating"}
    for name, task in spoken.items():
        assert names[name] == task
    assert plain_name("Language Detection") == "language-detection"
    claimed = Counter(s for task in tasks().values() for s in task.synonyms)
    assert not [name for name, count in claimed.items() if count > 1 or name in tasks()]


def test_references_follow_the_rule() -> None:
    """References follow the rule."""
    wanted = {
        ("sentiment", "en"): "sst2",
        ("topic", "en"): "agnews",
        ("intent", "en"): "banking77",
        ("emotion", "en"): "dair-emotion",
        ("offensive-language", "de"): "multi-hate-de",
        ("language-identification", "mul"): "language",
    }
    for (task, language), workload in wanted.items():
        assert references()[task, language, "accuracy"].workload == workload
    by_f1 = references()["offensive-language", "de", "macro_f1"]
    assert by_f1.workload == "germeval2018"
    for (task, language, metric), kept in references().items():
        if metric != "accuracy":
            continue
        counts = {
            name: len(
                {
                    row.candidate
                    for row in atlas.results(task, name)
                    if row.accuracy is not None
                    and row.contamination != "yes"
                    and row.split != "own-holdout"
                }
            )
            for name, workload in atlas.workloads().items()
            if workload.task == task and (workload.language or "mul") == language
        }
        counts = {name: count for name, count in counts.items() if count}
        first = kept.workload if kept.rule == "first choice" else kept.better_known
        assert reference_workload(counts, first)[0] == kept.workload
        assert kept.n_candidates == counts[kept.workload]


def test_unmeasured_tools_of_the_field_are_named_with_a_command() -> None:
    """Unmeasured tools of the field are named with a command."""
    task = tasks()["language-identification"]
    assert task.usual_tool is not None
    assert "lingua" in task.usual_tool
    assert (task.usual_tool_command or "").startswith("joulewise calibrate")


def test_siblings_share_texts() -> None:
    """Siblings share texts."""
    group = {name for name, w in atlas.workloads().items() if w.siblings == "assistant-requests"}
    assert {"massive-intent-en", "massive-scenario-de", "mtop-domain-en"} <= group


@pytest.fixture
def source() -> Path:
    """The folder of source tables."""
    if not SOURCE.is_dir():
        pytest.skip(f"no source tables in {SOURCE}")
    return SOURCE


def test_thirty_random_rows_stand_in_their_source(source: Path) -> None:
    """Thirty random rows stand in their source."""
    with gzip.open(source / "mteb_classification.csv.gz", "rt", encoding="utf-8") as file:
        mteb = list(csv.DictReader(file))
    text = (source / "published_accuracy.csv").read_text(encoding="utf-8")
    published = list(csv.DictReader(io.StringIO(text, newline="")))
    picked = random.Random(17).sample(everything(), 30)  # noqa: S311
    for row in picked:
        place = (row.reference or "").rpartition("; ")[2]
        name, _, line = place.removesuffix(", self-reported").partition(":")
        if name == "mteb_classification.csv.gz":
            there = mteb[int(line) - 2]
            column = "accuracy_self_reported" if "self-reported" in place else "accuracy"
            assert row.accuracy == pytest.approx(float(there[column]), abs=1e-6)
            assert there["source_path"] in (row.reference or "")
        else:
            lines = [published[int(each) - 2] for each in line.split(", ")]
            values = {float(each["value"]) for each in lines}
            stated = {v for v in (row.accuracy, row.macro_f1) if v is not None}
            stated |= {
                float(part.partition("=")[2])
                for part in (row.other_metrics or "").split(";")
                if part
            }
            assert sorted(stated) == pytest.approx(sorted(values), abs=1e-6)
            assert all(row.source == each["source"] for each in lines)


def test_committed_files_are_what_the_script_builds(source: Path) -> None:
    """Committed files are what the script builds."""
    command = [sys.executable, str(ROOT / "scripts" / "data" / "atlas.py"), "--check"]
    done = subprocess.run(
        [*command, "--data", str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out: 5 rows" in done.stdout


def test_the_script_says_so_where_the_source_is_absent(tmp_path: Path) -> None:
    """The script says so where the source is absent."""
    command = [sys.executable, str(ROOT / "scripts" / "data" / "atlas.py"), "--check"]
    done = subprocess.run(
        [*command, "--data", str(tmp_path / "absent")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "nothing was compared" in done.stdout
