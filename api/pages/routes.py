"""Pages for a browser, rendered on the server; script only makes them quicker to use."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from litestar import Request, Router, get
from litestar.datastructures import CacheControlHeader, MultiDict
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Template
from litestar.static_files import create_static_files_router

from advisor.recommend.records import BadQuestionError
from api.pages import device as datasheet
from api.pages import provenance as origin
from api.pages import wording as view
from api.pages.coverage import KINDS, STATES, Asked, coverage
from api.pages.method import method
from api.pages.templating import page
from api.service.query import filled, from_form
from api.service.state import Served
from catalog.errors import CatalogUnreadableError, UnknownNameError
from catalog.records import Device
from catalog.snapshot import Snapshot

FIRST_QUESTION = {"task": "sentiment", "min_acc": "0.85"}
"""What the page answers before anybody asked."""


@functools.lru_cache(maxsize=1)
def _choices(snapshot: Snapshot) -> dict[str, Any]:
    """What the form offers; kept for the newest snapshot."""
    measured = {row.device for row in snapshot.current}
    return {
        "tasks": snapshot.tasks(),
        "devices": {
            "with measurements": sorted(name for name in snapshot.devices if name in measured),
            "estimated only": sorted(name for name in snapshot.devices if name not in measured),
        },
    }


def _without_hidden(given: MultiDict[Any]) -> MultiDict[Any]:
    """The form without a rate that a change of scenario has hidden, as nobody sees it."""
    hidden = given.get("scenario") != "server"
    return MultiDict(
        [(name, text) for name, text in given.multi_items() if not (hidden and name == "rate")]
    )


@get("/", sync_to_thread=False, include_in_schema=False)
def home(request: Request[Any, Any, Any], served: NamedDependency[Served]) -> Template:
    """The question as a sentence and, below it, the answer."""
    given = {name: text for name, text in request.query_params.items() if text.strip()}
    fields = FIRST_QUESTION | given
    context: dict[str, Any] = {"fields": fields, "answer": None, "trouble": None}
    context["specified"] = False
    context["asked"] = urlencode(fields)
    status = 200
    try:
        now = served.now
        context["choices"] = _choices(now.snapshot)
        asked = from_form(_without_hidden(request.query_params), FIRST_QUESTION)
        context["answer"] = now.advisor.recommend(asked)
        if isinstance(asked.device, str):
            fields["device"] = now.snapshot.device(asked.device).name
        context["specified"] = isinstance(asked.device, Device)
    except BadQuestionError as error:
        context["trouble"], status = error, 400
    except UnknownNameError as error:
        context["trouble"], status = error, 404
    except CatalogUnreadableError as error:
        context["trouble"], status = error, 503
        context["choices"] = {"tasks": {"sentiment": ()}, "devices": {}}
    return page("home.html", served, "/", status=status, **context)


@get("/catalog", sync_to_thread=True, include_in_schema=False)
def catalog(request: Request[Any, Any, Any], served: NamedDependency[Served]) -> Template:
    """What was measured where, as a matrix of candidates and devices."""
    asked = Asked(**filled(request.query_params, Asked.__struct_fields__))
    covered = coverage(served.now.snapshot)
    matrix = covered.matrix(asked)
    return page(
        "catalog.html",
        served,
        "/catalog",
        asked=asked,
        coverage=covered,
        matrix=matrix,
        states=STATES,
        kinds=KINDS,
        families=sorted({c.family for c in covered.snapshot.candidates.values()}),
    )


@get("/setups", sync_to_thread=True, include_in_schema=False)
def setups(
    request: Request[Any, Any, Any],
    served: NamedDependency[Served],
    candidate: FromQuery[str],
    device: FromQuery[str],
    workload: FromQuery[str | None] = None,
) -> Template:
    """Where every figure of a candidate on a device comes from, on one workload or all."""
    filled(request.query_params, ("workload", "candidate", "device"))
    now = served.now
    newest = coverage(now.snapshot).newest
    found = origin.setups(now.snapshot, now.estimator, newest, candidate, device, workload)
    return page("setups.html", served, "/catalog", found=found, answer=None, trouble=None)


@get("/devices/{slug:str}", sync_to_thread=True, include_in_schema=False)
def device(
    request: Request[Any, Any, Any], served: NamedDependency[Served], slug: FromPath[str]
) -> Template:
    """A device: its specs, what is measured there, what an estimate is worth, how to calibrate."""
    filled(request.query_params, ())
    now = served.now
    named = {view.slug(name): record for name, record in now.snapshot.devices.items()}
    there = named.get(view.slug(slug))  # a name does as well
    if there is None:
        raise UnknownNameError("device", slug, named)
    covered = coverage(now.snapshot)
    measured = covered.measured_on(there.name)
    sources = sorted({source for entry in measured for source in entry.sources})
    return page(
        "device.html",
        served,
        "/catalog",
        device=there,
        setups=covered.setups.get(there.name, 0),
        specs=datasheet.specs(there),
        source=datasheet.general_source(there),
        names=datasheet.other_names(there),
        statuses=datasheet.STATUS,
        worth=datasheet.worth(there, now.estimator, sources),
        nobody=datasheet.nobody(there, now.estimator, sources),
        measured=measured,
        base=str(request.base_url),
    )


@get("/method", sync_to_thread=True, include_in_schema=False)
def method_page(request: Request[Any, Any, Any], served: NamedDependency[Served]) -> Template:
    """The specification of every number."""
    filled(request.query_params, ())
    return page("method.html", served, None, method=method())


pages = Router(
    "/",
    route_handlers=[
        home,
        catalog,
        setups,
        device,
        method_page,
        create_static_files_router(
            "/static",
            [Path(__file__).parent / "static"],
            cache_control=CacheControlHeader(no_cache=True),
            include_in_schema=False,
        ),
    ],
)
