"""Puts the service together: routes, pages, errors and headers around one `ServiceState`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.config.compression import CompressionConfig
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.stores.memory import MemoryStore

from api.pages.routes import pages
from api.pages.templating import page, templates, wants_html
from api.report.routes import reports
from api.service import direct, logs
from api.service.metrics import Metrics
from api.service.middleware import ServiceMiddleware
from api.service.problems import to_problem
from api.service.rate_limit import limiter
from api.service.routes import api, recommend
from api.service.settings import Settings
from api.service.state import ServiceState, code_version, limit_arenas

LIMIT_STORE = "rate_limit"
"""Where the limiter counts."""


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
    settings = settings or Settings()
    logs.configure(settings.log_level)
    limit_arenas()
    served = ServiceState(settings)
    counts = MemoryStore()
    metrics = Metrics(served.served_catalog)

    def provide_served() -> ServiceState:
        return served

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        app.state.served, app.state.metrics = served, metrics
        async with served.follow(counts.delete_expired):
            yield

    limited = settings.rate_limit
    app = Litestar(
        route_handlers=[recommend, api, reports, pages],
        dependencies={"served": Provide(provide_served, sync_to_thread=False)},
        lifespan=[lifespan],
        exception_handlers={Exception: _trouble},
        middleware=[limiter(limited, settings.trusted_proxies)] if limited else [],
        stores={LIMIT_STORE: counts},
        compression_config=CompressionConfig(
            "brotli",
            minimum_size=1000,
            brotli_quality=4,
            brotli_gzip_fallback=True,
            gzip_compress_level=5,
        ),
        request_max_body_size=int(settings.max_upload_mb * 1e6),
        template_config=templates(),
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Joulewise",
            version=code_version(),
            description="Which text classifier meets my accuracy for the least energy?",
            use_handler_docstrings=True,
            components=Components(
                security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}
            ),
            render_plugins=[JsonRenderPlugin(), YamlRenderPlugin()],
        ),
    )
    found = direct.nothing if limited else direct.recommendations(served)
    app.asgi_handler = ServiceMiddleware(
        app.asgi_handler, found, served.etag, metrics, logs.access_log(settings.log_level)
    )
    return app
