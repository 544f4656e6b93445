"""Routes that answer JSON to programs and a page to browsers."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.params import FromQuery, QueryParameter

from api.pages.accuracies import accuracy_page
from api.pages.coverage import coverage
from api.pages.templating import page, wants_html
from api.service import accuracies, listing
from api.service.accuracies import AccuracyFilter
from api.service.listing import ListedDevice, Page
from api.service.middleware import VERSIONED
from api.service.openapi import CONTENT_TYPES, READ_RESPONSES, FilesOperation
from api.service.routes import Cursor, Limit, encoded, provide_accuracy_filter
from api.service.state import LoadedCatalog, ServiceState
from catalog.evidence import Metric
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
    "/accuracies",
    dependencies={"rows_filter": Provide(provide_accuracy_filter, sync_to_thread=False)},
    operation_class=FilesOperation,
    opt={VERSIONED: True},
    responses={200: ResponseSpec(Page[dict[str, Any]], description="results")} | READ_RESPONSES,
)
async def accuracy_results(
    request: Request[Any, Any, Any],
    served: NamedDependency[ServiceState],
    now: NamedDependency[LoadedCatalog],
    rows_filter: NamedDependency[AccuracyFilter],
    evidence: Annotated[
        bool,
        QueryParameter(description="true: one value with interval per candidate and regime"),
    ] = False,
    metric: FromQuery[Metric] = "accuracy",
    form: Annotated[
        Literal["json", "csv", "parquet"],
        QueryParameter(name="format", description="csv and parquet hold every row that matches"),
    ] = "json",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response[Any]:
    """Accuracies of candidates on workloads with source and protocol; a page for browsers."""
    vary = {"Vary": "Accept"}
    if form != "json":
        content = await asyncio.to_thread(
            lambda: accuracies.as_file([*accuracies.results(now.snapshot, rows_filter)], form)
        )
        vary["Content-Disposition"] = f'attachment; filename="accuracies.{form}"'
        return encoded(content, CONTENT_TYPES[form], vary)
    if wants_html(request):
        shown = await asyncio.to_thread(accuracy_page, now.snapshot, rows_filter)
        return page("accuracies.html", served, "/accuracies", headers=vary, **shown)
    found = await asyncio.to_thread(
        lambda: accuracies.listed(
            now.snapshot, rows_filter, evidence=evidence, metric=metric, limit=limit, cursor=cursor
        )
    )
    return encoded(msgspec.json.encode(found), headers=vary)


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
