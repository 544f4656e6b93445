"""ASGI application: routes, errors, limits and headers around one `ServiceState`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response
from litestar.config.compression import CompressionConfig
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.stores.memory import MemoryStore
from litestar.template import TemplateConfig
from litestar.types import ControllerRouterHandler

from api.service import logs
from api.service.metrics import Metrics
from api.service.middleware import ServiceMiddleware
from api.service.openapi import docs, openapi_document, operation_id
from api.service.problems import to_problem
from api.service.rate_limit import limiter
from api.service.settings import Settings
from api.service.state import ServiceState, code_version, limit_arenas

ErrorHandler = Callable[[Request[Any, Any, Any], Exception], Response[Any]]
LIMIT_STORE = "rate_limit"
"""Where the limiter counts."""


def create_app(
    settings: Settings,
    route_handlers: Sequence[ControllerRouterHandler],
    *,
    on_error: ErrorHandler = to_problem,
    template_config: TemplateConfig[Any] | None = None,
) -> Litestar:
    """The ASGI application around one catalog and estimator.

    Args:
        settings: Where things are.
        route_handlers: All routes; `api.main` gathers them from every room.
        on_error: Makes the response to an exception.
        template_config: What renders pages.

    Raises:
        CatalogUnreadableError: The database URL is malformed or needs a missing driver.
    """
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
        route_handlers=[*route_handlers, openapi_document, docs],
        dependencies={"served": Provide(provide_served, sync_to_thread=False)},
        lifespan=[lifespan],
        exception_handlers={Exception: on_error},
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
        template_config=template_config,
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Joulewise",
            version=code_version(),
            description="Which text classifier meets my accuracy for the least energy?",
            use_handler_docstrings=True,
            operation_id_creator=operation_id,
            components=Components(
                security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}
            ),
            render_plugins=[JsonRenderPlugin(), YamlRenderPlugin()],
        ),
    )
    app.asgi_handler = ServiceMiddleware(
        app.asgi_handler, served.etag, metrics, logs.access_log(settings.log_level)
    )
    return app
