"""Problem details (RFC 9457): any error of a request in, status and JSON body out."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Literal, get_args, get_origin

import msgspec
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotAuthorizedException,
    NotFoundException,
    TooManyRequestsException,
    ValidationException,
)

from advisor.estimator.estimator import StaleEstimatorError
from advisor.recommend.query import BadQuestionError
from advisor.report.plan import SHOWN_PROBLEMS, PlanError
from api.service.middleware import NO_ROUTE, request_id
from catalog.errors import (
    BadRunFileError,
    CatalogUnreadableError,
    ConflictError,
    ImplausibleSpecError,
    UnknownNameError,
)

MEDIA_TYPE = "application/problem+json"
_PLAIN_WORDS = {
    "Expected `float`, got `str`": "a number such as 0.85",
    "Expected `int`, got `str`": "a whole number",
    "Expected `int | null`, got `str`": "a whole number",
    "Expected `float | null`, got `str`": "a number such as 0.85",
}
"""Message of the decoder -> plain words."""
_MAX_SHOWN = 200
"""Most names listed for an unknown name, and most characters of a path or value."""
_log = logging.getLogger("joulewise")


class UnsupportedTypeError(ValueError):
    """A body of a media type that is not supported; `allowed` lists those that are."""

    def __init__(self, came: str, allowed: list[str]) -> None:
        self.came, self.allowed = came, allowed
        super().__init__(f"Content-Type {came or '(none)'} is not read; use {', '.join(allowed)}")


_LIST = re.compile(r"(?:one of|allowed:|.*allowed are:) ((?:[\w.+/-]+, )*[\w.+/-]+)")
"""A sentence that lists names; one about figures has further words."""


def listed(allowed: str | Sequence[str]) -> list[str]:
    """What is allowed as a list: names one by one, or the one sentence that says it."""
    if not isinstance(allowed, str):
        return list(allowed)
    names = _LIST.fullmatch(allowed)
    return names[1].split(", ") if names else [allowed]


def problem(
    request: Request[Any, Any, Any], status: int, detail: str, **extra: Any
) -> Response[bytes]:
    """A problem details response with `extra` members; `allowed` is a list in all of them."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request_id(request.scope),
        **extra,
    }
    if "allowed" in body:
        body["allowed"] = listed(body["allowed"])
    return Response(msgspec.json.encode(body), status_code=status, media_type=MEDIA_TYPE)


