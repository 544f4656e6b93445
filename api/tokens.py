"""Write tokens: 256 random bits, shown once, kept as SHA-256 in the catalog's database."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import secrets
from collections.abc import Iterable

from catalog.store import Store
from catalog.tables import token

SCOPES = ("write",)
"""What a token may be good for."""


def hash_of(secret: str) -> str:
    """SHA-256 of a token; it has 256 random bits, so it needs neither salt nor stretching."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create(store: Store, scope: str = "write") -> str:
    """Makes a token, stores its hash and returns the token; nobody can show it again.

    Raises:
        CatalogUnreadableError: The database cannot be written.
    """
    store.migrate()
    secret = f"jw_{secrets.token_urlsafe(32)}"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with store.connection(write=True) as connection:
        connection.execute(token.insert().values(hash=hash_of(secret), scope=scope, created_at=now))
    return secret


def revoke(store: Store, secret: str) -> bool:
    """Makes a token good for nothing from now on; whether there was such a token.

    Raises:
        CatalogUnreadableError: The database cannot be written.
    """
    store.migrate()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    own = (token.c.hash == hash_of(secret)) & token.c.revoked_at.is_(None)
    with store.connection(write=True) as connection:
        return connection.execute(token.update().where(own).values(revoked_at=now)).rowcount > 0


def scopes_of(secret: str, store: Store, write_hashes: Iterable[str] = ()) -> set[str]:
    """What a token is good for; empty for one nobody made or somebody revoked.

    Args:
        secret: The token as it came.
        store: Where tokens are kept.
        write_hashes: Hashes of further tokens that may write.

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
    came = hash_of(secret)
    return {scope for entry, scope in known if hmac.compare_digest(entry, came)}
