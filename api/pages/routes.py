"""Routes of the HTML pages, rendered on the server; they work without script."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Literal
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
from api.pages import names, provenance, suggest, summary, wording
from api.pages.coverage import KINDS, STATES, CoverageFilter, coverage
from api.pages.documents import DOCUMENTS, document, path_of
from api.pages.negotiated import compare
from api.pages.summary import VOLUME, volume_of
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
    return {
        "tasks": names.grouped_tasks(snapshot.tasks()),
        "data_sets": {
            task: [(name, names.described(snapshot.workloads[name])) for name in workloads]
            for task, workloads in snapshot.tasks().items()
        },
        "languages": [(code, f"in {name}") for code, name in names.languages(snapshot)],
    }


def _asked(given: MultiDict[Any]) -> MultiDict[Any]:
    """The fields that are of the question: not the volume, not the rate where it is hidden."""
    left = {*VOLUME, *(() if given.get("scenario") == "server" else ("rate",))}
    return MultiDict([(name, text) for name, text in given.multi_items() if name not in left])


def _answered(served: ServiceState, request: Request[Any, Any, Any], fields: dict[str, str]) -> Any:
    """What the page shows of the question that a form asked; names the fields as understood."""
    now = served.now
    query = from_form(_asked(request.query_params), FIRST_QUESTION)
    if "limit" not in fields:
        query = msgspec.structs.replace(query, limit=LISTED)
    typed = query.device
    if isinstance(typed, str):
        query = msgspec.structs.replace(query, device=suggest.meant(now.advisor, typed))
    volume = volume_of(fields)
    answer = now.advisor.recommend(query)
    if isinstance(query.device, str):
        fields["device"] = answer.machine.instance or answer.machine.device
    address = f"{request.base_url}?{urlencode(fields)}"
    return {
        "answer": answer,
        "brief": summary.brief(now.advisor, query),
        "volume": summary.at_rate(volume, answer.group.rate_per_s),
        "workload": now.snapshot.workloads[answer.group.workload],
        "citation": summary.citation(answer, now.snapshot, address),
        "ways_out": summary.ways_out(answer, fields),
        "specified": isinstance(query.device, Device),
        "asked": urlencode({name: text for name, text in fields.items() if name not in VOLUME}),
    }


@get("/", sync_to_thread=False, include_in_schema=False)
def home(request: Request[Any, Any, Any], served: NamedDependency[ServiceState]) -> Template:
    """The question as a form and, below it, the answer."""
    given = {name: text for name, text in request.query_params.items() if text.strip()}
    fields = FIRST_QUESTION | given
    context: dict[str, Any] = {"fields": fields, "answer": None, "trouble": None}
    context["specified"] = False
    context["machines"] = ()
    status = 200
    try:
        context["choices"] = _choices(served.now.snapshot)
        context["machines"] = suggest.machines(served.now.advisor, "")
        context |= _answered(served, request, fields)
    except (BadQuestionError, ImplausibleSpecError) as error:
        context["trouble"], status = error, 400
    except UnknownNameError as error:
        context["trouble"], status = error, 404
        nearest = ((name, fields | {error.kind: name}) for name in error.nearest)
        context["instead"] = [(name, f"/?{urlencode(asked)}") for name, asked in nearest]
    except CatalogUnreadableError as error:
        context["trouble"], status = error, 503
        context["choices"] = {"tasks": {}, "data_sets": {}, "languages": []}
    return page("home.html", served, "/", status=status, **context)


@get("/suggest/{kind:str}", sync_to_thread=False, include_in_schema=False)
def suggestions(
    served: NamedDependency[ServiceState],
    kind: FromPath[Literal["machines", "candidates"]],
    q: FromQuery[str] = "",
) -> list[dict[str, str]]:
    """Names that hold what was typed, for the fields of pages."""
    now = served.now
    if kind == "machines":
        found = suggest.machines(now.advisor, q)
    else:
        found = suggest.candidates(now.snapshot, q)
    return [{"name": each.name, "about": each.about} for each in found]


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
        suggestions,
        compare,
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
