"""Write tokens: 256 random bits, shown once, stored as SHA-256 in the catalog's database."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import secrets
from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from catalog.store.database import Store
from catalog.store.tables import token

SCOPES = ("write",)
"""Scopes a token can have."""
ID_DIGITS = 16
"""Hex digits of a hash that identify a token: 64 bits, unique and no help in guessing it."""


def hash_of(secret: str) -> str:
    """SHA-256 of a token; it has 256 random bits, so it needs neither salt nor stretching."""
    return hashlib.sha256(secret.encode()).hexdigest()


def id_of(secret: str) -> str:
    """The id of a token; see `ID_DIGITS`."""
    return hash_of(secret)[:ID_DIGITS]


def create(store: Store, scope: str = "write") -> str:
    """Creates a token, stores its hash and returns the token, which cannot be shown again.

    Raises:
        CatalogUnreadableError: The database cannot be written.
    """
    store.migrate()
    secret = f"jw_{secrets.token_urlsafe(32)}"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with store.connection(write=True) as connection:
        connection.execute(token.insert().values(hash=hash_of(secret), scope=scope, created_at=now))
    return secret


class TokenRecord(msgspec.Struct, frozen=True):
    """A token without its secret.

    Attributes:
        id: The first digits of its hash; enough to revoke it.
    """

    id: str
    scope: str
    created_at: str
    revoked_at: str | None


def list_tokens(store: Store) -> list[TokenRecord]:
    """Every token ever made, oldest first.

    Raises:
        CatalogUnreadableError: The database cannot be read.
    """
    if not store.is_there():
        return []
    with store.connection() as connection:
        return [
            TokenRecord(row.hash[:ID_DIGITS], row.scope, row.created_at, row.revoked_at)
            for row in connection.execute(token.select().order_by(token.c.created_at, token.c.hash))
        ]


def revoke(store: Store, given: str) -> bool:
    """Revokes a token; returns whether there was such a valid token.

    Args:
        store: Store of the tokens.
        given: The token or its id.

    Raises:
        CatalogUnreadableError: The database cannot be written.
    """
    store.migrate()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    named = sa.func.substr(token.c.hash, 1, ID_DIGITS) == given
    own = (named | (token.c.hash == hash_of(given))) & token.c.revoked_at.is_(None)
    with store.connection(write=True) as connection:
        return connection.execute(token.update().where(own).values(revoked_at=now)).rowcount > 0


def scopes_of(secret: str, store: Store, write_hashes: Iterable[str] = ()) -> set[str]:
    """Scopes of a token; empty for an unknown or revoked one.

    Args:
        secret: The token.
        store: Store of the tokens.
        write_hashes: SHA-256 (hex) of further tokens with the scope ``write``.

    Raises:
        CatalogUnreadableError: The database cannot be read.
    """
    known = [(entry, "write") for entry in write_hashes]
    if store.is_there():
        with store.connection() as connection:
            known += [
                (row.hash, row.scope)
                for row in connection.execute(token.select())
                if row.revoked_at is None
            ]
    digest = hash_of(secret)
    return {scope for entry, scope in known if hmac.compare_digest(entry, digest)}
