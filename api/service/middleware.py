"""ASGI middleware of every request: request id, headers, entity tags, metrics, access log.

It wraps the whole application, so that errors and unknown paths pass through it too, and records
no content of requests or answers.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api.service.metrics import Metrics

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""Default headers of every response."""
VERSIONED = "versioned"
"""Key in `opt` of handlers whose answers depend on query, catalog, estimator and code alone."""
NO_ROUTE = "(none)"
"""Route of requests that match no handler, in logs and metrics."""
_VALID_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_DEFAULT_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_DEFAULT_NAMES = frozenset(name for name, _ in _DEFAULT_HEADERS)
_ID_KEY = "request_id"
_VARY_ENCODING = (b"vary", b"Accept-Encoding")
_NO_CACHE = (b"cache-control", b"no-cache")
_EMPTY_BODY: Message = {"type": "http.response.body", "body": b"", "more_body": False}


def request_id(scope: Scope) -> str:
    """The id of a request; empty outside the middleware."""
    value: str = scope["state"].get(_ID_KEY, "")
    return value


def _incoming_id(scope: Scope) -> bytes:
    """The id a client or proxy sent, if it is valid, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _VALID_ID.fullmatch(value):
            return value
    return os.urandom(8).hex().encode()


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    """Value of a request header; several are joined with commas."""
    values = [value for name, value in scope["headers"] if name == wanted]
    return b", ".join(values) if values else None


def etag_matches(condition: bytes, tag: bytes) -> bool:
    """Whether ``If-None-Match`` names an entity tag, by weak comparison (RFC 9110, 13.1.2)."""
    named = {part.strip().removeprefix(b"W/") for part in condition.split(b",")}
    return condition.strip() == b"*" or tag.removeprefix(b"W/") in named


class ServiceMiddleware:
    """The middleware around the whole application.

    Args:
        app: The application.
        etag: Returns the current entity tag; empty before a catalog is loaded.
        metrics: Counts requests.
        record: Writes the access log.
    """

    def __init__(
        self,
        app: ASGIApp,
        etag: Callable[[], bytes],
        metrics: Metrics,
        record: Callable[..., None],
    ) -> None:
        self._app, self._etag, self._metrics, self._record = app, etag, metrics, record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != ScopeType.HTTP:
            return await self._app(scope, receive, send)
        begun, method = time.perf_counter(), scope["method"]
        own_id, tag = _incoming_id(scope), self._etag()  # before the answer: a tag is never too new
        scope["state"][_ID_KEY] = own_id.decode()
        if method == "HEAD":
            scope["method"] = HttpMethod.GET
        status, bodiless, is_read = 500, method == "HEAD", method in ("GET", "HEAD")

        async def observed(message: Message) -> None:
            nonlocal status, bodiless
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", own_id)]
                if status == 200 and _is_versioned(scope, headers):
                    headers = _with_etag(headers, tag)
                    condition = _header(scope, b"if-none-match")
                    if condition is not None and etag_matches(condition, tag):
                        status, bodiless = 304, True
                        headers = [pair for pair in headers if not pair[0].startswith(b"content-")]
                message = {
                    "type": "http.response.start",
                    "status": status,
                    "headers": _with_defaults(headers, stored=status == 200 and is_read),
                }
            elif bodiless and message["type"] == "http.response.body":
                if message.get("more_body"):
                    return
                message = _EMPTY_BODY
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            route, seconds = scope.get("path_template") or NO_ROUTE, time.perf_counter() - begun
            self._metrics.observe(method, route, status, seconds)
            self._record(
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1e3, 2),
                request_id=own_id.decode(),
            )
        return None


def _is_versioned(scope: Scope, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether an answer gets an entity tag; pages do not, as their templates have no version."""
    handler = scope.get("route_handler")
    if scope.get("method") != "GET" or handler is None or VERSIONED not in handler.opt:
        return False
    return not any(name == b"content-type" and value[:9] == b"text/html" for name, value in headers)


def _with_defaults(
    headers: list[tuple[bytes, bytes]], *, stored: bool
) -> list[tuple[bytes, bytes]]:
    """Headers with the default ones that are missing; `stored`: whether caches may keep it."""
    names = {name for name, _ in headers}
    missing = _DEFAULT_HEADERS
    if not names.isdisjoint(_DEFAULT_NAMES):
        missing = [pair for pair in _DEFAULT_HEADERS if pair[0] not in names]
    if b"cache-control" not in names:
        headers.append((b"cache-control", b"no-cache" if stored else b"no-store"))
    return headers + missing


def _with_etag(headers: list[tuple[bytes, bytes]], tag: bytes) -> list[tuple[bytes, bytes]]:
    """Headers with entity tag, ``Vary`` and ``no-cache``: caches must revalidate the answer."""
    names = {name for name, _ in headers}
    stored = [] if b"cache-control" in names else [_NO_CACHE]
    varies = any(name == b"vary" and b"accept-encoding" in value.lower() for name, value in headers)
    vary = [] if varies else [_VARY_ENCODING]
    return [*headers, (b"etag", tag), *vary, *stored]
