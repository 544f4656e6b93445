"""State of the service: the latest catalog snapshot, the estimator, and their reloading.

A reload would let memory grow: glibc gives threads arenas of their own, up to eight for each core,
and keeps freed memory inside them, while each catalog is read by another thread than the one
before. `limit_arenas` and `MemoryTrimmer` prevent that; with another C library they leave it alone.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import hashlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

import msgspec

from advisor.estimator import estimator
from advisor.estimator.estimator import Estimator
from advisor.recommend.advisor import Advisor
from api.service.metrics import ServedCatalog
from api.service.settings import Settings
from catalog import snapshot
from catalog.errors import CatalogUnreadableError
from catalog.snapshot import Snapshot
from catalog.store.database import Store
from catalog.store.notifications import Changes

Housekeeping = Callable[[], Awaitable[None]]
ARENAS = 2
"""Arenas shared by all threads: one for the event loop, one for all others."""
FULL_COLLECTION_S = 60.0
"""Seconds between garbage collections of all objects, which take a tenth of a second."""
_M_ARENA_MAX = -8
"""`M_ARENA_MAX` of glibc's <malloc.h>."""
_log = logging.getLogger("joulewise")


@functools.cache
def code_version() -> str:
    """The installed version; ``0`` in a plain checkout."""
    try:
        return version("joulewise")
    except PackageNotFoundError:
        return "0"


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    """The C library of this process if it is glibc."""
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "gnu_get_libc_version") else None
    except (OSError, TypeError):  # as on Windows
        return None


def limit_arenas() -> None:
    """Limits glibc to `ARENAS` arenas, unless ``MALLOC_ARENA_MAX`` sets a number."""
    library = _glibc()
    if library and "MALLOC_ARENA_MAX" not in os.environ:
        library.mallopt(_M_ARENA_MAX, ARENAS)


class MemoryTrimmer:
    """Frees the memory of a replaced catalog and returns it to the system."""

    def __init__(self) -> None:
        self._last_full_s = -FULL_COLLECTION_S

    def __call__(self) -> None:
        """Collects garbage, then trims the heap.

        Objects that survive are frozen, so that later collections look at newer ones alone; every
        `FULL_COLLECTION_S` all are looked at, as pages leave cycles that hold their catalog.
        """
        if time.monotonic() - self._last_full_s >= FULL_COLLECTION_S:
            gc.unfreeze()
            self._last_full_s = time.monotonic()
        gc.collect()
        gc.freeze()
        if library := _glibc():
            library.malloc_trim(0)


class LoadedCatalog(msgspec.Struct, frozen=True):
    """A snapshot with its estimator and advisor.

    Attributes:
        etag: Entity tag of every answer from these by this code; weak, as answers may be
            compressed in transit.
        loaded_at: Seconds since 1970.
    """

    snapshot: Snapshot
    estimator: Estimator
    advisor: Advisor
    etag: bytes
    loaded_at: float

    @classmethod
    def of(
        cls, snapshot: Snapshot, estimator: Estimator, device: str | None = None
    ) -> LoadedCatalog:
        """Builds the advisor and entity tag of a snapshot and an estimator.

        Args:
            snapshot: The catalog.
            estimator: Informed of it.
            device: The machine that is priced where a question names none.
        """
        parts = (snapshot.digest, estimator.version, code_version(), device or "")
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
        advisor = Advisor(snapshot, estimator, device)
        return cls(snapshot, estimator, advisor, f'W/"{digest}"'.encode(), time.time())


class ServiceState:
    """Holds the loaded catalog and replaces it when its database has changed.

    Readers never wait for a reload, and an unreadable catalog leaves the last good one in service.

    Attributes:
        store: The catalog's database.
        last_error: Why the latest refresh failed; ``None`` if it did not.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.catalog)
        self.last_error: str | None = None
        self._trim_memory = MemoryTrimmer()
        self._changes = Changes(self.store)
        self._loaded: LoadedCatalog | None = None
        self._lock = threading.Lock()

    @property
    def now(self) -> LoadedCatalog:
        """The loaded catalog in service.

        Raises:
            CatalogUnreadableError: No catalog has been read yet.
        """
        if self._loaded is None:
            raise CatalogUnreadableError(self.last_error or "the catalog is being read")
        return self._loaded

    def etag(self) -> bytes:
        """The current entity tag; empty before a catalog is loaded."""
        return self._loaded.etag if self._loaded else b""

    def served_catalog(self) -> ServedCatalog | None:
        """Figures of the loaded catalog for the metrics; ``None`` before one is loaded."""
        if self._loaded is None:
            return None
        loaded = self._loaded.snapshot
        current = len(loaded.current)
        rows = {"current": current, "superseded": len(loaded) - current}
        version = self._loaded.estimator.version
        return ServedCatalog(loaded.digest, version, rows, self._loaded.loaded_at)

    def readiness(self) -> dict[str, str]:
        """Status, catalog digest and estimator version in service.

        Raises:
            CatalogUnreadableError: Nothing is loaded, or the latest refresh failed.
        """
        loaded = self.now
        if self.last_error:
            raise CatalogUnreadableError(self.last_error)
        return {
            "status": "ready",
            "catalog_digest": loaded.snapshot.digest,
            "estimator_version": loaded.estimator.version,
        }

    def refresh(self) -> None:
        """Reads the catalog again if its version changed; blocks meanwhile.

        Raises:
            CatalogUnreadableError: The catalog cannot be read; the loaded one stays.
            StaleEstimatorError: There is no estimator, or it fits another version.
        """
        with self._lock:  # an older read must not replace a newer one
            try:
                self._reload()
            except Exception as error:
                self.last_error = str(error)
                raise
            self.last_error = None

    def _reload(self) -> None:
        """Loads catalog and estimator where missing, or the catalog where outdated."""
        if self._loaded is None:
            self.store.migrate()
            fitted, before = estimator.load(self.settings.estimator), None
        elif self.store.version() != self._loaded.snapshot.version:
            fitted, before = self._loaded.estimator, self._loaded.snapshot
        else:
            return
        now = snapshot.load(self.store, before)
        self._loaded = LoadedCatalog.of(now, fitted.informed(now), self.settings.device)
        del before  # frees the replaced catalog
        self._trim_memory()

    async def _try_refresh(self) -> None:
        """Refreshes in a thread; of errors in a row the first one is logged."""
        before = self.last_error
        try:
            await asyncio.to_thread(self.refresh)
        except Exception as error:  # watching goes on; readiness reports it
            if before is None:
                _log.error("%s", error)

    async def _follow(self, housekeeping: Housekeeping) -> None:
        """Refreshes after each change, for ever."""
        while True:
            await self._changes.wait()
            await self._try_refresh()
            await housekeeping()

    def _close(self) -> None:
        """Closes connections to the catalog, after a refresh that may be running."""
        with self._lock:
            self.store.engine.dispose()

    @asynccontextmanager
    async def follow(self, housekeeping: Housekeeping) -> AsyncIterator[None]:
        """Loads on entry and follows the catalog until exit.

        Args:
            housekeeping: Awaited after each refresh.
        """
        await self._try_refresh()
        watcher = asyncio.create_task(self._follow(housekeeping))
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            await self._changes.close()
            await asyncio.to_thread(self._close)
