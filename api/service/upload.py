"""Run files in and out: who may write, what is read, and rows as a file."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler

from api.service import tokens
from api.service.listing import described
from api.service.problems import UnsupportedTypeError
from api.service.state import Served
from catalog import reference_data as bundled
from catalog.errors import ConflictError
from catalog.records import Measurement, RunFile
from catalog.snapshot import Snapshot
from catalog.store.database import Store, digest_of, key_of

if TYPE_CHECKING:
    from catalog.files.validation import Known

MEDIA_TYPES: dict[str, Literal["csv", "parquet"]] = {
    "text/csv": "csv",
    "application/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
    "application/octet-stream": "parquet",
}
"""Content types of a run file -> how it is read."""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a write did: its runs, rows stored now and rows that were there already."""

    run_ids: tuple[str, ...]
    inserted: int
    present: int


async def may_write(
    connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
) -> None:
    """A guard: only a token with the scope ``write`` passes.

    Raises:
        NotAuthorizedException: No token came, or none we know.
        PermissionDeniedException: The token is good for something else.
    """
    served: Served = connection.app.state.served
    kind, _, secret = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secret.strip():
        raise NotAuthorizedException(
            "send Authorization: Bearer TOKEN; `joulewise token create --scope write` makes one"
        )
    scopes = await asyncio.to_thread(
        tokens.scopes_of, secret.strip(), served.store, served.settings.tokens
    )
    if not scopes:
        raise NotAuthorizedException("the token is unknown or was revoked")
    if "write" not in scopes:
        raise PermissionDeniedException("the token does not have the scope 'write'")


def media_format(content_type: str | None) -> Literal["csv", "parquet"]:
    """How to read a body of a content type.

    Raises:
        UnsupportedTypeError: It is none of `MEDIA_TYPES`.
    """
    media = (content_type or "").partition(";")[0].strip().lower()
    if media not in MEDIA_TYPES:
        raise UnsupportedTypeError(media, sorted(MEDIA_TYPES))
    return MEDIA_TYPES[media]


def known(snapshot: Snapshot) -> Known:
    """The names a run file may use without describing them."""
    from catalog.files.validation import Known

    return Known(snapshot.devices, snapshot.workloads, snapshot.candidates)


@functools.cache
def _shipped() -> dict[str, str]:
    """Digests of the bundled figures by key."""
    return {key_of(row): digest_of(row) for row in bundled.measurements()}


def add(store: Store, run: RunFile) -> Written:
    """Stores a run; rows that are bundled count as present and are not stored again.

    Raises:
        ConflictError: A row is there with other content; nothing was stored.
        CatalogUnreadableError: The database cannot be written.
    """
    there = _shipped()
    own = tuple(row for row in run.measurements if key_of(row) not in there)
    shipped = [row for row in run.measurements if key_of(row) in there]
    for row in shipped:
        if digest_of(row) != there[key_of(row)]:
            raise ConflictError(
                f"run_id {row.run_id!r}, candidate {row.candidate!r} is a bundled figure "
                "with other content, nothing stored; give a new measurement a new run_id"
            )
    store.migrate()
    added = store.add(msgspec.structs.replace(run, measurements=own))
    return Written(
        run_ids=tuple(dict.fromkeys(row.run_id for row in run.measurements)),
        inserted=added.inserted,
        present=added.present + len(shipped),
    )


def write(served: Served, content: bytes, form: Literal["csv", "parquet"]) -> Written:
    """Checks a run file, stores it and puts the new catalog into service; blocks.

    Raises:
        BadRunFileError: It breaks the schema; nothing was stored.
        ConflictError: A row is there with other content; nothing was stored.
        CatalogUnreadableError: The database cannot be written.
    """
    from catalog.files import run_file as runfile

    run = runfile.parse(content, form, known(served.now.snapshot), "body")
    written = add(served.store, run)
    served.refresh()
    return written


def as_file(
    rows: Sequence[Measurement], snapshot: Snapshot, form: Literal["csv", "parquet"]
) -> bytes:
    """Rows as the bytes of a run file that another catalog can read; blocks."""
    from catalog.files import run_file as runfile

    return runfile.dump(runfile.to_frame(rows, described(snapshot)), form)
