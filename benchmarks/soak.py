"""Mixed load on a real service, and what became of it: `soak.py --minutes 10`.

    python benchmarks/soak.py --minutes 10         # on SQLite

Starts `joulewise serve` on a temporary SQLite catalog and sends, in a mixture drawn with fixed
seeds, questions, pages, lists, exports and uploads (each sent twice, some broken), while a second
writer changes the catalog past the service. At the end the service must show every acknowledged run
once. The exit status is 1 where anything failed, or where the service's memory in the
second half of the last fifth of the time (median) is more than 5 % above that of the first.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import math
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import httpx
import msgspec
import psutil

from api.service import tokens
from catalog.files.run_file import dump, to_frame
from catalog.records import Measurement, RunFile
from catalog.snapshot import Snapshot, load
from catalog.store.database import Store

FIFTHS, CLIENTS, ROWS, SETUPS = 5, 4, 5, 40
MAX_GROWTH = 0.05
PAUSE_S = 0.02
"""Between two requests of a client, as people and scripts pause; not all of the machine is ours."""
CHANGES_PER_MINUTE = 12
SHARES = {"recommend": 60, "page": 20, "list": 12, "upload": 4, "refused upload": 2, "export": 2}
"""How often each kind of request comes, in hundredths; `change` comes by the clock."""
HTML = {"Accept": "text/html"}


class Sent(NamedTuple):
    """One request: when it was sent and how long it took (seconds), and what was wrong."""

    kind: str
    at: float
    took: float
    fault: str | None


class Load:
    """Clients of a service until a time is over.

    Args:
        url: Address of the service.
        store: Its catalog, for the second writer.
        seconds: How long.
    """

    def __init__(self, url: str, store: Store, seconds: float) -> None:
        self.url, self.store, self.seconds = url, store, seconds
        self.headers = {
            "Authorization": f"Bearer {tokens.create(store)}",
            "Content-Type": "text/csv",
        }
        self.sent: list[Sent] = []
        self.runs: list[str] = []
        self.first = load(store)
        self.begun = time.perf_counter()
        self._numbers = itertools.count()

    def left(self) -> float:
        """Seconds left."""
        return self.begun + self.seconds - time.perf_counter()

    def _note(self, kind: str, send: Callable[[], str | None]) -> None:
        """Sends a request and keeps what became of it."""
        begun = time.perf_counter()
        try:
            fault = send()
        except Exception as error:  # whatever it is, it is what this looks for
            fault = f"{type(error).__name__}: {error}"
        now = time.perf_counter()
        self.sent.append(Sent(kind, begun - self.begun, now - begun, fault))

    def client(self, seed: int) -> None:
        """Sends one request after another."""
        rng = random.Random(seed)  # noqa: S311
        with httpx.Client(base_url=self.url, timeout=60) as http:
            while self.left() > 0:
                (kind,) = rng.choices(list(SHARES), list(SHARES.values()))
                if kind.endswith("upload"):
                    self._note(kind, lambda kind=kind: self._upload(http, bad="refused" in kind))
                else:
                    path, headers = request(kind, rng, self.first)
                    self._note(kind, lambda p=path, h=headers: _got(http, p, h))
                time.sleep(PAUSE_S)

    def writer(self) -> None:
        """Changes the catalog past the service, as another process would."""
        while self.left() > 0:
            self._note("change", self._change)
            time.sleep(60 / CHANGES_PER_MINUTE)

    def _name(self) -> str:
        """The next run's."""
        return f"soak-{next(self._numbers)}"

    def _upload(self, http: httpx.Client, *, bad: bool) -> str | None:
        """An upload that must be stored and served at once, or one that must be refused."""
        name = self._name()
        content = run_file(self.first, name, broken=bad)
        status = http.post("/measurements", content=content, headers=self.headers).status_code
        if bad:
            return None if status == 422 else f"a broken run file was answered {status}"
        if status != 201:
            return f"an upload was answered {status}"
        self.runs.append(name)
        again = http.post("/measurements", content=content, headers=self.headers)
        stored = again.json().get("present") == ROWS and again.json().get("inserted") == 0
        return None if stored else f"an upload sent again: {again.text[:200]}"

    def _change(self) -> None:
        """Adds a run to the database."""
        name = self._name()
        self.store.add(RunFile(measurements=tuple(measured(self.first, name))))
        self.runs.append(name)


def _got(http: httpx.Client, path: str, headers: dict[str, str]) -> str | None:
    """What is wrong with the answer to a GET."""
    answer = http.get(path, headers=headers)
    whole = answer.status_code == 200 and answer.content
    return None if whole else f"{path}: {answer.status_code} {answer.text[:200]}"


def request(kind: str, rng: random.Random, snapshot: Snapshot) -> tuple[str, dict[str, str]]:
    """Path and headers of a request of a kind."""
    setup = rng.choice(snapshot.current)
    named = {"candidate": setup.candidate, "device": setup.device, "workload": setup.workload}
    if kind == "recommend":
        more: dict[str, object] = rng.choice(
            [{}, {"device": setup.device}, {"scenario": "single"}, {"confidence": 0.95},
             {"basis": "measured"}, {"scope": "device"}]
        )  # fmt: skip
        asked = {"task": rng.choice(list(snapshot.tasks())), "min_acc": round(rng.random(), 6)}
        return f"/recommend?{urlencode(asked | more)}", {}
    if kind == "list":
        lists = [
            "/tasks",
            "/devices",
            "/candidates",
            f"/measurements?{urlencode(named)}",
            "/metrics",
        ]
        return rng.choice(lists), {}
    if kind == "export":
        asked = {"workload": setup.workload, "format": "csv", "current": "true"}  # as long as ever
        return f"/measurements?{urlencode(asked)}", {}
    task = rng.choice(list(snapshot.tasks()))
    pages = [
        "/",
        f"/?{urlencode({'task': task, 'min_acc': 0.5})}",
        "/catalog",
        "/devices",
        "/report",
    ]
    pages += [f"/setups?{urlencode(named)}", "/estimator", "/method"]
    return rng.choice(pages), HTML


