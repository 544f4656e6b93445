"""The JSON routes: each handler parses a request, calls one function and returns its result."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, FromQuery, QueryParameter, RawBody

from advisor.recommend.records import Recommendation
from api.service import listing, upload
from api.service.accuracies import AccuracyFilter
from api.service.estimate import EstimateAnswer, EstimateRequest, estimate, requested_machine
from api.service.listing import Filter, Page, Task
from api.service.metrics import MEDIA_TYPE
from api.service.middleware import VERSIONED
from api.service.openapi import (
    CONTENT_TYPES,
    READ_RESPONSES,
    FilesOperation,
    RecommendOperation,
    UploadOperation,
    problems,
)
from api.service.options import as_file
from api.service.query import only_declared, read_with_format
from api.service.rate_limit import UNLIMITED
from api.service.state import LoadedCatalog, ServiceState
from catalog.accuracy import Contamination, NumericFormat, Regime, Tier
from catalog.records import Candidate, Measurement, Phase, Scenario, Workload

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="items per page, 1 to 1000")]
Setup = Annotated[
    EstimateRequest,
    BodyKwarg(
        schema_component_key="EstimateAsked",  # its name in the OpenAPI document
        examples=[
            Example(value={"n_parameters": 66e6, "device": "NVIDIA A30", "runtime_s_per_1000": 0.8})
        ],
    ),
]
Cursor = Annotated[str | None, QueryParameter(description="the value of `next` in the page before")]


@get(
    "/recommend",
    operation_class=RecommendOperation,
    opt={VERSIONED: True},
    responses={200: ResponseSpec(Recommendation, description="the answer")} | READ_RESPONSES,
    summary="The least-energy classifier that meets an accuracy floor",
)
async def recommend(request: Request[Any, Any, Any]) -> Response[Any]:
    """Among candidates that reach the floor, the one of least energy, and why others lost."""
    query, form = read_with_format(request.scope["query_string"])
    advisor = request.app.state.served.now.advisor
    if form == "json":
        return encoded(advisor.encode(query))
    content = await asyncio.to_thread(lambda: as_file(advisor.recommend(query), form))
    headers = {"Content-Disposition": f'attachment; filename="options.{form}"'}
    return encoded(content, CONTENT_TYPES[form], headers)


@get("/tasks", sync_to_thread=False, opt={VERSIONED: True}, responses=READ_RESPONSES)
def tasks(
    now: NamedDependency[LoadedCatalog], limit: Limit = 100, cursor: Cursor = None
) -> Page[Task]:
    """What can be asked for."""
    return listing.page(listing.tasks(now.snapshot), lambda _: True, limit, cursor)


@get(
    "/workloads",
    sync_to_thread=False,
    opt={VERSIONED: True},
    responses=READ_RESPONSES,
)
def workloads(
    now: NamedDependency[LoadedCatalog],
    task: FromQuery[str | None] = None,
    language: FromQuery[str | None] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Workload]:
    """Data sets, each with its task."""
    slug = None if task is None else now.snapshot.task(task)
    return listing.page(
        tuple(now.snapshot.workloads.values()),
        lambda row: slug in (None, row.task) and language in (None, row.language),
        limit,
        cursor,
    )


@get(
    "/candidates",
    sync_to_thread=False,
    opt={VERSIONED: True},
    responses=READ_RESPONSES,
)
def candidates(
    now: NamedDependency[LoadedCatalog],
    family: FromQuery[str | None] = None,
    runnable: FromQuery[bool | None] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Candidate]:
    """Ways to classify texts; `runnable` ones can be calibrated here."""
    rows = tuple(now.snapshot.candidates.values())
    listing.check_name("family", family, (row.family for row in rows))
    return listing.page(
        rows,
        lambda row: family in (None, row.family) and runnable in (None, row.runnable),
        limit,
        cursor,
    )


def encoded(
    content: bytes, media_type: str = "application/json", headers: dict[str, str] | None = None
) -> Response[Any]:
    """A response from a body that is encoded already."""
    return Response(content, media_type=media_type, headers=headers)


def provide_filter(
    task: FromQuery[str | None] = None,
    device: FromQuery[str | None] = None,
    workload: FromQuery[str | None] = None,
    candidate: FromQuery[str | None] = None,
    phase: FromQuery[Phase | None] = None,
    scenario: FromQuery[Scenario | None] = None,
    backend: FromQuery[str | None] = None,
    precision: FromQuery[str | None] = None,
    source: FromQuery[str | None] = None,
    current: Annotated[
        bool | None, QueryParameter(description="true: the newest row of each setup")
    ] = None,
) -> Filter:
    """The filters of `/measurements`."""
    return Filter(
        task=task,
        device=device,
        workload=workload,
        candidate=candidate,
        phase=phase,
        scenario=scenario,
        backend=backend,
        precision=precision,
        source=source,
        current=current,
    )


@get(
    "/measurements",
    dependencies={"rows_filter": Provide(provide_filter, sync_to_thread=False)},
    operation_class=FilesOperation,
    opt={VERSIONED: True},
    responses=READ_RESPONSES,
)
async def measurements(
    now: NamedDependency[LoadedCatalog],
    rows_filter: NamedDependency[Filter],
    form: Annotated[
        Literal["json", "csv", "parquet"],
        QueryParameter(name="format", description="csv and parquet hold every row that matches"),
    ] = "json",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response[Page[Measurement]]:
    """What was measured: rows with joules per component and the label of each."""
    if form == "json":
        found = await asyncio.to_thread(
            listing.measurements, now.snapshot, rows_filter, limit, cursor
        )
        return encoded(msgspec.json.encode(Page([*map(listing.to_json, found.items)], found.next)))
    rows = listing.filtered_rows(now.snapshot, rows_filter)
    content = await asyncio.to_thread(
        lambda: upload.to_run_file([row for _, row in rows], now.snapshot, form)
    )
    headers = {"Content-Disposition": f'attachment; filename="measurements.{form}"'}
    return encoded(content, CONTENT_TYPES[form], headers)


def provide_accuracy_filter(
    task: FromQuery[str | None] = None,
    workload: FromQuery[str | None] = None,
    candidate: FromQuery[str | None] = None,
    language: FromQuery[str | None] = None,
    family: FromQuery[str | None] = None,
    regime: FromQuery[Regime | None] = None,
    numeric_format: FromQuery[NumericFormat | None] = None,
    contamination: FromQuery[Contamination | None] = None,
    tier: FromQuery[Tier | None] = None,
    source: FromQuery[str | None] = None,
) -> AccuracyFilter:
    """The filters of `/accuracies`."""
    return AccuracyFilter(
        task=task,
        workload=workload,
        candidate=candidate,
        language=language,
        family=family,
        regime=regime,
        numeric_format=numeric_format,
        contamination=contamination,
        tier=tier,
        source=source,
    )


@post(
    "/measurements",
    guards=[upload.require_write_token],
    operation_class=UploadOperation,
    status_code=201,
    security=[{"token": []}],
    responses=problems(400, 401, 403, 409, 413, 415, 422, 429, 503),
)
async def add_measurements(
    request: Request[Any, Any, Any], body: RawBody, served: NamedDependency[ServiceState]
) -> upload.Written:
    """Stores a run file, all of it or nothing; sending it again changes nothing.

    It may bring measurements, accuracies (rows without a device) or both.
    """
    form = upload.media_format(request.headers.get("content-type"))
    return await asyncio.to_thread(upload.store_upload, served, body, form)


@post(
    "/estimate", status_code=200, sync_to_thread=False, responses=problems(400, 404, 413, 429, 503)
)
def estimate_energy(data: Setup, now: NamedDependency[LoadedCatalog]) -> EstimateAnswer:
    """Estimated joules of a setup that was not measured, with a 90 % interval."""
    return estimate(requested_machine(now.snapshot, data), now.estimator, data)


@get("/health/live", sync_to_thread=False, opt={UNLIMITED: True}, responses=problems(400))
def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "live"}


@get("/health/ready", sync_to_thread=False, opt={UNLIMITED: True}, responses=problems(400, 503))
def ready(served: NamedDependency[ServiceState]) -> dict[str, str]:
    """Catalog and estimator are loaded and the catalog can be read."""
    return served.readiness()


@get(
    "/metrics",
    media_type=MEDIA_TYPE,
    sync_to_thread=False,
    opt={UNLIMITED: True},
    responses=problems(400),
)
def metrics(request: Request[Any, Any, Any]) -> bytes:
    """Requests by route and status, and what is being served, for Prometheus."""
    found: bytes = request.app.state.metrics.text()
    return found


def provide_now(served: NamedDependency[ServiceState]) -> LoadedCatalog:
    """Catalog and estimator in service at this moment."""
    return served.now


def json_routes(*others: HTTPRouteHandler) -> Router:
    """The JSON routes as one router.

    Args:
        others: Handlers of other rooms that need the same dependencies and guards.
    """
    return Router(
        "/",
        route_handlers=[
            tasks,
            workloads,
            candidates,
            measurements,
            add_measurements,
            estimate_energy,
            live,
            ready,
            metrics,
            *others,
        ],
        dependencies={"now": Provide(provide_now, sync_to_thread=False)},
        guards=[only_declared],
    )
