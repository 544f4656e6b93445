"""Pages for a browser, rendered on the server; script only makes them quicker to use."""

from __future__ import annotations

import functools
import gzip
import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, Router, get
from litestar.datastructures import CacheControlHeader, MultiDict
from litestar.di import NamedDependency
from litestar.response import Template
from litestar.static_files import create_static_files_router

from advisor import policy
from advisor.records import BadQuestionError, Query
from api.served import Served
from api.templating import page
from catalog.errors import CatalogUnreadableError, UnknownNameError
from catalog.snapshot import Snapshot

FIRST_QUESTION = {"task": "sentiment", "min_acc": "0.85"}
"""What the page answers before anybody asked."""
PLOTLY = f"plotly-{version('plotly')}.min.js"
_YEAR_S = 365 * 24 * 3600


def filled(given: MultiDict[Any]) -> dict[str, str]:
    """The fields of a form somebody filled in; an empty one was not asked, .9 means 0.9."""
    fields = {name: value.strip() for name, value in given.items() if value.strip()}
    return {name: f"0{text}" if text.startswith(".") else text for name, text in fields.items()}


def question(fields: dict[str, str]) -> Query:
    """The question of a form.

    Raises:
        BadQuestionError: A field's value does not fit.
    """
    cells = FIRST_QUESTION | fields
    try:
        return msgspec.convert(cells, Query, strict=False)
    except msgspec.ValidationError as error:
        allowed, _, where = str(error).partition(" - at `$.")
        field = where.rstrip("`")
        raise BadQuestionError(field, cells.get(field), allowed) from error


def _choices(snapshot: Snapshot) -> dict[str, Any]:
    """What the form offers."""
    measured = {row.device for row in snapshot.current}
    return {
        "tasks": snapshot.tasks(),
        "devices": {
            "with measurements": sorted(name for name in snapshot.devices if name in measured),
            "estimated only": sorted(name for name in snapshot.devices if name not in measured),
        },
    }


@get("/", sync_to_thread=False, include_in_schema=False)
def home(request: Request[Any, Any, Any], served: NamedDependency[Served]) -> Template:
    """The question as a sentence and, below it, the answer."""
    fields = filled(request.query_params)
    context: dict[str, Any] = {"fields": FIRST_QUESTION | fields, "answer": None, "trouble": None}
    context |= {"plotly": PLOTLY, "plotly_sheets": _plotly_sheets()}
    status = 200
    try:
        now = served.now
        context["choices"] = _choices(now.snapshot)
        context["answer"] = policy.recommend(now.snapshot, now.estimator, question(fields))
    except BadQuestionError as error:
        context["trouble"], status = error, 400
    except UnknownNameError as error:
        context["trouble"], status = error, 404
    except CatalogUnreadableError as error:
        context["trouble"], status = error, 503
        context["choices"] = {"tasks": {"sentiment": ()}, "devices": {}}
    return page("home.html", served, "/", status=status, **context)


@functools.cache
def _plotly(*, packed: bool = False) -> bytes:
    """Plotly's own JavaScript as its Python package carries it."""
    found = find_spec("plotly")
    if found is None or found.origin is None:
        raise FileNotFoundError("the package plotly is not installed")
    content = (Path(found.origin).parent / "package_data" / "plotly.min.js").read_bytes()
    return gzip.compress(content, 9) if packed else content


@functools.cache
def _plotly_sheets() -> list[str]:
    """Ids of style sheets plotly would insert for maps; where they exist it leaves that out.

    The content security policy refuses inserted sheets, and no page here shows a map.
    """
    return re.findall(r'getElementById\("([0-9a-f]{64})"\)', _plotly().decode())


@get(f"/static/{PLOTLY}", sync_to_thread=True, include_in_schema=False)
def plotly_script(request: Request[Any, Any, Any]) -> Response[bytes]:
    """plotly, served from here; its version is in the path, so browsers keep it."""
    packed = "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Cache-Control": f"public, max-age={_YEAR_S}, immutable", "Vary": "Accept-Encoding"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(_plotly(packed=packed), media_type="text/javascript", headers=headers)


pages = Router(
    "/",
    route_handlers=[
        home,
        plotly_script,
        create_static_files_router(
            "/static",
            [Path(__file__).parent / "static"],
            cache_control=CacheControlHeader(no_cache=True),
            include_in_schema=False,
        ),
    ],
)
