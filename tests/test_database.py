"""Tests of `catalog.store.database` on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import msgspec
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import CatalogUnreadableError, ConflictError
from catalog.records import Candidate, Device, Measurement, RunFile, SetupKey, Workload
from catalog.store import bulk
from catalog.store.database import HEAD, Store
from catalog.store.hashes import digest_of, key_of, setup_of
from catalog.store.tables import catalog_version, metadata

ROOT = Path(__file__).resolve().parents[1]


def row(run_id: str = "r", **values: Any) -> Measurement:
    """A measurement."""
    cells = {
        "run_id": run_id,
        "source": "me",
        "workload": "sst2",
        "candidate": "bow-logistic",
        "device": "NVIDIA A30",
        "n_items": 10.0,
        "gpu_j": 5.0,
        "gpu_label": "measured",
    }
    return Measurement(**(cells | values))


def run(*rows: Measurement, **records: Any) -> RunFile:
    """Rows as one unit of writing."""
    return RunFile(measurements=rows, **records)


def test_migrations_make_the_tables_of_the_metadata(store: Store) -> None:
    """Alembic finds no difference between what the migrations built and what the code says."""
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == HEAD


def test_head_is_the_newest_script() -> None:
    """The constant the start-up compares with is the head of the migration scripts."""
    scripts = ScriptDirectory(str(ROOT / "catalog" / "store" / "migrations"))
    assert scripts.get_heads() == [HEAD]


def test_migrating_twice_changes_nothing(store: Store) -> None:
    """A database that is up to date is left as it is."""
    store.add(run(row()))
    store.migrate()
    assert store.measurements() == [row()]
    assert store.revision() == HEAD


def downgraded(store: Store, revision: str) -> None:
    """Takes a database back to an older migration."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(ROOT / "catalog" / "store" / "migrations"))
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, revision)


def test_a_catalog_without_request_rates_is_read_and_brought_up_to_date(store: Store) -> None:
    """Its rows are there before and after the migration, and are not stored twice."""
    store.add(run(row()))
    downgraded(store, "0001")
    assert store.measurements() == [row()]
    assert store.revision() == "0001"
    store.migrate()
    assert store.revision() == HEAD
    assert store.add(run(row())).present == 1
    fast = row("r2", scenario="server", rate_per_s=5.0)
    assert store.add(run(fast)).inserted == 1
    assert store.measurements() == [row(), fast]


def test_a_catalog_without_backends_is_read_and_brought_up_to_date(store: Store) -> None:
    """Its rows have none before and after the migration, and are superseded by eager ones."""
    store.add(run(row()))
    downgraded(store, "0003")
    assert store.measurements() == [row()]
    store.migrate()
    assert store.add(run(row())).present == 1
    eager, exported = row("r2", backend="torch"), row("r3", backend="onnxruntime")
    assert store.add(run(eager, exported)).inserted == 2
    assert store.measurements() == [row(), eager, exported]
    assert setup_of(eager) == setup_of(row()) != setup_of(exported)
    assert SetupKey.of(eager) == SetupKey.of(row()) != SetupKey.of(exported)


def test_a_catalog_without_ranks_is_read_and_brought_up_to_date(store: Store) -> None:
    """Newest rows and the sum of digests are the same before and after, doubts and zones too."""
    rows = [
        row(f"r{setup}-{n}", source=source, batch_size=float(setup), measured_at=at, flags=flags)
        for setup, source in enumerate(("me", "calibration"), start=1)
        for n, (at, flags) in enumerate(
            (
                (None, ()),
                ("2026-01-02T00:30:00+02:00", ("unstable", "x")),
                ("2026-01-01T23:00:00Z", ("unstabler",)),
                ("2026-01-01", ()),
                ("2027-01-01", ("y", "throttled")),
            )
        )
    ]
    store.add(run(*rows))
    new = store.newest()
    assert [each.run_id for each in new.rows] == ["r1-4", "r2-2"]
    downgraded(store, "0005")
    assert store.newest() == new
    store.migrate()
    assert store.newest() == new
    store.add(run(row("later", batch_size=2.0, source="calibration", measured_at="2028-01-01")))
    assert [each.run_id for each in store.newest(new).rows] == ["r1-4", "later"]
    assert store.newest(new) == store.newest()


