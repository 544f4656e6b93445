"""Workloads: every form loads, faults are told by file, column and what is allowed."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from calibration.workloads import hub
from calibration.workloads.errors import WorkloadError
from calibration.workloads.load import load, slug, workload_paths
from catalog.errors import UnknownNameError
from catalog.records import Workload
from catalog.registry.workloads import WORKLOADS

SHARED = Path(__file__).parents[2] / "shared" / "data" / "textcls"
SECRET = "a text nobody may quote"
ROWS = [(f"text {n}", str(n % 3), "train" if n % 4 else "test") for n in range(60)]


def write(folder: Path, rows: list[tuple[str, ...]], **meta: object) -> Path:
    """A workload folder."""
    folder.mkdir(parents=True)
    table = pd.DataFrame(rows, columns=["text", "label", "split"][: len(rows[0])] if rows else [])
    content = gzip.compress(table.to_csv(index=False).encode(), mtime=0)
    (folder / "data.csv.gz").write_bytes(content)
    meta.setdefault("sha256", hashlib.sha256(content).hexdigest())
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def test_any_folder_of_the_form_loads(tmp_path: Path) -> None:
    """A folder no registry knows gives texts, counts, task slug and language."""
    write(tmp_path / "mine", ROWS, task="offensive language", language="de")
    texts = load("mine", tmp_path, {})
    record = texts.workload
    assert (record.name, record.task, record.language) == ("mine", "offensive-language", "de")
    assert (record.n_train, record.n_test, record.n_classes) == (45, 15, 3)
    assert record.revision == texts.sha256
    assert texts.test[:2] == ["text 0", "text 4"]
    assert len(texts.train) == len(texts.train_labels) == 45


def test_nothing_is_read_as_missing(tmp_path: Path) -> None:
    """Words like "NA" and "null", and an empty text, are texts."""
    odd = [("NA", "a", "train"), ("null", "b", "train"), ("", "a", "train"), ("nan", "a", "test")]
    write(tmp_path / "odd", odd)
    texts = load("odd", tmp_path, {})
    assert (texts.train, texts.test) == (["NA", "null", ""], ["nan"])


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl", ".csv.gz"])
def test_a_teams_own_table_loads(tmp_path: Path, ending: str) -> None:
    """CSV, Parquet and JSONL without a split get a stratified, repeatable 80/20 one."""
    table = pd.DataFrame([(f"t{n}", n % 2) for n in range(100)], columns=["text", "label"])
    file = tmp_path / f"tickets{ending}"
    if ending == ".parquet":
        table.to_parquet(file)
    elif ending == ".jsonl":
        table.to_json(file, orient="records", lines=True)
    else:
        table.to_csv(file, index=False)
    texts = load("tickets", tmp_path, {})
    assert (texts.workload.name, texts.workload.task) == ("tickets", "tickets")
    assert Counter(texts.test_labels) == {"0": 10, "1": 10}
    assert "80" in (texts.workload.citation or "") or "20 %" in (texts.workload.citation or "")
    assert not set(texts.train) & set(texts.test)
    again = load(str(file), None, {})
    assert (again.test, again.workload) == (texts.test, texts.workload)


def test_the_own_split_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    """Shuffling the file moves no text between train and test."""
    table = pd.DataFrame([(f"t{n}", n % 2) for n in range(50)], columns=["text", "label"])
    table.to_csv(tmp_path / "a.csv", index=False)
    table.iloc[::-1].to_csv(tmp_path / "b.csv", index=False)
    first, second = (load(name, tmp_path, {}) for name in "ab")
    assert set(first.test) == set(second.test)


def test_a_meta_file_beside_a_table_names_its_task(tmp_path: Path) -> None:
    """``tickets.meta.json`` describes ``tickets.csv``."""
    pd.DataFrame(ROWS, columns=["text", "label", "split"]).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "t.meta.json").write_text('{"task": "Question Type", "language": "en"}')
    record = load("t", tmp_path, {}).workload
    assert (record.task, record.language, record.citation) == ("question-type", "en", None)


def test_the_synthetic_workload_is_the_same_every_time() -> None:
    """It agrees with its declaration and is written anew without change."""
    first, second = load("synthetic", None, {}), load("synthetic", None, {})
    assert first.train == second.train
    declared = next(w for w in WORKLOADS if w.name == "synthetic")
    own = first.workload
    for field in ("task", "n_classes", "n_train", "n_test", "revision"):
        assert getattr(own, field) == getattr(declared, field)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "holds no text"),
        ([("a", "x", "dev"), ("b", "y", "dev")], "column 'split' has no 'train'; it has dev"),
        ([("a", "x", "train"), ("b", "y", "train")], "column 'split' has no 'test'"),
        ([(SECRET, "x", "train"), ("b", "x", "test")], "one class only"),
        ([("a", "", "train"), ("b", "x", "train"), ("c", "x", "test")], "column 'label' is empty"),
    ],
)
def test_faults_name_file_and_column(
    tmp_path: Path, rows: list[tuple[str, ...]], words: str
) -> None:
    """Every fault says where it is, and quotes no text."""
    folder = write(tmp_path / "bad", rows)
    with pytest.raises(WorkloadError) as caught:
        load("bad", tmp_path, {})
    assert words in str(caught.value)
    assert str(folder / "data.csv.gz") in str(caught.value)
    assert SECRET not in str(caught.value)


def test_wrong_columns_list_those_there(tmp_path: Path) -> None:
    """A missing column is told with the columns the file has."""
    pd.DataFrame({"body": ["x"], "label": ["y"]}).to_csv(tmp_path / "w.csv", index=False)
    with pytest.raises(WorkloadError, match="'text' is missing; it has 'body', 'label'"):
        load("w", tmp_path, {})


def test_a_header_without_rows_holds_no_text(tmp_path: Path) -> None:
    """An empty table is told as such."""
    (tmp_path / "e.csv").write_text("text,label,split\n")
    with pytest.raises(WorkloadError, match="holds no text"):
        load("e", tmp_path, {})


def test_a_missing_cell_is_told_by_row(tmp_path: Path) -> None:
    """A null in a JSONL file is a fault, not the text "None"."""
    (tmp_path / "n.jsonl").write_text(
        '{"text": "a", "label": 1}\n{"text": null, "label": 2}\n', encoding="utf-8"
    )
    with pytest.raises(WorkloadError, match="column 'text' is empty in row 2"):
        load("n", tmp_path, {})


def test_an_unreadable_file_quotes_nothing(tmp_path: Path) -> None:
    """A parser's message may hold texts, so only its class is told."""
    (tmp_path / "u.csv").write_bytes(b'text,label\n"' + SECRET.encode() + b"\xff\xfe,1\n")
    with pytest.raises(WorkloadError) as caught:
        load("u", tmp_path, {})
    assert SECRET not in str(caught.value)