def measured(snapshot: Snapshot, name: str) -> Iterator[Measurement]:
    """Rows of a run: the same `SETUPS` measured again and again, as a team does with its own.

    So answers stay as long as they are, and memory has no reason to grow.
    """
    own = snapshot.current[:: len(snapshot.current) // SETUPS]
    for row in random.Random(name).sample(own, ROWS):  # noqa: S311
        yield msgspec.structs.replace(row, run_id=name, source="soak")


def run_file(snapshot: Snapshot, name: str, *, broken: bool) -> bytes:
    """The rows as a CSV body; broken: a cell of the last row is no number."""
    frame = to_frame(measured(snapshot, name))
    if broken:
        frame["n_items"] = [*frame["n_items"][:-1].astype(str), "many"]
    return dump(frame, "csv")


def memory_mb(process: subprocess.Popen[bytes]) -> float:
    """Resident memory of a service and its workers, 1e6 bytes."""
    parent = psutil.Process(process.pid)
    return sum(p.memory_info().rss for p in [parent, *parent.children(recursive=True)]) / 1e6


@contextmanager
def serving(catalog: str, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A service on a catalog: its address and process, once it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [str(Path(sys.executable).with_name("joulewise")), "serve", "--port", str(port)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JOULEWISE_")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            command, env=environment | {"JOULEWISE_CATALOG": catalog}, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    if httpx.get(f"{url}/health/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    if process.poll() is not None:
                        raise
                time.sleep(0.1)
            yield url, process
        finally:
            process.terminate()
            process.wait(30)


def lost(url: str, runs: list[str]) -> list[str]:
    """Acknowledged runs that the service does not show, whole and once."""
    time.sleep(2)  # changes past the service are seen within a second
    text = httpx.get(f"{url}/measurements?source=soak&format=csv", timeout=60).text
    shown = Counter(row["run_id"] for row in csv.DictReader(io.StringIO(text, newline="")))
    wrong = {*runs} ^ {*shown} | {name for name, rows in shown.items() if rows != ROWS}
    return [f"run {name} is shown with {shown[name]} rows of {ROWS}" for name in sorted(wrong)]


def spread_ms(took: list[float]) -> str:
    """Median and 99th percentile of times (seconds), the least that so many do not exceed."""
    if not took:
        return "–"
    ranks = (math.ceil(share * len(took)) - 1 for share in (0.5, 0.99))
    return " / ".join(f"{sorted(took)[rank] * 1e3:.0f}" for rank in ranks)


def tell(sent: list[Sent], memory: list[float], seconds: float) -> None:
    """Prints the table: a line for each kind of request, and one of memory."""
    heads = " | ".join(f"p50 / p99 ms, fifth {part}" for part in range(1, FIFTHS + 1))
    print(f"| what | requests | errors | {heads} |\n|{'---|' * (FIFTHS + 3)}")
    for kind in (*SHARES, "change", "all"):
        own = [one for one in sent if kind in (one.kind, "all")]
        took = [[o.took for o in own if int(o.at * FIFTHS / seconds) == n] for n in range(FIFTHS)]
        cells = [spread_ms(each) for each in took]
        faults = sum(one.fault is not None for one in own)
        print(f"| {kind} | {len(own):,} | {faults} | {' | '.join(cells)} |")
    print(f"| memory, MB | | | {' | '.join(f'{value:.1f}' for value in memory)} |")


def soak(seconds: float) -> int:
    """Runs the load and prints the table; the exit status."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        store = Store(f"sqlite:///{folder / 'catalog.sqlite'}")
        store.migrate()
        with serving(store.url, folder) as (url, process):
            load_on = Load(url, store, seconds)
            threads = [threading.Thread(target=load_on.client, args=(n,)) for n in range(CLIENTS)]
            threads.append(threading.Thread(target=load_on.writer))
            for thread in threads:
                thread.start()
            memory = []
            for part in range(1, FIFTHS + 1):
                seen = [memory_mb(process)]
                while (rest := load_on.left() - seconds * (1 - part / FIFTHS)) > 0:
                    time.sleep(min(1.0, rest))
                    seen.append(memory_mb(process))
                memory.append(statistics.median(seen[len(seen) // 2 :]))
            for thread in threads:
                thread.join()
            faults = [f"{one.kind}: {one.fault}" for one in load_on.sent if one.fault]
            faults += lost(url, load_on.runs)
            asked = {one.kind for one in load_on.sent}
            faults += [f"{kind}: never sent" for kind in (*SHARES, "change") if kind not in asked]
        log = (folder / "log").read_text(errors="replace")
        faults += [line[:300] for line in log.splitlines() if "Traceback" in line]
    growth = memory[-1] / memory[0] - 1
    tell(load_on.sent, memory, seconds)
    print(
        f"\n{len(load_on.runs)} runs stored; memory {growth:+.1%} after the first fifth;", end=" "
    )
    print(f"load average {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores")
    for fault in faults[:20]:
        print(f"error: {fault}")
    return int(bool(faults) or growth > MAX_GROWTH)


def main() -> int:
    """Reads the arguments."""
    reader = argparse.ArgumentParser(description="Mixed load on a service of its own.")
    reader.add_argument("--minutes", type=float, default=10)
    return soak(reader.parse_args().minutes * 60)


if __name__ == "__main__":
    sys.exit(main())
