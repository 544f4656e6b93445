"""Tests of `api.pages.compare`: figures side by side, recomputed from single answers."""

from __future__ import annotations

import pytest
from litestar import Litestar
from litestar.datastructures import MultiDict
from litestar.testing import TestClient

from advisor.estimator.estimator import load
from advisor.recommend.advisor import Advisor
from advisor.recommend.query import BadQuestionError, Query
from advisor.report import grid_factors
from api.pages import compare, summary
from catalog import snapshot
from catalog.errors import UnknownNameError

CATALOG = snapshot.load()
ADVISOR = Advisor(CATALOG, load())
THREE = ("tfidf-word-logistic", "minilm-l6-frozen-logistic", "llama-3.1-8b-zero-shot")
BROWSER = {"Accept": "text/html"}


def asked(**fields: object) -> compare.Comparison:
    """A comparison; lists are given several times."""
    pairs = []
    for name, value in fields.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        pairs += [(name, str(each)) for each in values]
    return compare.compare(ADVISOR, MultiDict(pairs))


def test_each_candidate_has_the_price_of_its_own_answer() -> None:
    """Its cheapest setup on each machine, as the advisor prices it; the first one is factor 1."""
    found = asked(candidate=THREE, device=["NVIDIA L4", "g4dn.xlarge"], task="sentiment")
    assert [there.machine.device for there in found.machines] == ["NVIDIA L4", "NVIDIA T4"]
    assert found.machines[1].machine.instance == "g4dn.xlarge"
    for there, device in zip(found.machines, ("NVIDIA L4", "g4dn.xlarge"), strict=True):
        assert [row.asked for row in there.rows] == list(THREE)
        query = Query(task="sentiment", min_acc=0.85, device=device)
        for row in there.rows:
            entries, _ = ADVISOR.setups(query, row.asked)
            assert row.option is not None
            value = row.option.energy_j_per_1000.value
            assert value == pytest.approx(entries[0].joules, rel=0.01)
            known = row.option.accuracy is not None
            assert known or row.reason == "no accuracy known on sst2"
            if known and row is not there.rows[0]:
                first = there.rows[0].option
                assert first is not None
                assert row.option.energy_factor is not None
                assert first.energy_j_per_1000.value
                ratio = (value or 0) / first.energy_j_per_1000.value
                assert row.option.energy_factor.value == pytest.approx(ratio, rel=0.02)


def test_a_family_stands_with_what_the_start_page_shows_of_it() -> None:
    """The cheapest member that reaches the floor."""
    found = asked(candidate=["frozen-encoder", "fine-tuned-encoder"], min_acc=0.85)
    shown = summary.brief(ADVISOR, Query(task="sentiment", min_acc=0.85)).standings
    best = {standing.family: standing.option.candidate for standing in shown}
    for row in found.machines[0].rows:
        assert row.option is not None
        assert row.option.candidate == best[row.asked]


def test_a_year_is_recomputed_from_joules_and_the_regions_grid() -> None:
    """KWh by 3.6 MJ, kg by the factor of the region, EUR by the price."""
    found = asked(candidate=THREE, texts_per_day=50_000, price_per_kwh=0.2, region="Germany")
    assert found.kg_per_kwh == grid_factors.factor("DEU").kg_per_kwh
    for row in found.machines[0].rows:
        assert row.option is not None
        assert row.kwh_per_year is not None
        assert row.kg_co2e_per_year is not None
        joules = row.option.energy_j_per_1000.value or 0
        kwh = joules * 50 * 365 / 3.6e6
        assert row.kwh_per_year.value == pytest.approx(kwh, rel=0.01)
        assert row.kg_co2e_per_year.value == pytest.approx(kwh * found.kg_per_kwh, rel=0.01)
        assert row.cost_per_year == pytest.approx(kwh * 0.2, rel=0.01)
        low, value, high = row.kwh_per_year.low, row.kwh_per_year.value, row.kwh_per_year.high
        assert low is not None
        assert value is not None
        assert high is not None
        assert low <= value <= high


def test_what_does_not_qualify_says_why() -> None:
    """With its figures, where it has any."""
    found = asked(candidate=["tfidf-word-logistic", "vader"], min_acc=0.999)
    for row in found.machines[0].rows:
        assert row.reason


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"candidate": ["tf-idf"]}, BadQuestionError),
        ({"candidate": list("abcdef")}, BadQuestionError),
        ({"device": [f"d{n}" for n in range(5)]}, BadQuestionError),
        ({"candidate": ["tf-idf", "no-such-thing"]}, UnknownNameError),
        ({"device": ["no such machine"]}, UnknownNameError),
        ({"region": "Atlantis"}, UnknownNameError),
        ({"colour": "red"}, BadQuestionError),
        ({"min_acc": 2}, BadQuestionError),
        ({"texts_per_day": "many"}, BadQuestionError),
    ],
)
def test_a_bad_comparison_is_refused(fields: dict[str, object], error: type[Exception]) -> None:
    """With the field, what came and what is allowed."""
    with pytest.raises(error):
        asked(**fields)


def test_a_page_for_browsers_and_json_for_others(client: TestClient[Litestar]) -> None:
    """The same figures under one address; a browser may ask for JSON too."""
    address = "/compare?" + "&".join(f"candidate={name}" for name in THREE) + "&device=M3"
    page, plain = client.get(address, headers=BROWSER), client.get(address)
    assert page.headers["content-type"].startswith("text/html")
    assert "Accept" in page.headers["vary"]
    body = plain.json()
    assert [row["asked"] for row in body["machines"][0]["rows"]] == list(THREE)
    assert client.get(f"{address}&format=json", headers=BROWSER).json() == body
    for name in THREE:
        assert name in page.text
    assert client.get("/compare?candidate=tf-idf").status_code == 400
    assert client.get("/compare", headers=BROWSER).status_code == 200
    moved = client.get(
        "/compare?task=topic&candidate=&device=", headers=BROWSER, follow_redirects=False
    )
    assert moved.headers["location"] == "/compare?task=topic"
