"""Jinja environment and page responses: names known to templates, header and footer."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import MediaType, Request, Response
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.template import TemplateConfig

from advisor.recommend.option import energy_from
from api.pages import (
    accuracy_model,
    at_rate,
    estimator,
    held_out,
    names,
    plots,
    summary,
    wording,
)
from api.service.problems import to_problem
from api.service.state import ServiceState
from catalog.errors import CatalogUnreadableError

NAVIGATION = {
    "/": "Advisor",
    "/compare": "Compare",
    "/accuracies": "Accuracies",
    "/catalog": "Catalog",
    "/report": "Plan",
    "/estimator": "Estimator",
}
"""Path -> name of the pages in the header."""


@functools.cache
def environment() -> Environment:
    """Jinja environment that escapes all values, with the page modules as globals."""
    made = Environment(
        loader=PackageLoader("api.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "accuracy_model": accuracy_model,
        "at_rate": at_rate,
        "energy_from": energy_from,
        "names": names,
        "summary": summary,
        "wording": wording,
        "plots": plots,
        "estimator": estimator,
        "held_out": held_out,
        "navigation": NAVIGATION,
    }
    return made


def templates() -> TemplateConfig[JinjaTemplateEngine]:
    """Template configuration of the service."""
    return TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment()))


def wants_html(request: Request[Any, Any, Any]) -> bool:
    """Whether a request prefers HTML; a client that accepts anything gets JSON."""
    return request.accept.best_match(["application/json", MediaType.HTML]) == MediaType.HTML


def pinned(served: ServiceState) -> dict[str, str] | None:
    """Catalog digest and estimator version for the footer; ``None`` while nothing is loaded."""
    try:
        now = served.now
    except CatalogUnreadableError:
        return None
    return {"digest": now.snapshot.digest, "estimator": now.estimator.version}


def page(
    name: str,
    served: ServiceState,
    place: str | None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **context: Any,
) -> Template:
    """A page that extends ``base.html``.

    Args:
        name: File name of the template.
        served: State of the service; its versions stand in the footer.
        place: Path in `NAVIGATION` that the page belongs to; ``None`` is none of them.
        status: HTTP status.
        headers: Further response headers.
        **context: Variables of the template.
    """
    return Template(
        name,
        context={"place": place, "pinned": pinned(served), **context},
        status_code=status,
        headers=headers,
        media_type=MediaType.HTML,
    )


def error_page(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The answer to an exception: problem details, as a page for a browser."""
    problem = to_problem(request, error)
    if not wants_html(request):
        return problem
    details = msgspec.json.decode(problem.content)
    served = request.app.state.served
    headers = dict(problem.headers)
    status = problem.status_code or 500
    return page("problem.html", served, None, status=status, headers=headers, problem=details)
