"""Routes that answer JSON to programs and a page to browsers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import OpenAPIType, Operation, Schema
from litestar.openapi.spec import Parameter as DocumentedParameter
from litestar.params import FromQuery, QueryParameter
from litestar.response import Redirect

from advisor.recommend.query import BadQuestionError
from advisor.report import grid_factors
from api.pages import compare as comparing
from api.pages import names
from api.pages.accuracies import accuracy_page
from api.pages.accuracy_model import card as accuracy_card
from api.pages.coverage import coverage
from api.pages.templating import page, wants_html
from api.service import accuracies, listing
from api.service.accuracies import AccuracyFilter
from api.service.listing import ListedDevice, Page
from api.service.middleware import VERSIONED
from api.service.openapi import (
    CONTENT_TYPES,
    READ_RESPONSES,
    FilesOperation,
    RecommendOperation,
)
from api.service.routes import Cursor, Limit, encoded, provide_accuracy_filter
from api.service.state import LoadedCatalog, ServiceState
from catalog.evidence import Metric
from catalog.records import Kind
from catalog.store.newest import ALL


async def tidy(request: Request[Any, Any, Any]) -> Redirect | None:
    """Sends a browser's form on without its empty fields."""
    given = list(request.query_params.multi_items())
    kept = [(name, text) for name, text in given if text.strip()]
    if len(kept) == len(given) or not wants_html(request):
        return None
    return Redirect(f"{request.url.path}?{urlencode(kept)}")


@get(
    "/devices",
    before_request=tidy,
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
        wanted = {row.name for row in listing.devices(now.snapshot, None, q, ALL, None).items}
        kinds = coverage(now.snapshot).devices(kind, wanted)
        shown: dict[str, Any] = {"kinds": kinds, "kind": kind, "q": q or ""}
        return page("devices.html", served, "/catalog", headers=vary, **shown)
    return Response(listing.devices(now.snapshot, kind, q, limit, cursor), headers=vary)


@get(
    "/accuracies",
    before_request=tidy,
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
        shown = await asyncio.to_thread(accuracy_page, now.snapshot, rows_filter, limit, cursor)
        return page("accuracies.html", served, "/accuracies", headers=vary, **shown)
    found = await asyncio.to_thread(
        lambda: accuracies.listed(
            now.snapshot, rows_filter, evidence=evidence, metric=metric, limit=limit, cursor=cursor
        )
    )
    return encoded(msgspec.json.encode(found), headers=vary)


@dataclass
class CompareOperation(Operation):
    """`/compare` in the OpenAPI document: parameters of `/recommend` and its own."""

    def __post_init__(self) -> None:
        """Adds the parameters that `comparing.compare` takes."""
        text, number = Schema(type=OpenAPIType.STRING), Schema(type=OpenAPIType.NUMBER)
        several = Schema(type=OpenAPIType.ARRAY, items=text)
        own = (
            ("candidate", several, "candidates or families, 2 to 5 of them, each stated apart"),
            ("device", several, "machines, 4 at most, each stated apart"),
            ("texts_per_day", number, "of the year's figures; 100,000 by default"),
            ("price_per_kwh", number, "EUR; 0.30 by default"),
            ("region", text, "whose grid factor is used, by name or ISO code; World by default"),
            ("format", text, "json, also for a browser"),
        )
        shared = RecommendOperation().parameters or []
        self.parameters = [
            *(
                replace(each, required=False)
                for each in shared
                if isinstance(each, DocumentedParameter) and each.name in comparing.ASKED
            ),
            *(
                DocumentedParameter(name=name, param_in="query", description=words, schema=schema)
                for name, schema, words in own
            ),
        ]


@get(
    "/compare",
    before_request=tidy,
    sync_to_thread=True,
    operation_class=CompareOperation,
    opt={VERSIONED: True},
    responses={200: ResponseSpec(comparing.Comparison, description="figures")} | READ_RESPONSES,
)
def compare(
    request: Request[Any, Any, Any], served: NamedDependency[ServiceState]
) -> Response[Any]:
    """Candidates or families side by side on one or several machines; a page for browsers.

    A family stands with its member of least energy that reaches ``min_acc``, else with its most
    accurate one.
    """
    given, vary = request.query_params, {"Vary": "Accept"}
    form = given.get("format", "json")
    if form != "json":
        raise BadQuestionError("format", form, "allowed: json")
    found = comparing.compare(served.now.advisor, given)
    if "format" in given or not wants_html(request):
        return Response(found, headers=vary)
    workload = served.now.snapshot.workloads[found.workload]
    asked = urlencode(list(given.multi_items()))
    own: dict[str, Any] = {
        "found": found,
        "workload": workload,
        "given": given,
        "asked": asked,
        "tasks": names.grouped_tasks(served.now.snapshot.tasks()),
        "regions": sorted({each.name for each in grid_factors.factors().values()}),
    }
    return page("compare.html", served, "/compare", headers=vary, **own)


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
    """Errors of the estimator on devices and models it had not seen; a page for browsers.

    ``accuracy`` holds those of the accuracy model on data sets it had not seen.
    """
    card, vary = now.estimator.scorecard | {"accuracy": accuracy_card()}, {"Vary": "Accept"}
    if wants_html(request):
        return page("estimator.html", served, "/estimator", headers=vary, card=card)
    return Response(card, headers=vary)
