"""Turns errors of the packages below into problem details (RFC 9457): one function, one place."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

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
from advisor.recommend.records import BadQuestionError
from advisor.report.plan import SHOWN_PROBLEMS, PlanError
from api.service.middleware import NO_ROUTE, request_id
from catalog.errors import (
    BadRunFileError,
    CatalogUnreadableError,
    ConflictError,
    UnknownNameError,
)

MEDIA_TYPE = "application/problem+json"
_PLAIN = {
    "Expected `float`, got `str`": "a number such as 0.85",
    "Expected `int`, got `str`": "a whole number",
    "Expected `int | null`, got `str`": "a whole number",
    "Expected `float | null`, got `str`": "a number such as 0.85",
}
"""The decoder's words -> plain ones."""
_SHOWN = 200
"""Names listed at most where a name is unknown and nothing resembles it; letters of a path."""
_log = logging.getLogger("joulewise")


class UnsupportedTypeError(ValueError):
    """A body whose media type no reader exists for; `allowed` lists those that are read."""

    def __init__(self, came: str, allowed: list[str]) -> None:
        self.came, self.allowed = came, allowed
        super().__init__(f"Content-Type {came or '(none)'} is not read; use {', '.join(allowed)}")


def problem(
    request: Request[Any, Any, Any], status: int, detail: str, **extra: Any
) -> Response[bytes]:
    """A problem details response; `extra` members stand beside the standard ones."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request_id(request.scope),
        **extra,
    }
    return Response(msgspec.json.encode(body), status_code=status, media_type=MEDIA_TYPE)


def _invalid(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    """A value that litestar refused: names the field, what came and what is allowed."""
    faults = error.extra if isinstance(error.extra, list) else []
    first = faults[0] if faults and isinstance(faults[0], dict) else {}
    if first.get("key") == "data":
        return problem(
            request, 400, "the body is missing; send a JSON object", field="body", came=None
        )
    if of_body := getattr(error.__cause__, "errors", None):
        return _invalid_body(request, of_body)
    field = first.get("key") or _missing(error.detail)
    field, declared = _declared(request, field) if field else (None, None)
    fault = _PLAIN.get(first.get("message", ""))
    plain = [part for part in (declared, fault) if part]
    allowed = "; ".join(plain) or first.get("message", "")
    came = request.query_params.get(field) if field else None
    said = f"{field}: {came!r} is not allowed" if came is not None else f"{field} is missing"
    if field and came is None and first:
        said = f"{field}: not allowed"
    detail = f"{said}; {allowed or 'it is required'}" if field else error.detail
    return problem(request, 400, detail, field=field, came=came, allowed=allowed or "required")


_NAME, _SPECS = "str", "DeviceSpecs"
"""How pydantic calls the two ways to say a device."""


def _invalid_body(request: Request[Any, Any, Any], faults: list[dict[str, Any]]) -> Response[bytes]:
    """A body that pydantic refused: its first fault, of a device's specs before its name's."""
    fault = max(faults, key=lambda own: len(own["loc"]) if _SPECS in own["loc"] else 0)
    field = ".".join(str(part) for part in fault["loc"] if part not in (_NAME, _SPECS))
    came, allowed = fault["input"], fault["msg"]
    if not field:
        field, allowed = "body", "a JSON object"
    elif fault["loc"][-1] == _SPECS:
        allowed = "a name or specs"
    came = came[:_SHOWN] if isinstance(came, str) else came
    came = None if isinstance(came, dict | list) else came
    said = f"{field}: not allowed" if came is None else f"{field}: {came!r} is not allowed"
    if fault["type"] == "missing":
        said = f"{field} is missing"
    return problem(request, 400, f"{said}; {allowed}", field=field, came=came, allowed=allowed)


def _missing(detail: str) -> str | None:
    """The name in litestar's message about a parameter that did not come."""
    words = detail.split("'")
    return words[1] if detail.startswith("Missing required") and len(words) > 1 else None


def _declared(request: Request[Any, Any, Any], key: str) -> tuple[str, str | None]:
    """A parameter's name in the URL and what its declaration says about its values."""
    handler = request.route_handler
    signatures = [handler.parsed_fn_signature]
    signatures += [p.parsed_fn_signature for p in handler.resolve_dependencies().values()]
    for signature in signatures:
        if signature and key in signature.parameters:
            kwarg = signature.parameters[key].kwarg_definition
            return getattr(kwarg, "name", None) or key, getattr(kwarg, "description", None)
    return key, None


def _plainly(request: Request[Any, Any, Any], error: HTTPException) -> str:
    """What one of litestar's errors says; one that only repeats its title says what was asked."""
    asked = request.scope["path"]
    asked = asked if len(asked) <= _SHOWN else f"{asked[:_SHOWN]}..."
    if isinstance(error, NotFoundException):
        return f"there is nothing at {asked}"
    if isinstance(error, MethodNotAllowedException):
        return f"{asked} does not take {request.method}"
    return error.detail


def _of_litestar(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """One of litestar's own errors."""
    if isinstance(error, ValidationException):
        return _invalid(request, error)
    answer = problem(request, error.status_code, _plainly(request, error))
    if isinstance(error, TooManyRequestsException):
        told = dict(error.headers or {})
        answer.headers.update({**told, "Retry-After": str(told.get("RateLimit-Reset", 1))})
    if isinstance(error, NotAuthorizedException):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="joulewise"'
    return answer


def to_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The answer to any error raised while a request was served."""
    said = str(error)
    match error:
        case HTTPException():
            return _of_litestar(request, error)
        case BadQuestionError():
            return problem(
                request, 400, said, field=error.field, came=error.came, allowed=error.allowed
            )
        case UnknownNameError():
            allowed = error.nearest or error.known[:_SHOWN]
            return problem(
                request,
                404,
                said,
                field=error.kind,
                came=error.name,
                allowed=allowed,
                nearest=error.nearest,
            )
        case ConflictError():
            return problem(request, 409, said)
        case UnsupportedTypeError():
            return problem(
                request, 415, said, field="Content-Type", came=error.came, allowed=error.allowed
            )
        case BadRunFileError():
            return problem(
                request,
                422,
                said.splitlines()[0],
                problems=[
                    {"row": fault.row, "column": fault.column, "message": fault.message}
                    for fault in error.problems
                ],
            )
        case PlanError():
            faults = [
                msgspec.structs.asdict(fault) | {"message": str(fault)}
                for fault in error.problems[:SHOWN_PROBLEMS]
            ]
            return problem(request, 422, said.splitlines()[0], problems=faults)
        case CatalogUnreadableError() | StaleEstimatorError():
            return problem(request, 503, said)
    route = request.scope.get("path_template") or NO_ROUTE
    fields = {"route": route, "request_id": request_id(request.scope)}
    _log.error("%s failed", route, exc_info=error, extra={"fields": fields})
    return problem(request, 500, "an error on our side; it is in the log")
