"""Load on the service and on a bare handler that sends the same bytes, in turn on this machine.

    python benchmarks/bench.py service             # bundled catalog, then 1,000,000 rows
    python benchmarks/bench.py service 100000
    python benchmarks/bench.py service 0           # the bundled catalog alone

Rows are on SQLite and, where one can be started, on PostgreSQL. Both servers run on granian with
one worker and are driven by wrk in turn. No question comes twice: floors walk through [0, 1] in
steps of the golden ratio. The bare handler parses nothing and decides nothing; it sends answers
that the service gave, one after another.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import platform
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import psutil
from bench_catalog import databases

from catalog.records import moment
from catalog.snapshot import Snapshot, load
from catalog.store import bulk
from catalog.store.database import Store
from catalog.store.hashes import setup_of
from catalog.store.tables import catalog_version, measurement

CONNECTIONS, SECONDS, ROUNDS = 16, 5, 5
PREFIXES, SAMPLES, WARM = 200, 100, 20_000
_DRIVE = """
local prefixes, at = {}, tonumber(os.getenv("BENCH_START"))
for line in io.lines(os.getenv("BENCH_PREFIXES")) do prefixes[#prefixes + 1] = line end
function request()
  at = at + 1
  local floor = (at * 0.6180339887498949) % 1
  return wrk.format("GET", prefixes[at % #prefixes + 1] .. string.format("%.9f", floor))
end
function done(summary, latency)
  local bad = summary.errors
  io.stderr:write(string.format(
    '{"requests": %d, "us": %d, "p50": %d, "p99": %d, "bytes": %d, "errors": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    summary.bytes, bad.status + bad.read + bad.write + bad.timeout + bad.connect))
end
"""


def bare() -> Any:
    """An application that sends the answers in the file `BENCH_ANSWERS`, in turn."""
    from litestar import Litestar, get

    answers = msgspec.msgpack.decode(Path(os.environ["BENCH_ANSWERS"]).read_bytes())
    following = itertools.cycle(answers)

    @get("/recommend", media_type="application/json")
    async def recommend() -> bytes:
        found: bytes = next(following)
        return found

    return Litestar([recommend], openapi_config=None, logging_config=None)


def serve_bare(port: int) -> None:
    """Serves it as `joulewise serve` does the service."""
    from granian import Granian
    from granian.constants import Interfaces

    Granian(
        "bench_service:bare",
        factory=True,
        interface=Interfaces.ASGI,
        address="127.0.0.1",
        port=port,
        workers=1,
        websockets=False,
    ).serve()


def prefixes(snapshot: Snapshot) -> list[str]:
    """Questions that lack their floor: every task, many devices, scopes, scenarios, limits."""
    rng = random.Random(5)  # noqa: S311
    devices = sorted({row.device for row in snapshot.current})
    more: list[dict[str, object]] = [{}, {"scenario": "single"}, {"scope": "device"}]
    more += [{"confidence": 0.95}, {"max_memory_gb": 8}, {"basis": "measured"}]
    found = []
    for _ in range(PREFIXES):
        asked = {"task": rng.choice(list(snapshot.tasks()))} | rng.choice(more)
        asked |= {"device": rng.choice(devices)} if rng.random() < 0.5 else {}
        found.append(f"/recommend?{urlencode(asked)}&min_acc=")
    return found


def fill(store: Store, count: int) -> None:
    """Writes rows as if every bundled setup had been measured again and again.

    So the answers stay as long as they are, and what differs is the rows there are. Keys and
    digests are no hashes here, only different from each other: making a million takes minutes.
    Hashes of setups are the true ones.
    """
    store.migrate()
    if not count:
        return
    bundled = [msgspec.structs.asdict(row) for row in load().current]
    for cells in bundled:
        cells |= {"flags": ";".join(cells["flags"]) or None, "measured_at": "2026-06-01"}
    columns = ["key", "setup", "digest", "sound", "moment", *bundled[0]]
    measured_at = moment("2026-06-01")
    setups = map(setup_of, load().current)
    rests = [
        (setup, tuple(cells.values()), [*cells].index("run_id"))
        for setup, cells in zip(setups, bundled, strict=True)
    ]

    def row(number: int) -> tuple[Any, ...]:
        setup, cells, at = rests[number % len(rests)]
        own, again = f"{number:064x}", f"again-{number // len(rests)}"
        return (own, setup, own, True, measured_at, *cells[:at], again, *cells[at + 1 :])

    with store.connection(write=True) as connection:
        bulk.insert(connection, measurement.name, columns, map(row, range(count)))
        total = f"{sum(range(count)):064x}"
        kept = {"version": 1, "n_rows": count, "digest_sum": total}
        connection.execute(catalog_version.update().values(**kept))


def _port() -> int:
    """One that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(
    command: list[str], environment: dict[str, str], path: str
) -> Iterator[tuple[str, float, Callable[[], float]]]:
    """A server's address, the seconds until it answered, and its CPU seconds so far."""
    port, begun = _port(), time.perf_counter()
    process = subprocess.Popen(  # noqa: S603
        [*command, str(port)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"

    def spent() -> float:
        main = psutil.Process(process.pid)
        times = [each.cpu_times() for each in (main, *main.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    try:
        while True:
            try:
                urllib.request.urlopen(url + path, timeout=60).close()  # noqa: S310
                break
            except (urllib.error.URLError, ConnectionError):
                if process.poll() is not None:
                    raise
                time.sleep(0.02)
        yield url, time.perf_counter() - begun, spent
    finally:
        process.terminate()
        process.wait(30)


def _costed(drive: Callable[[], dict[str, int]], spent: Callable[[], float]) -> dict[str, float]:
    """A run with the server's CPU time for each request, in microseconds."""
    before = spent()
    found = drive()
    return found | {"cpu_us": (spent() - before) / found["requests"] * 1e6}


def _drive(url: str, folder: Path, start: int, seconds: int = SECONDS) -> dict[str, int]:
    """One run of wrk, questions counted from `start`."""
    wanted = {"BENCH_PREFIXES": str(folder / "prefixes"), "BENCH_START": str(start)}
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--timeout",
        "60s",
        "-s",
        str(folder / "drive.lua"),
    ]
    done = subprocess.run(  # noqa: S603
        [*command, url], env=os.environ | wanted, check=True, capture_output=True, text=True
    )
    found: dict[str, int] = json.loads(done.stderr.splitlines()[-1])
    if found["errors"]:
        raise SystemExit(f"{url}: {found['errors']} requests failed")
    return found


def _compared(catalog: Store, folder: Path) -> tuple[float, str]:
    """Requests per second of the service on a catalog, and the cells of its line."""
    (folder / "prefixes").write_text("\n".join(prefixes(load())) + "\n")
    (folder / "drive.lua").write_text(_DRIVE)
    answers, script = folder / "answers", str(Path(__file__))
    environment = {"JOULEWISE_CATALOG": catalog.url}
    ours = [str(Path(sys.executable).with_name("joulewise")), "serve", "--port"]
    with _running(ours, environment, "/health/ready") as (url, ready_s, spent):
        asked_before = 0
        while asked_before < WARM:  # every kind of question many times before it counts
            asked_before += _drive(url, folder, asked_before)["requests"]
        asked = (folder / "prefixes").read_text().split()
        floors = [f"{(n + 1) * 0.6180339887498949 % 1:.9f}" for n in range(SAMPLES)]
        sampled = [
            urllib.request.urlopen(f"{url}{asked[n]}{floor}").read()  # noqa: S310
            for n, floor in enumerate(floors)
        ]
        answers.write_bytes(msgspec.msgpack.encode(sampled))
        bare_env = {"BENCH_ANSWERS": str(answers), "PYTHONPATH": str(Path(__file__).parent)}
        with _running([sys.executable, script], bare_env, "/recommend") as (other, _, used):
            _drive(other, folder, 0, 2)
            runs = [
                (
                    _costed(functools.partial(_drive, url, folder, 10_000_000 * n), spent),
                    _costed(functools.partial(_drive, other, folder, 0), used),
                )
                for n in range(1, ROUNDS + 1)
            ]
    rates = [tuple(run["requests"] / run["us"] * 1e6 for run in pair) for pair in runs]
    kilobytes = statistics.median(run["bytes"] / run["requests"] / 1e3 for run, _ in runs)
    ours_rate, bare_rate = (statistics.median(rate[i] for rate in rates) for i in (0, 1))
    p99 = [statistics.median(pair[i]["p99"] / 1e3 for pair in runs) for i in (0, 1)]
    ratio = statistics.median(a / b for a, b in rates)
    cpu = [statistics.median(pair[i]["cpu_us"] for pair in runs) for i in (0, 1)]
    slower = statistics.median(a["p99"] / b["p99"] for a, b in runs)
    rows = len(load(catalog))
    cells = (
        f"{rows:,} | {kilobytes:.1f} | {ours_rate:,.0f} | {bare_rate:,.0f} | "
        f"**{ratio:.2f}** | {p99[0]:.1f} | {p99[1]:.1f} | **{slower:.2f}** | "
        f"{cpu[0]:.0f} | {cpu[1]:.0f} | {ready_s:.2f}"
    )
    return ours_rate, cells


def service(rows: int = 1_000_000) -> None:
    """Prints the table."""
    if shutil.which("wrk") is None:
        print("\nwrk is not installed, so the service was not driven")
        return
    load_before = os.getloadavg()[0]
    print(
        f"\n{platform.machine()}, {os.cpu_count()} cores, load before {load_before:.0f}, ", end=""
    )
    print(f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}")
    print(f"Distinct /recommend questions, {CONNECTIONS} connections, {ROUNDS} runs of")
    print(f"{SECONDS} s in turn, one worker each; medians, ratios of neighbouring runs:\n")
    head = "database | rows | kB | requests/s | bare handler | ratio | p99 ms | bare | ratio"
    print(f"| {head} | CPU us | bare | ready s |\n|{'---|' * 12}")
    with tempfile.TemporaryDirectory() as temporary, databases(2) as found:
        (kind, (empty, full)), *others = found.items()
        asked = [(kind, empty, 0)] + [(name, urls[1], rows) for name, urls in others if rows]
        asked[1:1] = [(kind, full, rows)] if rows else []
        reached = []
        for name, url, count in asked:
            store = Store(url)
            fill(store, count)
            rate, cells = _compared(store, Path(temporary))
            reached.append(rate)
            print(f"| {name} | {cells} |", flush=True)
            store.engine.dispose()
        for (name, _, _), rate in zip(asked[1:], reached[1:], strict=True):
            print(f"\nRequests per second lost with them, {name}: {1 - rate / reached[0]:.0%}")


if __name__ == "__main__":
    serve_bare(int(sys.argv[1]))
