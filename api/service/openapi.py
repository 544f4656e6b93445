"""The OpenAPI document: routes, names of operations, problems, files, the question's parameters."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, get_args, get_origin

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.openapi.spec import Parameter as DocumentedParameter
from litestar.response import Redirect
from litestar.serialization import encode_json
from litestar.types.internal_types import PathParameterDefinition

from advisor.recommend.query import Parameter, parameters
from api.service.problems import MEDIA_TYPE
from api.service.query import FORMATS

_TYPES = {str: OpenAPIType.STRING, float: OpenAPIType.NUMBER, int: OpenAPIType.INTEGER}
_BOUNDS = {"gt": "exclusive_minimum", "ge": "minimum", "lt": "exclusive_maximum", "le": "maximum"}
PARQUET = "application/vnd.apache.parquet"
CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": PARQUET}
"""Content type of a file by its format."""
_FILE = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, content_encoding="binary"))


class Problem(msgspec.Struct, kw_only=True):
    """A problem details object (RFC 9457); other members say more about some problems.

    Attributes:
        field: The parameter or field at fault; `came` is what it held.
        allowed: What it may hold: names, or one sentence.
        nearest: Of an unknown name the known ones that resemble it.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    field: str | None = None
    allowed: list[str] | msgspec.UnsetType = msgspec.UNSET
    nearest: list[str] | msgspec.UnsetType = msgspec.UNSET


def operation_id(
    handler: HTTPRouteHandler, _method: object, parts: list[str | PathParameterDefinition]
) -> str:
    """Name of an operation: its path (``health_live``), or its handler's name that ends so.

    The latter tells two methods of one path apart (``measurements``, ``add_measurements``).
    """
    path = "_".join(part if isinstance(part, str) else part.name for part in parts)
    return handler.handler_name if handler.handler_name.endswith(path) else path


@get("/openapi.json", include_in_schema=False, sync_to_thread=False)
def openapi_document(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The OpenAPI document, under the name by which tools look for it."""
    body = encode_json(request.app.openapi_schema.to_schema())
    return Response(body, media_type="application/json")


@get("/docs", include_in_schema=False, sync_to_thread=False)
def docs() -> Redirect:
    """The OpenAPI document, where people look for it."""
    return Redirect("/schema")


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Problem details as the response of each status."""
    return {
        status: ResponseSpec(
            Problem,
            description=HTTPStatus(status).phrase,
            media_type=MEDIA_TYPE,
            generate_examples=False,
        )
        for status in statuses
    }


READ_RESPONSES = problems(400, 404, 429, 503) | {
    304: ResponseSpec(None, description="what `If-None-Match` names is current")
}
"""Further responses of routes that read the catalog and send an entity tag."""


def with_forms(operation: Operation, media_types: dict[str, OpenAPIMediaType]) -> None:
    """Adds media types to the response of status 200."""
    found = (operation.responses or {}).get("200")
    if isinstance(found, OpenAPIResponse):
        found.content = (found.content or {}) | media_types


@dataclass
class FilesOperation(Operation):
    """An operation that answers with JSON, CSV or Parquet."""

    def __post_init__(self) -> None:
        """Adds the media types of files."""
        text = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))
        with_forms(self, {"text/csv": text, PARQUET: _FILE})


@dataclass
class RecommendOperation(FilesOperation):
    """`/recommend` in the OpenAPI document."""

    def __post_init__(self) -> None:
        """Adds the parameters that `read_with_format` takes."""
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
        self.parameters += [
            DocumentedParameter(
                name="format",
                param_in="query",
                description="csv and parquet: one row for each option, variant and rejection",
                schema=Schema(type=OpenAPIType.STRING, enum=list(FORMATS), default=FORMATS[0]),
            )
        ]
        FilesOperation.__post_init__(self)


def _schema(parameter: Parameter) -> Schema:
    """The OpenAPI schema of one parameter."""
    default = None if parameter.required else parameter.default
    if get_origin(parameter.type) is Literal:
        return Schema(type=OpenAPIType.STRING, enum=list(get_args(parameter.type)), default=default)
    meta = parameter.meta
    bounds = {word: getattr(meta, end) for end, word in _BOUNDS.items()}
    return Schema(type=_TYPES[parameter.type], default=default, examples=meta.examples, **bounds)


@dataclass
class UploadOperation(Operation):
    """An operation with a run file as its body."""

    def __post_init__(self) -> None:
        """Declares the media types of the body."""
        row = "run_id,source,workload,candidate,device,n_items,runtime_s\n"
        row += "lab-1,lab,sst2,tfidf-word-logistic,NVIDIA A30,1000,2\n"
        csv = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING), example=row)
        self.request_body = RequestBody(
            description="a run file", content={"text/csv": csv, PARQUET: _FILE}, required=True
        )
