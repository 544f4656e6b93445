"""The commands `joulewise token`: create, list and revoke tokens for uploads over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from api.cli import terminal
from api.cli.context import open_store

token = typer.Typer(no_args_is_help=True, help="Tokens that may write over HTTP.")
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@token.command("create")
def create_token(
    scope: Annotated[Literal["write"], typer.Option(help="What it permits.")] = "write",
    as_json: Json = False,
) -> None:
    """Creates a token and prints it once; the catalog stores its hash."""
    from api.service import tokens

    secret = tokens.create(open_store(), scope)
    token_id = tokens.id_of(secret)
    if as_json:
        return terminal.print_json({"token": secret, "id": token_id, "scope": scope})
    typer.echo(secret)
    typer.echo(f"id {token_id}, by which it can be revoked", err=True)
    return None


@token.command("list")
def list_tokens(as_json: Json = False) -> None:
    """Ids of all tokens, when each was made and revoked; never a token itself."""
    from api.service import tokens

    found = tokens.list_tokens(open_store())
    if as_json:
        return terminal.print_json(found)
    rows = [(own.id, own.scope, own.created_at, own.revoked_at or "-") for own in found]
    terminal.print_table("Tokens", ("id", "scope", "created", "revoked"), rows)
    return None


@token.command("revoke")
def revoke_token(
    given: Annotated[str, typer.Argument(metavar="TOKEN", help="The token, or its id.")],
) -> None:
    """Revokes a token."""
    from api.service import tokens

    if not tokens.revoke(open_store(), given):
        terminal.fail("no such token, or it is revoked already", terminal.USAGE)
    typer.echo("revoked")
