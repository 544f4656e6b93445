"""Atomic file writing: content in, a file that is complete or not there at all out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Where to write what becomes `path` once all of it is there.

    What is no file, such as a pipe, is written to as it is.

    Raises:
        OSError: The folder is not there or cannot be written to.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()
    part = path.with_name(f".part-{os.getpid()}{''.join(path.suffixes[-2:])}")
    try:
        yield part
        if path.exists():
            part.chmod(path.stat().st_mode & 0o7777)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
