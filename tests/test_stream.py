"""Streams of commands and files: parts, restarts, failures, ends."""

from __future__ import annotations

import sys
from pathlib import Path

from calibration.meters.stream import CommandStream, FileStream, wait_until


def test_a_command_that_ends_runs_again() -> None:
    """Each run gives its parts, cut at the separator; an unfinished one is left out."""
    parts: list[bytes] = []
    code = "print('a;b;c', end='')"
    stream = CommandStream([sys.executable, "-c", code], b";", parts.append, again_s=0.01)
    stream.start()
    assert wait_until(lambda: len(parts) >= 4, 20)
    stream.stop()
    assert parts[:4] == [b"a;", b"b;", b"a;", b"b;"]
    assert stream.failure is None


def test_a_command_that_runs_for_ever_is_ended() -> None:
    """Stopping ends program and thread; more messages than a pipe holds do not block it."""
    parts: list[bytes] = []
    code = (
        "import sys, time\nsys.stderr.write('x' * 200_000)\n"
        "while True:\n print('a', flush=True)\n time.sleep(0.01)"
    )
    stream = CommandStream([sys.executable, "-c", code], b"\n", parts.append)
    stream.start()
    assert wait_until(lambda: len(parts) > 2, 20)
    process = stream._process
    stream.stop()
    assert process is not None
    assert process.poll() is not None
    assert stream.failure is None


def test_failures_say_why() -> None:
    """The last line of what the program says, with its code; or that there is none."""
    for command, why in (
        ([sys.executable, "-c", "import sys; sys.exit('no plug')"], "ended with code 1: no plug"),
        (["no-such-program"], "no-such-program cannot be run: No such file"),
    ):
        stream = CommandStream(command, b"\n", lambda _: None)
        stream.start()
        assert wait_until(lambda each=stream: each.failure is not None, 20)  # type: ignore[misc]
        stream.stop()
        assert why in (stream.failure or "")


def test_a_file_is_followed_from_near_its_end(tmp_path: Path) -> None:
    """The tail in whole lines, then what is appended; a line without end is waited for."""
    path, lines = tmp_path / "log", []
    path.write_text("".join(f"line {n:05}\n" for n in range(2000)))
    stream = FileStream(path, lines.append, every_s=0.01)
    stream.start()
    assert wait_until(lambda: b"line 01999" in lines, 5)
    assert 100 < len(lines) < 1000
    assert all(len(line) == 10 for line in lines)
    with path.open("a") as file:
        file.write("line 0")
        file.flush()
        file.write("2000\n")
    assert wait_until(lambda: lines[-1] == b"line 02000", 5)
    stream.stop()


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """The path and the system's reason."""
    stream = FileStream(tmp_path / "none", lambda _: None)
    stream.start()
    assert wait_until(lambda: stream.failure is not None, 5)
    assert "none cannot be read: No such file" in (stream.failure or "")
