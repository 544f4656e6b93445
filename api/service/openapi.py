"""Additions to the OpenAPI document: problems, files, status 304, parameters of the question."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, get_args, get_origin

import msgspec
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
        field: The parameter or field at fault; `came` is what it held, `allowed` what it may.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    field: str | None = None


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
