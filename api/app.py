"""Puts the service together: routes, pages, errors and headers around one `Served`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.datastructures import MutableScopeHeaders
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.types import Message, Scope

from api.errors import to_problem
from api.pages import pages
from api.reporting import reports
from api.routes import api
from api.served import Served
from api.settings import Settings
from api.templating import page, templates, wants_html

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
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def _version() -> str:
    """The installed version; a plain checkout has none."""
    try:
        return version("joulewise")
    except PackageNotFoundError:
        return "0"


async def _secure(message: Message, _: Scope) -> None:
    """Puts the headers on every response, errors included."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in HEADERS.items():
            headers.setdefault(name, value)


def _trouble(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The answer to an error: problem details, as a page for a browser."""
    problem = to_problem(request, error)
    if not wants_html(request):
        return problem
    told = msgspec.json.decode(problem.content)
    served = request.app.state.served
    headers = dict(problem.headers)
    status = problem.status_code or 500
    return page("problem.html", served, None, status=status, headers=headers, problem=told)


def create_app(settings: Settings | None = None) -> Litestar:
    """The ASGI application.

    Args:
        settings: Where things are; read from the environment if not given.

    Raises:
        CatalogUnreadableError: The database URL is malformed or needs a missing driver.
    """
    served = Served(settings or Settings())

    def provide_served() -> Served:
        return served

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        app.state.served = served
        async with served.watched():
            yield

    return Litestar(
        route_handlers=[api, reports, pages],
        dependencies={"served": Provide(provide_served, sync_to_thread=False)},
        lifespan=[lifespan],
        exception_handlers={Exception: _trouble},
        before_send=[_secure],
        request_max_body_size=int(served.settings.max_upload_mb * 1e6),
        template_config=templates(),
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Joulewise",
            version=_version(),
            description="Which text classifier meets my accuracy for the least energy?",
            use_handler_docstrings=True,
            render_plugins=[JsonRenderPlugin(), YamlRenderPlugin()],
        ),
    )
