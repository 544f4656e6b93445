"""Tests of `api.pages.suggest`: names that hold what was typed."""

from __future__ import annotations

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from advisor.estimator.estimator import load
from advisor.recommend.advisor import Advisor
from advisor.recommend.query import BadQuestionError
from api.pages import suggest
from catalog import snapshot

CATALOG, ESTIMATOR = snapshot.load(), load()
ADVISOR = Advisor(CATALOG, ESTIMATOR)


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("g4dn", "g4dn.xlarge"),
        ("4090", "NVIDIA GeForce RTX 4090"),
        ("M3", "Apple M3 (GPU)"),
        ("rtx 4090", "NVIDIA GeForce RTX 4090"),
    ],
)
def test_a_machine_is_found_by_part_of_its_name(typed: str, first: str) -> None:
    """A whole word of a name comes before its part, a short name before a longer one."""
    assert suggest.machines(ADVISOR, typed)[0].name == first


def test_every_suggestion_can_be_asked_for() -> None:
    """Nothing is offered that the advisor refuses, and it says what it is."""
    for each in suggest._machines(CATALOG)[::7]:
        assert ADVISOR.machine(each.name).device.name
        assert each.about
    known = CATALOG.candidates.keys() | {c.family for c in CATALOG.candidates.values()}
    assert {each.name for each in suggest._candidates(CATALOG)} == known


def test_few_are_listed_and_nonsense_finds_none() -> None:
    """Never more than a dozen, also where nothing was typed."""
    assert len(suggest.machines(ADVISOR, "")) == suggest.LISTED
    assert len(suggest.machines(ADVISOR, "nvidia")) == suggest.LISTED
    assert suggest.machines(ADVISOR, "no such machine") == []


def test_this_machine_is_the_one_that_was_calibrated() -> None:
    """It is offered first and means the default; without a calibration the remedy is said."""
    own = Advisor(CATALOG, ESTIMATOR, "NVIDIA A30")
    first = suggest.machines(own, "this")[0]
    assert (first.name, "NVIDIA A30" in first.about) == (suggest.THIS, True)
    assert suggest.meant(own, "This machine") is None
    assert suggest.meant(ADVISOR, "NVIDIA L4") == "NVIDIA L4"
    with pytest.raises(BadQuestionError, match="joulewise calibrate"):
        suggest.meant(ADVISOR, "this machine")


def test_candidates_are_found_with_their_families() -> None:
    """By name or by the words of the family."""
    assert suggest.candidates(CATALOG, "tf-idf")[0].name == "tf-idf"
    llamas = suggest.candidates(CATALOG, "llama zero-shot")
    assert llamas
    assert all("llama" in each.name and "zero-shot" in each.text for each in llamas)


def test_the_fields_of_pages_ask_for_suggestions(client: TestClient[Litestar]) -> None:
    """As JSON of names and what they are; another kind is refused."""
    found = client.get("/suggest/machines?q=g4dn").json()
    assert found[0]["name"] == "g4dn.xlarge"
    assert "NVIDIA T4" in found[0]["about"]
    assert client.get("/suggest/candidates?q=minilm").json()
    assert client.get("/suggest/planets?q=a").status_code in (400, 404)


def test_suggestions_are_plain_records() -> None:
    """They can be encoded as they are."""
    assert msgspec.json.encode(suggest.machines(ADVISOR, "M3"))
