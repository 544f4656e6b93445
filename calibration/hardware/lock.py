"""Measurement lock: at most one calibration per machine, by a file lock.

The kernel releases the lock when its holder exits. The file is in the machine's temporary folder,
as a home directory may be shared by a whole cluster.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK_NAME = "joulewise-measuring.lock"


class BusyError(RuntimeError):
    """Another calibration is measuring on this machine; two at once would distort both."""


def _open_lock_file(path: Path) -> int:
    """Opens the lock file, creating it if missing; another user's file is opened read-only."""
    flags = getattr(os, "O_NOFOLLOW", 0)
    try:
        return os.open(path, os.O_RDWR | flags)
    except PermissionError:
        return os.open(path, os.O_RDONLY | flags)
    except FileNotFoundError:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o644)


def _write_pid(descriptor: int) -> None:
    """Writes this process's id into the file if it is writable."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _describe_holder(descriptor: int) -> str:
    """Holder of the lock for a message; unknown if the file belongs to another user."""
    pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
    return f"process {pid} holds" if pid.isdecimal() else "it holds"


@contextmanager
def measurement_lock(path: Path | None = None) -> Iterator[None]:
    """Holds the machine's lock for the duration of the context; does not wait for it.

    Args:
        path: The lock file; by default `LOCK_NAME` in the temporary folder.

    Raises:
        BusyError: Another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no flock, so there is no lock
        yield
        return
    path = path or Path(tempfile.gettempdir()) / LOCK_NAME
    descriptor = _open_lock_file(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _describe_holder(descriptor)
        os.close(descriptor)
        raise BusyError(
            f"another calibration is measuring on this machine ({holder} {path}); wait for it, "
            "as two at once would spoil each other's figures"
        ) from None
    _write_pid(descriptor)
    try:
        yield
    finally:
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
        os.close(descriptor)
