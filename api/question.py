"""The question as query parameters: what `/recommend` takes, from flat values to a `Query`."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from litestar.connection import ASGIConnection
from litestar.datastructures import MultiDict
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import Example
from litestar.params import ParameterKwarg, QueryParameter

from advisor.records import AskedScenario, BadQuestionError, Query
from catalog.records import Device, Kind, Scope

Spec = Annotated[
    float | None,
    QueryParameter(gt=0, le=1e9, description="spec of an unlisted device, above 0 and at most 1e9"),
]


def asked_device(
    device: str | None, kind: Kind | None, specs: dict[str, Any]
) -> str | Device | None:
    """The device a question means: a name, one made of its specs, or any.

    Raises:
        BadQuestionError: A name came together with specs, or specs came without a kind.
    """
    given = {name: value for name, value in specs.items() if value is not None}
    if kind is None and not given:
        return device
    if device is not None:
        raise BadQuestionError(
            "device", device, "give a device by name or by its specs (device_kind ...), not both"
        )
    if kind is None:
        raise BadQuestionError("device_kind", None, "specs need it: cpu, gpu, npu or soc")
    return Device(name="as specified", kind=kind, status="asked", **given)


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
        float | None, QueryParameter(gt=0, le=1e9, description="texts per second; scenario=server")
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
    memory_bandwidth_gbs: Spec = None,
    memory_gb: Spec = None,
) -> Query:
    """Builds the question from the parameters of a URL."""
    specs = {
        "tdp_w": tdp_w,
        "peak_fp32_tflops": peak_fp32_tflops,
        "peak_fp16_tflops": peak_fp16_tflops,
        "bandwidth_gbs": memory_bandwidth_gbs,
        "memory_gb": memory_gb,
    }
    return Query(
        task=task,
        min_acc=min_acc,
        device=asked_device(device, device_kind, specs),
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


@functools.cache
def _fields() -> dict[str, tuple[str, Any, QueryParameter]]:
    """Name in the URL -> argument of `provide_question`, its type and its declaration."""
    hints = get_type_hints(provide_question, include_extras=True)
    declared = {
        name: (hint.__origin__, hint.__metadata__[0])
        for name, hint in hints.items()
        if name != "return"
    }
    return {rule.name or name: (name, kind, rule) for name, (kind, rule) in declared.items()}


def _read(name: str, text: str) -> tuple[str, Any]:
    """The argument that a field of a form stands for, and its value.

    Raises:
        BadQuestionError: Its value does not fit.
    """
    argument, kind, rule = _fields()[name]
    try:
        if isinstance(kind, UnionType):
            kind = next(member for member in get_args(kind) if member is not NoneType)
        if kind in (int, float):
            bounds: dict[str, Any] = {end: getattr(rule, end) for end in ("gt", "ge", "lt", "le")}
            kind = Annotated[kind, msgspec.Meta(**bounds)]
        return argument, msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadQuestionError(name, text, rule.description or str(error)) from error


def filled(given: MultiDict[Any], allowed: Iterable[str]) -> dict[str, str]:
    """The fields of a form that were filled in; a number may begin with its point.

    Raises:
        BadQuestionError: A field is not allowed, or came twice.
    """
    found = {}
    for name in given:
        texts = [text.strip() for text in given.getall(name)]
        if name not in (known := sorted(allowed)):
            told = f"no such parameter; allowed are: {', '.join(known)}"
            raise BadQuestionError(name, texts[0], told)
        if len(texts) > 1:
            raise BadQuestionError(name, texts, "give it once")
        if texts[0]:
            found[name] = f"0{texts[0]}" if texts[0].startswith(".") else texts[0]
    return found


def from_form(given: MultiDict[Any], otherwise: dict[str, str]) -> Query:
    """The question of a form somebody sent: `/recommend`'s, but an empty field was not asked.

    Args:
        given: The fields.
        otherwise: Values of fields that were not filled in.

    Raises:
        BadQuestionError: Names the field that is unknown, repeated or does not fit.
    """
    asked = otherwise | filled(given, _fields())
    return provide_question(**dict(_read(name, text) for name, text in asked.items()))


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


def only_declared(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """A guard: a misspelt or repeated parameter is an error, not something to leave out silently.

    Raises:
        BadQuestionError: Names the parameter and those that are allowed.
    """
    declared = _declared(handler)
    for name in connection.query_params:
        came = connection.query_params.getall(name)
        if name not in declared:
            allowed = ", ".join(sorted(declared)) or "none"
            raise BadQuestionError(name, came[0], f"no such parameter; allowed are: {allowed}")
        if len(came) > 1:
            raise BadQuestionError(name, came, "give it once")
