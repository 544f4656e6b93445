"""Tests of `other_groups`: what is cheaper in another group is said and can be asked for."""

from __future__ import annotations

import json
import shlex
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from markupsafe import escape
from typer.testing import CliRunner

from advisor.estimator.estimator import load
from advisor.recommend.advisor import recommend
from advisor.recommend.messages import figure
from advisor.recommend.query import Query
from advisor.recommend.records import Recommendation
from api.cli.main import app
from api.pages import other_groups as elsewhere
from api.pages import wording
from api.pages.templating import environment
from calibration.hardware.machine import Gpu, Machine
from catalog import snapshot
from catalog.records import Candidate, Device, Measurement, Workload
from catalog.snapshot import Snapshot

ESTIMATOR = load()
CHEAPER = "/?task=sentiment&workload=yelp-zh2025&min_acc=0.55"


def row(candidate: str, joules: float, **values: Any) -> Measurement:
    """1,000 texts on a GPU."""
    cells: dict[str, Any] = {
        "run_id": "r",
        "source": "s",
        "workload": "sst2",
        "candidate": candidate,
        "device": "G",
        "n_devices": 1,
        "scenario": "offline",
        "n_items": 1000.0,
        "runtime_s": 1.0,
        "accuracy": 0.9,
        "n_test": 1000,
        "board_j": joules,
        "board_label": "measured",
    }
    return Measurement(**(cells | values))


def ask(*rows: Measurement, **query: Any) -> Recommendation:
    """The answer of a catalog of these rows, about the energy of the chip."""
    names = {row.candidate for row in rows}
    view = Snapshot(
        measurements=rows,
        devices={"G": Device(name="G", kind="soc", tdp_w=300.0, memory_gb=80.0)},
        workloads={n: Workload(name=n, task="sentiment") for n in ("sst2", "imdb")},
        candidates={n: Candidate(name=n, family="other", n_parameters=1e6) for n in names},
        digest="d",
    )
    asked = {"task": "sentiment", "min_acc": 0.85, "workload": "sst2", "scope": "device"}
    return recommend(view, ESTIMATOR, Query(**(asked | query)))


def other_groups(answer: Recommendation) -> str:
    """What the warning about other groups says."""
    return next(c.message for c in answer.warnings if c.code == "other-groups")


def test_what_needs_several_times_less_in_another_group_is_named_first() -> None:
    """One text at a time at a tenth of the joules: named with how much less, and how to ask."""
    answer = ask(
        row("a", 100.0),
        row("b", 50.0, scenario="single"),
        row("c", 10.0, scenario="single"),
        row("d", 1.0, workload="imdb"),
    )
    assert answer.chosen is not None
    assert answer.chosen.candidate == "a"
    less = elsewhere.cheaper(answer)
    assert less is not None
    assert less.candidate == answer.other_groups[0].candidate == "c"
    said = other_groups(answer)
    assert "c on sst2" in said
    assert "10 times less" in said
    assert "scenario=single" in said
    assert sorted(o.candidate for o in answer.other_groups) == ["b", "c", "d"]
    one = ask(row("a", 100.0), row("b", 50.0, scenario="single"), row("d", 1.0, workload="imdb"))
    assert elsewhere.cheaper(one) == one.other_groups[0]


def test_about_the_same_energy_in_another_group_is_not_pointed_out() -> None:
    """Under one and a half times less the other group is only listed."""
    answer = ask(row("a", 100.0), row("b", 80.0, scenario="single"))
    assert elsewhere.cheaper(answer) is None
    assert "times less" not in other_groups(answer)


def test_an_estimate_of_another_group_is_told_as_one() -> None:
    """Scenario in words, basis and interval, and no flat ratio; a measured one says measured."""
    blank = {"board_j": None, "board_label": None}
    answer = ask(row("a", 1e6), row("b", 0, scenario="single", **blank))
    less = elsewhere.cheaper(answer)
    assert less is not None
    energy = less.energy_j_per_1000
    assert energy.basis != "measured"
    ends = energy.low or 0.0, energy.high or 0.0
    for said, interval in (
        (other_groups(answer), " – ".join(map(figure, ends))),
        (elsewhere.in_words(less, answer), wording.interval(*ends)),
    ):
        assert "one text at a time" in said
        assert energy.basis in said
        assert "by estimate" in said
        assert interval in said
    measured = ask(row("a", 100.0), row("c", 10.0, scenario="single"))
    assert "one text at a time, measured" in other_groups(measured)
    assert "estimate" not in other_groups(measured)


def test_where_only_other_groups_qualify_that_is_said_with_how_to_ask() -> None:
    """Not nothing of the catalog but of this group; page, terminal and command name the other."""
    answer = ask(row("a", 100.0, accuracy=0.5), row("b", 50.0, scenario="single"))
    assert answer.chosen is None
    other = elsewhere.instead(answer)
    assert other is not None
    assert other.candidate == "b"
    assert elsewhere.nothing(answer) == "Nothing of this data set and scenario qualifies."
    assert "--scenario single" in elsewhere.command(answer.query, other)
    page = str(environment().get_template("answer.html").module.verdict(answer))  # type: ignore[attr-defined]
    assert elsewhere.nothing(answer) in page
    assert str(escape(elsewhere.url(answer.query, other))) in page
    assert "in the catalog" not in page
    nowhere = ask(row("a", 100.0, accuracy=0.5))
    assert elsewhere.instead(nowhere) is None
    assert elsewhere.nothing(nowhere) == "Nothing in the catalog qualifies."


