"""Tests of `middleware` and its kin: ids, conditions, compression, logs, metrics, limits."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api.main import create_app
from api.service.middleware import etag_matches
from api.service.rate_limit import client_of
from api.service.settings import Settings
from catalog.store.database import Store

Client = TestClient[Litestar]
ASK = "/recommend?task=sentiment&min_acc=0.85"


def test_a_sane_request_id_is_kept_and_another_is_replaced(client: Client) -> None:
    """The id comes back in the header and in the problem; what could break a log does not."""
    kept = client.get("/recommend", headers={"X-Request-ID": "abc-1.2"})
    assert kept.headers["x-request-id"] == kept.json()["request_id"] == "abc-1.2"
    for bad in ("x" * 65, "a b", 'a"b', "{}"):
        made = client.get("/nothing", headers={"X-Request-ID": bad})
        assert re.fullmatch("[0-9a-f]{16}", made.headers["x-request-id"])
        assert made.json()["request_id"] == made.headers["x-request-id"]


@pytest.mark.parametrize(
    "path",
    [ASK, "/tasks", "/workloads", "/devices", "/candidates", "/measurements?limit=2", "/estimator"],
)
def test_an_unchanged_answer_is_a_304_without_a_body(client: Client, path: str) -> None:
    """An answer's tag, named again, saves the answer; anything else gets it whole."""
    first = client.get(path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    assert "Accept-Encoding" in first.headers["vary"]
    for condition in (tag, f'"other", {tag}', "*", tag.removeprefix("W/")):
        again = client.get(path, headers={"If-None-Match": condition})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert "content-type" not in again.headers
    assert client.get(path, headers={"If-None-Match": '"other"'}).content == first.content


def test_a_strange_host_is_refused_for_every_question(client: Client) -> None:
    """The routing checks it before a handler."""
    assert client.get(ASK, headers={"Host": "a b/c"}).status_code == 400


def test_a_wrong_question_is_told_so_whatever_is_kept(client: Client) -> None:
    """A condition holds for answers only."""
    answer = client.get("/recommend?task=sentiment", headers={"If-None-Match": "*"})
    assert answer.status_code == 400
    assert "etag" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


def test_the_tag_changes_with_the_catalog(
    client: Client, writer: dict[str, str], run_csv: Callable[..., bytes]
) -> None:
    """What was kept is not served for a catalog that has grown since."""
    tag = client.get(ASK).headers["etag"]
    assert client.post("/measurements", content=run_csv(), headers=writer).status_code == 201
    again = client.get(ASK, headers={"If-None-Match": tag})
    assert again.status_code == 200
    assert again.headers["etag"] != tag


def test_head_is_get_without_the_body(client: Client) -> None:
    """The headers say what a GET would bring."""
    full, head = client.get(ASK), client.head(ASK)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == full.headers["content-length"]
    assert head.headers["etag"] == full.headers["etag"]


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_large_answers_are_compressed_where_asked(client: Client, encoding: str) -> None:
    """Compression changes the bytes on the way, nothing else; a tiny body is left alone."""
    plain = client.get(ASK, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    packed = client.get(ASK, headers={"Accept-Encoding": encoding})
    assert packed.headers["content-encoding"] == encoding
    assert int(packed.headers["content-length"]) < len(plain.content) / 3
    assert packed.content == plain.content  # the client unpacks it
    tiny = client.get("/health/live", headers={"Accept-Encoding": encoding})
    assert "content-encoding" not in tiny.headers


def test_a_line_per_request_tells_no_question(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Method, route, status, time and id are logged as JSON; parameters and tokens are not."""
    with TestClient(create_app(Settings(catalog=store.url))) as client:
        capsys.readouterr()
        secret = {"Authorization": "Bearer my-secret", "X-Request-ID": "r-1"}
        client.get("/recommend?task=private-words&min_acc=0.5", headers=secret)
        client.get("/private-words/x", headers=secret)
        logged = capsys.readouterr().err
    assert "private-words" not in logged
    assert "my-secret" not in logged
    lines = [json.loads(line) for line in logged.splitlines()]
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/recommend", 404),
        ("(none)", 404),
    ]
    for line in lines:
        assert line["method"] == "GET"
        assert line["request_id"] == "r-1"
        assert line["ms"] > 0


def test_a_quiet_service_logs_no_requests(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """At level warning only faults are written."""
    settings = Settings(catalog=store.url, log_level="warning")
    with TestClient(create_app(settings)) as client:
        capsys.readouterr()
        client.get(ASK)
        assert capsys.readouterr().err == ""


def test_metrics_count_requests_by_route_and_tell_what_is_served(client: Client) -> None:
    """Labels are routes, never paths; catalog and estimator are named."""
    client.get(ASK)
    client.get("/a/path/nobody/has")
    client.request("BREW", "/tasks")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.text
    count = "joulewise_request_seconds_count"
    assert f'{count}{{method="GET",route="/recommend",status="200"}} 1.0' in text
    assert 'route="(none)",status="404"' in text
    assert 'method="other"' in text
    assert "nobody" not in text
    digest = client.get("/health/ready").json()["catalog_digest"]
    assert f'catalog_digest="{digest}"' in text
    assert re.search(r'joulewise_catalog_rows{state="current"} [1-9]', text)
    assert re.search(r"joulewise_catalog_age_seconds \d", text)


def limited(store: Store, peer: str = "192.0.2.1", **more: Any) -> Client:
    """A service that answers a client three times a minute; all connections come from `peer`."""
    settings = Settings(catalog=store.url, rate_limit="3/minute", **more)  # type: ignore[arg-type]
    app = create_app(settings)
    inner = app.asgi_handler

    async def connected(scope: Any, receive: Any, send: Any) -> None:
        scope["client"] = (peer, 1234)
        await inner(scope, receive, send)

    app.asgi_handler = connected
    return TestClient(app)


def test_a_client_that_asks_too_often_is_told_when_to_come_back(store: Store) -> None:
    """The fourth request is a 429 as problem details with Retry-After; health goes on."""
    with limited(store) as client:
        assert [client.get("/tasks").status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = client.get(ASK)
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert client.get("/health/live").status_code == 200


def test_behind_a_trusted_proxy_each_client_has_its_own_limit(store: Store) -> None:
    """Nobody but a proxy we name may say who asks."""
    asked = [{"X-Forwarded-For": f"198.51.100.{n}"} for n in range(5)]
    with limited(store, "127.0.0.1", trusted_proxies="127.0.0.0/8") as client:
        assert {client.get("/tasks", headers=one).status_code for one in asked} == {200}
    with limited(store) as client:
        codes = [client.get("/tasks", headers=one).status_code for one in asked]
        assert codes == [200, 200, 200, 429, 429]


def test_the_client_is_the_last_address_no_proxy_of_ours() -> None:
    """Each proxy appends its peer; what a client wrote before that counts for nothing."""
    ours = [ip_network("10.0.0.0/8"), ip_network("::1/128")]
    assert client_of("192.0.2.1", ["1.1.1.1"], ours) == "192.0.2.1"
    assert client_of("10.0.0.1", ["6.6.6.6, 192.0.2.7"], ours) == "192.0.2.7"
    assert client_of("::1", ["6.6.6.6, 192.0.2.7, 10.1.1.1"], ours) == "192.0.2.7"
    assert client_of("10.0.0.1", ["6.6.6.6", "192.0.2.7"], ours) == "192.0.2.7"
    assert client_of("10.0.0.1", [], ours) == "10.0.0.1"
    assert client_of("10.0.0.1", ["not an address"], ours) == "not an address"


@pytest.mark.parametrize("text", ["100", "0/minute", "-1/minute", "10/week", "ten/minute"])
def test_a_limit_nobody_can_read_is_refused(text: str) -> None:
    """The setting names its form."""
    with pytest.raises(ValueError, match="100/minute"):
        Settings(rate_limit=text)  # type: ignore[arg-type]


def test_tags_are_compared_weakly() -> None:
    """W/ makes no difference, a part of a tag does."""
    assert etag_matches(b'W/"a"', b'W/"a"')
    assert etag_matches(b'"b" , "a"', b'W/"a"')
    assert not etag_matches(b'"ab"', b'W/"a"')
    assert not etag_matches(b"a", b'W/"a"')


def test_compressed_bytes_unpack_to_the_answer(server: str) -> None:
    """On the wire of a real service, gzip is gzip."""
    import urllib.request

    request = urllib.request.Request(f"{server}{ASK}", headers={"Accept-Encoding": "gzip"})  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        assert answer.headers["content-encoding"] == "gzip"
        assert json.loads(gzip.decompress(answer.read()))["chosen"]
