"""The question as query parameters: what `/recommend` takes, from flat values to a `Query`.

`provide_question` declares them; the reader and the OpenAPI document are made from it, so that one
question costs microseconds and the three cannot differ.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from inspect import signature
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec
from litestar.connection import ASGIConnection
from litestar.datastructures import MultiDict
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import Example, OpenAPIType, Operation, Parameter, Schema
from litestar.params import ParameterKwarg, QueryParameter

from advisor.recommend.records import AskedScenario, BadQuestionError, Query
from api.service.specified import specified
from catalog.records import Kind, Scope

Spec = Annotated[
    float | None,
    QueryParameter(ge=1e-3, le=1e9, description="spec of an unlisted device, 1e-3 to 1e9"),
]


def provide_question(
    task: Annotated[
        str,
        QueryParameter(
            description="what is decided; GET /tasks lists them",
            examples=[Example(value="sentiment")],
        ),
    ],
    min_acc: Annotated[
        float,
        QueryParameter(
            ge=0, le=1, description="least accuracy, 0 to 1", examples=[Example(value=0.85)]
        ),
    ],
    device: Annotated[
        str | None, QueryParameter(description="name or alias of a device; GET /devices lists them")
    ] = None,
    workload: Annotated[
        str | None, QueryParameter(description="one data set of the task; GET /workloads")
    ] = None,
    scenario: Annotated[
        AskedScenario, QueryParameter(description="one of single, offline, server")
    ] = "offline",
    counted: Annotated[
        Scope,
        QueryParameter(name="scope", description="whose joules count: device, host or wall"),
    ] = "host",
    basis: Annotated[
        Literal["any", "measured"],
        QueryParameter(description="measured: only energy that was measured; any"),
    ] = "any",
    batch_size: Annotated[
        float | None, QueryParameter(ge=1, le=1e7, description="texts per call, 1 or more")
    ] = None,
    confidence: Annotated[
        float | None,
        QueryParameter(
            gt=0.5, lt=1, description="hold the accuracy floor with this confidence, 0.5 to 1"
        ),
    ] = None,
    max_latency_ms: Annotated[
        float | None, QueryParameter(gt=0, description="milliseconds, above 0")
    ] = None,
    max_memory_gb: Annotated[
        float | None, QueryParameter(gt=0, description="1e9 bytes, above 0")
    ] = None,
    language: Annotated[str | None, QueryParameter(description="ISO 639-1 code")] = None,
    licence: Annotated[
        str | None, QueryParameter(description="SPDX name of the candidate's licence")
    ] = None,
    rate: Annotated[
        float | None,
        QueryParameter(ge=1e-6, le=1e9, description="texts per second; scenario=server"),
    ] = None,
    limit: Annotated[
        int, QueryParameter(ge=1, le=1000, description="entries per list, 1 to 1000")
    ] = 100,
    device_kind: Annotated[
        Kind | None, QueryParameter(description="kind of an unlisted device: cpu, gpu, npu or soc")
    ] = None,
    tdp_w: Spec = None,
    peak_fp32_tflops: Spec = None,
    peak_fp16_tflops: Spec = None,
    peak_int8_tops: Spec = None,
    memory_bandwidth_gbs: Spec = None,
    memory_gb: Spec = None,
) -> Query:
    """Builds the question from the parameters of a URL."""
    specs = {
        "tdp_w": tdp_w,
        "peak_fp32_tflops": peak_fp32_tflops,
        "peak_fp16_tflops": peak_fp16_tflops,
        "peak_int8_tops": peak_int8_tops,
        "bandwidth_gbs": memory_bandwidth_gbs,
        "memory_gb": memory_gb,
    }
    return Query(
        task=task,
        min_acc=min_acc,
        device=specified(device, device_kind, specs),
        workload=workload,
        scenario=scenario,
        scope=counted,
        basis=basis,
        batch_size=batch_size,
        confidence=confidence,
        max_latency_ms=max_latency_ms,
        max_memory_gb=max_memory_gb,
        language=language,
        licence=licence,
        rate=rate,
        limit=limit,
    )


_TYPES = {str: OpenAPIType.STRING, float: OpenAPIType.NUMBER, int: OpenAPIType.INTEGER}
_BOUNDS = {"gt": "exclusive_minimum", "ge": "minimum", "lt": "exclusive_maximum", "le": "maximum"}


@functools.cache
def _fields() -> dict[str, tuple[str, Any, QueryParameter]]:
    """Name in the URL -> argument of `provide_question`, its type and its declaration."""
    hints = get_type_hints(provide_question, include_extras=True)
    hints.pop("return")
    declared = {name: (hint.__origin__, hint.__metadata__[0]) for name, hint in hints.items()}
    return {rule.name or name: (name, kind, rule) for name, (kind, rule) in declared.items()}


@functools.cache
def _asked() -> type[msgspec.Struct]:
    """A record of the parameters, by their names in the URL, in the order of the arguments."""
    given = signature(provide_question).parameters
    fields: list[Any] = []
    for name, (argument, kind, rule) in _fields().items():
        bounds: dict[str, Any] = {end: getattr(rule, end) for end in _BOUNDS}
        if numbers := {float, int} & {kind, *get_args(kind)}:
            meta = msgspec.Meta(**bounds)
            number = Annotated[float, meta] if float in numbers else Annotated[int, meta]
            kind = number if kind in numbers else number | None
        default = given[argument].default
        required = default is given[argument].empty
        fields.append((name, kind) if required else (name, kind, default))
    return msgspec.defstruct("Asked", fields, frozen=True)


def read(query_string: bytes) -> Query:
    """The question of a URL's query.

    Raises:
        BadQuestionError: Names the parameter that is unknown, missing, repeated or does not fit.
    """
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    given = dict(pairs)
    if len(given) < len(pairs) or not given.keys() <= _fields().keys():
        refuse_undeclared(pairs, _fields())
    return _question(given)


def _question(given: dict[str, str]) -> Query:
    """The question that parameters ask.

    Raises:
        BadQuestionError: Names the parameter that is missing or does not fit.
    """
    try:
        asked = msgspec.convert(given, _asked(), strict=False)
    except msgspec.ValidationError as error:
        raise _refused(given, str(error)) from error
    return provide_question(*msgspec.structs.astuple(asked))


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
    return _question(otherwise | filled(given, _fields()))


def _refused(given: dict[str, str], said: str) -> BadQuestionError:
    """The decoder's words about a parameter as ours."""
    name = said.rpartition("`$.")[2] if "`$." in said else said.partition("field `")[2]
    name = name.rstrip("`")
    allowed = _fields()[name][2].description or said
    if name not in given:
        return BadQuestionError(name, None, f"it is required: {allowed}")
    return BadQuestionError(name, given[name], allowed)


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
class Asking(Operation):
    """`/recommend` in the OpenAPI document."""

    def __post_init__(self) -> None:
        """Adds the parameters that `read` takes."""
        given = signature(provide_question).parameters
        self.parameters = [
            Parameter(
                name=name,
                param_in="query",
                required=given[argument].default is given[argument].empty,
                description=rule.description,
                schema=_schema(kind, rule, given[argument].default),
            )
            for name, (argument, kind, rule) in _fields().items()
        ]


def _schema(kind: Any, rule: QueryParameter, default: Any) -> Schema:
    """What OpenAPI says about one parameter."""
    members = [member for member in get_args(kind) if member is not type(None)]
    if get_origin(kind) is not Literal and members:
        (kind,) = members
    examples = [example.value for example in rule.examples or ()] or None
    there = None if default is None or not isinstance(default, (str, int, float)) else default
    if get_origin(kind) is Literal:
        return Schema(type=OpenAPIType.STRING, enum=list(get_args(kind)), default=there)
    bounds = {word: getattr(rule, end) for end, word in _BOUNDS.items()}
    return Schema(type=_TYPES[kind], default=there, examples=examples, **bounds)


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
