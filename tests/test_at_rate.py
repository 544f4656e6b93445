"""Tests of `api.pages.at_rate`: answers at a request rate, as people see them."""

from __future__ import annotations

from litestar import Litestar
from litestar.testing import TestClient
from typer.testing import CliRunner

from advisor.estimator.estimator import load
from advisor.recommend.advisor import recommend
from advisor.recommend.option import rank
from advisor.recommend.query import Query
from api.cli.main import app
from api.pages import at_rate, wording
from catalog import snapshot

SERVED = Query(
    task="sentiment",
    min_acc=0.9,
    scenario="server",
    rate=0.05,
    scope="device",
    limit=200,
)


def test_options_that_differ_by_less_than_a_tenth_are_folded() -> None:
    """None is lost: those shown and those folded are the ranking, and the first three are shown."""
    answer = recommend(snapshot.load(), load(), SERVED)
    shown, alike = at_rate.folded(answer)
    ranked = [answer.chosen, *answer.alternatives]
    assert shown[:3] == ranked[:3]
    assert len(alike) > 3
    assert sorted([*shown, *alike], key=rank) == sorted(filter(None, ranked), key=rank)
    least = rank(shown[0])[0]
    assert all(rank(option)[0] <= 1.1 * least for option in alike)
    assert all(rank(option)[0] > 1.1 * least for option in shown[3:])


def test_a_ranking_of_measured_work_is_shown_whole() -> None:
    """Without a rate nothing is folded, however close."""
    answer = recommend(snapshot.load(), load(), Query(task="sentiment", min_acc=0.8))
    shown, alike = at_rate.folded(answer)
    assert len(shown) == 1 + len(answer.alternatives)
    assert not alike


def test_the_command_that_measures_a_rate_is_named(client: TestClient[Litestar]) -> None:
    """Terminal and page name it where joules are worked out, or no rate is given."""
    words = ["recommend", "--task", "sentiment", "--min-acc", "0.9", "--scenario", "server"]
    worked_out = (
        CliRunner()
        .invoke(app, [*words, "--rate", "0.05", "--scope", "device", "--limit", "200"])
        .output
    )
    assert "joulewise calibrate --rate 0.05" in worked_out
    assert "more need within 10%" in " ".join(worked_out.split())
    without = " ".join(CliRunner().invoke(app, words).output.split())
    assert "joulewise calibrate --rate" in without
    address = "/?task=sentiment&min_acc=0.8&scenario=server"
    for more in ("&rate=0.05&scope=device", ""):
        text = client.get(address + more).text
        assert "joulewise calibrate --rate" in text
    text = client.get("/?task=sentiment&min_acc=0.8").text
    assert "calibrate --rate" not in text


def test_a_rate_that_a_scenario_hides_is_not_asked(client: TestClient[Litestar]) -> None:
    """The form sends its hidden field too; with another scenario the page answers without it."""
    text = client.get("/?task=sentiment&min_acc=0.8&scenario=single&rate=5").text
    assert 'class="trouble"' not in text
    assert text.count('name="rate"') == 1


def test_a_runtime_that_is_the_spacing_of_arrivals_says_so() -> None:
    """At a rate it is no estimate of work; without one its basis is told in a word."""
    served = recommend(snapshot.load(), load(), SERVED).chosen
    assert served is not None
    assert served.runtime_s_per_1000 is not None
    assert served.runtime_s_per_1000.value == 20_000
    assert wording.runtime_basis(served) == "as they arrive, 0.05 a second"
    for device in ("NVIDIA A30", "RTX 4090"):
        query = Query(task="sentiment", min_acc=0.8, scope="device", device=device)
        found = recommend(snapshot.load(), load(), query)
        assert {wording.runtime_basis(option) for option in found.front} <= {
            *("measured", "estimated", "extrapolated", "")
        }
