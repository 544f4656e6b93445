"""The bundled accuracy atlas: every row is sound, traceable and counted."""

from __future__ import annotations

import csv
import fnmatch
import gzip
import io
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from catalog import atlas, reference_data
from catalog.accuracy import ACCURACY_KEY, REGIMES, TIERS, Accuracy
from catalog.evidence import reference_workload
from catalog.profiles import flops_per_token
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
                    and (workload.own_splits or row.split != "own-holdout")
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


def number(text: str) -> float | None:
    """A cell that may be empty."""
    return float(text) if text else None


OFFICIAL = {
    "amazon-counterfactual-en": 670,
    "massive-intent-en": 2974,
    "massive-scenario-en": 2974,
    "mnli-m": 9796,
    "mtop-domain-en": 4386,
    "tweet-sentiment-extraction": 3534,
}
"""Texts of the official test splits whose size some sources leave out."""
CARDS = (
    "hf-card nabin-banking bankbot banking77-* reza-agnews hmohebbi-imdb imdb-truncation toxic-* "
)
CARDS += "hatexplain-xai sms-* *-sms reddit-sentiment finllm-report finsent gnad-tool jul shrewd "
CARDS += "german-modernbert intent-bench"
QUOTED = {"pwc", "nlp-progress", "ts-mixer", "fhac2021", "duchene2023", "karl-scherp"}
"""Sources by strength of evidence, as the table's own description sorts them."""
NOT_COMPARED = {"run_id", "precision", "reference", "candidate", "workload"}
"""Names of our own; the place is compared apart, candidate and workload by their records."""


def size(row: Accuracy, stated: str) -> tuple[float | None, str | None]:
    """Expected test size and, where the source states none, its basis."""
    if stated:
        return float(stated), None
    whole = row.split == "test" and "subset of the test split" not in (row.notes or "")
    official = OFFICIAL.get(row.workload) if whole else None
    return official, "official" if official else "unknown"


def mteb_faults(
    row: Accuracy, there: dict[str, str], self_reported: bool, pooled: set[str]
) -> dict[str, Any]:
    """Fields of a bundled row that its line of the MTEB table contradicts."""
    basis = there["n_test_basis"]
    n_test, blank = size(row, "" if basis == "unknown" else there["n_test"])
    author = self_reported or "self-reported" in there["source"]
    expected: dict[str, Any] = {
        "accuracy": number(there["accuracy_self_reported" if self_reported else "accuracy"]),
        "accuracy_sd": None if self_reported else number(there["accuracy_sd"]),
        "macro_f1": None if self_reported else number(there["macro_f1"]),
        "n_draws": None if self_reported else number(there["n_draws"]),
        "samples_per_label": number(there["samples_per_label"]),
        "n_test": n_test,
        "n_test_basis": blank or basis,
        "numeric_format": "float",
        "n_train": None,
        "macro_f1_sd": None,
        "other_metrics": None,
        "self_reported": author,
        "measured_at": "2026-08-20",
        "notes": None,
        "contamination": there["trained_on_task_data"],
        "split": there["split"],
        "model_revision": there["model_revision"] or None,
        "licence": there["source_licence"],
        "regime": "few-shot",
        "source": "mteb",
        "tier": "card" if author else "authors",
        "protocol": "logistic head (C = 1) on a frozen encoder; " + there["train_protocol"],
        "checkpoint": there["model"],
        "n_classes": number(there["n_classes"]),
        "language": there["language"],
    }
    if there["mteb_task"] in pooled:
        expected |= {"split": "train-pool", "notes": row.notes}
        if expected["contamination"] != "yes":
            expected["contamination"] = "possible"
        assert "drawn from the test texts" in (row.notes or "")
    assert "arXiv:2210.07316" in (row.citation or "")
    task = there["mteb_task"] + ("" if there["subset"] == "default" else "/" + there["subset"])
    assert task in (row.workload, *atlas.workloads()[row.workload].aliases)
    return differing(row, expected | {"citation": row.citation})


