"""One measurer per machine: a file lock that the kernel drops when its holder dies.

The file lies in the machine's own temporary folder, as a home directory may be shared by a
whole cluster.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK_NAME = "joulewise-measuring.lock"


class BusyError(RuntimeError):
    """Another calibration measures on this machine; two at once would spoil both."""


def _open_lock_file(path: Path) -> int:
    """The lock file, made if need be; another user's is opened for reading."""
    flags = getattr(os, "O_NOFOLLOW", 0)
    try:
        return os.open(path, os.O_RDWR | flags)
    except PermissionError:
        return os.open(path, os.O_RDONLY | flags)
    except FileNotFoundError:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o644)


def _write_pid(descriptor: int) -> None:
    """Writes this process's number into the file, where it may be written."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _describe_holder(descriptor: int) -> str:
    """Who holds the lock, as far as the file tells: another user's file cannot be signed."""
    said = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
    return f"process {said} holds" if said.isdecimal() else "it holds"


@contextmanager
def measurement_lock(path: Path | None = None) -> Iterator[None]:
    """Holds the machine's lock; does not wait for it.

    Args:
        path: The lock file; by default `NAME` in the temporary folder.

    Raises:
        BusyError: Somebody else holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no flock; there nothing guards the machine
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