def _invalid_value(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    """Problem of a value that Litestar refused: the field, what came and what is allowed."""
    faults = error.extra if isinstance(error.extra, list) else []
    first = faults[0] if faults and isinstance(faults[0], dict) else {}
    if first.get("key") == "data":
        return problem(
            request, 400, "the body is missing; send a JSON object", field="body", came=None
        )
    if body_faults := getattr(error.__cause__, "errors", None):
        return _invalid_body(request, body_faults)
    field = first.get("key") or _missing_parameter(error.detail)
    field, declared, choices = _declaration(request, field) if field else (None, None, "")
    fault = _PLAIN_WORDS.get(first.get("message", ""), choices)
    plain = [part for part in (declared, fault) if part]
    allowed = "; ".join(plain) or first.get("message", "")
    came = request.query_params.get(field) if field else None
    fault_text = f"{field}: {came!r} is not allowed" if came is not None else f"{field} is missing"
    if field and came is None and first:
        fault_text = f"{field}: not allowed"
    detail = f"{fault_text}; {allowed or 'it is required'}" if field else error.detail
    return problem(request, 400, detail, field=field, came=came, allowed=allowed or "required")


_NAME, _SPECS = "str", "DeviceSpecs"
"""Pydantic's names for the two ways to give a device."""


def _invalid_body(request: Request[Any, Any, Any], faults: list[dict[str, Any]]) -> Response[bytes]:
    """Problem of a body that pydantic refused; faults of a device's specs come first."""
    fault = max(faults, key=lambda own: len(own["loc"]) if _SPECS in own["loc"] else 0)
    field = ".".join(str(part) for part in fault["loc"] if part not in (_NAME, _SPECS))
    came, allowed = fault["input"], fault["msg"]
    if not field:
        field, allowed = "body", "a JSON object"
    elif fault["loc"][-1] == _SPECS:
        allowed = "a name or specs"
    came = came[:_MAX_SHOWN] if isinstance(came, str) else came
    came = None if isinstance(came, dict | list) else came
    detail = f"{field}: not allowed" if came is None else f"{field}: {came!r} is not allowed"
    if fault["type"] == "missing":
        detail = f"{field} is missing"
    return problem(request, 400, f"{detail}; {allowed}", field=field, came=came, allowed=allowed)


def _missing_parameter(detail: str) -> str | None:
    """Name of the parameter in Litestar's message about a missing one."""
    words = detail.split("'")
    return words[1] if detail.startswith("Missing required") and len(words) > 1 else None


def _declaration(request: Request[Any, Any, Any], key: str) -> tuple[str, str | None, str]:
    """A parameter's name in the URL, its declared description and, in words, its choices."""
    handler = request.route_handler
    signatures = [handler.parsed_fn_signature]
    signatures += [p.parsed_fn_signature for p in handler.resolve_dependencies().values()]
    for signature in signatures:
        if signature and key in signature.parameters:
            declared = signature.parameters[key]
            kwarg, kinds = declared.kwarg_definition, [declared.annotation, *declared.args]
            choices = [
                name for kind in kinds if get_origin(kind) is Literal for name in get_args(kind)
            ]
            said = f"one of {', '.join(choices)}" if choices else ""
            return getattr(kwarg, "name", None) or key, getattr(kwarg, "description", None), said
    return key, None, ""


def _detail(request: Request[Any, Any, Any], error: HTTPException) -> str:
    """Detail of one of Litestar's errors; the path for errors that only repeat their title."""
    path = request.scope["path"]
    path = path if len(path) <= _MAX_SHOWN else f"{path[:_MAX_SHOWN]}..."
    if isinstance(error, NotFoundException):
        return f"there is nothing at {path}"
    if isinstance(error, MethodNotAllowedException):
        return f"{path} does not take {request.method}"
    return error.detail


def _http_problem(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Problem of one of Litestar's own errors, with the headers of its status."""
    if isinstance(error, ValidationException):
        return _invalid_value(request, error)
    answer = problem(request, error.status_code, _detail(request, error))
    if isinstance(error, TooManyRequestsException):
        limits = dict(error.headers or {})
        answer.headers.update({**limits, "Retry-After": str(limits.get("RateLimit-Reset", 1))})
    if isinstance(error, NotAuthorizedException):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="joulewise"'
    return answer


def to_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Problem details of any error raised by a request; an unknown one is logged as 500."""
    message = str(error)
    match error:
        case HTTPException():
            return _http_problem(request, error)
        case BadQuestionError() | ImplausibleSpecError():
            return problem(
                request, 400, message, field=error.field, came=error.came, allowed=error.allowed
            )
        case UnknownNameError():
            allowed = error.nearest or error.known[:_MAX_SHOWN]
            return problem(
                request,
                404,
                message,
                field=error.kind,
                came=error.name,
                allowed=allowed,
                nearest=error.nearest,
            )
        case ConflictError():
            return problem(request, 409, message)
        case UnsupportedTypeError():
            return problem(
                request, 415, message, field="Content-Type", came=error.came, allowed=error.allowed
            )
        case BadRunFileError():
            return problem(
                request,
                422,
                message.splitlines()[0],
                problems=[
                    {"row": fault.row, "column": fault.column, "message": fault.message}
                    for fault in error.problems
                ],
            )
        case PlanError():
            faults = [
                msgspec.structs.asdict(fault)
                | {"allowed": listed(fault.allowed), "message": str(fault)}
                for fault in error.problems[:SHOWN_PROBLEMS]
            ]
            return problem(request, 422, message.splitlines()[0], problems=faults)
        case CatalogUnreadableError() | StaleEstimatorError():
            return problem(request, 503, message)
    route = request.scope.get("path_template") or NO_ROUTE
    fields = {"route": route, "request_id": request_id(request.scope)}
    _log.error("%s failed", route, exc_info=error, extra={"fields": fields})
    return problem(request, 500, "an error on our side; it is in the log")
