"""Tests of `notifications`: whoever waits learns soon that somebody else has written."""

from __future__ import annotations

import asyncio
import time

import pytest

from catalog.records import Measurement, RunFile
from catalog.store.database import Store
from catalog.store.notifications import LISTEN_S, POLL_S, Changes


def run(run_id: str) -> RunFile:
    """A run of one row."""
    row = Measurement(
        run_id=run_id, source="me", workload="sst2", candidate="bow", device="CPU", n_items=1.0
    )
    return RunFile(measurements=(row,))


async def seen(changes: Changes, store: Store, version: int) -> int:
    """Waits until the catalog's version is no longer this one; how many waits that took."""
    for waits in range(1, 100):
        await changes.wait()
        if store.version() != version:
            return waits
    raise AssertionError("the change was never seen")


def test_a_change_of_another_writer_ends_the_wait(store: Store) -> None:
    """Several followers of one catalog see each change of a writer with its own connections."""

    async def follow() -> None:
        writer = Store(store.engine.url.render_as_string(hide_password=False))
        followers = [Changes(store) for _ in range(3)]
        try:
            for number in range(3):
                before = store.version()
                waiting = [asyncio.create_task(seen(each, store, before)) for each in followers]
                await asyncio.sleep(0.05)
                await asyncio.to_thread(writer.add, run(f"r{number}"))
                assert all(waits < 50 for waits in await asyncio.gather(*waiting))
        finally:
            for each in followers:
                await each.close()
            writer.engine.dispose()

    assert max(POLL_S, LISTEN_S) <= 1
    asyncio.run(follow())


def test_a_server_tells_at_once_and_only_of_changes(postgres: str, url: str) -> None:
    """PostgreSQL ends the wait long before its limit; storing nothing new tells nobody."""
    if not url.startswith("postgresql"):
        pytest.skip("a file tells nobody; it is polled")
    store = Store(url)
    store.migrate()

    async def told(run_id: str) -> float:
        changes = Changes(store)
        await changes.wait()  # begins to listen
        begun = time.perf_counter()
        waiting = asyncio.create_task(changes.wait())
        await asyncio.to_thread(store.add, run(run_id))
        await waiting
        await changes.close()
        return time.perf_counter() - begun

    assert asyncio.run(told("a")) < LISTEN_S
    assert asyncio.run(told("a")) >= LISTEN_S * 0.9
    store.engine.dispose()


def test_a_server_that_is_down_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody to listen to is a plain wait and no error; the look that follows tells the trouble."""
    pytest.importorskip("psycopg")
    monkeypatch.setattr("catalog.store.notifications.LISTEN_S", 0.01)
    changes = Changes(Store("postgresql://nobody@127.0.0.1:1/none"))
    asyncio.run(changes.wait())
