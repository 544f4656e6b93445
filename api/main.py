"""Composition root: every route in one application, and the command `joulewise`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litestar import Litestar

    from api.service.settings import Settings


def create_app(settings: Settings | None = None) -> Litestar:
    """The ASGI application with its JSON routes, reports and pages.

    Args:
        settings: Where things are; read from the environment if not given.

    Raises:
        CatalogUnreadableError: The database URL is malformed or needs a missing driver.
    """
    from api.pages.negotiated import accuracy_results, devices, scorecard
    from api.pages.routes import pages
    from api.pages.templating import error_page, templates
    from api.report.routes import reports
    from api.service import app
    from api.service.routes import json_routes, recommend
    from api.service.settings import Settings

    return app.create_app(
        settings or Settings(),
        [recommend, json_routes(accuracy_results, devices, scorecard), reports, pages],
        on_error=error_page,
        template_config=templates(),
    )


def main() -> None:
    """Runs `joulewise`; the service's libraries are loaded by `joulewise serve` alone."""
    from api.cli.main import app

    app()
