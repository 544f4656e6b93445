"""What the service answers from: the newest snapshot of the catalog and the estimator."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

import msgspec

from advisor.estimator import estimator
from advisor.estimator.estimator import Estimator
from advisor.recommend.advisor import Advisor
from api.service import heap
from api.service.metrics import Serving
from api.service.settings import Settings
from catalog import snapshot
from catalog.errors import CatalogUnreadableError
from catalog.snapshot import Snapshot
from catalog.store.database import Store
from catalog.store.notifications import Changes

Chore = Callable[[], Awaitable[None]]
_log = logging.getLogger("joulewise")


@functools.cache
def code_version() -> str:
    """The installed version; a plain checkout has none."""
    try:
        return version("joulewise")
    except PackageNotFoundError:
        return "0"


class Loaded(msgspec.Struct, frozen=True):
    """A snapshot, the estimator that goes with it, and who answers from them.

    Attributes:
        tag: Entity tag of every answer made from these by this code; weak, as answers are
            compressed on the way.
        loaded_at: Seconds since 1970.
    """

    snapshot: Snapshot
    estimator: Estimator
    advisor: Advisor
    tag: bytes
    loaded_at: float

    @classmethod
    def of(cls, snapshot: Snapshot, estimator: Estimator) -> Loaded:
        """What is served from a snapshot and an estimator."""
        parts = (snapshot.digest, estimator.version, code_version())
        name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
        advisor = Advisor(snapshot, estimator)
        return cls(snapshot, estimator, advisor, f'W/"{name}"'.encode(), time.time())


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
        self._tidy = heap.Tidy()
        self._changes = Changes(self.store)
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

    def tag(self) -> bytes:
        """The entity tag of what is served at this moment; empty before anything is."""
        return self._loaded.tag if self._loaded else b""

    def serving(self) -> Serving | None:
        """What the metrics say about it."""
        if self._loaded is None:
            return None
        view = self._loaded.snapshot
        current = len(view.current)
        rows = {"current": current, "superseded": len(view) - current}
        version = self._loaded.estimator.version
        return Serving(view.digest, version, rows, self._loaded.loaded_at)

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
            fitted, before = estimator.load(self.settings.estimator), None
        elif self.store.version() != self._loaded.snapshot.version:
            fitted, before = self._loaded.estimator, self._loaded.snapshot
        else:
            return
        now = snapshot.load(self.store, before)
        self._loaded = Loaded.of(now, fitted.informed(now))
        del before  # what it held is free by now
        self._tidy()

    async def _look(self) -> None:
        """Refreshes off the event loop; trouble is logged once, when it begins."""
        before = self.trouble
        try:
            await asyncio.to_thread(self.refresh)
        except Exception as error:  # whatever it is, the watch goes on and readiness tells it
            if before is None:
                _log.error("%s", error)

    async def _watch(self, chore: Chore) -> None:
        """Looks again and again."""
        while True:
            await self._changes.wait()
            await self._look()
            await chore()

    def _close(self) -> None:
        """Ends the connections to the catalog, after a look that may be under way."""
        with self._lock:
            self.store.engine.dispose()

    @asynccontextmanager
    async def watched(self, chore: Chore) -> AsyncIterator[None]:
        """Loads on entry and follows the catalog until exit; does `chore` after each look."""
        await self._look()
        watcher = asyncio.create_task(self._watch(chore))
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            await self._changes.close()
            await asyncio.to_thread(self._close)
