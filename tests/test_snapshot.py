"""Tests of `catalog.snapshot`: one immutable value whose digest pins an answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catalog import snapshot
from catalog.errors import CatalogUnreadableError, UnknownNameError
from catalog.records import Device, Measurement, RunFile, Workload
from catalog.snapshot import Snapshot
from catalog.store.database import Store


def row(run_id: str, **values: Any) -> Measurement:
    """A measurement."""
    cells = {
        "source": "me",
        "workload": "sst2",
        "candidate": "bow-logistic",
        "device": "A",
        "n_items": 1.0,
    }
    return Measurement(run_id=run_id, **(cells | values))


def view(*rows: Measurement, devices: tuple[Device, ...] = ()) -> Snapshot:
    """A snapshot of these rows and devices."""
    return Snapshot(
        measurements=rows,
        devices={device.name: device for device in devices},
        workloads={"sst2": Workload(name="sst2", task="sentiment")},
        candidates={},
        digest="d",
    )


def stored(url: str, *runs: RunFile) -> Snapshot:
    """The snapshot of a store that was given some runs."""
    store = Store(url)
    store.migrate()
    for run in runs:
        store.add(run)
    found = snapshot.load(store)
    store.engine.dispose()
    return found


def test_the_digest_follows_content_and_not_order(new_url: Callable[[], str]) -> None:
    """The same rows in another order are the same catalog; one more row or record is another."""
    rows = [row(f"r{i}", device="NVIDIA A30") for i in range(5)]
    shuffled = [rows[i] for i in (3, 0, 4, 1, 2)]
    device = Device(name="Mine", kind="cpu")
    one = stored(new_url(), *(RunFile(measurements=(r,)) for r in rows))
    two = stored(new_url(), *(RunFile(measurements=(r,)) for r in shuffled))
    fewer = stored(new_url(), RunFile(measurements=tuple(rows[:4])))
    told = stored(new_url(), RunFile(measurements=tuple(rows), devices=(device,)))
    assert one.digest == two.digest
    digests = {one.digest, fewer.digest, told.digest, snapshot.load().digest}
    assert len(digests) == 4


def test_the_store_joins_the_bundled_figures(new_url: Callable[[], str]) -> None:
    """A user's rows stand beside the bundled ones, and a bundled device keeps its figures."""
    alone = snapshot.load()
    false = Device(name="NVIDIA A30", kind="cpu")
    both = stored(new_url(), RunFile(measurements=(row("x"),), devices=(false,)))
    assert [r for _, r in both.rows()] == [*alone.measurements, row("x")]
    assert both.devices["NVIDIA A30"] == alone.devices["NVIDIA A30"]
    assert (alone.version, both.version) == (0, 1)


def test_a_newer_row_supersedes_an_older_one_of_its_setup() -> None:
    """The newest counts whatever the order of import; the older stays in the history."""
    old, new = row("1", measured_at="2025-01-01"), row("2", measured_at="2026-01-01")
    other = row("3", measured_at="2024-01-01", batch_size=8.0)
    undated = row("4")
    for rows in ((old, new, other), (new, old, other), (new, undated, other)):
        assert set(view(*rows).current) == {new, other}
        assert view(*rows).measurements == rows
    assert view(old, row("5", measured_at="2025-01-01")).current[0].run_id == "5"


def test_a_device_is_found_by_name_and_by_its_own_alias() -> None:
    """Case does not matter; an alias of two devices is nobody's; a name goes before an alias."""
    one = Device(name="One", kind="gpu", aliases=("first", "shared"))
    two = Device(name="Two", kind="gpu", aliases=("second", "SHARED", "one"))
    found = view(devices=(one, two))
    assert found.device("ONE") == one
    assert found.device("Second") == two
    with pytest.raises(UnknownNameError) as caught:
        found.device("shared")
    assert caught.value.kind == "device"


def test_an_unknown_name_offers_the_nearest() -> None:
    """A typing error is answered with what was meant."""
    catalog = snapshot.load()
    with pytest.raises(UnknownNameError) as caught:
        catalog.device("NVIDIA A3O")
    assert "NVIDIA A30" in caught.value.nearest
    with pytest.raises(UnknownNameError) as caught:
        catalog.workload("sst-2")
    assert "sst2" in caught.value.nearest
    assert "did you mean" in str(caught.value)


def test_tasks_can_be_answered_and_start_with_their_default() -> None:
    """A task is listed when a workload of it is declared or judged; the default comes first."""
    catalog = snapshot.load()
    judged = {r.workload for r in catalog.current if r.accuracy is not None}
    tasks = catalog.tasks()
    assert tasks["sentiment"][0] == "sst2"
    assert "chat" not in tasks
    assert judged <= {name for names in tasks.values() for name in names}
    assert "sst2-padded-128" not in tasks["sentiment"]


