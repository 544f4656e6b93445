"""The question as query parameters: what `/recommend` takes, from flat values to a `Query`.

Names, types and ranges are those of `advisor.recommend.query`, for the reader and for the OpenAPI
document alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin
from urllib.parse import parse_qsl

from litestar.connection import ASGIConnection
from litestar.datastructures import MultiDict
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import OpenAPIType, Operation, Schema
from litestar.openapi.spec import Parameter as DocumentedParameter
from litestar.params import ParameterKwarg

from advisor.recommend.query import BadQuestionError, Parameter, Query, parameters, query_of

_TYPES = {str: OpenAPIType.STRING, float: OpenAPIType.NUMBER, int: OpenAPIType.INTEGER}
_BOUNDS = {"gt": "exclusive_minimum", "ge": "minimum", "lt": "exclusive_maximum", "le": "maximum"}


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


@dataclass
class RecommendOperation(Operation):
    """`/recommend` in the OpenAPI document."""

    def __post_init__(self) -> None:
        """Adds the parameters that `read` takes."""
        self.parameters = [
            DocumentedParameter(
                name=each.name,
                param_in="query",
                required=each.required,
                description=each.meta.description,
                schema=_schema(each),
            )
            for each in parameters().values()
        ]


def _schema(parameter: Parameter) -> Schema:
    """The OpenAPI schema of one parameter."""
    default = None if parameter.required else parameter.default
    if get_origin(parameter.type) is Literal:
        return Schema(type=OpenAPIType.STRING, enum=list(get_args(parameter.type)), default=default)
    meta = parameter.meta
    bounds = {word: getattr(meta, end) for end, word in _BOUNDS.items()}
    return Schema(type=_TYPES[parameter.type], default=default, examples=meta.examples, **bounds)


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
