"""Tests of `api.cli.progress`: counts and time left, lines and bars, and the log of JSON lines."""

from __future__ import annotations

import datetime
import io
import json
from typing import Any

import msgspec
import pytest
from rich.console import Console

from api.cli.progress import Course, Watch, duration, sentence
from calibration.records import Event


def step(kind: Any = "waiting", **values: Any) -> Event:
    """The offline trial of one candidate, planned for 10 s."""
    given: dict[str, Any] = {
        "candidate": "bow-logistic",
        "workload": "sst2",
        "device": "CPU",
        "phase": "inference",
        "scenario": "offline",
        "backend": "sklearn",
        "precision": "fp64",
        "batch_size": 32.0,
        "estimated_s": 10.0,
    }
    return Event(kind=kind, **(given | values))


OTHER = {"candidate": "tfidf-word-logistic"}


def watched(
    *steps: Event,
    joined: dict[str, list[Event]],
    notes: tuple[str, ...] = (),
    as_json: bool = False,
    **console: Any,
) -> tuple[str, list[dict[str, Any]], Watch]:
    """What people see of some steps, the log, and the watch itself."""
    out, log = io.StringIO(), io.StringIO()
    shown = Console(file=out, width=console.pop("width", 80), color_system=None, **console)
    with Watch(log, shown, as_json=as_json) as watch:
        for place, waiting in joined.items():
            watch.join(place, waiting)
        for said in notes:
            watch.note(said)
        for each in steps:
            watch.take(each)
    return out.getvalue(), [json.loads(line) for line in log.getvalue().splitlines()], watch


def test_time_left_follows_the_plan_and_learns_from_the_clock() -> None:
    """Planned seconds at first; trials that take twice as long double what is left."""
    course = Course([step(), step(**OTHER), step(candidate="third")])
    assert course.left_s(0) == 30
    course.take(step("started"), 100)
    assert course.left_s(104) == pytest.approx(26)
    assert course.left_s(200) == pytest.approx(20)  # late, but the others are still to come
    course.take(step("finished"), 120)
    assert course.left_s(120) == pytest.approx(40)
    course.take(step("started", **OTHER), 120)
    assert course.left_s(130) == pytest.approx(30)
    course.take(step("skipped", **OTHER, reason="x"), 130)
    assert course.left_s(130) == pytest.approx(20)  # a skip teaches nothing about speed
    assert (course.done, course.total, course.lost) == (2, 3, 1)


def test_a_delayed_trial_is_still_the_one_that_runs() -> None:
    """Waiting for a quieter moment counts as time it takes."""
    course = Course([step(), step(**OTHER)])
    course.take(step("started"), 0)
    course.take(step("delayed", reason="other load"), 10)
    assert course.running is not None
    assert course.running.reason == "other load"
    course.take(step("finished"), 30)
    assert (course.running, course.done, course.left_s(30)) == (None, 1, pytest.approx(30))


def test_present_trials_take_no_time() -> None:
    """What the catalog has counts as done."""
    course = Course([step(estimated_s=0.0), step(**OTHER)])
    course.take(step("present", estimated_s=0.0, accuracy=0.7), 0)
    assert (course.done, course.left_s(0)) == (1, 10)


def test_plain_lines_tell_what_was_settled_and_what_is_left() -> None:
    """One line per settled trial without any control character; brackets are no markup."""
    said, _, watch = watched(
        step("started", total=3),
        step("finished", accuracy=0.812, done=1, total=3),
        step("present", done=2, total=3),
        step("skipped", **OTHER, reason="[no] checkpoint", done=3, total=3),
        joined={"": [step(estimated_s=300.0)] * 3 + [step(estimated_s=9300.0)]},
    )
    first, last = said.splitlines()
    assert first.startswith(
        "1/3 bow-logistic on sst2, offline 32 fp64: finished, accuracy 0.812; about "
    )
    assert last.startswith(
        "3/3 tfidf-word-logistic on sst2, offline 32 fp64: skipped, [no] checkpoint"
    )
    assert [each.kind for each in watch.settled] == ["finished", "present", "skipped"]