def test_another_data_set_is_pointed_out_with_its_name() -> None:
    """Where this one has nothing cheaper, the least of another one is, as its own work."""
    answer = ask(row("a", 100.0), row("b", 90.0, scenario="single"), row("d", 1.0, workload="imdb"))
    less = elsewhere.cheaper(answer)
    assert less is not None
    assert less.candidate == "d"
    assert "on imdb" in elsewhere.in_words(less, answer)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"device": Device(name="as specified", kind="gpu", status="asked", tdp_w=300.0)},
        {"device": "NVIDIA A30", "confidence": 0.9},
    ],
)
def test_the_command_asks_for_the_other_group(given: dict[str, Any]) -> None:
    """The command that is shown is understood; its answer ranks the option it was shown for."""
    about = {"task": "sentiment", "workload": "yelp-zh2025", "min_acc": 0.55}
    query = Query(**(about | given))
    answer = recommend(snapshot.load(), ESTIMATOR, query)
    less = elsewhere.cheaper(answer)
    assert less is not None
    words = shlex.split(elsewhere.command(query, less))
    assert words[:2] == ["joulewise", "recommend"]
    done = CliRunner().invoke(app, [*words[1:], "--json"])
    assert done.exit_code == 0, done.output
    assert f'"candidate":"{less.candidate}"' in done.output


GUEST = Machine(
    cpu="Some Unlisted CPU", sockets=1, cores=2, threads=2, memory_gib=64, hypervisor="KVM"
)
CARD = Gpu(name="NVIDIA Unlisted Card", memory_gb=80, driver="580")


@pytest.mark.parametrize(
    ("device", "gpus", "written"),
    [
        ("this", (), "this-cpu"),
        ("this-cpu", (CARD,), "this-cpu"),
        ("this", (CARD,), "this-gpu"),
        ("this-gpu", (CARD,), "this-gpu"),
    ],
)
def test_a_machine_nobody_listed_is_asked_about_again(
    device: str, gpus: tuple[Gpu, ...], written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chip has no name in the catalog; the printed command means the same chip and runs."""
    here = msgspec.structs.replace(GUEST, gpus=gpus)
    monkeypatch.setattr("calibration.hardware.machine.detect_machine", lambda: here)
    start = ["recommend", "--task", "sentiment", "--workload", "yelp-zh2025"]
    start += ["--min-acc", "0.55", "--device", device]
    first = CliRunner().invoke(app, start)
    assert first.exit_code == 0, first.output
    (line,) = (line for line in first.output.splitlines() if " ask: " in line)
    words = shlex.split(line.partition("ask: ")[2])
    assert words[words.index("--device") + 1] == written
    second = CliRunner().invoke(app, [*words[1:], "--json"])
    assert second.exit_code == 0, second.output
    asked = json.loads(CliRunner().invoke(app, [*start, "--json"]).output)
    assert json.loads(second.output)["query"]["device"] == asked["query"]["device"]
    assert json.loads(second.output)["chosen"]["candidate"] in " ".join(first.output.split())


def test_figures_of_the_question_keep_their_digits() -> None:
    """A floor that is an option's very accuracy, of seven digits, still lets it through."""
    right = 0.8512345678901
    answer = ask(row("a", 100.0), row("c", 10.0, scenario="single", accuracy=right), min_acc=right)
    less = elsewhere.cheaper(answer)
    assert less is not None
    given = elsewhere.question(answer.query, less)
    assert float(given["min_acc"]) == right
    words = shlex.split(elsewhere.command(answer.query, less))
    assert float(words[words.index("--min-acc") + 1]) == right


def test_the_page_says_it_in_one_line_with_a_link(client: TestClient[Litestar]) -> None:
    """The line under the verdict leads to the answer that ranks what it names."""
    query = Query(task="sentiment", workload="yelp-zh2025", min_acc=0.55)
    answer = recommend(snapshot.load(), ESTIMATOR, query)
    less = elsewhere.cheaper(answer)
    assert less is not None
    address = elsewhere.url(answer.query, less)
    text = client.get(CHEAPER).text
    assert f'href="{address.replace("&", "&amp;")}"' in text
    assert f">{less.candidate}</a>" in client.get(address).text


def test_a_device_by_its_specs_is_asked_on_the_command_line_as_over_http(
    client: TestClient[Litestar],
) -> None:
    """The options are the parameters of the URL, with the same answer and the same refusals."""
    given = {"tdp_w": "300", "peak_fp16_tflops": "150", "memory_bandwidth_gbs": "900"}
    words = [part for k, v in given.items() for part in (f"--{k.replace('_', '-')}", v)]
    start = ["recommend", "--task", "sentiment", "--min-acc", "0.8"]
    done = CliRunner().invoke(app, [*start, *words, "--json"])
    assert done.exit_code == 0, done.output
    served = client.get("/recommend", params={"task": "sentiment", "min_acc": 0.8} | given)
    assert served.json()["chosen"]["energy_j_per_1000"]["basis"] != "measured"
    assert served.json()["chosen"] == json.loads(done.output)["chosen"]
    refused = CliRunner().invoke(app, [*start, "--tdp-w", "300"])
    assert refused.exit_code == 2


def test_beside_a_request_rate_nothing_is_pointed_out() -> None:
    """Joules at a rate hold the waiting; those of one text at a time do not, and are no offer."""
    answer = ask(row("a", 1.0, scenario="single"), scenario="server", rate=0.01)
    assert answer.chosen is not None
    assert answer.other_groups
    assert elsewhere.cheaper(answer) is None
    assert "times less" not in other_groups(answer)
