"""Tests of predictions in the catalog: packed, stored, checked, exported and taken in again."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from catalog import snapshot
from catalog.errors import BadRunFileError, ConflictError
from catalog.files import prediction_file as predictionfile
from catalog.files.run_file import format_of
from catalog.files.validation import Known
from catalog.predictions import Predictions, hash_of_items, pack, unpack
from catalog.records import Candidate, Device, RunFile, Workload
from catalog.store import bulk, record_table
from catalog.store.database import Store

TRUTH, ANSWERED, SCORE = ["b", "a", "a", "b"], ["b", "b", "a", "b"], [0.9, 0.55, 1.0, 0.5]
KNOWN = Known(
    {"C": Device(name="C", kind="cpu")},
    {"w": Workload(name="w", task="t", revision="r1", n_classes=2, n_test=4)},
    {name: Candidate(name=name, family="other") for name in ("one", "two")},
)


def made(**values: Any) -> Predictions:
    """Answers of candidate `one` to four items."""
    cells: dict[str, Any] = {
        "run_id": "r",
        "source": "calibration",
        "workload": "w",
        "candidate": "one",
        "device": "C",
        "precision": "fp64",
        "workload_revision": "r1",
        "test_sha256": "ab" * 32,
        "measured_at": "2026-11-20T10:00:05+00:00",
        "content": pack(TRUTH, ANSWERED, SCORE),
    }
    return Predictions(**(cells | values))


def stored(*sets: Predictions) -> RunFile:
    """A run of predictions only."""
    return RunFile(measurements=(), predictions=sets)


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)


@given(items=st.lists(st.tuples(names, names, st.floats(0, 1, width=32)), min_size=1, max_size=30))
def test_answers_survive_packing(items: list[tuple[str, str, float]]) -> None:
    """Any class names and scores come back, and equal answers make equal bytes."""
    truth, answered, score = (list(column) for column in zip(*items, strict=True))
    content = pack(truth, answered, score)
    found = unpack(content)
    assert [found.classes[n] for n in found.truth] == truth
    assert [found.classes[n] for n in found.predicted] == answered
    assert found.score is not None
    assert found.score.tolist() == score
    assert found.accuracy == pytest.approx(np.mean(np.array(truth) == np.array(answered)))
    assert pack(truth, answered, score) == content


def test_answers_without_scores_stay_without() -> None:
    """A missing score is not made up."""
    assert unpack(pack(TRUTH, ANSWERED)).score is None


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ((TRUTH, ANSWERED[:3], SCORE), "one length"),
        ((TRUTH, ANSWERED, [0.1, 0.2, 0.3, 1.2]), "from 0 to 1"),
        ((TRUTH, ANSWERED, [0.1, 0.2, 0.3, float("nan")]), "from 0 to 1"),
        (([], [], []), "0 items"),
    ],
)
def test_what_cannot_be_packed_is_refused(columns: Any, said: str) -> None:
    """Lengths, range and emptiness."""
    with pytest.raises(ValueError, match=said):
        pack(*columns)


def test_bytes_of_something_else_are_refused() -> None:
    """Nothing is unpickled."""
    with pytest.raises(ValueError, match=r"unpacked|pickle"):
        unpack(b"PK\x03\x04 no archive")
    with pytest.raises(ValueError, match=r"unpacked|pickle"):
        unpack(b"\x80\x04\x95")


def test_they_are_compact() -> None:
    """Ten thousand items of 77 classes take less than eight bytes each."""
    rng = np.random.default_rng(0)
    truth = [f"class {n}" for n in rng.integers(0, 77, 10_000)]
    assert len(pack(truth, truth, rng.random(10_000).tolist())) < 80_000


def test_storing_twice_stores_once(store: Store) -> None:
    """The same set again changes nothing, neither rows nor the version; another run adds one."""
    assert store.add(stored(made())).predictions == 1
    version = store.version()
    assert store.add(stored(made())).predictions == 0
    assert store.version() == version
    assert store.add(stored(made(run_id="r2"))).predictions == 1
    assert [each.run_id for each in store.predictions()] == ["r", "r2"]
    assert store.predictions()[0] == made()


def test_more_sets_than_a_statement_takes_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are looked up in pieces: 60 sets where a statement takes 50 values."""
    monkeypatch.setattr(bulk, "CHUNK", 20)
    metadata = sa.MetaData()
    where = record_table.table("prediction", Predictions, metadata, needed=("split",))
    engine = sa.create_engine("sqlite://")
    metadata.create_all(engine)
    sets = [made(run_id=f"r{number}") for number in range(60)]
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        driver.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 50)
        hashes = Predictions.key, Predictions.digest
        assert len(record_table.insert(connection, where, sets, *hashes)) == 60
        assert (
            len(record_table.insert(connection, where, [*sets, made(run_id="new")], *hashes)) == 1
        )
        other = made(run_id="r59", content=pack(TRUTH, TRUTH, SCORE))
        with pytest.raises(ConflictError):
            record_table.insert(connection, where, [*sets[:59], other], *hashes)
    engine.dispose()


