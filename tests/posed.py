"""A Dask scheduler and workers that pose as different machines, as processes; see `posing`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent


def _free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Cluster:
    """A scheduler and workers as processes; `folder` holds their locks, logs and texts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._processes = folder, list[subprocess.Popen[bytes]]()
        data = folder / "data"
        data.mkdir()
        rows = [(f"{'good' if n % 2 else 'bad'} {n} Geheimwort", n % 2) for n in range(60)]
        pd.DataFrame(rows, columns=["text", "label"]).to_csv(data / "tickets.csv", index=False)
        port = _free_port()
        self.address = f"tcp://127.0.0.1:{port}"
        self._start("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")

    def _start(self, kind: str, *arguments: str, **environment: str) -> None:
        """One process, its words in a file."""
        known = {k: v for k, v in os.environ.items() if not k.startswith("JOULEWISE_")}
        known |= {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
            "JOULEWISE_DATA": str(self.folder / "data"),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
        with (self.folder / f"{kind}-{len(self._processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=known | environment, stdout=log, stderr=log, start_new_session=True
            )
        self._processes.append(process)

    def worker(
        self,
        node: str,
        cpu: str,
        *,
        nanny: bool = False,
        slow_s: float = 0.0,
        version: str | None = None,
        **deeds: str,
    ) -> None:
        """A worker that poses as the machine `node`, on which candidates do `deeds`.

        Each fit takes `slow_s` seconds longer; `version` is another one of Joulewise.
        """
        named = {name.replace("_", "-"): deed for name, deed in deeds.items()}
        pose: dict[str, Any] = {"node": node, "cpu": cpu, "threads": 4, "folder": str(self.folder)}
        pose |= {"deeds": named, "slow_s": slow_s, "version": version}
        self._start(
            "worker", self.address, "--nthreads", "2", "--no-dashboard", "--preload", "posing",
            "--nanny" if nanny else "--no-nanny", "--local-directory", str(self.folder / "scratch"),
            POSE=json.dumps(pose),
        )  # fmt: skip

    def stop_scheduler(self) -> None:
        """Kills the scheduler alone."""
        os.killpg(self._processes[0].pid, signal.SIGKILL)

    def logs(self) -> str:
        """All that scheduler and workers wrote."""
        return "\n".join(path.read_text() for path in self.folder.glob("*.log"))

    def stop(self) -> None:
        """Ends every process that was started here, nannies with their workers."""
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
