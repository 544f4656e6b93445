"""Routes of the HTML pages, rendered on the server; they work without script."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Router, get
from litestar.datastructures import CacheControlHeader, MultiDict
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Template
from litestar.static_files import create_static_files_router

from advisor.recommend.query import BadQuestionError
from api.pages import device as device_page
from api.pages import provenance, wording
from api.pages.coverage import KINDS, STATES, CoverageFilter, coverage
from api.pages.documents import DOCUMENTS, document, path_of
from api.pages.templating import page
from api.service.query import filled, from_form
from api.service.state import ServiceState
from catalog.errors import CatalogUnreadableError, ImplausibleSpecError, UnknownNameError
from catalog.records import Device
from catalog.snapshot import Snapshot

FIRST_QUESTION = {"task": "sentiment", "min_acc": "0.85"}
"""Defaults of the form's fields."""
LISTED = 100
"""Entries of a page's lists, where the question states no limit."""


@functools.lru_cache(maxsize=1)
def _choices(snapshot: Snapshot) -> dict[str, Any]:
    """Choices of the form; cached for the latest snapshot."""
    measured = {row.device for row in snapshot.current}
    return {
        "tasks": snapshot.tasks(),
        "devices": {
            "with measurements": sorted(name for name in snapshot.devices if name in measured),
            "estimated only": sorted(name for name in snapshot.devices if name not in measured),
        },
    }


def _without_hidden(given: MultiDict[Any]) -> MultiDict[Any]:
    """The form's fields; without the rate unless the scenario is ``server``, as it is hidden."""
    rate_hidden = given.get("scenario") != "server"
    return MultiDict(
        [(name, text) for name, text in given.multi_items() if not (rate_hidden and name == "rate")]
    )


@get("/", sync_to_thread=False, include_in_schema=False)
def home(request: Request[Any, Any, Any], served: NamedDependency[ServiceState]) -> Template:
    """The question as a form and, below it, the answer."""
    given = {name: text for name, text in request.query_params.items() if text.strip()}
    fields = FIRST_QUESTION | given
    context: dict[str, Any] = {"fields": fields, "answer": None, "trouble": None}
    context["specified"] = False
    context["asked"] = urlencode(fields)
    status = 200
    try:
        now = served.now
        context["choices"] = _choices(now.snapshot)
        query = from_form(_without_hidden(request.query_params), FIRST_QUESTION)
        if "limit" not in fields:
            query = msgspec.structs.replace(query, limit=LISTED)
        context["answer"] = now.advisor.recommend(query)
        if isinstance(query.device, str):
            fields["device"] = now.snapshot.device(query.device).name
        context["specified"] = isinstance(query.device, Device)
    except (BadQuestionError, ImplausibleSpecError) as error:
        context["trouble"], status = error, 400
    except UnknownNameError as error:
        context["trouble"], status = error, 404
    except CatalogUnreadableError as error:
        context["trouble"], status = error, 503
        context["choices"] = {"tasks": {"sentiment": ()}, "devices": {}}
    return page("home.html", served, "/", status=status, **context)


@get("/catalog", sync_to_thread=True, include_in_schema=False)
def catalog(request: Request[Any, Any, Any], served: NamedDependency[ServiceState]) -> Template:
    """Coverage of the catalog as a matrix of candidates by devices."""
    wanted = CoverageFilter(**filled(request.query_params, CoverageFilter.__struct_fields__))
    covered = coverage(served.now.snapshot)
    matrix = covered.matrix(wanted)
    return page(
        "catalog.html",
        served,
        "/catalog",
        asked=wanted,
        coverage=covered,
        matrix=matrix,
        states=STATES,
        kinds=KINDS,
        families=sorted({c.family for c in covered.snapshot.candidates.values()}),
    )


@get("/setups", sync_to_thread=True, include_in_schema=False)
def setups(
    request: Request[Any, Any, Any],
    served: NamedDependency[ServiceState],
    candidate: FromQuery[str],
    device: FromQuery[str],
    workload: FromQuery[str | None] = None,
) -> Template:
    """Provenance of every figure of a candidate on a device, on one workload or all."""
    filled(request.query_params, ("workload", "candidate", "device"))
    now = served.now
    newest = coverage(now.snapshot).newest
    found = provenance.setups(now.advisor, newest, candidate, device, workload)
    return page("setups.html", served, "/catalog", found=found, answer=None, trouble=None)


@get("/devices/{slug:str}", sync_to_thread=True, include_in_schema=False)
def device(
    request: Request[Any, Any, Any], served: NamedDependency[ServiceState], slug: FromPath[str]
) -> Template:
    """A device: specs, measured workloads, width of estimates, how to calibrate it."""
    filled(request.query_params, ())
    now = served.now
    named = {wording.slug(name): record for name, record in now.snapshot.devices.items()}
    record = named.get(wording.slug(slug))  # a name works too
    if record is None:
        raise UnknownNameError("device", slug, named)
    covered = coverage(now.snapshot)
    measured = covered.measured_on(record.name)
    sources = sorted({source for entry in measured for source in entry.sources})
    return page(
        "device.html",
        served,
        "/catalog",
        device=record,
        setups=covered.setups.get(record.name, 0),
        specs=device_page.specs(record),
        source=device_page.general_source(record),
        names=device_page.other_names(record),
        statuses=device_page.STATUS,
        widths=device_page.estimate_widths(record, now.estimator, sources),
        unknown_user=device_page.unknown_user(record, now.estimator, sources),
        measured=measured,
        base=str(request.base_url),
    )


@get("/method", sync_to_thread=True, include_in_schema=False)
def method(request: Request[Any, Any, Any], served: NamedDependency[ServiceState]) -> Template:
    """The specification of every number."""
    return _document(request, served, DOCUMENTS[0])


@get("/method/{name:str}", sync_to_thread=True, include_in_schema=False)
def beside_method(
    request: Request[Any, Any, Any], served: NamedDependency[ServiceState], name: FromPath[str]
) -> Template:
    """A document beside the specification."""
    if name not in DOCUMENTS:
        raise UnknownNameError("document", name, DOCUMENTS)
    return _document(request, served, name)


def _document(request: Request[Any, Any, Any], served: ServiceState, name: str) -> Template:
    """The page of one of `DOCUMENTS`, with links to the others."""
    filled(request.query_params, ())
    others = [(path_of(each), document(each).title) for each in DOCUMENTS if each != name]
    return page("document.html", served, None, document=document(name), others=others)


pages = Router(
    "/",
    route_handlers=[
        home,
        catalog,
        setups,
        device,
        method,
        beside_method,
        create_static_files_router(
            "/static",
            [Path(__file__).parent / "static"],
            cache_control=CacheControlHeader(no_cache=True),
            include_in_schema=False,
        ),
    ],
)