def test_lost_trials_of_a_candidate_are_told_once() -> None:
    """A missing library stops all its trials for one reason; another reason is told too."""
    lost = step("skipped", reason="no checkpoint")
    other = step("failed", reason="out of memory")
    said, log, _ = watched(lost, lost, other, joined={"": [step()] * 3})
    assert [line.split(": ")[1].split(";")[0] for line in said.splitlines()] == [
        "skipped, no checkpoint",
        "failed, out of memory",
    ]
    assert [line["kind"] for line in log] == ["skipped", "skipped", "failed"]


def test_a_terminal_has_a_bar_with_the_running_trial_and_the_time_left() -> None:
    """80 columns are never exceeded, however long the names are; lines stand above the bar."""
    said, _, _ = watched(
        step("finished", accuracy=0.8, done=1, total=3),
        step("started", candidate="a-candidate-with-a-name-longer-than-its-place-in-the-bar"),
        joined={"": [step()] * 3},
        force_terminal=True,
    )
    bar = said[said.rindex("calibrating") :].splitlines()[0]
    assert "1/3" in bar
    assert "about 20 s left; a-candidate-with" in bar
    assert "…" in bar
    assert len(bar) <= 80
    assert "bow-logistic on sst2, offline 32 fp64: finished, accuracy 0.800" in said


def test_a_fleet_has_a_bar_for_each_hardware() -> None:
    """With its machine, what runs there and what was lost; the slowest machine says when it ends.

    Trials add up, seconds do not.
    """
    a30, epyc = {"place": "NVIDIA A30", "node": "n2"}, {"place": "AMD EPYC", "node": "n1"}
    said, log, watch = watched(
        step("started", **epyc),
        step("finished", **epyc, accuracy=0.8),
        step("failed", **a30, reason="out of memory"),
        step("started", **a30, candidate="minilm"),
        joined={"NVIDIA A30": [step(), step(candidate="minilm"), step()], "AMD EPYC": [step()]},
        notes=("node-3 is left out: [no texts]",),
        width=160,
        force_terminal=True,
    )
    assert "node-3 is left out: [no texts]" in said
    assert "NVIDIA A30: bow-logistic on sst2, offline 32 fp64: failed, out of memory" in said
    first, second = said[said.rindex("NVIDIA A30 ") :].splitlines()[:2]
    assert "1/3" in first
    assert "about 20 s left; 1 lost; n2: minilm on sst2, offline 32 fp64" in first
    assert "AMD EPYC" in second
    assert "1/1" in second
    assert log[0] | {"at": ""} == {"at": "", "kind": "notice", "said": notes_of(log)[0]}
    assert [line["left_s"] for line in log[1:]] == pytest.approx([30, 30, 20, 20], abs=0.2)
    assert {place: course.done for place, course in watch.courses.items()} == {
        "NVIDIA A30": 1,
        "AMD EPYC": 1,
    }


def notes_of(log: list[dict[str, Any]]) -> list[str]:
    """What notices of a log say."""
    return [line["said"] for line in log if line["kind"] == "notice"]


def test_the_log_is_the_json_lines_with_their_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs read the same lines on stdout; people's console stays empty."""
    steps = step("started"), step("finished", accuracy=0.8, reason="a\nb")
    said, log, _ = watched(*steps, joined={"": [step()]}, notes=("n",), as_json=True)
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said == ""
    times = [datetime.datetime.fromisoformat(line.pop("at")) for line in log]
    assert all(time.utcoffset() == datetime.timedelta(0) for time in times)
    assert log == shown
    assert [line["kind"] for line in log] == ["notice", "started", "finished"]
    assert msgspec.convert(log[2], Event).reason == "a\nb"


def test_joules_stand_with_their_label_and_doubts() -> None:
    """No joule is told without how it was obtained."""
    done = step("finished", accuracy=0.8, joules_per_1000=2.5, label="modelled")
    assert "2.50 J per 1,000 texts modelled" in sentence(done)
    doubtful = msgspec.structs.replace(done, flags=("other-load", "unstable"))
    assert sentence(doubtful).endswith("but other-load and unstable")
    assert "server 32 at 500/s fp64" in sentence(step(scenario="server", rate_per_s=500.0))


@pytest.mark.parametrize(
    ("seconds", "said"), [(40, "40 s"), (89, "89 s"), (300, "5 min"), (11_100, "3 h 05 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    """Seconds, minutes, hours."""
    assert duration(seconds) == said
