"""Streams of a command's output or of a growing file: parts between separators in, in a thread.

A command that ends without an error is run again, so that one that prints a single value serves
as well as one that prints for ever.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

_TAIL_BYTES = 8192
"""Bytes at the end of a file that are read for the values before a window."""


class Stream(Protocol):
    """A source of parts of text.

    Attributes:
        failure: Why it ended or could not be read; ``None`` while all is well.
    """

    failure: str | None

    def start(self) -> None:
        """Begins to pass parts on."""

    def stop(self) -> None:
        """Ends it."""


class CommandStream:
    """Runs a command and passes on each part of its output.

    Args:
        command: Program and arguments; no shell.
        ends_with: Bytes at the end of a part.
        take: Called with each part, in the thread; must not raise.
        again_s: Seconds between two runs of a command that ends.
    """

    def __init__(
        self,
        command: Sequence[str],
        ends_with: bytes,
        take: Callable[[bytes], None],
        again_s: float = 0.5,
    ) -> None:
        self.failure: str | None = None
        self._command, self._ends_with, self._take = list(command), ends_with, take
        self._again_s, self._done = again_s, threading.Event()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the command."""
        self.stop()
        self.failure, self._done = None, threading.Event()
        self._thread = threading.Thread(target=self._run, name="joulewise-stream", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends command and thread.

        A command that runs as another user cannot be signalled; it ends when it next writes.
        """
        self._done.set()
        if self._process is not None:
            with contextlib.suppress(PermissionError):
                self._process.terminate()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
            self._thread = None

    def _run(self) -> None:
        """The thread: runs the command until it fails or the stream is stopped."""
        while not self._done.is_set() and self.failure is None:
            try:
                self._run_once()
            except OSError as error:
                self.failure = f"{self._command[0]} cannot be run: {error.strerror or error}"
            self._done.wait(self._again_s)

    def _run_once(self) -> None:
        """One run of the command."""
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(  # noqa: S603
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
            ) as process,
        ):
            self._process, left = process, b""
            while process.stdout and (read := process.stdout.read1(65536)):  # type: ignore[attr-defined]
                if self._done.is_set():
                    process.stdout.close()
                    break
                *parts, left = (left + read).split(self._ends_with)
                for part in parts:
                    self._take(part + self._ends_with)
            code = process.wait()
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
        if code and not self._done.is_set():
            last = said.splitlines()[-1] if said else "no message"
            self.failure = f"{self._command[0]} ended with code {code}: {last}"


class FileStream:
    """Passes on the last lines of a file and those that are appended to it.

    Args:
        path: The file.
        take: Called with each line, in the thread; must not raise.
        every_s: Seconds between two looks.
    """

    def __init__(self, path: Path, take: Callable[[bytes], None], every_s: float = 0.1) -> None:
        self.failure: str | None = None
        self._path, self._take, self._every_s = path, take, every_s
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins near the end of the file."""
        self.stop()
        self.failure, self._done = None, threading.Event()
        self._thread = threading.Thread(target=self._run, name="joulewise-stream", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it."""
        self._done.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
            self._thread = None

    def _run(self) -> None:
        """The thread: reads what is new until the stream is stopped."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(size - _TAIL_BYTES, 0))
                left = b"" if size <= _TAIL_BYTES else file.readline()[:0]
                while not self._done.is_set():
                    *lines, left = (left + file.read()).split(b"\n")
                    for line in lines:
                        self._take(line)
                    self._done.wait(self._every_s)
        except OSError as error:
            self.failure = f"{self._path} cannot be read: {error.strerror or error}"


def wait_until(holds: Callable[[], bool], seconds: float) -> bool:
    """Waits for a condition for at most `seconds`; whether it came to hold."""
    end = time.perf_counter() + seconds
    while not holds():
        if time.perf_counter() > end:
            return False
        time.sleep(0.01)
    return True
