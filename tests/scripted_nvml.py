"""A scripted stand-in for pynvml: boards whose counters say what a test tells them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any


class Board:
    """One scripted GPU; `mj` and `watts` give one value a call, the last one for ever."""

    def __init__(
        self,
        uuid: str,
        mj: Sequence[int | None] = (1000, 301_000),
        watts: float | None = 100.0,
        *,
        mig: bool = False,
        name: str = "NVIDIA A30",
    ) -> None:
        # The meter looks once whether there is a counter before the first window.
        self.mj = list(mj[:1]) + list(mj)
        self.uuid, self.watts, self.mig, self.name = uuid, watts, mig, name
        self.reasons, self.pids, self.slices = 0, [os.getpid()], [f"MIG-{uuid}-0"]

    def take(self) -> int | None:
        """The next value of the counter."""
        return self.mj.pop(0) if len(self.mj) > 1 else self.mj[0]


class Library:
    """The part of pynvml the meter uses, on scripted boards."""

    class NVMLError(Exception):
        """What the library raises."""

    def __init__(self, *boards: Board) -> None:
        self.boards = boards

    def _given(self, value: Any) -> Any:
        """A value, or the error of one that is not supported."""
        if value is None:
            raise self.NVMLError("not supported")
        return value

    def nvmlInit(self) -> None:  # noqa: N802
        """Always works."""

    def nvmlShutdown(self) -> None:  # noqa: N802
        """Nothing to end."""

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        """A driver."""
        return "580.65.06"

    def nvmlDeviceGetMemoryInfo(self, board: Any) -> Any:  # noqa: ARG002, N802
        """24 GiB."""
        return SimpleNamespace(total=24 * 1024**3)

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        """Boards there are."""
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Board:  # noqa: N802
        """A board."""
        return self.boards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Any:  # noqa: N802
        """A slice."""
        found = [(b, s) for b in self.boards for s in b.slices if s == uuid]
        return self._given(SimpleNamespace(parent=found[0][0]) if found else None)

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: Any) -> Board:  # noqa: N802
        """The board of a slice."""
        board: Board = handle.parent
        return board

    def nvmlDeviceGetUUID(self, board: Board) -> bytes:  # noqa: N802
        """Bytes, as in older bindings."""
        return board.uuid.encode()

    def nvmlDeviceGetName(self, board: Board) -> str:  # noqa: N802
        """Its model."""
        return board.name

    def nvmlDeviceGetMigMode(self, board: Board) -> list[int]:  # noqa: N802
        """Current and pending."""
        return [int(board.mig), 0]

    def nvmlDeviceGetTotalEnergyConsumption(self, board: Board) -> Any:  # noqa: N802
        """Millijoules."""
        return self._given(board.take())

    def nvmlDeviceGetPowerUsage(self, board: Board) -> Any:  # noqa: N802
        """Milliwatts."""
        return self._given(None if board.watts is None else board.watts * 1000)

    def nvmlDeviceGetEnforcedPowerLimit(self, board: Board) -> int:  # noqa: ARG002, N802
        """Milliwatts."""
        return 165_000

    def nvmlDeviceGetTemperature(self, board: Board, sensor: int) -> int:  # noqa: ARG002, N802
        """Degrees."""
        return 61

    def nvmlDeviceGetClockInfo(self, board: Board, clock: int) -> int:  # noqa: ARG002, N802
        """MHz."""
        return 1440

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, board: Board) -> int:  # noqa: N802
        """The older name alone, so that it is tried."""
        return board.reasons

    def nvmlDeviceGetComputeRunningProcesses(self, board: Board) -> list[Any]:  # noqa: N802
        """Processes."""
        return [SimpleNamespace(pid=pid) for pid in board.pids]
