"""The OpenAPI document as a contract: whatever it lets through or forbids, the service keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from litestar.serialization import encode_json
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.main import create_app
from api.service import tokens
from api.service.openapi import PARQUET
from api.service.settings import Settings
from catalog.store.database import Store

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DOCUMENT = create_app(Settings(catalog="sqlite://")).openapi_schema
schema = schemathesis.openapi.from_dict(json.loads(encode_json(DOCUMENT.to_schema())))


@schemathesis.serializer(PARQUET, "application/toml")
def as_bytes(_context: schemathesis.SerializationContext, value: object) -> bytes:
    """Anything at all, seldom a file of that kind."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A catalog that may be written to."""
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('contract') / 'catalog.sqlite'}")
    yield store
    store.engine.dispose()


@pytest.fixture(scope="module")
def service(
    catalog: Store,
    serving: Callable[[str, Path], AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """A real service on it."""
    with serving(catalog.url, tmp_path_factory.mktemp("log") / "log") as url:
        yield url


@pytest.fixture(scope="module")
def token(catalog: Store) -> str:
    """What may write to it."""
    return tokens.create(catalog)


@schema.parametrize()
@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_the_document_describes(
    case: schemathesis.Case, service: str, token: str
) -> None:
    """No fault of ours, no status, media type, header or body the document does not state."""
    writes = "security" in case.operation.definition.raw
    headers = {"Authorization": f"Bearer {token}"} if writes else {}
    case.call_and_validate(base_url=service, headers=headers, checks=CHECKS)