def test_a_downgrade_loses_no_row_of_another_backend(store: Store) -> None:
    """It is refused while rows are there whose keys hold one."""
    store.add(run(row(backend="onnxruntime")))
    with pytest.raises(RuntimeError, match="1 rows"):
        downgraded(store, "0003")
    assert store.measurements() == [row(backend="onnxruntime")]


def test_hashes_of_rows_without_a_rate_never_change() -> None:
    """They are those of the first migration; another rate is another setup."""
    assert key_of(row()).startswith("7643267f016146afc11a")
    assert setup_of(row()).startswith("855725540c60fba371cf")
    assert digest_of(row()).startswith("01bd661748708ab02ae5")
    rates = [row(scenario="server", rate_per_s=rate) for rate in (None, 5, 5.0, 6.0)]
    assert len({setup_of(each) for each in rates}) == 3


def test_a_device_can_be_described_anew(store: Store) -> None:
    """The record is replaced (or made) and the catalog's version grows, so that readers see it."""
    before = store.version()
    for watts in (None, 40.0, 50.0):
        store.replace_device(Device(name="VM", kind="cpu", tdp_w=watts))
        assert store.declarations()["device"]["VM"].tdp_w == watts
    assert store.version() == before + 3


def test_a_catalog_that_is_not_there_is_empty_and_stays_absent(url: str) -> None:
    """Reading never creates a catalog."""
    absent = Store(url)
    assert not absent.is_there()
    assert absent.version() == 0
    assert absent.measurements() == []
    assert absent.declarations() == {"device": {}, "workload": {}, "candidate": {}}
    assert absent.file is None or not absent.file.exists()
    absent.engine.dispose()


def test_rows_and_records_come_back_as_they_went_in(store: Store) -> None:
    """Every field survives the database, missing ones as missing."""
    full = row(
        "full",
        host="h",
        n_devices=8,
        batch_size=32.0,
        cv=0.01,
        accuracy=0.9,
        n_test=1821,
        flags=("llm", "unstable"),
        n_parameters=7e10,
        notes="Grüße 😀\nzwei",
        measured_at="2026-01-01",
    )
    device = Device(name="D", kind="gpu", tdp_w=1.5, aliases=("d", "e"))
    workload, candidate = Workload(name="W", task="t"), Candidate(name="C", family="other")
    store.add(run(full, row(), devices=(device,), workloads=(workload,), candidates=(candidate,)))
    assert store.measurements() == [full, row()]
    assert store.declarations() == {
        "device": {"D": device},
        "workload": {"W": workload},
        "candidate": {"C": candidate},
    }


def test_adding_again_stores_nothing_and_keeps_the_version(store: Store) -> None:
    """The version grows with a change and only then."""
    assert store.version() == 0
    first = store.add(run(row("a"), row("b")))
    assert (first.inserted, first.present, store.version()) == (2, 0, 1)
    again = store.add(run(row("a"), row("b")))
    assert (again.inserted, again.present, store.version()) == (0, 2, 1)
    more = store.add(run(row("b"), row("c")))
    assert (more.inserted, more.present, store.version()) == (1, 1, 2)
    store.add(run(row("a"), devices=(Device(name="D", kind="cpu"),)))
    assert store.version() == 3


def test_a_row_twice_in_one_run_is_stored_once(store: Store) -> None:
    """Identical rows count once; two contents for one key are a conflict."""
    added = store.add(run(row("a"), row("a")))
    assert (added.inserted, added.present) == (1, 1)
    with pytest.raises(ConflictError, match="'b'"):
        store.add(run(row("b"), row("b", gpu_j=6.0)))
    assert store.measurements() == [row("a")]


def test_a_conflict_stores_nothing_of_the_run(store: Store) -> None:
    """One conflicting row at the end of a long run keeps the whole run out."""
    store.add(run(row("old")))
    rows = [row(f"new-{i}") for i in range(1200)]
    with pytest.raises(ConflictError, match="'old'"):
        store.add(run(*rows, row("old", gpu_j=6.0), devices=(Device(name="D", kind="cpu"),)))
    assert store.measurements() == [row("old")]
    assert store.declarations()["device"] == {}
    assert store.version() == 1


