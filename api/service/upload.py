"""Run files over HTTP and on the command line: authorisation, parsing, storing, writing."""

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
from api.service.listing import named_records
from api.service.problems import UnsupportedTypeError
from api.service.state import ServiceState
from catalog import reference_data
from catalog.errors import ConflictError
from catalog.records import Measurement, RunFile
from catalog.snapshot import Snapshot
from catalog.store.database import Store
from catalog.store.hashes import digest_of, key_of

if TYPE_CHECKING:
    from catalog.files.validation import Known

MEDIA_TYPES: dict[str, Literal["csv", "parquet"]] = {
    "text/csv": "csv",
    "application/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
    "application/octet-stream": "parquet",
}
"""Content type -> format of a run file."""


class Written(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a write did: its runs, rows stored now and rows that were there already.

    `accuracies` and `accuracies_present` count results that came without a measurement.
    """

    run_ids: tuple[str, ...]
    inserted: int
    present: int
    accuracies: int = 0
    accuracies_present: int = 0


async def require_write_token(
    connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
) -> None:
    """Guard that passes a request with a token of scope ``write``.

    Raises:
        NotAuthorizedException: The token is missing, unknown or revoked.
        PermissionDeniedException: The token has another scope.
    """
    served: ServiceState = connection.app.state.served
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
    """Format of a body by its content type.

    Raises:
        UnsupportedTypeError: The content type is none of `MEDIA_TYPES`.
    """
    media = (content_type or "").partition(";")[0].strip().lower()
    if media not in MEDIA_TYPES:
        raise UnsupportedTypeError(media, sorted(MEDIA_TYPES))
    return MEDIA_TYPES[media]


def known_names(snapshot: Snapshot) -> Known:
    """Names of the catalog, which a run file may use without describing them."""
    from catalog.files.validation import Known

    return Known(snapshot.devices, snapshot.workloads, snapshot.candidates)


@functools.cache
def _bundled_digests() -> dict[str, str]:
    """Digest of each bundled row by its key."""
    return {key_of(row): digest_of(row) for row in reference_data.measurements()}


def store_run(store: Store, run: RunFile) -> Written:
    """Stores a run; rows that are bundled count as present and are not stored.

    Raises:
        ConflictError: A row exists with other content; nothing was stored.
        CatalogUnreadableError: The database cannot be written.
    """
    digests = _bundled_digests()
    own = tuple(row for row in run.measurements if key_of(row) not in digests)
    bundled = [row for row in run.measurements if key_of(row) in digests]
    for row in bundled:
        if digest_of(row) != digests[key_of(row)]:
            raise ConflictError(
                f"run_id {row.run_id!r}, candidate {row.candidate!r} is a bundled figure "
                "with other content, nothing stored; give a new measurement a new run_id"
            )
    store.migrate()
    added = store.add(msgspec.structs.replace(run, measurements=own))
    ids = [*(row.run_id for row in run.measurements), *(row.run_id for row in run.accuracies)]
    return Written(
        run_ids=tuple(dict.fromkeys(filter(None, ids))),
        inserted=added.inserted,
        present=added.present + len(bundled),
        accuracies=added.accuracies,
        accuracies_present=added.accuracies_present,
    )


def store_upload(served: ServiceState, content: bytes, form: Literal["csv", "parquet"]) -> Written:
    """Validates a run file, stores it and serves the new catalog; blocks.

    Raises:
        BadRunFileError: The file violates the schema; nothing was stored.
        ConflictError: A row exists with other content; nothing was stored.
        CatalogUnreadableError: The database cannot be written.
    """
    from catalog.files import run_file

    run = run_file.parse(content, form, known_names(served.now.snapshot), "body")
    written = store_run(served.store, run)
    served.refresh()
    return written


def to_run_file(
    rows: Sequence[Measurement], snapshot: Snapshot, form: Literal["csv", "parquet"]
) -> bytes:
    """Rows as the bytes of a run file, with the records they name; blocks."""
    from catalog.files import run_file

    return run_file.dump(run_file.to_frame(rows, named_records(snapshot)), form)
