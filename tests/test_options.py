"""An answer as a table: over HTTP and on the command line, and its pages by cursor."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from test_advisor import ADVISOR, BUNDLED, bundled
from typer.testing import CliRunner

from advisor.recommend.query import BadQuestionError, Query
from api.cli.main import app
from api.main import create_app
from api.service import options
from api.service.settings import Settings

ASK = "/recommend?task=sentiment&min_acc=0.85&device=NVIDIA%20L4"


@pytest.fixture
def client(any_url: str) -> Iterator[TestClient[Litestar]]:
    """The service on an empty catalog."""
    with TestClient(create_app(Settings(catalog=any_url, tokens=(), log_level="warning"))) as made:
        yield made


def table(content: bytes, form: str) -> pd.DataFrame:
    """A file's table."""
    reader = pd.read_csv if form == "csv" else pd.read_parquet
    found: pd.DataFrame = reader(io.BytesIO(content))
    return found


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_every_option_of_an_answer_is_a_row(client: TestClient[Litestar], form: str) -> None:
    """Roles, figures and reasons are those of the JSON answer with the largest limit."""
    came = client.get(f"{ASK}&format={form}")
    assert came.status_code == 200
    assert came.headers["content-type"].startswith(
        {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}[form]
    )
    assert f"options.{form}" in came.headers["content-disposition"]
    found = table(came.content, form)
    assert list(found.columns) == list(options.COLUMNS)
    answer = client.get(f"{ASK}&limit=1000").json()
    for role, name in (("alternative", "alternatives"), ("front", "front"), ("variant", "variants"),
                       ("rejected", "rejected")):  # fmt: skip
        assert (found["role"] == role).sum() == len(answer[name]) > 0
    (chosen,) = found[found["role"] == "chosen"].to_dict("records")
    expected = answer["chosen"]
    assert chosen["candidate"] == expected["candidate"]
    assert chosen["energy_j_per_1000_high"] == expected["energy_j_per_1000"]["high"]
    assert chosen["accuracy_across_task_n"] == expected["accuracy"]["across_task"]["n"]
    assert set(chosen["warnings"].split(";")) == set(expected["warnings"])
    assert chosen["latency_basis"] == "estimated"
    lost = found[found["role"] == "rejected"].set_index("candidate")["detail"].to_dict()
    for each in answer["rejected"]:
        assert lost[each["candidate"]] == each["detail"]
    for row, each in zip(
        found[found["role"] == "variant"].to_dict("records"), answer["variants"], strict=True
    ):
        assert row["energy_factor_value"] == each["factor"]["value"]
        assert row["qualifies"] == each["qualifies"]
    assert (found["catalog_digest"] == answer["catalog_digest"]).all()


def test_a_table_keeps_a_stated_limit_and_names_an_unknown_format(
    client: TestClient[Litestar],
) -> None:
    """Bad formats are problems that say what is allowed; JSON is a format."""
    few = table(client.get(f"{ASK}&format=csv&limit=10").content, "csv")
    assert (few["role"] == "alternative").sum() == 2
    assert client.get(f"{ASK}&format=json").json() == client.get(ASK).json()
    wrong = client.get(f"{ASK}&format=xlsx")
    assert wrong.status_code == 400
    assert wrong.json()["field"] == "format"
    assert "csv" in wrong.json()["detail"]
    assert client.get("/recommend?task=nothing&min_acc=0.5&format=csv").status_code == 404


def test_columns_have_one_type_whatever_the_answer() -> None:
    """A column that is empty in one answer has the type of the others."""
    types = []
    for query in ({"min_acc": 0.85}, {"min_acc": 0.999, "device": "Raspberry Pi 5"}):
        frame = table(options.as_file(bundled(**query), "parquet"), "parquet")
        types.append(frame.dtypes.astype(str).to_dict())
    assert types[0] == types[1]
    assert types[0]["provenance_run_id"] == types[0]["candidate"]
    assert types[0]["setups"] == "float64"


def test_the_command_writes_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, any_url: str
) -> None:
    """By --format on stdout, by the suffix of -o in a file; exit code 3 where nothing qualifies."""
    monkeypatch.setenv("JOULEWISE_CATALOG", any_url)
    words = ["recommend", "--task", "sentiment", "--min-acc", "0.85"]
    done = CliRunner().invoke(app, [*words, "--format", "csv"])
    assert done.exit_code == 0, done.output
    printed = table(done.stdout_bytes, "csv")
    assert printed["role"].iloc[0] == "chosen"
    file = tmp_path / "options.parquet"
    assert CliRunner().invoke(app, [*words, "-o", str(file)]).exit_code == 0
    assert (
        table(file.read_bytes(), "parquet")["candidate"].tolist() == printed["candidate"].tolist()
    )
    whole = tmp_path / "answer.json"
    assert CliRunner().invoke(app, [*words, "-o", str(whole)]).exit_code == 0
    assert json.loads(whole.read_text())["chosen"]["candidate"] == printed["candidate"].iloc[0]
    words[-1] = "0.999"
    none = CliRunner().invoke(app, [*words, "--format", "csv"])
    assert none.exit_code == 3
    assert table(none.stdout_bytes, "csv")["role"].iloc[0] == "nearest-miss"
    wrong = CliRunner().invoke(app, [*words, "-o", "x.xlsx"])
    assert wrong.exit_code == 2
    assert ".parquet" in wrong.output


def walk(**given: Any) -> list[Any]:
    """Every page of an answer."""
    query = Query(task="sentiment", min_acc=0.85, device="NVIDIA L4", limit=40, **given)
    pages, cursor = [], None
    while not pages or cursor is not None:
        pages.append(ADVISOR.recommend(Query(**(as_fields(query) | {"cursor": cursor}))))
        cursor = pages[-1].next
    return pages


def as_fields(query: Query) -> dict[str, Any]:
    """Fields of a question."""
    return {name: getattr(query, name) for name in query.__struct_fields__}


def test_a_cursor_leads_to_every_alternative_and_rejection_once() -> None:
    """Pages hold what one answer with the largest limit holds, none of it twice."""
    pages = walk()
    assert len(pages) > 2
    assert len({page.chosen.candidate for page in pages}) == 1
    whole = bundled(device="NVIDIA L4", limit=1000)
    assert whole.next is None
    alternatives = [each.candidate for page in pages for each in page.alternatives]
    assert sorted(alternatives) == sorted(each.candidate for each in whole.alternatives)
    rejected = [(each.candidate, each.reason) for page in pages for each in page.rejected]
    assert len(rejected) == len(set(rejected))
    assert {(r.candidate, r.reason) for r in whole.rejected} <= set(rejected)
    assert [page.rejected_more for page in pages][-1] == 0


def test_a_cursor_of_another_catalog_is_refused() -> None:
    """Lists of another catalog go on otherwise; nonsense is no cursor."""
    for cursor in ("1-00000000", "one", f"x-{BUNDLED.digest[:8]}", "-1"):
        with pytest.raises(BadQuestionError, match="cursor"):
            bundled(cursor=cursor)
