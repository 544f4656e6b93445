"""Keeps the memory of a service flat that replaces what it serves again and again.

glibc gives threads heaps of their own, up to eight for each core, and keeps what was freed inside
them. Each new catalog is read by another thread while the one before is still in service, so that
parts of old ones would stay in all heaps. Where the C library is another one, nothing is done.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import time

_M_ARENA_MAX = -8
"""`M_ARENA_MAX` of glibc's <malloc.h>."""
ARENAS = 2
"""Heaps that threads share: the one of the event loop and one for everybody else."""
COLLECT_EVERY_S = 60.0
"""Seconds between two collections that look at everything, which takes a tenth of a second."""


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    """The C library of this process where it is glibc."""
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "gnu_get_libc_version") else None
    except (OSError, TypeError):  # as on Windows
        return None


def share() -> None:
    """Lets threads share `ARENAS` heaps, unless the environment says how many."""
    library = _glibc()
    if library and "MALLOC_ARENA_MAX" not in os.environ:
        library.mallopt(_M_ARENA_MAX, ARENAS)


class Tidy:
    """Clears up after what was served has been replaced."""

    def __init__(self) -> None:
        self._collected = -COLLECT_EVERY_S

    def __call__(self) -> None:
        """Returns freed memory to the system.

        What is alive now will live long: it is set apart, so that a collection looks at what came
        since (pages leave cycles that hold the catalog they were made from) and seldom at all.
        """
        if time.monotonic() - self._collected >= COLLECT_EVERY_S:
            gc.unfreeze()
            self._collected = time.monotonic()
        gc.collect()
        gc.freeze()
        if library := _glibc():
            library.malloc_trim(0)
