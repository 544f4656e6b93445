"""Tests of `calibration.fleet.dispatch` without a cluster; what needs one is in `test_fleet`."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from calibration.fleet import dispatch
from calibration.fleet.account import Account
from calibration.fleet.dispatch import Dispatch
from calibration.fleet.passes import Node, Patience


class Stuck:
    """A scheduler's client whose restarts take until `go` is set."""

    status = "running"

    def __init__(self) -> None:
        self.go, self.restarting = threading.Event(), threading.Event()
        self.thread: threading.Thread | None = None

    def cancel(self, _: Any) -> None:
        """Forgets futures."""

    def restart_workers(self, *_: Any, **__: Any) -> None:
        """Hangs."""
        self.thread = threading.current_thread()
        self.restarting.set()
        self.go.wait(60)


def test_a_restart_that_hangs_does_not_keep_the_command_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker past its deadline is restarted beside the loop, in a thread nobody waits for."""
    monkeypatch.setattr(dispatch, "encode", lambda _: b"")
    client = Stuck()
    account = cast("Account", SimpleNamespace(asked=None, passes=()))
    made = Dispatch(
        client, account, measuring=True, machines=1, per_hardware=1, patience=Patience()
    )
    node = Node("n", "n", "h")
    job = dispatch._Job("survey", "tcp://worker", deadline_s=0.0, node=node)
    made._jobs.append(job)
    made._look_at_clock()
    try:
        assert client.restarting.wait(60)
        assert client.thread is not None
        assert client.thread.daemon
        assert node.measures
    finally:
        client.go.set()
        if client.thread is not None:
            client.thread.join(60)
    made._read()
    assert not node.measures