def test_changed_data_is_refused(tmp_path: Path) -> None:
    """A file whose sha256 is not the one in meta.json is not used."""
    write(tmp_path / "mine", ROWS, sha256="0" * 64)
    with pytest.raises(WorkloadError, match="sha256"):
        load("mine", tmp_path, {})


def test_other_data_under_a_known_name_gets_a_name_of_its_own(tmp_path: Path) -> None:
    """A hand-made "sst2" is never compared with the real one."""
    write(tmp_path / "sst2", ROWS, task="sentiment")
    known = {"sst2": Workload(name="sst2", task="sentiment", n_train=6920, n_test=1821)}
    texts = load("sst2", tmp_path, known)
    assert texts.workload.name == f"sst2-{texts.sha256[:8]}"
    fitting = {"sst2": Workload(name="sst2", task="sentiment", n_train=45, n_test=15)}
    assert load("sst2", tmp_path, fitting).workload is fitting["sst2"]
    renamed = {**known, texts.workload.name: texts.workload}
    assert load("sst2", tmp_path, renamed).workload is texts.workload


def test_a_file_that_changed_is_another_workload(tmp_path: Path) -> None:
    """Two states of one file with equal counts do not share a name."""
    write(tmp_path / "mine", ROWS)
    before = load("mine", tmp_path, {}).workload
    write(tmp_path / "new" / "mine", [(f"{t}!", y, s) for t, y, s in ROWS])
    after = load("mine", tmp_path / "new", {"mine": before}).workload
    assert after.name.startswith("mine-")


def test_unknown_names_list_the_nearest(tmp_path: Path) -> None:
    """A slip of the pen is answered with what was meant."""
    write(tmp_path / "tickets", ROWS)
    with pytest.raises(UnknownNameError) as caught:
        load("tickest", tmp_path, {})
    assert caught.value.nearest == ["tickets"]


def test_a_data_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A mistyped folder is no empty one."""
    with pytest.raises(WorkloadError, match="does not exist"):
        workload_paths(tmp_path / "nowhere")


def test_a_single_workload_can_be_the_data_folder(tmp_path: Path) -> None:
    """The folder itself, or one file, serves as well."""
    folder = write(tmp_path / "mine", ROWS)
    assert list(workload_paths(folder)) == ["mine"]
    assert list(workload_paths(tmp_path)) == ["mine"]


def test_hub_data_sets_are_read_at_a_pinned_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Splits come from the file names; a test split without labels gives way to validation."""
    asked = []

    def fetch(repo: str, revision: str) -> Path:
        asked.append((repo, revision))
        return tmp_path

    monkeypatch.setattr("calibration.workloads.load.dataset_folder", fetch)
    for split, labels in {"train": [0, 1, 0], "validation": [1, 0], "test": [-1, -1]}.items():
        table = pd.DataFrame({"sentence": [f"{split} {n}" for n in labels], "label": labels})
        table.to_parquet(tmp_path / f"{split}-00000-of-00001.parquet")
    texts = load("org/Set@abc123", None, {})
    assert asked == [("org/Set", "abc123")]
    assert texts.test == ["validation 1", "validation 0"]
    record = texts.workload
    assert (record.name, record.dataset, record.revision) == ("set", "org/Set", "abc123")


def test_without_a_pinned_revision_the_hub_is_not_asked() -> None:
    """The message says where to put the data, or how to name a commit."""
    with pytest.raises(WorkloadError, match=r"JOULEWISE_DATA.*org/set@<commit>"):
        load("org/set", None, {})


def test_an_unreachable_hub_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network is a fault with a way out."""
    monkeypatch.setattr(hub, "_download", lambda *_: "the hub cannot be read (ConnectError)")
    with pytest.raises(WorkloadError, match=r"ConnectError.*data\.csv\.gz.*JOULEWISE_DATA"):
        load("org/set@abc", None, {})


def test_tasks_are_slugs() -> None:
    """Words in a meta file become a name usable in a URL."""
    assert slug("Offensive  language") == "offensive-language"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
@pytest.mark.parametrize("declared", WORKLOADS[:-1], ids=lambda each: each.name)
def test_shared_data_agrees_with_the_registry(declared: Workload) -> None:
    """Counts and task of every declared workload are those of its folder."""
    texts = load(declared.name, SHARED, {})
    for field in ("name", "task", "language", "n_train", "n_test", "n_classes"):
        assert getattr(texts.workload, field) == getattr(declared, field), field
