"""`/report`: a plan in, the report out in one of its formats; and the planner's page."""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody
from litestar.params import QueryParameter, RawBody
from litestar.response import Template

from advisor.recommend.query import BadQuestionError
from advisor.report.plan import PlanError, document
from advisor.report.records import Language, Report
from advisor.report.report import report
from advisor.report.schema import Plan
from api.pages import templating
from api.report import form as planning
from api.report.formats import MEDIA, Form, context, rendered
from api.service.openapi import problems, with_forms
from api.service.problems import UnsupportedTypeError
from api.service.query import only_declared
from api.service.routes import provide_now
from api.service.state import LoadedCatalog, ServiceState
from catalog.errors import CatalogUnreadableError

READ: dict[str, Literal["json", "toml"]] = {
    "application/json": "json",
    "application/toml": "toml",
    "text/toml": "toml",
}
FORM = "application/x-www-form-urlencoded"
EXAMPLE = {
    "region": "Germany",
    "pue": 1.3,
    "price_per_kwh": 0.3,
    "deployments": [
        {
            "name": "news desk",
            "recommend": {"task": "topic", "min_acc": 0.4},
            "workload": "fktg",
            "texts_per_day": 100_000,
            "idle_w": 120,
        }
    ],
}


def made(
    now: LoadedCatalog, body: bytes, read_as: Literal["json", "toml"], lang: Language | None
) -> Report:
    """The report of a plan in a document; blocks.

    Raises:
        PlanError: It breaks the schema or a deployment cannot be computed.
    """
    found = document(body, read_as)
    if lang is not None and isinstance(found, dict):
        found = found | {"language": lang}
    return report(now.advisor, found)


def _accepted(request: Request[Any, Any, Any], asked: Form | None) -> Form:
    """The form an answer takes: the parameter's, else the best the client accepts, else JSON."""
    if asked is not None:
        return asked
    plain = {media: form for form, media in MEDIA.items()}
    best = request.accept.best_match(list(plain), "application/json")
    return plain[best or "application/json"]


@dataclass
class _PlanOperation(Operation):
    """The operation with its request body, which the handler reads by its content type."""

    def __post_init__(self) -> None:
        """Declares the body."""
        media = OpenAPIMediaType(schema=_schema(), example=EXAMPLE)  # type: ignore[arg-type]
        text = OpenAPIMediaType(schema={"type": "string"})  # type: ignore[arg-type]
        self.request_body = RequestBody(
            required=True,
            description="a plan as JSON or TOML",
            content={"application/json": media, "application/toml": text},
        )
        forms = [media for media in MEDIA.values() if media != "application/json"]
        with_forms(self, dict.fromkeys(forms, text))


def _schema() -> dict[str, Any]:
    """The JSON schema of a plan, references resolved, since it stands outside the components."""
    whole = Plan.model_json_schema()
    named = whole.pop("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, list):
            return [resolved(entry) for entry in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return resolved(named[node["$ref"].rpartition("/")[2]])
        return {key: resolved(entry) for key, entry in node.items()}

    found: dict[str, Any] = resolved(whole)
    return found


def _fields(content: bytes) -> dict[str, str]:
    """The fields of a form.

    Raises:
        BadQuestionError: It is no form, or has a field no planner has.
    """
    try:
        pairs = urllib.parse.parse_qsl(
            content.decode(), keep_blank_values=True, max_num_fields=2000, errors="strict"
        )
    except ValueError as error:
        raise BadQuestionError("form", None, str(error)) from error
    fields = dict(pairs)
    if (name := planning.unknown(fields)) is not None:
        raise BadQuestionError(name, fields[name], "no such field of the planner")
    return fields


@post(
    "/",
    guards=[only_declared],
    status_code=200,
    operation_class=_PlanOperation,
    summary="kWh, kg CO2e and cost of planned deployments",
    responses={200: ResponseSpec(Report, description="the report, by Accept or format")}
    | problems(400, 404, 413, 415, 422, 429, 503),
)
async def make_report(
    request: Request[Any, Any, Any],
    body: RawBody,
    now: NamedDependency[LoadedCatalog],
    served: NamedDependency[ServiceState],
    form: Annotated[
        Form | None,
        QueryParameter(
            name="format", description="json, html, csv, md or xlsx; goes before Accept"
        ),
    ] = None,
    lang: Annotated[
        Language | None,
        QueryParameter(description="en or de; goes before the plan's language"),
    ] = None,
) -> Response[Any]:
    """A plan's energy, emissions and cost, part by part, with sources; all of it or nothing."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == FORM:
        return await _planned(_fields(body), now, served)
    if media not in READ:
        raise UnsupportedTypeError(media, [*READ, FORM])
    wanted = _accepted(request, form)
    answer = await asyncio.to_thread(made, now, body, READ[media], lang)
    content = await asyncio.to_thread(rendered, answer, wanted)
    return Response(content, media_type=MEDIA[wanted], headers={"Vary": "Accept"})


async def _planned(
    fields: Mapping[str, str], now: LoadedCatalog, served: ServiceState
) -> Response[Any]:
    """What a button of the form does: another row, one row less, a report or a file of it."""
    do = fields.get("do", "report")
    if do == "add" or do.startswith("remove-"):
        return _page(served, now, planning.renumbered(fields, do))
    try:
        answer = await asyncio.to_thread(
            report, now.advisor, planning.plan_of(fields, now.snapshot)
        )
    except PlanError as error:
        return _page(served, now, dict(fields), trouble=error, status=422)
    if do not in get_args(Form):
        return _page(served, now, dict(fields), answer=answer)
    chosen: Form = do  # type: ignore[assignment]
    content = await asyncio.to_thread(rendered, answer, chosen, alone=True)
    headers = {"Content-Disposition": f'attachment; filename="joulewise-report.{chosen}"'}
    return Response(content, media_type=MEDIA[chosen], headers=headers)


def _page(
    served: ServiceState,
    now: LoadedCatalog,
    fields: dict[str, str],
    *,
    answer: Report | None = None,
    trouble: Exception | None = None,
    status: int = 200,
) -> Template:
    """The planner, with a report or what is wrong below it."""
    return templating.page(
        "planner.html",
        served,
        "/report",
        status=status,
        fields=fields,
        rows=planning.numbers(fields),
        choices=planning.choices(now.snapshot),
        trouble=trouble,
        **context(answer),
    )


@get("/", sync_to_thread=False, include_in_schema=False)
def planner(request: Request[Any, Any, Any], served: NamedDependency[ServiceState]) -> Template:
    """The planner's form; fields in the address are filled in."""
    try:
        now = served.now
    except CatalogUnreadableError as error:
        return templating.page("planner.html", served, "/report", status=503, trouble=error)
    asked = {name: str(value) for name, value in request.query_params.items()}
    if (name := planning.unknown(asked)) is not None:
        raise BadQuestionError(name, asked[name], "no such field of the planner")
    return _page(served, now, asked or dict(planning.FIRST))


reports = Router(
    "/report",
    route_handlers=[make_report, planner],
    dependencies={"now": Provide(provide_now, sync_to_thread=False)},
)