def test_the_same_run_cannot_say_two_things(store: Store) -> None:
    """A conflict stores nothing of the whole write."""
    store.add(stored(made()))
    other = made(content=pack(TRUTH, TRUTH, SCORE))
    with pytest.raises(ConflictError, match="new run_id"):
        store.add(stored(made(run_id="new"), other))
    assert len(store.predictions()) == 1


def test_the_digest_of_a_catalog_covers_them(store: Store) -> None:
    """An answer is pinned to its predictions; without any the digest is what it was."""
    before = snapshot.load(store).digest
    assert before == snapshot.load().digest
    store.add(stored(made()))
    now = snapshot.load(store)
    assert now.digest != before
    store.add(stored(made(run_id="r2", measured_at="2026-11-21T00:00:00+00:00")))
    newest = snapshot.load(store).predicted["w", "one"]
    assert [each.run_id for each in newest] == ["r2", "r"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files_go_out_and_in(tmp_path: Path, ending: str) -> None:
    """What is written is read as it was, scores and missing scores too."""
    silent = made(candidate="two", content=pack(TRUTH, TRUTH))
    sets = (made(), silent, made(run_id="r2"))
    file = tmp_path / f"answers.{ending}"
    file.write_bytes(predictionfile.write(sets, format_of(file.name)))
    assert predictionfile.read(file, KNOWN) == sets


def frame(**columns: Any) -> pd.DataFrame:
    """The table of one set with some columns changed."""
    return predictionfile.to_frame([made()]).assign(**columns)


@pytest.mark.parametrize(
    ("columns", "column", "said"),
    [
        ({"score": [0.1, 0.2, 0.3, 1.5]}, "score", "from 0 to 1"),
        ({"score": [0.1, 0.2, None, 0.4]}, "score", "in every row"),
        ({"item": [0, 1, 1, 2]}, "item", "each number once"),
        ({"item": [1, 2, 3, 4]}, "item", "0 to 3"),
        ({"predicted": ["a", "b", "c", "a"]}, "predicted", "the workload has 2"),
        ({"label": ["a", "b", "", "a"]}, "label", "empty"),
        ({"label": ["a", "b", "b", "a" * 300]}, "label", "longer than"),
        ({"workload_revision": "r0"}, "workload_revision", "the catalog has r1"),
        ({"test_sha256": "xyz"}, "test_sha256", "64 hex"),
        ({"test_sha256": ["ab" * 32] * 3 + ["cd" * 32]}, "test_sha256", "differs"),
        ({"candidate": "three"}, "candidate", "not in the catalog"),
        ({"measured_at": "yesterday evening"}, "measured_at", "ISO 8601"),
        ({"text": "a secret"}, "text", "unknown"),
    ],
)
def test_faults_are_named(columns: dict[str, Any], column: str, said: str) -> None:
    """Each with its column; nothing is taken in."""
    with pytest.raises(BadRunFileError, match=said) as caught:
        predictionfile.from_frame(frame(**columns), KNOWN, "answers")
    assert column in {problem.column for problem in caught.value.problems}


def test_a_set_must_have_every_item_of_the_test_set() -> None:
    """Three of four items are no test set."""
    with pytest.raises(BadRunFileError, match="3 items; the test set has 4"):
        predictionfile.from_frame(frame().iloc[:3], KNOWN, "answers")


def test_equal_test_sets_must_have_equal_truth() -> None:
    """Who claims the same hash must agree on the classes, also with what is stored."""
    other = made(candidate="two", content=pack(["a", "a", "a", "b"], ANSWERED, SCORE))
    with pytest.raises(BadRunFileError, match="same test_sha256"):
        predictionfile.from_frame(predictionfile.to_frame([made(), other]), KNOWN, "answers")
    with pytest.raises(BadRunFileError, match="same test_sha256"):
        predictionfile.from_frame(
            predictionfile.to_frame([other]), KNOWN, "answers", stored=[made()]
        )


def test_the_hash_of_items_depends_on_order_text_and_label() -> None:
    """It is no hash of a mere join, and of nothing but the items."""
    base = hash_of_items(["ab", "c"], ["x", "y"])
    others = [
        hash_of_items(["c", "ab"], ["y", "x"]),
        hash_of_items(["a", "bc"], ["x", "y"]),
        hash_of_items(["ab", "c"], ["x", "z"]),
        hash_of_items(["ab"], ["x"]),
    ]
    assert len({base, *others}) == 5
    assert base == hash_of_items(["ab", "c"], ["x", "y"])
    assert base != hashlib.sha256(b"abxcy").hexdigest()
