"""What the service answers from: the newest snapshot of the catalog and the estimator."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from advisor import estimator
from advisor.estimator import Estimator
from advisor.policy import Advisor
from api.settings import Settings
from catalog import snapshot
from catalog.errors import CatalogUnreadableError
from catalog.snapshot import Snapshot
from catalog.store import Store

POLL_S = 1.0
"""Seconds between looks at the catalog's version; what another process wrote shows this late."""
_log = logging.getLogger("joulewise")


class Loaded(msgspec.Struct, frozen=True):
    """A snapshot, the estimator that goes with it, and who answers from them."""

    snapshot: Snapshot
    estimator: Estimator
    advisor: Advisor

    @classmethod
    def of(cls, snapshot: Snapshot, estimator: Estimator) -> Loaded:
        """What is served from a snapshot and an estimator."""
        return cls(snapshot, estimator, Advisor(snapshot, estimator))


class Served:
    """Holds what is being served and replaces it when the catalog has changed.

    Reading never waits for a reload, and an unreadable catalog leaves the last good one in
    service.

    Attributes:
        store: The catalog's database.
        trouble: Why the last look at the catalog failed; ``None`` if it did not.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.catalog)
        self.trouble: str | None = None
        self._loaded: Loaded | None = None
        self._lock = threading.Lock()

    @property
    def now(self) -> Loaded:
        """What answers a question at this moment.

        Raises:
            CatalogUnreadableError: Nothing could be read yet.
        """
        if self._loaded is None:
            raise CatalogUnreadableError(self.trouble or "the catalog is being read")
        return self._loaded

    def readiness(self) -> dict[str, str]:
        """What is being served, in versions.

        Raises:
            CatalogUnreadableError: Nothing is loaded, or the last look at the catalog failed.
        """
        loaded = self.now
        if self.trouble:
            raise CatalogUnreadableError(self.trouble)
        return {
            "status": "ready",
            "catalog_digest": loaded.snapshot.digest,
            "estimator_version": loaded.estimator.version,
        }

    def refresh(self) -> None:
        """Reads the catalog again if its version changed; blocks while it does.

        Raises:
            CatalogUnreadableError: The catalog cannot be read; what was loaded stays.
            StaleEstimatorError: There is no estimator, or it fits another version.
        """
        with self._lock:  # an older reading must not replace a newer one
            try:
                self._reload()
            except Exception as error:
                self.trouble = str(error)
                raise
            self.trouble = None

    def _reload(self) -> None:
        """Reads what is not loaded or no longer current."""
        if self._loaded is None:
            self.store.migrate()
            fitted = estimator.load(self.settings.estimator)
            self._loaded = Loaded.of(snapshot.load(self.store), fitted)
        elif self.store.version() != self._loaded.snapshot.version:
            self._loaded = Loaded.of(snapshot.load(self.store), self._loaded.estimator)

    async def _look(self) -> None:
        """Refreshes off the event loop; trouble is logged once, when it begins."""
        before = self.trouble
        try:
            await asyncio.to_thread(self.refresh)
        except Exception as error:  # whatever it is, the watch goes on and readiness tells it
            if before is None:
                _log.error("%s", error)

    async def _watch(self) -> None:
        """Looks again and again."""
        while True:
            await asyncio.sleep(POLL_S)
            await self._look()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Loads on entry and follows the catalog until exit."""
        await self._look()
        watcher = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watcher.cancel()
