"""`joulewise token ...`: who may write over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from api.cli import tabular, terminal
from api.cli.context import opened_store

token = typer.Typer(no_args_is_help=True, help="Tokens that may write over HTTP.")
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@token.command("create")
def create_token(
    scope: Annotated[Literal["write"], typer.Option(help="What it is good for.")] = "write",
    as_json: Json = False,
) -> None:
    """Makes a token and prints it once; the catalog keeps its hash."""
    from api.service import tokens

    secret = tokens.create(opened_store(), scope)
    its_id = tokens.id_of(secret)
    if as_json:
        return terminal.say_json({"token": secret, "id": its_id, "scope": scope})
    typer.echo(secret)
    typer.echo(f"id {its_id}, by which it can be revoked", err=True)
    return None


@token.command("list")
def list_tokens(as_json: Json = False) -> None:
    """Ids of all tokens, when each was made and revoked; never a token itself."""
    from api.service import tokens

    found = tokens.listed(opened_store())
    if as_json:
        return terminal.say_json(found)
    rows = [(own.id, own.scope, own.created_at, own.revoked_at or "-") for own in found]
    tabular.show("Tokens", ("id", "scope", "created", "revoked"), rows)
    return None


@token.command("revoke")
def revoke_token(
    given: Annotated[str, typer.Argument(metavar="TOKEN", help="The token, or its id.")],
) -> None:
    """Makes a token good for nothing."""
    from api.service import tokens

    if not tokens.revoke(opened_store(), given):
        terminal.fail("no such token, or it is revoked already", terminal.USAGE)
    typer.echo("revoked")