def test_a_snapshot_cannot_be_changed() -> None:
    """Answers from one snapshot agree because nothing in it moves."""
    with pytest.raises(TypeError):
        snapshot.load().devices["X"] = Device(name="X", kind="cpu")  # type: ignore[index]


def test_a_later_snapshot_reads_what_was_added_and_is_the_same_as_a_whole_reading(
    tmp_path: Path,
) -> None:
    """Rows that were read stay the same objects; content and digest are as if read afresh."""
    store = Store(f"sqlite:///{tmp_path / 'catalog'}")
    store.migrate()
    empty = snapshot.load(store)
    rows = (row("r1", flags=("llm", "unstable")), row("r2", cv=0.1, batch_size=2.0))
    store.add(RunFile(measurements=rows))
    first = snapshot.load(store, empty)
    store.add(RunFile(measurements=(row("r3", n_items=2.0, batch_size=3.0),)))
    second, whole = snapshot.load(store, first), snapshot.load(store)
    assert [*second.rows()] == [*whole.rows()]
    assert second.digest == whole.digest != first.digest != empty.digest
    assert [kept is now for kept, now in zip(first.own.rows, second.own.rows, strict=False)] == [
        True,
        True,
    ]
    assert second.own.rows[0].flags == ("llm", "unstable")
    store.engine.dispose()


def test_a_database_put_in_place_of_another_is_read_whole(tmp_path: Path) -> None:
    """What was kept of one database is not mixed with the rows of another."""
    stores = [Store(f"sqlite:///{tmp_path / name}") for name in ("one", "two")]
    for store, run_id in zip(stores, ("r1", "other"), strict=True):
        store.migrate()
        store.add(RunFile(measurements=(row(run_id),)))
    before = snapshot.load(stores[0])
    found = snapshot.load(stores[1], before)
    assert [kept.run_id for kept in found.own.rows] == ["other"]
    before._store = stores[1]
    with pytest.raises(CatalogUnreadableError, match="took the place"):
        [*before.rows()]
    assert found.digest == snapshot.load(stores[1]).digest
    for store in stores:
        store.engine.dispose()


def test_superseded_rows_stay_in_the_database_and_are_found_when_asked_for(
    new_url: Callable[[], str],
) -> None:
    """Memory keeps the newest row of each setup, whole or in parts read; the rest is history."""
    store = Store(new_url())
    store.migrate()
    many = [
        row(f"r{n}", batch_size=float(n % 7), measured_at=f"2026-01-{1 + n * 11 % 28:02}")
        for n in range(60)
    ]
    parts: snapshot.Snapshot | None = None
    for at in range(0, 60, 20):
        store.add(RunFile(measurements=tuple(many[at : at + 20])))
        parts = snapshot.load(store, parts)
    assert parts is not None
    whole, kept = snapshot.load(store), view(*many)
    current = {r.run_id for r in kept.current}
    for found in (parts, whole):
        assert {r.run_id for r in found.own.rows} == current
        assert (found.own.count, len(found)) == (60, 60 + len(found.measurements))
        mine = [r for _, r in found.rows({"source": {"me"}})]
        assert mine == many
        newest = [r.run_id for _, r in found.rows({"source": {"me"}}, current=True)]
        older = [r.run_id for _, r in found.rows({"source": {"me"}}, current=False)]
        assert (set(newest), len(newest)) == (current, 7)
        assert (set(older), len(older)) == ({r.run_id for r in many} - current, 53)
        assert found.history([many[3]]) == [r for r in many if r.batch_size == 3.0]
        places = [place for place, _ in found.rows()]
        assert places == sorted(set(places))
        assert [*found.rows(start=places[-5])] == [*found.rows()][-5:]
    assert parts.digest == whole.digest
    store.add(RunFile(measurements=(row("later"),)))
    assert len([*whole.rows({"source": {"me"}})]) == 60, "a snapshot does not move"
    for current in (None, True):
        nowhere = whole.rows({"source": {"me"}, "host": {None, "x"}}, current=current)
        assert len([*nowhere]) == (7 if current else 60)
    store.engine.dispose()


def test_the_digest_is_that_of_what_the_rows_say(tmp_path: Path) -> None:
    """Hashes taken when rows were stored are those of the rows that are read."""
    from catalog.store.hashes import digest_of

    store = Store(f"sqlite:///{tmp_path / 'catalog'}")
    store.migrate()
    store.add(RunFile(measurements=tuple(row(f"r{n}", cv=n / 7) for n in range(30))))
    kept = store.newest()
    assert kept.total == sum(int(digest_of(r), 16) for r in store.measurements()) % 2**256
    assert (kept.count, len(kept.rows)) == (30, 1)
    store.engine.dispose()
