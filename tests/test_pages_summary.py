"""Tests of `api.pages.summary`: families, a year's energy and the sentence, recomputed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from advisor.estimator.estimator import load
from advisor.recommend.advisor import Advisor
from advisor.recommend.query import BadQuestionError, Query
from advisor.recommend.records import EnergyPer1000
from api.pages import summary
from catalog import snapshot

CATALOG = snapshot.load()
ADVISOR = Advisor(CATALOG, load())


def question(**asked: Any) -> Query:
    """A question with a high limit."""
    return Query(**({"task": "sentiment", "min_acc": 0.85, "limit": 1000} | asked))


@pytest.mark.parametrize(
    "asked", [{}, {"min_acc": 0.95}, {"min_acc": 0.999}, {"labels": "none"}, {"task": "topic"}]
)
def test_each_family_stands_with_its_cheapest_member_that_qualifies(asked: dict[str, Any]) -> None:
    """Recomputed from every price; where none qualifies, none of the family does."""
    query = question(**asked)
    priced = ADVISOR.asked(query)
    found = summary.brief(ADVISOR, query)
    known = {e.candidate.family for e in priced.entries if e.evidence is not None}
    assert {standing.family for standing in found.standings} == known
    for standing in found.standings:
        own = [e for e in priced.qualified if e.candidate.family == standing.family]
        assert standing.qualifies == bool(own)
        assert standing.n_qualify == len({e.candidate.name for e in own})
        if own:
            least = min(own, key=lambda entry: entry.joules)
            assert standing.option.energy_j_per_1000.value == pytest.approx(least.joules, rel=0.01)
    order = [(not s.qualifies, s.option.energy_j_per_1000.value or 0) for s in found.standings]
    groups = itertools.groupby(order, key=lambda pair: pair[0])
    assert all(own == sorted(own) for own in (list(group) for _, group in groups))


def test_the_first_family_is_the_answers() -> None:
    """Both come from the same prices."""
    answer = ADVISOR.recommend(question())
    found = summary.brief(ADVISOR, question())
    assert answer.chosen is not None
    assert found.standings[0].option.candidate == answer.chosen.candidate
    assert found.rival is not None
    factor = found.rival.option.energy_factor
    assert factor is not None
    ratio = found.rival.option.energy_j_per_1000.value
    assert ratio is not None
    assert answer.chosen.energy_j_per_1000.value is not None
    expected = ratio / answer.chosen.energy_j_per_1000.value
    assert factor.value == pytest.approx(expected, rel=0.02)


def test_an_answer_is_held_against_a_language_model_where_one_qualifies() -> None:
    """Else against what qualifies of another family."""
    for floor in (0.5, 0.7, 0.85, 0.9):
        found = summary.brief(ADVISOR, question(min_acc=floor))
        able = [s for s in found.standings if s.qualifies and s.family in summary.LLMS]
        first = found.standings[0].family
        if able and first not in summary.LLMS:
            assert found.rival == able[0]


@pytest.mark.parametrize(
    ("factor", "said"), [(40.2, "1/40"), (2.04, "1/2"), (1.25, "80%"), (12345.0, "1/12,000")]
)
def test_a_share_is_a_plain_fraction(factor: float, said: str) -> None:
    """Two digits are enough for an estimate."""
    assert summary.share(factor) == said


def test_a_year_is_joules_times_texts() -> None:
    """100,000 texts a day at 36 J per 1,000 are 3.6 kJ a day, 0.365 kWh a year."""
    energy = EnergyPer1000(
        value=36.0, low=18.0, high=72.0, basis="estimated", scope="host", label="estimated"
    )
    volume = summary.Volume(texts_per_day=100_000, price_per_kwh=0.4)
    year = summary.year(energy, volume)
    assert (year.low, year.kwh, year.high) == pytest.approx((0.1825, 0.365, 0.73))
    assert year.cost == pytest.approx(0.146)
    bound = summary.year(EnergyPer1000(
        value=None, low=None, high=36.0, basis="measured", scope="host", label="measured"
    ), volume)  # fmt: skip
    assert (bound.kwh, bound.cost) == (None, None)


def test_a_request_rate_is_a_volume() -> None:
    """5 texts a second are 432,000 a day; without a rate the stated volume stands."""
    stated = summary.Volume(texts_per_day=10.0, price_per_kwh=0.5)
    assert summary.at_rate(stated, None) is stated
    served = summary.at_rate(stated, 5.0)
    assert (served.texts_per_day, served.price_per_kwh) == (432_000, 0.5)


@pytest.mark.parametrize("text", ["many", "-1", "0", "nan", "1e99"])
def test_a_volume_is_a_number_of_its_range(text: str) -> None:
    """The field and what is allowed are named."""
    with pytest.raises(BadQuestionError, match="texts_per_day"):
        summary.volume_of({"texts_per_day": text})


def test_the_sentence_holds_answer_source_and_address() -> None:
    """Whoever reads it elsewhere finds the figures again."""
    answer = ADVISOR.recommend(question())
    assert answer.chosen is not None
    said = summary.citation(answer, CATALOG, "http://example.org/?min_acc=0.85")
    for wanted in (
        answer.chosen.candidate, "SST-2", "0.85 or more", "J per 1,000 texts", "estimated",
        str(answer.chosen.accuracy and answer.chosen.accuracy.source),
        answer.catalog_digest[:12], answer.estimator_version, "http://example.org/?min_acc=0.85",
    ):  # fmt: skip
        assert wanted in said
    assert summary.citation(ADVISOR.recommend(question(min_acc=1.0)), CATALOG, "") == ""


def test_every_way_out_answers() -> None:
    """Where nothing qualifies, what is suggested instead is a question with an answer."""
    fields = {"task": "sentiment", "min_acc": "0.9999", "max_latency_ms": "0.001"}
    answer = ADVISOR.recommend(question(min_acc=0.9999, max_latency_ms=0.001))
    found = summary.ways_out(answer, fields)
    assert found
    assert all(address.startswith("/?") for _, address in found)
    assert any("min_acc=0.9" in address for _, address in found)
    assert summary.ways_out(ADVISOR.recommend(question()), fields) == []