def published_faults(row: Accuracy, lines: list[dict[str, str]]) -> dict[str, Any]:
    """Fields of a bundled row that its lines of the table of published figures contradict."""
    first = lines[0]
    values = {each["metric"]: float(each["value"]) for each in lines}
    spread = {each["metric"]: number(each["value_sd"]) for each in lines}
    measure = "accuracy"
    if row.accuracy is not None and "accuracy" not in values:
        measure = "micro_f1"
        assert first["task"] == "sentiment"
    n_test, blank = size(row, first["n_test"])
    others = {k: v for k, v in values.items() if k not in (measure, "macro_f1")}
    expected: dict[str, Any] = {
        "accuracy": values.get(measure) if row.accuracy is not None else None,
        "accuracy_sd": spread.get(measure),
        "macro_f1": values.get("macro_f1"),
        "macro_f1_sd": spread.get("macro_f1"),
        "other_metrics": ";".join(f"{k}={v:g}" for k, v in sorted(others.items())) or None,
        "n_test": n_test,
        "n_test_basis": blank or "stated",
        "numeric_format": "float",
        "regime": regime(first),
        "samples_per_label": row.samples_per_label,
        "n_train": row.n_train,
        "n_draws": None,
        "model_revision": None,
        "measured_at": None,
        "notes": row.notes,
        "self_reported": first["source"] == "hf-card",
        "tier": "authors",
        "family": FAMILIES.get(first["family"], first["family"]),
        "language": "mul" if first["language"] == "multi" else first["language"],
        "split": first["split"],
        "contamination": first["contamination"],
        "source": first["source"],
        "citation": first["citation"],
        "licence": first["source_licence"],
        "protocol": first["head"] or None,
    }
    if first["split"] == "holdout" or re.search(OWN, first["notes"]):
        expected["split"] = "own-holdout"
    if any(fnmatch.fnmatch(first["source"], name) for name in CARDS.split()):
        expected["tier"] = "card"
    elif first["source"] in QUOTED:
        expected["tier"] = "leaderboard"
    if first["model"].endswith(", int8"):
        expected["numeric_format"] = "int8"
    elif "4 bit" in first["head"]:
        expected["numeric_format"] = "int4"
    workload = atlas.workloads()[row.workload]
    assert first["dataset"] in (row.workload, workload.dataset, *workload.aliases)
    assert first["notes"] in (row.notes or "")
    assert first["reference"] in (row.reference or "")
    trained = number(first["n_train"]) if first["n_train"].isdigit() else None
    if row.regime == "full":
        expected["n_train"] = trained or None
    if first["samples_per_label"].isdigit() and row.regime in ("few-shot", "in-context"):
        expected["samples_per_label"] = number(first["samples_per_label"])
    return differing(row, expected)


OWN = r"\bown (split|stratified split|70/10/20 split|20 % hold-out)|re-split|unknown size"
FAMILIES = {
    "bow": "bag-of-words",
    "tfidf": "tf-idf",
    "finetuned-encoder": "fine-tuned-encoder",
    "finetuned-llm": "fine-tuned-llm",
}


def regime(first: dict[str, str]) -> str:
    """Regime of a published figure by its family and labelled texts."""
    named = {"lexicon": "lexicon", "few-shot-llm": "in-context"}
    if first["family"] in named:
        return named[first["family"]]
    if first["family"].startswith("zero-shot"):
        return "zero-shot"
    return "few-shot" if first["samples_per_label"] else "full"


def differing(row: Accuracy, expected: dict[str, Any]) -> dict[str, Any]:
    """Expected fields that a row or its candidate and workload have otherwise."""
    workload = atlas.workloads()[row.workload]
    assert {field.name for field in msgspec.structs.fields(row)} <= expected.keys() | NOT_COMPARED
    known = {
        "family": atlas.candidates()[row.candidate].family,
        "checkpoint": atlas.candidates()[row.candidate].checkpoint,
        "n_classes": workload.n_classes,
        "language": workload.language or "mul",
    }
    found = {}
    for name, value in expected.items():
        own = known[name] if name in known else getattr(row, name)
        same = own == pytest.approx(value, rel=1e-5) if isinstance(value, float) else own == value
        if not same:
            found[name] = (own, value)
    return found


def test_thirty_random_rows_equal_their_source_in_every_field(source: Path) -> None:
    """File and line of 30 random rows of each table: values, sizes, protocol, licence, names."""
    with gzip.open(source / "mteb_classification.csv.gz", "rt", encoding="utf-8") as file:
        mteb = list(csv.DictReader(file))
    text = (source / "published_accuracy.csv").read_text(encoding="utf-8")
    published = list(csv.DictReader(io.StringIO(text, newline="")))
    draw = random.Random(17)  # noqa: S311
    with (source / "mteb_tasks.csv").open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        pooled = {each["mteb_task"] for each in lines if each["test_split_is_train_pool"] == "yes"}
    rows = everything()
    picked = draw.sample([r for r in rows if r.source == "mteb"], 30)
    picked += draw.sample([r for r in rows if r.source != "mteb"], 30)
    faults = {}
    for row in picked:
        place = (row.reference or "").rpartition("; ")[2]
        name, _, line = place.removesuffix(", self-reported").partition(":")
        if name == "mteb_classification.csv.gz":
            there = mteb[int(line) - 2]
            found = mteb_faults(row, there, "self-reported" in place, pooled)
            assert there["source_path"] in (row.reference or "")
        else:
            found = published_faults(row, [published[int(each) - 2] for each in line.split(", ")])
        if found:
            faults[place] = found
    assert faults == {}


