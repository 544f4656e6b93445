"""Notifications of changes by other processes: PostgreSQL notifies, a SQLite file is polled.

Telling is a hint: whoever waits looks at `Store.version` afterwards, so one that gets lost costs
at most the time of one wait.
"""

from __future__ import annotations

import asyncio
from typing import Any

from catalog.store.database import CHANNEL, Store

POLL_S = 0.25
"""Seconds between looks at a SQLite file; one look takes about a millisecond."""
LISTEN_S = 1.0
"""Longest wait for a server that tells; as long as a change may go unseen if telling fails."""


class Changes:
    """Waits for changes of a store.

    Args:
        store: The catalog to follow.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listening: Any = None

    async def wait(self) -> None:
        """Returns when the catalog has changed, or may have: within a second in any case."""
        if self._store.engine.dialect.name != "postgresql":
            return await asyncio.sleep(POLL_S)
        try:
            await self._listen()
        except self._store.engine.dialect.loaded_dbapi.Error:  # down: the next look tells it
            await self.close()
            await asyncio.sleep(LISTEN_S)

    async def _listen(self) -> None:
        """Waits for the server's word, on a connection kept for it."""
        if self._listening is None:
            import psycopg

            engine = self._store.engine
            _, given = engine.dialect.create_connect_args(engine.url)
            self._listening = await psycopg.AsyncConnection.connect(**given, autocommit=True)
            await self._listening.execute(f"LISTEN {CHANNEL}")
            return  # what changed before it listened shows in the look that follows
        async for _ in self._listening.notifies(timeout=LISTEN_S, stop_after=1):
            pass

    async def close(self) -> None:
        """Ends the listening."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.close()
