"""How a page is made: the templates, the words they know and what every page carries."""

from __future__ import annotations

import functools
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import MediaType, Request
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.template import TemplateConfig

from api.pages import at_rate, held_out
from api.pages import estimator as scorecard
from api.pages import other_groups as elsewhere
from api.pages import plots as charts
from api.pages import wording as view
from api.service.state import Served
from catalog.errors import CatalogUnreadableError

PLACES = {"/": "Advisor", "/catalog": "Catalog", "/report": "Plan", "/estimator": "Estimator"}
"""Path -> name of what the header leads to."""


@functools.cache
def environment() -> Environment:
    """Templates that escape everything and know the words of `api.pages.wording`."""
    made = Environment(
        loader=PackageLoader("api.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "at_rate": at_rate,
        "elsewhere": elsewhere,
        "view": view,
        "charts": charts,
        "scorecard": scorecard,
        "held_out": held_out,
        "places": PLACES,
    }
    return made


def templates() -> TemplateConfig[JinjaTemplateEngine]:
    """The templates as the service takes them."""
    return TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment()))


def wants_html(request: Request[Any, Any, Any]) -> bool:
    """Whether who asks is a browser; a client that takes anything is none."""
    return request.accept.best_match(["application/json", MediaType.HTML]) == MediaType.HTML


def pinned(served: Served) -> dict[str, str] | None:
    """Versions in the footer of every page; ``None`` while nothing is loaded."""
    try:
        now = served.now
    except CatalogUnreadableError:
        return None
    return {"digest": now.snapshot.digest, "estimator": now.estimator.version}


def page(
    name: str,
    served: Served,
    place: str | None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **context: Any,
) -> Template:
    """A page that extends ``base.html``.

    Args:
        name: File name of the template.
        served: What answers; its versions stand in the footer.
        place: Which of `PLACES` the page belongs to, by path.
        status: Of the response.
        headers: Of the response.
        **context: What the template shows.
    """
    return Template(
        name,
        context={"place": place, "pinned": pinned(served), **context},
        status_code=status,
        headers=headers,
        media_type=MediaType.HTML,
    )