def test_a_file_that_contradicts_itself_is_told_as_that(store: Store) -> None:
    """Two rows of one run and setup: nothing is there already, and nothing is stored."""
    with pytest.raises(ConflictError, match="of the file itself"):
        store.add(run(row("twice"), row("twice", gpu_j=6.0)))
    assert store.measurements() == []


def test_a_name_keeps_its_description(store: Store) -> None:
    """A second description of a device is a conflict and brings no rows in."""
    store.add(run(row("a"), devices=(Device(name="D", kind="gpu", tdp_w=100.0),)))
    with pytest.raises(ConflictError, match="'D'"):
        store.add(run(row("b"), devices=(Device(name="D", kind="gpu", tdp_w=200.0),)))
    assert store.measurements() == [row("a")]


WRITER = """
import sys
from catalog.records import Measurement, RunFile
from catalog.store.database import Store
url, name, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = Store(url)
store.migrate()
print("ready", flush=True)
for number in range(runs):
    store.add(RunFile(measurements=tuple(
        Measurement(run_id=f"{name}-{number}", source="me", workload="sst2",
                    candidate="bow-logistic", device="NVIDIA A30", repeat_group=str(part),
                    n_items=10.0)
        for part in range(50)
    )))
store.engine.dispose()
"""


def writer(url: str, name: str, runs: int) -> subprocess.Popen[str]:
    """A process that migrates and adds runs of 50 rows."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", WRITER, url, name, str(runs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ,
    )


def test_processes_may_start_on_one_empty_database_at_once(url: str) -> None:
    """Three processes migrate and write together; every run of each is there once."""
    workers = [writer(url, name, 4) for name in ("a", "b", "c")]
    outcomes = [(worker.communicate(timeout=120)[1], worker.returncode) for worker in workers]
    assert outcomes == [("", 0)] * 3
    reader = Store(url)
    rows = reader.measurements()
    assert len(rows) == len({key_of(r) for r in rows}) == 3 * 4 * 50
    assert reader.version() == 12
    reader.engine.dispose()


def test_a_killed_writer_leaves_whole_runs(url: str) -> None:
    """After kill -9 the catalog opens, and every run in it is complete."""
    worker = writer(url, "k", 100_000)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    reader = Store(url)
    deadline = time.monotonic() + 60
    while reader.version() < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    worker.send_signal(signal.SIGKILL)
    worker.communicate(timeout=30)
    sizes: dict[str, int] = {}
    for found in reader.measurements():
        sizes[found.run_id] = sizes.get(found.run_id, 0) + 1
    assert len(sizes) >= 3
    assert set(sizes.values()) == {50}
    assert reader.add(run(row())).inserted == 1
    reader.engine.dispose()


def test_reading_goes_on_while_somebody_writes(store: Store) -> None:
    """A reader sees the last complete state and does not wait for an open transaction."""
    store.add(run(row("a")))
    with store.engine.begin() as writing, ThreadPoolExecutor(1) as pool:
        writing.execute(catalog_version.update().values(version=99))
        seen = pool.submit(lambda: (store.version(), len(store.measurements())))
        assert seen.result(timeout=10) == (1, 1)


def test_sqlite_really_is_in_wal_mode(tmp_path: Path) -> None:
    """Write-ahead logging is what lets readers and a writer share the file."""
    opened = Store(f"sqlite:///{tmp_path / 'deep' / 'er' / 'c.sqlite'}")
    opened.migrate()
    with opened.engine.connect() as connection:
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(sa.text("PRAGMA synchronous")) == 2
    assert opened.file == tmp_path / "deep" / "er" / "c.sqlite"
    opened.engine.dispose()


def damaged(path: Path, kind: str) -> Path:
    """A SQLite file with one sort of damage."""
    made = Store(f"sqlite:///{path}")
    made.migrate()
    made.add(run(*(row(f"r{i}") for i in range(300))))
    made.engine.dispose()
    content = path.read_bytes()
    path.write_bytes(b"garbage!" * 512 if kind == "garbage" else content[: len(content) // 2])
    return path


@pytest.mark.parametrize("kind", ["garbage", "cut in half"])
def test_a_corrupt_file_is_told_with_a_remedy(tmp_path: Path, kind: str) -> None:
    """A damaged database names the file and what to do, for reading as for writing."""
    broken = Store(f"sqlite:///{damaged(tmp_path / 'c.sqlite', kind)}")
    for use in (broken.measurements, lambda: broken.add(run(row("new")))):
        with pytest.raises(CatalogUnreadableError, match=r"c\.sqlite.*restore it"):
            use()
    broken.engine.dispose()


@pytest.mark.parametrize(
    "url", ["nonsense", "", "foo://x/y", "postgresql://h:port/x", "postgres://u@h/x"]
)
def test_a_malformed_url_is_told_with_an_example(url: str) -> None:
    """A URL that names no database shows one that does."""
    if url == "":
        assert Store(url).url.startswith("sqlite:///")
        return
    with pytest.raises(CatalogUnreadableError, match=r"use e\.g\. sqlite:///"):
        Store(url)


def test_a_missing_driver_is_told_with_the_extra() -> None:
    """A server without its driver says what to install."""
    with pytest.raises(CatalogUnreadableError, match="driver pg8000 is missing"):
        Store("postgresql+pg8000://localhost/x")


def test_another_kind_of_database_is_refused_by_its_name() -> None:
    """What is not supported is told as that, not as a driver to install."""
    with pytest.raises(CatalogUnreadableError, match="mysql database; allowed: sqlite, postgresql"):
        Store("mysql://localhost/x")


def test_a_server_that_is_down_is_told_without_the_password() -> None:
    """The message names the server and keeps the secret."""
    pytest.importorskip("psycopg")
    down = Store("postgresql://user:hunter2@127.0.0.1:1/x")
    with pytest.raises(CatalogUnreadableError, match=r"127\.0\.0\.1") as caught:
        down.version()
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_told() -> None:
    """A database below a path that is no folder is no traceback."""
    with pytest.raises(CatalogUnreadableError, match="no folder for the catalog"):
        Store("sqlite:////dev/null/x/c.sqlite").migrate()


def test_a_catalog_of_a_newer_version_is_left_alone(store: Store) -> None:
    """A database that stands at an unknown migration is not touched; the text says to update."""
    with store.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CatalogUnreadableError, match="update joulewise"):
        store.migrate()
    assert store.revision() == "9999"


changes = st.sampled_from(
    [
        ("gpu_j", 6.0),
        ("notes", "x"),
        ("flags", ("llm",)),
        ("batch_size", 2.0),
        ("run_id", "other"),
        ("device", "CPU"),
        ("runtime_s", 0.5),
    ]
)


@settings(max_examples=20)
@given(change=changes)
def test_hashes_tell_content_key_and_setup_apart(change: tuple[str, Any]) -> None:
    """The digest moves with any field, the key with what identifies, the setup without the run."""
    before, after = row(), msgspec.structs.replace(row(), **dict([change]))
    identifies = change[0] in ("batch_size", "run_id", "device")
    assert digest_of(before) != digest_of(after)
    assert (key_of(before) != key_of(after)) == identifies
    assert (setup_of(before) != setup_of(after)) == (identifies and change[0] != "run_id")
    assert digest_of(row(n_items=10)) == digest_of(row(n_items=10.0))


def test_odd_values_survive_bulk_writing(store: Store) -> None:
    """Tabs, backslashes, quotes and NULL-like words pass the bulk path of each database."""
    notes = ["\\N", "\\", "a\tb\nc\r", "'\"", "NULL", "", " ", "Ω😀"]
    rows = [
        row(f"r{i}", notes=note, gpu_j=5e-324 + i, n_items=1e300) for i, note in enumerate(notes)
    ]
    assert store.add(run(*rows)).inserted == len(rows)
    assert store.measurements() == rows


def test_more_rows_than_one_piece_are_one_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are written and looked up in pieces; the run is still whole, and there once."""
    monkeypatch.setattr(bulk, "CHUNK", 7)
    rows = [row(f"r{i}") for i in range(40)]
    assert store.add(run(*rows[:20])).inserted == 20
    added = store.add(run(*rows))
    assert (added.inserted, added.present, store.version()) == (20, 20, 2)
    assert store.measurements() == rows
