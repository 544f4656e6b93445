"""The question as query parameters: what `/recommend` takes, from flat values to a `Query`.

Names, types and ranges are those of `advisor.recommend.query`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl

from litestar.connection import ASGIConnection
from litestar.datastructures import MultiDict
from litestar.handlers import BaseRouteHandler
from litestar.params import ParameterKwarg

from advisor.recommend.query import (
    MOST_ENTRIES,
    BadQuestionError,
    Query,
    parameters,
    query_of,
)

Format = Literal["json", "csv", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""Formats of an answer; the first is the default."""


def read(query_string: bytes) -> Query:
    """The question of a URL's query.

    Raises:
        BadQuestionError: Names the parameter that is unknown, missing, repeated or does not fit.
    """
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    given = dict(pairs)
    if len(given) < len(pairs) or not given.keys() <= parameters().keys():
        refuse_undeclared(pairs, parameters())
    return query_of(given)


def read_with_format(query_string: bytes) -> tuple[Query, Format]:
    """The question of a URL's query, and the format of the answer: one of `FORMATS`.

    A table has as many entries as an answer can, unless `limit` states fewer.

    Raises:
        BadQuestionError: Names the parameter that is unknown, missing, repeated or does not fit.
    """
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    given = dict(pairs)
    if len(given) < len(pairs) or not given.keys() <= {*parameters(), "format"}:
        refuse_undeclared(pairs, [*parameters(), "format"])
    came = given.pop("format", FORMATS[0])
    form = next((each for each in FORMATS if each == came), None)
    if form is None:
        raise BadQuestionError("format", came, f"one of {', '.join(FORMATS)}")
    if form != FORMATS[0]:
        given.setdefault("limit", str(MOST_ENTRIES))
    return query_of(given), form


def filled(given: MultiDict[Any], allowed: Iterable[str]) -> dict[str, str]:
    """The fields of a form that were filled in; a number may begin with its point.

    Raises:
        BadQuestionError: A field is not allowed, or came twice.
    """
    refuse_undeclared(given.multi_items(), allowed)
    found = {name: text.strip() for name, text in given.items() if text.strip()}
    return {name: f"0{text}" if text.startswith(".") else text for name, text in found.items()}


def from_form(given: MultiDict[Any], otherwise: dict[str, str]) -> Query:
    """The question of a form somebody sent: `/recommend`'s, but an empty field was not asked.

    Args:
        given: The fields.
        otherwise: Values of fields that were not filled in.

    Raises:
        BadQuestionError: Names the field that is unknown, repeated or does not fit.
    """
    return query_of(otherwise | filled(given, parameters()))


def refuse_undeclared(pairs: Iterable[tuple[str, str]], declared: Iterable[str]) -> None:
    """A misspelt or repeated parameter is an error, not something to leave out silently.

    Raises:
        BadQuestionError: Names the parameter and those that are allowed.
    """
    known, seen = set(declared), set()
    for name, came in pairs:
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise BadQuestionError(name, came, f"no such parameter; allowed are: {allowed}")
        if name in seen:
            raise BadQuestionError(name, came, "give it once")
        seen.add(name)


def _declared(handler: BaseRouteHandler) -> set[str]:
    """Names of the query parameters a handler or a dependency of it declares."""
    dependencies = handler.resolve_dependencies()
    signatures = [handler.parsed_fn_signature]
    signatures += [provided.parsed_fn_signature for provided in dependencies.values()]
    return {
        field.kwarg_definition.name or name
        for signature in signatures
        if signature
        for name, field in signature.parameters.items()
        if name not in dependencies and isinstance(field.kwarg_definition, ParameterKwarg)
    }


async def only_declared(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """A guard: a misspelt or repeated parameter is an error, not something to leave out silently.

    Raises:
        BadQuestionError: Names the parameter and those that are allowed.
    """
    refuse_undeclared(connection.query_params.multi_items(), _declared(handler))
