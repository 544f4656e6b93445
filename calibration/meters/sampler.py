"""Background sampler: calls a function at a fixed interval while a window is open."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Sampler:
    """A daemon thread that calls a function periodically.

    Args:
        every_s: Seconds between two calls, and before the first.
        sample: The function; it must not raise.
    """

    def __init__(self, every_s: float, sample: Callable[[], None]) -> None:
        self._every_s, self._sample = every_s, sample
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread; one that is still running is stopped first."""
        self.stop()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="joulewise-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread and waits for a call in progress."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        """The thread's loop."""
        while not self._done.wait(self._every_s):
            self._sample()
