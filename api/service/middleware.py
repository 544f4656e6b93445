"""What happens around every request, whatever it asks: an id, headers, conditions, a log line.

One plain ASGI layer outside the application, so that errors and unknown paths get it too. It knows
nothing of questions and answers, and writes down neither.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api.service.direct import PATH as DIRECT_ROUTE
from api.service.direct import Direct
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
"""On every response that does not set its own."""
VERSIONED = "versioned"
"""Marks (in `opt`) a handler whose answer changes with catalog, estimator and code alone."""
NO_ROUTE = "(none)"
"""Stands for a path that no handler has; the path itself may hold anything."""
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_OURS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_NAMES = frozenset(name for name, _ in _OURS)
_STATE_ID = "request_id"
_JSON = (b"content-type", b"application/json")
_VARIED = (b"vary", b"Accept-Encoding")
_ASKED_AGAIN = (b"cache-control", b"no-cache")
_NOTHING: Message = {"type": "http.response.body", "body": b"", "more_body": False}


def request_id(scope: Scope) -> str:
    """The id of a request under way."""
    found: str = scope["state"].get(_STATE_ID, "")
    return found


def _given_id(scope: Scope) -> bytes:
    """The id a client or proxy sent, if it is short and plain, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return value
    return os.urandom(8).hex().encode()


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    """A header of the request, as it came."""
    values = [value for name, value in scope["headers"] if name == wanted]
    return b", ".join(values) if values else None


def matches(condition: bytes, tag: bytes) -> bool:
    """Whether an ``If-None-Match`` names a tag, compared weakly (RFC 9110, 13.1.2)."""
    named = {part.strip().removeprefix(b"W/") for part in condition.split(b",")}
    return condition.strip() == b"*" or tag.removeprefix(b"W/") in named


class Exchange:
    """The layer around the application.

    Args:
        app: What answers.
        direct: Finds the JSON of some answers without it; ``None`` where it cannot.
        tag: The entity tag of what is being served now; empty before anything is.
        metrics: Where requests are counted.
        record: Writes a line about a request.
    """

    def __init__(
        self,
        app: ASGIApp,
        direct: Direct,
        tag: Callable[[], bytes],
        metrics: Metrics,
        record: Callable[..., None],
    ) -> None:
        self._app, self._direct, self._tag = app, direct, tag
        self._metrics, self._record = metrics, record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != ScopeType.HTTP:
            return await self._app(scope, receive, send)
        begun, asked = time.perf_counter(), scope["method"]
        own_id, tag = _given_id(scope), self._tag()  # before the answer: a tag is never too new
        scope["state"][_STATE_ID] = own_id.decode()
        if asked == "HEAD":
            scope["method"] = HttpMethod.GET
        found = self._direct(scope)
        if found is not None:
            status = await _send(scope, send, found, tag, own_id, bodiless=asked == "HEAD")
            return self._observe(asked, DIRECT_ROUTE, status, begun, own_id)
        status, bodiless, is_read = 500, asked == "HEAD", asked in ("GET", "HEAD")

        async def observed(message: Message) -> None:
            nonlocal status, bodiless
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", own_id)]
                if status == 200 and _is_versioned(scope, headers):
                    headers = _revalidated(headers, tag)
                    condition = _header(scope, b"if-none-match")
                    if condition is not None and matches(condition, tag):
                        status, bodiless = 304, True
                        headers = [pair for pair in headers if not pair[0].startswith(b"content-")]
                message = {
                    "type": "http.response.start",
                    "status": status,
                    "headers": _completed(headers, stored=status == 200 and is_read),
                }
            elif bodiless and message["type"] == "http.response.body":
                if message.get("more_body"):
                    return
                message = _NOTHING
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            route = scope.get("path_template") or NO_ROUTE
            self._observe(asked, route, status, begun, own_id)
        return None

    def _observe(self, asked: str, route: str, status: int, begun: float, own_id: bytes) -> None:
        """Counts a request and writes its line."""
        seconds = time.perf_counter() - begun
        self._metrics.observe(asked, route, status, seconds)
        self._record(
            method=asked,
            route=route,
            status=status,
            ms=round(seconds * 1e3, 2),
            request_id=own_id.decode(),
        )


async def _send(
    scope: Scope, send: Send, found: bytes, tag: bytes, own_id: bytes, *, bodiless: bool
) -> int:
    """Sends JSON that was found directly as the application's would be; returns the status."""
    headers = [(b"x-request-id", own_id), (b"etag", tag), _VARIED, _ASKED_AGAIN, *_OURS]
    condition = _header(scope, b"if-none-match")
    status = 304 if condition is not None and matches(condition, tag) else 200
    if status == 200:
        headers[:0] = _JSON, (b"content-length", b"%d" % len(found))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if bodiless or status == 304:
        await send(_NOTHING)
    else:
        await send({"type": "http.response.body", "body": found, "more_body": False})
    return status


def _is_versioned(scope: Scope, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the answer carries an entity tag; a page does not, its templates are no version."""
    handler = scope.get("route_handler")
    if scope.get("method") != "GET" or handler is None or VERSIONED not in handler.opt:
        return False
    return not any(name == b"content-type" and value[:9] == b"text/html" for name, value in headers)


def _completed(headers: list[tuple[bytes, bytes]], *, stored: bool) -> list[tuple[bytes, bytes]]:
    """Headers and those of ours that are not among them."""
    there = {name for name, _ in headers}
    ours = _OURS if there.isdisjoint(_NAMES) else [pair for pair in _OURS if pair[0] not in there]
    if b"cache-control" not in there:
        headers.append((b"cache-control", b"no-cache" if stored else b"no-store"))
    return headers + ours


def _revalidated(headers: list[tuple[bytes, bytes]], tag: bytes) -> list[tuple[bytes, bytes]]:
    """Headers of an answer that may be kept and must be asked for again."""
    there = {name for name, _ in headers}
    stored = [] if b"cache-control" in there else [_ASKED_AGAIN]
    packed = any(name == b"vary" and b"accept-encoding" in said.lower() for name, said in headers)
    varied = [] if packed else [_VARIED]
    return [*headers, (b"etag", tag), *varied, *stored]