def test_heads_trained_on_test_texts_are_marked(source: Path) -> None:
    """Every row of a task whose test split is its training pool, and no other."""
    with (source / "mteb_tasks.csv").open(encoding="utf-8", newline="") as file:
        tasks_ = list(csv.DictReader(file))
    pooled = {row["mteb_task"] for row in tasks_ if row["test_split_is_train_pool"] == "yes"}
    assert len(pooled) == 11
    with gzip.open(source / "mteb_classification.csv.gz", "rt", encoding="utf-8") as file:
        lines = [row["mteb_task"] in pooled for row in csv.DictReader(file)]
    marked = [r for r in everything() if r.split == "train-pool"]
    places = {int((r.reference or "").rpartition(":")[2].split(",")[0]) for r in marked}
    assert places == {at for at, own in enumerate(lines, start=2) if own}
    assert all(r.contamination in ("possible", "yes") for r in marked)


def test_sizes_are_official_on_whole_official_splits_alone() -> None:
    """A blank size is filled from the split's, never on samples or splits of a source's own."""
    for row in everything():
        if row.n_test_basis == "official":
            assert row.split in ("test", "dev", "validation"), row
            assert "subset of the test split" not in (row.notes or "")
        if row.n_test_basis == "unknown":
            assert row.n_test is None
    own = [r for r in everything() if r.split == "own-holdout"]
    assert {"sms-spam", "sst2"} <= {r.workload for r in own}
    assert atlas.workloads()["sms-spam"].own_splits
    assert not atlas.workloads()["sst2"].own_splits


def test_profiles_count_what_a_text_passes_through() -> None:
    """Instructions are read, towers for images and sound are not; both are marked as assumed."""
    known = atlas.candidates()
    mistral = known["e5-mistral-7b-instruct-frozen-logistic"]
    assert mistral.prompt_tokens == 20
    assert "assumed" in (mistral.notes or "")
    vision, text = (
        known[f"{name}-qwen2-{size}-instruct-frozen-logistic"]
        for name, size in (("gme", "vl-7b"), ("gte", "7b"))
    )
    assert vision.flops_per_token == pytest.approx(text.flops_per_token, rel=0.01)
    assert "text tower" in (vision.notes or "")
    assert vision.n_parameters == pytest.approx(text.n_parameters, rel=0.02)
    assert "7.75 billion" in (vision.notes or "")  # what the checkpoint stores


NAMED_SIZE = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)[-_ ]?([bm])(?![a-z0-9])")
NAMED_OTHERWISE = {
    "gemma-2b": "2.5 billion with its token table",
    "gme-qwen2-vl-2b": "2.2 billion with its tower for images",
    "bidirlm-omni-2.5b": "2.4 billion with its towers for images and sound",
    "llama-4-": "names the parameters used for one token",
    "student-of-moderngbert": "names its teacher",
}
"""Parts of names that state another number than a candidate's size, and what they state."""


def test_sizes_are_those_that_names_state() -> None:
    """A model called 7b has 7 billion parameters, within a quarter."""
    checked = 0
    for candidate in reference_data.candidates().values():
        stated = NAMED_SIZE.search(f"{candidate.name} {candidate.checkpoint or ''}".lower())
        if stated is None or candidate.n_parameters is None:
            continue
        if any(part in candidate.name for part in NAMED_OTHERWISE):
            continue
        size = float(stated[1]) * {"b": 1e9, "m": 1e6}[stated[2]]
        assert candidate.n_parameters == pytest.approx(size, rel=0.25), candidate
        checked += 1
    assert checked > 80


def test_mixtures_of_experts_hold_all_experts_and_use_some() -> None:
    """Sizes of DeepSeek-V2-Lite and Nomic Embed v2 as their papers state them."""
    known = atlas.candidates()
    for name, total, used in (
        ("deepseek-v2-lite-in-context", 15.7e9, 2.4e9),
        ("nomic-embed-text-v2-moe-frozen-logistic", 4.75e8, 3.05e8),
    ):
        experts = known[name]
        assert experts.n_parameters == pytest.approx(total, rel=0.01)
        assert experts.n_active_parameters == pytest.approx(used, rel=0.01)
        table = experts.n_embedding_parameters or 0.0
        assert flops_per_token(experts) == pytest.approx(2 * (used - table), rel=0.01)


def test_two_checkpoints_are_two_candidates() -> None:
    """The MiniLM that sentence-transformers trained further is not the one it started from."""
    known = atlas.candidates()
    assert known["minilm-l6-h384-finetuned"].checkpoint == "nreimers/MiniLM-L6-H384-uncased"


def test_quantised_results_stand_beside_float_ones() -> None:
    """Every row of the pairs has its partner."""
    formats: dict[tuple[Any, ...], set[str]] = {}
    for row in atlas.quantised():
        key = (row.candidate, row.workload, row.source, row.split, row.regime)
        formats.setdefault(key, set()).add(row.numeric_format)
    assert formats
    assert all(found == {"float", "int8"} for found in formats.values())


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
