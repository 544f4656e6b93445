"""Routes that answer JSON to programs and a page to browsers."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromQuery

from api.pages.coverage import coverage
from api.pages.templating import page, wants_html
from api.service import listing
from api.service.listing import ListedDevice, Page
from api.service.middleware import VERSIONED
from api.service.openapi import READ_RESPONSES
from api.service.routes import Cursor, Limit
from api.service.state import LoadedCatalog, ServiceState
from catalog.records import Kind


@get(
    "/devices",
    sync_to_thread=True,
    opt={VERSIONED: True},
    responses={200: ResponseSpec(Page[ListedDevice], description="devices")} | READ_RESPONSES,
)
def devices(
    request: Request[Any, Any, Any],
    served: NamedDependency[ServiceState],
    now: NamedDependency[LoadedCatalog],
    kind: FromQuery[Kind | None] = None,
    q: FromQuery[str | None] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response[Any]:
    """Devices with the figures of their data sheets and the class defaults of those they lack.

    `q` keeps devices whose names hold all its words, or the device of a cloud instance. Browsers
    get a page of all of them.
    """
    vary = {"Vary": "Accept"}
    if wants_html(request):
        kinds = coverage(now.snapshot).devices(kind)
        return page("devices.html", served, "/catalog", headers=vary, kinds=kinds, kind=kind)
    return Response(listing.devices(now.snapshot, kind, q, limit, cursor), headers=vary)


@get(
    "/estimator",
    sync_to_thread=False,
    opt={VERSIONED: True},
    responses={200: ResponseSpec(dict[str, Any], description="the scorecard")} | READ_RESPONSES,
)
def scorecard(
    request: Request[Any, Any, Any],
    served: NamedDependency[ServiceState],
    now: NamedDependency[LoadedCatalog],
) -> Response[Any]:
    """Errors of the estimator on devices and models it had not seen; a page for browsers."""
    card, vary = now.estimator.scorecard, {"Vary": "Accept"}
    if wants_html(request):
        return page("estimator.html", served, "/estimator", headers=vary, card=card)
    return Response(card, headers=vary)
