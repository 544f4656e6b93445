"""The store: measurements in a database by URL, SQLite (WAL) by default.

It holds what users measured; the bundled figures stay in their files and are joined to it by
`catalog.snapshot`. Writing is all or nothing and can be repeated: a row that is already there
is skipped, one with the same key and other content is a conflict.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from catalog.accuracy import Accuracy, accuracy_digest, accuracy_key
from catalog.doubt import standing
from catalog.errors import CatalogUnreadableError, ConflictError, install_command
from catalog.predictions import Predictions
from catalog.records import Candidate, Device, Measurement, RunFile, Workload
from catalog.store import bulk, record_table
from catalog.store.engine import engine_of
from catalog.store.hashes import FIELDS, digest_of, key_of, setup_of
from catalog.store.location import default_url
from catalog.store.newest import ALL, Stored, deferred_collection, newest, read_rows
from catalog.store.tables import accuracy, catalog_version, declaration, measurement, prediction

HEAD = "0006"
"""The newest migration; a database that stands there needs none."""
CHANNEL = "joulewise_catalog"
"""Where a PostgreSQL server tells listeners of each change."""
_KINDS: dict[str, Any] = {"device": Device, "workload": Workload, "candidate": Candidate}
_Found = TypeVar("_Found")


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """What one write did: rows stored now and rows that were there already.

    `predictions` counts sets of predictions stored now, `accuracies` results without a
    measurement; `accuracies_present` were there already.
    """

    inserted: int
    present: int
    predictions: int = 0
    accuracies: int = 0
    accuracies_present: int = 0


class Store:
    """A catalog's database.

    Args:
        url: Database URL; the default is SQLite in the user's data directory.

    Raises:
        CatalogUnreadableError: The URL is malformed or its driver is not installed.
    """

    def __init__(self, url: str | None = None) -> None:
        self.url = url or default_url()
        try:
            self.engine = engine_of(self.url)
        except ImportError as error:
            raise CatalogUnreadableError(
                f"the driver {error.name} is missing; {install_command('postgres')}"
            ) from error
        weakref.finalize(self, self.engine.dispose)  # connections end with the store

    @property
    def file(self) -> Path | None:
        """The SQLite file; ``None`` for a server or a database in memory."""
        url = self.engine.url
        in_memory = url.database in (None, "", ":memory:")
        return (
            Path(str(url.database))
            if url.get_backend_name() == "sqlite" and not in_memory
            else None
        )

    @contextmanager
    def connection(self, *, write: bool = False) -> Iterator[sa.Connection]:
        """A connection, with `write` in a transaction; database errors come with a remedy.

        Raises:
            CatalogUnreadableError: The database cannot be used.
        """
        try:
            with self.engine.begin() if write else self.engine.connect() as connection:
                yield connection
        except (
            sa.exc.DBAPIError,
            sa.exc.TimeoutError,
            self.engine.dialect.loaded_dbapi.Error,
            UnicodeError,
        ) as error:
            shown = self.engine.url.render_as_string(hide_password=True)
            reason = str(getattr(error, "orig", None) or error).strip()
            raise CatalogUnreadableError(
                f"the catalog at {shown} cannot be used: {reason}; check the "
                "disk and rights, or restore it (joulewise catalog import) into a new database"
            ) from error

    def is_there(self) -> bool:
        """Whether the database has a catalog; never creates one."""
        return self.revision() is not None

    def revision(self) -> str | None:
        """The migration the database stands at; ``None`` where there is no catalog."""
        if self.file is not None and not self.file.exists():
            return None
        with self.connection() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            found: str | None = connection.scalar(
                sa.text("SELECT version_num FROM alembic_version")
            )
            return found

    def _read(self, read: Callable[[sa.Connection], _Found], absent: _Found) -> _Found:
        """What a function reads of the database; `absent` where it has no catalog."""
        if not self.is_there():
            return absent
        with self.connection() as connection:
            return read(connection)

    def migrate(self) -> None:
        """Creates the tables or brings them up to date; harmless when they are.

        Raises:
            CatalogUnreadableError: The database cannot be written, or a newer version made it.
        """
        stands_at = self.revision()
        if stands_at == HEAD:
            return
        if stands_at is not None and stands_at > HEAD:
            raise CatalogUnreadableError(
                f"the catalog stands at migration {stands_at}, newer than the {HEAD} of this "
                "version; update joulewise"
            )
        import alembic.command
        import alembic.config

        if self.file is not None:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CatalogUnreadableError(
                    f"no folder for the catalog {self.file}: {error.strerror}; "
                    "name another one in JOULEWISE_CATALOG"
                ) from error
        config = alembic.config.Config()
        config.set_main_option("script_location", str(files("catalog.store") / "migrations"))
        with self.connection(write=True) as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # one process migrates at a time
            else:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7046029254386353131)"))
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, HEAD)

    def version(self) -> int:
        """A number that grows with every change; 0 for a database without a catalog."""
        query = sa.select(catalog_version.c.version)
        return self._read(lambda connection: int(connection.scalar(query) or 0), 0)

    def add(self, run: RunFile) -> Added:
        """Writes a run: all of it or nothing, and at most once.

        Raises:
            ConflictError: A row or declaration is there with other content.
            CatalogUnreadableError: The database cannot be written.
        """
        with self.connection(write=True) as connection:
            self._grow(connection)
            new = record_table.insert(
                connection, measurement, run.measurements, key_of, digest_of, _rank
            )
            self._sum_up(connection, new)
            declared = self._declare(connection, run)
            answered = record_table.insert(
                connection, prediction, run.predictions, Predictions.key, Predictions.digest
            )
            judged = record_table.insert(
                connection, accuracy, run.accuracies, accuracy_key, accuracy_digest
            )
            if not new and not declared and not answered and not judged:
                connection.rollback()
        return Added(
            inserted=len(new),
            present=len(run.measurements) - len(new),
            predictions=len(answered),
            accuracies=len(judged),
            accuracies_present=len(run.accuracies) - len(judged),
        )

    @staticmethod
    def _grow(connection: sa.Connection) -> None:
        """Raises the version; writers queue on its row, so that what they check stays true."""
        connection.execute(catalog_version.update().values(version=catalog_version.c.version + 1))
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text(f"NOTIFY {CHANNEL}"))  # reaches listeners at the commit

    def replace_device(self, device: Device) -> None:
        """Replaces the record of a device, e.g. by one whose TDP its owner has stated.

        Raises:
            CatalogUnreadableError: The database cannot be written.
        """
        with self.connection(write=True) as connection:
            self._grow(connection)
            own = (declaration.c.kind == "device") & (declaration.c.name == device.name)
            connection.execute(declaration.delete().where(own))
            record = msgspec.json.encode(device).decode()
            connection.execute(
                declaration.insert(), [{"kind": "device", "name": device.name, "record": record}]
            )

    @staticmethod
    def _sum_up(connection: sa.Connection, digests: Sequence[str]) -> None:
        """Adds rows to the count and the sum of digests, in the transaction that writes them."""
        before = connection.scalar(sa.select(catalog_version.c.digest_sum))
        total = sum((int(digest, 16) for digest in digests), int(str(before), 16)) % 2**256
        connection.execute(
            catalog_version.update().values(
                n_rows=catalog_version.c.n_rows + len(digests), digest_sum=f"{total:064x}"
            )
        )

    @staticmethod
    def _declare(connection: sa.Connection, run: RunFile) -> int:
        """Stores new declarations; how many there were."""
        stored = {
            (kind, name): record
            for kind, name, record in connection.execute(sa.select(declaration))
        }
        new = []
        for kind, records in (
            ("device", run.devices),
            ("workload", run.workloads),
            ("candidate", run.candidates),
        ):
            for record in records:
                text = msgspec.json.encode(record).decode()
                before = stored.get((kind, record.name))
                if before is None:
                    new.append({"kind": kind, "name": record.name, "record": text})
                elif before != text:
                    raise ConflictError(
                        f"{kind} {record.name!r} is in the catalog with another description, "
                        "nothing stored; give it another name"
                    )
        if new:
            connection.execute(declaration.insert(), new)
        return len(new)

    def newest(self, before: Stored | None = None) -> Stored:
        """The newest row of each setup, and what pins the rest of the store.

        Args:
            before: What was kept of it earlier, so that only what was added since is read.
        """
        if not self.is_there():
            return Stored()
        ranked = self.revision() == HEAD
        if before is None or not self.holds(before.last, before.last_digest):
            before = Stored()
        count, total, last, digest = self._state(ranked=ranked)
        added = (self._ranked if ranked else self.rows)(after=before.last, last=last)
        with deferred_collection():
            pairs = [*zip(before.ids, before.rows, strict=True), *added]
            kept = set(map(id, newest([row for _, row in pairs])))
        pairs = [(id_, row) for id_, row in pairs if id(row) in kept]
        return Stored(
            rows=tuple(row for _, row in pairs),
            ids=tuple(id_ for id_, _ in pairs),
            last=last,
            last_digest=digest,
            count=count,
            total=total,
        )

    def _ranked(self, after: int, last: int) -> Iterator[tuple[int, Measurement]]:
        """The newest row of each setup among those of a range of ids; see `catalog.doubt`.

        Ids first and rows by id then: PostgreSQL joins a new table, of which it has no statistics
        yet, in quadratic time.
        """
        own = measurement.c
        place = sa.func.row_number().over(
            partition_by=own.setup, order_by=(own.sound.desc(), own.moment.desc(), own.id.desc())
        )
        # "+ 0" keeps a whole reading on the index of setups: it is no range of ids to SQLite
        ranked = sa.select(own.id, place.label("place")).where(own.id + 0 <= last)
        found = (ranked.where(own.id > after) if after else ranked).subquery()
        query = sa.select(found.c.id).where(found.c.place == 1).order_by(found.c.id)
        ids: list[int] = self._read(lambda connection: list(connection.scalars(query)), [])
        for some in bulk.chunks(ids):
            dense = some[-1] - some[0] + 1 == len(some)
            yield from self.rows({} if dense else {"id": some}, some[0] - 1, some[-1])

    def _state(self, *, ranked: bool) -> tuple[int, int, int, str]:
        """Count of rows and sum of their digests, and id and digest of the last one, at once."""
        rows = sa.select(measurement.c.id, measurement.c.digest).order_by(measurement.c.id)
        with self.connection() as connection:
            if not ranked:  # an older version keeps no sum
                found = connection.execute(rows).all()
                total = sum(int(digest, 16) for _, digest in found) % 2**256
                return len(found), total, *(found[-1] if found else (0, ""))
            end = rows.order_by(None).order_by(measurement.c.id.desc()).limit(1).subquery()
            kept = catalog_version.c
            query = sa.select(kept.n_rows, kept.digest_sum, end.c.id, end.c.digest)
            count, total, last, digest = connection.execute(
                query.select_from(catalog_version.outerjoin(end, sa.true()))
            ).one()
            return count, int(total, 16), last or 0, digest or ""

    def rows(
        self,
        wanted: Mapping[str, Collection[Any]] | None = None,
        after: int = 0,
        last: int = ALL,
    ) -> Iterator[tuple[int, Measurement]]:
        """Stored rows with their ids, oldest first; an older migration's are read as they are.

        Args:
            wanted: Values of table columns, e.g. of ``source`` or ``setup``; all if left out.
            after: The id before the first one.
            last: The highest id.
        """
        if not self.is_there():
            return
        asked = [measurement.c.id > after, measurement.c.id <= last]
        for name, values in (wanted or {}).items():
            column = measurement.c[name]
            known = column.in_([value for value in values if value is not None])
            asked.append(known | column.is_(None) if None in values else known)
        with self.connection() as connection:
            there = {column["name"] for column in sa.inspect(connection).get_columns("measurement")}
            names = [name for name in FIELDS if name in there]  # an older version's lack some
            columns: list[Any] = [sa.column(name) for name in ("id", *names)]
            query = sa.select(*columns).select_from(measurement).where(*asked)
            streamed = connection.execution_options(stream_results=True)
            yield from read_rows(streamed.execute(query.order_by(measurement.c.id)), names)

    def measurements(self) -> list[Measurement]:
        """Every stored row, oldest first."""
        return [row for _, row in self.rows()]

    def holds(self, id_: int, digest: str) -> bool:
        """Whether the row of an id says what the digest stands for."""
        query = sa.select(measurement.c.digest).where(measurement.c.id == id_)
        return self._read(lambda connection: bool(connection.scalar(query) == digest), False)

    def predictions(self) -> list[Predictions]:
        """Every stored set, oldest first; none where an older version made the catalog."""
        return self._read(lambda c: record_table.read(c, prediction, Predictions), [])

    def accuracies(self) -> list[Accuracy]:
        """Results that came alone, oldest first; none where an older version made the catalog."""
        return self._read(lambda c: record_table.read(c, accuracy, Accuracy), [])

    def declarations(self) -> dict[str, dict[str, Any]]:
        """Stored records by kind (``device``, ``workload``, ``candidate``) and name."""
        found: dict[str, dict[str, Any]] = {kind: {} for kind in _KINDS}
        query = sa.select(declaration).order_by(declaration.c.name)
        stored: list[Any] = self._read(lambda connection: list(connection.execute(query)), [])
        for kind, name, record in stored:
            found[kind][name] = msgspec.json.decode(record, type=_KINDS[kind])
        return found


def _rank(row: Measurement) -> dict[str, Any]:
    """What tells the newest row of a setup; see `catalog.doubt`."""
    sound, moment = standing(row)
    return {"setup": setup_of(row), "sound": sound, "moment": moment}
